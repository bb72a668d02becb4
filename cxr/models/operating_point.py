"""The operating point that ships with a model: threshold and uncertain band.

Both are chosen on validation films, by the same rules for a single model and for an
ensemble, and never on the films that the model is tested on.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxr.evaluation import band, thresholds
from cxr.evaluation.answered import ThreeAnswers, three_answers
from cxr.evaluation.band import Shifted
from cxr.evaluation.calibration import logit
from cxr.models.cards import Threshold, UncertainBand


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
    labels: NDArray[np.int64],
    logits: NDArray[np.float64],
    patients: Sequence[str] | NDArray[Any],
    threshold: float,
    *,
    shifted: Shifted | None = None,
) -> UncertainBand:
    """Returns the band around the threshold. Validation split only.

    Where the threshold itself lies beyond an edge, that side has no band.

    Args:
        labels: 1 for pneumonia, 0 for normal, both present, shape `(n,)`.
        logits: of the probability of films as they are, shape `(n,)`.
        patients: of each film, shape `(n,)`.
        threshold: a probability.
        shifted: the same films after shifts, on the same scale; None without any.
    """
    chosen = band.choose_band(labels, logits, groups=patients, shifted=shifted)
    centre = float(logit(threshold))
    low, high = min(centre, chosen.low.value), max(centre, chosen.high.value)
    shown = three_answers(labels, logits, band=(low, high), groups=patients)
    return UncertainBand(
        below=centre - low,
        above=high - centre,
        rule=_rule(shown, len(labels), len(set(patients)), shifted),
    )


def _rule(
    shown: ThreeAnswers, films: int, patients: int, shifted: Shifted | None
) -> str:
    """Returns how the band was chosen and what it does to those films."""
    how = "as they are"
    if shifted is not None:
        how += f" and after {shifted.rows.size} shifts of acquisition"
    return (
        f"so that of pneumonia films at most about 1 in {round(1 / band.MISSED)} lie "
        f"below it and of normal films 1 in {round(1 / band.ALARMS)} above it: the end "
        f"of each class's scores, taken for an exponential tail, at its one-sided 90 % "
        f"limit, on {films} validation films of {patients} patients {how}; of these "
        f"films {100 * shown.no_answer.value:.1f} % get no answer, of the normal ones "
        f"{100 * shown.no_answer_well.value:.1f} %, and among the answered sensitivity "
        f"is {shown.sensitivity.value:.3f} and specificity "
        f"{shown.specificity.value:.3f}"
    )


def _inside(threshold: float) -> float:
    # A rule may end at 0 or 1, around which a band in logits can't be drawn.
    return min(max(threshold, 1e-6), 1 - 1e-6)
