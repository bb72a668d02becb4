"""Many films through one model: one reading for each, in order."""

import hashlib
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from synthetic_films import as_dicom, as_jpeg, as_png, chest_phantom
from tiny_model import PoolHere, register_tiny_model, tiny_probability

from cxr.errors import ImageError
from cxr.films.decoding import DecoderPool
from cxr.films.film import Film, read_film
from cxr.films.refusals import MAX_FILE_BYTES
from cxr.models import inference
from cxr.models.compiled import processors
from cxr.models.inference import Model
from cxr.models.network import Outputs
from cxr.reading import scoring


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    models_dir = tmp_path_factory.mktemp("models")
    register_tiny_model(models_dir)
    return inference.load(models_dir)


@pytest.fixture(scope="module")
def films() -> list[bytes]:
    brightness = np.linspace(-40, 60, 40)
    phantom = chest_phantom(160, 160)
    return [as_png(np.clip(phantom + level, 0, 255)) for level in brightness]


def probabilities(readings: Iterable[scoring.Reading]) -> list[float | str]:
    results = [reading.result for reading in readings]
    return [r.code if isinstance(r, ImageError) else r.probability for r in results]


class TestScore:
    @pytest.mark.parametrize("n", [1, 2, 16, 17, 18, 40])
    def test_every_film_has_its_own_score_in_order(self, model, films, n):
        readings = list(scoring.score(model, PoolHere(), films[:n], lungs=None))
        expected = [tiny_probability(read_film(data).pixels) for data in films[:n]]
        np.testing.assert_allclose(probabilities(readings), expected, atol=1e-5)
        assert len(set(expected)) == n
        hashes = [hashlib.sha256(data).hexdigest() for data in films[:n]]
        assert [reading.sha256 for reading in readings] == hashes

    def test_tone_is_that_of_the_film_as_the_networks_get_it(self, model, films):
        broken = b"no film"
        *readings, last = scoring.score(
            model, PoolHere(), [*films[:2], broken], lungs=None
        )
        for data, reading in zip(films, readings, strict=False):
            pixels = read_film(data).pixels
            assert reading.brightness == pytest.approx(pixels.mean(), rel=1e-5)
            assert reading.contrast == pytest.approx(pixels.std(), rel=1e-5)
        assert (last.brightness, last.contrast, last.likeness) == (None, None, None)

    @pytest.mark.parametrize("most", [1, 2, 3, None])
    def test_no_more_are_scored_at_once_than_asked(
        self, model, films, monkeypatch, most
    ):
        expected = probabilities(
            scoring.score(model, PoolHere(), films[:20], lungs=None)
        )
        calls, now, highest, predict = [], Counter(), [], model.predict_inputs
        lock = threading.Lock()

        def counted(inputs, *, beside):
            with lock:
                now["at once"] += 1
                highest.append(now["at once"])
                calls.append((len(inputs), beside))
            try:
                time.sleep(0.002)
                return predict(inputs, beside=beside)
            finally:
                with lock:
                    now["at once"] -= 1

        monkeypatch.setattr(model, "predict_inputs", counted)
        readings = scoring.score(
            model, PoolHere(), films[:20], most_at_once=most, lungs=None
        )
        assert probabilities(readings) == pytest.approx(expected, abs=1e-6)
        limit = most or processors()
        # The first is scored alone, on all processors.
        assert calls == [(1, False), *[(1, limit > 1)] * 19]
        assert min(limit, 2) <= max(highest) <= limit

    def test_films_that_take_unequal_time_come_in_order(
        self, model, films, monkeypatch
    ):
        expected = probabilities(scoring.score(model, PoolHere(), films, lungs=None))
        predict, rng = model.predict_inputs, random.Random(3)

        def unequal(inputs, *, beside):
            time.sleep(rng.uniform(0, 0.01))
            return predict(inputs, beside=beside)

        monkeypatch.setattr(model, "predict_inputs", unequal)
        readings = scoring.score(model, PoolHere(), films, most_at_once=4, lungs=None)
        assert probabilities(readings) == expected

    def test_a_fault_in_a_score_is_raised_and_ends_the_threads(
        self, model, films, monkeypatch
    ):
        predict = model.predict_inputs

        def fails_beside(inputs, *, beside):
            if beside:
                raise RuntimeError("out of memory")
            return predict(inputs)

        monkeypatch.setattr(model, "predict_inputs", fails_beside)
        before = threading.active_count()
        readings = scoring.score(model, PoolHere(), films, lungs=None, most_at_once=2)
        next(readings)
        with pytest.raises(RuntimeError, match="out of memory"):
            next(readings)
        assert threading.active_count() == before

    def test_who_stops_early_leaves_no_thread(self, model, films):
        before = threading.active_count()
        with DecoderPool(2) as pool:
            readings = scoring.score(model, pool, films, lungs=None, most_at_once=2)
            for _ in range(4):
                next(readings)
            readings.close()
            assert threading.active_count() == before

    def test_few_films_are_held_however_slow_the_reader_is(self, model, films):
        taken = []

        def files():
            for film in films * 3:
                taken.append(film)
                yield film

        with DecoderPool(2) as pool:
            readings = scoring.score(model, pool, files(), lungs=None, most_at_once=2)
            for number, _ in enumerate(readings, 1):
                assert len(taken) - number <= 2 * 2 + 1 + 2 * 2 + 1

    def test_no_files_give_no_readings(self, model):
        assert list(scoring.score(model, PoolHere(), [], lungs=None)) == []

    @pytest.mark.parametrize("place", [0, 1, 9, 16, 17, 19])
    def test_a_broken_film_is_refused_and_the_others_are_scored(
        self, model, films, place
    ):
        files = films[:20]
        expected = probabilities(scoring.score(model, PoolHere(), files, lungs=None))
        files[place] = files[place][:-40]
        readings = list(scoring.score(model, PoolHere(), files, lungs=None))
        expected[place] = "incomplete"
        assert probabilities(readings) == pytest.approx(expected, abs=1e-6)
        assert readings[place].sha256 == ""

    def test_only_broken_films_give_only_refusals(self, model):
        readings = scoring.score(model, PoolHere(), [b"", b"text", b""] * 7, lungs=None)
        assert probabilities(readings) == ["empty", "not-an-image", "empty"] * 7

    @pytest.mark.parametrize("places", [{0}, {19}, {0, 1, 2}, {16, 17}, set(range(20))])
    def test_a_file_that_was_not_opened_keeps_its_place(self, model, films, places):
        files: list[bytes | ImageError] = list(films[:20])
        expected = probabilities(
            scoring.score(model, PoolHere(), films[:20], lungs=None)
        )
        for place in places:
            files[place] = ImageError("gone", code="not-opened")
            expected[place] = "not-opened"
        readings = scoring.score(model, PoolHere(), files, lungs=None)
        assert probabilities(readings) == pytest.approx(expected, abs=1e-6)

    def test_a_film_without_a_finite_score_is_an_error_in_its_place(
        self, model, films, monkeypatch
    ):
        prepare = model.input
        seen = []

        def nan_for_the_third(film: Film) -> np.ndarray:
            seen.append(film)
            return prepare(film) * (np.nan if len(seen) == 3 else 1)

        monkeypatch.setattr(model, "input", nan_for_the_third)
        readings = scoring.score(model, PoolHere(), films[:5], lungs=None)
        codes = [code for code in probabilities(readings) if isinstance(code, str)]
        assert codes == ["not-scored"]

    def test_files_are_taken_as_they_are_needed(self, model, films):
        waiting = iter(films)
        readings = scoring.score(model, PoolHere(), waiting, lungs=None)
        assert len(list(waiting)) == len(films)

        waiting = iter(films)
        readings = scoring.score(model, PoolHere(), waiting, lungs=None)
        next(readings)
        assert len(list(waiting)) >= len(films) - 3

    def test_the_time_of_a_film_includes_its_scoring(self, model, films, monkeypatch):
        network = model.network

        def slow(inputs: np.ndarray, *, beside: bool) -> Outputs:
            time.sleep(0.05)
            return network(inputs, beside=beside)

        slow.prepare = network.prepare
        monkeypatch.setattr(model, "network", slow)
        started = time.perf_counter()
        readings = list(scoring.score(model, PoolHere(), films[:1], lungs=None))
        assert readings[0].seconds >= 0.05
        assert readings[0].seconds <= time.perf_counter() - started

    def test_warnings_of_the_reader_come_along(self, model):
        class Warned(PoolHere):
            def map(self, files: Iterable[bytes]) -> Iterator[Film | ImageError]:
                for film in super().map(files):
                    yield Film(**{**vars(film), "warnings": ("Several windows.",)})

        film = as_jpeg(chest_phantom())
        [reading] = scoring.score(model, Warned(), [film], lungs=None)
        assert reading.warnings == ("Several windows.",)

    def test_with_real_decoders_nothing_changes(self, model, films):
        files = [*films[:4], b"text", *films[4:8]]
        with DecoderPool(1) as pool:
            apart = list(scoring.score(model, pool, files, lungs=None))
        here = list(scoring.score(model, PoolHere(), files, lungs=None))
        assert probabilities(apart) == probabilities(here)
        assert [o.sha256 for o in apart] == [o.sha256 for o in here]


