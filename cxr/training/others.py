"""Pictures that are no upright frontal chest film, made from films or from nothing.

It owns what the lung network's gate learns to refuse. No picture of anybody else is
needed for it: turned and inverted films come from films, lateral-like ones from both
halves of a film laid over each other, the rest (slices, limbs, pages, scenes) is drawn.
All are `float32`, 128 pixels square, in `[0, 255]`.
"""

from collections.abc import Callable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from cxr.models.lungs import SIZE

Picture = NDArray[np.float32]
Rng = np.random.Generator

_Y, _X = (axis.astype(np.float32) for axis in np.mgrid[0:SIZE, 0:SIZE])


def seen(picture: NDArray[np.generic], rng: Rng) -> Picture:
    """Returns a picture as another device or hand might show it.

    It is turned by a few degrees, shifted, stretched, and its tones are changed.

    Args:
        picture: shape `(128, 128)`, in `[0, 255]`.
        rng: decides everything.
    """
    centre = (SIZE / 2, SIZE / 2)
    turn = cv2.getRotationMatrix2D(
        centre, rng.normal(0, 4), np.exp(rng.normal(0, 0.06))
    )
    turn[:, 2] += rng.normal(0, 4, 2)
    picture = picture.astype(np.float32)
    edge = float(rng.choice([0.0, float(picture.mean())]))
    moved = cv2.warpAffine(picture, turn, (SIZE, SIZE), borderValue=edge)
    tone = (np.clip(moved, 0, 255) / 255) ** np.exp(rng.normal(0, 0.3))
    low, high = rng.uniform(0, 40), rng.uniform(200, 255)
    shown = (low + tone * (high - low)).astype(np.float32)
    if rng.random() < 0.4:
        shown = cv2.GaussianBlur(shown, (0, 0), rng.uniform(0.3, 1.2))
    if rng.random() < 0.4:
        shown = shown + rng.normal(0, rng.uniform(0, 6), shown.shape)
    return np.clip(shown, 0, 255).astype(np.float32)


def lateral_like(film: NDArray[np.generic], rng: Rng) -> Picture:
    """Returns both halves of a film laid over each other, as a view from the side has
    one lung field with the spine at its edge.

    Args:
        film: shape `(128, 128)`, in `[0, 255]`.
        rng: decides everything.
    """
    middle = SIZE // 2 + int(rng.integers(-6, 7))
    width = min(middle, SIZE - middle)
    one = film[:, middle - width : middle].astype(np.float32)
    other = film[:, middle : middle + width][:, ::-1].astype(np.float32)
    share = rng.uniform(0.3, 0.7)
    field = one * share + other * (1 - share)
    parts = [field, _behind(field, int(width * rng.uniform(0.1, 0.35)) + 1, rng)]
    if rng.random() < 0.5:
        front = other[:, -max(4, int(width * 0.3)) :]
        breadth = int(width * rng.uniform(0.1, 0.5)) + 1
        parts.insert(0, cv2.resize(front, (breadth, SIZE))[:, ::-1])
    picture = cv2.resize(np.concatenate(parts, axis=1), (SIZE, SIZE))
    picture = picture + np.linspace(0, 1, SIZE)[np.newaxis] * rng.uniform(-60, 60)
    if rng.random() < 0.5:
        margin = int(rng.integers(1, 25))
        dark = float(rng.uniform(0, 30))
        picture = cv2.copyMakeBorder(
            picture, 0, 0, margin, margin, cv2.BORDER_CONSTANT, value=dark
        )
        picture = cv2.resize(picture, (SIZE, SIZE))
    return (picture[:, ::-1] if rng.random() < 0.5 else picture).astype(np.float32)


def _behind(field: Picture, width: int, rng: Rng) -> Picture:
    """Returns the soft tissue behind the spine, `(128, width)`."""
    tone = float(field[:, -4:].mean())
    fading = np.linspace(1, rng.uniform(0.1, 0.8), width, dtype=np.float32)
    return np.full((SIZE, width), tone, np.float32) * fading


def half(film: NDArray[np.generic], rng: Rng) -> Picture:
    """Returns the left or right half of a film, as large as a film."""
    width = int(rng.integers(50, 72))
    start = 0 if rng.random() < 0.5 else SIZE - width
    part = film[:, start : start + width].astype(np.float32)
    return np.asarray(cv2.resize(part, (SIZE, SIZE)))


