"""What every threshold costs, and the rules that choose one.

A rule is applied to the validation split only, once, for one model version. Chosen on
test films, a threshold makes their own figures look better than they will be.

Thresholds between two neighbouring scores give the same decisions. A rule returns the
middle between them, so that no film sits on the threshold and a last-digit difference
between two machines changes no decision.
"""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from cxr.evaluation.estimates import proportion, warn_undefined
from cxr.evaluation.inputs import (
    Floats,
    Integers,
    binary,
    finite,
    labels_and_scores,
    patient_codes,
    require_between,
    require_both_classes,
)
from cxr.evaluation.operating import OperatingPoint, point_at

# Rates are quotients of small integers: this absorbs rounding and nothing else.
TOLERANCE = 1e-12


@dataclass(frozen=True, kw_only=True, eq=False)
class OperatingCurve:
    """All decisions that the scores allow, from all positive to none positive.

    With K distinct scores there are K + 1; entry i calls those films positive whose
    score is at least the i-th smallest, the last entry none.

    Attributes:
        thresholds: rising, in the middle between neighbouring scores (0 and 1 at the
            ends), shape `(K + 1,)`. The last is just above 1 if a score is 1.
        true_positives: pneumonia films called positive, `int64`, shape `(K + 1,)`.
        false_positives: normal films called positive, `int64`, shape `(K + 1,)`.
        n_positive: pneumonia films.
        n_negative: normal films.
        labels: of the films, in the order they were given, shape `(n,)`.
        scores: of the films, shape `(n,)`.
        patients: number of each film's patient, shape `(n,)`, or None.
    """

    thresholds: Floats
    true_positives: Integers
    false_positives: Integers
    n_positive: int
    n_negative: int
    labels: Integers = field(repr=False)
    scores: Floats = field(repr=False)
    patients: Integers | None = field(repr=False)

    @property
    def sensitivity(self) -> Floats:
        """Falling from 1 to 0, shape `(K + 1,)`; nan without pneumonia films."""
        return _over(self.true_positives, self.n_positive)

    @property
    def specificity(self) -> Floats:
        """Rising from 0 to 1, shape `(K + 1,)`; nan without normal films."""
        return _over(self.n_negative - self.false_positives, self.n_negative)

    @property
    def precision(self) -> Floats:
        """Shape `(K + 1,)`; the last is nan, where nothing is called positive."""
        return _over(self.true_positives, self.true_positives + self.false_positives)

    @property
    def npv(self) -> Floats:
        """Shape `(K + 1,)`; the first is nan, where nothing is called negative."""
        right = self.n_negative - self.false_positives
        return _over(right, right + self.n_positive - self.true_positives)

    @property
    def accuracy(self) -> Floats:
        """Shape `(K + 1,)`."""
        right = self.true_positives + self.n_negative - self.false_positives
        return right / (self.n_positive + self.n_negative)

    @property
    def f1(self) -> Floats:
        """Shape `(K + 1,)`; nan without pneumonia films where none is called so."""
        called = self.true_positives + self.false_positives
        return _over(2 * self.true_positives, called + self.n_positive)

    def at(self, threshold: float) -> OperatingPoint:
        """Returns the rates and their 95 % intervals at any threshold.

        The same as `operating_point`, without checking the films again and without a
        warning for what is undefined: about a millisecond for 1,000 films.

        Raises:
            ValueError: the threshold is nan.
        """
        return point_at(self.labels, self.scores, threshold, self.patients)


@dataclass(frozen=True, kw_only=True, eq=False)
class DecisionCurve:
    """Net benefit of acting on the model, against acting on all or on none.

    Attributes:
        thresholds: probabilities of pneumonia from which one would act, shape `(k,)`.
        model: net benefit of acting at or above each, shape `(k,)`.
        treat_all: net benefit of acting on every patient, shape `(k,)`.
        treat_none: zeros, shape `(k,)`.
        prevalence: for which these hold.
    """

    thresholds: Floats
    model: Floats
    treat_all: Floats
    treat_none: Floats
    prevalence: float


def operating_points(
    y_true: ArrayLike, y_score: ArrayLike, *, groups: ArrayLike | None = None
) -> OperatingCurve:
    """Returns the curve over all thresholds, for ROC, precision-recall and a slider.

    Args:
        y_true: 0 or 1, shape `(n,)`.
        y_score: probabilities, shape `(n,)`.
        groups: patient of each film, shape `(n,)`, for the intervals of `at`.

    Raises:
        ValueError: an array is not of this kind.
    """
    labels, scores = labels_and_scores(y_true, y_score, probabilities=True)
    distinct, place = np.unique(scores, return_inverse=True)
    n_positive = int(labels.sum())
    warn_undefined(
        name
        for name, n in (
            ("sensitivity", n_positive),
            ("specificity", labels.size - n_positive),
        )
        if n == 0
    )
    return OperatingCurve(
        thresholds=_middles(distinct),
        true_positives=_at_or_above(place[labels == 1], distinct.size),
        false_positives=_at_or_above(place[labels == 0], distinct.size),
        n_positive=n_positive,
        n_negative=labels.size - n_positive,
        labels=labels,
        scores=scores,
        patients=patient_codes(groups, labels.size),
    )


