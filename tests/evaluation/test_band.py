"""The zone without an answer: its rule, a naive second one, and what it holds."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from cxr.evaluation import band
from cxr.evaluation.band import Shifted, choose_band


def some_films(seed=0, n=300, views=4):
    """Films of both classes, some of one patient, and their scores after shifts."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(n) % 3 > 0).astype(int)
    patients = np.arange(n) // 6 * 3 + np.arange(n) % 3
    logits = rng.normal(np.where(labels, 2.5, -2.5), 1.4)
    rows = np.repeat(np.flatnonzero(rng.random(n) < 0.9), views)
    moved = logits[rows] + rng.normal(0, 0.7, rows.size)
    return labels, logits, patients, Shifted(rows=rows, logits=moved)


def naive_edge(films, target, tail):
    """The same edge from a list of (score, weight, patient), film by film."""
    films = sorted(films)
    total = sum(weight for _, weight, _ in films)
    n_patients = len({patient for _, _, patient in films})
    wanted, seen, level = min(max(tail, 10 / n_patients), 0.5), 0.0, films[-1][0]
    for score, weight, _ in films:
        seen += weight / total
        if seen >= wanted:
            level = score
            break
    inside = [f for f in films if f[0] < level]
    if not inside:
        return level
    share = sum(weight for _, weight, _ in inside) / total
    scale = sum(w * (level - s) for s, w, _ in inside) / total / share
    of_patient = {}
    for _, weight, patient in inside:
        of_patient[patient] = of_patient.get(patient, 0) + weight / total
    k = share**2 / sum(w * w for w in of_patient.values())
    steps = math.log(share / target)
    factor = 2 * k / stats.chi2.ppf(0.1, 2 * k)
    lower_level = stats.norm.ppf(0.9) * scale / math.sqrt(k)
    margin = math.sqrt(lower_level**2 + (scale * steps * (factor - 1)) ** 2)
    return level - scale * steps - margin


def naive_band(labels, logits, patients, shifted):
    films = {0: [], 1: []}
    for row, (label, score) in enumerate(zip(labels, logits, strict=True)):
        moved = [
            s for r, s in zip(shifted.rows, shifted.logits, strict=True) if r == row
        ]
        own = 0.5 if moved else 1.0
        for value, weight in [(score, own), *((s, 0.5 / len(moved)) for s in moved)]:
            sign = 1 if label else -1
            films[label].append((sign * value, weight, patients[row]))
    return naive_edge(films[1], 0.005, 0.05), -naive_edge(films[0], 0.025, 0.10)


class TestRule:
    @pytest.mark.parametrize("seed", range(5))
    def test_is_that_of_a_naive_second_one(self, seed):
        labels, logits, patients, shifted = some_films(seed)
        found = choose_band(labels, logits, groups=patients, shifted=shifted)
        low, high = naive_band(labels, logits, patients, shifted)
        assert found.low.value == pytest.approx(low, abs=2e-3)
        assert found.high.value == pytest.approx(high, abs=2e-3)

    def test_without_shifts_and_patients_every_film_counts_alike(self):
        labels, logits, _, _ = some_films()
        none = Shifted(rows=np.empty(0, int), logits=np.empty(0))
        found = choose_band(labels, logits)
        low, high = naive_band(labels, logits, range(300), none)
        assert (found.low.value, found.high.value) == pytest.approx(
            (low, high), abs=2e-3
        )

    def test_both_classes_are_treated_alike(self):
        labels, logits, patients, shifted = some_films()
        found = choose_band(
            labels, logits, groups=patients, missed=0.01, alarms=0.01, shifted=shifted
        )
        turned = choose_band(
            1 - labels,
            -logits,
            groups=patients,
            missed=0.01,
            alarms=0.01,
            shifted=replace(shifted, logits=-shifted.logits),
        )
        # Only the tails' shares differ between the classes, and these are estimates.
        assert turned.low.estimate == pytest.approx(-found.high.estimate, abs=0.7)

    def test_a_cautious_edge_lies_beyond_the_estimate(self):
        labels, logits, patients, _ = some_films()
        found = choose_band(labels, logits, groups=patients)
        assert found.low.value < found.low.estimate
        assert found.high.value > found.high.estimate

    def test_scores_that_are_all_alike_have_no_tail(self):
        labels = np.array([0, 1] * 40)
        found = choose_band(labels, np.where(labels, 2.0, -2.0))
        assert (found.low.value, found.high.value) == (2.0, -2.0)
        assert found.low.patients == 0

    @pytest.mark.parametrize("label", [0, 1])
    def test_one_class_alone_is_refused(self, label):
        with pytest.raises(ValueError, match="both"):
            choose_band([label] * 5, np.arange(5.0))


class TestRobustness:
    def test_one_odd_film_moves_an_edge_little(self):
        labels, logits, patients, _ = some_films(n=900)
        before = choose_band(labels, logits, groups=patients).low.value
        odd = logits.copy()
        odd[np.flatnonzero(labels == 1)[0]] = -8.0
        after = choose_band(labels, odd, groups=patients).low.value
        lowest = [np.sort(s[labels == 1])[0] for s in (logits, odd)]
        assert lowest[0] - lowest[1] > 5
        assert 0 < before - after < 1.2

    def test_more_patients_make_it_narrower(self):
        few, many = (
            choose_band(*some_films(seed=2, n=n)[:2], groups=some_films(n=n)[2])
            for n in (150, 6000)
        )
        assert many.low.estimate - many.low.value < few.low.estimate - few.low.value

    def test_shifts_that_lower_scores_lower_the_edge(self):
        labels, logits, patients, shifted = some_films()
        darker = replace(shifted, logits=shifted.logits - 2)
        same = choose_band(labels, logits, groups=patients, shifted=shifted)
        moved = choose_band(labels, logits, groups=patients, shifted=darker)
        assert moved.low.value < same.low.value

    def test_films_of_one_patient_count_for_less(self):
        labels, logits, _, _ = some_films()
        alone = choose_band(labels, logits).low
        together = choose_band(labels, logits, groups=np.arange(300) // 30 * 2 + labels)
        assert together.low.patients < alone.patients

    @pytest.mark.parametrize("tail", ["normal", "logistic"])
    def test_keeps_its_promise_in_most_samples(self, tail):
        rng, kept = np.random.default_rng(3), []
        labels = (np.arange(640) % 4 > 0).astype(int)
        for _ in range(200):
            noise = getattr(rng, tail)(size=640)
            low = choose_band(labels, np.where(labels, 3, -3) + noise).low.value
            fresh = getattr(rng, tail)(size=40_000) + 3
            kept.append((fresh < low).mean() <= band.MISSED)
        assert np.mean(kept) >= 0.84
