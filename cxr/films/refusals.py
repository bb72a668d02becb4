"""Why a film is refused before any model sees it: reasons, limits, shared checks.

Every refusal of `cxr.films.film`, `cxr.films.dicom` and `cxr.films.decoding` is an
`ImageError` whose code is a key of `REFUSALS`. Codes are stable; sentences may get
better.

The checks here hold for every format. They find files that decode without an error and
yet hold no film: damaged pixel data often does.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cxr.errors import ImageError

MAX_FILE_BYTES = 50_000_000
MAX_PIXELS = 64_000_000
MAX_SIDE = 12_000
MIN_SIDE = 128
MAX_ASPECT = 3.0

MAX_CHANNEL_SPREAD = 4.0  # mean grey levels; JPEG leaves less than 2 on a grey film
MIN_CONTRAST = 10.0  # grey levels between the 1st and 99th percentile; films have 85
MIN_LEVELS = 16  # different grey levels in a sample; films have 110
MAX_FLAT_SHARE = 0.4  # of the rows or columns; collimated films reach 0.17
MAX_NOISE = 0.8  # step to the next pixel over spread: white noise 1.13, films 0.17
MIN_LOST_SHARE = 0.02  # of the rows, at the lower edge

REFUSALS = {
    # The file
    "not-opened": "The file can't be opened. Check that it is still there and that it"
    " may be read.",
    "empty": "The file is empty. Export the film again.",
    "too-large": "The file is larger than 50 MB. Export the film at its normal size, or"
    " as JPEG.",
    "not-an-image": "This is not an image that can be read. Use PNG, JPEG or DICOM.",
    "incomplete": "Incomplete file: a part of the film is missing. Transfer or export"
    " it again.",
    "unreadable": "The file is damaged and can't be read. Export the film again.",
    "too-many-scans": "The JPEG file is built of more than {most} layers, which no film"
    " is. Export the film again.",
    "too-slow": "Reading the file took longer than {seconds:g} seconds and was stopped."
    " Export the film again.",
    "decoder-failed": "The file stopped the image reader and was set aside. Other films"
    " are not affected; export this one again.",
    # The picture
    "too-many-pixels": "The picture is larger than 64 million pixels, or 12,000 a side."
    " Export the film at its normal size.",
    "too-small": "The picture has {width} x {height} pixels; at least 128 a side are"
    " needed. Use the original film, not a thumbnail.",
    "too-narrow": "The picture is {width} x {height} pixels, more than three times as"
    " long as wide. Use the whole film.",
    "multi-frame": "The file holds {frames} pictures. Export the one film to be read.",
    "colour": "The picture is in colour; a chest X-ray is grey. Export the film itself,"
    " not a photo or a coloured view.",
    "transparent": "Parts of the picture are transparent, so what it shows depends on"
    " the viewer. Export the film without transparency.",
    "few-tones": "The picture has too few grey levels for a film. Export it with 8 bits"
    " or more.",
    "blank": "The picture is blank or nearly without contrast. Check the exposure,"
    " the display window and the scaling of its bits, and export the film again.",
    "narrow-tones": "The film uses so few of its grey levels that it is nearly one flat"
    " tone: the window or the scaling does not fit. Export the film as a viewer shows"
    " it.",
    "half-blank": "A large part of the picture is one flat tone. Use the film without"
    " wide margins; if it has none, the file may be damaged.",
    "noise": "The picture is noise without structure. The file may be damaged; export"
    " the film again.",
    "not-finite": "The film can't be scored: its grey scale holds values that are not"
    " numbers. Export it again.",
    # DICOM
    "no-preamble": "This looks like DICOM without its file header. Export it as a DICOM"
    " file (Part 10).",
    "no-image": "There is no image inside this DICOM file.",
    "not-a-film": "This DICOM file holds {kind}, not a chest film.",
    "transfer-syntax": "The DICOM compression ({syntax}) is not supported. Export the"
    " film uncompressed.",
    "header": "The DICOM header does not say how to show this film: {element} is"
    " missing or does not fit the pixels. Export the film again from its source.",
    "bit-depth": "The DICOM film has {bits} bits a pixel; 8 to 16 are read.",
}


def refusal(code: str, **details: object) -> ImageError:
    """Returns the error for a code of `REFUSALS`, its sentence filled with details.

    Details are numbers or words of this package, never text of the file: a header can
    hold the patient's name anywhere.
    """
    return ImageError(REFUSALS[code].format(**details), code=code)


def content_of(path: Path) -> bytes:
    """Returns what is in a film's file; of one that is too large, enough to refuse it.

    Raises:
        ImageError: `not-opened`.
    """
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise refusal("not-opened") from error


def check_dimensions(height: int, width: int) -> None:
    """Checks a size that a header declares, before anything of it is decoded.

    Raises:
        ImageError: `too-many-pixels`, `too-small` or `too-narrow`.
    """
    size = {"height": height, "width": width}
    longer, shorter = max(height, width), min(height, width)
    if longer > MAX_SIDE or height * width > MAX_PIXELS:
        raise refusal("too-many-pixels")
    if shorter < MIN_SIDE:
        raise refusal("too-small", **size)
    if longer > MAX_ASPECT * shorter:
        raise refusal("too-narrow", **size)


def check_grey(sample: NDArray[np.uint8]) -> None:
    """Checks that the channels of a sample `(height, width, 3)` are nearly equal.

    Raises:
        ImageError: `colour`.
    """
    red, green, blue = (sample[..., channel] for channel in range(3))
    highest = np.maximum(np.maximum(red, green), blue)
    lowest = np.minimum(np.minimum(red, green), blue)
    if np.mean(highest - lowest) > MAX_CHANNEL_SPREAD:
        raise refusal("colour")


def check_picture(pixels: NDArray[np.float32]) -> None:
    """Checks on a sample of the pixels that there may be a film in them.

    Args:
        pixels: `float32`, shape `(height, width)`, range `[0, 255]`.

    Raises:
        ImageError: `blank`, `few-tones`, `narrow-tones`, `half-blank`, `incomplete`
            or `noise`.
    """
    rows, columns = _thinned(pixels, 0), _thinned(pixels, 1)
    _check_tones(_thinned(rows, 1))
    _check_flat_parts(rows, columns)
    if _noise(rows) > MAX_NOISE:
        raise refusal("noise")


def _thinned(pixels: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Returns about 100 lines along an axis, evenly spread."""
    step = max(1, pixels.shape[axis] // 100)
    return pixels[::step] if axis == 0 else pixels[:, ::step]


def _check_tones(sample: NDArray[np.float32]) -> None:
    counts = np.bincount(sample.astype(np.uint8).ravel(), minlength=256)
    share = np.cumsum(counts) / sample.size
    low, high = np.searchsorted(share, (0.01, 0.99))
    if high - low < MIN_CONTRAST:
        raise refusal("blank")
    if np.count_nonzero(counts) < MIN_LEVELS:
        raise refusal("narrow-tones" if _has_fine_levels(sample) else "few-tones")


def _has_fine_levels(sample: NDArray[np.float32]) -> bool:
    """Returns whether many levels lie between whole grey ones, as with 10 bits."""
    levels = np.unique(sample)
    return bool(len(levels) >= 2 * MIN_LEVELS and (levels % 1).any())


def _check_flat_parts(rows: NDArray[np.float32], columns: NDArray[np.float32]) -> None:
    row_range = np.ptp(columns, axis=1)
    column_range = np.ptp(rows, axis=0)
    flat_share = max(np.mean(row_range < 3), np.mean(column_range < 3))
    if _lost_share(row_range, columns[:, 0]) > MIN_LOST_SHARE:
        raise refusal("incomplete")
    if flat_share > MAX_FLAT_SHARE:
        raise refusal("half-blank")


def _lost_share(row_range: NDArray[np.float32], tone: NDArray[np.float32]) -> float:
    """Returns the share of rows at the lower edge that are one same middle grey.

    That is how a JPEG ends whose data stops early behind a proper end marker. Margins
    of films are black or white, and no two of their rows are alike.
    """
    if not 8 <= tone[-1] <= 247:
        return 0.0
    filled = (row_range > 0) | (tone != tone[-1])
    last_filled = np.flatnonzero(filled)[-1] if filled.any() else -1
    return (len(tone) - 1 - int(last_filled)) / len(tone)


def _noise(rows: NDArray[np.float32]) -> float:
    return float(np.mean(np.abs(np.diff(rows, axis=1))) / np.std(rows))
