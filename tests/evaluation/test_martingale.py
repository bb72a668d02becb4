"""Evidence that may be looked at after every figure, and figures looked at by loops."""

import math
from statistics import NormalDist

import numpy as np
import pytest

from cxr.evaluation import martingale
from cxr.evaluation.martingale import HALF_LIFE, LEANS, TIMES


def naive_ranks(values, seed):
    """The share of earlier values below each, ties and itself by chance."""
    chance, found = np.random.default_rng(seed).random(len(values)), []
    for i, value in enumerate(values):
        less = sum(v < value for v in values[:i])
        equal = sum(v == value for v in values[:i])
        found.append((less + chance[i] * (equal + 1)) / (i + 1))
    return found


def naive_capital(factors):
    """What is owned after each figure, bet by bet and start by start."""
    owned = []
    for row in range(len(factors[0])):
        total = 0.0
        for bet in factors:
            kept = 1.0
            for start in range(row + 1):
                laid_out = HALF_LIFE / ((HALF_LIFE + start) * (HALF_LIFE + start + 1))
                kept -= laid_out
                total += laid_out * math.prod(bet[start : row + 1])
            total += kept
        owned.append(total / len(factors))
    return owned


@pytest.mark.parametrize("n", [1, 40, 1100])
@pytest.mark.parametrize("decimals", [0, 6])
def test_ranks_are_those_of_a_loop(n, decimals):
    values = np.random.default_rng(4).normal(size=n).round(decimals)
    found = martingale.ranks(values, seed=9)
    np.testing.assert_allclose(found, naive_ranks(values.tolist(), 9), rtol=1e-12)


def test_ranks_are_uniform_and_independent_where_nothing_changes():
    values = np.random.default_rng(0).integers(0, 3, 20_000)  # many ties
    found = martingale.ranks(values)
    counts = np.histogram(found, np.linspace(0, 1, 11))[0]
    assert abs(counts - 2000).max() < 5 * math.sqrt(2000)
    assert abs(np.corrcoef(found[1:], found[:-1])[0, 1]) < 0.03


@pytest.mark.parametrize("n", [1, 7, 60])
def test_leaning_owns_what_loops_count(n):
    uniform = np.random.default_rng(1).random(n)
    z = [NormalDist().inv_cdf(u) for u in uniform]
    factors = [[math.exp(lean * at - lean**2 / 2) for at in z] for lean in LEANS]
    found = martingale.leaning(uniform)
    np.testing.assert_allclose(np.exp(found.log_capital), naive_capital(factors))


@pytest.mark.parametrize("at_most", [0.02, 0.5, 0.9])
def test_exceeding_owns_what_loops_count(at_most):
    hits = np.random.default_rng(2).random(50) < 0.3
    factors = []
    for times in TIMES:
        odds = times * at_most / (1 - at_most)
        share = odds / (1 + odds)
        factors.append(
            [share / at_most if hit else (1 - share) / (1 - at_most) for hit in hits]
        )
    found = martingale.exceeding(hits, at_most)
    np.testing.assert_allclose(np.exp(found.log_capital), naive_capital(factors))


def test_chance_reaches_a_limit_no_more_often_than_promised():
    reached = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        values = rng.exponential(size=1000)
        found = martingale.leaning(martingale.ranks(values, seed=seed))
        reached += found.reached(20) is not None
    assert reached / 200 <= 1 / 20 + 2 * math.sqrt(0.05 * 0.95 / 200)


def test_a_share_within_what_is_stated_is_no_evidence():
    reached = sum(
        martingale.exceeding(
            np.random.default_rng(seed).random(3000) < 0.1, 0.1
        ).reached(20)
        is not None
        for seed in range(200)
    )
    assert reached / 200 <= 1 / 20 + 2 * math.sqrt(0.05 * 0.95 / 200)


@pytest.mark.parametrize("shift", [0.9, -0.9])
def test_a_change_is_noticed_and_dated(shift):
    values = np.random.default_rng(5).normal(size=1500)
    values[900:] += shift
    found = martingale.leaning(martingale.ranks(values))
    said = found.reached(400)
    assert 900 < said < 1050
    assert abs(found.changed_at(said) - 900) < 60


def test_what_was_said_does_not_change_with_later_figures():
    values = np.random.default_rng(6).normal(size=700)
    early, late = (
        martingale.leaning(martingale.ranks(part)) for part in (values[:400], values)
    )
    np.testing.assert_array_equal(early.log_capital, late.log_capital[:400])


def test_a_stated_share_is_one():
    with pytest.raises(ValueError, match="at_most"):
        martingale.exceeding(np.array([True]), 1.0)
