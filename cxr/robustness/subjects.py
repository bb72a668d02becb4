"""Who is judged: any scorer of films, with its threshold."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxr.models.inference import Model

SIZE = 224
PORTION = 64  # films that are prepared for the network at once

Floats = NDArray[np.float64]
Films8 = NDArray[np.uint8]
Scorer = Callable[[Films8], Floats]
Heater = Callable[[Films8], NDArray[np.float32]]


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A network under test.

    Attributes:
        name: how it is called in the report.
        threshold: of the probability; a film at or above it is positive.
        logits: from `uint8` films `(n, size, size)` to logits `float64`, `(n,)`.
        probability: from logits to calibrated probabilities, `[0, 1]`.
        activation_maps: from such films to the activation maps behind the served heat
            map, `float32`, `(n, h, w)`; None where there are none.
        heatmap_scale: the activation at which the heat map is full.
        size: edge of the films that it takes in pixels.
    """

    name: str
    threshold: float
    logits: Scorer
    probability: Callable[[Floats], Floats]
    activation_maps: Heater | None = None
    heatmap_scale: float = 1.0
    size: int = SIZE

    def probabilities(self, pixels: Films8) -> Floats:
        """Returns the calibrated probability of each film, shape `(n,)`."""
        return np.asarray(self.probability(self.logits(pixels)), np.float64)


def subject_of(model: Model, *, size: int = SIZE) -> Subject:
    """Returns a registered model as it serves, at its own threshold.

    Args:
        model: ready to score.
        size: edge of the films in pixels, before the network's own preparation.
    """
    return Subject(
        name=model.card.model_id,
        threshold=model.card.threshold.value,
        logits=lambda pixels: _served(model, pixels)[0],
        probability=model.card.calibration.apply,
        activation_maps=lambda pixels: _served(model, pixels)[1],
        heatmap_scale=model.card.heatmap_scale,
        size=size,
    )


def _served(model: Model, pixels: Films8) -> tuple[Floats, NDArray[np.float32]]:
    logits, maps = [], []
    for start in range(0, len(pixels), PORTION):
        part = pixels[start : start + PORTION].astype(np.float32)
        outputs = model.network(np.stack([model.network.prepare(f) for f in part]))
        logits.append(outputs.logits.astype(np.float64))
        maps.append(outputs.activation_maps)
    return np.concatenate(logits), np.concatenate(maps)
