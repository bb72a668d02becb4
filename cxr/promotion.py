"""Which model may serve: gates for a candidate, the switch, and the way back.

A candidate is measured against the model that serves on the same films: those that
were held out from both. What is compared are the scores stored with each model, which
are its maker's word; for a model of a stranger, `python -m cxr evaluate` on films of
your own says more.

The trail is written before the switch. So no model serves that the trail does not know;
a crash in between leaves the old model serving and a row that came to nothing.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cxr import audit, evaluation, inference, registry, validation
from cxr.audit import Entry
from cxr.errors import CxrError, ModelError
from cxr.evaluation import Estimate
from cxr.evaluation.estimates import proportion
from cxr.registry import Card
from cxr.scores import shared_rows
from cxr.validation import Comparison

PROMOTED, ACTIVATED, ROLLED_BACK = "promote", "activate", "roll back"
IMPORTED, EXPORTED, FAILED = "import", "export", "switch failed"
JOINED = "ensemble"
SWITCHES = (PROMOTED, ACTIVATED, ROLLED_BACK)

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
# little worse may be wanted for its sensitivity or its films, and its specificity is
# shown beside the gates for whoever decides.
AUC_MARGIN = 0.03


@dataclass(frozen=True, kw_only=True)
class Gate:
    """One condition for serving.

    Attributes:
        name: what it is about, in a few words.
        passed: whether it is met.
        sentence: what was found, or what to do.
        value: as measured; empty where nothing was.
        bar: what it is held against; empty where there is nothing to hold.
    """

    name: str
    passed: bool
    sentence: str
    value: str
    bar: str


@dataclass(frozen=True, kw_only=True)
class GateReport:
    """What a candidate was found to be.

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
    found = [_files_gate(models_dir, records_dir, card)]
    if not found[0].passed:
        # Tables that were changed say nothing about the network.
        return GateReport(gates=tuple(found), comparison=None)
    found += [_golden_gate(models_dir, card), _parity_gate(card)]
    found += _own_gates(models_dir, card)
    relative, comparison = _relative_gates(models_dir, card, active)
    return GateReport(gates=(*found, *relative), comparison=comparison)


def promote(
    models_dir: Path, records_dir: Path, candidate_id: str, *, actor: str
) -> Card:
    """Lets a candidate serve if it passes all gates; returns its card.

    Raises:
        ModelError: code `gates` if one is not passed, `already-active`, or as `gates`;
            the model that served before still does.
        CxrError: the audit trail can't be written; nothing was changed.
    """
    if _active_id(models_dir) == candidate_id:
        raise ModelError(f"{candidate_id} serves already.", code="already-active")
    report = gates(models_dir, candidate_id, records_dir=records_dir)
    if failed := [gate for gate in report.gates if not gate.passed]:
        reasons = " ".join(_as_reason(gate) for gate in failed)
        raise ModelError(f"{candidate_id} was not promoted. {reasons}", code="gates")
    details = {"gates": {gate.name: gate.value for gate in report.gates}}
    return _switch(
        models_dir, records_dir, PROMOTED, candidate_id, actor=actor, details=details
    )


def activate(models_dir: Path, records_dir: Path, model_id: str, *, actor: str) -> Card:
    """Lets a model serve without asking the gates; returns its card.

    For the first model, and for who knows better; the trail says that no gate was
    asked.

    Raises:
        ModelError: the model is damaged, does not give its golden scores, or its card
            is not the recorded one; the model that served before still does.
        CxrError: the audit trail can't be written; nothing was changed.
    """
    return _checked_switch(models_dir, records_dir, ACTIVATED, model_id, actor=actor)


def roll_back(models_dir: Path, records_dir: Path, *, actor: str) -> Card:
    """Lets the model serve that did before the one that does; returns its card.

    Raises:
        ModelError: code `no-earlier-model` if the trail knows none, or as `activate`.
        CxrError: the audit trail can't be read or written; nothing was changed.
    """
    model_id = previous_id(models_dir, records_dir)
    if model_id is None:
        raise ModelError(
            "The audit trail knows no model that served before. Promote one instead.",
            code="no-earlier-model",
        )
    return _checked_switch(models_dir, records_dir, ROLLED_BACK, model_id, actor=actor)


