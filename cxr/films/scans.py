"""The scans of a JPEG: it owns whether they are few enough, all there and undamaged.

Decoders make a picture of whatever there is: a progressive film that was cut short
comes out blurred, one with damaged scans with stripes, and neither raises. So the
headers of the scans are held against what a whole picture needs, and a strict decoder
says what the usual one keeps to itself. What it can't tell is `cxr.films.damage`'s.
"""

import struct
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from cxr.films import damage
from cxr.films.markers import JPEG_START, SCAN, Segment, segments
from cxr.films.refusals import refusal

MOST_SCANS = 100  # libjpeg's own progressive films have 6 or 10
PROGRESSIVE_FRAMES = {0xC2, 0xCA}
COEFFICIENTS = range(64)
METADATA = {0xFE, *range(0xE1, 0xEE), 0xEF}  # all but JFIF's and Adobe's, on colour


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """The pixels of a JPEG whose scans are all there.

    Attributes:
        pixels: `uint8`, shape `(height, width)`, or `(height, width, 3)` in RGB; as
            coded: not turned.
        cautions: a sentence if it may be damaged all the same.
    """

    pixels: NDArray[np.uint8] = field(repr=False, compare=False)
    cautions: tuple[str, ...] = ()


def check(data: bytes, *, colour: bool = False) -> Decoded:
    """Decodes a baseline or progressive JPEG whose scans are all there and sound.

    Args:
        data: the stream from its start marker on; what follows its end is ignored.
        colour: whether its colour is asked for, as RGB, or its luminance alone.

    Raises:
        ImageError: `too-many-scans`, `incomplete`, or `unreadable` if coded pixels are
            damaged.
        EOFError: there is no end marker.
        ValueError: it is not built of segments.
    """
    picture, has_zeros = _checked(data)
    try:
        space = "RGB" if colour else "GRAY"
        pixels = simplejpeg.decode_jpeg(picture, space, strict=True)
    except ValueError as error:
        cut = "premature" in str(error).lower()
        raise refusal("incomplete" if cut else "unreadable") from error
    # Green is next to luminance, and equal to it in a grey film saved in colour.
    luminance = pixels[..., 1 if colour else 0]
    doubtful = has_zeros or damage.has_step(luminance)
    if not colour:
        pixels = luminance
    return Decoded(pixels=pixels, cautions=(damage.DOUBTFUL,) if doubtful else ())


def _checked(data: bytes) -> tuple[bytes, bool]:
    """Returns what the pixels need, and whether zeros have taken the place of some.

    Scans are counted, and what they bring is held against a whole picture. Metadata are
    left out: the strict decoder takes their damage for one of the film.
    """
    kept = [JPEG_START]
    scans = 0
    progressive = has_zeros = False
    components: list[int] = []
    brought: dict[int, dict[int, int]] = defaultdict(dict)
    for segment in segments(data):
        if segment.is_frame_header:
            progressive = segment.marker in PROGRESSIVE_FRAMES
            components = _components(data, segment)
        elif segment.marker == SCAN:
            scans += 1
            if scans > MOST_SCANS:
                raise refusal("too-many-scans", most=MOST_SCANS)
            first = _add(data, segment, brought)
            if progressive and first > 0:
                has_zeros |= damage.has_zeros(data[segment.body : segment.end])
        if segment.marker not in METADATA:
            kept.append(data[segment.start : segment.end])
    if progressive and not all(_is_whole(brought[name]) for name in components):
        raise refusal("incomplete")
    return b"".join(kept), has_zeros


def _components(data: bytes, frame: Segment) -> list[int]:
    """Returns the names of the components in a frame header (T.81 B.2.2)."""
    (number,) = struct.unpack_from(">5xB", data, frame.body)
    return [data[frame.body + 6 + 3 * i] for i in range(number)]


def _add(data: bytes, scan: Segment, brought: dict[int, dict[int, int]]) -> int:
    """Notes to which bit each coefficient of a scan's components has come.

    Returns the first coefficient of the scan, which is 0 for DC.

    Reference:
        ITU-T T.81 B.2.3 (scan header: Ns, components, Ss, Se, Ah and Al) and G.1.1.1
        (spectral selection and successive approximation).
    """
    number = data[scan.body]
    names = [data[scan.body + 1 + 2 * i] for i in range(number)]
    first, last, bits = struct.unpack_from(">BBB", data, scan.body + 1 + 2 * number)
    for name in names:
        for coefficient in range(first, min(last, 63) + 1):
            brought[name][coefficient] = bits & 0x0F
    return int(first)


def _is_whole(bits: dict[int, int]) -> bool:
    """Returns whether every coefficient has come down to its last bit."""
    return all(bits.get(coefficient, 1) == 0 for coefficient in COEFFICIENTS)
