"""Random draws that know no label."""

import inspect

import numpy as np
import pytest

from cxr.films.changes import Draws
from cxr.training import draws as training_draws
from cxr.training.draws import _draw_aspect, draw_harder


def draws_of(seed, n_references=5):
    return training_draws.draw(np.random.default_rng(seed), n_references=n_references)


class TestDraw:
    def test_knows_neither_film_nor_label(self):
        assert list(inspect.signature(training_draws.draw).parameters) == [
            "rng",
            "n_references",
        ]

    def test_is_the_same_for_the_same_state(self):
        assert draws_of(3) == draws_of(3)
        assert draws_of(3) != draws_of(4)

    def test_borrows_from_every_reference_and_only_from_those(self):
        borrowed = {draws_of(seed, n_references=3).reference for seed in range(60)}
        assert borrowed == {None, 0, 1, 2}

    def test_borrows_nothing_without_references(self):
        assert {draws_of(s, n_references=0).reference for s in range(20)} == {None}

    def test_draws_every_operation_some_of_the_time(self):
        drawn = [
            draw_harder(np.random.default_rng(seed), n_references=5)
            for seed in range(200)
        ]
        neutral = Draws()
        for name in vars(neutral):
            changed = [getattr(d, name) != getattr(neutral, name) for d in drawn]
            assert any(changed), name
        assert {d.flip for d in drawn} == {True, False}
        assert {d.sharpness > 0 for d in drawn if d.sharpness} == {True, False}

    def test_draws_go_further_when_they_are_harder(self):
        def spread(draw, name):
            drawn = [draw(np.random.default_rng(s), n_references=5) for s in range(300)]
            return np.std([getattr(d, name) for d in drawn])

        for name in ("contrast", "brightness", "rotation", "zoom", "dead_pixels"):
            wider = spread(draw_harder, name)
            assert wider > 1.1 * spread(training_draws.draw, name), name
        framed = [
            draw_harder(np.random.default_rng(s), n_references=5).borders
            for s in range(300)
        ]
        assert np.mean([len(set(b)) == 1 and b[0] > 0 for b in framed]) > 0.15

    def test_draws_shapes_wider_than_the_classes_differ(self):
        shapes = np.array([draws_of(seed).aspect for seed in range(400)])
        # 1.52 / 1.22, the medians of the two classes in the public data set.
        assert (shapes > 1.25).mean() > 0.15
        assert (shapes < 1 / 1.25).mean() > 0.15
        assert np.log(shapes).mean() == pytest.approx(0, abs=0.03)

    def test_a_stretched_film_fills_its_frame_or_shows_black_ground(self):
        fills = []
        for seed in range(300):
            aspect, fill = _draw_aspect(np.random.default_rng(seed))
            most = np.sqrt(max(aspect, 1 / aspect))
            assert 1 <= fill <= most
            fills.append((fill - 1) / (most - 1))
        assert np.quantile(fills, 0.2) < 0.35
        assert np.quantile(fills, 0.8) > 0.65
