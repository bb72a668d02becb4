"""The standard grey scale of a model, towards which films are moved before it reads.

Every detector, printer and exporter bends the grey scale in its own way, and in the
public data set the two classes are bent differently, so a network could tell them apart
by their tone alone. Training counters that with random tone curves. At serving, the
tones of a film are moved towards one scale, the same for all films, which the card of
the model holds.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEVELS = 64
# As a fraction of the height and width, left out at each side: frames, letters and
# collimation are mostly there, and must not decide what counts as bright on a film.
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
        """Checks the values.

        Raises:
            ValueError: if the levels do not rise within `[0, 255]`, or if the share is
                not above 0 and at most 1.
        """
        rising = all(a <= b for a, b in zip(self.levels, self.levels[1:], strict=False))
        inside = all(0 <= level <= 255 for level in self.levels)
        if len(self.levels) < 2 or not (rising and inside):
            raise ValueError(
                f"expected rising levels from 0 to 255, received {self.levels=}"
            )
        if not 0 < self.share <= 1:
            raise ValueError(f"expected a share above 0 to 1, received {self.share=}")

    def __call__(self, pixels: Pixels) -> Pixels:
        """Returns the film with its grey levels moved; the order of levels stays.

        A level of the margin that is darker or brighter than all of the middle gets
        the lowest or highest level of the scale. A film of one level stays of one.

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
    # Sorted first it takes half the time: NumPy looks for each quantile in a partition.
    ordered = np.sort(middle, axis=None)
    return np.quantile(ordered, np.linspace(0, 1, n)).astype(np.float64)


def standard(films: Iterable[Pixels], share: float) -> StandardTone:
    """Returns the standard tone whose levels are the mean quantiles of some films.

    Args:
        films: at least one; each `float32`, shape `(size, size)`, range `[0, 255]`.
        share: how far films are moved towards it; above 0, at most 1.
    """
    levels = np.mean([quantiles(film) for film in films], axis=0).round(3)
    return StandardTone(levels=tuple(float(level) for level in levels), share=share)
