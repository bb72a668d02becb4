"""Rates of a model that gives three answers: above, below, and none in between.

A zone without an answer makes every other figure better, so none of them says anything
alone. The share that is left to the reader stands beside them, and the rates among the
films that got an answer.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from cxr.evaluation.estimates import Estimate, Mask, proportion
from cxr.evaluation.inputs import Floats, Integers, labels_and_scores, patient_codes
from cxr.evaluation.operating import Confusion


@dataclass(frozen=True, kw_only=True)
class ThreeAnswers:
    """What a threshold with a zone around it does, with 95 % intervals.

    Attributes:
        low: a film below it is answered "below threshold".
        high: a film at or above it is answered "above threshold".
        confusion: the films with an answer.
        n_no_answer: films between the two, normal ones first, those with pneumonia
            second.
        no_answer: their share of all films.
        no_answer_well: their share of the normal films.
        no_answer_ill: their share of the pneumonia films.
        sensitivity: of the pneumonia films with an answer, the share that is above.
        specificity: of the normal films with an answer, the share that is below.
    """

    low: float
    high: float
    confusion: Confusion
    n_no_answer: tuple[int, int]
    no_answer: Estimate
    no_answer_well: Estimate
    no_answer_ill: Estimate
    sensitivity: Estimate
    specificity: Estimate


def three_answers(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    band: tuple[float, float],
    groups: ArrayLike | None = None,
) -> ThreeAnswers:
    """Returns the rates of films with an answer and the share without one.

    Intervals are those of `estimates.proportion`. The films with an answer are taken as
    given: their number is not part of the interval's uncertainty.

    Args:
        y_true: 0 or 1, shape `(n,)`.
        y_score: finite, shape `(n,)`.
        band: its lower and upper edge, on the scale of the scores.
        groups: patient of each film, shape `(n,)`.

    Raises:
        ValueError: an array is not of this kind, or the edges are not in order.
    """
    labels, scores = labels_and_scores(y_true, y_score)
    return answers_in(labels, scores, band, patient_codes(groups, labels.size))


def has_answer(scores: Floats, band: tuple[float, float]) -> Mask:
    """Returns which films get an answer, above or below, shape of `scores`."""
    low, high = band
    return (scores < low) | (scores >= high)


def answers_in(
    labels: Integers,
    scores: Floats,
    band: tuple[float, float],
    patients: Integers | None,
) -> ThreeAnswers:
    """Returns what `three_answers` does, for checked arrays.

    Args:
        labels: 1 for pneumonia, 0 for normal, shape `(n,)`.
        scores: shape `(n,)`.
        band: its edges.
        patients: a code for the patient of each film, shape `(n,)`, or None.
    """
    low, high = band
    if not low <= high:
        raise ValueError(f"expected a lower and an upper edge, received band={band}")
    ill, above, below = labels == 1, scores >= high, scores < low
    answered = has_answer(scores, band)
    return ThreeAnswers(
        low=float(low),
        high=float(high),
        confusion=Confusion(
            tn=int((below & ~ill).sum()),
            fp=int((above & ~ill).sum()),
            fn=int((below & ill).sum()),
            tp=int((above & ill).sum()),
        ),
        n_no_answer=(int((~answered & ~ill).sum()), int((~answered & ill).sum())),
        no_answer=proportion(~answered, np.ones_like(ill), patients),
        no_answer_well=proportion(~answered, ~ill, patients),
        no_answer_ill=proportion(~answered, ill, patients),
        sensitivity=proportion(above, ill & answered, patients),
        specificity=proportion(below, ~ill & answered, patients),
    )
