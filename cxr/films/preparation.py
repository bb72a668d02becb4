"""From a film's pixels to the network's input, for training and serving alike.

The steps are part of every model's card (`PREPARATION`): a network that was trained
behind other steps is refused when it is loaded. A model may have a standard tone
besides (`cxr.films.tones`), which is on its card too.
"""

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cxr.films.tones import StandardTone

PREPARATION = "resize-bilinear-antialiased;low-pass-0.8"
LOW_PASS_SIGMA = 0.8  # pixels at a size of 224

Pixels = NDArray[np.float32]


def network_input(
    pixels: Pixels, size: int = 224, tone: StandardTone | None = None
) -> Pixels:
    """Returns what a network sees of a film.

    Args:
        pixels: `float32`, shape `(height, width)`, range `[0, 255]`, bright = dense.
        size: edge of the square input in pixels.
        tone: of the model, None for one that takes the tones as they are.

    Returns:
        `float32`, shape `(size, size, 1)`, range `[0, 255]`.
    """
    film = resize(pixels, size)
    return low_pass(film if tone is None else tone(film))[..., np.newaxis]


def resize(pixels: Pixels, size: int) -> Pixels:
    """Returns the film at `(size, size)`, antialiased; the aspect is not kept.

    The films of the data set come to the network squeezed to a square, so every film
    must. Pillow's bilinear filter widens with the reduction (a triangle over all the
    pixels that fall into one), which OpenCV's does not.
    """
    if pixels.shape == (size, size):
        return pixels
    reduced = Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(reduced)


def low_pass(pixels: Pixels) -> Pixels:
    """Returns a square film without its finest grain.

    JPEG noise, scanner grain and sharpening live there and differ between devices and
    between the classes of the data set; findings at this size do not.
    """
    sigma = LOW_PASS_SIGMA * pixels.shape[0] / 224
    return cv2.GaussianBlur(pixels, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
