"""Confusion, rates and local rates, against naive counts."""

import itertools
import math
import warnings
from dataclasses import asdict

import numpy as np
import pytest
from naive_metrics import (
    RATES,
    counts_at,
    estimates_of,
    films,
    naive_wilson,
    share,
)
from sklearn import metrics as sklearn_metrics

from cxr.evaluation import operating, ranking
from cxr.evaluation.estimates import UndefinedMetricWarning
from cxr.evaluation.operating import Confusion, OperatingPoint
from cxr.evaluation.thresholds import (
    operating_points,
)


class TestConfusionAndRates:
    @pytest.mark.parametrize("threshold", [-math.inf, 0, 0.3, 0.5, 0.9, 1, math.inf])
    def test_counts_as_a_loop_does_with_ties_positive(self, threshold):
        labels, scores, _ = films(decimals=1)
        found = operating.confusion_at(labels, scores, threshold=threshold)
        assert found == counts_at(labels, scores, threshold)
        assert sum(asdict(found).values()) == labels.size

    def test_a_film_on_the_threshold_is_positive(self):
        found = operating.confusion_at([0, 1], [0.5, 0.5], threshold=0.5)
        assert found == Confusion(tn=0, fp=1, fn=0, tp=1)

    def test_hand_worked_rates(self):
        found = operating.rates(Confusion(tn=80, fp=20, fn=10, tp=90))
        assert asdict(found) == pytest.approx(
            {
                "sensitivity": 0.9,
                "specificity": 0.8,
                "accuracy": 0.85,
                "precision": 9 / 11,
                "npv": 8 / 9,
                "f1": 6 / 7,
                "likelihood_ratio_positive": 4.5,
                "likelihood_ratio_negative": 0.125,
            }
        )

    def test_agree_with_scikit_learn(self):
        labels, scores, _ = films()
        found = operating.rates(operating.confusion_at(labels, scores, threshold=0.5))
        called = scores >= 0.5
        precision, recall, f1, _ = sklearn_metrics.precision_recall_fscore_support(
            labels, called, average="binary"
        )
        ratios = sklearn_metrics.class_likelihood_ratios(labels, called)
        assert (found.precision, found.sensitivity, found.f1) == pytest.approx(
            (precision, recall, f1)
        )
        assert (
            found.likelihood_ratio_positive,
            found.likelihood_ratio_negative,
        ) == pytest.approx(ratios)

    def test_undefined_rates_are_nan_with_one_warning(self):
        with pytest.warns(UndefinedMetricWarning) as caught:
            found = operating.rates(Confusion(tn=5, fp=0, fn=0, tp=0))
        assert len(caught) == 1
        nan = {name for name in RATES if math.isnan(getattr(found, name))}
        assert nan == {
            "sensitivity",
            "precision",
            "f1",
            "likelihood_ratio_positive",
            "likelihood_ratio_negative",
        }
        assert all(name in str(caught[0].message) for name in nan)
        assert (found.specificity, found.accuracy, found.npv) == (1, 1, 1)

    def test_a_ratio_to_nothing_is_infinite_without_warning(self):
        found = operating.rates(Confusion(tn=5, fp=0, fn=1, tp=4))
        assert found.likelihood_ratio_positive == math.inf


