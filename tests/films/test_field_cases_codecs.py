"""Compressions that archives send films in, each read to the pixels that were stored.

The letters are those of a survey of public reports: L decoders, I metadata. What
imagecodecs encodes here is compared exactly; so is what DCMTK encodes, if installed.
"""

import shutil
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from typing import Any

import imagecodecs
import numpy as np
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import (
    HTJ2K,
    UID,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
)
from synthetic_films import as_dicom, as_jpeg, as_png, chest_phantom, parsed, written

from cxr.errors import ImageError
from cxr.films.decoding import DecoderPool
from cxr.films.film import Film, read_film

FILM = chest_phantom(200, 256, seed=5, opacity=0.7)
EIGHT = FILM.astype(np.uint8)
TWELVE = np.rint(FILM * (4095 / 255)).astype(np.uint16)
SIXTEEN = np.rint(FILM * 257).astype(np.uint16)


def lossless(pixels: Any, bits: int) -> bytes:
    return bytes(imagecodecs.jpeg8_encode(pixels, lossless=True, bitspersample=bits))


STREAMS = {
    "JPEG Lossless": lossless(TWELVE, 12),
    "12-bit JPEG": bytes(imagecodecs.jpeg8_encode(TWELVE, 98, bitspersample=12)),
    "JPEG-LS": bytes(imagecodecs.jpegls_encode(TWELVE)),
    "HTJ2K": bytes(imagecodecs.htj2k_encode(TWELVE)),
}
SYNTAXES = {
    JPEGLossless: "JPEG Lossless",
    JPEGLosslessSV1: "JPEG Lossless",
    JPEGExtended12Bit: "12-bit JPEG",
    JPEGLSLossless: "JPEG-LS",
    JPEGLSNearLossless: "JPEG-LS",
    HTJ2K: "HTJ2K",
    HTJ2KLossless: "HTJ2K",
    HTJ2KLosslessRPCL: "HTJ2K",
}
LARGEST_ERROR = {"12-bit JPEG": 4.0}  # grey levels of 255; the others lose nothing


@pytest.fixture(scope="module")
def pool() -> Iterator[DecoderPool]:
    with DecoderPool() as pool:
        yield pool


def film_in(syntax: UID, stream: bytes, bits: int = 12, **elements: Any) -> bytes:
    """A DICOM film with just this compressed picture."""
    dataset = parsed(as_dicom(FILM, bits_stored=bits, **elements))
    dataset.PixelData = encapsulate([stream])
    dataset["PixelData"].VR = "OB"
    return written(dataset, syntax)


def refused(data: bytes) -> ImageError:
    with pytest.raises(ImageError) as caught:
        read_film(data)
    return caught.value


def assert_same(film: Film, other: Film, kind: str = "") -> None:
    difference = np.abs(film.pixels - other.pixels).max()
    assert difference <= LARGEST_ERROR.get(kind, 0.0)
    assert (film.warnings, film.cautions) == ((), ())


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.name)
def test_case_L_dicom_is_read_in_a_worker(pool, syntax):
    kind = SYNTAXES[syntax]
    film = pool.read(film_in(syntax, STREAMS[kind]))
    assert film.bits == 12 and film.format == "DICOM"
    assert_same(film, read_film(as_dicom(FILM)), kind)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("syntax", [JPEGLosslessSV1, JPEGLSLossless, HTJ2KLossless])
def test_case_L_dicom_of_other_depths(syntax, bits):
    pixels = EIGHT if bits == 8 else SIXTEEN
    stream = {
        JPEGLosslessSV1: lossless(pixels, bits),
        JPEGLSLossless: bytes(imagecodecs.jpegls_encode(pixels)),
        HTJ2KLossless: bytes(imagecodecs.htj2k_encode(pixels)),
    }[syntax]
    film = read_film(film_in(syntax, stream, bits))
    assert_same(film, read_film(as_dicom(FILM, bits_stored=bits)))


@pytest.mark.parametrize(
    ("data", "file_format", "bits", "stored"),
    [
        (lossless(EIGHT, 8), "JPEG", 8, EIGHT / 255),
        (lossless(TWELVE, 12), "JPEG", 12, TWELVE / 4095),
        (lossless(SIXTEEN, 16), "JPEG", 16, SIXTEEN / 65535),
        (bytes(imagecodecs.jpegls_encode(EIGHT)), "JPEG-LS", 8, EIGHT / 255),
        (bytes(imagecodecs.jpegls_encode(SIXTEEN)), "JPEG-LS", 16, SIXTEEN / 65535),
        (bytes(imagecodecs.htj2k_encode(EIGHT)), "JPEG 2000", 8, EIGHT / 255),
        (bytes(imagecodecs.htj2k_encode(SIXTEEN)), "JPEG 2000", 16, SIXTEEN / 65535),
        (
            bytes(imagecodecs.jpeg2k_encode(TWELVE, level=0, bitspersample=12)),
            "JPEG 2000",
            12,
            TWELVE / 4095,
        ),
    ],
)
def test_case_L_files_without_dicom(pool, data, file_format, bits, stored):
    film = pool.read(data)
    assert (film.format, film.bits) == (file_format, bits)
    np.testing.assert_allclose(film.pixels, stored * 255, atol=1e-4)


