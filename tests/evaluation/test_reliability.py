"""Reliability curves and calibration errors."""

import math

import numpy as np
import pytest
from naive_metrics import clustered, films, naive_calibration_error, sigmoid

from cxr.evaluation import reliability, summary


class TestReliability:
    def test_brier_equals_a_loop(self):
        labels, scores, _ = films()
        naive = sum((s - y) ** 2 for y, s in zip(labels, scores, strict=True))
        assert reliability.brier_loss(labels, scores) == pytest.approx(naive / 60)

    def test_hand_worked_brier(self):
        assert reliability.brier_loss([1, 0], [0.8, 0.4]) == pytest.approx(0.1)

    @pytest.mark.parametrize("n_bins", [1, 5, 15])
    @pytest.mark.parametrize("decimals", [None, 1, 0])
    def test_calibration_error_equals_a_loop(self, n_bins, decimals):
        labels, scores, _ = films(n=90, decimals=decimals)
        found = reliability.expected_calibration_error(labels, scores, n_bins=n_bins)
        assert found == pytest.approx(naive_calibration_error(labels, scores, n_bins))

    def test_hand_worked_calibration_error(self):
        labels, scores = [0, 0, 0, 1, 1, 1, 1, 0], [0.25] * 4 + [0.95] * 4
        assert reliability.expected_calibration_error(labels, scores) == pytest.approx(
            0.5 * 0 + 0.5 * 0.2
        )

    def test_certain_and_right_has_no_error(self):
        assert reliability.expected_calibration_error([0, 1], [0, 1]) == 0
        assert reliability.brier_loss([0, 1], [0, 1]) == 0

    def test_refuses_no_bins(self):
        with pytest.raises(ValueError, match="n_bins=0"):
            reliability.expected_calibration_error([0, 1], [0.1, 0.2], n_bins=0)

    def test_curve_counts_every_film_once_and_sums_to_the_error(self):
        labels, scores, _ = films(n=90)
        curve = reliability.reliability_curve(labels, scores, n_bins=15)
        assert curve.counts.sum() == 90
        filled = curve.counts > 0
        gap = np.abs(curve.observed - curve.predicted)[filled]
        assert (gap * curve.counts[filled]).sum() / 90 == pytest.approx(
            reliability.expected_calibration_error(labels, scores)
        )
        assert (curve.low[filled] <= curve.observed[filled]).all()
        assert (curve.observed[filled] <= curve.high[filled]).all()
        inside = (curve.edges[:-1] <= curve.predicted) & (
            curve.predicted <= curve.edges[1:]
        )
        assert inside[filled].all()

    def test_an_empty_bin_is_nan(self):
        curve = reliability.reliability_curve([0, 1], [0.05, 0.95], n_bins=3)
        assert curve.counts.tolist() == [1, 0, 1]
        for values in (curve.predicted, curve.observed, curve.low, curve.high):
            assert np.isnan(values).tolist() == [False, True, False]

    def test_curve_is_wider_for_films_that_come_in_patients(self):
        labels, scores = np.arange(40) // 20, np.full(40, 0.5)
        alone = reliability.reliability_curve(labels, scores, n_bins=1)
        grouped = reliability.reliability_curve(
            labels, scores, n_bins=1, groups=np.arange(40) // 5
        )
        assert grouped.high[0] - grouped.low[0] > alone.high[0] - alone.low[0]

    def test_gaps_of_every_bin_sum_to_the_error(self):
        from cxr.evaluation.reliability import calibration_gaps

        labels, scores, _ = films(n=90)
        gaps = calibration_gaps(labels, scores, n_bins=15)
        for i, gap in enumerate(gaps):
            inside = (scores > i / 15) & (scores <= (i + 1) / 15)
            assert gap == pytest.approx((labels - scores)[inside].sum() / 90)
        assert np.abs(gaps).sum() == pytest.approx(
            naive_calibration_error(labels, scores)
        )

    def test_the_chance_part_is_what_noise_alone_adds(self):
        from cxr.evaluation.reliability import _without_chance

        rng = np.random.default_rng(0)
        truth, spread = (
            np.array([0.0, 0.02, 0.2, 0.03]),
            np.array([0.02, 0.02, 0.02, 0]),
        )
        shown = np.abs(truth + spread * rng.normal(size=(200_000, 4))).mean(axis=0)
        assert shown[0] == pytest.approx(0.02 * math.sqrt(2 / math.pi), rel=0.01)
        assert _without_chance(shown, spread) == pytest.approx(0.25, abs=1e-3)
        assert _without_chance(np.full(2, 0.01), np.full(2, 0.02)) == 0

    def test_interval_of_calibrated_probabilities_reaches_zero(self):
        rng = np.random.default_rng(0)
        scores = rng.random(300)
        labels = (rng.random(300) < scores).astype(int)
        found = summary.evaluate(labels, scores, threshold=0.5, n_bootstrap=200).ece
        assert found.low == 0 < found.value <= found.high

    def test_interval_holds_a_small_error_that_chance_makes_look_large(self):
        # Too sure by half: an error of 0.049 in endlessly many films.
        rng, held, values = np.random.default_rng(8), 0, []
        for seed in range(60):
            labels, logits, patients = clustered(rng, 100, 2.0)
            found = summary.evaluate(
                labels,
                sigmoid(1.5 * 2.0 * logits),
                threshold=0.5,
                groups=patients,
                n_bootstrap=150,
                seed=seed,
            ).ece
            held += found.low <= 0.049 <= found.high
            values.append(found.value)
        assert np.mean(values) > 0.07
        assert held >= 53

    def test_interval_of_wrong_probabilities_does_not(self):
        labels, scores, _ = films(n=300)
        found = summary.evaluate(labels, scores**4, threshold=0.5, n_bootstrap=200).ece
        assert 0.1 < found.low < found.value < found.high
