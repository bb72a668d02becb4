"""What is measured on changed films, with intervals that know the patients."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxr.evaluation.estimates import UNDEFINED, Estimate, proportion
from cxr.evaluation.operating import point_at
from cxr.evaluation.ranking import auc_estimate

BOOTSTRAP = 2000

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What a network is worth on some films.

    Attributes:
        n: films.
        n_positive: of them with pneumonia.
        auc: area under the ROC curve; undefined for one class.
        sensitivity: at the threshold; undefined without pneumonia films.
        specificity: likewise, without normal films.
    """

    n: int
    n_positive: int
    auc: Estimate
    sensitivity: Estimate
    specificity: Estimate


@dataclass(frozen=True, kw_only=True)
class Change:
    """How far the answers moved when the films were changed.

    Attributes:
        mean: mean absolute change of the probability.
        flipped: share of films with another decision.
        n_flipped: how many.
    """

    mean: Estimate
    flipped: Estimate
    n_flipped: int


def figures(
    labels: Integers, probabilities: Floats, patients: Integers, threshold: float
) -> Figures:
    """Returns AUC, sensitivity and specificity with 95 % intervals by patient.

    Args:
        labels: 1 for pneumonia, 0 for normal, shape `(n,)`; may be empty.
        probabilities: shape `(n,)`, `[0, 1]`.
        patients: a code for the patient of each film, shape `(n,)`.
        threshold: a probability; at or above it a film counts as positive.
    """
    if not labels.size:
        return Figures(
            n=0,
            n_positive=0,
            auc=UNDEFINED,
            sensitivity=UNDEFINED,
            specificity=UNDEFINED,
        )
    patients = np.unique(patients, return_inverse=True)[1]
    point = point_at(labels, probabilities, threshold, patients)
    return Figures(
        n=labels.size,
        n_positive=int(labels.sum()),
        auc=auc_estimate(labels, probabilities, patients),
        sensitivity=point.sensitivity,
        specificity=point.specificity,
    )


def change(
    before: Floats, after: Floats, patients: Integers, threshold: float
) -> Change:
    """Returns how far probabilities and decisions moved, film by film.

    Args:
        before: the probability of each film as it is, shape `(n,)`.
        after: the probability of the same films once they are changed.
        patients: a code for the patient of each film, shape `(n,)`.
        threshold: a probability; a decision flips where the two lie on different sides.
    """
    flipped = (before >= threshold) != (after >= threshold)
    return Change(
        mean=mean_estimate(np.abs(after - before), patients),
        flipped=proportion(flipped, np.ones_like(flipped), patients),
        n_flipped=int(flipped.sum()),
    )


def mean_estimate(values: Floats, patients: Integers, *, seed: int = 0) -> Estimate:
    """Returns a mean with its percentile interval, patients resampled whole.

    Undefined without films; without an interval for films of a single patient.

    Args:
        values: one of each film, shape `(n,)`.
        patients: a code for the patient of each film, shape `(n,)`.
        seed: of the resampling.

    Reference:
        Field and Welsh, J. R. Stat. Soc. B 69 (2007) 369-390 (cluster bootstrap).
    """
    if not values.size:
        return UNDEFINED
    codes = np.unique(patients, return_inverse=True)[1]
    sums, counts = np.bincount(codes, values), np.bincount(codes)
    value = float(values.mean())
    if sums.size < 2:
        return Estimate(value=value, low=UNDEFINED.low, high=UNDEFINED.high)
    rng = np.random.default_rng(seed)
    drawn = rng.integers(sums.size, size=(BOOTSTRAP, sums.size))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return Estimate(value=value, low=float(low), high=float(high))