class TestReading:
    def test_says_what_the_film_is_and_what_speaks_against_its_score(self, model):
        content = as_dicom(chest_phantom(256, 192), view="SIDE", age="061Y")
        reading = scoring.read_one(model, PoolHere(), content, lungs=None)
        assert (reading.format, reading.bits) == ("DICOM", 12)
        assert (reading.height, reading.width) == (256, 192)
        assert reading.pixels == 256 * 192
        assert reading.sha256 == hashlib.sha256(content).hexdigest()
        (caution,) = reading.cautions  # the tiny model states no ages
        assert "a view that is no known term" in caution

    def test_says_first_what_the_film_itself_has_against_its_score(self, model):
        turned = np.rot90(chest_phantom(256, 192), 2)
        content = as_dicom(
            turned, window=(2048, 16_384), view="SIDE", PatientOrientation=["R", "H"]
        )
        with DecoderPool(1) as pool:
            reading = scoring.read_one(model, pool, content, lungs=None)
        upside_down, narrow, view = reading.cautions
        assert "turned upright" in upside_down and "no known term" in view
        assert "window or scaling does not fit" in narrow

    def test_keeps_a_picture_only_if_one_is_asked_for(self, model):
        content = as_png(chest_phantom(300, 150))
        with_picture = scoring.read_one(
            model, PoolHere(), content, picture_edge=100, lungs=None
        )
        assert with_picture.picture.shape == (100, 50)
        assert with_picture.picture.dtype == np.uint8
        without = scoring.read_one(model, PoolHere(), content, lungs=None)
        assert without.picture.size == 0
        assert without.result.probability == with_picture.result.probability

    def test_of_a_refused_film_holds_the_reason_and_nothing_else(self, model):
        reading = scoring.read_one(
            model, PoolHere(), b"text", picture_edge=100, lungs=None
        )
        assert isinstance(reading.result, ImageError)
        assert reading.result.code == "not-an-image"
        assert (reading.sha256, reading.format, reading.pixels) == ("", "", 0)
        assert (reading.cautions, reading.warnings) == ((), ())
        assert reading.picture.size == 0

    def test_is_that_of_the_model_itself(self, model, films):
        reading = scoring.read_one(model, PoolHere(), films[7], lungs=None)
        assert reading.result.probability == (
            model.predict(read_film(films[7])).probability
        )


