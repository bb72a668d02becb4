"""From a case to what is kept of it, and that reading goes on where nothing can be."""

import hashlib
from dataclasses import asdict, replace
from functools import partial

import numpy as np
import pytest
from kept_readings import overwrite_header
from synthetic_films import as_dicom, as_png, chest_phantom
from tiny_model import PoolHere

from cxr.films import display
from cxr.models import inference, lungs, registry
from cxr.models.inference import Model
from cxr.reading import cases, keeping, scoring, stability
from cxr.reading.cases import Case, Context, Review
from cxr.records import audit, events, films, history, keys, search, soundness
from cxr.records.kept import CONTEXT_NAMES


@pytest.fixture(scope="module")
def model(models_dir) -> Model:
    return inference.load(models_dir)


@pytest.fixture(scope="module")
def network(models_dir):
    return lungs.load(models_dir)


@pytest.fixture
def records(tmp_path):
    return tmp_path / "records"


def case_of(model, network, content, *, threshold=0.4, **changes) -> Case:
    reading = scoring.read_one(
        model, PoolHere(), content, lungs=network, picture_edge=display.SCREEN_EDGE
    )
    return Case(
        name="DOE_JANE.png",
        sha256=hashlib.sha256(content).hexdigest(),
        reading=reading,
        threshold=threshold,
        threshold_source="shipped",
        answer=cases.answer(reading, model, threshold),
        **changes,
    )


@pytest.fixture
def film(model, network) -> Case:
    return case_of(model, network, as_dicom(chest_phantom(), PatientID="P1"))


class TestKeep:
    def test_all_that_a_reading_is_comes_along(self, model, models_dir, film, records):
        case_id = keeping.keep(
            film, model, records, actor="ann", worklist="w1", site="s1"
        )
        kept = search.case(records, case_id).reading
        reading = film.reading
        assert (kept.worklist, kept.site) == ("w1", "s1")
        assert (kept.model_id, kept.model_sha256) == ("tiny-1", model.sha256)
        assert kept.card_sha256 == registry.card_sha256(models_dir, "tiny-1")
        assert (kept.probability, kept.logit) == (
            *(reading.result.probability, reading.result.logit),
        )
        assert (kept.frontal, kept.unlike) == (
            *(reading.likeness.frontal, reading.likeness.unlike),
        )
        assert (kept.brightness, kept.contrast) == pytest.approx(
            (chest_phantom().mean(), chest_phantom().std()), abs=0.5
        )
        assert (kept.answer, kept.threshold) == (film.answer, 0.4)
        assert (kept.format, kept.bits, kept.height) == ("DICOM", 12, 256)
        assert len(kept.film) == len(kept.patient) == 32
        assert kept.film not in film.sha256 and kept.patient not in reading.patient

    def test_a_refused_film_is_kept_with_what_the_gate_says(
        self, model, network, records
    ):
        white = as_png(np.clip(chest_phantom() * 0.1 + 236, 0, 255))
        case = case_of(model, network, white)
        kept = search.case(records, keeping.keep(case, model, records, actor="ann"))
        assert (kept.reading.answer, kept.reading.code) == (
            *("refused", "not-frontal-chest"),
        )
        assert kept.reading.frontal == case.reading.likeness.frontal < 0
        assert kept.reading.probability is None

    def test_a_broken_file_is_kept_by_its_hash(self, model, network, records):
        case = case_of(model, network, b"text")
        kept = search.case(records, keeping.keep(case, model, records, actor="ann"))
        assert kept.reading.code == "not-an-image" and len(kept.reading.film) == 32

    def test_what_was_asked_and_said_comes_along(self, model, film, records):
        held = stability.Stability(probabilities={"a": 0.5}, same=1, low=0.4, high=0.6)
        case = replace(film, context=Context(age_years=4.0), stability=held)
        case_id = keeping.keep(case, model, records, actor="ann")
        kept = search.case(records, case_id)
        assert kept.context["age_years"] == 4.0
        assert kept.stability == asdict(held)
        kept = keeping.review(
            records, case_id, Review(opinion="agree", reason="r"), actor="bob"
        )
        assert (kept.opinion, kept.reason, kept.reviewer) == ("agree", "r", "bob")
        assert keeping.review(records, case_id, None, actor="bob").opinion == ""
        kept = keeping.add(records, case_id, actor="x", context=Context(days_ill=2.0))
        assert (kept.context["age_years"], kept.context["days_ill"]) == (None, 2.0)
        assert soundness.verify(records) == []

    def test_the_numbers_of_a_context_are_those_that_a_case_has(self):
        assert set(asdict(Context())) == set(CONTEXT_NAMES)

    def test_a_film_is_kept_as_pixels_alone_and_only_where_asked(
        self, model, film, records
    ):
        without = keeping.keep(film, model, records, actor="ann")
        with_film = keeping.keep(film, model, records, actor="ann", with_film=True)
        assert not films.is_kept(records, without)
        picture = display.unpacked(films.read(records, with_film))
        np.testing.assert_array_equal(picture, film.reading.picture)


class TestKeeper:
    def test_case_f1_reading_goes_on_where_nothing_can_be_kept(
        self, model, film, records
    ):
        keeper = keeping.Keeper()
        keep = partial(keeping.keep, film, model, records, actor="ann")
        assert keeper.tried(keep) and keeper.trouble is None
        content = (records / events.FILE).read_bytes()
        overwrite_header(records / events.FILE)
        assert keeper.tried(keep) is None
        assert (keeper.missed, "damaged" in keeper.trouble.message) == (1, True)
        (records / events.FILE).write_bytes(content)
        assert keeper.tried(keep)
        assert (keeper.missed, keeper.trouble) == (1, None)

    def test_what_the_disk_says_is_a_sentence_too(
        self, model, film, records, monkeypatch
    ):
        def fail(*_, **__):
            raise OSError(5, "Input/output error")

        keeping.keep(film, model, records, actor="ann")
        monkeypatch.setattr(keys, "secret", fail)
        keeper = keeping.Keeper()
        keep = partial(keeping.keep, film, model, records, actor="ann")
        assert keeper.tried(keep) is None
        sentence = "The history can't be used: Input/output error."
        assert keeper.trouble.message == sentence
        assert keeper.tried(partial(history.known_as, records, film.sha256)) is None
        assert (keeper.missed, keeper.trouble.message) == (2, sentence)


def test_a_record_of_nobody_is_made_in_no_trail(model, film, records):
    keeping.keep(film, model, records, actor="ann")
    assert audit.entries(records) == []