def detail(film: NDArray[np.generic], rng: Rng) -> Picture:
    """Returns a small part of a film, as large as a film."""
    width, height = (int(n) for n in rng.integers(30, 70, 2))
    x, y = int(rng.integers(0, SIZE - width)), int(rng.integers(0, SIZE - height))
    part = film[y : y + height, x : x + width].astype(np.float32)
    return np.asarray(cv2.resize(part, (SIZE, SIZE)))


def chest_slice(rng: Rng) -> Picture:
    """Returns a CT slice as a sketch: a body with organs, or lungs, ribs and spine."""
    cx, cy = SIZE / 2 + rng.normal(0, 4, 2)
    rx = rng.uniform(48, 62)
    ry = rx * rng.uniform(0.62, 0.85)
    body = _oval(cx, cy, rx, ry, soft=0.02)
    picture = rng.choice([0.0, 0.0, rng.uniform(0, 30)]) + body * (
        rng.uniform(90, 150) + 8 * _clouds(rng, 10)
    )
    rim = body * (1 - _oval(cx, cy, rx * 0.9, ry * 0.88, soft=0.03))
    picture = picture + rim * rng.uniform(-40, 20)
    if rng.random() < 0.67:
        picture = _with_slice_lungs(picture, cx, cy, rx, ry, rng)
    else:
        picture = _with_organs(picture, cx, cy, rx, ry, rng)
    spine = _oval(
        cx, cy + ry * rng.uniform(0.5, 0.65), rng.uniform(6, 11), rng.uniform(5, 9)
    )
    picture = _laid(picture, spine, rng.uniform(190, 255))
    for angle in np.linspace(0, 2 * np.pi, int(rng.integers(8, 16)), endpoint=False):
        rib = _oval(
            cx + 0.83 * rx * np.cos(angle),
            cy + 0.8 * ry * np.sin(angle),
            rng.uniform(2, 5),
            rng.uniform(1.5, 3),
            angle=angle + np.pi / 2,
            soft=0.3,
        )
        picture = _laid(picture, rib, rng.uniform(180, 255))
    return picture.astype(np.float32)


def _with_slice_lungs(
    picture: Picture, cx: float, cy: float, rx: float, ry: float, rng: Rng
) -> Picture:
    apart = rng.uniform(0.38, 0.5) * rx
    for side in (-1, 1):
        lung = _oval(
            cx + side * apart,
            cy + rng.normal(0, 3),
            rx * rng.uniform(0.28, 0.4),
            ry * rng.uniform(0.5, 0.72),
            angle=side * rng.uniform(0, 0.3),
        )
        specks = np.abs(_clouds(rng, 5)) * rng.uniform(0, 25)
        air = (rng.uniform(5, 45) + specks).astype(np.float32)
        picture = _laid(picture, lung, air)
    heart = _oval(
        cx - rng.uniform(-5, 12), cy - 0.2 * ry, rx * 0.25, ry * 0.3, soft=0.1
    )
    return _laid(picture, heart, rng.uniform(120, 180))


def _with_organs(
    picture: Picture, cx: float, cy: float, rx: float, ry: float, rng: Rng
) -> Picture:
    for _ in range(int(rng.integers(3, 8))):
        organ = _oval(
            cx + rng.uniform(-0.6, 0.6) * rx,
            cy + rng.uniform(-0.5, 0.5) * ry,
            rng.uniform(5, 22),
            rng.uniform(5, 18),
            angle=rng.uniform(0, 3),
            soft=0.1,
        )
        picture = picture + organ * rng.uniform(-60, 60)
    return picture


def head_slice(rng: Rng) -> Picture:
    """Returns a slice through a head as a sketch: skull, brain, ventricles."""
    cx, cy = SIZE / 2 + rng.normal(0, 4, 2)
    rx = rng.uniform(36, 56)
    ry = rx * rng.uniform(0.9, 1.3)
    picture = _oval(cx, cy, rx, ry, soft=0.02) * rng.uniform(100, 220)
    brain = _oval(cx, cy, rx * 0.85, ry * 0.87, soft=0.04)
    tissue = rng.uniform(60, 150) + _clouds(rng, 6) * rng.uniform(5, 30)
    picture = _laid(picture, brain, tissue)
    for side in (-1, 1):
        ventricle = _oval(
            cx + side * rng.uniform(4, 9),
            cy + rng.normal(0, 4),
            rng.uniform(3, 7),
            rng.uniform(8, 18),
            angle=side * 0.2,
            soft=0.2,
        )
        picture = _laid(picture, ventricle, rng.uniform(0, 240))
    return picture.astype(np.float32)


