"""Paired tests of two models."""

import itertools
import math
from dataclasses import asdict

import numpy as np
import pytest
from naive_metrics import (
    Z,
    films,
    naive_auc,
    naive_components,
    naive_obuchowski,
)

from cxr.evaluation import comparison
from cxr.evaluation.estimates import UndefinedMetricWarning

OVARIAN = """
3.0 5.8 10 0  3.2 6.3 5 1  3.9 6.8 3 1  2.8 4.8 6 0  3.2 5.8 3 1  0.9 4.0 5 0
2.5 5.7 8 0  1.6 5.6 5 1  3.8 5.7 5 1  3.7 6.7 6 1  3.2 5.4 4 1  3.8 6.6 6 1
4.1 6.6 5 1  3.6 5.7 5 1  4.3 7.0 4 1  3.6 6.7 4 0  2.3 4.4 6 1  4.2 7.6 4 0
4.0 6.6 6 0  3.5 5.8 6 1  3.8 6.8 7 1  3.0 4.7 8 0  4.5 7.4 5 1  3.7 7.4 5 1
3.1 6.6 6 1  4.1 8.2 6 1  4.3 7.0 5 1  4.3 6.5 4 1  3.2 5.1 5 1  2.6 4.7 6 1
3.3 6.8 6 0  1.7 4.0 7 0  3.7 6.1 5 1  3.3 6.3 7 1  4.2 7.7 6 1  3.5 6.2 5 1
2.9 5.7 9 0  2.1 4.8 7 1  2.8 6.2 8 0  4.0 7.0 7 1  3.3 5.7 6 1  3.7 6.9 5 1
3.6 6.6 5 1
"""


def ovarian():
    """Labels and the three tests; a low K-G score speaks for the label."""
    rows = np.array(OVARIAN.split(), dtype=float).reshape(-1, 4)
    albumin, protein, kg, labels = rows.T
    return labels, {"albumin": albumin, "protein": protein, "kg": -kg}


class TestDelong:
    @pytest.mark.parametrize(
        ("test", "auc", "error"),
        [
            ("albumin", 0.7366, 0.0927),
            ("kg", 0.7258, 0.1028),
            ("protein", 0.6478, 0.1000),
        ],
    )
    def test_variance_agrees_with_the_published_example(self, test, auc, error):
        from cxr.evaluation.ranking import auc_variance, components

        labels, tests = ovarian()
        parts = components(labels.astype(int), tests[test], None)
        assert parts.auc == pytest.approx(auc, abs=5e-5)
        assert math.sqrt(auc_variance(parts)) == pytest.approx(error, abs=5e-5)

    @pytest.mark.parametrize(
        ("test", "difference", "low", "high", "p_value"),
        [
            ("albumin", 0.0108, -0.1761, 0.1976, 0.9102),
            ("protein", -0.0780, -0.2830, 0.1271, 0.4561),
        ],
    )
    def test_difference_agrees_with_the_published_example(
        self, test, difference, low, high, p_value
    ):
        labels, tests = ovarian()
        found = comparison.delong_test(labels, tests[test], tests["kg"])
        limits = asdict(found.difference).values()
        assert list(limits) == pytest.approx([difference, low, high], abs=5e-5)
        assert found.p_value == pytest.approx(p_value, abs=5e-5)

    @pytest.mark.parametrize("decimals", [None, 1])
    def test_equals_a_naive_test_on_the_same_films(self, decimals):
        labels, a, _ = films(0, decimals=decimals)
        b = np.clip(a + np.random.default_rng(9).normal(0, 0.3, a.size), 0, 1)
        found = comparison.delong_test(labels, a, b)
        parts = np.array(naive_components(labels, a)) - naive_components(labels, b)
        ill, well = parts[labels == 1], parts[labels == 0]
        variance = np.var(ill, ddof=1) / ill.size + np.var(well, ddof=1) / well.size
        difference = naive_auc(labels, a) - naive_auc(labels, b)
        assert found.difference.value == pytest.approx(difference)
        half = found.difference.high - found.difference.value
        assert half == pytest.approx(Z * math.sqrt(variance))
        z = abs(difference) / math.sqrt(variance)
        assert found.p_value == pytest.approx(math.erfc(z / math.sqrt(2)))

    def test_equals_the_naive_test_of_obuchowski_with_patients(self):
        labels, a, patients = films(1)
        b = a + np.random.default_rng(9).normal(0, 0.3, a.size)
        found = comparison.delong_test(labels, a, b, groups=patients)
        difference = naive_auc(labels, a) - naive_auc(labels, b)
        parts = np.array(naive_components(labels, a)) - naive_components(labels, b)
        variance = naive_obuchowski(labels, parts, patients, difference)
        half = found.difference.high - found.difference.value
        assert half == pytest.approx(Z * math.sqrt(variance))
        assert "patient" in found.method

    def test_swapping_the_models_turns_the_sign_only(self):
        labels, a, patients = films(2)
        b = films(3)[1]
        one = comparison.delong_test(labels, a, b, groups=patients)
        two = comparison.delong_test(labels, b, a, groups=patients)
        assert one.difference.value == pytest.approx(-two.difference.value)
        assert one.difference.low == pytest.approx(-two.difference.high)
        assert one.p_value == pytest.approx(two.p_value)
        assert one.auc_a == two.auc_b

    @pytest.mark.parametrize("transform", [lambda s: s, np.sqrt, lambda s: 9 * s - 4])
    def test_equal_order_differs_by_nothing(self, transform):
        labels, a, patients = films(decimals=2)
        found = comparison.delong_test(labels, a, transform(a), groups=patients)
        assert asdict(found.difference) == {"value": 0, "low": 0, "high": 0}
        assert found.p_value == 1

    def test_holds_its_level_for_models_that_do_not_differ(self):
        rng = np.random.default_rng(4)
        p_values = []
        for _ in range(300):
            labels = np.arange(80) % 2
            signal = rng.normal(labels, 1)
            a, b = (signal + rng.normal(0, 1, 80) for _ in range(2))
            p_values.append(comparison.delong_test(labels, a, b).p_value)
        assert 0.02 < np.mean(np.array(p_values) < 0.05) < 0.09

    @pytest.mark.parametrize(
        ("labels", "a", "b"),
        [
            ([1, 1, 1], [0.1, 0.2, 0.3], [0.3, 0.2, 0.1]),
            ([0, 0, 1], [0.1, 0.2, 0.3], [0.3, 0.2, 0.1]),
            ([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9], [0.9, 0.8, 0.2, 0.1]),
        ],
    )
    def test_without_a_variance_is_nan_with_a_warning(self, labels, a, b):
        with pytest.warns(UndefinedMetricWarning, match="difference"):
            found = comparison.delong_test(labels, a, b)
        assert math.isnan(found.p_value)
        assert math.isnan(found.difference.low)


