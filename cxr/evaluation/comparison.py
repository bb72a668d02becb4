"""Two models on the same films: a paired test of AUC and one of decisions."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cxr.evaluation.estimates import (
    UNDEFINED,
    Z95,
    Estimate,
    independent_films,
    proportion,
    warn_undefined,
)
from cxr.evaluation.inputs import Integers, binary, labels_and_scores, patient_codes
from cxr.evaluation.ranking import auc_estimate, auc_variance, components

# Below it, a variance is what rounding leaves of none.
ROUNDING = 1e-24
# Films that tell two models apart up to which McNemar's test is exact.
MOST_FLIPPED = 1000


@dataclass(frozen=True, kw_only=True)
class AucComparison:
    """The AUC of model a against model b on the same films.

    Attributes:
        auc_a: of model a, with 95 % interval.
        auc_b: of model b.
        difference: `auc_a - auc_b` with 95 % interval.
        p_value: two-sided, for no difference; nan where the variance is undefined.
        method: how variance and interval were made.
    """

    auc_a: Estimate
    auc_b: Estimate
    difference: Estimate
    p_value: float
    method: str


@dataclass(frozen=True, kw_only=True)
class DecisionComparison:
    """The decisions of model a against those of model b on the same films.

    Attributes:
        only_a_right: films that a called right and b wrong.
        only_b_right: films that b called right and a wrong.
        difference: share that a called right minus share that b did, with 95 %
            interval.
        p_value: two-sided, for no difference; 1 when no film tells them apart.
        method: how it was made.
    """

    only_a_right: int
    only_b_right: int
    difference: Estimate
    p_value: float
    method: str


def delong_test(
    y_true: ArrayLike,
    score_a: ArrayLike,
    score_b: ArrayLike,
    *,
    groups: ArrayLike | None = None,
) -> AucComparison:
    """Returns the difference of two AUCs on the same films, with interval and p.

    Two models that order the films equally differ by 0 with p = 1. Undefined, with a
    warning, for one class, for films of fewer than two patients in a class, and for
    different AUCs without variance (one perfect, one perfectly wrong).

    Args:
        y_true: 0 or 1, shape `(n,)`.
        score_a: finite, any scale, shape `(n,)`.
        score_b: finite, any scale, shape `(n,)`.
        groups: patient of each film, shape `(n,)`.

    Raises:
        ValueError: an array is not of this kind.

    Reference:
        DeLong et al., Biometrics 44 (1988) 837-845; with groups Obuchowski, Biometrics
        53 (1997) 567-578.
    """
    labels, a = labels_and_scores(y_true, score_a)
    b = labels_and_scores(y_true, score_b)[1]
    patients = patient_codes(groups, labels.size)
    difference, p_value = UNDEFINED, math.nan
    if labels.min() < labels.max():
        parts = components(labels, a, patients).minus(components(labels, b, patients))
        difference, p_value = _normal_test(parts.auc, auc_variance(parts))
    if math.isnan(p_value):
        warn_undefined(["difference of AUC"])
    return AucComparison(
        auc_a=auc_estimate(labels, a, patients),
        auc_b=auc_estimate(labels, b, patients),
        difference=difference,
        p_value=p_value,
        method="DeLong" if patients is None else "Obuchowski, by patient",
    )


def mcnemar_test(
    y_true: ArrayLike,
    decision_a: ArrayLike,
    decision_b: ArrayLike,
    *,
    groups: ArrayLike | None = None,
) -> DecisionComparison:
    """Returns whether one model is right more often than the other on the same films.

    Give only the pneumonia films to compare sensitivities, only the normal films to
    compare specificities.

    With d the films of a patient that only a called right minus those that only b did,
    both signs of each patient's d are as likely if the models do not differ. The p
    value is that of the sum of all d under all signs, exact; with a film for each
    patient this is McNemar's exact test. For more than `MOST_FLIPPED` films the sum is
    taken as normal with the variance sum of d^2 (for single films McNemar's (b - c)^2 /
    (b + c)).

    The interval is Agresti and Min's for the effective number of films (the design
    effect of d over patients, as `estimates.proportion` has it).

    Args:
        y_true: 0 or 1, shape `(n,)`.
        decision_a: 0 or 1, shape `(n,)`.
        decision_b: 0 or 1, shape `(n,)`.
        groups: patient of each film, shape `(n,)`; films stand alone without.

    Raises:
        ValueError: an array is not of this kind.

    Reference:
        McNemar, Psychometrika 12 (1947) 153-157; for clusters Obuchowski, Stat. Med. 17
        (1998) 1495-1507, Durkalski et al., Stat. Med. 22 (2003) 2417-2428, and Yang,
        Sun and Hardin, Biom. J. 52 (2010) 638-652 (variance sum of d^2). Interval:
        Agresti and Min, Stat. Med. 24 (2005) 729-740.
    """
    labels = binary(y_true, name="y_true")
    a, b = binary(decision_a, name="decision_a"), binary(decision_b, name="decision_b")
    if not labels.shape == a.shape == b.shape:
        raise ValueError(
            "expected arrays of one length, received y_true, decision_a, decision_b of "
            f"{labels.size}, {a.size}, {b.size}"
        )
    patients = patient_codes(groups, labels.size)
    by_patient = patients is not None
    if patients is None:
        patients = np.arange(labels.size)
    sign = (a == labels).astype(np.int64) - (b == labels)
    sums = np.bincount(patients, sign).astype(np.int64)
    method = "McNemar" if not by_patient else "McNemar, signs of patients"
    few = int(np.abs(sums).sum()) <= MOST_FLIPPED
    return DecisionComparison(
        only_a_right=int((sign > 0).sum()),
        only_b_right=int((sign < 0).sum()),
        difference=_paired_difference(sign, patients),
        p_value=_flipped_signs(sums) if few else _normal_signs(sums),
        method=f"{method}, {'exact' if few else 'normal'}",
    )


def _flipped_signs(sums: Integers) -> float:
    """Returns how often random signs give a sum at least as far from 0."""
    sizes = np.abs(sums[sums != 0])
    total = int(sizes.sum())
    chance = np.zeros(2 * total + 1)
    chance[total] = 1.0
    for size in sizes:
        chance = (np.roll(chance, size) + np.roll(chance, -size)) / 2
    place = np.abs(np.arange(-total, total + 1))
    return min(1.0, float(chance[place >= abs(int(sums.sum()))].sum()))


def _normal_signs(sums: Integers) -> float:
    return math.erfc(abs(int(sums.sum())) / math.sqrt(2 * int((sums**2).sum())))


def _paired_difference(sign: Integers, patients: Integers) -> Estimate:
    n, difference = sign.size, float(sign.mean())
    size = n / _design_effect(sign, patients)
    # Half a film more in each of the four cells.
    only_a = (size * float((sign > 0).mean()) + 0.5) / (size + 2)
    only_b = (size * float((sign < 0).mean()) + 0.5) / (size + 2)
    centre = only_a - only_b
    half = Z95 * math.sqrt((only_a + only_b - centre**2) / (size + 2))
    return Estimate(
        value=difference,
        low=max(min(centre - half, difference), -1.0),
        high=min(max(centre + half, difference), 1.0),
    )


def _design_effect(sign: Integers, patients: Integers) -> float:
    """Returns by how much patients of several films widen the variance of a mean.

    As in `estimates.proportion`; where no film tells the models apart, the largest
    possible.
    """
    mean = sign.mean()
    alone = float(((sign - mean) ** 2).sum())
    films = np.bincount(patients)
    sums = np.bincount(patients, sign) - mean * films
    n, m = sign.size, int((films > 0).sum())
    if m < 2 or alone == 0:
        return n / independent_films(patients)
    return max(1.0, (n - 1) / n * m / (m - 1) * float(sums @ sums) / alone)


def _normal_test(difference: float, variance: float) -> tuple[Estimate, float]:
    if math.isnan(variance):
        return Estimate(value=difference, low=math.nan, high=math.nan), math.nan
    if variance < ROUNDING:
        same = abs(difference) < math.sqrt(ROUNDING)
        limit, p_value = (difference, 1.0) if same else (math.nan, math.nan)
        return Estimate(value=difference, low=limit, high=limit), p_value
    error = math.sqrt(variance)
    interval = Estimate(
        value=difference,
        low=max(difference - Z95 * error, -1.0),
        high=min(difference + Z95 * error, 1.0),
    )
    return interval, math.erfc(abs(difference) / error / math.sqrt(2))


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