def previous_id(models_dir: Path, records_dir: Path) -> str | None:
    """Returns the model that served before the active one, by the audit trail.

    Rolling back twice goes two models back, never forth again. None if the trail knows
    no such model.

    Raises:
        CxrError: the audit trail can't be read.
    """
    served: list[str] = []
    for entry in reversed(audit.entries(records_dir, actions=SWITCHES)):
        before = entry.details.get("previous")
        if isinstance(before, str):
            _come_to(served, before)
        if entry.action == ROLLED_BACK:
            del served[-1:]
            _come_to(served, entry.model_id)
        elif served[-1:] != [entry.model_id]:
            served.append(entry.model_id)
    active = _active_id(models_dir)
    if active is None:
        return served[-1] if served else None
    _come_to(served, active)
    return served[-2] if len(served) > 1 else None


def problems(models_dir: Path, records_dir: Path, model_id: str) -> list[str]:
    """Returns a sentence for each thing about a model that was changed, if any.

    Its files are held against its card, and its card against the trail: somebody who
    exchanges a file and mends the card to fit would pass the first alone. A model that
    the trail doesn't know is held against its card only.

    Raises:
        ModelError: no such model, or its card can't be read.
        CxrError: the audit trail can't be read.
    """
    card = registry.read_card(models_dir, model_id)
    found = registry.verify(models_dir, card)
    entry = trusted_card(records_dir, model_id)
    if entry is None:
        return found
    if entry.details["card_sha256"] != registry.card_sha256(models_dir, model_id):
        found.append(
            f"The card is not the one recorded on {entry.time[:10]} ({entry.action} by "
            f"{entry.actor}): it was changed since."
        )
    if broken := audit.verify(records_dir):
        found.append(f"The audit trail does not hold: {broken[0]}")
    return found


def trusted_card(records_dir: Path, model_id: str) -> Entry | None:
    """Returns the newest row that recorded a model's card, None if there is none.

    Raises:
        CxrError: the audit trail can't be read.
    """
    actions = (*SWITCHES, IMPORTED, JOINED)
    for entry in audit.entries(records_dir, model_id=model_id, actions=actions):
        if isinstance(entry.details.get("card_sha256"), str):
            return entry
    return None


def require_trusted(models_dir: Path, records_dir: Path, model_id: str) -> None:
    """Makes sure that a model's card is still the one that the trail recorded.

    A model that the trail doesn't know passes: it was shipped, or put there by hand.

    Raises:
        ModelError: the card was changed since (code `changed-card`).
        CxrError: the audit trail can't be read.
    """
    entry = trusted_card(records_dir, model_id)
    if entry is None:
        return
    if entry.details["card_sha256"] != registry.card_sha256(models_dir, model_id):
        raise ModelError(
            f"The card of model {model_id} is not the one recorded on "
            f"{entry.time[:10]}: it was changed since. It doesn't serve.",
            code="changed-card",
        )


def record_card(
    models_dir: Path,
    records_dir: Path,
    action: str,
    model_id: str,
    *,
    actor: str,
    details: Mapping[str, Any] | None = None,
) -> Entry:
    """Records an action with the SHA-256 of the model's card as it is now.

    Raises:
        ModelError: no such model.
        CxrError: the audit trail can't be written.
    """
    sha256 = registry.card_sha256(models_dir, model_id)
    content = {**(details or {}), "card_sha256": sha256}
    return audit.record(
        records_dir, action, actor=actor, model_id=model_id, details=content
    )


