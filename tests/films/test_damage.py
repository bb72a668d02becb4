"""Signs of damage in a JPEG that decodes: steps between rows of blocks, and zeros."""

import io

import numpy as np
import pytest
from PIL import Image
from synthetic_films import chest_phantom

from cxr.films import damage


@pytest.fixture
def film():
    pixels = chest_phantom(320, 300, seed=4) + np.random.default_rng(0).normal(
        0, 2, (320, 300)
    )
    return pixels.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("quality", [10, 30, 60, 90])
def test_a_sound_film_has_no_step(film, quality):
    stream = io.BytesIO()
    Image.fromarray(film).save(stream, "JPEG", quality=quality)
    assert not damage.has_step(np.asarray(Image.open(stream)))


@pytest.mark.parametrize("row", [8, 160, 312])
def test_a_step_along_a_row_of_blocks(film, row):
    film[row:] = (film[row:] * 0.8).astype(np.uint8)
    assert damage.has_step(film)


def test_a_step_elsewhere_is_part_of_the_film(film):
    film[164:] = (film[164:] * 0.8).astype(np.uint8)
    assert not damage.has_step(film)


def test_wide_films_are_sampled(film):
    wide = np.repeat(film, 8, axis=1)
    assert not damage.has_step(wide)
    wide[160:] //= 2
    assert damage.has_step(wide)


@pytest.mark.parametrize("shape", [(7, 100), (23, 100), (24, 100)])
def test_low_pictures_and_even_ones_have_none(shape):
    assert not damage.has_step(np.full(shape, 90, np.uint8))


def test_zeros():
    assert not damage.has_zeros(b"\x01" + bytes(damage.SHORTEST_ZEROS - 1) + b"\x01")
    assert damage.has_zeros(b"\x01" + bytes(damage.SHORTEST_ZEROS) + b"\x01")
