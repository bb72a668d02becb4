"""A film as a picture for the screen or a file: its window, a part of it, its lungs."""

import io

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

SCREEN_EDGE = 1400  # pixels: what a page shows; more than any network sees
QUALITY = 95  # of a packed JPEG; the largest error on films is 9 of 255 grey levels


def picture(pixels: NDArray[np.float32], longest_edge: int) -> NDArray[np.uint8]:
    """Returns a film as whole grey levels, made smaller to fit the screen.

    Args:
        pixels: `float32`, shape `(height, width)`, range `[0, 255]`.
        longest_edge: of the result, in pixels; a smaller film keeps its size.

    Returns:
        `uint8`, shape `(height, width)` in the proportions of the film.
    """
    scale = min(1.0, longest_edge / max(pixels.shape))
    if scale < 1:
        size = (round(pixels.shape[1] * scale), round(pixels.shape[0] * scale))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))
    return np.rint(pixels).astype(np.uint8)


def packed(picture: NDArray[np.uint8], *, lossless: bool = True) -> bytes:
    """Returns a picture as a small file in memory, to be kept and shown later.

    Args:
        picture: `uint8`, shape `(height, width)`.
        lossless: as PNG; else as JPEG of quality `QUALITY`, a third as large or less.
    """
    kind, options = ".png", [cv2.IMWRITE_PNG_COMPRESSION, 1]
    if not lossless:
        kind, options = ".jpg", [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
    return cv2.imencode(kind, picture, options)[1].tobytes()


def unpacked(content: bytes) -> NDArray[np.uint8]:
    """Returns the picture in what `packed` made, `uint8`, shape `(height, width)`."""
    stored = np.frombuffer(content, np.uint8)
    return np.asarray(cv2.imdecode(stored, cv2.IMREAD_GRAYSCALE), np.uint8)


def windowed(
    picture: NDArray[np.uint8], *, centre: float, width: float, inverted: bool
) -> NDArray[np.uint8]:
    """Returns a picture whose tones within a window fill the whole range.

    Args:
        picture: `uint8`, shape `(height, width)`.
        centre: the grey level that becomes middle grey, `[0, 255]`.
        width: of the window in grey levels, above 0; 255 at 127.5 changes nothing.
        inverted: whether bright and dark change places.
    """
    levels = np.arange(256, dtype=np.float64)
    shown = np.clip((levels - centre) / width + 0.5, 0, 1) * 255
    table = np.rint(255 - shown if inverted else shown).astype(np.uint8)
    return table[picture]


def part(
    picture: NDArray[np.uint8], *, zoom: float, x: float, y: float
) -> NDArray[np.uint8]:
    """Returns the part of a picture that is seen when it is enlarged.

    Args:
        picture: shape `(height, width)` or `(height, width, 3)`.
        zoom: how many times the part fits into each edge, at least 1.
        x: where the part lies from left to right, `[0, 1]`.
        y: from top to bottom, `[0, 1]`.
    """
    height, width = picture.shape[:2]
    rows, columns = max(1, round(height / zoom)), max(1, round(width / zoom))
    top, left = round(y * (height - rows)), round(x * (width - columns))
    return picture[top : top + rows, left : left + columns]


def outlined(
    picture: NDArray[np.uint8], *masks: NDArray[np.bool_], colour: tuple[int, int, int]
) -> NDArray[np.uint8]:
    """Returns a picture with the edge of each mask drawn on it, in RGB.

    Args:
        picture: `uint8`, shape `(height, width)`.
        masks: of any size, over the whole picture.
        colour: of the line, RGB.
    """
    height, width = picture.shape
    drawn = cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB)
    line = max(1, round(max(height, width) / 400))
    for mask in masks:
        large = cv2.resize(
            mask.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR
        )
        edges, _ = cv2.findContours(
            (large > 0.5).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
        )
        cv2.drawContours(drawn, edges, -1, colour, line, cv2.LINE_AA)
    return np.asarray(drawn)


def png(picture: NDArray[np.uint8]) -> bytes:
    """Returns a picture as a PNG file without text, profile or other metadata.

    Args:
        picture: shape `(height, width)`, or `(height, width, 3)` in RGB.
    """
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG")
    return stream.getvalue()
