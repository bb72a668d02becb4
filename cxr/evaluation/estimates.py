"""Numbers with a 95 % interval, and the intervals themselves.

All intervals of values in `[0, 1]` are score intervals (Wilson 1927) for an effective
number of films: the number of independent films that would give a value as uncertain
as this one. With films that stand alone it is the number of films. With several films
of a patient it is smaller, by the design effect.

A sample with few errors says little about its own variance, and one without errors
nothing: a bootstrap or DeLong interval there has almost no width. The estimated
variance is therefore averaged with the largest that the sample allows, as if
`PRIOR_EVENTS` more errors had been seen that followed it. The weight is our own choice,
by simulation with 40 to 620 films alone or in patients: for true rates up to 0.99 and
AUCs up to 0.9998 the intervals held the truth in 93 to 99 % of the samples, where
DeLong's own held it in as few as 26 %.
"""

import math
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cxr.evaluation.inputs import Floats, Integers

Z95 = 1.959963984540054  # 0.975 quantile of the standard normal distribution
PRIOR_EVENTS = 2

Mask = NDArray[np.bool_]


class UndefinedMetricWarning(UserWarning):
    """Says which metrics the data leave undefined; their values are nan.

    Our own class, so that importing it does not load scikit-learn.
    """


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A value and its 95 % interval.

    Attributes:
        value: nan where undefined. A ratio to 0 is infinite.
        low: lower limit; nan where the interval is undefined or was not asked for.
        high: upper limit, likewise.
    """

    value: float
    low: float
    high: float

    def through(self, function: Callable[[float], float]) -> "Estimate":
        """Returns the estimate after a monotone function, rising or falling."""
        low, high = function(self.low), function(self.high)
        if low > high:
            low, high = high, low
        return Estimate(value=function(self.value), low=low, high=high)


UNDEFINED = Estimate(value=math.nan, low=math.nan, high=math.nan)


def wilson(successes: ArrayLike, n: ArrayLike) -> tuple[Floats, Floats]:
    """Returns the 95 % Wilson limits of `successes` in `n`, elementwise.

    Args:
        successes: counts, any shape.
        n: trials, same shape; where 0, the limits are nan.

    Returns:
        Lower and upper limits in `[0, 1]`, `float64`, of that shape.

    Reference:
        Wilson, JASA 22 (1927) 209-212.
    """
    size = np.asarray(n, dtype=np.float64)
    size = np.where(size > 0, size, np.nan)
    limits = np.vectorize(score_limits, otypes=[np.float64, np.float64])
    low, high = limits(np.asarray(successes, dtype=np.float64) / size, size)
    return low, high


def score_limits(value: float, size: float) -> tuple[float, float]:
    """Returns the 95 % score limits of values in `[0, 1]` from `size` films.

    Where |p - value| = z sqrt(p (1 - p) / size), solved for p.
    """
    if math.isnan(value):
        return math.nan, math.nan
    scale = 1 + Z95**2 / size
    centre = (value + Z95**2 / (2 * size)) / scale
    half = math.sqrt(value * (1 - value) / size + (Z95 / (2 * size)) ** 2) * Z95 / scale
    # At the ends the limit is the end itself, which rounding would miss.
    low = 0.0 if value == 0 else max(centre - half, 0.0)
    high = 1.0 if value == 1 else min(centre + half, 1.0)
    return low, high


def score_estimate(
    value: float, *, inverse_size: float, worst_inverse_size: float, events: int
) -> Estimate:
    """Returns a value in `[0, 1]` with its score interval.

    Args:
        value: in `[0, 1]`.
        inverse_size: 1 / effective films, from the variance in the sample: variance /
            (value (1 - value)); nan where the sample has none.
        worst_inverse_size: the same for the largest variance that is possible.
        events: how many patients (films, without patients) the variance rests on: those
            with an outcome of the rarer kind.
    """
    if math.isnan(inverse_size):
        inverse, events = worst_inverse_size, 0
    else:
        inverse = inverse_size
    worst = max(worst_inverse_size, inverse)
    mean = (events * inverse + PRIOR_EVENTS * worst) / (events + PRIOR_EVENTS)
    low, high = score_limits(value, 1 / mean)
    return Estimate(value=value, low=low, high=high)


def proportion(success: Mask, trial: Mask, patients: Integers | None) -> Estimate:
    """Returns the fraction of successes among trials; undefined without trials.

    With patients, the design effect is that of the ratio estimator over patients,
    never below 1, so the interval is never narrower than Wilson's. With x successes in
    t trials of each of m patients, N trials together and p = sum(x) / N:

        design effect = m / (m - 1) * sum((x - p t)^2) / N^2 / (p (1 - p) / (N - 1))

    Its largest value, when all films of a patient share one outcome, is sum(t^2) / N.

    Args:
        success: shape `(n,)`; counts only where `trial` is set.
        trial: shape `(n,)`.
        patients: number of each film's patient, shape `(n,)`, or None.

    Reference:
        Cochran, Sampling Techniques, 3rd ed. (1977), chapter 6 (ratio estimator);
        Kish, Survey Sampling (1965) (design effect);
        Franco et al., J. Surv. Stat. Methodol. 7 (2019) 334-364 (Wilson's interval for
        an effective size).
    """
    n, successes = int(trial.sum()), int((success & trial).sum())
    if n == 0:
        return UNDEFINED
    if patients is None:
        low, high = score_limits(successes / n, n)
        return Estimate(value=successes / n, low=low, high=high)
    trials = np.bincount(patients[trial])
    hits = np.bincount(patients[success & trial], minlength=trials.size)
    hits, trials = hits[trials > 0], trials[trials > 0]
    return score_estimate(
        successes / n,
        inverse_size=_design_effect(hits, trials) / n,
        worst_inverse_size=1 / independent_films(patients[trial]),
        events=int(min((hits > 0).sum(), (hits < trials).sum())),
    )


def ratio(numerator: Estimate, denominator: Estimate) -> Estimate:
    """Returns the quotient of two independent estimates that are not negative.

    The interval comes from both intervals (MOVER-R). A quotient by 0 is infinite but
    keeps a finite lower limit; 0 / 0 is undefined.

    Reference:
        Donner and Zou, Stat. Methods Med. Res. 21 (2012) 347-359; Newcombe, Stat.
        Methods Med. Res. 25 (2016) 1774-1778.
    """
    a, b = numerator.value, denominator.value
    if math.isnan(a) or math.isnan(b) or a == b == 0:
        return UNDEFINED
    lower_square = numerator.low * (2 * a - numerator.low)
    lower_scale = denominator.high * (2 * b - denominator.high)
    upper_square = numerator.high * (2 * a - numerator.high)
    upper_scale = denominator.low * (2 * b - denominator.low)
    # The lower limit is written without its difference of near-equal terms.
    root = math.sqrt(max((a * b) ** 2 - lower_square * lower_scale, 0))
    low = lower_square / (a * b + root) if lower_square else 0.0
    root = math.sqrt(max((a * b) ** 2 - upper_square * upper_scale, 0))
    high = (a * b + root) / upper_scale if upper_scale else math.inf
    return Estimate(value=a / b if b else math.inf, low=low, high=high)


def weighted_sum(*parts: tuple[float, Estimate]) -> Estimate:
    """Returns the sum of independent estimates, each times a weight of at least 0.

    The interval comes from the intervals of the parts (MOVER).

    Args:
        parts: weight and estimate of each.

    Reference:
        Zou and Donner, Stat. Med. 27 (2008) 1693-1702.
    """
    value = sum(weight * part.value for weight, part in parts)
    below = math.hypot(*(w * (part.value - part.low) for w, part in parts))
    above = math.hypot(*(w * (part.high - part.value) for w, part in parts))
    return Estimate(value=value, low=value - below, high=value + above)


def independent_films(patients: Integers) -> float:
    """Returns the effective number of films when those of a patient all agree.

    Args:
        patients: number of each film's patient, shape `(n,)`.

    Reference:
        Kish, Survey Sampling (1965).
    """
    return float(patients.size**2 / (np.bincount(patients) ** 2).sum())


def warn_undefined(names: Iterable[str]) -> None:
    """Emits one `UndefinedMetricWarning` that lists the metrics, if any."""
    if listed := ", ".join(names):
        warnings.warn(
            f"not defined for these films: {listed}",
            UndefinedMetricWarning,
            stacklevel=3,
        )


def _design_effect(hits: np.ndarray, trials: np.ndarray) -> float:
    m, n, p = trials.size, trials.sum(), hits.sum() / trials.sum()
    if m < 2 or p in (0, 1):
        return math.nan
    residual = ((hits - p * trials) ** 2).sum()
    return max(1.0, float((n - 1) * m / (m - 1) * residual / (n**2 * p * (1 - p))))