def limb(rng: Rng) -> Picture:
    """Returns a film of a limb as a sketch: shafts and a joint in soft tissue."""
    picture = np.full((SIZE, SIZE), rng.uniform(0, 40), np.float32)
    limbs = int(rng.choice([1, 1, 2, 5]))
    for place in range(limbs):
        cx = SIZE / 2 + (place - (limbs - 1) / 2) * SIZE / limbs * 0.85
        cx = cx + rng.normal(0, 3)
        width = rng.uniform(0.25, 0.42) * SIZE / limbs
        picture = _with_limb(picture, cx, width, rng)
    turns = int(rng.integers(4)) if rng.random() < 0.5 else 0
    return np.ascontiguousarray(np.rot90(picture, turns))


def _with_limb(picture: Picture, cx: float, width: float, rng: Rng) -> Picture:
    waist = 2 * np.pi * (_Y - SIZE * rng.uniform(0.3, 0.7)) / SIZE
    breadth = width * (1 + rng.uniform(-0.3, 0.3) * np.cos(waist))
    bend = rng.normal(0, 6) * np.sin(_Y / SIZE * np.pi + rng.uniform(0, 3))
    across = _X - cx - bend
    flesh = rng.uniform(70, 130) + 6 * _clouds(rng, 12)
    picture = _laid(picture, _within((across / breadth) ** 2, 0.1), flesh)
    joint = SIZE * rng.uniform(0.35, 0.65)
    head = 1 + 0.7 * np.exp(-(((_Y - joint) / (SIZE * 0.12)) ** 2))
    thickness = width * rng.uniform(0.35, 0.6) * head
    gap = 1 - 0.8 * np.exp(-(((_Y - joint) / rng.uniform(1.5, 3)) ** 2))
    bones = int(rng.choice([1, 2]))
    for bone in range(bones):
        offset = (bone - (bones - 1) / 2) * width * 0.5
        distance = np.abs(across - offset) / (thickness / bones**0.5)
        shaft = _within(distance**2, 0.15) * gap
        cortex = np.exp(-(((distance - 0.85) / 0.2) ** 2)) * shaft
        picture = picture + shaft * rng.uniform(40, 80) + cortex * rng.uniform(20, 60)
    return np.asarray(picture, np.float32)


