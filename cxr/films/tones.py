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
_ALL_LEVELS = np.arange(256, dtype=np.float32)
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
        whole = _whole_levels(pixels)
        if whole is not None:
            # 256 levels are fewer than the pixels of any film.
            return self._moved(_ALL_LEVELS, rising)[whole]
        return self._moved(pixels, rising)

    def _moved(self, levels: Pixels, rising: NDArray[np.float64]) -> Pixels:
        standard = np.interp(levels, rising, self.levels)
        return (levels + self.share * (standard - levels)).astype(np.float32)


def quantiles(pixels: Pixels, n: int = LEVELS) -> NDArray[np.float64]:
    """Returns a film's grey levels at `n` evenly spaced quantiles, without its margin.

    Args:
        pixels: `float32`, shape `(height, width)`, range `[0, 255]`.
        n: at least 2.
    """
    height, width = pixels.shape
    rows, columns = round(MARGIN * height), round(MARGIN * width)
    middle = pixels[rows : height - rows, columns : width - columns]
    # The linear rule of `numpy.quantile`, which looks for each level in a partition.
    places = np.linspace(0, 1, n) * (middle.size - 1)
    below = np.floor(places).astype(np.intp)
    ranks = np.stack([below, np.minimum(below + 1, middle.size - 1)])
    lower, upper = _ranked(middle, ranks)
    part, rise = places - below, upper - lower
    return np.where(part < 0.5, lower + rise * part, upper - rise * (1 - part))


def _ranked(pixels: Pixels, ranks: NDArray[np.intp]) -> NDArray[np.float64]:
    """Returns the grey levels of these ranks among the pixels, the darkest being 0."""
    whole = _whole_levels(pixels)
    if whole is None:
        return np.sort(pixels, axis=None)[ranks].astype(np.float64)
    ends = np.cumsum(np.bincount(whole.ravel(), minlength=256))
    return np.searchsorted(ends, ranks, side="right").astype(np.float64)


def _whole_levels(pixels: Pixels) -> NDArray[np.uint8] | None:
    """Returns the pixels as bytes if each is a whole grey level, else None."""
    with np.errstate(invalid="ignore"):  # a nan is no level
        whole = pixels.astype(np.uint8)
    return whole if np.array_equal(whole, pixels) else None


def standard(films: Iterable[Pixels], share: float) -> StandardTone:
    """Returns the standard tone whose levels are the mean quantiles of some films.

    Args:
        films: at least one; each `float32`, shape `(size, size)`, range `[0, 255]`.
        share: how far films are moved towards it; above 0, at most 1.
    """
    levels = np.mean([quantiles(film) for film in films], axis=0).round(3)
    return StandardTone(levels=tuple(float(level) for level in levels), share=share)
