"""Bytes to a film: the one decoder, for training and serving alike.

What a file is gets decided on its content, never on its name. Sizes are checked on the
header before anything is decoded. A file gives a whole film or an `ImageError`; the
codes and their sentences are `cxr.films.refusals.REFUSALS`. Files of strangers belong
in a capped process of their own: see `cxr.films.decoding`.
"""

import hashlib
import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cxr.errors import ImageError
from cxr.films import codecs, scans
from cxr.films.codestream import JPEG_2000_START, JPEG_LS, codestream
from cxr.films.metadata import (
    DROPPED,
    PNG_SIGNATURE,
    jpeg_picture,
    png_picture,
    turn,
)
from cxr.films.refusals import (
    MAX_FILE_BYTES,
    check_dimensions,
    check_grey,
    check_picture,
    refusal,
)
from cxr.films.tone_range import tone_cautions

JPEG_SIGNATURE = b"\xff\xd8\xff"
JPEG_2000_SIGNATURES = (JPEG_2000_START, b"\0\0\0\x0cjP  \r\n\x87\n")
DICOM_PREFIX = b"DICM"  # after a preamble of 128 bytes

# Python's warning filters belong to the process, not to the thread.
_WARNINGS_LOCK = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class Film:
    """One grey film and the little of its header that a reading needs.

    Attributes:
        pixels: `float32`, shape `(height, width)`, range `[0, 255]`, bright = dense
            tissue (MONOCHROME2), upright as the file says; read-only.
        format: "PNG", "JPEG", "JPEG-LS", "JPEG 2000" or "DICOM".
        bits: bits a pixel had in the file, such as 8, 12 or 16.
        sha256: of the file's bytes, hexadecimal.
        warnings: sentences about what was unusual and was dealt with.
        cautions: sentences about what speaks against a score of the film.
        view_position: DICOM term such as "PA", "AP" or "LL"; "OTHER" for anything that
            is not one; `None` when the file does not say.
        age_years: the patient's age, at most 90; `None` when the file does not say.
        body_part: DICOM term such as "CHEST"; "OTHER" and `None` as above.
        patient: SHA-256 of the patient's id and who issued it, hexadecimal; empty when
            the file does not say. It can be guessed, so it is never shown or stored.
    """

    pixels: NDArray[np.float32] = field(repr=False, compare=False)
    format: str
    bits: int
    sha256: str
    warnings: tuple[str, ...] = ()
    cautions: tuple[str, ...] = ()
    view_position: str | None = None
    age_years: float | None = None
    body_part: str | None = None
    patient: str = field(default="", repr=False)

    @property
    def height(self) -> int:
        """The number of rows."""
        return self.pixels.shape[0]

    @property
    def width(self) -> int:
        """The number of columns."""
        return self.pixels.shape[1]


def read_film(data: bytes) -> Film:
    """Returns the film that a PNG, JPEG, JPEG-LS, JPEG 2000 or DICOM file holds.

    Args:
        data: the whole file, at most 50 MB.

    Raises:
        ImageError: with a code of `cxr.films.refusals.REFUSALS`; nothing else but
            `MemoryError` is raised, whatever the bytes are.
    """
    file_format = _sniff(data)
    with _damage_refused():
        film = _READERS[file_format](data)
        check_picture(film.pixels)
        film = replace(film, cautions=film.cautions + tone_cautions(film.pixels))
    film.pixels.setflags(write=False)
    return film


def _sniff(data: bytes) -> str:
    """Returns "PNG", "JPEG", "JPEG 2000" or "DICOM" from the first bytes."""
    if not data:
        raise refusal("empty")
    if len(data) > MAX_FILE_BYTES:
        raise refusal("too-large")
    if data[128:132] == DICOM_PREFIX:
        return "DICOM"
    if data.startswith(PNG_SIGNATURE):
        return "PNG"
    if data.startswith(JPEG_SIGNATURE):
        return "JPEG"
    if data.startswith(JPEG_2000_SIGNATURES):
        return "JPEG 2000"
    # A data set without file header begins with an element of group 0002 or 0008.
    if data[:2] in (b"\x02\x00", b"\x08\x00") and data[3:4] == b"\x00":
        raise refusal("no-preamble")
    raise refusal("not-an-image")


