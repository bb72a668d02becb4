"""Stored values of a DICOM film to displayed tones.

Stored values go through the modality transformation, then the VOI transformation, and
MONOCHROME1 is inverted last (PS3.4 N.2). A film has at most 65,536 different stored
values, so the whole way is computed once for each of them, in double precision, and
the pixels only look their tone up.
"""

import math
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from cxr.refusals import refusal

Tones = NDArray[np.float64]


def toned(
    stored: NDArray[Any], dataset: pydicom.Dataset, notes: list[str]
) -> NDArray[np.float32]:
    """Returns the displayed tones of a grey film.

    Args:
        stored: integers of 8 or 16 bits, shape `(height, width)`, native byte order.
        dataset: the header.
        notes: gets a sentence for each thing that was unusual.

    Returns:
        `float32`, the same shape, range `[0, 255]`, bright = dense tissue.

    Raises:
        ImageError: `blank` or `not-finite`.
    """
    unsigned = np.dtype(f"u{stored.dtype.itemsize}")
    indices = stored.view(unsigned)
    values = np.arange(2 ** (8 * unsigned.itemsize), dtype=unsigned)
    values = values.view(stored.dtype).astype(np.int64)
    padding = _is_padding(values, dataset)
    with np.errstate(all="ignore"):
        measured = _measured(values.astype(np.float64), dataset)
        tones = _displayed(measured, dataset, notes)
        if tones is None:
            counts = _counts(indices, len(values))
            limits = _limits(measured, np.where(padding, 0, counts), dataset, notes)
            tones = _between(measured, *limits)
    if not np.isfinite(tones).all():
        raise refusal("not-finite")
    _note_lookup_shape(dataset, notes)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        tones = 255 - tones
    tones[padding] = 0
    return _looked_up(tones.astype(np.float32), indices)


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
    ends = [dataset.get("PixelPaddingValue"), dataset.get("PixelPaddingRangeLimit")]
    if ends[0] is None:
        return np.zeros(values.shape, dtype=bool)
    # Writers mix up US and SS here, so the pixels' own sign is taken.
    lowest = -32_768 if dataset.PixelRepresentation == 1 else 0
    given = [(end - lowest) % 65_536 + lowest for end in ends if end is not None]
    return (values >= min(given)) & (values <= max(given))


def _measured(values: Tones, dataset: pydicom.Dataset) -> Tones:
    """Returns stored values after the modality transformation (PS3.3 C.11.1)."""
    if dataset.get("ModalityLUTSequence"):
        return _through_table(values, dataset.ModalityLUTSequence[0], dataset)
    slope, intercept = dataset.get("RescaleSlope"), dataset.get("RescaleIntercept")
    if slope is None or intercept is None:
        return values
    return values * float(slope) + float(intercept)


def _through_table(
    values: Tones, item: pydicom.Dataset, dataset: pydicom.Dataset
) -> Tones:
    """Returns table entries; beyond both ends the end entries hold (PS3.3 C.11.1.1).

    pydicom's own function takes modality tables of 8 or 16 bits only.
    """
    count, first, _ = item.LUTDescriptor
    count = count or 65_536
    entries = item.LUTData
    if isinstance(entries, bytes):
        words = "<u2" if dataset.original_encoding[1] else ">u2"
        entries = np.frombuffer(entries, words if len(entries) >= 2 * count else "u1")
    index = np.clip(np.rint(values) - first, 0, count - 1).astype(np.int64)
    return np.asarray(entries, dtype=np.float64)[index]


def _displayed(
    measured: Tones, dataset: pydicom.Dataset, notes: list[str]
) -> Tones | None:
    """Returns `[0, 255]` by the header's own VOI table or window, if it has one."""
    if dataset.get("VOILUTSequence"):
        item = dataset.VOILUTSequence[0]
        brightest = 2 ** item.LUTDescriptor[2] - 1
        return np.clip(
            _through_table(measured, item, dataset) * 255 / brightest, 0, 255
        )
    center = _numbers(dataset, "WindowCenter")
    width = _numbers(dataset, "WindowWidth")
    if not center or not width:
        return None
    if len(center) > 1:
        notes.append(f"The header holds {len(center)} windows; the first is used.")
    function = str(dataset.get("VOILUTFunction") or "LINEAR").strip().upper()
    if width[0] <= (1 if function == "LINEAR" else 0):
        notes.append("The header's window has no width.")
        return None
    return window(measured, center=center[0], width=width[0], function=function)


def _numbers(dataset: pydicom.Dataset, keyword: str) -> list[float]:
    value = dataset.get(keyword)
    if value is None:
        return []
    many = isinstance(value, pydicom.multival.MultiValue | list)
    return [float(item) for item in (value if many else [value])]


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
    measured: Tones, counts: NDArray[Any], dataset: pydicom.Dataset, notes: list[str]
) -> tuple[float, float]:
    """Returns which values become black and white when the header does not say.

    With 8 bits that is the whole range: such films are shown as they are. With more,
    the detector's range is wider than the film's: the 0.5th and 99.5th percentile.
    """
    if dataset.BitsStored == 8:
        signed = dataset.PixelRepresentation == 1
        ends = measured[[-128, 127] if signed else [0, 255]]
        low, high = ends.min(), ends.max()
    else:
        notes.append("The header gives no window; the grey scale is estimated.")
        order = np.argsort(measured, kind="stable")
        share = np.cumsum(counts[order]) / max(1, counts.sum())
        low, high = measured[order][np.searchsorted(share, (0.005, 0.995))]
    if not high > low:
        raise refusal("blank" if np.isfinite([low, high]).all() else "not-finite")
    return float(low), float(high)


def _note_lookup_shape(dataset: pydicom.Dataset, notes: list[str]) -> None:
    """Notes a contradiction; the photometric interpretation holds (PS3.3 C.8.11.3)."""
    inverse = dataset.get("PresentationLUTShape") == "INVERSE"
    if inverse and dataset.PhotometricInterpretation == "MONOCHROME2":
        notes.append("The header contradicts itself on which end is bright.")
