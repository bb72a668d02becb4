"""The markers of a JPEG stream: it owns where segments lie and where it really ends.

Segments are skipped by their length, so that the end of a thumbnail inside one is not
taken for the end of the film; what follows the first real end is no part of it.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

JPEG_START = b"\xff\xd8"
START, END, SCAN = 0xD8, 0xD9, 0xDA
RESTART_INTERVAL = 0xDD
RESTARTS = range(0xD0, 0xD8)
JPEG_LS_FRAME = 0xF7
NO_FRAME_HEADER = {0xC4, 0xC8, 0xCC}  # tables among the markers of frame headers
_WITHOUT_LENGTH = {0x01, *RESTARTS, START}

_ANY_MARKER = re.compile(rb"\xff[^\x00\xff]")
# Coded pixels hold 0xFF as well: followed by a zero byte in JPEG (T.81 B.1.1.5), by a
# zero bit in JPEG-LS (T.87 C.1).
_AFTER_PIXELS = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_AFTER_JPEG_LS_PIXELS = re.compile(rb"\xff[\x80-\xcf\xd8-\xfe]")


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A marker with what belongs to it: `data[start:end]`.

    Attributes:
        marker: its second byte.
        start: the place of its first byte, 0xFF.
        body: the place behind its length, where there is one.
        end: the place behind its last byte; of a scan, behind its coded pixels.
    """

    marker: int
    start: int
    body: int
    end: int

    @property
    def is_frame_header(self) -> bool:
        """Whether it says how large the picture is."""
        in_range = 0xC0 <= self.marker <= 0xCF and self.marker not in NO_FRAME_HEADER
        return in_range or self.marker == JPEG_LS_FRAME


def segments(data: bytes) -> Iterator[Segment]:
    """Yields the segments behind the start marker of a stream, the end marker as last.

    Raises:
        EOFError: if the data end before the end marker.
        ValueError: if no marker follows the start marker.

    Reference:
        ITU-T T.81 B.1.1 (JPEG), T.87 C.1 (JPEG-LS).
    """
    place, behind_pixels = len(JPEG_START), _AFTER_PIXELS
    if data[place : place + 1] not in (b"", b"\xff"):
        raise ValueError("expected a JPEG marker")
    while True:
        marker_at = _ANY_MARKER.search(data, place)
        if marker_at is None:
            raise EOFError
        segment = _segment(data, marker_at.start())
        if segment.marker == JPEG_LS_FRAME:
            behind_pixels = _AFTER_JPEG_LS_PIXELS
        if segment.marker == SCAN:
            next_marker = behind_pixels.search(data, segment.end)
            if next_marker is None:
                raise EOFError
            segment = Segment(
                marker=SCAN,
                start=segment.start,
                body=segment.body,
                end=next_marker.start(),
            )
        yield segment
        if segment.marker == END:
            return
        place = segment.end


def _segment(data: bytes, start: int) -> Segment:
    marker, body = data[start + 1], start + 2
    if marker in _WITHOUT_LENGTH or marker == END:
        return Segment(marker=marker, start=start, body=body, end=body)
    try:
        length = struct.unpack_from(">H", data, body)[0]
    except struct.error as error:
        raise EOFError from error
    if length < 2:
        raise ValueError("expected the length of a JPEG segment")
    end = body + length
    if end > len(data):
        raise EOFError
    return Segment(marker=marker, start=start, body=body + 2, end=end)