class TestOperatingPoint:
    @pytest.mark.parametrize("groups", [None, "patients"])
    @pytest.mark.parametrize("threshold", [0.2, 0.5, 0.8])
    def test_has_the_point_values_of_rates_inside_their_intervals(
        self, threshold, groups
    ):
        labels, scores, patients = films()
        point = operating.operating_point(
            labels,
            scores,
            threshold=threshold,
            groups=patients if groups else None,
        )
        naive = operating.rates(point.confusion)
        for name, estimate in estimates_of(point).items():
            assert estimate.value == pytest.approx(getattr(naive, name))
            assert 0 <= estimate.low <= estimate.value <= estimate.high

    def test_uses_wilson_without_patients(self):
        labels, scores, _ = films()
        point = operating.operating_point(labels, scores, threshold=0.5)
        c = point.confusion
        for estimate, hits, n in (
            (point.sensitivity, c.tp, c.tp + c.fn),
            (point.specificity, c.tn, c.tn + c.fp),
            (point.accuracy, c.tp + c.tn, labels.size),
            (point.precision, c.tp, c.tp + c.fp),
            (point.npv, c.tn, c.tn + c.fn),
        ):
            assert (estimate.low, estimate.high) == pytest.approx(
                naive_wilson(hits / n, n)
            )
        jaccard = naive_wilson(c.tp / (c.tp + c.fp + c.fn), c.tp + c.fp + c.fn)
        assert (point.f1.low, point.f1.high) == pytest.approx(
            [2 * share / (1 + share) for share in jaccard]
        )

    def test_patients_of_one_film_each_change_nothing_but_the_prior(self):
        labels, scores, _ = films()
        names = [f"patient {i}" for i in range(labels.size)]
        alone = operating.operating_point(labels, scores, threshold=0.5)
        grouped = operating.operating_point(labels, scores, threshold=0.5, groups=names)
        for name, estimate in estimates_of(alone).items():
            assert asdict(getattr(grouped, name)) == pytest.approx(asdict(estimate))

    @pytest.mark.parametrize("seed", range(5))
    def test_sensitivity_uses_the_design_effect_of_a_loop(self, seed):
        labels, scores, patients = films(seed)
        point = operating.operating_point(
            labels, scores, threshold=0.5, groups=patients
        )
        p = point.sensitivity.value
        hits, trials = [], []
        for patient in set(patients[labels == 1]):
            mine = scores[(patients == patient) & (labels == 1)]
            hits.append(sum(mine >= 0.5))
            trials.append(len(mine))
        m, n = len(trials), sum(trials)
        residual = sum((x - p * t) ** 2 for x, t in zip(hits, trials, strict=True))
        effect = m / (m - 1) * residual / n**2 / (p * (1 - p) / (n - 1))
        worst = sum(t * t for t in trials) / n
        effect = max(effect, 1)
        events = min(
            sum(x > 0 for x in hits),
            sum(x < t for x, t in zip(hits, trials, strict=True)),
        )
        mean = (events * effect + 2 * max(worst, effect)) / (events + 2)
        limits = (point.sensitivity.low, point.sensitivity.high)
        assert limits == pytest.approx(naive_wilson(p, n / mean))

    def test_is_never_narrower_than_wilson(self):
        for seed, threshold in itertools.product(range(10), (0.05, 0.4, 0.9)):
            labels, scores, patients = films(seed, n=30)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UndefinedMetricWarning)
                alone = operating.operating_point(labels, scores, threshold=threshold)
                grouped = operating.operating_point(
                    labels, scores, threshold=threshold, groups=patients
                )
            for name, plain in estimates_of(alone).items():
                wide = getattr(grouped, name)
                if not math.isnan(plain.value):
                    assert wide.low <= plain.low + 1e-12
                    assert wide.high >= plain.high - 1e-12

    def test_copies_of_a_film_bring_no_new_knowledge(self):
        labels, scores, _ = films()
        once = operating.operating_point(labels, scores, threshold=0.5)
        copied = operating.operating_point(
            np.repeat(labels, 4),
            np.repeat(scores, 4),
            threshold=0.5,
            groups=np.repeat(np.arange(labels.size), 4),
        )
        for name in ("sensitivity", "specificity", "accuracy", "f1"):
            a, b = getattr(once, name), getattr(copied, name)
            assert (a.low, a.high) == pytest.approx((b.low, b.high), abs=0.01)

    def test_without_errors_still_has_a_width_that_counts_patients(self):
        labels, scores = [1] * 40 + [0] * 40, [0.9] * 40 + [0.1] * 40
        groups = np.arange(80) // 4
        point = operating.operating_point(labels, scores, threshold=0.5, groups=groups)
        assert point.sensitivity.value == point.sensitivity.high == 1
        assert point.sensitivity.low == pytest.approx(naive_wilson(1, 10)[0])

    def test_one_error_less_does_not_lower_the_lower_limit(self):
        groups = np.arange(200) // 2
        low = []
        for misses in (3, 2, 1, 0):
            scores = np.r_[np.full(100, 0.1), np.full(100, 0.9)]
            scores[100 : 100 + 2 * misses : 2] = 0.1
            labels = np.arange(200) // 100
            point = operating.operating_point(
                labels, scores, threshold=0.5, groups=groups
            )
            low.append(point.sensitivity.low)
        assert low == sorted(low)

    def test_likelihood_ratio_interval_is_that_of_the_published_formula(self):
        labels, scores, _ = films(n=200)
        point = operating.operating_point(labels, scores, threshold=0.5)
        a, l1, u1 = asdict(point.sensitivity).values()
        b, u2, l2 = (1 - x for x in asdict(point.specificity).values())
        ab = a * b
        low = ab - math.sqrt(ab**2 - l1 * u2 * (2 * a - l1) * (2 * b - u2))
        high = ab + math.sqrt(ab**2 - u1 * l2 * (2 * a - u1) * (2 * b - l2))
        found = point.likelihood_ratio_positive
        assert found.low == pytest.approx(low / (u2 * (2 * b - u2)))
        assert found.high == pytest.approx(high / (l2 * (2 * b - l2)))

    def test_likelihood_ratio_without_false_alarms_has_a_finite_lower_limit(self):
        labels, scores = [0] * 30 + [1] * 30, [0.1] * 30 + [0.9] * 30
        point = operating.operating_point(labels, scores, threshold=0.5)
        ratio = point.likelihood_ratio_positive
        assert ratio.value == ratio.high == math.inf
        assert 5 < ratio.low < 15
        assert point.likelihood_ratio_negative.value == 0
        assert point.likelihood_ratio_negative.low == 0
        assert 0 < point.likelihood_ratio_negative.high < 0.2

    def test_one_class_is_undefined_in_the_rates_of_the_other(self):
        with pytest.warns(UndefinedMetricWarning, match="specificity"):
            point = operating.operating_point([1, 1], [0.2, 0.8], threshold=0.5)
        assert math.isnan(point.specificity.value)
        assert math.isnan(point.specificity.low)
        assert math.isnan(point.likelihood_ratio_positive.value)
        assert point.sensitivity.value == 0.5

    def test_one_film_and_one_patient_have_wide_intervals(self):
        with pytest.warns(UndefinedMetricWarning):
            one = operating.operating_point([1], [0.9], threshold=0.5)
        with pytest.warns(UndefinedMetricWarning):
            patient = operating.operating_point(
                [1] * 9, [0.9] * 5 + [0.1] * 4, threshold=0.5, groups=["a"] * 9
            )
        assert one.sensitivity.low == pytest.approx(naive_wilson(1, 1)[0])
        assert patient.sensitivity.high - patient.sensitivity.low > 0.75


