"""Displays the stored values of a DICOM film as tones, as the standard prescribes.

Stored values go through the modality transformation, then the VOI transformation, and
MONOCHROME1 is inverted last (PS3.4 N.2). A film has at most 65,536 different stored
values, so the tone of each is computed once, in double precision, and the pixels look
theirs up.
"""

import math
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from cxr.films.header import PHOTOMETRIC_OF_SHAPE, numbers, word, words
from cxr.films.notes import Notes
from cxr.films.palette import palette_tones
from cxr.films.refusals import refusal
from cxr.films.stored import cell_values, note_jumps
from cxr.films.tables import table

Tones = NDArray[np.float64]


def toned(
    cells: NDArray[Any], dataset: pydicom.Dataset, notes: Notes
) -> NDArray[np.float32]:
    """Returns the displayed tones of a film of one channel.

    Args:
        cells: integers of 8 or 16 bits, shape `(height, width)`, native byte order,
            as they are in the file: bits that are no part of a value are still there.
        dataset: the header.
        notes: gets a sentence for each thing that was unusual.

    Returns:
        `float32`, the same shape, range `[0, 255]`, bright = dense tissue.

    Raises:
        ImageError: `blank`, `colour`, `header` or `not-finite`.
    """
    indices = cells.view(f"u{cells.dtype.itemsize}")
    used = _used(indices)
    outside = _is_padding_cell(dataset, len(used))
    values = cell_values(used & ~outside, dataset, notes)
    note_jumps(indices, values, dataset, notes)
    padding = outside | _is_padding(values, dataset)
    shown = used & ~padding
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        tones = palette_tones(values, shown, dataset, notes)
    else:
        tones = _grey_tones(values, indices, padding, dataset, notes)
    if not np.isfinite(tones).all():
        raise refusal("not-finite")
    _note_lookup_shape(dataset, notes)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        tones = 255 - tones
    tones[padding] = 0
    return _looked_up(tones.astype(np.float32), indices)


def _grey_tones(
    values: NDArray[np.int64],
    indices: NDArray[Any],
    padding: NDArray[np.bool_],
    dataset: pydicom.Dataset,
    notes: Notes,
) -> Tones:
    """Returns the tone of each stored value, before any inversion."""
    with np.errstate(all="ignore"):  # what is not finite is refused
        measured = _measured(values.astype(np.float64), dataset, notes)
        tones = _displayed(measured, dataset, notes)
        if tones is None:
            counts = np.where(padding, 0, _counts(indices, len(values)))
            limits = _limits(measured, values, counts, dataset, notes)
            tones = _between(measured, *limits)
    return tones


def _used(indices: NDArray[Any]) -> NDArray[np.bool_]:
    """Returns for every possible cell whether it occurs."""
    used = np.zeros(2 ** (8 * indices.dtype.itemsize), dtype=bool)
    for start in range(0, len(indices), 64):  # numpy widens every index
        used[indices[start : start + 64]] = True
    return used


