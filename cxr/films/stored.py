"""Which bits of a DICOM film's pixel cells hold its values.

A cell has BitsAllocated bits; BitsStored of them, from HighBit downwards, are the value
(PS3.5 8.1.1). The others may hold anything, an overlay for instance, and are left out.
Headers are wrong about HighBit often enough that the cells have a say.
"""

from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from cxr.films.notes import Notes
from cxr.films.refusals import refusal

SAMPLED_SIDE = 300
# Of neighbours in the sample. 410 films from two sources: with the right sign at most
# 0.0045, with the wrong one at least 0.007 and 3.9 times as much.
MAX_JUMPING_SHARE = 0.005
MIN_JUMPING_RATIO = 3

LOW_AFTER_ALL = (
    "The header puts the values at other bits (HighBit) than the pixels do; they were"
    " read where they are."
)
OTHER_BITS = (
    "Bits of the pixels that the header leaves unused (BitsStored, HighBit) vary. If"
    " they are no overlay, the grey tones are wrong."
)
OTHER_SIGN = (
    "The stored values jump from one end to the other all over the film, as if the"
    " header were wrong about their sign (PixelRepresentation). The score may not hold."
)
TAKEN_AS_UNSIGNED = "The header lacks PixelRepresentation; no pixel needs a sign."


def cell_values(
    used: NDArray[np.bool_], dataset: pydicom.Dataset, notes: Notes
) -> NDArray[np.int64]:
    """Returns the stored value of every possible cell.

    Args:
        used: for each of the `2 ** BitsAllocated` cells, read as an unsigned number,
            whether it occurs in the film.
        dataset: the header; HighBit and PixelRepresentation may be missing.
        notes: gets a sentence if the cells contradict the header.

    Returns:
        One stored value for each cell, `used.shape`.

    Raises:
        ImageError: `header`, naming the element, if two readings are possible.
    """
    cells = np.arange(len(used), dtype=np.int64)
    present = cells[used]
    stored = int(dataset.BitsStored)
    shift = _shift(present, dataset, notes)
    if _others_vary(present, shift, dataset):
        notes.cautions.append(OTHER_BITS)
    values = (cells >> shift) & (2**stored - 1)
    if _is_signed(values[used], dataset, notes):
        values = np.where(values >> (stored - 1) == 1, values - 2**stored, values)
    return values


def _shift(present: NDArray[Any], dataset: pydicom.Dataset, notes: Notes) -> int:
    """Returns by how many bits the values lie above the lowest bit."""
    allocated, stored = int(dataset.BitsAllocated), int(dataset.BitsStored)
    high_bit = dataset.get("HighBit")
    high_bit = stored - 1 if high_bit is None else int(high_bit)
    shift = high_bit + 1 - stored
    if shift == 0:
        _check_not_at_the_top(present, dataset)
        return 0
    if shift < 0:
        _check_sign_bit(present, high_bit, dataset)
    at_the_bottom = bool((present & (2**shift - 1)).any()) if shift > 0 else True
    if high_bit >= allocated or (at_the_bottom and _fits_low(present, dataset)):
        notes.warnings.append(LOW_AFTER_ALL)
        return 0
    if shift < 0:
        raise refusal("header", element="HighBit")
    return shift


def _fits_low(present: NDArray[Any], dataset: pydicom.Dataset) -> bool:
    """Returns whether all cells are numbers of BitsStored bits, signed or not."""
    stored, allocated = int(dataset.BitsStored), int(dataset.BitsAllocated)
    half, whole = 2 ** (stored - 1), 2**allocated
    if dataset.get("PixelRepresentation") == 1:
        extended = (present < half) | (present >= whole - half)
        return bool(extended.all() or (present < 2 * half).all())
    return bool((present < 2 * half).all())


def _check_not_at_the_top(present: NDArray[Any], dataset: pydicom.Dataset) -> None:
    """Refuses cells whose lowest bits are empty although the values should be there."""
    gap = int(dataset.BitsAllocated) - int(dataset.BitsStored)
    empty = gap and not (present & (2**gap - 1)).any()
    if empty and not _fits_low(present, dataset):
        raise refusal("header", element="HighBit")


def _check_sign_bit(
    present: NDArray[Any], high_bit: int, dataset: pydicom.Dataset
) -> None:
    """Refuses signed values that HighBit and BitsStored give different signs."""
    if dataset.get("PixelRepresentation") != 1:
        return
    stored = int(dataset.BitsStored)
    low = present & (2 ** (high_bit + 1) - 1)
    negative = low >> high_bit == 1
    by_high_bit = np.where(negative, low - 2 ** (high_bit + 1), low)
    low = present & (2**stored - 1)
    by_stored = np.where(low >> (stored - 1) == 1, low - 2**stored, low)
    if (by_high_bit != by_stored).any():
        raise refusal("header", element="HighBit")


def _others_vary(present: NDArray[Any], shift: int, dataset: pydicom.Dataset) -> bool:
    """Returns whether bits outside of the values differ between cells."""
    stored, allocated = int(dataset.BitsStored), int(dataset.BitsAllocated)
    below = present & (2**shift - 1)
    above = present >> (shift + stored)
    if dataset.get("PixelRepresentation") == 1:
        sign = (present >> (shift + stored - 1)) & 1
        extended = above == sign * (2 ** (allocated - shift - stored) - 1)
        above = np.where(extended, 0, above)
    return bool(np.ptp(below) or np.ptp(above))


def _is_signed(
    values: NDArray[np.int64], dataset: pydicom.Dataset, notes: Notes
) -> bool:
    representation = dataset.get("PixelRepresentation")
    if representation is not None:
        return bool(representation == 1)
    if (values >= 2 ** (int(dataset.BitsStored) - 1)).any():
        raise refusal("header", element="PixelRepresentation")
    notes.warnings.append(TAKEN_AS_UNSIGNED)
    return False


def note_jumps(
    cells: NDArray[Any],
    values: NDArray[np.int64],
    dataset: pydicom.Dataset,
    notes: Notes,
) -> None:
    """Notes values that would be smooth if they had the other sign.

    Args:
        cells: the film as unsigned integers, shape `(height, width)`.
        values: the stored value of every possible cell.
        dataset: the header.
        notes: gets a sentence if the sign seems wrong.
    """
    down, across = (max(1, side // SAMPLED_SIDE) for side in cells.shape)
    sample = values[cells[::down, ::across]]
    half = 2 ** (int(dataset.BitsStored) - 1)
    lowest = int(values.min())
    turned_over = (sample - lowest + half) % (2 * half)
    jumping = _jumping_share(sample, half)
    other = _jumping_share(turned_over, half)
    if jumping > max(MAX_JUMPING_SHARE, MIN_JUMPING_RATIO * other):
        notes.cautions.append(OTHER_SIGN)


def _jumping_share(values: NDArray[np.int64], step: int) -> float:
    """Returns the share of neighbours in a row that are more than a step apart."""
    return float(np.mean(np.abs(np.diff(values, axis=1)) > step))