class TestMcnemar:
    def test_equals_the_binomial_sum(self):
        rng = np.random.default_rng(2)
        labels, a, b = rng.integers(0, 2, size=(3, 40))
        found = comparison.mcnemar_test(labels, a, b)
        right_a, right_b = a == labels, b == labels
        only_a = sum(right_a & ~right_b)
        only_b = sum(right_b & ~right_a)
        n, k = only_a + only_b, min(only_a, only_b)
        tail = sum(math.comb(n, i) for i in range(k + 1)) / 2**n
        assert (found.only_a_right, found.only_b_right) == (only_a, only_b)
        assert found.p_value == pytest.approx(min(1, 2 * tail))

    def test_hand_worked(self):
        # Six films that only a gets right: 2 * 0.5^6.
        found = comparison.mcnemar_test([1] * 8, [1] * 6 + [0, 1], [0] * 6 + [0, 1])
        assert found.p_value == pytest.approx(2 / 64)

    def test_equal_decisions_have_p_of_one(self):
        found = comparison.mcnemar_test([0, 1], [1, 1], [1, 1])
        assert found.p_value == 1
        assert found.difference.low < found.difference.value == 0

    @pytest.mark.parametrize("seed", range(4))
    def test_with_patients_equals_all_signs_of_all_patients(self, seed):
        rng = np.random.default_rng(seed)
        labels, a, b = rng.integers(0, 2, size=(3, 30))
        patients = rng.integers(0, 8, 30)
        found = comparison.mcnemar_test(labels, a, b, groups=patients)
        sums = [
            sum(
                int(a[i] == labels[i]) - int(b[i] == labels[i])
                for i in np.flatnonzero(patients == p)
            )
            for p in set(patients)
        ]
        signs = itertools.product((-1, 1), repeat=len(sums))
        flipped = [abs(np.dot(sign, sums)) >= abs(sum(sums)) for sign in signs]
        assert found.p_value == pytest.approx(np.mean(flipped))
        assert "patients" in found.method

    def test_one_patient_tells_nothing(self):
        found = comparison.mcnemar_test([1] * 9, [1] * 9, [0] * 9, groups=["a"] * 9)
        assert found.p_value == 1
        assert found.difference.high - found.difference.low > 0.5

    def test_patients_of_one_film_change_nothing(self):
        rng = np.random.default_rng(5)
        labels, a, b = rng.integers(0, 2, size=(3, 50))
        alone = comparison.mcnemar_test(labels, a, b)
        grouped = comparison.mcnemar_test(labels, a, b, groups=np.arange(50))
        assert grouped.p_value == pytest.approx(alone.p_value)
        assert grouped.difference.value == alone.difference.value

    def test_many_films_agree_with_the_exact_test(self):
        from cxr.evaluation.comparison import _flipped_signs, _normal_signs

        sums = np.random.default_rng(1).integers(-2, 3, 600)
        assert _normal_signs(sums) == pytest.approx(_flipped_signs(sums), abs=0.03)

    def test_holds_its_level_for_films_that_come_in_patients(self):
        rng, p_values = np.random.default_rng(6), []
        for _ in range(400):
            patients = np.repeat(np.arange(60), 4)
            shared = rng.random((2, 60))[:, patients]
            own = rng.random((2, 240))
            a, b = (np.where(own < 0.7, shared, own) < 0.8).astype(int)
            found = comparison.mcnemar_test(np.ones(240), a, b, groups=patients)
            p_values.append(found.p_value)
        assert 0.02 < np.mean(np.array(p_values) < 0.05) < 0.08

    def test_hand_worked_interval(self):
        # 10 films: 4 only a, 1 only b; (4.5 - 1.5) / 12 and its standard error.
        labels = [1] * 10
        a, b = [1] * 9 + [0], [0] * 4 + [1] * 5 + [1]
        found = comparison.mcnemar_test(labels, a, b).difference
        centre = 3 / 12
        half = Z * math.sqrt((6 / 12 - centre**2) / 12)
        assert found.value == pytest.approx(0.3)
        assert (found.low, found.high) == pytest.approx((centre - half, centre + half))

    def test_refuses_scores_and_other_lengths(self):
        with pytest.raises(ValueError, match="decision_a"):
            comparison.mcnemar_test([0, 1], [0.2, 0.8], [0, 1])
        with pytest.raises(ValueError, match="one length"):
            comparison.mcnemar_test([0, 1], [0, 1], [0, 1, 1])