def page(rng: Rng) -> Picture:
    """Returns a page: lines of writing, boxes and curves, dark on light or light on
    dark.
    """
    dark = rng.random() < 0.3
    ground, ink = (rng.uniform(0, 40), 230) if dark else (rng.uniform(200, 255), 40)
    scale = int(rng.integers(2, 6))
    edge = SIZE * scale
    sheet = np.full((edge, edge), round(ground), np.uint8)
    size, y = rng.uniform(0.3, 0.9), int(rng.integers(8, 40))
    while y < edge:
        if rng.random() < 0.85:
            letters = rng.integers(97, 123, int(rng.integers(8, 120)))
            letters[rng.random(len(letters)) < 0.17] = 32
            at = (int(rng.integers(2, 40)), y)
            font = int(rng.integers(0, 8))
            text = bytes(letters.astype(np.uint8)).decode()
            cv2.putText(sheet, text, at, font, size, float(ink), 1, cv2.LINE_AA)
        if rng.random() < 0.1:
            corner = (int(rng.integers(edge // 2, edge)), y + int(rng.integers(20, 80)))
            filled = -1 if rng.random() < 0.5 else 2
            start = (int(rng.integers(0, edge // 2)), y)
            cv2.rectangle(sheet, start, corner, float(rng.uniform(0, 255)), filled)
        y += int(30 * size * rng.uniform(1.1, 1.8)) + 2
    small = cv2.resize(sheet, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    return small.astype(np.float32)


def scene(rng: Rng) -> Picture:
    """Returns shapes that hide one another, in sizes as those of things in photographs
    are spread (dead leaves; Lee, Mumford and Huang 2001, doi 10.1023/A:1011109015675).
    """
    picture = np.full((SIZE, SIZE), rng.uniform(0, 255), np.float32)
    for _ in range(int(rng.integers(20, 150))):
        radius = min(3 / (rng.random() + 0.02) ** 0.7, 50)
        cx, cy = rng.uniform(0, SIZE, 2)
        angle, flat = rng.uniform(0, np.pi), rng.uniform(0.2, 1.0)
        along = (_X - cx) * np.cos(angle) + (_Y - cy) * np.sin(angle)
        across = ((_Y - cy) * np.cos(angle) - (_X - cx) * np.sin(angle)) / flat
        if rng.random() < 0.5:
            leaf = along**2 + across**2 < radius**2
        else:
            leaf = np.maximum(np.abs(along), np.abs(across)) < radius
        slope, grain = rng.normal(0, 1), rng.uniform(0, 20)
        tone = rng.uniform(0, 255) + along[leaf] * slope
        picture[leaf] = tone + rng.normal(0, grain, int(leaf.sum()))
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 1.5)))


def pattern(rng: Rng) -> Picture:
    """Returns clouds, a chessboard, a slope of grey, a nearly flat tone, or noise."""
    kind = int(rng.integers(5))
    if kind == 0:
        layers = (_clouds(rng, s) * s * rng.uniform(0.5, 3) for s in (2, 4, 8, 16, 32))
        return np.asarray(128 + sum(layers), np.float32)
    if kind == 1:
        a, b = rng.integers(4, 30, 2)
        return np.asarray(255 * ((_X // a + _Y // b) % 2), np.float32)
    if kind == 2:
        slope = _X * rng.normal(0, 2) + _Y * rng.normal(0, 2)
        return np.asarray(slope - slope.min(), np.float32)
    if kind == 3:
        grain = rng.normal(0, rng.uniform(0, 3), (SIZE, SIZE))
        return np.asarray(rng.uniform(0, 255) + grain, np.float32)
    return rng.uniform(0, 255, (SIZE, SIZE)).astype(np.float32)


OF_FILMS: dict[str, Callable[[NDArray[np.generic], Rng], Picture]] = {
    "lateral-like": lateral_like,
    "half a film": half,
    "detail of a film": detail,
}
DRAWN: dict[str, Callable[[Rng], Picture]] = {
    "chest slice": chest_slice,
    "head slice": head_slice,
    "limb": limb,
    "page": page,
    "scene": scene,
    "pattern": pattern,
}


def turned(film: NDArray[np.uint8]) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Yields what a film is wrongly shown as, by name, with the picture."""
    yield "sideways", np.ascontiguousarray(np.rot90(film, 1))
    yield "sideways", np.ascontiguousarray(np.rot90(film, 3))
    yield "upside down", np.ascontiguousarray(np.rot90(film, 2))
    yield "upside down", np.ascontiguousarray(film[::-1])
    yield "inverted", 255 - film


def _laid(picture: Picture, part: Picture, tone: float | Picture) -> Picture:
    """Returns a picture with a part, `[0, 1]`, laid over it in a tone."""
    return np.asarray(picture * (1 - part) + part * tone, np.float32)


def _oval(
    cx: float,
    cy: float,
    rx: float,
    ry: float,
    *,
    angle: float = 0.0,
    soft: float = 0.05,
) -> Picture:
    """Returns 1 inside an ellipse and 0 outside, with a soft edge."""
    along = (np.cos(angle) * (_X - cx) + np.sin(angle) * (_Y - cy)) / rx
    across = (np.cos(angle) * (_Y - cy) - np.sin(angle) * (_X - cx)) / ry
    return _within(along**2 + across**2, soft)


def _within(distance: Picture, soft: float) -> Picture:
    """Returns 1 where a squared distance is below 1, with a soft edge."""
    return np.asarray(1 / (1 + np.exp(np.clip((distance - 1) / soft, -50, 50))))


def _clouds(rng: Rng, scale: float) -> Picture:
    """Returns smooth noise of unit spread whose spots are some `scale` pixels wide."""
    edge = max(2, int(SIZE / scale))
    grain = rng.normal(0, 1, (edge, edge)).astype(np.float32)
    return np.asarray(cv2.resize(grain, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC))
