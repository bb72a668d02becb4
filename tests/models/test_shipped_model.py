"""What holds of the shipped model without any patient's film."""

import cv2
import numpy as np
import pytest
from synthetic_films import chest_phantom

from cxr.config import ROOT
from cxr.models import inference

SIZE = 300


@pytest.fixture(scope="module")
def model():
    return inference.load(ROOT / "models")


def pictures():
    rng = np.random.default_rng(0)
    film = chest_phantom(SIZE, SIZE, seed=1)
    return {
        "black": np.zeros((SIZE, SIZE), np.float32),
        "grey": np.full((SIZE, SIZE), 128, np.float32),
        "white": np.full((SIZE, SIZE), 255, np.float32),
        "noise": rng.uniform(0, 255, (SIZE, SIZE)).astype(np.float32),
        "blurred": cv2.GaussianBlur(film, (0, 0), SIZE / 10),
        "gradient": np.tile(np.linspace(0, 255, SIZE, dtype=np.float32), (SIZE, 1)),
    }


@pytest.mark.parametrize("name", pictures())
def test_a_picture_that_shows_nothing_is_not_called_pneumonia(model, name):
    prepared = model.network.prepare(pictures()[name])
    [found] = model.predict_inputs([prepared])
    assert found.probability < model.card.threshold.value
