"""Two models on the same films."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cxr.errors import CxrError
from cxr.evaluation import comparison, overview, reliability, summary, thresholds
from cxr.evaluation.answered import has_answer
from cxr.evaluation.comparison import AucComparison, DecisionComparison
from cxr.evaluation.estimates import Estimate
from cxr.evaluation.overview import CurveLines
from cxr.evaluation.reliability import ReliabilityCurve
from cxr.evaluation.scores import shared_rows
from cxr.evaluation.summary import Evaluation
from cxr.models import registry
from cxr.models.cards import Card


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two models on the films that were held out from both.

    Attributes:
        films: how many.
        tested: films that each was tested on, by model id; more than `films` where
            their test patients differ.
        evaluations: each model at its own threshold, by model id.
        auc: paired difference of the areas, first minus second.
        decisions: paired test of right and wrong decisions.
    """

    films: int
    tested: dict[str, int]
    evaluations: dict[str, Evaluation]
    auc: AucComparison
    decisions: DecisionComparison


@dataclass(frozen=True, kw_only=True, eq=False)
class SideBySide:
    """A comparison with what is drawn of it.

    Attributes:
        comparison: figures of both and the paired tests.
        differences: first minus second with paired interval, by field of `Evaluation`.
        curves: calibration of each, by model id.
        lines: rates of each at every threshold, by model id.
    """

    comparison: Comparison
    differences: dict[str, Estimate]
    curves: dict[str, ReliabilityCurve]
    lines: dict[str, CurveLines]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Pair:
    """Scores of two models on the films that both were tested on.

    Attributes:
        cards: of both.
        tested: films that each was tested on.
        labels: 0 or 1, shape `(n,)`.
        patients: of each film, shape `(n,)`.
        probabilities: by each model, shape `(n,)`.
    """

    cards: list[Card]
    tested: list[int]
    labels: NDArray[np.int64]
    patients: NDArray[np.str_]
    probabilities: list[NDArray[np.float64]]

    def of_each(self) -> Iterator[tuple[Card, NDArray[np.float64]]]:
        """Returns each model's card with its probabilities."""
        return zip(self.cards, self.probabilities, strict=True)

    def decisions(self) -> list[NDArray[np.int64]]:
        """Returns 1 for each film at or above the model's own threshold, shape (n,)."""
        return [(p >= card.threshold.value).astype(int) for card, p in self.of_each()]


def compare(models_dir: Path, first: str, second: str) -> Comparison:
    """Returns two registered models side by side, from their stored test scores.

    Which films are the same, `scores.shared_rows` says.

    Args:
        models_dir: the registry.
        first: id of a model.
        second: id of another.

    Raises:
        ModelError: a model is missing or damaged.
        CxrError: the two were not tested on common films.
    """
    return _comparison(_read_pair(models_dir, first, second))


def side_by_side(models_dir: Path, first: str, second: str) -> SideBySide:
    """Returns a comparison of two registered models with what is drawn of it.

    Args:
        models_dir: the registry.
        first: id of a model.
        second: id of another.

    Raises:
        ModelError: a model is missing or damaged.
        CxrError: the two were not tested on common films.
    """
    pair = _read_pair(models_dir, first, second)
    compared = _comparison(pair)
    return SideBySide(
        comparison=compared,
        differences={"auc": compared.auc.difference, **_rate_differences(pair)},
        curves={
            card.model_id: reliability.reliability_curve(
                pair.labels, p, groups=pair.patients
            )
            for card, p in pair.of_each()
        },
        lines={
            card.model_id: overview.thinned(thresholds.operating_points(pair.labels, p))
            for card, p in pair.of_each()
        },
    )


def _read_pair(models_dir: Path, first: str, second: str) -> _Pair:
    cards = [registry.read_card(models_dir, name) for name in (first, second)]
    scores = [registry.read_scores(models_dir, card, "test") for card in cards]
    rows = shared_rows(scores)
    if not rows[0].size:
        raise CxrError(
            f"{first} and {second} were tested on different films.",
            code="no-shared-films",
        )
    return _Pair(
        cards=cards,
        tested=[len(one.names) for one in scores],
        labels=scores[0].labels[rows[0]],
        patients=np.array(scores[0].patients)[rows[0]],
        probabilities=[
            s.probabilities[chosen] for s, chosen in zip(scores, rows, strict=True)
        ],
    )


def _comparison(pair: _Pair) -> Comparison:
    labels, patients = pair.labels, pair.patients
    return Comparison(
        films=labels.size,
        tested={
            card.model_id: n for card, n in zip(pair.cards, pair.tested, strict=True)
        },
        evaluations={
            card.model_id: summary.evaluate(
                labels,
                p,
                threshold=card.threshold.value,
                band=card.band,
                groups=patients,
            )
            for card, p in pair.of_each()
        },
        auc=comparison.delong_test(labels, *pair.probabilities, groups=patients),
        decisions=comparison.mcnemar_test(labels, *pair.decisions(), groups=patients),
    )


def _rate_differences(pair: _Pair) -> dict[str, Estimate]:
    right = [decision == pair.labels for decision in pair.decisions()]
    without = [~has_answer(p, card.band) for card, p in pair.of_each()]
    ill, well = pair.labels == 1, pair.labels == 0
    everyone = np.ones(pair.labels.shape, bool)
    asked = {
        "sensitivity": (right, ill),
        "specificity": (right, well),
        "accuracy": (right, everyone),
        "no_answer": (without, everyone),
        "no_answer_well": (without, well),
        "no_answer_ill": (without, ill),
    }
    # The interval is that of any paired proportion: of films called right, or left out.
    return {
        field: comparison.sensitivity_difference(
            called[0][some], called[1][some], pair.patients[some]
        )
        for field, (called, some) in asked.items()
        if some.any()
    }
