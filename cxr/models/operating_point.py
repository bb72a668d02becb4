"""The operating point that ships with a model: threshold and uncertain band.

Both are chosen on validation films, by the same rules for a single model and for an
ensemble, and never on the films that the model is tested on.
"""

import numpy as np
from numpy.typing import NDArray

from cxr.evaluation import thresholds
from cxr.evaluation.calibration import logit
from cxr.models.cards import Threshold, UncertainBand

BAND_SENSITIVITY = 0.998
BAND_SPECIFICITY = 0.98


def shipped_threshold(
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    patients: NDArray[np.str_],
    *,
    target: float,
    assured: float,
) -> Threshold:
    """Returns the threshold that a model ships with. Validation split only.

    Args:
        labels: 0 or 1, both present, shape `(n,)`.
        probabilities: shape `(n,)`.
        patients: of each film, shape `(n,)`.
        target: sensitivity in these films, above 0, at most 1.
        assured: least lower limit of its 95 % interval, at most `target`.
    """
    value = thresholds.threshold_for_assured_sensitivity(
        labels, probabilities, target=target, assured=assured, groups=patients
    )
    missed = probabilities[labels == 1] < value
    reached = "" if missed.any() else "; it misses none of these films"
    return Threshold(
        value=_inside(value),
        rule=(
            f"the highest threshold with a sensitivity of at least {target} whose 95 % "
            f"interval starts at {assured} or above{reached}"
        ),
        split="validation",
    )


def threshold_under_shift(
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    shifted: NDArray[np.float64],
    *,
    target: float,
    floor: float,
) -> Threshold:
    """Returns the threshold of a model that was tried on shifted films as well.

    Validation split only.

    Args:
        labels: 0 or 1, both present, shape `(n,)`.
        probabilities: of the films as they are, shape `(n,)`.
        shifted: of the pneumonia films after shifts of acquisition, shape `(m,)`.
        target: sensitivity in all of these together, above 0, at most 1.
        floor: least sensitivity in the films as they are, likewise.
    """
    together = np.concatenate([labels, np.ones(shifted.size, np.int64)])
    value = min(
        thresholds.threshold_for_sensitivity(
            together, np.concatenate([probabilities, shifted]), target=target
        ),
        thresholds.threshold_for_sensitivity(labels, probabilities, target=floor),
    )
    return Threshold(
        value=_inside(value),
        rule=(
            f"the highest threshold with a sensitivity of at least {target} on the "
            f"films as they are and after shifts of acquisition, {together.sum()} in "
            f"all, and of at least {floor} on the films as they are"
        ),
        split="validation",
    )


def uncertain_band(
    labels: NDArray[np.int64], probabilities: NDArray[np.float64], threshold: float
) -> UncertainBand:
    """Returns the band around the threshold. Validation split only.

    Its lower end has all but 2 in 1,000 ill films above it, its upper end all but 1 in
    50 well films below it; a side that this leaves empty has no band.

    Args:
        labels: 1 for pneumonia, 0 for normal, shape `(n,)`.
        probabilities: shape `(n,)`, `[0, 1]`.
        threshold: a probability.
    """
    low = thresholds.threshold_for_sensitivity(
        labels, probabilities, target=BAND_SENSITIVITY
    )
    high = thresholds.threshold_for_specificity(
        labels, probabilities, target=BAND_SPECIFICITY
    )
    centre = float(logit(threshold))
    return UncertainBand(
        below=max(0.0, centre - float(logit(low))),
        above=max(0.0, float(logit(high)) - centre),
        rule=(
            f"from sensitivity {BAND_SENSITIVITY} to specificity {BAND_SPECIFICITY} on "
            "the validation films, in logits around the threshold"
        ),
    )


def _inside(threshold: float) -> float:
    # A rule may end at 0 or 1, around which a band in logits can't be drawn.
    return min(max(threshold, 1e-6), 1 - 1e-6)
