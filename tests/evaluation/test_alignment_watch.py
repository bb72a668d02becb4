"""A threshold that no longer lies where it belongs, told from more ill patients."""

import math

import numpy as np
import pytest

from cxr.evaluation import alignment_watch, kinds
from cxr.evaluation.alignment import Reference
from cxr.evaluation.alignment_watch import PORTION
from cxr.evaluation.drift import LIMIT
from cxr.evaluation.martingale import HALF_LIFE

THRESHOLD = -1.5


def films(seed, *, n=1000, ill=0.3, shift=0.0, begins=0):
    """Logits of two bells, which all lie higher from some film on."""
    rng = np.random.default_rng(seed)
    sick = rng.random(n) < ill
    logits = np.where(sick, rng.normal(6, 3, n), rng.normal(-4, 1.6, n))
    return logits + shift * (np.arange(n) >= begins)


@pytest.fixture(scope="module")
def home():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 900)
    logits = np.where(labels == 1, rng.normal(6, 3, 900), rng.normal(-4, 1.6, 900))
    return Reference(home=kinds.kind(labels, logits), spread=0.05)


@pytest.mark.parametrize("ill", [0.05, 0.3, 0.8])
def test_any_share_of_ill_patients_leaves_the_threshold(home, ill):
    for seed in range(2):
        found = alignment_watch.place(home, films(seed, ill=ill), threshold=THRESHOLD)
        assert not found.moved and found.since is None
        assert found.fit.share.low - 0.05 <= ill <= found.fit.share.high + 0.05


def test_a_shift_of_all_scores_is_said_and_dated(home):
    logits = films(1, shift=1.2, begins=500)
    found = alignment_watch.place(home, logits, threshold=THRESHOLD)
    assert found.moved and found.e_value >= found.limit == LIMIT
    assert 450 <= found.since <= 600
    assert 500 < found.said_at < 800
    assert found.fit.threshold.value == pytest.approx(THRESHOLD + 1.2, abs=0.4)


def test_an_alignment_that_fits_is_where_the_threshold_belongs(home):
    logits = films(2, shift=1.2)
    aligned = alignment_watch.place(
        home, logits, threshold=THRESHOLD, stands=THRESHOLD + 1.2
    )
    assert not aligned.moved and aligned.stands == THRESHOLD + 1.2
    assert alignment_watch.place(home, logits, threshold=THRESHOLD).moved


def test_few_films_say_nothing(home):
    found = alignment_watch.place(home, films(3, n=30), threshold=THRESHOLD)
    assert (found.moved, found.fit, found.films) == (False, None, 30)
    found = alignment_watch.place(home, [], threshold=THRESHOLD)
    assert (found.moved, found.fit, found.e_value) == (False, None, 1.0)


def test_owns_what_loops_count(home, monkeypatch):
    shifts, scales = np.array([0.0, 1.0]), np.array([0.9, 1.0])
    monkeypatch.setattr(alignment_watch, "_SHIFTS", shifts)
    monkeypatch.setattr(alignment_watch, "_SCALES", scales)
    shares = np.array([0.2, 0.5])
    monkeypatch.setattr(alignment_watch, "_SHARES", shares)
    logits = films(4, n=120, shift=0.5)
    found = alignment_watch.place(home, logits, threshold=THRESHOLD)

    points = [(a, b, p) for a in shifts for b in scales for p in shares]
    pulls = [
        math.exp(-((a / 2) ** 2) / 2 - (math.log(b) / 0.25) ** 2 / 2)
        for a, b, _ in points
    ]
    prior = [pull / sum(pulls) for pull in pulls]

    def likely(point, part):
        a, b, p = point
        x = (part - a) / b
        normal = np.interp(x, home.home.at, home.home.normal)
        ill = np.interp(x, home.home.at, home.home.ill)
        return float(np.log((p * ill + (1 - p) * normal) / b).sum())

    largest = 1.0
    doubted = [
        abs(a + b * THRESHOLD - THRESHOLD) <= found.tolerance for a, b, _ in points
    ]
    for end in (50, 100, 120):
        owned = kept = 1.0
        owned = 0.0
        for start in range(0, end, PORTION):
            rows = range(start, start + PORTION)
            laid_out = sum(
                HALF_LIFE / ((HALF_LIFE + r) * (HALF_LIFE + r + 1)) for r in rows
            )
            kept -= laid_out
            each = [likely(point, logits[start:end]) for point in points]
            best = max(e for e, d in zip(each, doubted, strict=True) if d)
            bet = sum(w * math.exp(e - best) for w, e in zip(prior, each, strict=True))
            owned += laid_out * bet
        largest = max(largest, owned + kept)
    assert found.e_value == pytest.approx(largest)


def test_tells_more_ill_patients_from_a_shift(home):
    before = films(5, n=400, ill=0.2)
    more = alignment_watch.apart(
        home, before, films(6, n=400, ill=0.5), threshold=THRESHOLD
    )
    assert (more.share, more.place) == (True, False)
    moved = alignment_watch.apart(
        home, before, films(7, n=400, ill=0.2, shift=1.2), threshold=THRESHOLD
    )
    assert (moved.share, moved.place) == (False, True)
    alike = alignment_watch.apart(
        home, before, films(8, n=400, ill=0.2), threshold=THRESHOLD
    )
    assert (alike.share, alike.place) == (False, False)
    few = alignment_watch.apart(home, before, films(9, n=40), threshold=THRESHOLD)
    assert few is None
