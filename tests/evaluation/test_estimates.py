"""Intervals of shares."""

from dataclasses import asdict

import numpy as np
import pytest
from naive_metrics import clustered, naive_wilson, sigmoid

from cxr.evaluation import operating, ranking, reliability, summary
from cxr.evaluation.estimates import Estimate, proportion, weighted_sum, wilson


class TestWilson:
    @pytest.mark.parametrize(
        ("successes", "n", "low", "high"),
        [
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0000, 0.1611),
            (1, 29, 0.0061, 0.1718),
        ],
    )
    def test_agrees_with_published_intervals(self, successes, n, low, high):
        # Newcombe, Stat. Med. 17 (1998) 857-872, table I, method 3.
        limits = wilson(successes, n)
        assert np.round(limits, 4) == pytest.approx((low, high), abs=1e-12)

    def test_solves_its_equation_for_every_count(self):
        n = 17
        low, high = wilson(np.arange(n + 1), np.full(n + 1, n))
        naive = np.array([naive_wilson(k / n, n) for k in range(n + 1)])
        assert np.allclose(np.stack([low, high], axis=1), naive, atol=1e-12)
        assert low[0] == 0
        assert high[-1] == 1

    def test_of_no_trials_is_nan(self):
        assert np.isnan(wilson(0, 0)).all()


class TestWeightedSum:
    def test_of_one_part_is_that_part_times_its_weight(self):
        part = Estimate(value=0.2, low=0.1, high=0.4)
        assert weighted_sum((3.0, part)) == part.through(lambda share: 3.0 * share)

    def test_of_a_difference_in_disguise_agrees_with_newcombe(self):
        # Newcombe, Stat. Med. 17 (1998) 873-890, table II, row (a), method 10: the
        # difference 56/70 - 48/80 has the interval 0.0524 to 0.3339.
        shares = []
        for hits, n in ((56, 70), (80 - 48, 80)):
            low, high = wilson(hits, n)
            shares.append(Estimate(value=hits / n, low=float(low), high=float(high)))
        total = weighted_sum(*((1.0, share) for share in shares))
        assert total.low - 1 == pytest.approx(0.0524, abs=5e-5)
        assert total.high - 1 == pytest.approx(0.3339, abs=5e-5)

    def test_interval_holds_the_truth(self):
        rng = np.random.default_rng(5)
        held = 0
        for _ in range(400):
            parts = []
            for weight, rate, n in ((200, 0.05, 240), (800, 0.3, 400)):
                hit = rng.random(n) < rate
                parts.append((weight, proportion(hit, np.ones(n, bool), None)))
            found = weighted_sum(*parts)
            held += found.low <= 200 * 0.05 + 800 * 0.3 <= found.high
        assert 0.92 <= held / 400 <= 0.98


class TestCoverage:
    @pytest.mark.parametrize("separation", [2.0, 3.5])
    def test_intervals_hold_the_truth_when_films_come_in_patients(self, separation):
        rng = np.random.default_rng(11)
        labels, logits, _ = clustered(rng, 200_000, separation)
        truth = asdict(
            operating.rates(operating.confusion_at(labels, logits, threshold=0))
        )
        truth["auc"] = ranking.auc_score(labels, logits)
        truth["average_precision"] = ranking.average_precision_score(labels, logits)
        truth["brier"] = reliability.brier_loss(labels, sigmoid(logits))
        held = dict.fromkeys(truth, 0)
        for seed in range(200):
            labels, logits, patients = clustered(rng, 80, separation)
            found = summary.evaluate(
                labels,
                sigmoid(logits),
                threshold=0.5,
                groups=patients,
                n_bootstrap=100,
                seed=seed,
            )
            for name, value in truth.items():
                estimate = getattr(found, name)
                held[name] += estimate.low <= value <= estimate.high
        assert min(held.values()) >= 0.9 * 200, held
