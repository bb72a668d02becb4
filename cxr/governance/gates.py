"""The gates between a model and service: what must hold before it is promoted."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cxr.errors import CxrError, ModelError
from cxr.evaluation import reliability
from cxr.evaluation.answered import has_answer
from cxr.evaluation.comparison import sensitivity_difference
from cxr.evaluation.estimates import Estimate, Mask, proportion
from cxr.evaluation.scores import shared_rows
from cxr.governance import trust
from cxr.governance.comparison import Comparison, compare
from cxr.models import inference, registry, soundness
from cxr.models.cards import Card

MIN_SHARED_FILMS = 100
# In probability; rounding in float32 moves a score by less than 1e-5.
MAX_PARITY_DIFFERENCE = 1e-3
# The lower limit, not the value: a handful of films can't pass by luck.
MIN_SENSITIVITY = 0.90
# 3 more missed in 100 ill patients is the most that a better specificity may cost. On
# 300 patients with pneumonia the interval reaches about 2 in 100 to each side of no
# difference: an equal model passes, one that misses 2 more in 100 does not.
SENSITIVITY_MARGIN = 0.03
MAX_CALIBRATION_ERROR = 0.05
# A guard against a candidate that was badly trained, not a contest: one that ranks a
# little worse may be wanted for its sensitivity or its films.
AUC_MARGIN = 0.03
# More false alarms or more films left to the reader may be the price of something that
# the figures don't show; then somebody says what. On 160 normal films the interval of
# two models that are equally good reaches about 4 in 100 to each side for false alarms,
# 6 for films without an answer.
SPECIFICITY_MARGIN = 0.05
NO_ANSWER_MARGIN = 0.10


@dataclass(frozen=True, kw_only=True)
class Gate:
    """One condition for serving.

    Attributes:
        name: what it is about, in a few words.
        passed: whether it is met.
        sentence: what holds or does not, or what to do.
        value: as measured; empty where nothing was.
        bar: what it is held against; empty where there is nothing to hold.
        waivable: whether a typed reason may stand in for it.
    """

    name: str
    passed: bool
    sentence: str
    value: str
    bar: str
    waivable: bool = False


@dataclass(frozen=True, kw_only=True)
class GateReport:
    """The gates that were asked about a candidate, and how it compares.

    Attributes:
        gates: in the order in which they are read.
        comparison: with the model that serves, the candidate first; None if there is
            none or no films are shared.
    """

    gates: tuple[Gate, ...]
    comparison: Comparison | None

    @property
    def passed(self) -> bool:
        """Whether every gate is passed."""
        return all(gate.passed for gate in self.gates)

    @property
    def failed(self) -> tuple[Gate, ...]:
        """The gates that are not passed and that no reason can stand in for."""
        return tuple(g for g in self.gates if not g.passed and not g.waivable)

    @property
    def worse(self) -> tuple[Gate, ...]:
        """The gates that are not passed, for each of which a reason is asked."""
        return tuple(g for g in self.gates if not g.passed and g.waivable)


def gates(
    models_dir: Path, candidate_id: str, *, records_dir: Path | None = None
) -> GateReport:
    """Returns what speaks for and against letting a candidate serve.

    Args:
        models_dir: the registry.
        candidate_id: the model that is to serve.
        records_dir: of the audit trail, to tell whether the card is the one that was
            recorded; None leaves that out.

    Raises:
        ModelError: the candidate is not there or its card can't be read.
        CxrError: the audit trail can't be read.
    """
    card = registry.read_card(models_dir, candidate_id)
    active = _active_card(models_dir)
    if active is not None and active.model_id == candidate_id:
        active = None
    asked = [_files_gate(models_dir, records_dir, card)]
    if not asked[0].passed:
        # Tables that were changed say nothing about the network.
        return GateReport(gates=tuple(asked), comparison=None)
    measured = _measured_gate(models_dir, card)
    asked += [_golden_gate(models_dir, card), _parity_gate(card), measured]
    if not measured.passed:
        # Nothing to compare: what follows works on these figures.
        return GateReport(gates=tuple(asked), comparison=None)
    asked += _own_gates(models_dir, card)
    relative, comparison = _relative_gates(models_dir, card, active)
    return GateReport(gates=(*asked, *relative), comparison=comparison)


def _active_card(models_dir: Path) -> Card | None:
    """Returns the card of the model that serves, None if none can."""
    try:
        return registry.read_card(models_dir, registry.active_id(models_dir))
    except ModelError:
        return None


def _files_gate(models_dir: Path, records_dir: Path | None, card: Card) -> Gate:
    if records_dir is None:
        problems = registry.verify(models_dir, card)
    else:
        problems = trust.problems(models_dir, records_dir, card.model_id)
    return Gate(
        name="Files unchanged",
        passed=not problems,
        sentence=" ".join(problems) or "Every file has the SHA-256 on the card.",
        value=f"{len(card.files)} files"
        if not problems
        else f"{len(problems)} problems",
        bar="none changed",
    )


def _measured_gate(models_dir: Path, card: Card) -> Gate:
    missing = soundness.gaps(models_dir, card)
    return Gate(
        name="Measured on test films",
        passed=not missing,
        sentence=" ".join(missing) or "Its figures and scores are there and finite.",
        value=f"{len(missing)} missing" if missing else "all",
        bar="all",
    )


def _golden_gate(models_dir: Path, card: Card) -> Gate:
    try:
        inference.load(models_dir, card.model_id)
        sentence = "It gives its golden scores on this machine."
        passed = True
    except ModelError as error:
        sentence, passed = error.message, False
    return Gate(
        name="Golden films",
        passed=passed,
        sentence=sentence,
        value="same" if passed else "not the same",
        bar=f"within {inference.GOLDEN_TOLERANCE:g}",
    )


def _parity_gate(card: Card) -> Gate:
    difference = card.parity.max_probability_difference
    passed = difference <= MAX_PARITY_DIFFERENCE and card.parity.n > 0
    return Gate(
        name="Serving as trained",
        passed=passed,
        sentence=f"The largest difference of the serving network from the trained one "
        f"on {card.parity.n} films, in probability.",
        value=f"{difference:.2g}",
        bar=f"at most {MAX_PARITY_DIFFERENCE:g}",
    )


def _own_gates(models_dir: Path, card: Card) -> list[Gate]:
    """Returns the gates on the candidate's own test films."""
    try:
        scores = registry.read_scores(models_dir, card, "test")
    except ModelError as error:
        return [_failed(name, error.message) for name in ("Sensitivity", "Calibration")]
    ill = scores.labels == 1
    if not ill.any() or ill.all():
        sentence = "Its test films are all of one class."
        return [_failed(name, sentence) for name in ("Sensitivity", "Calibration")]
    called = scores.probabilities >= card.threshold.value
    codes = np.unique(scores.patients, return_inverse=True)[1].astype(np.int64)
    sensitivity = proportion(called, ill, codes)
    ece = reliability.expected_calibration_error(scores.labels, scores.probabilities)
    return [
        Gate(
            name="Sensitivity",
            passed=sensitivity.low >= MIN_SENSITIVITY,
            sentence="On its test films at its own threshold; the lower limit counts.",
            value=_in_words(sensitivity),
            bar=f"lower limit at least {MIN_SENSITIVITY:.2f}",
        ),
        Gate(
            name="Calibration",
            passed=ece <= MAX_CALIBRATION_ERROR,
            sentence="The expected calibration error on its test films.",
            value=f"{ece:.3f}",
            bar=f"at most {MAX_CALIBRATION_ERROR:.2f}",
        ),
    ]


