"""Limits, sentences and the plausibility checks that all formats share."""

import string

import numpy as np
import pytest
from synthetic_films import chest_phantom

from cxr.errors import ImageError
from cxr.films.refusals import (
    REFUSALS,
    check_dimensions,
    check_grey,
    check_picture,
    content_of,
    refusal,
)

FILM = chest_phantom(200, 240)


def code_of(check, *arguments) -> str | None:
    try:
        check(*arguments)
    except ImageError as error:
        return error.code
    return None


@pytest.mark.parametrize("code", REFUSALS)
def test_every_refusal_is_a_filled_sentence(code):
    names = [name for _, name, _, _ in string.Formatter().parse(REFUSALS[code]) if name]
    error = refusal(code, **dict.fromkeys(names, 7))
    assert error.code == code
    assert error.message.endswith(".") and "{" not in error.message


@pytest.mark.parametrize(
    ("height", "width", "code"),
    [
        (128, 128, None),
        (127, 128, "too-small"),
        (128, 384, None),
        (385, 128, "too-narrow"),
        (8000, 8000, None),
        (8000, 8001, "too-many-pixels"),
        (12_000, 4_001, None),
        (12_001, 5_000, "too-many-pixels"),
        (1, 1, "too-small"),
        (1, 50_000, "too-many-pixels"),
        (65_535, 65_535, "too-many-pixels"),
    ],
)
def test_dimensions_at_the_limits(height, width, code):
    assert code_of(check_dimensions, height, width) == code


def test_jpeg_noise_in_the_channels_is_grey_and_a_tint_is_colour():
    grey = np.repeat(FILM.astype(np.uint8)[..., np.newaxis], 3, axis=2)
    noisy = grey + np.random.default_rng(0).integers(0, 3, grey.shape, dtype=np.uint8)
    tinted = grey.copy()
    tinted[..., 2] //= 2
    assert code_of(check_grey, grey) is None
    assert code_of(check_grey, noisy) is None
    assert code_of(check_grey, tinted) == "colour"


def with_rows(fill: float, share: float) -> np.ndarray:
    film = FILM.copy()
    film[round(len(film) * (1 - share)) :] = fill
    return film


@pytest.mark.parametrize(
    ("pixels", "code"),
    [
        (FILM, None),
        (chest_phantom(128, 384, seed=1, opacity=1), None),
        (np.zeros_like(FILM), "blank"),
        (np.full_like(FILM, 255), "blank"),
        (np.full_like(FILM, 90), "blank"),
        (100 + FILM / 255 * 9, "blank"),
        (np.where(FILM > 120, 255, 0), "few-tones"),
        (np.rint(FILM / 32) * 32, "few-tones"),
        (with_rows(0, 0.5), "half-blank"),
        (with_rows(255, 0.5), "half-blank"),
        (with_rows(0, 0.5)[::-1], "half-blank"),
        (with_rows(0, 0.5).T, "half-blank"),
        (with_rows(0, 0.15), None),
        (with_rows(128, 0.3), "incomplete"),
        (with_rows(128, 0.05), "incomplete"),
        (np.random.default_rng(0).uniform(0, 255, FILM.shape), "noise"),
    ],
)
def test_pictures_without_a_film_in_them(pixels, code):
    assert code_of(check_picture, pixels.astype(np.float32)) == code


def test_a_grainy_film_is_not_noise():
    grain = np.random.default_rng(0).normal(0, 12, FILM.shape)
    assert code_of(check_picture, np.clip(FILM + grain, 0, 255)) is None


def test_what_is_in_a_file_and_a_file_that_is_gone(tmp_path):
    (tmp_path / "film").write_bytes(b"x")
    assert content_of(tmp_path / "film") == b"x"
    assert code_of(content_of, tmp_path / "gone") == "not-opened"
