"""From an activation map to a heat map over the film."""

import cv2
import numpy as np
import pytest
from synthetic_films import chest_phantom

from cxr.models.heatmap import COLOUR_MAPS, heatmap, overlay


def map_with(row: int, column: int, value: float = 4.0, size: int = 7) -> np.ndarray:
    activation = np.zeros((size, size), np.float32)
    activation[row, column] = value
    return activation


class TestHeatmap:
    @pytest.mark.parametrize("height, width", [(7, 7), (224, 224), (300, 512), (5, 3)])
    def test_it_covers_the_film(self, height, width):
        rng = np.random.default_rng(0)
        activation = rng.normal(0, 9, (7, 7)).astype(np.float32)
        heat = heatmap(activation, scale=4.0, height=height, width=width)
        assert heat.shape == (height, width)
        assert heat.dtype == np.float32
        assert heat.min() >= 0 and heat.max() <= 1

    def test_evidence_against_pneumonia_is_not_shown(self):
        activation = np.full((7, 7), -5, np.float32)
        assert not heatmap(activation, scale=4.0, height=50, width=50).any()

    def test_the_scale_is_fixed_and_not_stretched_to_the_film(self):
        activation = np.full((7, 7), 1, np.float32)
        faint = heatmap(activation, scale=4.0, height=20, width=20)
        np.testing.assert_allclose(faint, 0.25)
        full = heatmap(activation * 4, scale=4.0, height=20, width=20)
        np.testing.assert_allclose(full, 1)
        np.testing.assert_array_equal(
            heatmap(activation * 9, scale=4.0, height=20, width=20), full
        )

    @pytest.mark.parametrize("row, column", [(0, 0), (0, 6), (2, 5), (6, 1), (3, 3)])
    def test_a_spot_lies_over_its_position_of_the_film(self, row, column):
        heat = heatmap(map_with(row, column), scale=4.0, height=224, width=448)
        rows, columns = np.mgrid[0:224, 0:448]
        centre = np.array([(rows * heat).sum(), (columns * heat).sum()]) / heat.sum()
        cell = np.array([32, 64])
        expected = (np.array([row, column]) + 0.5) * cell
        # At the border the interpolation has no neighbour to fade into.
        np.testing.assert_array_less(np.abs(centre - expected), cell / 4)
        peak = np.unravel_index(heat.argmax(), heat.shape)
        assert (np.array(peak) // cell).tolist() == [row, column]

    def test_a_flipped_map_gives_the_flipped_heat_map(self):
        activation = np.random.default_rng(1).normal(0, 3, (7, 7)).astype(np.float32)
        heat = heatmap(activation, scale=4.0, height=224, width=224)
        flipped = heatmap(activation[:, ::-1].copy(), scale=4.0, height=224, width=224)
        np.testing.assert_allclose(flipped, heat[:, ::-1], atol=1e-5)

    @pytest.mark.parametrize("scale", [0.0, -1.0, float("nan")])
    def test_a_scale_that_is_not_above_0_is_a_wrong_argument(self, scale):
        with pytest.raises(ValueError, match="scale above 0, received scale="):
            heatmap(map_with(1, 1), scale=scale, height=9, width=9)


class TestOverlay:
    film = chest_phantom(96, 128)

    @pytest.mark.parametrize("colour_map", COLOUR_MAPS)
    def test_the_film_is_bare_where_there_is_no_heat(self, colour_map):
        heat = np.zeros((96, 128), np.float32)
        heat[:40, :40] = 1
        shown = overlay(self.film, heat, opacity=1.0, colour_map=colour_map)
        assert shown.shape == (96, 128, 3) and shown.dtype == np.uint8
        grey = np.repeat(np.rint(self.film).astype(np.uint8)[..., np.newaxis], 3, 2)
        np.testing.assert_array_equal(shown[40:], grey[40:])
        np.testing.assert_array_equal(shown[:, 40:], grey[:, 40:])
        assert (shown[:40, :40] != grey[:40, :40]).any()

    def test_every_grey_level_is_kept_where_there_is_no_heat(self):
        levels = np.tile(np.arange(256, dtype=np.float32), (4, 1))
        bare = overlay(levels, np.zeros_like(levels), opacity=1.0, colour_map="Inferno")
        np.testing.assert_array_equal(bare, np.repeat(levels[..., np.newaxis], 3, 2))

    def test_without_opacity_the_film_is_bare(self):
        heat = np.ones((96, 128), np.float32)
        shown = overlay(self.film, heat, opacity=0.0, colour_map="Viridis")
        np.testing.assert_array_equal(shown[..., 1], np.rint(self.film))

    @pytest.mark.parametrize("colour_map", COLOUR_MAPS)
    def test_full_heat_at_full_opacity_is_the_top_of_the_scale(self, colour_map):
        heat = np.ones((96, 128), np.float32)
        shown = overlay(self.film, heat, opacity=1.0, colour_map=colour_map)
        top = np.full((1, 1), 255, np.uint8)
        bgr = cv2.applyColorMap(top, COLOUR_MAPS[colour_map])
        np.testing.assert_allclose(
            shown, np.broadcast_to(bgr[..., ::-1], shown.shape), atol=1
        )

    def test_film_and_colour_mix_by_opacity_and_heat(self):
        heat = np.random.default_rng(2).uniform(0, 1, (96, 128)).astype(np.float32)
        shown = overlay(self.film, heat, opacity=0.6, colour_map="Inferno")
        levels = np.rint(heat * 255).astype(np.uint8)
        bgr = cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO).astype(float)
        share = 0.6 * heat[..., np.newaxis]
        expected = self.film[..., np.newaxis] * (1 - share) + bgr[..., ::-1] * share
        np.testing.assert_allclose(shown, expected, atol=1)

    def test_the_film_is_not_changed(self):
        film = self.film.copy()
        film.setflags(write=False)
        heat = np.ones_like(film)
        overlay(film, heat, opacity=1.0, colour_map="Cividis")
        np.testing.assert_array_equal(film, self.film)
        assert (heat == 1).all()

    def test_an_unknown_colour_map_is_a_wrong_argument(self):
        with pytest.raises(ValueError, match="Inferno, .* received colour_map='Jet'"):
            overlay(self.film, self.film / 255, opacity=0.5, colour_map="Jet")
