"""Pictures that are no upright frontal film: what they are, and what they are not."""

import numpy as np
import pytest
from synthetic_films import chest_phantom

from cxr.models.lungs import SIZE
from cxr.training import others

FILM = np.rint(chest_phantom(SIZE, SIZE, seed=3)).astype(np.uint8)


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("name", [*others.DRAWN, *others.OF_FILMS])
def test_every_kind_is_a_picture_and_no_two_draws_are_alike(name):
    if name in others.DRAWN:
        draws = [others.DRAWN[name](rng(seed)) for seed in range(30)]
    else:
        draws = [others.OF_FILMS[name](FILM, rng(seed)) for seed in range(30)]
    shown = [others.seen(picture, rng(seed)) for seed, picture in enumerate(draws)]
    for picture in shown:
        assert picture.shape == (SIZE, SIZE) and picture.dtype == np.float32
        assert 0 <= picture.min() and picture.max() <= 255
    assert len({picture.tobytes() for picture in shown}) == 30


@pytest.mark.parametrize("name", others.DRAWN)
def test_the_same_draw_gives_the_same_picture(name):
    np.testing.assert_array_equal(
        others.DRAWN[name](rng(4)), others.DRAWN[name](rng(4))
    )


def test_turned_films_are_those_of_their_name():
    shown = list(others.turned(FILM))
    assert [name for name, _ in shown] == [
        *("sideways", "sideways", "upside down", "upside down", "inverted"),
    ]
    turns = [picture for _, picture in shown]
    np.testing.assert_array_equal(np.rot90(turns[0], -1), FILM)
    np.testing.assert_array_equal(np.rot90(turns[1]), FILM)
    np.testing.assert_array_equal(turns[2][::-1, ::-1], FILM)
    np.testing.assert_array_equal(turns[3][::-1], FILM)
    np.testing.assert_array_equal(255 - turns[4], FILM)


def test_a_film_that_is_seen_keeps_its_up_and_down():
    slope = np.linspace(20, 200, SIZE)[:, None] * np.ones((1, SIZE))
    for seed in range(20):
        shown = others.seen(slope, rng(seed))
        middle = shown[20:-20, 40:-40].mean(axis=1)
        assert middle[-20:].mean() > middle[:20].mean()
