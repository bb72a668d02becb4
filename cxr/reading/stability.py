"""Whether a reading's answer holds when its film is framed or exposed a bit otherwise.

It owns nine small changes that the next exposure of the same child could bring, the
answers of the model to them, and the rule for asking without being asked: the score
lies near an edge beyond which the answer is another. The film as it is isn't one of
the nine, since the reading itself is its score. Nor is the mirrored film: a heart on
the right is another patient, not another exposure.
"""

import functools
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cxr import documents
from cxr.errors import ImageError
from cxr.evaluation.calibration import logit
from cxr.films import changes, preparation
from cxr.films.changes import Draws
from cxr.models.inference import Model
from cxr.reading.scoring import Reading

MARGINS = Path(__file__).with_suffix(".json")
CAUGHT = 0.95  # share of the films with another answer that lie within the margin

# A film that is cropped by 6 % of its edge keeps 94 %; moved by half of what was
# cropped, it still fills its frame. So no change brings black ground, which no
# exposure of a chest has at its edges.
_CLOSER = 1 / 0.94
_ASIDE = (_CLOSER - 1) / 2
# Enough to hide the corners that a turn by 3 degrees leaves empty.
_TURNED_CLOSER = math.cos(math.radians(3)) + math.sin(math.radians(3))

CHANGES = {
    "turned 3 degrees clockwise": Draws(rotation=3, zoom=_TURNED_CLOSER),
    "turned 3 degrees anticlockwise": Draws(rotation=-3, zoom=_TURNED_CLOSER),
    "cropped by 3 % on all sides": Draws(zoom=_CLOSER),
    "cropped by 6 % at the right and below": Draws(
        zoom=_CLOSER, shift=(_ASIDE, _ASIDE)
    ),
    "cropped by 6 % at the left and above": Draws(
        zoom=_CLOSER, shift=(-_ASIDE, -_ASIDE)
    ),
    "brighter": Draws(gamma=0.8),
    "darker": Draws(gamma=1.25),
    "less contrast": Draws(contrast=0.85),
    "slightly blurred": Draws(sharpness=-0.7),
}


@dataclass(frozen=True, kw_only=True)
class Stability:
    """What a model answers to the nine changes of one film.

    Attributes:
        probabilities: by the name of the change, in the order of `CHANGES`, `[0, 1]`.
        same: how many of the changes keep the answer of the reading.
        low: the lowest probability of the reading and its changes.
        high: the highest one.
    """

    probabilities: dict[str, float]
    same: int
    low: float
    high: float

    @property
    def changes(self) -> int:
        """How many changes were tried."""
        return len(self.probabilities)

    @property
    def flips(self) -> bool:
        """Whether any change gives another answer."""
        return self.same < self.changes


@dataclass(frozen=True, kw_only=True)
class Margin:
    """How near to an edge a score must lie for the changes to be tried unasked.

    Attributes:
        model_id: of the model that it was measured with.
        logits: the distance, in logits of probability.
        films: that it was measured on.
        flipping: of them, how many have another answer after some change.
        rule: how the distance was chosen.
        split: the films it was chosen on.
    """

    model_id: str
    logits: float
    films: int
    flipping: int
    rule: str
    split: str


@dataclass(frozen=True, kw_only=True)
class Margins:
    """The measured margins, each by the hash of its model's weights."""

    models: dict[str, Margin]


def measure(reading: Reading, model: Model, threshold: float) -> Stability:
    """Returns the model's answers to nine changes of a film, in one batch.

    The changes are made on the reading's picture, reduced to the square that the
    network takes. A picture has whole grey levels and may be smaller than its film:
    unchanged, those of 14 films of more than 1,400 pixels scored within 0.001 of the
    reading, and those of 26 smaller films alike.

    Args:
        reading: with a prediction and a picture.
        model: that read the film.
        threshold: the reader's operating point, `(0, 1)`.

    Raises:
        ImageError: a changed film could not be scored (code `not-scored`).
        ValueError: the reading has no prediction or no picture.
    """
    if isinstance(reading.result, ImageError) or not reading.picture.size:
        raise ValueError("expected a reading with a prediction and a picture")
    own = reading.result.probability
    found = probabilities(reading.picture.astype(np.float32), model)
    return judged(own, found, model, threshold)


def judged(
    own: float, found: dict[str, float], model: Model, threshold: float
) -> Stability:
    """Returns whether an answer holds, from what the changes of its film gave.

    Args:
        own: the probability of the film itself, `[0, 1]`.
        found: its probabilities after each change, by the name of the change.
        model: that read it.
        threshold: the reader's operating point, `(0, 1)`.
    """
    answer = model.decide(own, threshold)
    return Stability(
        probabilities=found,
        same=sum(model.decide(value, threshold) == answer for value in found.values()),
        low=min(own, *found.values()),
        high=max(own, *found.values()),
    )


def probabilities(pixels: NDArray[np.float32], model: Model) -> dict[str, float]:
    """Returns a film's probability after each change, in one batch.

    Args:
        pixels: `float32`, shape `(height, width)`, range `[0, 255]`.
        model: ready to score.

    Raises:
        ImageError: a changed film could not be scored (code `not-scored`).
    """
    film = preparation.resize(pixels, model.network.size)
    inputs = [
        model.network.prepare(changes.apply(film, draws)) for draws in CHANGES.values()
    ]
    found = {}
    for name, result in zip(CHANGES, model.predict_inputs(inputs), strict=True):
        if isinstance(result, ImageError):
            raise result
        found[name] = result.probability
    return found


def near(probability: float, model: Model, threshold: float) -> bool:
    """Returns whether the changes are worth a try for a score, without being asked.

    They are if the score lies within the model's margin of an edge of the uncertain
    band, which is the threshold itself where the band has no width. A model whose
    margin was never measured has them tried on request alone.

    Args:
        probability: of the film, `[0, 1]`.
        model: that read it.
        threshold: the reader's operating point, `(0, 1)`.
    """
    margin = margins().models.get(model.sha256)
    if margin is None:
        return False
    return distance(probability, model, threshold) <= margin.logits


def distance(probability: float, model: Model, threshold: float) -> float:
    """Returns how far a score is from the nearest other answer, in logits.

    Args:
        probability: of the film, `[0, 1]`.
        model: that read it.
        threshold: the reader's operating point, `(0, 1)`.
    """
    edges = logit(model.band(threshold))
    return float(np.abs(logit(probability) - edges).min())


def fitted_margin(
    distances: NDArray[np.float64], flips: NDArray[np.bool_], *, model_id: str
) -> Margin:
    """Returns the margin within which films lie whose answer does not hold.

    Validation split only: it is the smallest distance from an edge within which at
    least `CAUGHT` of the films lie that get another answer after some change.

    Args:
        distances: of each film from the nearest edge, in logits, shape `(n,)`.
        flips: whether some change gives it another answer, shape `(n,)`.
        model_id: of the model.

    Raises:
        ValueError: no film gets another answer.
    """
    if not flips.any():
        raise ValueError("expected films with another answer, received none")
    reach = np.quantile(distances[flips], CAUGHT, method="inverted_cdf")
    return Margin(
        model_id=model_id,
        logits=float(reach),
        films=flips.size,
        flipping=int(flips.sum()),
        rule=(
            f"the smallest distance from an edge within which at least {CAUGHT:.0%} of "
            "the films lie whose answer some change turns, at the shipped threshold"
        ),
        split="validation",
    )


@functools.cache
def margins() -> Margins:
    """Returns the margins that `benchmarks/stability.py` measured."""
    return documents.read(MARGINS, Margins)
