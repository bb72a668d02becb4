"""Reviews counted by loops, and weighted rates that stay right where reviews don't."""

import math
from dataclasses import replace

import numpy as np
import pytest

from cxr.evaluation.estimates import proportion, wilson
from cxr.evaluation.live import Reviews, live


def reviewed(seed, *, n=600, ill=0.25, above=0.6, below=0.1, refused=0.05):
    """Films with four answers; those above the threshold are reviewed more often."""
    rng = np.random.default_rng(seed)
    sick = rng.random(n) < ill
    score = np.where(sick, rng.normal(2, 1, n), rng.normal(-2, 1.2, n))
    gone = rng.random(n) < refused
    up, down = (score >= 0.3) & ~gone, (score < -0.3) & ~gone
    seen = rng.random(n) < np.where(up, above, below)
    unsure = seen & (rng.random(n) < 0.1)
    says = seen & ~unsure & ~gone
    right = (up & sick) | (down & ~sick)
    return Reviews(
        above=up,
        below=down,
        refused=gone,
        reviewed=seen,
        agreed=says & right,
        disagreed=says & ~right & (up | down),
        pneumonia=np.where(says, sick, np.nan),
    )


def rows(reviews):
    names = ("above", "below", "refused", "reviewed", "agreed", "disagreed")
    return [
        dict(zip([*names, "pneumonia"], row, strict=True))
        for row in zip(
            *(getattr(reviews, name) for name in names), reviews.pneumonia, strict=True
        )
    ]


@pytest.mark.parametrize("seed", range(3))
def test_counts_are_those_of_a_loop(seed):
    found, films = live(reviewed(seed)), rows(reviewed(seed))
    strata = [
        [f for f in films if f["above"]],
        [f for f in films if f["below"]],
        [f for f in films if not (f["above"] or f["below"] or f["refused"])],
        [f for f in films if f["refused"]],
    ]
    for stratum, own in zip(found.strata, strata, strict=True):
        assert stratum.films == len(own)
        assert stratum.reviewed == sum(f["reviewed"] for f in own)
        assert stratum.pneumonia == sum(f["pneumonia"] == 1 for f in own)
        assert stratum.without == sum(f["pneumonia"] == 0 for f in own)
    assert found.films == len(films)
    assert found.reviewed == sum(f["reviewed"] for f in films)
    tp, fp = found.above.pneumonia, found.above.without
    fn, tn = found.below.pneumonia, found.below.without
    for estimate, hits, trials in (
        (found.sensitivity, tp, tp + fn),
        (found.specificity, tn, tn + fp),
        (found.ppv, tp, tp + fp),
        (found.npv, tn, tn + fn),
        (found.agreement, tp + tn, tp + tn + fp + fn),
        (found.unanswered, len(strata[2]) + len(strata[3]), len(films)),
    ):
        low, high = wilson(hits, trials)
        expected = (hits / trials, float(low), float(high))
        assert (estimate.value, estimate.low, estimate.high) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(3))
def test_weighted_rates_are_those_of_begg_and_greenes(seed):
    found = live(reviewed(seed))
    up, down = found.above, found.below
    ill_up = up.films * up.pneumonia / (up.pneumonia + up.without)
    ill_down = down.films * down.pneumonia / (down.pneumonia + down.without)
    sensitivity = ill_up / (ill_up + ill_down)
    well_up, well_down = up.films - ill_up, down.films - ill_down
    specificity = well_down / (well_up + well_down)
    assert found.weighted_sensitivity.value == pytest.approx(sensitivity)
    assert found.weighted_specificity.value == pytest.approx(specificity)


def test_weighted_rates_are_right_where_reviewed_films_alone_are_not():
    held, weighted, alone = 0, [], []
    score = np.random.default_rng(0).normal(2, 1, 10**6)
    truth = (score >= 0.3).sum() / ((score >= 0.3) | (score < -0.3)).sum()
    for seed in range(150):
        found = live(reviewed(seed, n=2000))
        estimate = found.weighted_sensitivity
        held += estimate.low <= truth <= estimate.high
        weighted.append(estimate.value)
        alone.append(found.sensitivity.value)
    assert np.mean(weighted) == pytest.approx(truth, abs=0.003)
    assert np.mean(alone) > truth + 0.008
    assert 0.9 <= held / 150 <= 1


def test_of_films_that_are_all_reviewed_the_weighted_rates_are_the_rates():
    found = live(
        replace(reviewed(1), pneumonia=(np.arange(600) % 3 == 0).astype(float))
    )
    assert found.weighted_sensitivity.value == pytest.approx(found.sensitivity.value)
    assert found.weighted_specificity.value == pytest.approx(found.specificity.value)


def test_none_missed_still_has_an_interval():
    films = reviewed(2)
    found = live(replace(films, pneumonia=np.where(films.above, 1.0, 0.0)))
    assert (found.weighted_sensitivity.value, found.weighted_sensitivity.high) == (1, 1)
    assert 0.8 < found.weighted_sensitivity.low < 1


def test_films_of_a_patient_widen_the_intervals():
    films = reviewed(3)
    together = live(replace(films, patients=np.arange(600) // 6))
    assert together.ppv.value == live(films).ppv.value
    assert together.unanswered.low < live(films).unanswered.low
    answered = films.above | films.below
    expected = proportion(~answered, np.ones(600, bool), np.arange(600) // 6)
    assert together.unanswered == expected


def test_without_a_review_nothing_is_known():
    films = reviewed(4)
    nobody = np.zeros(600, bool)
    found = live(
        replace(
            films,
            reviewed=nobody,
            agreed=nobody,
            disagreed=nobody,
            pneumonia=np.full(600, np.nan),
        )
    )
    for name in ("sensitivity", "ppv", "agreement", "weighted_specificity"):
        estimate = getattr(found, name)
        assert math.isnan(estimate.value) and math.isnan(estimate.low)
    assert found.unanswered.value > 0
    empty = Reviews(**{k: v[:0] for k, v in vars(films).items() if v is not None})
    assert live(empty).films == 0
