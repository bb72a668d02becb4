"""The rates at one threshold: confusion matrix, point values, intervals, locally."""

import math
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike

from cxr.evaluation.estimates import (
    Estimate,
    Mask,
    proportion,
    ratio,
    warn_undefined,
)
from cxr.evaluation.inputs import (
    Integers,
    labels_and_scores,
    patient_codes,
    require_between,
)


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """Films by their label and the decision on them.

    Attributes:
        tn: normal films below the threshold.
        fp: normal films at or above it: false alarms.
        fn: pneumonia films below it: misses.
        tp: pneumonia films at or above it.
    """

    tn: int
    fp: int
    fn: int
    tp: int


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Point values of one confusion matrix; `OperatingPoint` has the same fields."""

    sensitivity: float
    specificity: float
    accuracy: float
    precision: float
    npv: float
    f1: float
    likelihood_ratio_positive: float
    likelihood_ratio_negative: float


@dataclass(frozen=True, kw_only=True)
class LocalRates:
    """What a threshold does to patients of one prevalence.

    Attributes:
        prevalence: share of the patients who have pneumonia.
        misses_per_1000: patients with pneumonia called negative, per 1,000 patients.
        false_alarms_per_1000: patients without it called positive, per 1,000 patients.
        precision: share of the positive calls that are right (PPV).
        npv: share of the negative calls that are right.
    """

    prevalence: float
    misses_per_1000: Estimate
    false_alarms_per_1000: Estimate
    precision: Estimate
    npv: Estimate


@dataclass(frozen=True, kw_only=True)
class OperatingPoint:
    """The rates at one threshold, with 95 % intervals.

    Attributes:
        threshold: a film is positive when its score is at or above it.
        confusion: the counts.
        sensitivity: share of the pneumonia films that are called positive.
        specificity: share of the normal films that are called negative.
        accuracy: share of all films that are called right.
        precision: share of the positive calls that are right (PPV), in these films.
        npv: share of the negative calls that are right, in these films.
        f1: 2 tp / (2 tp + fp + fn).
        likelihood_ratio_positive: sensitivity / (1 - specificity).
        likelihood_ratio_negative: (1 - sensitivity) / specificity.
    """

    threshold: float
    confusion: Confusion
    sensitivity: Estimate
    specificity: Estimate
    accuracy: Estimate
    precision: Estimate
    npv: Estimate
    f1: Estimate
    likelihood_ratio_positive: Estimate
    likelihood_ratio_negative: Estimate

    def locally(self, *, prevalence: float) -> LocalRates:
        """Returns what this threshold does at another prevalence.

        Sensitivity and specificity are taken to stay as they are, which holds when the
        patients differ in how many are ill, not in how ill they are.

        Args:
            prevalence: between 0 and 1, both excluded.
        """
        require_between(prevalence, 0, 1, name="prevalence")
        odds = prevalence / (1 - prevalence)
        return LocalRates(
            prevalence=prevalence,
            misses_per_1000=self.sensitivity.through(
                lambda rate: 1000 * prevalence * (1 - rate)
            ),
            false_alarms_per_1000=self.specificity.through(
                lambda rate: 1000 * (1 - prevalence) * (1 - rate)
            ),
            precision=self.likelihood_ratio_positive.through(
                lambda ratio: 1 - 1 / (1 + odds * ratio)
            ),
            npv=self.likelihood_ratio_negative.through(
                lambda ratio: 1 / (1 + odds * ratio)
            ),
        )


def confusion_at(
    y_true: ArrayLike, y_score: ArrayLike, *, threshold: float
) -> Confusion:
    """Returns the counts when scores at or above `threshold` are positive.

    Args:
        y_true: 0 or 1, shape `(n,)`.
        y_score: finite, shape `(n,)`.
        threshold: any number, infinite too.

    Raises:
        ValueError: a score is not finite, the threshold is nan, or shapes differ.
    """
    labels, scores = labels_and_scores(y_true, y_score)
    return _count(labels == 1, _positive(scores, threshold))


def rates(confusion: Confusion) -> Rates:
    """Returns the point values; a likelihood ratio to 0 is infinite.

    Emits one `UndefinedMetricWarning` for those that are nan.
    """
    c = confusion
    sensitivity, specificity = _over(c.tp, c.tp + c.fn), _over(c.tn, c.tn + c.fp)
    values = Rates(
        sensitivity=sensitivity,
        specificity=specificity,
        accuracy=_over(c.tp + c.tn, c.tp + c.tn + c.fp + c.fn),
        precision=_over(c.tp, c.tp + c.fp),
        npv=_over(c.tn, c.tn + c.fn),
        f1=_over(2 * c.tp, 2 * c.tp + c.fp + c.fn),
        likelihood_ratio_positive=_over(sensitivity, _over(c.fp, c.tn + c.fp)),
        likelihood_ratio_negative=_over(_over(c.fn, c.tp + c.fn), specificity),
    )
    warn_undefined(
        f.name for f in fields(values) if math.isnan(getattr(values, f.name))
    )
    return values


def operating_point(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    threshold: float,
    groups: ArrayLike | None = None,
) -> OperatingPoint:
    """Returns the rates at a threshold with their 95 % intervals.

    Without patients the intervals are Wilson's; with patients they are Wilson's for the
    effective number of films (`estimates.proportion`). F1 is a function of the
    proportion tp / (tp + fp + fn), and so is its interval. The likelihood ratios
    combine the intervals of sensitivity and specificity (`estimates.ratio`).

    Args:
        y_true: 0 or 1, shape `(n,)`.
        y_score: finite, shape `(n,)`.
        threshold: any number, infinite too.
        groups: patient of each film, shape `(n,)`.

    Raises:
        ValueError: as `confusion_at`, or there are not n patients.

    Reference:
        F1: Hand, Christen and Kirielle, Mach. Learn. 110 (2021) 451-456; the "Wilson
        indirect" interval of arXiv 2309.14621.
    """
    labels, scores = labels_and_scores(y_true, y_score)
    point = point_at(labels, scores, threshold, patient_codes(groups, labels.size))
    warn_undefined(undefined_fields(point))
    return point


def point_at(
    labels: Integers, scores: np.ndarray, threshold: float, patients: Integers | None
) -> OperatingPoint:
    """Returns what `operating_point` does, for checked arrays and without warning.

    Args:
        labels: 1 for pneumonia, 0 for normal, shape `(n,)`.
        scores: shape `(n,)`; at or above the threshold counts as positive.
        threshold: on the scale of the scores.
        patients: a code for the patient of each film, shape `(n,)`; None if no two
            films are of one patient.
    """
    ill, called = labels == 1, _positive(scores, threshold)
    right = ill == called
    sensitivity = proportion(called, ill, patients)
    specificity = proportion(~called, ~ill, patients)
    overlap = proportion(ill & called, ill | called, patients)
    return OperatingPoint(
        threshold=float(threshold),
        confusion=_count(ill, called),
        sensitivity=sensitivity,
        specificity=specificity,
        accuracy=proportion(right, np.ones_like(right), patients),
        precision=proportion(ill, called, patients),
        npv=proportion(~ill, ~called, patients),
        f1=overlap.through(lambda share: 2 * share / (1 + share)),
        likelihood_ratio_positive=ratio(sensitivity, specificity.through(_rest)),
        likelihood_ratio_negative=ratio(sensitivity.through(_rest), specificity),
    )


def undefined_fields(point: OperatingPoint) -> list[str]:
    """Returns the names of the estimates whose value is nan."""
    values = {f.name: getattr(point, f.name) for f in fields(point)}
    return [
        name
        for name, value in values.items()
        if isinstance(value, Estimate) and math.isnan(value.value)
    ]


def _positive(scores: np.ndarray, threshold: float) -> Mask:
    if math.isnan(threshold):
        raise ValueError(f"expected a number, received threshold={threshold}")
    return scores >= threshold


def _count(ill: Mask, called: Mask) -> Confusion:
    tp, positive, n_ill = int((ill & called).sum()), int(called.sum()), int(ill.sum())
    return Confusion(
        tn=ill.size - n_ill - positive + tp, fp=positive - tp, fn=n_ill - tp, tp=tp
    )


def _over(numerator: float, denominator: float) -> float:
    if denominator == 0:
        return math.inf if numerator > 0 else math.nan
    return numerator / denominator


def _rest(rate: float) -> float:
    return 1 - rate
