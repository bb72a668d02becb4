"""Signs of damage in a JPEG that decodes without complaint.

Coded pixels have no checksum: once a byte has changed, a decoder reads on at the wrong
place, and about one film in ten so damaged still ends where it should. Two signs are
left. Blocks behind the damage are shifted and darker or lighter, so that the picture
has a step along one row of blocks; and long runs of zero bytes, as a failing disk or a
broken copy leaves them, are no pixels of a progressive film.
"""

import re

import numpy as np
from numpy.typing import NDArray

BLOCK = 8  # pixels along the edge of a JPEG block (T.81 A.1.1)
# Of 3,120 chest films of five sources none has a row above 2.02 times the median row;
# of 85 films in which 20 bytes were changed at random 83 have.
LARGEST_STEP = 2.1
LARGEST_DIFFERENCE = 16  # grey levels; a collimator's edge may be any height
WIDEST_SAMPLE = 1024
SHORTEST_ZEROS = 16  # bytes; the longest run in 906 sound progressive films is under 12

DOUBTFUL = (
    "Parts of this JPEG look damaged, as if bytes had been changed or lost. The score"
    " may not hold; compare the picture with the original."
)

_ZEROS = re.compile(rb"\0{%d}" % SHORTEST_ZEROS)


def has_zeros(coded: bytes) -> bool:
    """Returns whether coded pixels hold a run of zero bytes that no encoder writes.

    Args:
        coded: the pixels of a progressive scan of AC coefficients. Elsewhere such runs
            are sound: black margins give them in scans of DC coefficients.
    """
    return _ZEROS.search(coded) is not None


def has_step(pixels: NDArray[np.uint8]) -> bool:
    """Returns whether one row of blocks is set off from the next more than others are.

    For each boundary between two rows of blocks, the mean difference across it is
    divided by the mean difference between neighbouring rows on either side of it.

    Args:
        pixels: the decoded luminance, shape `(height, width)`, not turned.
    """
    rows = len(pixels) // BLOCK
    if rows < 3:
        return False
    columns = max(1, pixels.shape[1] // WIDEST_SAMPLE)
    blocks = pixels[: rows * BLOCK, ::columns].reshape(rows, BLOCK, -1)
    above = blocks[:-1, -2:].astype(np.int16)
    below = blocks[1:, :2].astype(np.int16)
    across = _difference(above[:, 1], below[:, 0])
    beside = _difference(above[:, 0], above[:, 1]) + _difference(
        below[:, 0], below[:, 1]
    )
    ratio = across / (0.5 + beside / 2)
    return bool(ratio.max() > LARGEST_STEP * max(1.0, float(np.median(ratio))))


def _difference(one: NDArray[np.int16], other: NDArray[np.int16]) -> NDArray[np.double]:
    return np.minimum(np.abs(one - other), LARGEST_DIFFERENCE).mean(axis=1)
