"""What a reading says as a document and as a picture, and what it must not say."""

import io
import json
from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest
from PIL import Image
from synthetic_films import as_dicom, chest_phantom
from tiny_model import PoolHere, register_tiny_model

from cxr.documents import plain
from cxr.films import display
from cxr.models import inference
from cxr.reading import cases, scoring
from cxr.reading.cases import ANSWERS, Case, Context, Review
from cxr.records import kept
from cxr.reports.document import result_document


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    register_tiny_model(folder, age_years=(1.0, 6.0))
    return inference.load(folder)


@pytest.fixture(scope="module")
def case(model):
    """A film read at a threshold of its reader, with his answer and what he knows."""
    reading = scoring.read_one(
        model, PoolHere(), as_dicom(chest_phantom(), view="SIDE"), lungs=None
    )
    return Case(
        name="DOE_JANE.dcm",
        sha256=reading.sha256,
        reading=reading,
        threshold=0.3,
        threshold_source="reader",
        answer=cases.answer(reading, model, 0.3),
        review=Review(opinion=kept.DISAGREE, reason="the left base"),
        context=Context(age_years=4.0, temperature_celsius=39.2),
    )


class TestResultDocument:
    def test_says_what_was_measured_and_what_that_rests_on(self, model, case):
        result = result_document(case, model)
        probability = case.reading.result.probability
        assert result["probability"] == probability
        assert result["answer"] == ANSWERS[model.decide(probability, 0.3)]
        assert (result["threshold"], result["threshold_source"]) == (0.3, "reader")
        zone = (result["no_answer_from"], result["no_answer_below"])
        assert zone == model.band(0.3)
        assert result["shipped_threshold"]["value"] == model.card.threshold.value
        assert result["prevalence_of_probability"] == model.card.calibration.prevalence
        assert (result["model_id"], result["model_sha256"]) == ("tiny-1", model.sha256)
        assert result["population"] == model.card.population
        assert result["film_sha256"] == case.sha256
        (warning,) = result["warnings"]
        assert "no known term" in warning
        assert "never a diagnosis" in result["notice"]
        assert datetime.fromisoformat(result["time"]).utcoffset().total_seconds() == 0

    def test_holds_what_the_reader_added(self, model, case):
        result = result_document(case, model)
        assert (result["opinion"], result["opinion_reason"]) == (
            "disagree",
            "the left base",
        )
        assert (result["age_years"], result["temperature_celsius"]) == (4.0, 39.2)
        assert result["days_ill"] is None

    def test_of_a_refused_film_holds_the_reason(self, model, case):
        reading = scoring.read_one(model, PoolHere(), b"no film", lungs=None)
        refused = replace(case, reading=reading, answer=cases.REFUSED)
        result = result_document(refused, model)
        assert (result["answer"], result["refusal"]) == ("refused", "not-an-image")
        assert result["probability"] is None and result["eligible"] is None

    def test_is_json_without_nan(self, model, case):
        text = json.dumps(plain(result_document(case, model)), allow_nan=False)
        assert json.loads(text)["threshold"] == 0.3

    def test_holds_nothing_of_the_header_and_no_file_name(self, model, case):
        text = json.dumps(plain(result_document(case, model)))
        assert "CANARY" not in text and "DOE" not in text


class TestPicture:
    @pytest.mark.parametrize(
        ("shape", "expected"),
        [((300, 200), (300, 200)), ((2800, 1400), (1400, 700)), ((9, 5600), (2, 1400))],
    )
    def test_no_edge_is_longer_than_asked(self, shape, expected):
        film = np.full(shape, 77.4, np.float32)
        picture = display.picture(film, 1400)
        assert picture.shape == expected
        assert picture.dtype == np.uint8
        assert (picture == 77).all()

    @pytest.mark.parametrize("shape", [(20, 30), (20, 30, 3)])
    def test_png_gives_the_picture_back_and_no_text(self, shape):
        picture = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
        image = Image.open(io.BytesIO(display.png(picture)))
        assert np.array_equal(np.asarray(image), picture)
        assert image.info == {}
