"""A case's answer is one of four words, whatever the model calls it."""

import pytest
from synthetic_films import as_png, chest_phantom
from tiny_model import PoolHere, register_tiny_model

from cxr.models import inference
from cxr.reading import cases, scoring
from cxr.records import kept


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    models_dir = tmp_path_factory.mktemp("models")
    register_tiny_model(models_dir)
    return inference.load(models_dir)


def test_the_answer_follows_probability_and_threshold(model):
    film = as_png(chest_phantom(160, 160))
    reading = scoring.read_one(model, PoolHere(), film, lungs=None)
    value = reading.result.probability
    low, high = model.band(value)
    inside = cases.NO_ANSWER if low <= value < high else kept.ABOVE
    assert cases.answer(reading, model, value) == inside
    assert cases.answer(reading, model, 0.999) == kept.BELOW
    assert cases.answer(reading, model, 0.001) == kept.ABOVE


def test_a_film_without_a_score_is_refused(model):
    reading = scoring.read_one(model, PoolHere(), b"no film", lungs=None)
    assert cases.answer(reading, model, 0.5) == cases.REFUSED
