"""Files changed at random: each gives a film or a named refusal, soon, and no crash."""

import io
import time

import numpy as np
import pytest
from PIL import Image
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
)
from synthetic_films import as_dicom, as_jpeg, as_png, chest_phantom

from cxr.errors import ImageError
from cxr.films.decoding import DecoderPool
from cxr.films.film import Film
from cxr.films.refusals import REFUSALS

PIXELS = chest_phantom(160, 150, seed=6)
MOST_SECONDS = 10.0
FAULTS = {"decoder-failed", "too-slow"}  # what a worker that died or hung is refused as


def progressive():
    stream = io.BytesIO()
    picture = Image.fromarray(PIXELS.astype(np.uint8))
    picture.save(stream, "JPEG", quality=85, progressive=True)
    return stream.getvalue()


FILES = {
    "png": as_png(PIXELS),
    "baseline": as_jpeg(PIXELS),
    "progressive": progressive(),
    "explicit": as_dicom(PIXELS, syntax=ExplicitVRLittleEndian),
    "implicit": as_dicom(PIXELS, syntax=ImplicitVRLittleEndian),
    "big-endian": as_dicom(PIXELS, syntax=ExplicitVRBigEndian),
    "rle": as_dicom(PIXELS, syntax=RLELossless),
    "dicom-jpeg": as_dicom(PIXELS, bits_stored=8, syntax=JPEGBaseline8Bit),
    "jpeg-2000": as_dicom(PIXELS, syntax=JPEG2000Lossless),
}


def mutated(data, seed):
    """A file with bytes flipped, overwritten, repeated, taken out or cut off."""
    rng = np.random.default_rng(seed)
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        # Headers hold most of what can go wrong and are short: half of all changes.
        span = len(changed) if rng.random() < 0.5 else min(1000, len(changed))
        place = int(rng.integers(span))
        length = int(rng.integers(1, 40))
        kind = rng.integers(6)
        if kind == 0:
            changed[place] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            changed[place] = int(rng.choice([0, 1, 0x7F, 0x80, 0xFE, 0xFF]))
        elif kind == 2:
            noise = rng.integers(0, 256, length, dtype=np.uint8).tobytes()
            changed[place : place + length] = noise
        elif kind == 3:
            del changed[place : place + length]
        elif kind == 4:
            changed[place:place] = changed[place : place + length]
        elif len(changed) > 200:
            del changed[int(rng.integers(100, len(changed))) :]
    return bytes(changed)


def outcomes(kind, number):
    """The codes of so many changed files, and the longest time that one took."""
    codes, longest = [], 0.0
    with DecoderPool() as pool:
        pool.start()
        start = time.perf_counter()
        for result in pool.map(mutated(FILES[kind], seed) for seed in range(number)):
            longest = max(longest, time.perf_counter() - start)
            start = time.perf_counter()
            assert isinstance(result, Film | ImageError)
            codes.append("" if isinstance(result, Film) else result.code)
    return codes, longest


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("number", [40, pytest.param(2000, marks=pytest.mark.slow)])
def test_a_changed_file_is_a_film_or_a_named_refusal(kind, number):
    codes, longest = outcomes(kind, number)
    assert len(codes) == number
    assert set(codes) <= {"", *REFUSALS}
    assert not FAULTS & set(codes)
    assert longest < MOST_SECONDS