def _relative_gates(
    models_dir: Path, card: Card, active: Card | None
) -> tuple[list[Gate], Comparison | None]:
    if active is None:
        sentence = "There is nothing to compare with: no other model serves."
        return [
            Gate(name=name, passed=True, sentence=sentence, value="", bar="")
            for name in ("Same films", *RELATIVE)
        ], None
    try:
        comparison = compare(models_dir, card.model_id, active.model_id)
        films = _same_films(models_dir, card, active)
    except CxrError as error:
        return [_failed("Same films", f"{error.message} {_HOW_TO_COMPARE}")], None
    n, n_ill = films.ill.size, int(films.ill.sum())
    enough = n >= MIN_SHARED_FILMS and 0 < n_ill < n
    asked = [_same_films_gate(n, n_ill, enough)]
    if enough:
        asked += _margin_gates(films, comparison)
    return asked, comparison


def _margin_gates(films: "_SharedFilms", comparison: Comparison) -> list[Gate]:
    """Returns the gates that hold a candidate against the model that serves."""
    ill, well = films.ill, ~films.ill
    above, answered = films.above, films.answered
    right = (~above[0], ~above[1])
    asked = {
        SENSITIVITY: (films.difference(above, ill), SENSITIVITY_MARGIN),
        SPECIFICITY: (films.difference(right, well), SPECIFICITY_MARGIN),
        ANSWERS_WELL: (films.difference(answered, well), NO_ANSWER_MARGIN),
        ANSWERS_ILL: (films.difference(answered, ill), NO_ANSWER_MARGIN),
        AUC: (comparison.auc.difference, AUC_MARGIN),
    }
    return [
        _margin_gate(name, RELATIVE[name], *held, waivable=name in WAIVABLE)
        for name, held in asked.items()
    ]


