"""Decoders that Pillow lacks: it owns JPEG Lossless, 12-bit JPEG and JPEG-LS streams.

Archives keep films in them. libjpeg-turbo and CharLS, by way of imagecodecs, decode
them; the package is imported with the first such film. Callers check the size that a
stream declares first, and call this in a capped process.
"""

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxr.films.codestream import JPEG_LS, LOSSLESS, TWELVE_BIT, Codestream
from cxr.films.markers import END, RESTART_INTERVAL, RESTARTS, SCAN, segments
from cxr.films.refusals import refusal

KINDS = {LOSSLESS, TWELVE_BIT, JPEG_LS}

_END_MARKER = bytes((0xFF, END))
_BLOCK = 8  # the side of what 12-bit JPEG codes at once; the others code pixels
_SPARE = 8  # bytes at the end of a sound stream that a decoder may leave unread
_FILLERS = (bytes(64), bytes([0xAA]) * 64)


def decoded(stream: bytes, inner: Codestream) -> NDArray[Any]:
    """Returns the pixels of a compressed picture.

    Args:
        stream: the whole picture, from its start marker.
        inner: its header, of a kind in `KINDS` and with a size that was checked.

    Returns:
        `uint8` or, for more than 8 bits, `uint16`; shape `(height, width)`, or
        `(height, width, 3)` for 8 bits a colour.

    Raises:
        ImageError: `incomplete`, `unreadable` or `colour`.
        EOFError: if the data end before the end marker.
        Exception: whatever imagecodecs raises on a damaged stream.
    """
    if inner.components != 1 and (inner.components, inner.bits) != (3, 8):
        raise refusal("colour")
    end = _whole_scan(stream, inner)
    import imagecodecs

    if inner.kind == JPEG_LS:
        pixels = imagecodecs.jpegls_decode(stream[:end] + _END_MARKER)
    else:
        _check_all_is_used(stream[:end].rstrip(b"\xff"))  # fill bytes
        pixels = imagecodecs.jpeg8_decode(stream[:end] + _END_MARKER)
    shape = (inner.height, inner.width) + (3,) * (inner.components == 3)
    if pixels.shape != shape or pixels.dtype != ("u1" if inner.bits <= 8 else "u2"):
        raise refusal("unreadable")
    return np.asarray(pixels)


def _whole_scan(stream: bytes, inner: Codestream) -> int:
    """Returns where the coded pixels end; they must be one scan with all its restarts.

    Grey streams in several scans are allowed, but no system is known to write them.
    """
    interval, scans = 0, []
    for segment in segments(stream):
        if segment.marker == RESTART_INTERVAL:
            interval = int.from_bytes(stream[segment.body : segment.end], "big")
        if segment.marker == SCAN:
            scans.append(segment)
    if len(scans) != 1:
        raise refusal("unreadable")
    side = _BLOCK if inner.kind == TWELVE_BIT else 1
    units = -(-inner.height // side) * -(-inner.width // side)
    pixels = stream[scans[0].body : scans[0].end]
    restarts = sum(pixels.count(bytes((0xFF, marker))) for marker in RESTARTS)
    # JPEG-LS counts its intervals in lines (T.87 C.2.5).
    units = inner.height if inner.kind == JPEG_LS else units
    if interval and restarts != -(-units // interval) - 1:
        raise refusal("incomplete")
    return scans[0].end


def _check_all_is_used(stream: bytes) -> None:
    """Refuses a stream of libjpeg that has too few coded pixels or too many.

    libjpeg makes up what is missing and only warns, out of reach. So bytes are added
    behind the coded pixels, which must change nothing, and taken away, which must.
    """
    whole = _digest(stream)
    if _digest(stream + _FILLERS[1]) != whole:
        raise refusal("incomplete")
    shorter = stream[:-_SPARE].rstrip(b"\xff")
    if all(_digest(shorter + filler) == whole for filler in _FILLERS):
        raise refusal("unreadable")


def _digest(stream: bytes) -> bytes:
    import imagecodecs

    pixels = imagecodecs.jpeg8_decode(stream + _END_MARKER)
    return hashlib.blake2b(np.ascontiguousarray(pixels).data).digest()
