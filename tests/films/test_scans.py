"""JPEG films that were cut short or damaged, or are built of too many scans."""

import io
import struct
import time

import numpy as np
import pytest
from PIL import Image
from pydicom.uid import JPEGBaseline8Bit
from synthetic_films import as_dicom, chest_phantom

from cxr.errors import ImageError
from cxr.films import damage, scans
from cxr.films.film import read_film
from cxr.films.markers import JPEG_START, SCAN, segments

PIXELS = chest_phantom(320, 300, seed=4)
END = b"\xff\xd9"


def jpeg(mode="L", **options):
    stream = io.BytesIO()
    picture = Image.fromarray(PIXELS.astype(np.uint8)).convert(mode)
    picture.save(stream, "JPEG", quality=90, **options)
    return stream.getvalue()


KINDS = {
    "baseline": jpeg(),
    "progressive": jpeg(progressive=True),
    "three channels": jpeg("RGB"),
    "progressive, three channels": jpeg("RGB", progressive=True),
    "restarts": jpeg(restart_marker_rows=2),
}


def code_of(data):
    try:
        read_film(data)
    except ImageError as error:
        return error.code
    return "read"


@pytest.mark.parametrize("kind", KINDS)
class TestWhole:
    def test_a_whole_film_is_read_as_the_usual_decoder_reads_it(self, kind):
        film = read_film(KINDS[kind])
        with Image.open(io.BytesIO(KINDS[kind])) as picture:
            expected = np.asarray(picture.convert("L"), np.float32)
        np.testing.assert_array_equal(film.pixels, expected)
        assert film.warnings == film.cautions == ()

    @pytest.mark.parametrize("share", [0.05, 0.15, 0.3, 0.5, 0.7, 0.9, 0.99])
    def test_case_8_one_that_was_cut_and_ended_is_incomplete(self, kind, share):
        data = KINDS[kind]
        begin = next(s.end for s in segments(data) if s.marker == SCAN)
        begin = min(begin, len(data) // 3)
        cut = data[: begin + int((len(data) - begin) * share)]
        # A cut through a table is damage of another name.
        assert code_of(cut.rstrip(b"\xff") + END) in ("incomplete", "unreadable")

    @pytest.mark.parametrize("lost", [100, 400])
    def test_case_8_one_that_lost_a_piece_is_damaged(self, kind, lost):
        data = KINDS[kind]
        longest = max(
            (s for s in segments(data) if s.marker == SCAN),
            key=lambda segment: segment.end - segment.body,
        )
        middle = (longest.body + longest.end) // 2
        damaged = data[:middle] + data[middle + lost :]
        assert code_of(damaged) in ("incomplete", "unreadable")


@pytest.mark.parametrize("kept", [1, 2, 3, 5])
def test_case_8_a_progressive_film_without_its_last_scans_is_incomplete(kept):
    # The cut lies between scans: no decoder has anything to warn of.
    data = KINDS["progressive"]
    ends = [segment.end for segment in segments(data) if segment.marker == SCAN]
    assert len(ends) > kept
    assert code_of(data[: ends[kept - 1]] + END) == "incomplete"


def test_case_8_a_film_inside_dicom_is_held_to_the_same():
    whole = as_dicom(PIXELS, bits_stored=8, syntax=JPEGBaseline8Bit)
    assert code_of(whole) == "read"
    begin = whole.index(JPEG_START)
    stream = whole[begin : whole.rindex(END) + 2]
    cut = stream[: len(stream) // 2] + END + bytes(len(stream) - len(stream) // 2 - 2)
    assert code_of(whole.replace(stream, cut)) == "incomplete"


def with_empty_scans(data, number):
    """A progressive film with scans of its first kind repeated, empty of pixels."""
    [first, *_] = [s for s in segments(data) if s.marker == SCAN]
    header = data[first.start : first.body] + data[first.body : first.body + 6]
    place = first.end
    return data[:place] + header * number + data[place:]


@pytest.mark.parametrize("number", [200, 5000])
def test_case_11_thousands_of_scans_are_refused_before_they_are_decoded(number):
    data = with_empty_scans(KINDS["progressive"], number)
    with pytest.raises(ImageError) as refused:
        read_film(data)
    assert refused.value.code == "too-many-scans"
    assert str(scans.MOST_SCANS) in refused.value.message


def test_case_11_they_cost_no_time():
    data = with_empty_scans(KINDS["progressive"], 5000)
    start = time.process_time()
    code_of(data)
    assert time.process_time() - start < 0.5


def test_a_scan_header_that_ends_early_is_damage():
    data = bytearray(KINDS["progressive"])
    [first, *_] = [s for s in segments(bytes(data)) if s.marker == SCAN]
    struct.pack_into(">H", data, first.start + 2, 3)
    assert code_of(bytes(data)) in ("incomplete", "unreadable")


def coded_pixels(data):
    """Where the pixels of the only scan lie."""
    [scan] = [s for s in segments(data) if s.marker == SCAN]
    return scan.body + 2 * data[scan.body] + 4, scan.end


def with_changed_bytes(data, seed):
    generator = np.random.default_rng(seed)
    begin, end = coded_pixels(data)
    changed = bytearray(data)
    for place in generator.integers(begin, end, 20):
        changed[place] = int(generator.integers(256))
    return bytes(changed)


def test_case_8_changed_bytes_that_no_decoder_notices_give_a_caution():
    cautions = []
    for seed in range(60):
        try:
            film = read_film(with_changed_bytes(KINDS["baseline"], seed))
        except ImageError:
            continue
        cautions.append(film.cautions)
    assert len(cautions) >= 3
    assert all(damage.DOUBTFUL in found for found in cautions)


def test_case_8_zeros_in_a_progressive_film_give_a_caution():
    data = KINDS["progressive"]
    last = [s for s in segments(data) if s.marker == SCAN][-1]
    middle = (2 * last.body + last.end) // 3
    film = read_film(data[:middle] + bytes(100) + data[middle + 100 :])
    assert film.cautions == (damage.DOUBTFUL,)


def test_a_film_inside_dicom_is_cautioned_too():
    whole = as_dicom(PIXELS, bits_stored=8, syntax=JPEGBaseline8Bit)
    begin = whole.index(JPEG_START)
    stream = whole[begin : whole.rindex(END) + 2]
    for seed in range(60):
        try:
            film = read_film(whole.replace(stream, with_changed_bytes(stream, seed)))
        except ImageError:
            continue
        assert damage.DOUBTFUL in film.cautions
        return
    pytest.fail("no damage decodes")