def threshold_for_sensitivity(
    y_true: ArrayLike, y_score: ArrayLike, *, target: float
) -> float:
    """Returns the highest threshold that keeps a sensitivity. Validation split only.

    The threshold with the fewest false alarms among those whose sensitivity, in these
    films, is at least `target`. On other films it is lower about half of the time.

    Args:
        y_true: 0 or 1, both present, shape `(n,)`.
        y_score: probabilities, shape `(n,)`.
        target: above 0, at most 1.

    Raises:
        ValueError: a class is missing, or the target is out of range.
    """
    _require_target(target)
    curve = _curve(y_true, y_score)
    reached = np.flatnonzero(curve.sensitivity >= target - TOLERANCE)
    return float(curve.thresholds[reached[-1]])


def threshold_for_assured_sensitivity(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    target: float,
    assured: float,
    groups: ArrayLike | None = None,
) -> float:
    """Returns the highest threshold with an assured sensitivity. Validation split only.

    In these films the sensitivity is at least `target` and the lower limit of its 95 %
    interval at least `assured`. A threshold that just reaches a sensitivity falls short
    of it on other films about half of the time; this one rarely falls below `assured`.
    Where so few films can't assure that much, the highest threshold that misses none.

    Args:
        y_true: 0 or 1, both present, shape `(n,)`.
        y_score: probabilities, shape `(n,)`.
        target: above 0, at most 1.
        assured: above 0, at most `target`.
        groups: patient of each film, shape `(n,)`; widens the interval.

    Raises:
        ValueError: a class is missing, or a target is out of range.
    """
    _require_target(target)
    _require_target(assured)
    labels = binary(y_true, name="y_true")
    require_both_classes(labels)
    patients = patient_codes(groups, labels.size)
    n_positive = int(labels.sum())
    for caught in range(math.ceil(target * n_positive - TOLERANCE), n_positive + 1):
        threshold = threshold_for_sensitivity(
            labels, y_score, target=caught / n_positive
        )
        hits = np.asarray(y_score) >= threshold
        if proportion(hits, labels == 1, patients).low >= assured:
            break
    return threshold


def threshold_for_assured_specificity(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    assured: float,
    groups: ArrayLike | None = None,
) -> float:
    """Returns the lowest threshold with an assured specificity. Validation split only.

    In these films the lower limit of its 95 % interval is at least `assured`. Where so
    few films can't assure that much, the lowest threshold without a false alarm.

    Args:
        y_true: 0 or 1, both present, shape `(n,)`.
        y_score: probabilities, shape `(n,)`.
        assured: above 0, at most 1.
        groups: patient of each film, shape `(n,)`; widens the interval.

    Raises:
        ValueError: a class is missing, or the target is out of range.
    """
    _require_target(assured)
    labels = binary(y_true, name="y_true")
    require_both_classes(labels)
    patients = patient_codes(groups, labels.size)
    n = int((labels == 0).sum())
    for spared in range(math.ceil(assured * n - TOLERANCE), n + 1):
        threshold = threshold_for_specificity(labels, y_score, target=spared / n)
        below = np.asarray(y_score) < threshold
        if proportion(below, labels == 0, patients).low >= assured:
            break
    return threshold


def threshold_for_specificity(
    y_true: ArrayLike, y_score: ArrayLike, *, target: float
) -> float:
    """Returns the lowest threshold that reaches a specificity. Validation split only.

    Args:
        y_true: 0 or 1, both present, shape `(n,)`.
        y_score: probabilities, shape `(n,)`.
        target: above 0, at most 1.

    Raises:
        ValueError: a class is missing, or the target is out of range.
    """
    _require_target(target)
    curve = _curve(y_true, y_score)
    reached = np.flatnonzero(curve.specificity >= target - TOLERANCE)
    return float(curve.thresholds[reached[0]])


def threshold_for_misses(
    y_true: ArrayLike, y_score: ArrayLike, *, per_1000: float, prevalence: float
) -> float:
    """Returns the highest threshold that misses few enough. Validation split only.

    Args:
        y_true: 0 or 1, both present, shape `(n,)`.
        y_score: probabilities, shape `(n,)`.
        per_1000: misses among 1,000 patients, ill and well together; at least 0 and
            fewer than are ill.
        prevalence: share of the patients who are ill, between 0 and 1.

    Raises:
        ValueError: a class is missing, or a number is out of range.
    """
    require_between(prevalence, 0, 1, name="prevalence")
    if not 0 <= per_1000 < 1000 * prevalence:
        raise ValueError(
            f"expected at least 0 and fewer misses than the {1000 * prevalence:g} ill "
            f"among 1,000, received per_1000={per_1000}"
        )
    target = 1 - per_1000 / (1000 * prevalence)
    return threshold_for_sensitivity(y_true, y_score, target=target)


