"""From a network's logit to a probability, here or at another prevalence.

The scaling is fitted on the calibration split only: films that neither trained the
network nor stopped its training nor chose the threshold.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from cxr.evaluation.inputs import (
    Floats,
    Integers,
    labels_and_scores,
    patient_codes,
    require_between,
    require_both_classes,
)

# A scaling may flatten the scores but never turn their order round.
MIN_SLOPE, MAX_SLOPE = 1e-3, 1e3
# Beyond, a probability can't be told from 0 or 1 by a reader or by most formats.
LARGEST_LOGIT = 30.0
# How much steeper than Platt's an isotonic step may be: where it rises faster, the last
# digits of a logit, which differ between machines, would decide.
STEEPEST = 10.0
FOLDS = 5
SEED = 0
METHODS = ("platt", "temperature", "isotonic")


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
        return _sigmoid(self.scaled(logits))

    def scaled(self, logits: ArrayLike) -> Floats:
        """Returns the logits of those probabilities, likewise."""
        with np.errstate(over="ignore"):  # an infinite logit has a probability too
            return self.slope * np.asarray(logits, dtype=np.float64) + self.intercept


@dataclass(frozen=True, kw_only=True)
class IsotonicScaling:
    """Logit to probability by a rising line through knots.

    Between two knots the logit of the probability is linear in the network's logit;
    beyond the outer ones it goes on with `slope`. It rises everywhere, so that the
    order of films stays, and a probability is never 0 or 1.

    Attributes:
        knots: the network's logits, rising, at least one.
        values: the logit of the probability at each knot, rising.
        slope: beyond the outer knots, above 0.
        prevalence: as in `PlattScaling`.
    """

    knots: tuple[float, ...]
    values: tuple[float, ...]
    slope: float
    prevalence: float

    def __post_init__(self) -> None:
        """Raises ValueError for a scaling that can't serve."""
        require_between(self.slope, 0, math.inf, name="slope")
        require_between(self.prevalence, 0, 1, name="prevalence")
        for name in ("knots", "values"):
            line = np.asarray(getattr(self, name), dtype=np.float64)
            rises = np.isfinite(line).all() and (np.diff(line) > 0).all()
            if not line.size or not rises or line.size != len(self.knots):
                raise ValueError(
                    f"expected rising finite numbers, as many as knots, received "
                    f"{name}={getattr(self, name)}"
                )

    def apply(self, logits: ArrayLike) -> Floats:
        """Returns probabilities, `float64`, shape of `logits`; nan stays nan."""
        return _sigmoid(self.scaled(logits))

    def scaled(self, logits: ArrayLike) -> Floats:
        """Returns the logits of those probabilities, likewise."""
        x = np.asarray(logits, dtype=np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            inside = np.interp(x, self.knots, self.values)
            beyond = x - np.clip(x, self.knots[0], self.knots[-1])
            # An infinite logit is infinitely far beyond.
            scaled = inside + self.slope * beyond
        return np.clip(scaled, -LARGEST_LOGIT, LARGEST_LOGIT)


Scaling = PlattScaling | IsotonicScaling


@dataclass(frozen=True, kw_only=True)
class CalibrationChoice:
    """Which scaling serves, and what spoke for it.

    Attributes:
        scaling: fitted to all films of the calibration split.
        method: one of `METHODS`.
        log_loss: of each method, by cross-validation over patients; nan where there
            were too few patients for it.
    """

    scaling: Scaling
    method: str
    log_loss: dict[str, float]

    @property
    def rule(self) -> str:
        """How it was chosen, in a sentence for the card."""
        if math.isnan(self.log_loss[self.method]):
            return (
                f"{_NAMES[self.method]}: the calibration films are of too few patients "
                "for a choice by cross-validation"
            )
        losses = ", ".join(
            f"{_NAMES[name]} {loss:.4f}" for name, loss in self.log_loss.items()
        )
        return (
            f"{_NAMES[self.method]}; Platt scaling unless another has a log loss lower "
            "by more than its standard error, by cross-validation over patients of the "
            f"calibration films: {losses}"
        )


_NAMES = {
    "platt": "Platt scaling",
    "temperature": "temperature scaling",
    "isotonic": "isotonic regression",
}


def choose_calibration(
    y_true: ArrayLike, logits: ArrayLike, *, groups: ArrayLike | None = None
) -> CalibrationChoice:
    """Returns the scaling that predicts unseen patients best. Calibration split only.

    Each method is fitted to four fifths of the patients and judged by its log loss on
    the others, in turn. Platt scaling stays unless another is better by more than the
    standard error of the difference, patients as clusters: with few films differences
    are mostly chance.

    Args:
        y_true: 0 or 1, both present, shape `(n,)`.
        logits: finite, shape `(n,)`.
        groups: patient of each film, shape `(n,)`.

    Raises:
        ValueError: a class is missing, or an array is not of this kind.

    Reference:
        Hastie, Tibshirani and Friedman, The Elements of Statistical Learning, 2nd ed.
        (2009), section 7.10 (cross-validation, one-standard-error rule).
    """
    labels, x = labels_and_scores(y_true, logits)
    require_both_classes(labels)
    patients = patient_codes(groups, labels.size)
    if patients is None:
        patients = np.arange(labels.size)
    losses = _unseen_losses(labels, x, patients)
    chosen = METHODS[0]
    for method in METHODS[1:]:
        gain, error = _mean_and_error(losses[chosen] - losses[method], patients)
        if gain > error:
            chosen = method
    return CalibrationChoice(
        scaling=_FITS[chosen](labels, x),
        method=chosen,
        log_loss={method: float(loss.mean()) for method, loss in losses.items()},
    )


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


def fit_isotonic(y_true: ArrayLike, logits: ArrayLike) -> IsotonicScaling:
    """Returns the rising line nearest to the labels. Calibration split only.

    Isotonic regression gives blocks of films with one probability; the line runs
    through the middle of each block, so that films of a block keep their order. Labels
    are smoothed as in `fit_platt`, so that no block is 0 or 1; neighbours between which
    the line would be steeper than `STEEPEST` times Platt's are joined.

    Args:
        y_true: 0 or 1, both present, shape `(n,)`.
        logits: finite, shape `(n,)`.

    Raises:
        ValueError: a class is missing, or an array is not of this kind.

    Reference:
        Zadrozny and Elkan, KDD 2002, 694-699 (isotonic calibration); Oron and Flournoy,
        Stat. Biopharm. Res. 9 (2017) 258-267 (line through the centres of blocks).
    """
    from scipy.optimize import isotonic_regression

    labels, x = labels_and_scores(y_true, logits)
    slope = fit_platt(labels, x).slope
    distinct, place, counts = np.unique(x, return_inverse=True, return_counts=True)
    targets = np.bincount(place, _smoothed(labels)) / counts
    blocks = isotonic_regression(targets, weights=counts).blocks[:-1]
    weights = np.add.reduceat(counts.astype(np.float64), blocks)
    centres = np.add.reduceat(counts * distinct, blocks) / weights
    means = np.add.reduceat(counts * targets, blocks) / weights
    rows = _joined(np.stack([weights, centres, means]).T, STEEPEST * slope)
    return IsotonicScaling(
        knots=tuple(float(centre) for _, centre, _ in rows),
        values=tuple(float(logit(mean)) for _, _, mean in rows),
        slope=slope,
        prevalence=float(labels.mean()),
    )


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

    The odds of the probability divided by the odds of the prevalence it is calibrated
    to. Pre-test odds times this ratio are post-test odds, at any prevalence.

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


def logit(probability: ArrayLike) -> Floats:
    """Returns the log odds of probabilities, `float64`, same shape.

    A rule may put a threshold at 0 or 1, and a network score as good as that: both
    count as 1e-9 away from it.

    Args:
        probability: in `[0, 1]`, any shape.
    """
    inside = np.clip(np.asarray(probability, np.float64), 1e-9, 1 - 1e-9)
    return np.asarray(np.log(inside) - np.log1p(-inside))


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
    fitted = minimize(
        loss,
        x0=np.array([min(max(1.0, MIN_SLOPE * scale), MAX_SLOPE * scale), 0.0]),
        jac=True,
        method="L-BFGS-B",
        bounds=[(MIN_SLOPE * scale, MAX_SLOPE * scale), free],
        options={"ftol": 1e-15, "gtol": 1e-9, "maxiter": 1000},
    )
    return PlattScaling(
        slope=float(fitted.x[0]) / scale,
        intercept=float(fitted.x[1]),
        prevalence=float(labels.mean()),
    )


_FITS: dict[str, Callable[[ArrayLike, ArrayLike], Scaling]] = {
    "platt": fit_platt,
    "temperature": fit_temperature,
    "isotonic": fit_isotonic,
}


def _unseen_losses(
    labels: Integers, x: Floats, patients: Integers
) -> dict[str, Floats]:
    """Returns each method's log loss of every film, fitted to other patients."""
    losses = {method: np.full(labels.size, math.nan) for method in METHODS}
    folds = min(FOLDS, *(np.unique(patients[labels == label]).size for label in (0, 1)))
    if folds < 2:
        return losses
    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=SEED)
    for fitted, judged in splitter.split(x, labels, patients):
        if labels[fitted].min() == labels[fitted].max():
            return {method: np.full(labels.size, math.nan) for method in METHODS}
        for method, fit in _FITS.items():
            p = fit(labels[fitted], x[fitted]).apply(x[judged])
            right = np.where(labels[judged] == 1, p, 1 - p)
            losses[method][judged] = -np.log(np.maximum(right, 1e-12))
    return losses


def _mean_and_error(values: Floats, patients: Integers) -> tuple[float, float]:
    mean = float(values.mean())
    sums = np.bincount(patients, values - mean)
    m = np.unique(patients).size
    if m < 2:
        return mean, math.nan
    return mean, math.sqrt(m / (m - 1) * float(sums @ sums)) / values.size


def _joined(rows: Floats, steepest: float) -> list[Floats]:
    """Joins neighbouring (weight, centre, mean) until no step is level or too steep."""
    done: list[Floats] = []
    for row in rows:
        done.append(row)
        while len(done) > 1 and not 1e-9 < _slope(done[-2], done[-1]) <= steepest:
            b, a = done.pop(), done.pop()
            weight = a[0] + b[0]
            done.append(np.array([weight, *(a[0] * a[1:] + b[0] * b[1:]) / weight]))
    return done


def _slope(a: Floats, b: Floats) -> float:
    return float(logit(b[2]) - logit(a[2])) / max(float(b[1] - a[1]), 1e-300)


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
