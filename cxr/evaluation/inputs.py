"""Labels, scores and patients as arrays that the metrics can trust."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def labels_and_scores(
    y_true: ArrayLike, y_score: ArrayLike, *, probabilities: bool = False
) -> tuple[Integers, Floats]:
    """Returns both as `int64` and `float64`, shape `(n,)`, n at least 1.

    Args:
        y_true: 0, 1 or booleans, shape `(n,)`.
        y_score: finite, shape `(n,)`.
        probabilities: whether scores outside `[0, 1]` are refused too.

    Raises:
        ValueError: a shape, a label or a score is not of this kind.
    """
    labels, scores = binary(y_true, name="y_true"), finite(y_score, name="y_score")
    if scores.shape != labels.shape:
        raise ValueError(
            f"expected as many scores as labels, received y_true of {labels.size} and "
            f"y_score of {scores.size}"
        )
    if probabilities and (scores.min() < 0 or scores.max() > 1):
        raise ValueError(
            "expected probabilities between 0 and 1, received y_score between "
            f"{scores.min():g} and {scores.max():g}"
        )
    return labels, scores


def binary(values: ArrayLike, *, name: str) -> Integers:
    """Returns 0 and 1 as `int64`, shape `(n,)`, n at least 1."""
    array = _one_dimensional(values, name)
    if not np.isin(array, (0, 1)).all():
        raise ValueError(f"expected only 0 and 1, received {name}={np.unique(array)}")
    return array.astype(np.int64)


def finite(values: ArrayLike, *, name: str) -> Floats:
    """Returns finite numbers as `float64`, shape `(n,)`, n at least 1."""
    array = _one_dimensional(values, name).astype(np.float64)
    if not np.isfinite(array).all():
        count = int((~np.isfinite(array)).sum())
        raise ValueError(f"expected finite numbers, received {count} others in {name}")
    return array


def patient_codes(groups: ArrayLike | None, n: int) -> Integers | None:
    """Returns the patient of every film as a number from 0, shape `(n,)`, or None.

    Raises:
        ValueError: there are not `n` patient ids.
    """
    if groups is None:
        return None
    array = np.asarray(groups)
    if array.shape != (n,):
        raise ValueError(f"expected {n} patient ids, received groups of {array.shape}")
    return np.unique(array, return_inverse=True)[1].astype(np.int64)


def require_between(value: float, low: float, high: float, *, name: str) -> None:
    """Raises ValueError unless `low < value < high`.

    Args:
        value: the number that was given.
        low: the bound below it, itself not allowed.
        high: the bound above it, itself not allowed.
        name: of the argument, for the message.
    """
    if not low < value < high:
        raise ValueError(
            f"expected a number between {low:g} and {high:g} (both excluded), "
            f"received {name}={value}"
        )


def require_both_classes(labels: Integers) -> None:
    """Raises ValueError unless there is a film of either class."""
    positive = int(labels.sum())
    if positive in (0, labels.size):
        raise ValueError(
            f"expected films of both classes, received {positive} of pneumonia among "
            f"{labels.size}"
        )


def _one_dimensional(values: ArrayLike, name: str) -> NDArray[np.generic]:
    array = np.asarray(values)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(
            f"expected a shape (n,) with at least one film, received {name} of "
            f"{array.shape}"
        )
    return array
