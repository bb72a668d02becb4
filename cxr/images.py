"""Bytes to a film: the one decoder, for training and serving alike.

What a file is gets decided on its content, never on its name. Sizes are checked on the
header before anything is decoded. A file gives a whole film or an `ImageError`; the
codes and their sentences are `cxr.refusals.REFUSALS`. Files of strangers belong in a
capped process of their own: see `cxr.decoding`.
"""

import hashlib
import io
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from cxr.errors import ImageError
from cxr.refusals import (
    MAX_FILE_BYTES,
    check_dimensions,
    check_grey,
    check_picture,
    refusal,
)

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
JPEG_SIGNATURE = b"\xff\xd8\xff"
JPEG_SCAN, JPEG_END = b"\xff\xda", b"\xff\xd9"
DICOM_PREFIX = b"DICM"  # after a preamble of 128 bytes
ORIENTATION = 0x0112  # EXIF tag

# Python's warning filters belong to the process, not to the thread.
_WARNINGS_LOCK = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class Film:
    """One grey film and the little of its header that a reading needs.

    Attributes:
        pixels: `float32`, shape `(height, width)`, range `[0, 255]`, bright = dense
            tissue (MONOCHROME2), upright as the file says; read-only.
        format: "PNG", "JPEG" or "DICOM".
        bits: bits a pixel had in the file, such as 8, 12 or 16.
        sha256: of the file's bytes, hexadecimal.
        warnings: sentences about what was unusual but did not stop the reading.
        view_position: DICOM term such as "PA", "AP" or "LL"; "OTHER" for anything that
            is not one; `None` when the file does not say.
        age_years: the patient's age, at most 90; `None` when the file does not say.
        body_part: DICOM term such as "CHEST"; "OTHER" and `None` as above.
    """

    pixels: NDArray[np.float32] = field(repr=False, compare=False)
    format: str
    bits: int
    sha256: str
    warnings: tuple[str, ...] = ()
    view_position: str | None = None
    age_years: float | None = None
    body_part: str | None = None

    @property
    def height(self) -> int:
        """The number of rows."""
        return self.pixels.shape[0]

    @property
    def width(self) -> int:
        """The number of columns."""
        return self.pixels.shape[1]


def read_film(data: bytes) -> Film:
    """Returns the film that a PNG, JPEG or DICOM file holds.

    Args:
        data: the whole file, at most 50 MB.

    Raises:
        ImageError: with a code of `cxr.refusals.REFUSALS`; nothing else but
            `MemoryError` is raised, whatever the bytes are.
    """
    file_format = _sniff(data)
    with _damage_refused():
        film = _read_dicom(data) if file_format == "DICOM" else _read_picture(data)
        check_picture(film.pixels)
    film.pixels.setflags(write=False)
    return film


def _sniff(data: bytes) -> str:
    """Returns "PNG", "JPEG" or "DICOM" from the first bytes."""
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
def _recorded_warnings() -> Iterator[list[warnings.WarningMessage]]:
    """Records warnings: under `-W error` clinical files would fail on trifles."""
    with _WARNINGS_LOCK, warnings.catch_warnings(record=True) as recorded:
        warnings.simplefilter("always")
        yield recorded


def _read_dicom(data: bytes) -> Film:
    # Imported here: pydicom takes 0.2 s, which a JPEG must not wait for.
    from cxr import dicom

    with _recorded_warnings() as recorded:
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
        view_position=image.view_position,
        age_years=image.age_years,
        body_part=image.body_part,
    )


def _read_picture(data: bytes) -> Film:
    """Returns the film of a PNG or JPEG file."""
    with _recorded_warnings():
        image = Image.open(io.BytesIO(data), formats=("PNG", "JPEG"))
        check_dimensions(image.height, image.width)
        bits = _check_png(data) if data.startswith(PNG_SIGNATURE) else _check_jpeg(data)
        frames = getattr(image, "n_frames", 1)
        if frames > 1:
            raise refusal("multi-frame", frames=frames)
        turned = image.getexif().get(ORIENTATION, 1) != 1
    grey = _grey(image)
    if turned:
        grey = ImageOps.exif_transpose(grey)
    return Film(
        pixels=_scaled(np.asarray(grey)),
        format="PNG" if data.startswith(PNG_SIGNATURE) else "JPEG",
        bits=bits,
        sha256=hashlib.sha256(data).hexdigest(),
    )


def _check_png(data: bytes) -> int:
    """Returns the bits a channel after walking the chunks, their checksums included.

    Pillow checks no checksum of the pixel data and does not miss a lost end.

    Reference:
        PNG specification, third edition, sections 5.3 (chunk layout) and 5.5 (CRC).
    """
    view, start, kind = memoryview(data), len(PNG_SIGNATURE), b""
    while kind != b"IEND":
        if start + 12 > len(data):
            raise refusal("incomplete")
        length, kind = struct.unpack_from(">I4s", data, start)
        end = start + 12 + length
        if end > len(data):
            raise refusal("incomplete")
        checksum = int.from_bytes(view[end - 4 : end], "big")
        if zlib.crc32(view[start + 4 : end - 4]) != checksum:
            raise refusal("unreadable")
        start = end
    bits, colour_type = data[24], data[25]
    if bits < 8 and colour_type == 0:
        raise refusal("few-tones")
    return bits


def _check_jpeg(data: bytes) -> int:
    # With restart markers libjpeg does not miss a lost end. A thumbnail has its own.
    if data.rfind(JPEG_END) < data.rfind(JPEG_SCAN):
        raise refusal("incomplete")
    return 8


def _grey(image: Image.Image) -> Image.Image:
    """Returns the image in one grey channel, mode "L", "I;16" or "I"."""
    if image.mode in ("L", "I;16", "I") and not image.has_transparency_data:
        return image
    if image.mode in ("1", "CMYK"):
        raise refusal("few-tones" if image.mode == "1" else "colour")
    if image.has_transparency_data:
        image = _opaque(image)
    if image.mode != "L":
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
