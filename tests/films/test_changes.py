"""Deterministic changes of a film."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from synthetic_films import chest_phantom

from cxr.films import changes
from cxr.films.changes import Draws, Marker, Patch
from cxr.training import draws as training_draws
from cxr.training.draws import _draw_line, _draw_marker

SIZE = 224
SIDE_MARKER = Marker(
    text="R",
    row=0.2,
    column=0.1,
    size=0.08,
    grey=255,
    font=0,
    boxed=False,
    turned=False,
)


@pytest.fixture
def film():
    pixels = chest_phantom(SIZE, SIZE, seed=1)
    pixels.flags.writeable = False
    return pixels


@pytest.fixture
def reference():
    return np.clip(chest_phantom(SIZE, SIZE, seed=2) * 0.6 + 90, 0, 255)


def draws_of(seed, n_references=5):
    return training_draws.draw(np.random.default_rng(seed), n_references=n_references)


class TestApply:
    @pytest.mark.parametrize("seed", range(25))
    def test_keeps_shape_dtype_and_range(self, film, reference, seed):
        changed = changes.apply(film, draws_of(seed), reference)
        assert changed.shape == film.shape
        assert changed.dtype == np.float32
        assert changed.min() >= 0
        assert changed.max() <= 255

    def test_leaves_the_film_and_the_reference_as_they_are(self, film, reference):
        films = film.copy(), reference.copy()
        for seed in range(10):
            changes.apply(film, draws_of(seed), reference)
        np.testing.assert_array_equal(film, films[0])
        np.testing.assert_array_equal(reference, films[1])

    def test_gives_the_same_film_for_the_same_draws(self, film, reference):
        draws = replace(draws_of(0), grain=5.0, jpeg=60, reduce=120)
        np.testing.assert_array_equal(
            changes.apply(film, draws, reference),
            changes.apply(film, draws, reference),
        )

    def test_gives_another_film_for_other_draws(self, film, reference):
        first, second = (changes.apply(film, draws_of(s), reference) for s in (0, 1))
        assert np.abs(first - second).mean() > 5

    def test_gives_the_film_back_where_nothing_was_drawn(self, film):
        np.testing.assert_allclose(changes.apply(film, Draws()), film, atol=1e-3)

    def test_refuses_to_borrow_from_nothing(self, film):
        with pytest.raises(ValueError, match="reference=None"):
            changes.apply(film, Draws(reference=1))

    def test_takes_out_what_told_the_classes_apart(self, film):
        rng = np.random.default_rng(0)
        others = [np.clip(film * f + 20, 0, 255) for f in (0.4, 0.7, 1.0)]
        means = {0.5: [], 1.0: []}
        for factor, found in means.items():
            for _ in range(60):
                draws = training_draws.draw(rng, n_references=3)
                borrowed = None if draws.reference is None else others[draws.reference]
                found.append(changes.apply(film * factor, draws, borrowed).mean())
        dark, bright = means.values()
        overlap = np.mean([d > b for d in dark for b in bright])
        assert 0.15 < overlap < 0.5


class TestGeometry:
    def test_flip_changes_sides_exactly(self, film):
        turned = changes.geometry(film, Draws(flip=True))
        np.testing.assert_allclose(turned, film[:, ::-1], atol=1e-3)

    def test_shift_moves_by_rows_and_columns(self, film):
        moved = changes.geometry(film, Draws(shift=(14 / SIZE, -28 / SIZE)))
        np.testing.assert_allclose(moved[14:, :-28], film[:-14, 28:], atol=1e-3)
        assert (moved[:14] == 0).all()
        assert (moved[:, -28:] == 0).all()

    def test_zoom_above_one_crops_the_borders(self):
        framed = np.zeros((SIZE, SIZE), np.float32)
        framed[30:-30, 30:-30] = 100
        assert (framed == 100).mean() < 0.6
        assert (changes.geometry(framed, Draws(zoom=1.5)) == 100).all()

    def test_zoom_below_one_shows_black_ground(self, film):
        small = changes.geometry(film, Draws(zoom=0.5))
        assert (small[:50] == 0).all()
        assert small[100:120, 100:120].min() > 0

    def test_aspect_above_one_widens(self):
        disc = np.zeros((SIZE, SIZE), np.float32)
        cv2.circle(disc, (SIZE // 2, SIZE // 2), 40, 200, -1)
        wide = changes.geometry(disc, Draws(aspect=1.44)) > 100
        width, height = wide.any(0).sum(), wide.any(1).sum()
        assert width / height == pytest.approx(1.44, abs=0.05)

    def test_rotation_turns_about_the_middle(self):
        bar = np.zeros((SIZE, SIZE), np.float32)
        bar[110:114] = 200
        turned = changes.geometry(bar, Draws(rotation=90))
        columns = np.flatnonzero(turned.sum(0) > 1000)
        assert (columns.min(), columns.max()) == (110, 113)


class TestTone:
    def test_matching_gives_the_quantiles_of_the_reference(self, film, reference):
        matched = changes.match_tone(film, reference, 1.0)
        shares = np.linspace(0.05, 0.95, 19)
        np.testing.assert_allclose(
            np.quantile(matched, shares), np.quantile(reference, shares), atol=2.5
        )

    def test_matching_keeps_the_order_of_grey_levels(self, film, reference):
        matched = changes.match_tone(film, reference, 1.0)
        ranked = matched.ravel()[np.argsort(film.ravel())]
        assert (np.diff(ranked) >= 0).all()

    def test_half_a_share_is_half_way(self, film, reference):
        matched = changes.match_tone(film, reference, 1.0)
        half = changes.match_tone(film, reference, 0.5)
        np.testing.assert_allclose(half, (film + matched) / 2, atol=1e-3)

    def test_gamma_keeps_black_and_white(self):
        ends = np.array([[0, 255], [64, 128]], np.float32)
        darker = changes.tone(ends, Draws(gamma=2.0))
        np.testing.assert_allclose(darker, ends**2 / 255, atol=1e-3)

    def test_contrast_spreads_around_the_mean_and_brightness_adds(self):
        levels = np.array([[90, 110], [100, 100]], np.float32)
        np.testing.assert_allclose(
            changes.tone(levels, Draws(contrast=2.0)), [[80, 120], [100, 100]]
        )
        np.testing.assert_allclose(
            changes.tone(levels, Draws(brightness=-7)), levels - 7
        )

    def test_equalisation_raises_local_contrast(self, film):
        flat = film * 0.2 + 100
        equalised = changes.tone(flat, Draws(equalise=3.0))
        assert equalised.std() > 1.5 * flat.std()

    def test_bending_keeps_black_middle_and_white_and_spreads_the_middle(self):
        levels = np.linspace(0, 255, 256, dtype=np.float32)[np.newaxis]
        bent = changes.bend(levels, 8.0)[0]
        np.testing.assert_allclose(bent[[0, 255]], [0, 255], atol=1e-3)
        assert (np.diff(bent) > 0).all()
        assert bent[100] < 100
        assert bent[155] > 155

    def test_light_falls_towards_the_side_that_was_drawn(self):
        even = np.full((SIZE, SIZE), 100, np.float32)
        lit = changes.light(even, Draws(shade=0.4, shade_towards=0.0))
        np.testing.assert_allclose(lit[:, 0], 100, atol=0.5)
        np.testing.assert_allclose(lit[:, -1], 60, atol=0.5)
        down = changes.light(even, Draws(shade=0.4, shade_towards=90.0))
        np.testing.assert_allclose(down, lit.T, atol=0.01)

    def test_vignette_darkens_the_corners_and_spares_the_middle(self):
        even = np.full((SIZE, SIZE), 100, np.float32)
        lit = changes.light(even, Draws(vignette=0.5))
        assert lit[SIZE // 2, SIZE // 2] == pytest.approx(100, abs=0.1)
        assert lit[0, 0] == pytest.approx(50, abs=0.5)


class TestTexture:
    def test_a_sharp_film_borrows_blur_and_a_blurred_one_sharpness(self, film):
        soft = changes.sharpen(film, -1.5)

        def detail(pixels):
            return cv2.Laplacian(pixels, cv2.CV_32F).std()

        softened = changes.match_texture(film, soft, 1.0)
        sharpened = changes.match_texture(soft, film, 1.0)
        assert detail(softened) < 0.7 * detail(film)
        assert detail(sharpened) > 1.3 * detail(soft)

    def test_what_is_coarse_stays_where_it_is(self, film, reference):
        matched = changes.match_texture(film, reference, 1.0)
        coarse, before = (
            cv2.resize(p, (7, 7), interpolation=cv2.INTER_AREA) for p in (matched, film)
        )
        assert np.corrcoef(coarse.ravel(), before.ravel())[0, 1] > 0.99

    def test_a_film_has_its_own_texture_already(self, film):
        np.testing.assert_allclose(
            changes.match_texture(film, film, 1.0), film, atol=0.05
        )

    def test_no_share_is_no_change(self, film, reference):
        np.testing.assert_allclose(
            changes.match_texture(film, reference, 0.0), film, atol=0.05
        )


class TestEmpty:
    @pytest.mark.parametrize("seed", range(12))
    def test_nothing_of_the_film_is_left_but_its_grey(self, film, seed):
        emptied = changes.empty(film, np.random.default_rng(seed))
        assert emptied.shape == film.shape
        assert emptied.dtype == np.float32
        assert 0 <= emptied.min() <= emptied.max() <= 255
        assert emptied.mean() == pytest.approx(film.mean(), abs=12)
        fine = [p - cv2.GaussianBlur(p, (0, 0), 8) for p in (film, emptied)]
        if fine[1].std() > 0.5:
            assert abs(np.corrcoef(fine[0].ravel(), fine[1].ravel())[0, 1]) < 0.35


class TestDetector:
    def test_dead_pixels_are_black_or_white_and_as_many_as_drawn(self, film):
        grey = np.clip(film, 1, 254)
        damaged = changes.damage(grey, 40, seed=5)
        changed = damaged != grey
        assert 35 <= changed.sum() <= 40
        assert set(damaged[changed]) == {0, 255}
        assert changes.damage(film, 0, seed=5) is film

    def test_a_dead_line_crosses_the_whole_film(self, film):
        for seed in range(20):
            line = _draw_line(np.random.default_rng(seed))
            changed = changes.hide(film, line) != film
            assert min(changed.any(0).sum(), changed.any(1).sum()) == 1
            assert max(changed.any(0).sum(), changed.any(1).sum()) > 0.9 * SIZE

    def test_negative_sharpness_blurs_and_positive_sharpens(self, film):
        def edges(pixels):
            return np.abs(np.diff(pixels, axis=1)).mean()

        blurred = changes.sharpen(film, -1.5)
        sharpened = changes.sharpen(film, 1.5)
        assert edges(blurred) < edges(film) < edges(sharpened)
        assert changes.sharpen(film, 0) is film

    def test_grain_has_the_deviation_that_was_drawn(self):
        flat = np.full((SIZE, SIZE), 128, np.float32)
        grainy = changes.add_grain(flat, 6.0, seed=1)
        assert grainy.std() == pytest.approx(6.0, rel=1e-3)
        assert grainy.mean() == pytest.approx(128, abs=0.5)
        assert not np.array_equal(grainy, changes.add_grain(flat, 6.0, seed=2))


class TestMarks:
    def test_collimation_is_black_and_spares_the_field(self, film):
        framed = changes.collimate(film, (0.1, 0.05, 0.0, 0.2))
        top, bottom, right = round(0.1 * SIZE), round(0.05 * SIZE), round(0.2 * SIZE)
        assert (framed[:top] == 0).all()
        assert (framed[-bottom:] == 0).all()
        assert (framed[:, -right:] == 0).all()
        inner = (slice(top, -bottom), slice(0, -right))
        np.testing.assert_array_equal(framed[inner], film[inner])

    def test_patch_is_flat_and_spares_the_rest(self, film):
        patch = Patch(top=0.5, left=0.25, height=0.125, width=0.25, grey=33)
        hidden = changes.hide(film, patch)
        assert (hidden[112:140, 56:112] == 33).all()
        assert (hidden != film).sum() <= 28 * 56

    def test_marker_brightens_a_few_pixels_where_it_stands(self, film):
        written = changes.write(film, SIDE_MARKER)
        changed = written != film
        assert 0.0005 < changed.mean() < 0.02
        assert (written >= film).all()
        assert written[changed].max() == 255
        rows, columns = np.nonzero(changed)
        assert rows.max() <= 0.2 * SIZE + 2
        assert columns.min() >= 0.1 * SIZE - 2

    def test_plate_is_dark_under_bright_letters(self, film):
        boxed = changes.write(film, replace(SIDE_MARKER, boxed=True))
        plain = changes.write(film, SIDE_MARKER)
        assert (boxed < film).sum() > 50
        assert (boxed == 20).sum() > (plain == 20).sum()

    def test_turned_marker_is_written_upwards(self):
        ground = np.zeros((SIZE, SIZE), np.float32)
        line = replace(SIDE_MARKER, text="PORTABLE", size=0.03)
        level = changes.write(ground, line) > 0
        turned = changes.write(ground, replace(line, turned=True)) > 0
        assert np.ptp(np.nonzero(level)[1]) > 3 * np.ptp(np.nonzero(level)[0])
        assert np.ptp(np.nonzero(turned)[0]) > 3 * np.ptp(np.nonzero(turned)[1])

    @pytest.mark.parametrize("seed", range(12))
    def test_any_marker_can_be_written(self, film, seed):
        rng = np.random.default_rng(seed)
        marker = _draw_marker(rng)
        assert changes.write(film, marker).shape == film.shape


class TestStorage:
    def test_smaller_copy_loses_detail(self, film):
        stored = changes.store(film, Draws(reduce=96))
        assert stored.shape == film.shape
        assert stored.std() < film.std()

    def test_jpeg_changes_little_and_gives_whole_grey_levels(self, film):
        stored = changes.store(film, Draws(jpeg=60))
        assert 0 < np.abs(stored - film).mean() < 4
        np.testing.assert_array_equal(stored, np.rint(stored))