class TestLocalRates:
    def test_hand_worked(self):
        labels = [0] * 100 + [1] * 100
        scores = [0.1] * 80 + [0.9] * 20 + [0.1] * 10 + [0.9] * 90
        point = operating.operating_point(labels, scores, threshold=0.5)
        local = point.locally(prevalence=0.2)
        assert local.misses_per_1000.value == pytest.approx(20)
        assert local.false_alarms_per_1000.value == pytest.approx(160)
        assert local.precision.value == pytest.approx(180 / 340)
        assert local.npv.value == pytest.approx(640 / 660)
        for estimate in estimates_of(local).values():
            assert estimate.low < estimate.value < estimate.high

    def test_at_the_films_own_prevalence_equals_the_films_rates(self):
        labels, scores, _ = films()
        point = operating.operating_point(labels, scores, threshold=0.5)
        local = point.locally(prevalence=labels.mean())
        assert local.precision.value == pytest.approx(point.precision.value)
        assert local.npv.value == pytest.approx(point.npv.value)

    def test_is_certain_of_no_positive_call_without_false_alarms(self):
        point = operating.operating_point([0, 0, 1], [0.1, 0.2, 0.9], threshold=0.5)
        local = point.locally(prevalence=0.1)
        assert local.precision.value == local.precision.high == 1
        assert 0 < local.precision.low < 0.5

    @pytest.mark.parametrize("prevalence", [0, 1, -0.1, math.nan])
    def test_refuses_a_prevalence_that_is_none(self, prevalence):
        point = operating.operating_point([0, 1], [0.1, 0.9], threshold=0.5)
        with pytest.raises(ValueError, match="prevalence="):
            point.locally(prevalence=prevalence)