def test_case_L_twelve_bit_jpeg_file(pool):
    film = pool.read(STREAMS["12-bit JPEG"])
    assert (film.format, film.bits) == ("JPEG", 12)
    assert np.abs(film.pixels - TWELVE / 4095 * 255).max() < 4


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("kind", STREAMS)
def test_case_L_stream_that_ends_early_is_refused(kind, share):
    stream = STREAMS[kind][: int(len(STREAMS[kind]) * share)]
    syntax = next(s for s in SYNTAXES if SYNTAXES[s] == kind)
    codes = {"incomplete", "unreadable"} if kind == "HTJ2K" else {"incomplete"}
    for data in (stream, film_in(syntax, stream)):
        assert refused(data).code in codes


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("kind", ["JPEG Lossless", "12-bit JPEG", "JPEG-LS"])
def test_case_L_end_marker_too_early_is_refused(kind, share):
    stream = STREAMS[kind]
    cut = stream[: int(len(stream) * share)].rstrip(b"\xff") + b"\xff\xd9"
    error = refused(cut)
    assert error.code == ("unreadable" if kind == "JPEG-LS" else "incomplete")
    assert error.message.endswith(("again.", "it again."))


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda syntax: syntax.name)
def test_case_L_garbage_is_refused(pool, syntax):
    stream = STREAMS[SYNTAXES[syntax]]
    noise = np.random.default_rng(0).bytes(len(stream) - 302)
    data = film_in(syntax, stream[:300] + noise + stream[-2:])
    with pytest.raises(ImageError) as caught:
        pool.read(data)
    assert caught.value.code in {"unreadable", "incomplete"}


def resized(stream: bytes, side: int) -> bytes:
    """A stream whose header declares another size."""
    old = (200).to_bytes(2, "big") + (256).to_bytes(2, "big")
    start = stream.index(b"\xff\xf7" if b"\xff\xf7" in stream[:80] else b"\xff\xc3")
    place = stream.index(old, start)
    return stream[:place] + 2 * side.to_bytes(2, "big") + stream[place + 4 :]


@pytest.mark.parametrize("kind", ["JPEG Lossless", "JPEG-LS"])
def test_case_L_size_is_checked_before_decoding(kind):
    data = resized(STREAMS[kind], 65_000)
    syntax = next(s for s in SYNTAXES if SYNTAXES[s] == kind)
    start = time.perf_counter()
    assert refused(data).code == "too-many-pixels"
    assert refused(film_in(syntax, data)).code == "too-many-pixels"
    assert "Columns" in refused(film_in(syntax, resized(STREAMS[kind], 200))).message
    assert time.perf_counter() - start < 0.2


def test_case_L_another_compression_than_declared_is_named():
    baseline = as_jpeg(FILM)
    error = refused(film_in(JPEGLosslessSV1, baseline, bits=8))
    assert error.code == "header" and "TransferSyntaxUID" in error.message


DCMTK = {
    "dcmcjpeg": [["+e1"], *(["+el", "+sv", str(n)] for n in range(1, 8))],
    "dcmcjpls": [["+el"]],
}


@pytest.mark.parametrize(
    "command", [[tool, *options] for tool in DCMTK for options in DCMTK[tool]], ids=str
)
@pytest.mark.parametrize("elements", [{}, {"bits_stored": 8}, {"signed": True}])
def test_case_L_what_dcmtk_encodes_is_read(tmp_path, command, elements):
    if shutil.which(command[0]) is None:
        pytest.skip("DCMTK is not installed")
    plain, packed = tmp_path / "plain.dcm", tmp_path / "packed.dcm"
    plain.write_bytes(as_dicom(FILM, **elements))
    subprocess.run([*command, plain, packed], check=True, capture_output=True)
    assert_same(read_film(packed.read_bytes()), read_film(plain.read_bytes()))


def test_case_L_a_worker_loads_the_codecs_for_such_films_alone():
    code = "import sys; from cxr.films.film import read_film; data = sys.stdin.buffer"
    code += "; read_film(data.read()); print('imagecodecs' in sys.modules)"
    for data, loaded in ((as_png(FILM), b"False"), (lossless(EIGHT, 8), b"True")):
        run = subprocess.run(
            [sys.executable, "-c", code],
            input=data,
            capture_output=True,
            check=True,
        )
        assert run.stdout.strip() == loaded


def chunk(kind: bytes, body: bytes, *, sound: bool = True) -> bytes:
    checksum = zlib.crc32(kind + body) ^ (0 if sound else 1)
    return len(body).to_bytes(4, "big") + kind + body + checksum.to_bytes(4, "big")


