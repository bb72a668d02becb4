"""Burned-in letters: put on a film, found, moved and erased."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from cxr.films import changes
from cxr.films.changes import Marker

Pixels = NDArray[np.float32]
Mask = NDArray[np.bool_]

STROKE = 11  # pixels at a size of 224; a bright structure as wide as this is no stroke
CONTRAST = 30.0  # grey levels of a stroke above what is around it
EDGE = 23.0  # mean grey levels per pixel at the edges; of bones they are softer
BRIGHTER = 0.25  # most of the ground that may be brighter than a letter


@dataclass(frozen=True, kw_only=True)
class Letter:
    """One bright burned-in mark; all in pixels of its film.

    Attributes:
        top: first row.
        left: first column.
        height: rows.
        width: columns.
    """

    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """The burned-in letters of a film.

    Attributes:
        letters: each connected mark, from the top left.
        mask: bool, the film's shape; set on the letters.
    """

    letters: tuple[Letter, ...]
    mask: Mask


def add(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """Returns the film with a side marker in one upper corner and text in the other.

    Args:
        pixels: `float32`, shape `(size, size)`, range `[0, 255]`; stays as it is.
        rng: the same state gives the same letters.
    """
    sides = rng.permutation(2)
    side = _side_marker(rng, at_left=bool(sides[0] == 0))
    exposure = _exposure_text(rng, at_left=bool(sides[1] == 0))
    return changes.write(changes.write(pixels, side), exposure)


def find(pixels: NDArray[np.float32] | NDArray[np.uint8]) -> Found:
    """Returns the bright letters near the border of a film.

    What is told from anatomy by: thin bright strokes (white top-hat) that form a small
    connected component with hard edges on darker ground, outside the middle
    of the film where lungs and mediastinum are. Tubes, buttons and clips near the
    border can pass for letters; faint letters and dark ones are missed.

    Args:
        pixels: `float32` or `uint8`, shape `(size, size)`, range `[0, 255]`.
    """
    film = np.asarray(pixels, np.float32)
    unit = film.shape[0] / 224
    kernel = np.ones((2 * round(STROKE * unit / 2) + 1,) * 2, np.uint8)
    hat = cv2.morphologyEx(film, cv2.MORPH_TOPHAT, kernel)
    strokes = (hat > CONTRAST).astype(np.uint8)
    count, codes, boxes, centres = cv2.connectedComponentsWithStats(strokes)
    slope = cv2.magnitude(
        cv2.Sobel(film, cv2.CV_32F, 1, 0, scale=0.125),
        cv2.Sobel(film, cv2.CV_32F, 0, 1, scale=0.125),
    )
    mask = np.zeros(film.shape, np.bool_)
    letters = []
    for code in range(1, count):
        left, top, width, height, area = (int(value) for value in boxes[code])
        letter = Letter(top=top, left=left, height=height, width=width)
        if not _is_sized(letter, area, unit) or not _is_outside(centres[code], film):
            continue
        if _stands_out(film, slope, codes == code, letter):
            letters.append(letter)
            mask |= codes == code
    letters.sort(key=lambda letter: (letter.top, letter.left))
    return Found(letters=tuple(letters), mask=mask)


def erase(pixels: Pixels, found: Found) -> Pixels:
    """Returns the film with the letters painted over from what is around them.

    Reference:
        Telea, J. Graph. Tools 9 (2004) 23-34 (inpainting by fast marching).
    """
    if not found.letters:
        return pixels.copy()
    around = cv2.dilate(found.mask.astype(np.uint8), np.ones((5, 5), np.uint8))
    whole = np.rint(pixels).astype(np.uint8)
    painted = cv2.inpaint(whole, around, 5, cv2.INPAINT_TELEA)
    return np.where(around > 0, painted.astype(np.float32), pixels)


def move(pixels: Pixels, found: Found) -> Pixels:
    """Returns the film with the letters at the other side, upright, at their height.

    They are cut out as transparent ink: how much of the way from the ground to the
    brightest level each pixel has gone.
    """
    bare = erase(pixels, found)
    moved = bare.copy()
    size = pixels.shape[1]
    for start, end in _columns(found.letters):
        group = [x for x in found.letters if start <= x.left < end]
        peak = max(float(pixels[_window(x)].max()) for x in group)
        ink = np.clip((pixels - bare) / np.maximum(peak - bare, 1), 0, 1)
        offset = (size - end) - start
        for letter in group:
            rows, columns = _window(letter, margin=2, size=size)
            there = slice(
                max(columns.start + offset, 0), min(columns.stop + offset, size)
            )
            cut = ink[rows, there.start - offset : there.stop - offset]
            moved[rows, there] += cut * (peak - moved[rows, there])
    return np.clip(moved, 0, 255)


def _is_sized(letter: Letter, area: int, unit: float) -> bool:
    height, width = letter.height / unit, letter.width / unit
    filled = area / (letter.height * letter.width)
    # Wider than two heights is the edge of a collimator, not a letter.
    return (
        4 <= height <= 26
        and 2 <= width <= min(40, 2 * height)
        and area >= 7 * unit**2
        and filled > 0.2
    )


def _is_outside(centre: NDArray[np.float64], film: Pixels) -> bool:
    column, row = centre / film.shape[0]
    return bool(column < 0.2 or column > 0.8 or row < 0.12 or row > 0.92)


def _stands_out(film: Pixels, slope: Pixels, ink: Mask, letter: Letter) -> bool:
    rows, columns = _window(letter, margin=6, size=film.shape[0])
    film, slope = film[rows, columns], slope[rows, columns]
    marks = ink[rows, columns].astype(np.uint8)
    square = np.ones((3, 3), np.uint8)
    edge = cv2.morphologyEx(marks, cv2.MORPH_GRADIENT, square) > 0
    near = cv2.dilate(marks, square, iterations=2)
    ground = film[(cv2.dilate(near, square, iterations=3) - near) > 0]
    bright = film[marks > 0]
    return bool(
        slope[edge].mean() > EDGE
        and ground.size
        and bright.mean() > np.median(ground) + CONTRAST
        and (ground > bright.mean()).mean() < BRIGHTER
    )


def _columns(letters: tuple[Letter, ...]) -> list[tuple[int, int]]:
    """Returns the first and last column of each group of letters side by side."""
    groups: list[tuple[int, int]] = []
    for letter in sorted(letters, key=lambda x: x.left):
        end = letter.left + letter.width
        if groups and letter.left <= groups[-1][1] + 12:
            groups[-1] = (groups[-1][0], max(groups[-1][1], end))
        else:
            groups.append((letter.left, end))
    return groups


def _window(
    letter: Letter, *, margin: int = 0, size: int = 1 << 30
) -> tuple[slice, slice]:
    return (
        slice(
            max(letter.top - margin, 0), min(letter.top + letter.height + margin, size)
        ),
        slice(
            max(letter.left - margin, 0), min(letter.left + letter.width + margin, size)
        ),
    )


def _side_marker(rng: np.random.Generator, *, at_left: bool) -> Marker:
    texts = ("R", "L", "RE", "AP", "R AB")
    text = texts[int(rng.integers(len(texts)))]
    size = float(rng.uniform(0.05, 0.08))
    inset = float(rng.uniform(0.02, 0.1))
    width = size * 0.95 * len(text)
    return Marker(
        text=text,
        row=float(rng.uniform(0.1, 0.25)),
        column=inset if at_left else 1 - inset - width,
        size=size,
        grey=float(rng.uniform(210, 255)),
        font=int(rng.integers(2)),
        boxed=False,
        turned=False,
    )


def _exposure_text(rng: np.random.Generator, *, at_left: bool) -> Marker:
    lines: tuple[Callable[[], str], ...] = (
        lambda: f"{rng.integers(50, 90)}kV {rng.uniform(1, 5):.1f}mAs",
        lambda: f"{rng.integers(0, 24):02d}:{rng.integers(0, 60):02d}",
        lambda: f"AP {rng.integers(10, 99)}",
    )
    text = lines[int(rng.integers(len(lines)))]()
    size = float(rng.uniform(0.025, 0.035))
    width = size * 0.95 * len(text)
    return Marker(
        text=text,
        row=float(rng.choice([rng.uniform(0.05, 0.1), rng.uniform(0.93, 0.98)])),
        column=0.02 if at_left else max(0.5, 0.98 - width),
        size=size,
        grey=float(rng.uniform(190, 255)),
        font=int(rng.integers(2)),
        boxed=False,
        turned=False,
    )