SENSITIVITY, SPECIFICITY = "Sensitivity not worse", "Specificity not worse"
ANSWERS_WELL, ANSWERS_ILL = "Answers on normal films", "Answers on pneumonia films"
AUC = "AUC not worse"
RELATIVE = {
    SENSITIVITY: "The candidate's sensitivity minus that of the model that serves, "
    "each at its own threshold.",
    SPECIFICITY: "The candidate's specificity minus that of the model that serves, "
    "each at its own threshold.",
    ANSWERS_WELL: "The share of normal films that get an answer from the candidate, "
    "minus that from the model that serves.",
    ANSWERS_ILL: "The share of pneumonia films that get an answer from the candidate, "
    "minus that from the model that serves.",
    AUC: "The candidate's area under the ROC curve minus that of the model that "
    "serves.",
}
WAIVABLE = (SPECIFICITY, ANSWERS_WELL, ANSWERS_ILL)
_HOW_TO_COMPARE = (
    "Train the candidate on the same data folder with the same seed, so that both keep "
    "the same patients for the test."
)


@dataclass(frozen=True, kw_only=True, eq=False)
class _SharedFilms:
    """What candidate and active model, in this order, say of films that both have.

    Attributes:
        ill: whether a film shows pneumonia, shape `(n,)`.
        patients: of each film, shape `(n,)`.
        above: by each model, whether a film is at or above its own threshold.
        answered: by each, whether a film is outside its zone without an answer.
    """

    ill: Mask
    patients: NDArray[np.str_]
    above: tuple[Mask, Mask]
    answered: tuple[Mask, Mask]

    def difference(self, right: tuple[Mask, Mask], among: Mask) -> Estimate:
        """Returns the candidate's share of some films minus the active model's."""
        # The interval is that of any paired proportion.
        return sensitivity_difference(
            right[0][among], right[1][among], self.patients[among]
        )


def _same_films(models_dir: Path, card: Card, active: Card) -> _SharedFilms:
    tables = [registry.read_scores(models_dir, c, "test") for c in (card, active)]
    rows = shared_rows(tables)
    mine, theirs = (t.probabilities[r] for t, r in zip(tables, rows, strict=True))
    return _SharedFilms(
        ill=tables[0].labels[rows[0]] == 1,
        patients=np.array(tables[0].patients)[rows[0]],
        above=(mine >= card.threshold.value, theirs >= active.threshold.value),
        answered=(has_answer(mine, card.band), has_answer(theirs, active.band)),
    )


def _same_films_gate(n: int, n_ill: int, enough: bool) -> Gate:
    sentence = f"Films held out from both models, {n_ill} of them with pneumonia."
    return Gate(
        name="Same films",
        passed=enough,
        sentence=sentence if enough else f"{sentence} {_HOW_TO_COMPARE}",
        value=f"{n} films",
        bar=f"at least {MIN_SHARED_FILMS} of both classes",
    )


def _margin_gate(
    name: str, sentence: str, difference: Estimate, margin: float, *, waivable: bool
) -> Gate:
    if not difference.low >= -margin and difference.value >= -margin:
        sentence += " These films are too few to rule out that it is worse."
    return Gate(
        name=name,
        # Not "not below": an interval that is undefined passes nothing.
        passed=difference.low >= -margin,
        sentence=sentence,
        value=_in_words(difference, sign="+"),
        bar=f"lower limit at least −{margin:.2f}",
        waivable=waivable,
    )


def _failed(name: str, sentence: str) -> Gate:
    return Gate(name=name, passed=False, sentence=sentence, value="", bar="")


def _in_words(estimate: Estimate, sign: str = "") -> str:
    value, low, high = (
        f"{v:{sign}.3f}".replace("-", "−") if math.isfinite(v) else "—"
        for v in (estimate.value, estimate.low, estimate.high)
    )
    return f"{value} ({low} to {high})"
