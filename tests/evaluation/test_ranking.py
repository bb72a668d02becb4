"""AUC and average precision."""

import math

import numpy as np
import pytest
from naive_metrics import (
    Z,
    clustered,
    films,
    naive_auc,
    naive_average_precision,
    naive_components,
    naive_delong,
    naive_obuchowski,
    naive_wilson,
)
from sklearn import metrics as sklearn_metrics

from cxr.evaluation import ranking, summary
from cxr.evaluation.estimates import UndefinedMetricWarning


class TestAuc:
    @pytest.mark.parametrize("decimals", [None, 1, 0])
    @pytest.mark.parametrize("seed", range(3))
    def test_equals_the_share_of_won_pairs_and_scikit_learn(self, seed, decimals):
        labels, scores, _ = films(seed, decimals=decimals)
        found = ranking.auc_score(labels, scores)
        assert found == pytest.approx(naive_auc(labels, scores))
        assert found == pytest.approx(sklearn_metrics.roc_auc_score(labels, scores))

    def test_hand_worked(self):
        # Won 2 and a half of 4 pairs: (.8, .4) and (.8, .8) half; (.4, ...) one half.
        assert ranking.auc_score([0, 0, 1, 1], [0.4, 0.8, 0.8, 0.4]) == 0.5
        assert ranking.auc_score([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]) == 0.75

    def test_of_constant_scores_is_a_half(self):
        assert ranking.auc_score([0, 1, 1], [0.3, 0.3, 0.3]) == 0.5

    @pytest.mark.parametrize("label", [0, 1])
    def test_of_one_class_is_nan_with_a_warning(self, label):
        with pytest.warns(UndefinedMetricWarning, match="auc"):
            assert math.isnan(ranking.auc_score([label] * 3, [0.1, 0.2, 0.3]))

    @pytest.mark.parametrize("decimals", [None, 1])
    def test_interval_follows_from_delongs_variance(self, decimals):
        labels, scores, _ = films(n=300, decimals=decimals, separation=0.8)
        found = summary.evaluate(labels, scores, threshold=0.5, n_bootstrap=0).auc
        variance, auc = naive_delong(labels, scores), naive_auc(labels, scores)
        limits = naive_wilson(auc, auc * (1 - auc) / variance)
        assert (found.low, found.high) == pytest.approx(limits, abs=5e-4)

    def test_interval_with_patients_follows_from_obuchowskis_variance(self):
        rng = np.random.default_rng(3)
        labels, logits, patients = clustered(rng, 150, 1.0)
        labels[::5] = 1 - labels[::5]  # patients of both classes
        scores = 1 / (1 + np.exp(-logits))
        found = summary.evaluate(
            labels, scores, threshold=0.5, groups=patients, n_bootstrap=0
        ).auc
        auc = naive_auc(labels, scores)
        shares = naive_components(labels, scores)
        variance = naive_obuchowski(labels, shares, patients, auc)
        limits = naive_wilson(auc, auc * (1 - auc) / variance)
        assert (found.low, found.high) == pytest.approx(limits, abs=2e-3)

    def test_perfect_order_does_not_have_a_perfect_interval(self):
        labels = np.arange(200) % 2
        scores = 0.1 + 0.8 * labels
        few = summary.evaluate(labels[:20], scores[:20], threshold=0.5)
        many = summary.evaluate(labels, scores, threshold=0.5)
        in_patients = summary.evaluate(
            labels, scores, threshold=0.5, groups=np.arange(200) // 10
        )
        for name in ("auc", "average_precision", "brier", "sensitivity", "f1"):
            a, b, c = (getattr(e, name) for e in (few, many, in_patients))
            assert a.high - a.low > b.high - b.low > 0
            assert c.high - c.low > b.high - b.low
        assert 0.97 < many.auc.low < 1
        # Newcombe's method 5, solved for its root by bisection.
        assert many.auc.low == pytest.approx(newcombe_lower_limit(100, 100), abs=2e-3)

    def test_reversed_scores_mirror_value_and_interval(self):
        labels, scores, patients = films()
        a, b = (
            summary.evaluate(
                labels, s, threshold=0.5, groups=patients, n_bootstrap=0
            ).auc
            for s in (scores, 1 - scores)
        )
        assert (1 - a.value, 1 - a.low, 1 - a.high) == pytest.approx(
            (b.value, b.high, b.low)
        )


def newcombe_lower_limit(m, n):
    """The root of (1 - theta)^2 = z^2 V(theta) below 1, for an observed AUC of 1."""

    def excess(theta):
        spread = (1 - theta) / (2 - theta) + theta / (1 + theta)
        variance = theta * (1 - theta) * (1 + ((m + n) / 2 - 1) * spread) / (m * n)
        return (1 - theta) ** 2 - Z**2 * variance

    low, high = 0.5, 1 - 1e-9
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return low


class TestAveragePrecision:
    @pytest.mark.parametrize("decimals", [None, 1, 0])
    @pytest.mark.parametrize("seed", range(3))
    def test_equals_the_steps_of_a_loop_and_scikit_learn(self, seed, decimals):
        labels, scores, _ = films(seed, decimals=decimals)
        found = ranking.average_precision_score(labels, scores)
        assert found == pytest.approx(naive_average_precision(labels, scores))
        assert found == pytest.approx(
            sklearn_metrics.average_precision_score(labels, scores)
        )

    def test_hand_worked(self):
        # Ill, well, ill from the highest score: precision 1 and 2/3.
        found = ranking.average_precision_score([1, 0, 1], [0.9, 0.5, 0.2])
        assert found == pytest.approx((1 + 2 / 3) / 2)

    def test_of_constant_scores_is_the_prevalence(self):
        found = ranking.average_precision_score([0, 1, 0, 0], [0.5] * 4)
        assert found == 0.25

    @pytest.mark.parametrize("label", [0, 1])
    def test_of_one_class_is_nan_with_a_warning(self, label):
        with pytest.warns(UndefinedMetricWarning, match="average_precision"):
            found = ranking.average_precision_score([label] * 3, [0.1, 0.2, 0.3])
        assert math.isnan(found)

    def test_weights_count_like_copies_of_the_films(self):
        from cxr.evaluation.ranking import weighted_average_precision

        rng = np.random.default_rng(5)
        labels, scores, _ = films(decimals=1)
        weights = rng.integers(0, 4, size=(20, labels.size))
        found = weighted_average_precision(labels, scores, weights.astype(float))
        for row, value in zip(weights, found, strict=True):
            copies = np.repeat(np.arange(labels.size), row)
            assert value == pytest.approx(
                naive_average_precision(labels[copies], scores[copies])
            )