def with_chunk(added: bytes) -> bytes:
    """A PNG with a chunk behind its header."""
    data = as_png(FILM)
    return data[:33] + added + data[33:]


def with_segment(marker: int, body: bytes) -> bytes:
    """A JPEG with a segment behind its start."""
    length = (len(body) + 2).to_bytes(2, "big")
    return b"\xff\xd8\xff" + bytes([marker]) + length + body + as_jpeg(FILM)[2:]


def exif(*entries: tuple[int, int, int, int]) -> bytes:
    """EXIF with entries of tag, type, count and value."""
    packed = b"".join(struct.pack(">HHII", *entry) for entry in entries)
    return b"MM\0*\0\0\0\x08" + len(entries).to_bytes(2, "big") + packed + bytes(4)


BAD_RATIONAL = (0x011A, 5, 1, 60_000)  # its value lies behind the end
TURNED = (0x0112, 3, 1, 3 << 16)
DAMAGED_PNGS = {
    "EXIF": chunk(b"eXIf", b"MM\0*\xff\xff\xff\xff"),
    "EXIF of another kind": chunk(b"eXIf", b"no EXIF at all"),
    "one rational of EXIF": chunk(b"eXIf", exif(BAD_RATIONAL)),
    "checksum of EXIF": chunk(b"eXIf", exif(TURNED), sound=False),
    "profile": chunk(b"iCCP", b"profile\0\0broken"),
    "compression of the profile": chunk(b"iCCP", b"profile\0\x07broken"),
    "text": chunk(b"tEXt", b"\xff" * 50),
    "compressed text": chunk(b"zTXt", b"key\0\x09broken"),
    "inflating text": chunk(b"zTXt", b"key\0\0" + zlib.compress(bytes(100_000_000))),
    "checksum of text": chunk(b"tEXt", b"key\0value", sound=False),
    "size of a pixel": chunk(b"pHYs", b"\0"),
    "gamma": chunk(b"gAMA", b""),
}


@pytest.mark.parametrize("part", DAMAGED_PNGS)
def test_case_I_damaged_metadata_of_a_png_are_left_out(pool, part):
    film, plain = pool.read(with_chunk(DAMAGED_PNGS[part])), read_film(as_png(FILM))
    np.testing.assert_array_equal(film.pixels, plain.pixels)
    assert bool(film.warnings) >= ("checksum" in part)


@pytest.mark.parametrize("kind", [b"IDAT", b"PLTE", b"tRNS"])
def test_case_I_a_png_chunk_that_the_picture_needs_is_not_left_out(kind):
    assert refused(with_chunk(chunk(kind, b"\0\0", sound=False))).code == "unreadable"


DAMAGED_JPEGS = {
    "one rational of EXIF": with_segment(0xE1, b"Exif\0\0" + exif(BAD_RATIONAL)),
    "EXIF": with_segment(0xE1, b"Exif\0\0MM\0*\xff\xff\xff\xff"),
    "EXIF of another kind": with_segment(0xE1, b"Exif\0\0no EXIF at all"),
    "profile": with_segment(0xE2, b"ICC_PROFILE\0\x05\x01broken"),
    "Photoshop": with_segment(0xED, b"Photoshop 3.0\0" + b"8BIM\xff\xff\xff\xff"),
    "a scan's marker behind the end": as_jpeg(FILM) + b"\xff\xda\0\x08broken",
    "zeros behind the end": as_jpeg(FILM) + bytes(5000),
    "text behind the end": as_jpeg(FILM) + b"exported by a viewer",
    "another picture behind the end": as_jpeg(FILM) + as_jpeg(255 - FILM),
}


@pytest.mark.parametrize("part", DAMAGED_JPEGS)
def test_case_I_metadata_and_tail_of_a_jpeg_are_left_out(pool, part):
    film, plain = pool.read(DAMAGED_JPEGS[part]), read_film(as_jpeg(FILM))
    np.testing.assert_array_equal(film.pixels, plain.pixels)


def test_case_I_a_bad_rational_does_not_cost_the_orientation(pool):
    turned = np.rot90(read_film(as_jpeg(FILM)).pixels, 2)
    data = with_segment(0xE1, b"Exif\0\0" + exif(TURNED, BAD_RATIONAL))
    np.testing.assert_array_equal(pool.read(data).pixels, turned)
    data = with_chunk(chunk(b"eXIf", exif(TURNED, BAD_RATIONAL)))
    np.testing.assert_array_equal(pool.read(data).pixels, np.rot90(FILM, 2))


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_case_I_the_end_of_a_thumbnail_is_not_the_end_of_the_film(share):
    data = with_segment(0xE1, b"Exif\0\0" + as_jpeg(FILM[::4, ::4], quality=50))
    assert refused(data[: int(len(data) * share)]).code == "incomplete"