def sensitivity_difference(
    called_a: NDArray[np.bool_],
    called_b: NDArray[np.bool_],
    patients: ArrayLike,
) -> Estimate:
    """Returns sensitivity of a minus that of b on the same ill films, with interval.

    The 95 % interval is put together from the interval of each sensitivity and the
    correlation r of the two, which is theirs over patients:

        low = d - sqrt((a - a.low)^2 + (b.high - b)^2 - 2 r (a - a.low) (b.high - b))

    and the upper limit likewise. A positive r is lowered by 1 / (2 sqrt(e f)) for e and
    f patients with a film that a or b missed, as Newcombe's continuity correction does
    with films; without any it is 0.

    Args:
        called_a: whether a calls the film positive, shape `(n,)`, n above 0.
        called_b: whether b does, shape `(n,)`.
        patients: patient of each film, shape `(n,)`.

    Reference:
        Newcombe, Stat. Med. 17 (1998) 2635-2650, method 10; Zou and Donner, Stat. Med.
        27 (2008) 1693-1702 (from limits of each and their correlation).
    """
    codes = np.unique(patients, return_inverse=True)[1].astype(np.int64)
    everyone = np.ones(called_a.shape, bool)
    a = proportion(called_a, everyone, codes)
    b = proportion(called_b, everyone, codes)
    r = _correlation(called_a, called_b, codes)
    difference = a.value - b.value
    below = _joined(a.value - a.low, b.high - b.value, r)
    above = _joined(a.high - a.value, b.value - b.low, r)
    return Estimate(value=difference, low=difference - below, high=difference + above)


def _active_id(models_dir: Path) -> str | None:
    try:
        return registry.active_id(models_dir)
    except ModelError:
        return None


def _active_card(models_dir: Path) -> Card | None:
    """Returns the card of the model that serves, None if none can."""
    try:
        return registry.read_card(models_dir, registry.active_id(models_dir))
    except ModelError:
        return None


