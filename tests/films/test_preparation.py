"""The pixel contract: what a network sees of a film, in training and in serving."""

import numpy as np
import pytest
from synthetic_films import as_jpeg, as_png, chest_phantom

from cxr.datasets import folders, prepared
from cxr.films import preparation
from cxr.films.film import read_film
from cxr.films.preparation import low_pass, network_input, resize


@pytest.mark.parametrize("height, width", [(224, 224), (300, 200), (97, 411), (900, 9)])
@pytest.mark.parametrize("size", [224, 96])
def test_input_is_square_float32_within_the_range(height, width, size):
    film = np.where(np.indices((height, width)).sum(0) % 7 < 3, 255, 0)
    seen = network_input(film.astype(np.float32), size)
    assert seen.shape == (size, size, 1)
    assert seen.dtype == np.float32
    assert seen.min() >= 0
    assert seen.max() <= 255 * (1 + 1e-6)


def test_the_size_is_224_by_default():
    assert network_input(chest_phantom(60, 80)).shape == (224, 224, 1)


def test_film_of_the_networks_size_is_not_resampled():
    film = chest_phantom(224, 224)
    assert resize(film, 224) is film
    np.testing.assert_array_equal(network_input(film)[..., 0], low_pass(film))


def test_grey_levels_are_kept_and_not_stretched():
    flat = np.full((300, 500), 37.0, np.float32)
    np.testing.assert_allclose(network_input(flat), 37, rtol=1e-6)
    film = chest_phantom(600, 700)
    assert network_input(film).mean() == pytest.approx(film.mean(), abs=0.2)


def test_film_stays_as_it_is_and_may_be_read_only():
    film = chest_phantom(300, 260)
    film.flags.writeable = False
    before = film.copy()
    network_input(film)
    np.testing.assert_array_equal(film, before)


def test_sides_and_poles_stay_where_they_are():
    film = np.zeros((400, 600), np.float32)
    film[:200, :300] = 200
    seen = network_input(film)[..., 0]
    assert seen[56, 56] == pytest.approx(200)
    assert seen[56, 168] == seen[168, 56] == seen[168, 168] == 0


def test_reduction_is_antialiased():
    lines = np.zeros((1344, 1344), np.float32)
    lines[:, ::5] = 250
    assert resize(lines, 224).std() < 6
    assert resize(lines, 224).mean() == pytest.approx(50, abs=0.5)


@pytest.mark.parametrize("size", [224, 448])
def test_low_pass_takes_out_the_grain_and_keeps_the_shapes(size):
    shapes = resize(chest_phantom(size, size), size)
    grain = np.random.default_rng(0).normal(0, 10, shapes.shape).astype(np.float32)
    left_over = low_pass(shapes + grain) - low_pass(shapes)
    # The variance of white noise falls to 1 / (4 pi sigma^2) of itself.
    sigma = preparation.LOW_PASS_SIGMA * size / 224
    expected = 10 / np.sqrt(4 * np.pi) / sigma
    assert left_over.std() == pytest.approx(expected, rel=0.1)
    middle = slice(size // 4, -size // 4)
    assert np.abs(low_pass(shapes) - shapes)[middle, middle].mean() < 2


def test_training_and_serving_see_the_same_film(tmp_path):
    path = tmp_path / "film.png"
    path.write_bytes(as_png(chest_phantom(224, 224, seed=3)))
    trained = low_pass(_prepared(path))
    served = network_input(read_film(path.read_bytes()).pixels)
    np.testing.assert_array_equal(trained, served[..., 0])


def test_they_differ_by_rounding_alone_when_the_film_is_reduced(tmp_path):
    path = tmp_path / "film.jpeg"
    path.write_bytes(as_jpeg(chest_phantom(700, 900, seed=4)))
    trained = low_pass(_prepared(path))
    served = network_input(read_film(path.read_bytes()).pixels)[..., 0]
    assert np.abs(trained - served).max() <= 0.5


def _prepared(path):
    film = folders.LabelledFilm(
        path=path, name=path.name, label=0, patient_id="a", sha256="0"
    )
    cache = path.parent / "cache"
    found = prepared.prepare([film], fingerprint="f", size=224, cache_dir=cache)
    return found.pixels[0].astype(np.float32)
