"""Whether probabilities mean what they say: Brier score, calibration error, curve."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from cxr.evaluation.estimates import (
    Estimate,
    independent_films,
    proportion,
    score_estimate,
)
from cxr.evaluation.inputs import Floats, Integers, labels_and_scores, patient_codes

N_BINS = 15


@dataclass(frozen=True, kw_only=True, eq=False)
class ReliabilityCurve:
    """Predicted against observed share of pneumonia, in bins of equal width.

    Attributes:
        edges: bin i is `(edges[i], edges[i + 1]]`, the first with 0; `(n_bins + 1,)`.
        counts: films in each bin, `int64`, shape `(n_bins,)`.
        predicted: mean probability in each bin; nan where empty.
        observed: share of pneumonia films in each bin; nan where empty.
        low: lower 95 % limit of `observed`; nan where empty.
        high: upper 95 % limit, likewise.
    """

    edges: Floats
    counts: Integers
    predicted: Floats
    observed: Floats
    low: Floats
    high: Floats


def brier_loss(y_true: ArrayLike, y_score: ArrayLike) -> float:
    """Returns the mean squared difference of label and probability, in `[0, 1]`.

    Reference:
        Brier, Monthly Weather Review 78 (1950) 1-3, for two classes, counted once.
    """
    labels, scores = labels_and_scores(y_true, y_score, probabilities=True)
    return float(((scores - labels) ** 2).mean())


def expected_calibration_error(
    y_true: ArrayLike, y_score: ArrayLike, *, n_bins: int = N_BINS
) -> float:
    """Returns the mean distance of predicted and observed share, in `[0, 1]`.

    Bins of equal width, weighted by their films. The value depends on the bins and is
    above 0 for perfectly calibrated scores of a finite sample: compare it only with
    values from equal bins and similar numbers of films.

    Args:
        y_true: 0 or 1, shape `(n,)`.
        y_score: probabilities, shape `(n,)`.
        n_bins: at least 1.

    Reference:
        Guo et al., ICML 2017, eq. 3, for the probability of pneumonia.
    """
    labels, scores = labels_and_scores(y_true, y_score, probabilities=True)
    return float(np.abs(calibration_gaps(labels, scores, n_bins=n_bins)).sum())


def reliability_curve(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    n_bins: int = N_BINS,
    groups: ArrayLike | None = None,
) -> ReliabilityCurve:
    """Returns the reliability diagram's points, with intervals as for any proportion.

    Args:
        y_true: 0 or 1, shape `(n,)`.
        y_score: probabilities, shape `(n,)`.
        n_bins: at least 1.
        groups: patient of each film, shape `(n,)`.
    """
    labels, scores = labels_and_scores(y_true, y_score, probabilities=True)
    patients = patient_codes(groups, labels.size)
    bins = _bins(scores, n_bins)
    counts = np.bincount(bins, minlength=n_bins)
    observed = [proportion(labels == 1, bins == i, patients) for i in range(n_bins)]
    return ReliabilityCurve(
        edges=np.linspace(0, 1, n_bins + 1),
        counts=counts,
        predicted=np.bincount(bins, scores, n_bins) / np.where(counts, counts, np.nan),
        observed=np.array([share.value for share in observed]),
        low=np.array([share.low for share in observed]),
        high=np.array([share.high for share in observed]),
    )


def brier_estimate(
    labels: Integers, scores: Floats, patients: Integers | None, draws: Floats
) -> Estimate:
    """Returns the Brier score with its score interval.

    The variance is that of the bootstrap, averaged (`estimates.score_estimate`) with
    that of a loss of only 0 or 1. It rests on the films that lose more than the mean.

    Args:
        labels: shape `(n,)`.
        scores: probabilities, shape `(n,)`.
        patients: number of each film's patient, shape `(n,)`, or None.
        draws: the Brier score of resampled films, shape `(n_bootstrap,)`; without
            draws the limits are nan.
    """
    loss = (scores - labels) ** 2
    value = float(loss.mean())
    if not draws.size:
        return Estimate(value=value, low=math.nan, high=math.nan)
    if patients is None:
        patients = np.arange(labels.size)
    scale = value * (1 - value)
    return score_estimate(
        value,
        inverse_size=float(draws.var()) / scale if scale else math.nan,
        worst_inverse_size=1 / independent_films(patients),
        events=np.unique(patients[loss >= value]).size,
    )


def calibration_error_estimate(
    labels: Integers,
    scores: Floats,
    patients: Integers | None,
    gap_draws: Floats,
    draws_if_right: Floats,
) -> Estimate:
    """Returns the expected calibration error with its interval.

    The value is that of the films, as everybody computes it. Chance adds to it: also
    calibrated probabilities have an error above 0 in a sample. The interval is for the
    error that endlessly many films of this kind would have, in the same bins. It is a
    score interval around the value without its chance part (`_without_chance`), with
    the variance of the gaps over resampled patients. It starts lower where a sample
    of a smaller error would show this value in one of twenty (gaps shrunk in
    proportion), and at 0 where calibrated probabilities would. It never leaves out the
    value itself at its upper end.

    Args:
        labels: shape `(n,)`.
        scores: probabilities, shape `(n,)`.
        patients: number of each film's patient, shape `(n,)`, or None.
        gap_draws: `calibration_gaps` of resampled films, shape `(n_bootstrap, n_bins)`;
            without draws the limits are nan.
        draws_if_right: `calibration_errors_if_right`, shape `(n_bootstrap,)`.

    Reference:
        Broecker, Clim. Dyn. 39 (2012) 655-667 (chance part of the error); Carpenter, J.
        R. Stat. Soc. B 61 (1999) 159-172 (test-inversion bootstrap); Broecker and
        Smith, Weather Forecast. 22 (2007) 651-661 (labels drawn from probabilities).
    """
    gaps = calibration_gaps(labels, scores, n_bins=gap_draws.shape[1])
    value = float(np.abs(gaps).sum())
    if not gap_draws.size:
        return Estimate(value=value, low=math.nan, high=math.nan)
    if patients is None:
        patients = np.arange(labels.size)
    noise = gap_draws - gaps
    scale = value * (1 - value)
    around = score_estimate(
        _without_chance(gaps, noise.std(axis=0)),
        inverse_size=float((noise @ np.sign(gaps)).var()) / scale
        if scale
        else math.nan,
        worst_inverse_size=1 / independent_films(patients),
        events=np.unique(patients[np.abs(scores - labels) >= 0.5]).size,
    )
    low = min(around.low, _least_error(gaps, noise, draws_if_right))
    return Estimate(value=value, low=min(low, value), high=max(around.high, value))


def calibration_gaps(
    labels: Integers, scores: Floats, *, n_bins: int = N_BINS
) -> Floats:
    """Returns the mean of label - probability in each bin times its share of the films.

    Args:
        labels: shape `(n,)`.
        scores: probabilities, shape `(n,)`.
        n_bins: bins of equal width.

    Returns:
        Shape `(n_bins,)`; their absolute values sum to the calibration error.
    """
    return np.bincount(_bins(scores, n_bins), labels - scores, n_bins) / labels.size


def gap_sums(
    labels: Integers, scores: Floats, patients: Integers, *, n_bins: int = N_BINS
) -> Floats:
    """Returns the sum of label - probability of each patient in each bin.

    Args: as `calibration_gaps`, with the number of each film's patient.

    Returns:
        Shape `(n_patients, n_bins)`.
    """
    place = patients * n_bins + _bins(scores, n_bins)
    size = (int(patients.max()) + 1) * n_bins
    sums = np.bincount(place, labels - scores, size).astype(np.float64)
    return sums.reshape(-1, n_bins)


def calibration_errors_if_right(
    scores: Floats, patients: Integers, luck: Floats, *, n_bins: int = N_BINS
) -> Floats:
    """Returns the errors that probabilities show by chance when they are right.

    Args:
        scores: probabilities, shape `(n,)`.
        patients: number of each film's patient, shape `(n,)`.
        luck: evenly drawn from `[0, 1)`, shape `(b, n_patients)`; a film is ill where
            its patient's number is below its probability, so that films of a patient
            differ as little as they can.
        n_bins: bins of equal width.

    Returns:
        Shape `(b,)`.
    """
    bins = _bins(scores, n_bins)
    order = np.argsort(bins, kind="stable")
    starts = np.flatnonzero(np.diff(bins[order], prepend=-1))
    ill = luck[:, patients[order]] < scores[order]
    observed = np.add.reduceat(ill, starts, axis=1, dtype=np.int64)
    expected = np.add.reduceat(scores[order], starts)
    return np.abs(observed - expected).sum(axis=1) / scores.size


def _without_chance(gaps: Floats, spread: Floats) -> float:
    """Returns the sum of the gaps' sizes that would, on average, show as these.

    A gap of size a with normal noise of spread s shows as a folded normal of the mean
    s sqrt(2 / pi) exp(-a^2 / 2 s^2) + a erf(a / s sqrt(2)), solved here for a.
    """
    size = np.linspace(0, 5, 501)
    erf = np.array([math.erf(x / math.sqrt(2)) for x in size])
    shown = math.sqrt(2 / math.pi) * np.exp(-(size**2) / 2) + size * erf
    seen = np.abs(gaps)
    ratio = np.divide(seen, spread, out=np.full_like(seen, 9.0), where=spread > 0)
    sizes = np.where(ratio >= size[-1], seen, np.interp(ratio, shown, size) * spread)
    return float(sizes.sum())


def _least_error(gaps: Floats, noise: Floats, draws_if_right: Floats) -> float:
    value = float(np.abs(gaps).sum())
    if value <= np.quantile(draws_if_right, 0.95):
        return 0.0
    for share in np.linspace(0, 1, 21):
        if value <= np.quantile(np.abs(share * gaps + noise).sum(axis=1), 0.95):
            return float(share) * value
    return value


def _bins(scores: Floats, n_bins: int) -> Integers:
    if n_bins < 1:
        raise ValueError(f"expected at least one bin, received n_bins={n_bins}")
    return np.digitize(scores, np.linspace(0, 1, n_bins + 1)[1:-1], right=True)
