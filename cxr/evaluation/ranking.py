"""How well the scores order the films: AUC and average precision.

The area under the ROC curve is the share of all pairs of a pneumonia film and a normal
film in which the pneumonia film has the higher score; equal scores count half. Its
variance follows from each film's own share of won pairs, its structural component
(DeLong), summed within patients (Obuchowski).
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from cxr.evaluation.estimates import (
    UNDEFINED,
    Estimate,
    independent_films,
    score_estimate,
    warn_undefined,
)
from cxr.evaluation.inputs import Floats, Integers, labels_and_scores


@dataclass(frozen=True, kw_only=True, eq=False)
class Components:
    """Structural components: how each film does against those of the other class.

    Attributes:
        positive: share of the normal films that each pneumonia film beats, shape
            `(n_positive,)`.
        negative: share of the pneumonia films that beat each normal film, shape
            `(n_negative,)`.
        positive_patients: patient of each pneumonia film, shape `(n_positive,)`.
        negative_patients: patient of each normal film, shape `(n_negative,)`.
    """

    positive: Floats
    negative: Floats
    positive_patients: Integers
    negative_patients: Integers

    @property
    def auc(self) -> float:
        """The area under the ROC curve."""
        return float(self.positive.mean())

    def minus(self, other: "Components") -> "Components":
        """Returns the components of the difference of two AUCs on the same films."""
        return replace(
            self,
            positive=self.positive - other.positive,
            negative=self.negative - other.negative,
        )


def auc_score(y_true: ArrayLike, y_score: ArrayLike) -> float:
    """Returns the area under the ROC curve; nan, with a warning, for one class."""
    labels, scores = labels_and_scores(y_true, y_score)
    if labels.min() == labels.max():
        warn_undefined(["auc"])
        return math.nan
    return components(labels, scores, None).auc


def average_precision_score(y_true: ArrayLike, y_score: ArrayLike) -> float:
    """Returns the area under the precision-recall steps, without interpolation.

    The mean of the precision at each pneumonia film, equal scores taken together. nan,
    with a warning, for one class: without normal films every order is perfect.
    """
    labels, scores = labels_and_scores(y_true, y_score)
    if labels.min() == labels.max():
        warn_undefined(["average_precision"])
        return math.nan
    unit = np.ones((1, labels.size))
    return float(weighted_average_precision(labels, scores, unit)[0])


def components(
    labels: Integers, scores: Floats, patients: Integers | None
) -> Components:
    """Returns the structural components, in O(n log n).

    Args:
        labels: both classes, shape `(n,)`.
        scores: shape `(n,)`.
        patients: number of each film's patient, or None for films that stand alone.

    Reference:
        DeLong et al., Biometrics 44 (1988) 837-845; by ranks as in Sun and Xu, IEEE
        Signal Process. Lett. 21 (2014) 1389-1393.
    """
    ill = labels == 1
    if patients is None:
        patients = np.arange(labels.size)
    return Components(
        positive=_share_below(scores[~ill], scores[ill]),
        negative=1 - _share_below(scores[ill], scores[~ill]),
        positive_patients=patients[ill],
        negative_patients=patients[~ill],
    )


def auc_variance(parts: Components) -> float:
    """Returns the variance of an AUC, or of the difference of two.

    nan when a class has films of fewer than two patients. With each film a patient of
    its own this is DeLong's variance.

    Reference:
        Obuchowski, Biometrics 53 (1997) 567-578.
    """
    positive, n_positive = _patient_sums(parts.positive, parts.positive_patients, parts)
    negative, n_negative = _patient_sums(parts.negative, parts.negative_patients, parts)
    if min(n_positive, n_negative) < 2:
        return math.nan
    n = np.union1d(parts.positive_patients, parts.negative_patients).size
    variance = (
        n_positive / (n_positive - 1) * (positive @ positive)
        + n_negative / (n_negative - 1) * (negative @ negative)
        + 2 * n / (n - 1) * (positive @ negative)
    )
    # The last term can be negative and, with few patients, the largest.
    return max(float(variance), 0.0)


def auc_estimate(
    labels: Integers, scores: Floats, patients: Integers | None
) -> Estimate:
    """Returns the AUC with its score interval; undefined for one class.

    The variance is Obuchowski's, averaged (`estimates.score_estimate`) with Hanley and
    McNeil's for the effective numbers of films when all films of a patient agree.

    Args:
        labels: 1 for pneumonia, 0 for normal, shape `(n,)`.
        scores: shape `(n,)`, on any scale.
        patients: a code for the patient of each film, shape `(n,)`; None if no two
            films are of one patient.

    Reference:
        Hanley and McNeil, Radiology 143 (1982) 29-36, in the symmetric form of
        Newcombe, Stat. Med. 25 (2006) 559-573, method 5.
    """
    if labels.min() == labels.max():
        return UNDEFINED
    parts = components(labels, scores, patients)
    auc, variance = parts.auc, auc_variance(parts)
    scale = auc * (1 - auc)
    return score_estimate(
        auc,
        inverse_size=variance / scale if scale else math.nan,
        worst_inverse_size=_hanley_mcneil(auc, parts),
        events=misordered_patients(parts),
    )


def average_precision_estimate(
    labels: Integers, scores: Floats, patients: Integers | None, draws: Floats
) -> Estimate:
    """Returns the average precision with its score interval; undefined for one class.

    The variance is that of the bootstrap, averaged (`estimates.score_estimate`) with
    the binomial one for the effective number of pneumonia films.

    Args:
        labels: shape `(n,)`.
        scores: shape `(n,)`.
        patients: number of each film's patient, shape `(n,)`, or None.
        draws: the average precision of resampled films, shape `(n_bootstrap,)`; nan
            where a draw had no pneumonia film. Without draws the limits are nan.

    Reference:
        Boyd, Eng and Page, ECML PKDD 2013, LNCS 8190, 451-466 (binomial interval).
    """
    if labels.min() == labels.max():
        return UNDEFINED
    unit = np.ones((1, labels.size))
    value = float(weighted_average_precision(labels, scores, unit)[0])
    known = draws[np.isfinite(draws)]
    if not draws.size:
        return Estimate(value=value, low=math.nan, high=math.nan)
    parts = components(labels, scores, patients)
    scale, enough = value * (1 - value), known.size > 1
    return score_estimate(
        value,
        inverse_size=float(known.var()) / scale if scale and enough else math.nan,
        worst_inverse_size=1 / independent_films(parts.positive_patients),
        events=misordered_patients(parts),
    )


def weighted_average_precision(
    labels: Integers, scores: Floats, weights: Floats
) -> Floats:
    """Returns the average precision for each row of film weights, shape `(b,)`.

    Args:
        labels: shape `(n,)`.
        scores: shape `(n,)`.
        weights: how often each film counts, shape `(b, n)`.
    """
    order = np.argsort(-scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=np.inf))
    drawn = weights[:, order]
    return average_precisions(
        np.add.reduceat(drawn * labels[order], starts, axis=1),
        np.add.reduceat(drawn, starts, axis=1),
    )


def average_precisions(hits: Floats, films: Floats) -> Floats:
    """Returns the average precision of each row of counts, shape `(b,)`; nan for none.

    Args:
        hits: pneumonia films at each score, the highest score first, shape `(b, k)`.
        films: all films at each score, likewise.
    """
    right, called = np.cumsum(hits, axis=1), np.cumsum(films, axis=1)
    precision = np.divide(right, called, out=np.zeros_like(right), where=called > 0)
    total = np.where(right[:, -1] > 0, right[:, -1], np.nan)
    return (hits * precision).sum(axis=1) / total


def misordered_patients(parts: Components) -> int:
    """Returns how many patients the AUC's variance rests on.

    In each class, those with a film that loses to one of the other class; the smaller
    of the two numbers. For an AUC near 0, those with a film that wins.
    """
    pairs = (
        (parts.positive, parts.positive_patients),
        (parts.negative, parts.negative_patients),
    )
    return min(
        np.unique(patients[mask]).size
        for share, patients in pairs
        for mask in (share < 1, share > 0)
    )


def _patient_sums(
    shares: Floats, patients: Integers, parts: Components
) -> tuple[Floats, int]:
    n = 1 + max(parts.positive_patients.max(), parts.negative_patients.max())
    # Dividing by the films of the class here saves it in every term of the variance.
    residual = (shares - parts.auc) / shares.size
    sums = np.bincount(patients, residual, n).astype(np.float64)
    return sums, np.unique(patients).size


def _share_below(others: Floats, scores: Floats) -> Floats:
    others = np.sort(others)
    below = np.searchsorted(others, scores, side="left")
    not_above = np.searchsorted(others, scores, side="right")
    return (below + not_above) / (2 * others.size)


def _hanley_mcneil(auc: float, parts: Components) -> float:
    positive = independent_films(parts.positive_patients)
    negative = independent_films(parts.negative_patients)
    spread = (1 - auc) / (2 - auc) + auc / (1 + auc)
    mean_films = (positive + negative) / 2
    return (1 + (mean_films - 1) * spread) / (positive * negative)
