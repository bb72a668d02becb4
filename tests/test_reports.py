"""What a reading says as a document and as a picture, and what it must not say."""

import io
import json
from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest
from films import as_dicom, chest_phantom
from PIL import Image
from tiny_model import register_tiny_model

from cxr import inference, reports
from cxr.documents import plain
from cxr.images import read_film


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    register_tiny_model(folder, age_years=(1.0, 6.0))
    return inference.load(folder)


@pytest.fixture(scope="module")
def film():
    return read_film(as_dicom(chest_phantom()))


def document(model, film, threshold=0.3):
    return reports.result_document(
        model.predict(film),
        model,
        film_sha256=film.sha256,
        threshold=threshold,
        warnings=("Something was unusual.",),
    )


class TestResultDocument:
    def test_says_what_was_measured_and_what_that_rests_on(self, model, film):
        result = document(model, film)
        prediction = model.predict(film)
        low, high = model.band(0.3)
        assert result["probability"] == prediction.probability
        assert result["decision"] == model.decide(prediction.probability, 0.3)
        assert result["threshold"] == 0.3
        assert result["uncertain_band"] == [low, high]
        assert result["shipped_threshold"]["value"] == model.card.threshold.value
        assert result["prevalence_of_probability"] == model.card.calibration.prevalence
        assert (result["model_id"], result["model_sha256"]) == ("tiny-1", model.sha256)
        assert result["population"] == model.card.population
        assert result["film_sha256"] == film.sha256
        assert result["warnings"] == ["Something was unusual."]
        assert "never a diagnosis" in result["notice"]
        assert datetime.fromisoformat(result["time"]).utcoffset().total_seconds() == 0

    def test_is_json_without_nan(self, model, film):
        text = json.dumps(plain(document(model, film)), allow_nan=False)
        assert json.loads(text)["threshold"] == 0.3

    def test_holds_nothing_of_the_header(self, model, film):
        assert "CANARY" not in json.dumps(plain(document(model, film)))


class TestCautions:
    def test_a_frontal_chest_film_of_a_child_has_none(self, model, film):
        assert reports.cautions(film, model.card) == ()

    def test_a_film_without_a_header_has_none(self, model, film):
        bare = replace(film, view_position=None, body_part=None, age_years=None)
        assert reports.cautions(bare, model.card) == ()

    @pytest.mark.parametrize(
        ("header", "words"),
        [
            ({"view_position": "LL"}, "a lateral view"),
            ({"view_position": "LATERAL"}, "a lateral view"),
            ({"view_position": "OTHER"}, "not a plain frontal view"),
            ({"body_part": "HAND"}, "another part of the body"),
            ({"age_years": 61.0}, "61 years"),
            ({"age_years": 0.5}, "6 months"),
            ({"age_years": 6.0}, "6 years"),
            ({"age_years": 90.0}, "90 years or more"),
        ],
    )
    def test_each_reason_has_a_sentence(self, model, film, header, words):
        (caution,) = reports.cautions(replace(film, **header), model.card)
        assert words in caution

    @pytest.mark.parametrize("age", [1.0, 3.0, 5.9])
    def test_ages_of_the_population_have_none(self, model, film, age):
        assert reports.cautions(replace(film, age_years=age), model.card) == ()

    def test_a_model_that_states_no_ages_claims_none(self, model, film):
        card = replace(model.card, age_years=None)
        assert reports.cautions(replace(film, age_years=61.0), card) == ()


class TestPicture:
    @pytest.mark.parametrize(
        ("shape", "expected"),
        [((300, 200), (300, 200)), ((2800, 1400), (1400, 700)), ((9, 5600), (2, 1400))],
    )
    def test_no_edge_is_longer_than_asked(self, shape, expected):
        film = np.full(shape, 77.4, np.float32)
        picture = reports.picture(film, 1400)
        assert picture.shape == expected
        assert picture.dtype == np.uint8
        assert (picture == 77).all()

    @pytest.mark.parametrize("shape", [(20, 30), (20, 30, 3)])
    def test_png_gives_the_picture_back_and_no_text(self, shape):
        picture = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
        image = Image.open(io.BytesIO(reports.png(picture)))
        assert np.array_equal(np.asarray(image), picture)
        assert image.info == {}
