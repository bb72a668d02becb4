"""What is changed about a training film, drawn at random."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cxr.films import changes
from cxr.films.changes import Draws, Marker, Patch

Pixels = NDArray[np.float32]


def draw(rng: np.random.Generator, *, n_references: int) -> Draws:
    """Returns one set of draws; nothing in it depends on the film or its label.

    Args:
        rng: the source of randomness; the same state gives the same draws.
        n_references: number of films to borrow a tone curve from; 0 for none.
    """
    borrow = n_references > 0 and rng.random() < 0.8
    aspect, fill = _draw_aspect(rng)
    return Draws(
        reference=int(rng.integers(n_references)) if borrow else None,
        tone_share=float(rng.uniform(0.5, 1.0)) if rng.random() < 0.8 else 0.0,
        texture_share=float(rng.uniform(0.5, 1.0)) if rng.random() < 0.7 else 0.0,
        equalise=float(rng.uniform(1.0, 4.0)) if rng.random() < 0.15 else 0.0,
        gamma=float(np.exp(rng.uniform(-0.35, 0.35))),
        contrast=float(rng.uniform(0.8, 1.2)),
        brightness=float(rng.uniform(-15, 15)),
        sharpness=_draw_sharpness(rng),
        grain=float(rng.uniform(1, 8)) if rng.random() < 0.3 else 0.0,
        jpeg=int(rng.integers(40, 96)) if rng.random() < 0.3 else 0,
        reduce=int(rng.integers(96, 200)) if rng.random() < 0.2 else 0,
        shade=float(rng.uniform(0.1, 0.5)) if rng.random() < 0.25 else 0.0,
        shade_towards=float(rng.uniform(0, 360)),
        vignette=float(rng.uniform(0.1, 0.5)) if rng.random() < 0.25 else 0.0,
        flip=bool(rng.random() < 0.5),
        rotation=float(rng.uniform(-8, 8)),
        zoom=float(rng.uniform(0.93, 1.2)) * fill,
        aspect=aspect,
        shift=(float(rng.uniform(-0.06, 0.06)), float(rng.uniform(-0.06, 0.06))),
        borders=_draw_borders(rng),
        patches=tuple(_draw_patch(rng) for _ in range(rng.poisson(0.7)))
        + tuple(_draw_line(rng) for _ in range(rng.poisson(0.3))),
        markers=tuple(_draw_marker(rng) for _ in range(rng.poisson(0.9))),
        seed=int(rng.integers(2**31)),
    )


def draw_harder(rng: np.random.Generator, *, n_references: int) -> Draws:
    """Returns draws as `draw` does, further out and with more damage.

    For the later epochs of a run: from the first epoch on a network learns slowly from
    such films. Args as for `draw`.
    """
    drawn = draw(rng, n_references=n_references)
    framed = rng.random() < 0.25
    return replace(
        drawn,
        contrast=float(np.exp(rng.uniform(-0.4, 0.4))),
        steepness=float(rng.uniform(4, 9)) if rng.random() < 0.12 else 0.0,
        brightness=float(rng.uniform(-25, 25)),
        rotation=float(rng.uniform(-12, 12)),
        zoom=drawn.zoom * float(np.exp(rng.uniform(-0.04, 0.14))),
        borders=(float(rng.uniform(0.02, 0.13)),) * 4 if framed else drawn.borders,
        dead_pixels=int(rng.integers(5, 60)) if rng.random() < 0.15 else 0,
    )


def draw_plain(rng: np.random.Generator) -> Draws:
    """Returns the draws of ordinary augmentation: position, brightness, noise.

    What networks on this data set are usually trained with; beside `draw` it shows
    what the randomised style of acquisition is worth.
    """
    return Draws(
        contrast=float(rng.uniform(0.85, 1.15)),
        brightness=float(rng.uniform(-15, 15)),
        grain=float(rng.uniform(1, 5)) if rng.random() < 0.3 else 0.0,
        flip=bool(rng.random() < 0.5),
        rotation=float(rng.uniform(-8, 8)),
        zoom=float(rng.uniform(0.95, 1.15)),
        shift=(float(rng.uniform(-0.05, 0.05)), float(rng.uniform(-0.05, 0.05))),
        seed=int(rng.integers(2**31)),
    )


def _draw_aspect(rng: np.random.Generator) -> tuple[float, float]:
    """Returns width over height, and a zoom up to that at which the frame is filled.

    Films are reduced to a square whatever their shape, and in the public data set those
    with pneumonia are wider: 1.52 against 1.22 in the median. An even distribution that
    is wider than this difference leaves nothing to be learned from the distortion.
    """
    aspect = float(np.exp(rng.uniform(-0.4, 0.4)))
    stretch = float(np.sqrt(max(aspect, 1 / aspect)))
    return aspect, stretch ** float(rng.uniform())


def _draw_sharpness(rng: np.random.Generator) -> float:
    kind = rng.random()
    if kind < 0.3:
        return -float(rng.uniform(0.4, 1.6))
    if kind < 0.6:
        return float(rng.uniform(0.3, 2.0))
    return 0.0


def _draw_borders(rng: np.random.Generator) -> tuple[float, float, float, float]:
    if rng.random() > 0.35:
        return (0.0, 0.0, 0.0, 0.0)
    sides = rng.uniform(0, 0.12, 4) * (rng.random(4) < 0.6)
    return (float(sides[0]), float(sides[1]), float(sides[2]), float(sides[3]))


def _draw_patch(rng: np.random.Generator) -> Patch:
    height, width = rng.uniform(0.05, 0.18, 2)
    at_top, at_left = rng.random() < 0.6, rng.random() < 0.5
    inset = rng.uniform(0, 0.05, 2)
    return Patch(
        top=float(inset[0] if at_top else 1 - height - inset[0]),
        left=float(inset[1] if at_left else 1 - width - inset[1]),
        height=float(height),
        width=float(width),
        grey=float(rng.choice([0.0, rng.uniform(0, 255)])),
    )


def _draw_line(rng: np.random.Generator) -> Patch:
    """Returns a row or column of a detector that is dead or saturated."""
    place, across = float(rng.random()), rng.random() < 0.5
    return Patch(
        top=place if across else 0.0,
        left=0.0 if across else place,
        height=0.001 if across else 1.0,
        width=1.0 if across else 0.001,
        grey=float(rng.choice([0.0, 255.0, rng.uniform(0, 255)])),
    )


def _draw_marker(rng: np.random.Generator) -> Marker:
    """Returns a side marker or a line of exposure text, somewhere along a side."""
    is_side = rng.random() < 0.6
    choices = _SIDE_TEXTS if is_side else _EXPOSURE_TEXTS
    text = choices[int(rng.integers(len(choices)))](rng)
    at_top = rng.random() < 0.75
    return Marker(
        text=text,
        row=float(rng.uniform(0.06, 0.3) if at_top else rng.uniform(0.8, 0.99)),
        column=float(rng.choice([rng.uniform(0, 0.25), rng.uniform(0.65, 0.93)])),
        size=float(rng.uniform(0.03, 0.09) if is_side else rng.uniform(0.018, 0.035)),
        grey=float(rng.uniform(180, 255) if rng.random() < 0.9 else rng.uniform(0, 60)),
        font=int(rng.integers(len(changes.FONTS))),
        boxed=bool(rng.random() < 0.15),
        turned=bool(rng.random() < 0.1),
    )


_Text = Callable[[np.random.Generator], str]

_SIDE_TEXTS: tuple[_Text, ...] = (
    lambda rng: "R",
    lambda rng: "L",
    lambda rng: "RE",
    lambda rng: "AP",
    lambda rng: "PA",
    lambda rng: "P",
    lambda rng: f"R {chr(int(rng.integers(65, 91)))}{chr(int(rng.integers(65, 91)))}",
)
_EXPOSURE_TEXTS: tuple[_Text, ...] = (
    lambda rng: f"{rng.integers(45, 125)}kV {rng.uniform(0.5, 9):.1f}mAs",
    lambda rng: f"{rng.integers(0, 24):02d}:{rng.integers(0, 60):02d}",
    lambda rng: f"{rng.integers(10**5, 10**7)}",
    lambda rng: f"AP SUPINE {rng.integers(1, 99)}",
    lambda rng: "PORTABLE",
)
