"""Films that their header says lie on their side, or head down, are read upright."""

import numpy as np
import pytest
from synthetic_films import as_dicom, chest_phantom

from cxr.films.film import read_film
from cxr.films.orientation import MIRRORED, UNCLEAR

FILM = chest_phantom(200, 256, seed=5, opacity=0.7)
UPSIDE_DOWN = "upside down"
ON_ITS_SIDE = "on its side"

# How a film is stored: (PatientOrientation, its pixels, the sentence on it).
FRONTAL = [
    (["L", "F"], FILM, None),
    (["LF", "FR"], FILM, None),
    (None, FILM, None),
    (["R", "H"], np.rot90(FILM, 2), UPSIDE_DOWN),
    (["RH", "HL"], np.rot90(FILM, 2), UPSIDE_DOWN),
    (["H", "L"], np.rot90(FILM, -1), ON_ITS_SIDE),
    (["F", "R"], np.rot90(FILM, 1), ON_ITS_SIDE),
]


@pytest.mark.parametrize(("orientation", "stored", "words"), FRONTAL)
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_case_E_a_frontal_film_is_read_upright(orientation, stored, words, photometric):
    data = as_dicom(stored, photometric=photometric, PatientOrientation=orientation)
    film = read_film(data)
    np.testing.assert_allclose(film.pixels, FILM, atol=0.04)
    assert (film.height, film.width) == FILM.shape
    if words is None:
        assert film.cautions == ()
    else:
        assert len(film.cautions) == 1 and words in film.cautions[0]


@pytest.mark.parametrize(
    ("orientation", "stored"),
    [
        (["R", "F"], FILM),
        (["L", "H"], np.rot90(FILM, 2)),
        (["H", "R"], np.rot90(FILM, -1)),
        (["F", "L"], np.rot90(FILM, 1)),
    ],
)
def test_case_E_a_mirrored_film_is_turned_but_not_mirrored(orientation, stored):
    film = read_film(as_dicom(stored, PatientOrientation=orientation))
    np.testing.assert_allclose(film.pixels, FILM, atol=0.04)
    assert film.cautions[-1] == MIRRORED
    assert len(film.cautions) == (1 if orientation == ["R", "F"] else 2)


@pytest.mark.parametrize(
    "orientation",
    [
        ["L", "R"],
        ["H", "F"],
        ["L"],
        ["L", "F", "A"],
        ["X", "F"],
        ["L", "A"],
        ["LE", "V"],
    ],
)
def test_case_E_an_orientation_without_sense_is_a_caution(orientation):
    film = read_film(as_dicom(FILM, PatientOrientation=orientation))
    np.testing.assert_allclose(film.pixels, FILM, atol=0.04)
    assert film.cautions == (UNCLEAR,)


@pytest.mark.parametrize(
    ("orientation", "stored"),
    [
        (["A", "F"], FILM),
        (["P", "F"], FILM),
        (["P", "H"], np.rot90(FILM, 2)),
        (["H", "A"], np.rot90(FILM, -1)),
    ],
)
def test_case_E_a_lateral_film_by_its_orientation(orientation, stored):
    film = read_film(as_dicom(stored, view=None, PatientOrientation=orientation))
    np.testing.assert_allclose(film.pixels, FILM, atol=0.04)
    assert film.view_position == "LATERAL"
    assert MIRRORED not in film.cautions
    told = read_film(as_dicom(stored, view="AP", PatientOrientation=orientation))
    assert told.view_position == "AP"


def test_rgb_films_are_turned_too():
    data = as_dicom(
        np.rot90(FILM, 2),
        photometric="RGB",
        bits_stored=8,
        PatientOrientation=["R", "H"],
    )
    film = read_film(data)
    np.testing.assert_array_equal(film.pixels, FILM)
    assert UPSIDE_DOWN in film.cautions[0]
