"""Films whose tones no viewer shows get a caution, whatever the file type."""

import numpy as np
import pytest
from synthetic_films import as_dicom, as_jpeg, as_png, chest_phantom

from cxr.errors import ImageError
from cxr.films.film import read_film
from cxr.films.tone_range import CLIPPED, NARROW, tone_cautions

FILM = chest_phantom(200, 256, seed=5, opacity=0.7)


@pytest.mark.parametrize(
    "data",
    [as_png(FILM), as_png(FILM, bits=16), as_jpeg(FILM), as_dicom(FILM)],
    ids=["png", "png of 16 bits", "jpeg", "dicom"],
)
def test_an_ordinary_film_has_no_caution(data):
    film = read_film(data)
    assert film.cautions == film.warnings == ()


@pytest.mark.parametrize(("bits", "share"), [(13, 1 / 8), (14, 1 / 4)])
def test_case_D_fewer_bits_in_a_picture_of_sixteen(bits, share):
    film = read_film(as_png(FILM * share, bits=16))
    np.testing.assert_allclose(film.pixels, FILM * share, atol=1e-2)
    assert film.cautions == (NARROW,)


def test_case_D_twelve_bits_in_a_picture_of_sixteen_are_refused_with_the_reason():
    with pytest.raises(ImageError) as caught:
        read_film(as_png(FILM / 16, bits=16))
    assert caught.value.code == "narrow-tones"
    assert "scaling does not fit" in caught.value.message


def test_case_D_ten_bits_in_a_picture_of_sixteen_are_refused_with_the_reason():
    with pytest.raises(ImageError) as caught:
        read_film(as_png(FILM / 64, bits=16))
    assert caught.value.code == "blank"
    assert "scaling of its bits" in caught.value.message


@pytest.mark.parametrize(
    ("window", "caution"),
    [
        ((2048, 16_384), NARROW),  # of a film with 14 bits
        ((500, 800), CLIPPED),  # most of the film is white
        ((3800, 600), None),  # most of it is black: too few tones are left
    ],
)
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_case_D_a_stale_window(window, caution, photometric):
    if photometric == "MONOCHROME1":
        window = (4095 - window[0], window[1])
    data = as_dicom(FILM, photometric=photometric, window=window)
    if caution is None:
        with pytest.raises(ImageError, match="flat tone|contrast|grey levels"):
            read_film(data)
    else:
        assert read_film(data).cautions == (caution,)


def test_case_D_a_faint_jpeg():
    assert read_film(as_jpeg(100 + FILM * 0.3)).cautions == (NARROW,)


def test_bounds_of_both_cautions():
    film = np.full((300, 300), 100, np.float32)
    film[:150] = np.linspace(60, 146, 300, dtype=np.float32)
    assert tone_cautions(film) == (NARROW,)
    film[:150] = np.linspace(50, 150, 300, dtype=np.float32)
    assert tone_cautions(film) == ()
    film[150:, :] = 0
    assert tone_cautions(film) == ()
    film[149:, :] = 0
    assert tone_cautions(film) == (CLIPPED,)
