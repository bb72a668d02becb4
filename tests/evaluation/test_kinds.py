"""The densities of a kind of place: they hold every film, and none decides alone."""

import numpy as np
import pytest

from cxr.evaluation import kinds


def test_each_class_has_a_density_around_its_films():
    rng = np.random.default_rng(0)
    labels = np.arange(400) % 2
    known = kinds.kind(labels, rng.normal(np.where(labels == 1, 4.0, -3.0), 1.0))
    step = known.at[1] - known.at[0]
    for density, mean in ((known.normal, -3), (known.ill, 4)):
        assert density.sum() * step == pytest.approx(1, abs=0.01)
        assert (density * known.at).sum() * step == pytest.approx(mean, abs=0.2)
        assert density.min() > 0


def test_a_far_film_is_unlikely_not_impossible():
    labels = np.arange(400) % 2
    rng = np.random.default_rng(1)
    known = kinds.kind(labels, rng.normal(np.where(labels == 1, 4.0, -3.0), 1.0))
    at_ill = np.interp(4.0, known.at, known.normal)
    usual = np.interp(-3.0, known.at, known.normal)
    assert 1e-6 < at_ill < usual / 50


def test_both_classes_are_needed():
    with pytest.raises(ValueError, match="both classes"):
        kinds.kind([0, 0], [0.1, 0.2])
