"""Two models on the same films: a paired test of AUC and one of decisions."""

import math
from dataclasses import dataclass

from numpy.typing import ArrayLike

from cxr.evaluation.estimates import UNDEFINED, Z95, Estimate, warn_undefined
from cxr.evaluation.inputs import binary, labels_and_scores, patient_codes
from cxr.evaluation.ranking import auc_estimate, auc_variance, components

# Below it, a variance is what rounding leaves of none.
ROUNDING = 1e-24


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
        p_value: two-sided and exact, for equally many; 1 when there are none.
        method: how it was made.
    """

    only_a_right: int
    only_b_right: int
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
    y_true: ArrayLike, decision_a: ArrayLike, decision_b: ArrayLike
) -> DecisionComparison:
    """Returns whether one model is right more often than the other on the same films.

    Give only the pneumonia films to compare sensitivities, only the normal films to
    compare specificities. Films are taken as independent: with several films of a
    patient the p value is too small.

    Args:
        y_true: 0 or 1, shape `(n,)`.
        decision_a: 0 or 1, shape `(n,)`.
        decision_b: 0 or 1, shape `(n,)`.

    Raises:
        ValueError: an array is not of this kind.

    Reference:
        McNemar, Psychometrika 12 (1947) 153-157, with the exact binomial test.
    """
    from scipy.stats import binomtest

    labels = binary(y_true, name="y_true")
    a, b = binary(decision_a, name="decision_a"), binary(decision_b, name="decision_b")
    if not labels.shape == a.shape == b.shape:
        raise ValueError(
            "expected arrays of one length, received y_true, decision_a, decision_b of "
            f"{labels.size}, {a.size}, {b.size}"
        )
    only_a = int(((a == labels) & (b != labels)).sum())
    only_b = int(((b == labels) & (a != labels)).sum())
    discordant = only_a + only_b
    p_value = float(binomtest(only_a, discordant).pvalue) if discordant else 1.0
    return DecisionComparison(
        only_a_right=only_a,
        only_b_right=only_b,
        p_value=p_value,
        method="McNemar, exact",
    )


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