class TestOperatingCurve:
    @pytest.mark.parametrize("decimals", [None, 1, 0])
    def test_every_entry_has_the_counts_of_its_threshold(self, decimals):
        labels, scores, _ = films(decimals=decimals)
        curve = operating_points(labels, scores)
        assert (np.diff(curve.thresholds) > 0).all()
        assert curve.thresholds.size == np.unique(scores).size + 1
        for i, threshold in enumerate(curve.thresholds):
            c = counts_at(labels, scores, threshold)
            assert (curve.true_positives[i], curve.false_positives[i]) == (c.tp, c.fp)
            naive = {
                "sensitivity": share(c.tp, c.tp + c.fn),
                "specificity": share(c.tn, c.tn + c.fp),
                "precision": share(c.tp, c.tp + c.fp),
                "npv": share(c.tn, c.tn + c.fn),
                "accuracy": share(c.tp + c.tn, labels.size),
                "f1": share(2 * c.tp, 2 * c.tp + c.fp + c.fn),
            }
            found = {name: getattr(curve, name)[i] for name in naive}
            assert found == pytest.approx(naive, nan_ok=True)

    def test_goes_from_all_positive_to_none(self):
        curve = operating_points(*films()[:2])
        assert (curve.sensitivity[0], curve.specificity[0]) == (1, 0)
        assert (curve.sensitivity[-1], curve.specificity[-1]) == (0, 1)
        assert (np.diff(curve.sensitivity) <= 0).all()
        assert (np.diff(curve.specificity) >= 0).all()

    def test_the_area_under_it_is_the_auc(self):
        labels, scores, _ = films(decimals=1)
        curve = operating_points(labels, scores)
        area = -np.trapezoid(curve.sensitivity, 1 - curve.specificity)
        assert area == pytest.approx(ranking.auc_score(labels, scores))

    @pytest.mark.parametrize("threshold", [-1, 0, 0.3, 0.55, 1, math.inf])
    @pytest.mark.parametrize("with_patients", [False, True])
    def test_a_lookup_equals_the_operating_point(self, threshold, with_patients):
        labels, scores, patients = films()
        groups = patients if with_patients else None
        found = operating_points(labels, scores, groups=groups).at(threshold)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UndefinedMetricWarning)
            direct = operating.operating_point(
                labels, scores, threshold=threshold, groups=groups
            )
        assert isinstance(found, OperatingPoint)
        assert repr(found) == repr(direct)  # nan equals nan here

    def test_one_class_is_nan_with_a_warning(self):
        with pytest.warns(UndefinedMetricWarning, match="specificity"):
            curve = operating_points([1, 1], [0.2, 0.4])
        assert np.isnan(curve.specificity).all()
        assert curve.sensitivity.tolist() == [1, 0.5, 0]

    @pytest.mark.parametrize("scores", [[0.0, 0.0], [1.0, 1.0], [0.0, 1.0], [0.5, 0.5]])
    def test_scores_at_the_ends_still_have_both_extremes(self, scores):
        curve = operating_points([0, 1], scores)
        called = [(np.array(scores) >= t).sum() for t in curve.thresholds]
        assert called[0] == 2
        assert called[-1] == 0