class TestContents:
    def test_the_bytes_of_each_file(self, tmp_path):
        paths = [tmp_path / name for name in "ba"]
        for path in paths:
            path.write_bytes(path.name.encode())
        assert list(scoring.contents(paths)) == [b"b", b"a"]

    def test_a_file_that_is_gone_does_not_stop_the_others(self, tmp_path):
        there = tmp_path / "there"
        there.write_bytes(b"x")
        found = list(scoring.contents([tmp_path / "gone", there, tmp_path]))
        assert [getattr(item, "code", item) for item in found] == [
            "not-opened",
            b"x",
            "not-opened",
        ]

    def test_a_message_does_not_repeat_the_name_of_the_file(self, tmp_path):
        [error] = scoring.contents([tmp_path / "DOE_JANE_1970.png"])
        assert "DOE" not in error.message

    def test_of_a_huge_file_only_as_much_is_read_as_refuses_it(self, tmp_path):
        huge = tmp_path / "huge.dcm"
        with huge.open("wb") as file:
            file.truncate(1 << 40)  # takes no room on the disk
        [data] = scoring.contents([huge])
        assert len(data) == MAX_FILE_BYTES + 1
        with pytest.raises(ImageError) as refused:
            read_film(data)
        assert refused.value.code == "too-large"

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_a_file_that_may_not_be_read_is_refused(self, tmp_path: Path):
        path = tmp_path / "secret.png"
        path.write_bytes(b"x")
        path.chmod(0)
        [error] = scoring.contents([path])
        assert error.code == "not-opened"
