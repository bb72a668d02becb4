"""A network's activation map to a heat map over the film.

With global average pooling and a linear head, Grad-CAM (Selvaraju et al. 2017, arXiv
1610.02391) is the rectified class activation map up to a constant factor, so the map
that came with the score is all that is needed: no gradient, no second inference.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

# Perceptually even scales; none of them runs through green.
COLOUR_MAPS = {
    "Inferno": cv2.COLORMAP_INFERNO,
    "Viridis": cv2.COLORMAP_VIRIDIS,
    "Cividis": cv2.COLORMAP_CIVIDIS,
}


def heatmap(
    activation_map: NDArray[np.float32], *, scale: float, height: int, width: int
) -> NDArray[np.float32]:
    """Returns where the evidence for pneumonia lies, over the whole film.

    The scale is fixed for a model and not stretched to each film: a film without
    evidence has an empty map.

    Args:
        activation_map: `float32`, shape `(h, w)`, in logits.
        scale: the activation at which the map is full, above 0; on the model's card.
        height: rows of the film.
        width: columns of the film.

    Returns:
        `float32`, shape `(height, width)`, range `[0, 1]`.

    Raises:
        ValueError: the scale is not above 0.
    """
    if not scale > 0:
        raise ValueError(f"expected a scale above 0, received {scale=}")
    rectified = np.clip(activation_map / scale, 0, 1)
    return cv2.resize(rectified, (width, height), interpolation=cv2.INTER_LINEAR)


def overlay(
    pixels: NDArray[np.float32],
    heat: NDArray[np.float32],
    *,
    opacity: float,
    colour_map: str,
) -> NDArray[np.uint8]:
    """Returns the film with the heat map over it.

    Args:
        pixels: `float32`, shape `(height, width)`, range `[0, 255]`.
        heat: `float32`, same shape, range `[0, 1]`; where it is 0 the film is bare.
        opacity: of full heat, `[0, 1]`.
        colour_map: one of `COLOUR_MAPS`.

    Returns:
        `uint8`, shape `(height, width, 3)`, RGB.

    Raises:
        ValueError: no such colour map.
    """
    if colour_map not in COLOUR_MAPS:
        raise ValueError(
            f"expected one of {', '.join(COLOUR_MAPS)}, received {colour_map=}"
        )
    levels = np.rint(heat * 255).astype(np.uint8)
    bgr = cv2.applyColorMap(levels, COLOUR_MAPS[colour_map])
    colour = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    film = cv2.cvtColor(np.rint(pixels).astype(np.uint8), cv2.COLOR_GRAY2RGB)
    share = np.float32(opacity) * heat
    return cv2.blendLinear(colour, film, share, 1 - share)
