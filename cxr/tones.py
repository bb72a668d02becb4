"""A standard scale of grey, towards which films are moved before a network sees them.

Detectors, printers and exporters each bend the grey scale in their own way, and in the
public data set the two classes are bent differently. Training draws tone curves at
random; here, at serving, a film's curve is moved towards one and the same, so that less
is left for the network to look past. It is part of a model: its card holds the scale.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEVELS = 64
# Frames, letters and collimation are mostly here, as a fraction of the edge at each
# side; they must not say what is bright on a film.
MARGIN = 0.05

Pixels = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class StandardTone:
    """A distribution of grey, and how far films are moved towards it.

    Attributes:
        levels: grey levels at `LEVELS` evenly spaced quantiles from 0 to 1, each at
            least the one before, `[0, 255]`.
        share: 0 leaves a film as it is, 1 gives it the whole distribution.
    """

    levels: tuple[float, ...]
    share: float

    def __post_init__(self) -> None:
        """Raises ValueError for what is no distribution or no share."""
        rising = all(a <= b for a, b in zip(self.levels, self.levels[1:], strict=False))
        inside = all(0 <= level <= 255 for level in self.levels)
        if len(self.levels) < 2 or not (rising and inside):
            raise ValueError(
                f"expected rising levels from 0 to 255, received {self.levels=}"
            )
        if not 0 < self.share <= 1:
            raise ValueError(f"expected a share above 0 to 1, received {self.share=}")

    def __call__(self, pixels: Pixels) -> Pixels:
        """Returns the film with its grey levels moved; their order stays.

        Levels of the margin beyond those of the middle become the lowest and highest
        of the scale. An even film comes back moved as one.

        Args:
            pixels: `float32`, shape `(size, size)`, range `[0, 255]`.

        Returns:
            `float32`, same shape and range.

        Reference:
            Nyul and Udupa, Magnetic Resonance in Medicine 42, 1999 (a standard
            intensity scale by landmarks of the histogram).
        """
        own = quantiles(pixels, len(self.levels))
        # Levels must rise to be looked up; a thousandth is far below any grey level.
        rising = np.maximum.accumulate(own + np.arange(len(own)) * 1e-3)
        standard = np.interp(pixels, rising, self.levels)
        return (pixels + self.share * (standard - pixels)).astype(np.float32)


def quantiles(pixels: Pixels, n: int = LEVELS) -> NDArray[np.float64]:
    """Returns a film's grey levels at `n` evenly spaced quantiles, without its margin.

    Args:
        pixels: `float32`, shape `(height, width)`, range `[0, 255]`.
        n: at least 2.
    """
    height, width = pixels.shape
    rows, columns = round(MARGIN * height), round(MARGIN * width)
    middle = pixels[rows : height - rows, columns : width - columns]
    return np.quantile(middle, np.linspace(0, 1, n)).astype(np.float64)


def standard(films: Iterable[Pixels], share: float) -> StandardTone:
    """Returns the mean distribution of films, at least one.

    Args:
        films: each as `StandardTone` takes them.
        share: above 0, at most 1.
    """
    levels = np.mean([quantiles(film) for film in films], axis=0).round(3)
    return StandardTone(levels=tuple(float(level) for level in levels), share=share)
