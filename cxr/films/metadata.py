"""What of a PNG or JPEG file is its picture: it owns which metadata are left out.

Metadata must not cost the picture. Kept are what the pixels need and what says which
way is up; damaged or not, the rest is not read at all, nor what follows the end.
"""

import struct
import zlib

from PIL import Image

from cxr.films.markers import segments
from cxr.films.refusals import refusal

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
TRANSPARENCY = b"tRNS"
FRAMES = {b"acTL", b"fcTL", b"fdAT"}  # a file that holds several pictures is refused
# What Pillow looks for the orientation in.
ORIENTATION_TEXTS = (b"XML:com.adobe.xmp\0\0", b"Raw profile type exif\0")
DROPPED_SEGMENTS = {0xFE, *range(0xE3, 0xEE), 0xEF}  # comments, profiles, previews
ORIENTATION = 0x0112  # EXIF tag
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
DROPPED = (
    "The metadata of the file are damaged and were left out. If they say that the"
    " picture is to be turned, it is not."
)


def png_picture(data: bytes) -> tuple[bytes, bool]:
    """Returns a PNG file without its metadata, and whether damaged ones were dropped.

    Pillow checks no checksum of the pixel data and does not miss a lost end.

    Raises:
        ImageError: `incomplete`, or `unreadable` if the checksum of a chunk fails that
            the picture needs.

    Reference:
        PNG specification, third edition, sections 5.3 (chunk layout), 5.4 (which are
        critical) and 5.5 (CRC).
    """
    view, start, kind, damaged = memoryview(data), len(PNG_SIGNATURE), b"", False
    kept = [PNG_SIGNATURE]
    while kind != b"IEND":
        if start + 12 > len(data):
            raise refusal("incomplete")
        length, kind = struct.unpack_from(">I4s", data, start)
        end = start + 12 + length
        if end > len(data):
            raise refusal("incomplete")
        checksum = int.from_bytes(view[end - 4 : end], "big")
        sound = zlib.crc32(view[start + 4 : end - 4]) == checksum
        needed = kind[:1].isupper() or kind == TRANSPARENCY or kind in FRAMES
        if needed and not sound:
            raise refusal("unreadable")
        if needed or (sound and _may_hold_orientation(kind, data, start + 8)):
            kept.append(data[start:end])
        damaged = damaged or not sound
        start = end
    return b"".join(kept), damaged


def _may_hold_orientation(kind: bytes, data: bytes, start: int) -> bool:
    is_text = kind in (b"iTXt", b"tEXt", b"zTXt")
    return kind == b"eXIf" or (is_text and data.startswith(ORIENTATION_TEXTS, start))


def jpeg_picture(data: bytes) -> bytes:
    """Returns a JPEG file up to its first real end, without comments and profiles.

    With restart markers libjpeg does not miss a lost end.

    Raises:
        EOFError: if the file has no end.
        ValueError: if it is not built of segments.
    """
    kept, place = [], 0
    for segment in segments(data):
        if segment.marker in DROPPED_SEGMENTS:
            kept.append(data[place : segment.start])
            place = segment.end
    return b"".join([*kept, data[place : segment.end]])


def turn(image: Image.Image) -> tuple[Image.Transpose | None, bool]:
    """Returns how a picture is to be turned, and whether its EXIF can't be read.

    One entry is asked for: the others may be damaged.
    """
    try:
        return TURNS.get(image.getexif().get(ORIENTATION, 1)), False
    except Exception:  # Pillow raises many types on damaged entries
        return None, True
