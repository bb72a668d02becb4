"""Many films through one model: one outcome for each, in order."""

import hashlib
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from films import as_jpeg, as_png, chest_phantom
from tiny_model import PoolHere, register_tiny_model, tiny_probability

from cxr import inference, scoring
from cxr.decoding import DecoderPool
from cxr.errors import ImageError
from cxr.images import Film, read_film
from cxr.inference import Model
from cxr.refusals import MAX_FILE_BYTES


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


def probabilities(outcomes: Iterable[scoring.Outcome]) -> list[float | str]:
    results = [outcome.result for outcome in outcomes]
    return [r.code if isinstance(r, ImageError) else r.probability for r in results]


class TestScore:
    @pytest.mark.parametrize("n", [1, 2, 16, 17, 18, 40])
    def test_every_film_has_its_own_score_in_order(self, model, films, n):
        outcomes = list(scoring.score(model, PoolHere(), films[:n]))
        expected = [tiny_probability(read_film(data).pixels) for data in films[:n]]
        np.testing.assert_allclose(probabilities(outcomes), expected, atol=1e-5)
        assert len(set(expected)) == n
        hashes = [hashlib.sha256(data).hexdigest() for data in films[:n]]
        assert [outcome.sha256 for outcome in outcomes] == hashes

    def test_no_files_give_no_outcomes(self, model):
        assert list(scoring.score(model, PoolHere(), [])) == []

    @pytest.mark.parametrize("place", [0, 1, 9, 16, 17, 19])
    def test_a_broken_film_is_refused_and_the_others_are_scored(
        self, model, films, place
    ):
        files = films[:20]
        expected = probabilities(scoring.score(model, PoolHere(), files))
        files[place] = files[place][:-40]
        outcomes = list(scoring.score(model, PoolHere(), files))
        expected[place] = "incomplete"
        assert probabilities(outcomes) == pytest.approx(expected, abs=1e-6)
        assert outcomes[place].sha256 == ""

    def test_only_broken_films_give_only_refusals(self, model):
        outcomes = scoring.score(model, PoolHere(), [b"", b"text", b""] * 7)
        assert probabilities(outcomes) == ["empty", "not-an-image", "empty"] * 7

    @pytest.mark.parametrize("places", [{0}, {19}, {0, 1, 2}, {16, 17}, set(range(20))])
    def test_a_file_that_was_not_opened_keeps_its_place(self, model, films, places):
        files: list[bytes | ImageError] = list(films[:20])
        expected = probabilities(scoring.score(model, PoolHere(), films[:20]))
        for place in places:
            files[place] = ImageError("gone", code="not-opened")
            expected[place] = "not-opened"
        outcomes = scoring.score(model, PoolHere(), files)
        assert probabilities(outcomes) == pytest.approx(expected, abs=1e-6)

    def test_a_film_without_a_finite_score_is_an_error_in_its_place(
        self, model, films, monkeypatch
    ):
        prepare = model.input
        seen = []

        def nan_for_the_third(film: Film) -> np.ndarray:
            seen.append(film)
            return prepare(film) * (np.nan if len(seen) == 3 else 1)

        monkeypatch.setattr(model, "input", nan_for_the_third)
        outcomes = scoring.score(model, PoolHere(), films[:5])
        codes = [code for code in probabilities(outcomes) if isinstance(code, str)]
        assert codes == ["not-scored"]

    def test_files_are_taken_as_they_are_needed(self, model, films):
        waiting = iter(films)
        outcomes = scoring.score(model, PoolHere(), waiting)
        assert len(list(waiting)) == len(films)

        waiting = iter(films)
        outcomes = scoring.score(model, PoolHere(), waiting)
        next(outcomes)
        assert len(list(waiting)) >= len(films) - 3

    def test_the_time_of_a_film_includes_its_scoring(self, model, films, monkeypatch):
        network = model.network

        def slow(inputs: np.ndarray) -> inference.Outputs:
            time.sleep(0.05)
            return network(inputs)

        slow.prepare = network.prepare
        monkeypatch.setattr(model, "network", slow)
        started = time.perf_counter()
        outcomes = list(scoring.score(model, PoolHere(), films[:1]))
        assert outcomes[0].seconds >= 0.05
        assert outcomes[0].seconds <= time.perf_counter() - started

    def test_warnings_of_the_reader_come_along(self, model):
        class Warned(PoolHere):
            def map(self, files: Iterable[bytes]) -> Iterator[Film | ImageError]:
                for film in super().map(files):
                    yield Film(**{**vars(film), "warnings": ("Several windows.",)})

        film = as_jpeg(chest_phantom())
        [outcome] = scoring.score(model, Warned(), [film])
        assert outcome.warnings == ("Several windows.",)

    def test_with_real_decoders_nothing_changes(self, model, films):
        files = [*films[:4], b"text", *films[4:8]]
        with DecoderPool(1) as pool:
            apart = list(scoring.score(model, pool, files))
        here = list(scoring.score(model, PoolHere(), files))
        assert probabilities(apart) == probabilities(here)
        assert [o.sha256 for o in apart] == [o.sha256 for o in here]


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