def _counts(indices: NDArray[Any], length: int) -> NDArray[Any]:
    """Returns how often each stored value occurs in about a million pixels."""
    step = max(1, math.isqrt(indices.size // 1_000_000))
    return np.bincount(indices[::step, ::step].ravel(), minlength=length)


def _looked_up(
    tones: NDArray[np.float32], indices: NDArray[Any]
) -> NDArray[np.float32]:
    # In parts, because numpy widens every index to eight bytes.
    pixels = np.empty(indices.shape, np.float32)
    for start in range(0, len(indices), 64):
        pixels[start : start + 64] = tones[indices[start : start + 64]]
    return pixels


def _is_padding(values: NDArray[np.int64], dataset: pydicom.Dataset) -> NDArray[Any]:
    """Returns which stored values mean "no film here" (PS3.3 C.7.5.1.1.2)."""
    ends = words(dataset, "PixelPaddingValue")[:1]
    if not ends:
        return np.zeros(values.shape, dtype=bool)
    ends += words(dataset, "PixelPaddingRangeLimit")[:1]
    if dataset.get("PixelRepresentation") == 1:
        ends = [end - 65_536 * (end >= 32_768) for end in ends]
    return (values >= min(ends)) & (values <= max(ends))


def _is_padding_cell(dataset: pydicom.Dataset, length: int) -> NDArray[np.bool_]:
    """Returns which cells are a padding value that BitsStored has no room for."""
    cells = np.arange(length)
    padding = words(dataset, "PixelPaddingValue")[:1]
    stored = int(dataset.BitsStored)
    fits = [end < 2**stored for end in padding]
    if dataset.get("PixelRepresentation") == 1:
        half = 2 ** (stored - 1)
        fits = [end < half or end >= 65_536 - half for end in padding]
    if not padding or fits[0]:
        return np.zeros(length, dtype=bool)
    return np.asarray(cells == padding[0])


def _measured(values: Tones, dataset: pydicom.Dataset, notes: Notes) -> Tones:
    """Returns stored values after the modality transformation (PS3.3 C.11.1)."""
    if dataset.get("ModalityLUTSequence"):
        item = dataset.ModalityLUTSequence[0]
        return table(item, values, notes, little_endian=_little(dataset))(values)
    slope = _rescale(dataset, "RescaleSlope", notes)
    intercept = _rescale(dataset, "RescaleIntercept", notes)
    if slope in (None, 1) and intercept in (None, 0):
        return values
    if slope is None or intercept is None:
        missing = "RescaleSlope" if slope is None else "RescaleIntercept"
        raise refusal("header", element=missing)
    return values * slope + intercept


def _rescale(dataset: pydicom.Dataset, keyword: str, notes: Notes) -> float | None:
    """Returns the one number of an element, with a point or a comma in it."""
    try:
        given = numbers(dataset, keyword)
    except ValueError:
        try:
            given = numbers(dataset, keyword, comma=True)
        except ValueError:
            raise refusal("header", element=keyword) from None
        notes.warnings.append(
            f"The header writes {keyword} with a comma; it was read so."
        )
    return given[0] if given else None


def _little(dataset: pydicom.Dataset) -> bool:
    """Returns whether the words of the file are little-endian."""
    return dataset.original_encoding[1] is not False


def _displayed(measured: Tones, dataset: pydicom.Dataset, notes: Notes) -> Tones | None:
    """Returns `[0, 255]` by the header's own VOI table or window, if it has one."""
    if dataset.get("VOILUTSequence"):
        if len(dataset.VOILUTSequence) > 1:
            notes.warnings.append(
                "The header holds several VOI tables; the first is used."
            )
        item = dataset.VOILUTSequence[0]
        shown = table(item, measured, notes, little_endian=_little(dataset))
        return shown.tones(measured, notes)
    try:
        center = numbers(dataset, "WindowCenter")
        width = numbers(dataset, "WindowWidth")
    except ValueError:
        notes.warnings.append("The header's window holds something that is no number.")
        return None
    if not center or not width:
        return None
    if len(center) > 1:
        notes.warnings.append(
            f"The header holds {len(center)} windows; the first is used."
        )
    function = word(dataset, "VOILUTFunction") or "LINEAR"
    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        notes.warnings.append(
            "The header's VOI function is not a known one; LINEAR is used."
        )
        function = "LINEAR"
    if width[0] <= (1 if function == "LINEAR" else 0):
        notes.warnings.append("The header's window has no width.")
        return None
    return window(measured, center=center[0], width=width[0], function=function)


def window(measured: Tones, *, center: float, width: float, function: str) -> Tones:
    """Returns values after a window, in `[0, 255]`.

    Args:
        measured: values after the modality transformation.
        center: middle of the window, in the unit of the values.
        width: of the window; over 1 for LINEAR, over 0 otherwise.
        function: "LINEAR", "LINEAR_EXACT" or "SIGMOID"; all else is LINEAR.

    Reference:
        DICOM PS3.3 C.11.2.1.2.1 (LINEAR), C.11.2.1.3.1 (SIGMOID), C.11.2.1.3.2
        (LINEAR_EXACT).
    """
    if function == "SIGMOID":
        return 255 / (1 + np.exp(-4 * (measured - center) / width))
    if function == "LINEAR_EXACT":
        return _between(measured, center - width / 2, center + width / 2)
    half = (width - 1) / 2
    return _between(measured, center - 0.5 - half, center - 0.5 + half)


def _between(measured: Tones, low: float, high: float) -> Tones:
    return np.clip((measured - low) * (255 / (high - low)), 0, 255)


def _limits(
    measured: Tones,
    values: NDArray[np.int64],
    counts: NDArray[Any],
    dataset: pydicom.Dataset,
    notes: Notes,
) -> tuple[float, float]:
    """Returns which values become black and white when the header does not say.

    With 8 bits that is the whole range: such films are shown as they are. With more,
    the detector's range is wider than the film's: the 0.5th and 99.5th percentile.
    """
    if dataset.BitsStored == 8:
        ends = measured[[values.argmin(), values.argmax()]]
        low, high = ends.min(), ends.max()
    else:
        notes.warnings.append(
            "The header gives no window; the grey scale is estimated."
        )
        order = np.argsort(measured, kind="stable")
        share = np.cumsum(counts[order]) / max(1, counts.sum())
        low, high = measured[order][np.searchsorted(share, (0.005, 0.995))]
    if not high > low:
        raise refusal("blank" if np.isfinite([low, high]).all() else "not-finite")
    return float(low), float(high)


def _note_lookup_shape(dataset: pydicom.Dataset, notes: Notes) -> None:
    """Notes a contradiction; the photometric interpretation holds (PS3.3 C.8.11.3)."""
    meant = PHOTOMETRIC_OF_SHAPE.get(word(dataset, "PresentationLUTShape"))
    if meant not in (None, dataset.PhotometricInterpretation):
        notes.cautions.append(
            "The header contradicts itself on which end is bright, so viewers differ:"
            " check that the film is not inverted."
        )
