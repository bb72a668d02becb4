"""From a network's logit to a probability, here or at another prevalence.

The scaling is fitted on the calibration split only: films that neither trained the
network nor stopped its training nor chose the threshold.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from cxr.evaluation.inputs import (
    Floats,
    Integers,
    labels_and_scores,
    require_between,
    require_both_classes,
)

# A scaling may flatten the scores but never turn their order round.
MIN_SLOPE, MAX_SLOPE = 1e-3, 1e3


@dataclass(frozen=True, kw_only=True)
class PlattScaling:
    """Probability = 1 / (1 + exp(-(slope * logit + intercept))).

    Attributes:
        slope: above 0, so that the order of films stays; 1 / temperature.
        intercept: 0 for temperature scaling.
        prevalence: share of pneumonia films in the calibration split, between 0 and 1;
            the prevalence at which the probabilities hold.
    """

    slope: float
    intercept: float
    prevalence: float

    def __post_init__(self) -> None:
        """Raises ValueError for a scaling that can't serve."""
        require_between(self.slope, 0, math.inf, name="slope")
        require_between(self.intercept, -math.inf, math.inf, name="intercept")
        require_between(self.prevalence, 0, 1, name="prevalence")

    def apply(self, logits: ArrayLike) -> Floats:
        """Returns probabilities, `float64`, shape of `logits`; nan stays nan."""
        with np.errstate(over="ignore"):  # an infinite logit has a probability too
            scaled = self.slope * np.asarray(logits, dtype=np.float64) + self.intercept
        return _sigmoid(scaled)


def fit_platt(y_true: ArrayLike, logits: ArrayLike) -> PlattScaling:
    """Returns the slope and intercept of least log loss. Calibration split only.

    Labels are smoothed to (n_positive + 1) / (n_positive + 2) and 1 / (n_negative + 2),
    so that classes which the network separates perfectly do not give an endless slope.

    Args:
        y_true: 0 or 1, both present, shape `(n,)`.
        logits: finite, shape `(n,)`.

    Raises:
        ValueError: a class is missing, or an array is not of this kind.

    Reference:
        Platt, in Advances in Large Margin Classifiers (1999), 61-74.
    """
    return _fit(y_true, logits, with_intercept=True)


def fit_temperature(y_true: ArrayLike, logits: ArrayLike) -> PlattScaling:
    """Returns the single slope of least log loss. Calibration split only.

    The labels are smoothed as in `fit_platt`; temperature is 1 / slope.

    Args:
        y_true: 0 or 1, both present, shape `(n,)`.
        logits: finite, shape `(n,)`.

    Raises:
        ValueError: a class is missing, or an array is not of this kind.

    Reference:
        Guo et al., ICML 2017, section 4.2.
    """
    return _fit(y_true, logits, with_intercept=False)


def at_prevalence(
    probability: ArrayLike, *, trained_prevalence: float, local_prevalence: float
) -> Floats:
    """Returns the probabilities for patients of another prevalence.

    Holds when the patients differ in how many are ill, not in how the ill or the well
    look on a film.

    Args:
        probability: in `[0, 1]`, any shape.
        trained_prevalence: where the probabilities hold (`PlattScaling.prevalence`);
            between 0 and 1.
        local_prevalence: between 0 and 1.

    Returns:
        `float64` in `[0, 1]`, same shape.

    Raises:
        ValueError: a prevalence or a probability is outside its range.

    Reference:
        Saerens, Latinne and Decaestecker, Neural Comput. 14 (2002) 21-41.
    """
    require_between(trained_prevalence, 0, 1, name="trained_prevalence")
    require_between(local_prevalence, 0, 1, name="local_prevalence")
    p = _probabilities(probability)
    ill = p * (local_prevalence / trained_prevalence)
    well = (1 - p) * ((1 - local_prevalence) / (1 - trained_prevalence))
    return ill / (ill + well)


def likelihood_ratio(probability: ArrayLike, *, trained_prevalence: float) -> Floats:
    """Returns how much more often ill than well patients get this probability.

    The odds of the probability over the odds of the prevalence it holds for. Pre-test
    odds times this ratio are post-test odds, at any prevalence.

    Args:
        probability: in `[0, 1]`, any shape; 1 gives infinity.
        trained_prevalence: between 0 and 1.

    Returns:
        `float64`, at least 0, same shape.

    Raises:
        ValueError: a prevalence or a probability is outside its range.
    """
    require_between(trained_prevalence, 0, 1, name="trained_prevalence")
    p = _probabilities(probability)
    with np.errstate(divide="ignore"):
        return p / (1 - p) * ((1 - trained_prevalence) / trained_prevalence)


def _sigmoid(x: Floats) -> Floats:
    # exp of a negative number never overflows.
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, small) / (1 + small)


def _fit(y_true: ArrayLike, logits: ArrayLike, *, with_intercept: bool) -> PlattScaling:
    from scipy.optimize import minimize

    labels, x = labels_and_scores(y_true, logits)
    require_both_classes(labels)
    targets, scale = _smoothed(labels), max(float(np.abs(x).max()), 1e-9)
    x = x / scale

    def loss(parameters: Floats) -> tuple[float, Floats]:
        z = parameters[0] * x + parameters[1]
        error = _sigmoid(z) - targets
        value = float((np.logaddexp(0, z) - targets * z).mean())
        return value, np.array([(error * x).mean(), error.mean()])

    free = (None, None) if with_intercept else (0.0, 0.0)
    found = minimize(
        loss,
        x0=np.array([min(max(1.0, MIN_SLOPE * scale), MAX_SLOPE * scale), 0.0]),
        jac=True,
        method="L-BFGS-B",
        bounds=[(MIN_SLOPE * scale, MAX_SLOPE * scale), free],
        options={"ftol": 1e-15, "gtol": 1e-9, "maxiter": 1000},
    )
    return PlattScaling(
        slope=float(found.x[0]) / scale,
        intercept=float(found.x[1]),
        prevalence=float(labels.mean()),
    )


def _smoothed(labels: Integers) -> Floats:
    positive = int(labels.sum())
    negative = labels.size - positive
    return np.where(labels == 1, (positive + 1) / (positive + 2), 1 / (negative + 2))


def _probabilities(probability: ArrayLike) -> Floats:
    p = np.asarray(probability, dtype=np.float64)
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError(
            f"expected probabilities between 0 and 1, received probability={p}"
        )
    return p