@contextmanager
def _damage_refused() -> Iterator[None]:
    """Turns whatever the decoders raise on damaged files into an `ImageError`.

    Decoders were built for sound files: damaged ones made them raise eleven types from
    AttributeError to zlib.error, so none is listed. A worker answers for lost memory.
    """
    try:
        yield
    except (ImageError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise refusal("too-many-pixels") from error
    except Exception as error:
        cut_off = isinstance(error, EOFError) or "truncated" in str(error)
        raise refusal("incomplete" if cut_off else "unreadable") from error


@contextmanager
def recorded_warnings() -> Iterator[list[warnings.WarningMessage]]:
    """Records warnings: under `-W error` clinical files would fail on trifles."""
    with _WARNINGS_LOCK, warnings.catch_warnings(record=True) as recorded:
        warnings.simplefilter("always")
        yield recorded


def _read_dicom(data: bytes) -> Film:
    # Imported here: pydicom takes 0.2 s, which a JPEG must not wait for.
    from cxr.films import dicom

    with recorded_warnings() as recorded:
        image = dicom.read(data)
    notes = image.warnings
    if recorded:
        notes += (f"The DICOM file departs from the standard ({len(recorded)} times).",)
    return Film(
        pixels=image.pixels,
        format="DICOM",
        bits=image.bits,
        sha256=hashlib.sha256(data).hexdigest(),
        warnings=notes,
        cautions=image.cautions,
        view_position=image.view_position,
        age_years=image.age_years,
        body_part=image.body_part,
        patient=image.patient,
    )


def _read_jpeg(data: bytes) -> Film:
    """Returns the film of a JPEG or JPEG-LS file, decoded by what its header says."""
    try:
        inner = codestream(data)
    except (EOFError, ValueError):
        return _read_picture(data)  # which says what is wrong
    if inner.kind not in codecs.KINDS:
        return _read_picture(data)
    check_dimensions(inner.height, inner.width)
    values = codecs.decoded(data, inner)
    if values.ndim == 3:
        values = np.asarray(_grey(Image.fromarray(values)))
    file_format = "JPEG-LS" if inner.kind == JPEG_LS else "JPEG"
    return _film_of_levels(data, values, inner.bits, file_format)


def _read_jpeg_2000(data: bytes) -> Film:
    """Returns the film of a JPEG 2000 file, of the high-throughput kind (HTJ2K) too."""
    inner = codestream(data)
    check_dimensions(inner.height, inner.width)
    with recorded_warnings():
        image = Image.open(io.BytesIO(data), formats=("JPEG2000",))
        check_dimensions(image.height, image.width)
    if (inner.height, inner.width) != (image.height, image.width):
        raise refusal("unreadable")
    values = np.asarray(_grey(image))
    if values.dtype != np.uint8:
        values = values >> (16 - inner.bits)  # Pillow puts them at the top of the word
    return _film_of_levels(data, values, inner.bits, "JPEG 2000")


def _film_of_levels(
    data: bytes, values: NDArray[Any], bits: int, file_format: str
) -> Film:
    """Returns the film of grey levels from 0 to `2 ** bits - 1`."""
    if bits < 8:
        raise refusal("few-tones")
    return Film(
        pixels=values.astype(np.float32) * np.float32(255 / (2**bits - 1)),
        format=file_format,
        bits=bits,
        sha256=hashlib.sha256(data).hexdigest(),
    )


def _read_picture(data: bytes) -> Film:
    """Returns the film of a PNG or JPEG file that Pillow reads."""
    is_png, damaged = data.startswith(PNG_SIGNATURE), False
    with recorded_warnings():
        if is_png:
            picture, damaged = png_picture(data)
        else:
            picture = jpeg_picture(data)
        image: Image.Image
        image = Image.open(io.BytesIO(picture), formats=("PNG", "JPEG"))
        check_dimensions(image.height, image.width)
        bits = _check_png(data) if is_png else 8
        frames = getattr(image, "n_frames", 1)
        if frames > 1:
            raise refusal("multi-frame", frames=frames)
        method, unread = turn(image)
    cautions: tuple[str, ...] = ()
    if image.mode in ("L", "RGB") and not is_png:
        # The same pixels as Pillow's; thousands of scans, which would take seconds, are
        # refused before one is decoded.
        decoded = scans.check(picture, colour=image.mode == "RGB")
        image, cautions = Image.fromarray(decoded.pixels), decoded.cautions
    grey = _grey(image)
    if method is not None:
        grey = grey.transpose(method)
    return Film(
        pixels=_scaled(np.asarray(grey)),
        format="PNG" if is_png else "JPEG",
        bits=bits,
        sha256=hashlib.sha256(data).hexdigest(),
        warnings=(DROPPED,) if damaged or unread else (),
        cautions=cautions,
    )


def _check_png(data: bytes) -> int:
    """Returns the bits a channel."""
    bits, colour_type = data[24], data[25]
    if bits < 8 and colour_type == 0:
        raise refusal("few-tones")
    return bits


def _grey(image: Image.Image) -> Image.Image:
    """Returns the image in one grey channel, mode "L", "I;16" or "I"."""
    if image.mode in ("L", "I;16", "I") and not image.has_transparency_data:
        return image
    if image.mode in ("1", "CMYK"):
        raise refusal("few-tones" if image.mode == "1" else "colour")
    if image.has_transparency_data:
        image = _opaque(image)
    if image.mode != "L":
        if image.mode != "RGB":
            image = image.convert("RGB")
        sample = (max(1, image.width // 2), max(1, image.height // 2))
        check_grey(np.asarray(image.resize(sample, Image.Resampling.NEAREST)))
    return image.convert("L")


def _opaque(image: Image.Image) -> Image.Image:
    """Returns an image without its alpha channel, which must not hide anything.

    Dropping a channel that does hide something would show what no viewer shows.
    """
    if image.mode == "I;16":
        raise refusal("transparent")
    image = image.convert("RGBA")
    if np.asarray(image.getchannel("A")).min() < 255:
        raise refusal("transparent")
    return image.convert("RGB")


def _scaled(grey: NDArray[np.generic]) -> NDArray[np.float32]:
    """Returns `[0, 255]`; 16-bit films keep their fine steps."""
    pixels = grey.astype(np.float32)
    if grey.dtype != np.uint8:
        pixels *= np.float32(255 / 65535)
    return pixels


_READERS = {
    "PNG": _read_picture,
    "JPEG": _read_jpeg,
    "JPEG 2000": _read_jpeg_2000,
    "DICOM": _read_dicom,
}