def threshold_for_costs(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    cost_miss: float,
    cost_false_alarm: float,
    prevalence: float,
) -> float:
    """Returns the threshold of least expected cost. Validation split only.

    cost_miss * prevalence * (1 - sensitivity) + cost_false_alarm * (1 - prevalence) *
    (1 - specificity); of equals the lowest threshold, which misses least.

    Args:
        y_true: 0 or 1, both present, shape `(n,)`.
        y_score: probabilities, shape `(n,)`.
        cost_miss: of one miss, above 0, in any unit.
        cost_false_alarm: of one false alarm, above 0, in the same unit.
        prevalence: share of the patients who are ill, between 0 and 1.

    Raises:
        ValueError: a class is missing, or a number is out of range.
    """
    require_between(cost_miss, 0, np.inf, name="cost_miss")
    require_between(cost_false_alarm, 0, np.inf, name="cost_false_alarm")
    require_between(prevalence, 0, 1, name="prevalence")
    curve = _curve(y_true, y_score)
    cost = cost_miss * prevalence * (1 - curve.sensitivity)
    cost += cost_false_alarm * (1 - prevalence) * (1 - curve.specificity)
    return _lowest_best(curve, -cost)


def threshold_youden(y_true: ArrayLike, y_score: ArrayLike) -> float:
    """Returns the threshold of largest sensitivity + specificity. Validation only.

    Of equals the lowest, which misses least.

    Args:
        y_true: 0 or 1, both present, shape `(n,)`.
        y_score: probabilities, shape `(n,)`.

    Raises:
        ValueError: a class is missing.

    Reference:
        Youden, Cancer 3 (1950) 32-35.
    """
    curve = _curve(y_true, y_score)
    return _lowest_best(curve, curve.sensitivity + curve.specificity)


def decision_curve(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    thresholds: ArrayLike,
    prevalence: float | None = None,
) -> DecisionCurve:
    """Returns the net benefit over thresholds, in true positives per patient.

    prevalence * sensitivity - (1 - prevalence) * (1 - specificity) * t / (1 - t): who
    acts from a probability t on weighs a false alarm as t / (1 - t) of a miss.

    Args:
        y_true: 0 or 1, both present, shape `(n,)`.
        y_score: probabilities, shape `(n,)`. For another prevalence, give those of
            `calibration.at_prevalence`.
        thresholds: between 0 and 1, 1 excluded, shape `(k,)`.
        prevalence: between 0 and 1; the films' own when None.

    Raises:
        ValueError: a class is missing, or a number is out of range.

    Reference:
        Vickers and Elkin, Med. Decis. Making 26 (2006) 565-574.
    """
    labels, scores = labels_and_scores(y_true, y_score, probabilities=True)
    require_both_classes(labels)
    t = finite(thresholds, name="thresholds")
    if t.min() < 0 or t.max() >= 1:
        raise ValueError(f"expected numbers from 0 to below 1, received thresholds={t}")
    if prevalence is None:
        prevalence = float(labels.mean())
    require_between(prevalence, 0, 1, name="prevalence")
    ill, well = np.sort(scores[labels == 1]), np.sort(scores[labels == 0])
    sensitivity = 1 - np.searchsorted(ill, t, side="left") / ill.size
    false_alarms = 1 - np.searchsorted(well, t, side="left") / well.size
    harm = (1 - prevalence) * t / (1 - t)
    return DecisionCurve(
        thresholds=t,
        model=prevalence * sensitivity - harm * false_alarms,
        treat_all=prevalence - harm,
        treat_none=np.zeros_like(t),
        prevalence=prevalence,
    )


def _over(numerator: Integers, denominator: Integers | int) -> Floats:
    return numerator / np.where(np.asarray(denominator) > 0, denominator, np.nan)


def _middles(distinct: Floats) -> Floats:
    below, above = np.append(0.0, distinct), np.append(distinct, 1.0)
    middle = below + (above - below) / 2
    # Between neighbouring floating-point numbers there is no middle.
    middle = np.where(middle > below, middle, above)
    if distinct[-1] == 1:
        middle[-1] = np.nextafter(1.0, 2.0)
    return middle


def _at_or_above(place: Integers, n_distinct: int) -> Integers:
    counts = np.bincount(place, minlength=n_distinct + 1)
    return np.cumsum(counts[::-1])[::-1]


def _require_target(target: float) -> None:
    if not 0 < target <= 1:
        raise ValueError(f"expected above 0 and at most 1, received target={target}")


def _curve(y_true: ArrayLike, y_score: ArrayLike) -> OperatingCurve:
    require_both_classes(labels_and_scores(y_true, y_score)[0])
    return operating_points(y_true, y_score)


def _lowest_best(curve: OperatingCurve, gain: Floats) -> float:
    best = np.flatnonzero(gain >= gain.max() - TOLERANCE * np.abs(gain).max())
    return float(curve.thresholds[best[0]])
