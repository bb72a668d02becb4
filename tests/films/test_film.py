"""PNG and JPEG: what is read, how, and what is refused before or after decoding."""

import io
import struct
import subprocess
import sys
import time
import tracemalloc
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from refused_files import assert_whole_or_refused
from synthetic_films import as_dicom, as_jpeg, as_png, chest_phantom, saved

from cxr.config import ROOT
from cxr.errors import ImageError
from cxr.films.film import read_film
from cxr.films.refusals import REFUSALS

FILM = chest_phantom(256, 200, seed=3, opacity=0.4)


def refused(data: bytes) -> str:
    """The code with which a file is refused."""
    with pytest.raises(ImageError) as caught:
        read_film(data)
    assert caught.value.code in REFUSALS
    return caught.value.code


def chunk(kind: bytes, body: bytes) -> bytes:
    """One PNG chunk."""
    size = struct.pack(">I", len(body))
    return size + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_of_size(width: int, height: int) -> bytes:
    """A PNG whose header declares a size and whose data is next to nothing."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = (
        chunk(b"IHDR", header),
        chunk(b"IDAT", zlib.compress(b"")),
        chunk(b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


class TestFilm:
    def test_holds_the_pixel_contract(self):
        film = read_film(as_png(FILM))
        assert film.pixels.dtype == np.float32
        assert (film.height, film.width) == film.pixels.shape == FILM.shape
        assert (film.format, film.bits, film.warnings) == ("PNG", 8, ())
        assert (film.view_position, film.age_years, film.body_part) == (None,) * 3
        np.testing.assert_array_equal(film.pixels, FILM)

    def test_cannot_be_changed(self):
        film = read_film(as_jpeg(FILM))
        with pytest.raises(ValueError, match="read-only"):
            film.pixels[0, 0] = 1
        with pytest.raises(FrozenInstanceError):
            film.bits = 16

    def test_fingerprint_is_of_the_bytes(self):
        film = read_film(as_png(FILM))
        assert film.sha256 == read_film(as_png(FILM)).sha256
        assert film.sha256 != read_film(as_png(FILM, compress_level=1)).sha256

    def test_repr_shows_no_pixels(self):
        assert "pixels" not in repr(read_film(as_png(FILM)))


class TestTones:
    @pytest.mark.parametrize("mode", ["L", "P", "RGB", "RGBA", "LA"])
    def test_png_modes_of_a_grey_film_are_the_same_film(self, mode):
        np.testing.assert_array_equal(read_film(as_png(FILM, mode=mode)).pixels, FILM)

    def test_sixteen_bits_are_scaled_and_keep_their_fine_steps(self):
        film = read_film(as_png(FILM + 0.5, bits=16))
        assert film.bits == 16
        np.testing.assert_allclose(film.pixels, FILM + 0.5, atol=0.002)

    @pytest.mark.parametrize("mode", ["L", "RGB"])
    @pytest.mark.parametrize("save", [{}, {"progressive": True}])
    def test_jpeg_stays_within_its_own_loss(self, mode, save):
        film = read_film(as_jpeg(FILM, mode=mode, **save))
        assert (film.format, film.bits) == ("JPEG", 8)
        assert np.abs(film.pixels - FILM).mean() < 2

    def test_png_jpeg_and_dicom_of_one_film_agree(self):
        png, jpeg = read_film(as_png(FILM)), read_film(as_jpeg(FILM))
        dicom = read_film(as_dicom(FILM, photometric="MONOCHROME1"))
        np.testing.assert_allclose(dicom.pixels, png.pixels, atol=0.05)
        assert np.abs(jpeg.pixels - png.pixels).mean() < 2

    def test_inverted_palette_gives_tones_and_not_indices(self):
        image = Image.fromarray(255 - FILM.astype(np.uint8)).convert("P")
        image.putpalette([255 - level for level in range(256) for _ in range(3)])
        np.testing.assert_array_equal(read_film(saved(image, "PNG")).pixels, FILM)

    @pytest.mark.parametrize(
        ("orientation", "stored"),
        [
            (1, FILM),
            (2, FILM[:, ::-1]),
            (3, FILM[::-1, ::-1]),
            (4, FILM[::-1]),
            (5, FILM.T),
            (6, np.rot90(FILM)),
            (7, FILM[::-1, ::-1].T),
            (8, np.rot90(FILM, -1)),
        ],
    )
    def test_exif_orientation_is_applied(self, orientation, stored):
        film = read_film(as_jpeg(stored, orientation=orientation))
        assert film.pixels.shape == FILM.shape
        assert np.abs(film.pixels - FILM).mean() < 2

    def test_exif_orientation_of_a_png_is_applied(self):
        exif = Image.Exif()
        exif[0x0112] = 3
        film = read_film(as_png(FILM[::-1, ::-1], exif=exif))
        np.testing.assert_array_equal(film.pixels, FILM)


class TestRefusals:
    def test_empty(self):
        assert refused(b"") == "empty"

    @pytest.mark.parametrize("length", [1, 3, 131, 132, 5_000])
    def test_random_bytes(self, length):
        data = np.random.default_rng(length).bytes(length)
        assert refused(data) == "not-an-image"

    @pytest.mark.parametrize(
        "other", ["GIF", "BMP", "TIFF", "WEBP", "PPM", "ICO", "PDF"]
    )
    def test_other_formats_whatever_their_name(self, other):
        image = Image.fromarray(FILM.astype(np.uint8))
        assert refused(saved(image, other)) == "not-an-image"

    def test_size_limit_is_exact(self):
        assert refused(bytes(50_000_001)) == "too-large"
        assert refused(bytes(50_000_000)) == "not-an-image"

    @pytest.mark.parametrize(
        ("width", "height", "code"),
        [
            (10_000, 9_000, "too-many-pixels"),
            (13_000, 13_000, "too-many-pixels"),
            (30_000, 30_000, "too-many-pixels"),
            (12_001, 4_100, "too-many-pixels"),
            (50_000, 1, "too-many-pixels"),
            (127, 300, "too-small"),
            (1, 1, "too-small"),
            (129, 400, "too-narrow"),
        ],
    )
    def test_size_is_checked_before_decoding(self, width, height, code):
        start = time.perf_counter()
        assert refused(png_of_size(width, height)) == code
        assert time.perf_counter() - start < 0.1

    def test_colour(self):
        colours = np.stack([FILM, FILM[::-1], FILM[:, ::-1]], axis=2).astype(np.uint8)
        image = Image.fromarray(colours)
        assert refused(saved(image, "PNG")) == "colour"
        assert refused(saved(image, "JPEG")) == "colour"
        assert refused(saved(image.convert("P"), "PNG")) == "colour"
        assert refused(as_jpeg(FILM, mode="CMYK")) == "colour"

    @pytest.mark.parametrize("mode", ["LA", "RGBA"])
    def test_transparency_that_hides_something(self, mode):
        image = Image.fromarray(FILM.astype(np.uint8)).convert(mode)
        alpha = Image.new("L", image.size, 255)
        alpha.paste(0, (0, 0, 30, 30))
        image.putalpha(alpha)
        assert refused(saved(image, "PNG")) == "transparent"

    @pytest.mark.parametrize(("bits", "mode"), [(8, "L"), (8, "P"), (16, "L")])
    def test_transparent_tone(self, bits, mode):
        data = as_png(FILM, bits=bits, mode=mode, transparency=int(FILM[100, 100]))
        assert refused(data) == "transparent"

    def test_several_pictures(self):
        image = Image.fromarray(FILM.astype(np.uint8))
        other = Image.fromarray(FILM[::-1].astype(np.uint8))
        more = {"save_all": True, "append_images": [other]}
        assert refused(saved(image, "PNG", **more)) == "multi-frame"
        assert refused(saved(image, "MPO", **more)) == "multi-frame"

    def test_too_few_tones(self):
        assert refused(as_png(FILM, mode="1")) == "few-tones"
        assert refused(as_png(np.rint(FILM / 32) * 32)) == "few-tones"
        sixteen = Image.fromarray(FILM.astype(np.uint8)).quantize(12)
        assert refused(saved(sixteen, "PNG", bits=4)) == "few-tones"

    @pytest.mark.parametrize("level", [0, 90, 255])
    @pytest.mark.parametrize("write", [as_png, as_jpeg, as_dicom])
    def test_blank(self, write, level):
        assert refused(write(np.full_like(FILM, level))) == "blank"

    @pytest.mark.parametrize("write", [as_png, as_jpeg, as_dicom])
    def test_half_black(self, write):
        film = FILM.copy()
        film[128:] = 0
        assert refused(write(film)) == "half-blank"

    @pytest.mark.parametrize("write", [as_png, as_jpeg, as_dicom])
    def test_noise(self, write):
        noise = np.random.default_rng(0).integers(0, 256, FILM.shape)
        assert refused(write(noise.astype(np.float32))) == "noise"


class TestDamage:
    @pytest.mark.parametrize(
        "data",
        [
            as_png(FILM),
            as_png(FILM, bits=16),
            as_jpeg(FILM),
            as_jpeg(FILM, progressive=True),
            as_jpeg(FILM, restart_marker_rows=1),
        ],
        ids=["png", "png-16", "jpeg", "jpeg-progressive", "jpeg-restarts"],
    )
    @pytest.mark.parametrize("kept", [0.25, 0.5, -14, -13, -12, -2, -1])
    def test_cut_files_are_incomplete(self, data, kept):
        cut = data[: int(len(data) * kept) if kept > 0 else kept]
        assert refused(cut) == "incomplete"

    def test_half_a_jpeg_behind_a_proper_end_is_incomplete(self):
        data = as_jpeg(FILM)
        assert refused(data[: len(data) // 2] + b"\xff\xd9") == "incomplete"

    def test_thumbnail_does_not_stand_in_for_the_lost_end(self):
        exif = Image.Exif()
        exif[0x010E] = saved(Image.new("L", (8, 8)), "JPEG").decode("latin-1")
        data = as_jpeg(FILM, restart_marker_rows=1, exif=exif)
        assert refused(data[:-2]) in ("incomplete", "unreadable")

    @pytest.mark.parametrize("place", [20, 45, 5_000, -20])
    def test_flipped_bit_in_a_png(self, place):
        data = bytearray(as_png(FILM))
        data[place] ^= 4
        assert refused(bytes(data)) in ("unreadable", "incomplete")

    def test_bytes_behind_the_end_do_not_matter(self):
        for data in (as_png(FILM), as_jpeg(FILM, quality=100)):
            assert np.abs(read_film(data + bytes(100)).pixels - FILM).mean() < 1

    def test_huge_compressed_text_stays_packed(self):
        text = PngImagePlugin.PngInfo()
        text.add_text("Comment", "A" * 70_000_000, zip=True)
        data = as_png(FILM, pnginfo=text)
        assert len(data) < 200_000
        tracemalloc.start()
        film = read_film(data)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 10_000_000
        np.testing.assert_array_equal(film.pixels, read_film(as_png(FILM)).pixels)

    def test_huge_compressed_exif_stays_packed(self):
        text = PngImagePlugin.PngInfo()
        text.add_text("Raw profile type exif", "A" * 70_000_000, zip=True)
        assert refused(as_png(FILM, pnginfo=text)) == "unreadable"

    def test_thousands_of_jpeg_markers_are_ignored(self):
        data = as_jpeg(FILM)
        comments = b"\xff\xfe\x00\x04hi" * 20_000
        film = read_film(data[:2] + comments + data[2:])
        np.testing.assert_array_equal(film.pixels, read_film(data).pixels)

    @pytest.mark.parametrize(
        "data",
        [as_png(FILM), as_jpeg(FILM), as_jpeg(FILM, mode="RGB", progressive=True)],
        ids=["png", "jpeg", "jpeg-progressive"],
    )
    def test_mutations_give_a_whole_film_or_a_refusal(self, data):
        random = np.random.default_rng(11)
        for _ in range(100):
            mutant = bytearray(data)
            for place in random.integers(0, len(data), random.integers(1, 9)):
                mutant[place] = random.integers(256)
            assert_whole_or_refused(bytes(mutant))


class TestWarnings:
    def test_none_escapes_and_the_filters_stay(self):
        broken_exif = b"Exif\x00\x00II*\x00\x08\x00\x00\x00\xff\xff" + bytes(40)
        filters = list(warnings.filters)
        read_film(as_jpeg(FILM, exif=broken_exif))
        assert warnings.filters == filters

    def test_threads_read_the_same_and_leave_the_filters(self):
        filters = list(warnings.filters)
        files = [as_jpeg(FILM), as_png(FILM), as_dicom(FILM)] * 8
        with ThreadPoolExecutor(4) as threads:
            films = list(threads.map(read_film, files))
        assert all(np.abs(film.pixels - FILM).mean() < 2 for film in films)
        assert warnings.filters == filters


def test_import_leaves_heavy_packages_alone():
    code = (
        "import sys, cxr.films.film; "
        "print({'pydicom', 'cv2', 'scipy'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=ROOT)
    assert done.stdout.strip() == b"set()"


@pytest.mark.real_data
def test_films_of_the_data_set_are_all_accepted(data_dir):
    paths = sorted((data_dir / "chest_xray" / "train").glob("*/*.jpeg"))[::40]
    paths += sorted((data_dir / "originals").glob("*/*.jpeg"))[::12]
    assert len(paths) > 100
    for path in paths:
        data = path.read_bytes()
        pixels = read_film(data).pixels
        expected = np.asarray(Image.open(io.BytesIO(data)).convert("L"))
        np.testing.assert_array_equal(pixels, expected)
