import numpy as np
import pytest
from synthetic_films import chest_phantom

from cxr.films import tones
from cxr.films.tones import StandardTone


def film_of(seed: int, gamma: float = 1.0) -> np.ndarray:
    film = np.clip(chest_phantom(224, 224, seed=seed), 0, 255) / 255
    return (255 * film**gamma).astype(np.float32)


@pytest.fixture(scope="module")
def whole():
    return tones.standard([film_of(1), film_of(2), film_of(3)], 1.0)


def test_standard_is_the_mean_of_the_films_quantiles(whole):
    each = [
        np.quantile(film_of(seed)[11:213, 11:213], np.linspace(0, 1, tones.LEVELS))
        for seed in (1, 2, 3)
    ]
    np.testing.assert_allclose(whole.levels, np.mean(each, axis=0), atol=1e-3)
    assert whole.share == 1


def test_whole_share_gives_every_film_the_standard(whole):
    moved = whole(film_of(9, gamma=1.6))
    assert moved.dtype == np.float32
    assert moved.shape == (224, 224)
    np.testing.assert_allclose(tones.quantiles(moved), whole.levels, atol=1.5)


@pytest.mark.parametrize("gamma", [0.6, 1.5])
def test_a_film_and_its_bent_copy_come_closer(whole, gamma):
    plain, bent = film_of(5), film_of(5, gamma)
    apart = np.abs(plain - bent).mean()
    assert np.abs(whole(plain) - whole(bent)).mean() < 0.1 * apart
    half = StandardTone(levels=whole.levels, share=0.5)
    assert np.abs(half(plain) - half(bent)).mean() < 0.7 * apart


def test_share_is_how_far_a_film_is_moved(whole):
    film = film_of(7, gamma=1.4)
    half = StandardTone(levels=whole.levels, share=0.5)
    np.testing.assert_allclose(half(film), (film + whole(film)) / 2, atol=1e-3)


def test_order_of_grey_levels_and_the_range_stay(whole):
    film = film_of(4, gamma=0.7)
    moved = whole(film)
    order = np.argsort(film, axis=None, kind="stable")
    assert (np.diff(moved.ravel()[order]) >= -1e-3).all()
    assert moved.min() >= 0
    assert moved.max() <= 255


def test_a_frame_does_not_say_what_is_bright(whole):
    film = film_of(6)
    framed = np.full_like(film, 255)
    framed[11:213, 11:213] = film[11:213, 11:213]
    inside = (slice(11, 213), slice(11, 213))
    np.testing.assert_array_equal(whole(framed)[inside], whole(film)[inside])


def test_an_even_film_stays_even_and_finite(whole):
    moved = whole(np.full((224, 224), 37, np.float32))
    assert np.isfinite(moved).all()
    assert np.ptp(moved) == 0


@pytest.mark.parametrize(
    ("levels", "share"),
    [
        ((0.0, 255.0), 0.0),
        ((0.0, 255.0), 1.1),
        ((0.0, 255.0), float("nan")),
        ((9.0, 3.0), 0.5),
        ((0.0, float("nan")), 0.5),
        ((-1.0, 255.0), 0.5),
        ((0.0, 256.0), 0.5),
        ((7.0,), 0.5),
    ],
)
def test_what_is_no_scale_is_refused(levels, share):
    with pytest.raises(ValueError, match="expected"):
        StandardTone(levels=levels, share=share)


def moved_pixel_by_pixel(tone, film):
    """The definition, in NumPy alone: what the table of levels must give."""
    height, width = film.shape
    rows, columns = round(0.05 * height), round(0.05 * width)
    middle = film[rows : height - rows, columns : width - columns]
    own = np.quantile(middle, np.linspace(0, 1, len(tone.levels)))
    rising = np.maximum.accumulate(own + np.arange(len(own)) * 1e-3)
    standard = np.interp(film, rising, tone.levels)
    return (film + tone.share * (standard - film)).astype(np.float32)


@pytest.mark.parametrize("share", [0.5, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_a_film_of_whole_levels_is_moved_as_pixel_by_pixel(whole, share, seed):
    tone = StandardTone(levels=whole.levels, share=share)
    film = np.round(film_of(seed, gamma=1.3))
    assert len(np.unique(film)) > 100
    np.testing.assert_allclose(
        tone(film), moved_pixel_by_pixel(tone, film), atol=1e-5, rtol=0
    )
    # A film between the levels takes the other way.
    between = film_of(seed, gamma=1.3)
    np.testing.assert_allclose(
        tone(between), moved_pixel_by_pixel(tone, between), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("n", [2, 3, 64])
@pytest.mark.parametrize("shape", [(224, 224), (131, 150)])
def test_quantiles_are_numpys_to_the_last_bit(n, shape):
    film = chest_phantom(*shape, seed=4).astype(np.float32)
    rows, columns = round(0.05 * shape[0]), round(0.05 * shape[1])
    for pixels in (film, np.round(film)):
        middle = pixels[rows : shape[0] - rows, columns : shape[1] - columns]
        expected = np.quantile(np.sort(middle, axis=None), np.linspace(0, 1, n))
        np.testing.assert_array_equal(tones.quantiles(pixels, n), expected)
