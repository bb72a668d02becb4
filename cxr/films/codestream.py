"""What a compressed picture inside a DICOM film says of itself.

A JPEG, JPEG-LS or JPEG 2000 codestream has a header of its own, which its decoder
believes. It is held against the DICOM header before anything is decoded.
"""

import struct
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

from cxr.films.markers import JPEG_LS_FRAME, JPEG_START, segments
from cxr.films.refusals import check_dimensions, refusal

if TYPE_CHECKING:
    import pydicom

JPEG_2000_START = b"\xff\x4f\xff\x51"
PICTURE_STARTS = (b"\xff\xd8\xff", JPEG_2000_START)
LOSSLESS_FRAME, EXTENDED_FRAME = 0xC3, 0xC1

# Kinds of codestreams.
JPEG, JPEG_2000, JPEG_LS = "JPEG", "JPEG 2000", "JPEG-LS"
LOSSLESS, TWELVE_BIT = "JPEG Lossless", "12-bit JPEG"


@dataclass(frozen=True, kw_only=True)
class Codestream:
    """The header of a compressed picture.

    Attributes:
        kind: one of `JPEG`, `JPEG_2000`, `JPEG_LS`, `LOSSLESS` and `TWELVE_BIT`.
        height: in pixels.
        width: in pixels.
        components: how many there are; a grey picture has one.
        bits: those of its first component.
    """

    kind: str
    height: int
    width: int
    components: int
    bits: int


def single_frame(value: bytes) -> bytes:
    """Returns the one frame of encapsulated pixel data, its fragments joined.

    The offset table is left out: with a single frame it can only be wrong (PS3.5 A.4).

    Raises:
        ImageError: `multi-frame`, if several fragments begin a picture.
        ValueError: if the value is not built of items.
    """
    # Imported here: pydicom takes 0.2 s, which a JPEG must not wait for.
    from pydicom.encaps import generate_fragments, parse_basic_offsets

    buffer = BytesIO(value)
    parse_basic_offsets(buffer)
    fragments = list(generate_fragments(buffer))
    pictures = sum(fragment.startswith(PICTURE_STARTS) for fragment in fragments)
    if pictures > 1:
        raise refusal("multi-frame", frames=pictures)
    return b"".join(fragments)


def codestream(frame: bytes) -> Codestream:
    """Returns what the header of a compressed picture says.

    Raises:
        EOFError: if the data end before that.
        ValueError: if there is no such header.

    Reference:
        ITU-T T.81 B.2.2 (JPEG), T.87 C.2.2 (JPEG-LS), T.800 A.5.1 (JPEG 2000).
    """
    try:
        if frame.startswith(JPEG_START):
            return _jpeg(frame)
        start = frame.index(JPEG_2000_START)  # boxes may come before it
        right, lower, left, upper = struct.unpack_from(">4I", frame, start + 8)
        components, depth = struct.unpack_from(">HB", frame, start + 40)
    except struct.error as error:
        raise EOFError from error
    return Codestream(
        kind=JPEG_2000,
        height=lower - upper,
        width=right - left,
        components=components,
        bits=(depth & 0x7F) + 1,
    )


def _jpeg(frame: bytes) -> Codestream:
    for segment in segments(frame):
        if segment.is_frame_header:
            bits, height, width, components = struct.unpack_from(
                ">BHHB", frame, segment.body
            )
            return Codestream(
                kind=_jpeg_kind(segment.marker, bits),
                height=height,
                width=width,
                components=components,
                bits=bits,
            )
    raise ValueError("expected a frame header")


def _jpeg_kind(marker: int, bits: int) -> str:
    if marker == JPEG_LS_FRAME:
        return JPEG_LS
    if marker == LOSSLESS_FRAME:
        return LOSSLESS
    return TWELVE_BIT if marker == EXTENDED_FRAME and bits == 12 else JPEG


def check_against_header(inner: Codestream, dataset: "pydicom.Dataset") -> None:
    """Refuses a DICOM header that contradicts the picture inside.

    A grey picture under a header for colours is read as grey, and one of 8 bits in
    cells of 16 in cells of 8: `dataset` is changed so.

    Raises:
        ImageError: `header`, naming the element, or one of `check_dimensions`.
    """
    check_dimensions(inner.height, inner.width)
    if inner.height != dataset.Rows:
        raise refusal("header", element="Rows")
    if inner.width != dataset.Columns:
        raise refusal("header", element="Columns")
    if inner.components == 1 and dataset.SamplesPerPixel == 3:
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    if inner.components != dataset.SamplesPerPixel:
        raise refusal("header", element="SamplesPerPixel")
    if inner.bits > dataset.BitsAllocated:
        raise refusal("header", element="BitsAllocated")
    if inner.bits <= 8 < dataset.BitsAllocated:
        if dataset.BitsStored > 8:
            raise refusal("header", element="BitsStored")
        dataset.BitsAllocated = 8