def _files_gate(models_dir: Path, records_dir: Path | None, card: Card) -> Gate:
    if records_dir is None:
        found = registry.verify(models_dir, card)
    else:
        found = problems(models_dir, records_dir, card.model_id)
    return Gate(
        name="Files unchanged",
        passed=not found,
        sentence=" ".join(found) or "Every file has the SHA-256 on the card.",
        value=f"{len(card.files)} files" if not found else f"{len(found)} problems",
        bar="none changed",
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
    ece = evaluation.expected_calibration_error(scores.labels, scores.probabilities)
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
    names = ("Same films", "Sensitivity not worse", "AUC not worse")
    if active is None:
        sentence = "There is nothing to compare with: no other model serves."
        return [
            Gate(name=name, passed=True, sentence=sentence, value="", bar="")
            for name in names
        ], None
    try:
        comparison = validation.compare(models_dir, card.model_id, active.model_id)
        labels, patients, calls = _same_films(models_dir, card, active)
    except CxrError as error:
        return [_failed(names[0], f"{error.message} {_HOW_TO_COMPARE}")], None
    n_ill = int(labels.sum())
    enough = len(labels) >= MIN_SHARED_FILMS and 0 < n_ill < len(labels)
    found = [_same_films_gate(len(labels), n_ill, enough)]
    if enough:
        ill = labels == 1
        found.append(
            _margin_gate(
                names[1],
                "The candidate's sensitivity minus that of the model that serves, each "
                "at its own threshold.",
                sensitivity_difference(calls[0][ill], calls[1][ill], patients[ill]),
                SENSITIVITY_MARGIN,
            )
        )
        found.append(
            _margin_gate(
                names[2],
                "The candidate's area under the ROC curve minus that of the model that "
                "serves.",
                comparison.auc.difference,
                AUC_MARGIN,
            )
        )
    return found, comparison


_HOW_TO_COMPARE = (
    "Train the candidate on the same data folder with the same seed, so that both keep "
    "the same patients for the test."
)


def _same_films(
    models_dir: Path, card: Card, active: Card
) -> tuple[NDArray[np.int64], NDArray[np.str_], list[NDArray[np.bool_]]]:
    """Returns labels, patients and both models' calls on the films that both have."""
    a, b = (registry.read_scores(models_dir, c, "test") for c in (card, active))
    mine, theirs = shared_rows((a, b))
    calls = [
        a.probabilities[mine] >= card.threshold.value,
        b.probabilities[theirs] >= active.threshold.value,
    ]
    return a.labels[mine], np.array(a.patients)[mine], calls


def _same_films_gate(n: int, n_ill: int, enough: bool) -> Gate:
    sentence = f"Films held out from both models, {n_ill} of them with pneumonia."
    return Gate(
        name="Same films",
        passed=enough,
        sentence=sentence if enough else f"{sentence} {_HOW_TO_COMPARE}",
        value=f"{n} films",
        bar=f"at least {MIN_SHARED_FILMS} of both classes",
    )


def _margin_gate(name: str, sentence: str, found: Estimate, margin: float) -> Gate:
    if not found.low >= -margin and found.value >= -margin:
        sentence += " These films are too few to rule out that it is worse."
    return Gate(
        name=name,
        # Not "not below": an interval that is undefined passes nothing.
        passed=found.low >= -margin,
        sentence=sentence,
        value=_in_words(found, sign="+"),
        bar=f"lower limit at least −{margin:.2f}",
    )


def _failed(name: str, sentence: str) -> Gate:
    return Gate(name=name, passed=False, sentence=sentence, value="", bar="")


def _as_reason(gate: Gate) -> str:
    found = f" ({gate.value}; bar: {gate.bar})" if gate.value else ""
    return f"{gate.name}{found}: {gate.sentence}"


def _in_words(estimate: Estimate, sign: str = "") -> str:
    value, low, high = (
        f"{v:{sign}.3f}".replace("-", "−") if math.isfinite(v) else "—"
        for v in (estimate.value, estimate.low, estimate.high)
    )
    return f"{value} ({low} to {high})"


def _correlation(
    called_a: NDArray[np.bool_],
    called_b: NDArray[np.bool_],
    patients: NDArray[np.int64],
) -> float:
    films = np.bincount(patients)
    residuals, misses = [], []
    for called in (called_a, called_b):
        hits = np.bincount(patients, weights=called)
        residuals.append(hits - called.mean() * films)
        misses.append(int((hits < films).sum()))
    scale = math.sqrt(float((residuals[0] ** 2).sum() * (residuals[1] ** 2).sum()))
    if scale == 0:
        return 0.0
    r = min(1.0, float((residuals[0] * residuals[1]).sum()) / scale)
    if r <= 0:
        return max(-1.0, r)
    return max(0.0, r - 1 / (2 * math.sqrt(misses[0] * misses[1])))


def _joined(x: float, y: float, r: float) -> float:
    return math.sqrt(max(x * x + y * y - 2 * r * x * y, 0.0))


def _come_to(served: list[str], model_id: str) -> None:
    """Makes a model the last that served: takes back what came after it, or adds it.

    A switch that was recorded and not made is taken back so, and one that was made
    without this package is added.
    """
    while model_id in served and served[-1] != model_id:
        served.pop()
    if model_id not in served:
        served.append(model_id)


def _checked_switch(
    models_dir: Path, records_dir: Path, action: str, model_id: str, *, actor: str
) -> Card:
    if found := problems(models_dir, records_dir, model_id):
        raise ModelError(
            f"{model_id} was not activated: {' '.join(found)}", code="damaged-model"
        )
    inference.load(models_dir, model_id)
    return _switch(models_dir, records_dir, action, model_id, actor=actor)


def _switch(
    models_dir: Path,
    records_dir: Path,
    action: str,
    model_id: str,
    *,
    actor: str,
    details: Mapping[str, Any] | None = None,
) -> Card:
    """Records the switch, then makes it; the model was found fit to serve."""
    content = {**(details or {}), "previous": _active_id(models_dir)}
    record_card(models_dir, records_dir, action, model_id, actor=actor, details=content)
    try:
        with registry.writing(models_dir):
            return registry.activate(models_dir, model_id)
    except CxrError as error:
        audit.record(
            records_dir,
            FAILED,
            actor=actor,
            model_id=model_id,
            details={"code": error.code},
        )
        raise
