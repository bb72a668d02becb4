"""Metrics against second, naive implementations, hand-worked and published values."""

import itertools
import json
import math
import subprocess
import sys
import warnings
from dataclasses import asdict, fields

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from cxr import evaluation
from cxr.evaluation import (
    Confusion,
    Estimate,
    Evaluation,
    OperatingPoint,
    PlattScaling,
    UndefinedMetricWarning,
)

RATES = tuple(f.name for f in fields(evaluation.Rates))
Z = 1.959963984540054


def films(seed=0, n=60, decimals=None, separation=1.5):
    """Labels of both classes, probabilities and patients of one to four films."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % 3 > 0).astype(int)
    logits = rng.normal(separation * (labels - 0.5), 1.0)
    scores = sigmoid(logits)
    if decimals is not None:
        scores = np.round(scores, decimals)
    return labels, scores, rng.integers(n // 2, size=n)


def clustered(rng, n_patients, separation):
    """Films whose scores agree within a patient, each patient of one class."""
    size = np.minimum(rng.geometric(0.5, n_patients), 8)
    patients = np.repeat(np.arange(n_patients), size)
    labels = (np.arange(n_patients) % 2)[patients]
    shared = rng.normal(size=n_patients)[patients] * math.sqrt(0.6)
    own = rng.normal(size=patients.size) * math.sqrt(0.4)
    return labels, shared + own + separation * (labels - 0.5), patients


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def naive_wilson(p, n):
    """The two roots of n (p - x)^2 = z^2 x (1 - x)."""
    if p in (0, 1):
        low, high = (0, Z**2 / (n + Z**2)) if p == 0 else (n / (n + Z**2), 1)
        return low, high
    a, b, c = n + Z**2, -(2 * n * p + Z**2), n * p**2
    root = math.sqrt(b * b - 4 * a * c)
    return (-b - root) / (2 * a), (-b + root) / (2 * a)


def naive_auc(labels, scores):
    won = [
        1.0 if a > b else 0.5 if a == b else 0.0
        for a, y in zip(scores, labels, strict=True)
        for b, other in zip(scores, labels, strict=True)
        if y == 1 and other == 0
    ]
    return sum(won) / len(won)


def naive_components(labels, scores):
    """For each film, the share of the other class's films on the right side of it."""

    def share(i):
        others = [j for j in range(len(labels)) if labels[j] != labels[i]]
        sign = 1 if labels[i] == 1 else -1
        return sum(
            (np.sign(sign * (scores[i] - scores[j])) + 1) / 2 for j in others
        ) / (len(others))

    return [share(i) for i in range(len(labels))]


def naive_delong(labels, scores):
    """DeLong's S10 / m + S01 / n."""
    parts = np.array(naive_components(labels, scores))
    ill, well = parts[labels == 1], parts[labels == 0]
    return np.var(ill, ddof=1) / ill.size + np.var(well, ddof=1) / well.size


def naive_obuchowski(labels, shares, patients, auc):
    """Her S10, S01 and S11, patient by patient."""
    m, n = (labels == 1).sum(), (labels == 0).sum()
    s10 = s01 = s11 = 0.0
    with_ill, with_well = set(), set()
    for patient in set(patients):
        mine = [i for i in range(len(labels)) if patients[i] == patient]
        ill = [shares[i] for i in mine if labels[i] == 1]
        well = [shares[i] for i in mine if labels[i] == 0]
        with_ill |= {patient} if ill else set()
        with_well |= {patient} if well else set()
        a, b = sum(ill) - len(ill) * auc, sum(well) - len(well) * auc
        s10, s01, s11 = s10 + a * a, s01 + b * b, s11 + a * b
    i10, i01, i = len(with_ill), len(with_well), len(set(patients))
    s10 *= i10 / ((i10 - 1) * m)
    s01 *= i01 / ((i01 - 1) * n)
    s11 *= i / (i - 1)
    return s10 / m + s01 / n + 2 * s11 / (m * n)


def naive_average_precision(labels, scores):
    total, before = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        called = [y for y, s in zip(labels, scores, strict=True) if s >= threshold]
        recall = sum(called) / sum(labels)
        total += (recall - before) * sum(called) / len(called)
        before = recall
    return total


def naive_calibration_error(labels, scores, n_bins=15):
    edges, error = np.linspace(0, 1, n_bins + 1), 0.0
    for i in range(n_bins):
        inside = [
            (y, s)
            for y, s in zip(labels, scores, strict=True)
            if edges[i] < s <= edges[i + 1] or (i == 0 and s == 0)
        ]
        if inside:
            observed = sum(y for y, _ in inside) / len(inside)
            predicted = sum(s for _, s in inside) / len(inside)
            error += len(inside) / len(labels) * abs(observed - predicted)
    return error


def counts_at(labels, scores, threshold):
    pairs = list(zip(labels, scores, strict=True))
    return Confusion(
        tn=sum(y == 0 and s < threshold for y, s in pairs),
        fp=sum(y == 0 and s >= threshold for y, s in pairs),
        fn=sum(y == 1 and s < threshold for y, s in pairs),
        tp=sum(y == 1 and s >= threshold for y, s in pairs),
    )


def share(a, b):
    return a / b if b else math.nan


def naive_rates(c):
    """Each rate from the counts; a ratio to nothing is infinite."""

    def ratio(a, b):
        return math.inf if b == 0 < a else share(a, b)

    sensitivity, specificity = share(c.tp, c.tp + c.fn), share(c.tn, c.tn + c.fp)
    return {
        "sensitivity": sensitivity,
        "specificity": specificity,
        "accuracy": (c.tp + c.tn) / (c.tp + c.tn + c.fp + c.fn),
        "precision": share(c.tp, c.tp + c.fp),
        "npv": share(c.tn, c.tn + c.fn),
        "f1": share(2 * c.tp, 2 * c.tp + c.fp + c.fn),
        "likelihood_ratio_positive": ratio(sensitivity, share(c.fp, c.tn + c.fp)),
        "likelihood_ratio_negative": ratio(share(c.fn, c.tp + c.fn), specificity),
    }


def estimates_of(record):
    values = {f.name: getattr(record, f.name) for f in fields(record)}
    return {k: v for k, v in values.items() if isinstance(v, Estimate)}


class TestImport:
    def test_loads_neither_scipy_nor_sklearn_nor_pandas(self):
        code = (
            "import sys, cxr.evaluation; "
            "print({'scipy', 'sklearn', 'pandas', 'keras'} & set(sys.modules))"
        )
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "set()"

    def test_names_everything_that_it_offers(self):
        assert all(hasattr(evaluation, name) for name in evaluation.__all__)


class TestInputs:
    @pytest.mark.parametrize(
        ("labels", "scores", "says"),
        [
            ([0, 1], [0.1, math.nan], "finite"),
            ([0, 1], [0.1, math.inf], "finite"),
            ([0, 2], [0.1, 0.2], "0 and 1"),
            ([0, math.nan], [0.1, 0.2], "0 and 1"),
            ([0, 1], [0.1], "as many"),
            ([], [], "at least one"),
            ([[0, 1]], [[0.1, 0.2]], "shape"),
        ],
    )
    def test_refuses_what_is_not_labels_and_scores(self, labels, scores, says):
        for function in (
            lambda: evaluation.confusion_at(labels, scores, threshold=0.5),
            lambda: evaluation.evaluate(labels, scores, threshold=0.5),
            lambda: evaluation.auc_score(labels, scores),
            lambda: evaluation.operating_points(labels, scores),
            lambda: evaluation.fit_platt(labels, scores),
        ):
            with pytest.raises(ValueError, match=says):
                function()

    @pytest.mark.parametrize("score", [-0.01, 1.01])
    def test_refuses_scores_that_are_no_probabilities(self, score):
        for function in (
            evaluation.brier_loss,
            evaluation.expected_calibration_error,
            evaluation.reliability_curve,
            evaluation.operating_points,
        ):
            with pytest.raises(ValueError, match="probabilities"):
                function([0, 1], [0.5, score])

    def test_refuses_a_threshold_of_nan(self):
        with pytest.raises(ValueError, match="threshold=nan"):
            evaluation.confusion_at([0, 1], [0.1, 0.2], threshold=math.nan)
        with pytest.raises(ValueError, match="threshold=nan"):
            evaluation.operating_points([0, 1], [0.1, 0.2]).at(math.nan)

    def test_refuses_patients_that_do_not_match_the_films(self):
        with pytest.raises(ValueError, match="2 patient ids"):
            evaluation.evaluate([0, 1], [0.1, 0.9], threshold=0.5, groups=["a"])

    def test_takes_booleans_lists_and_float32(self):
        labels, scores, _ = films()
        a = evaluation.evaluate(labels, scores.astype(np.float32), threshold=0.5)
        b = evaluation.evaluate(
            list(labels == 1), list(scores.astype(np.float32)), threshold=0.5
        )
        assert a == b


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
        limits = evaluation.wilson(successes, n)
        assert np.round(limits, 4) == pytest.approx((low, high), abs=1e-12)

    def test_solves_its_equation_for_every_count(self):
        n = 17
        low, high = evaluation.wilson(np.arange(n + 1), np.full(n + 1, n))
        naive = np.array([naive_wilson(k / n, n) for k in range(n + 1)])
        assert np.allclose(np.stack([low, high], axis=1), naive, atol=1e-12)
        assert low[0] == 0
        assert high[-1] == 1

    def test_of_no_trials_is_nan(self):
        assert np.isnan(evaluation.wilson(0, 0)).all()


class TestConfusionAndRates:
    @pytest.mark.parametrize("threshold", [-math.inf, 0, 0.3, 0.5, 0.9, 1, math.inf])
    def test_counts_as_a_loop_does_with_ties_positive(self, threshold):
        labels, scores, _ = films(decimals=1)
        found = evaluation.confusion_at(labels, scores, threshold=threshold)
        assert found == counts_at(labels, scores, threshold)
        assert sum(asdict(found).values()) == labels.size

    def test_a_film_on_the_threshold_is_positive(self):
        found = evaluation.confusion_at([0, 1], [0.5, 0.5], threshold=0.5)
        assert found == Confusion(tn=0, fp=1, fn=0, tp=1)

    def test_hand_worked_rates(self):
        found = evaluation.rates(Confusion(tn=80, fp=20, fn=10, tp=90))
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
        found = evaluation.rates(evaluation.confusion_at(labels, scores, threshold=0.5))
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
            found = evaluation.rates(Confusion(tn=5, fp=0, fn=0, tp=0))
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
        found = evaluation.rates(Confusion(tn=5, fp=0, fn=1, tp=4))
        assert found.likelihood_ratio_positive == math.inf


class TestOperatingPoint:
    @pytest.mark.parametrize("groups", [None, "patients"])
    @pytest.mark.parametrize("threshold", [0.2, 0.5, 0.8])
    def test_has_the_point_values_of_rates_inside_their_intervals(
        self, threshold, groups
    ):
        labels, scores, patients = films()
        point = evaluation.operating_point(
            labels,
            scores,
            threshold=threshold,
            groups=patients if groups else None,
        )
        naive = evaluation.rates(point.confusion)
        for name, estimate in estimates_of(point).items():
            assert estimate.value == pytest.approx(getattr(naive, name))
            assert 0 <= estimate.low <= estimate.value <= estimate.high

    def test_uses_wilson_without_patients(self):
        labels, scores, _ = films()
        point = evaluation.operating_point(labels, scores, threshold=0.5)
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
        alone = evaluation.operating_point(labels, scores, threshold=0.5)
        grouped = evaluation.operating_point(
            labels, scores, threshold=0.5, groups=names
        )
        for name, estimate in estimates_of(alone).items():
            assert asdict(getattr(grouped, name)) == pytest.approx(asdict(estimate))

    @pytest.mark.parametrize("seed", range(5))
    def test_sensitivity_uses_the_design_effect_of_a_loop(self, seed):
        labels, scores, patients = films(seed)
        point = evaluation.operating_point(
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
                alone = evaluation.operating_point(labels, scores, threshold=threshold)
                grouped = evaluation.operating_point(
                    labels, scores, threshold=threshold, groups=patients
                )
            for name, plain in estimates_of(alone).items():
                wide = getattr(grouped, name)
                if not math.isnan(plain.value):
                    assert wide.low <= plain.low + 1e-12
                    assert wide.high >= plain.high - 1e-12

    def test_copies_of_a_film_bring_no_new_knowledge(self):
        labels, scores, _ = films()
        once = evaluation.operating_point(labels, scores, threshold=0.5)
        copied = evaluation.operating_point(
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
        point = evaluation.operating_point(labels, scores, threshold=0.5, groups=groups)
        assert point.sensitivity.value == point.sensitivity.high == 1
        assert point.sensitivity.low == pytest.approx(naive_wilson(1, 10)[0])

    def test_one_error_less_does_not_lower_the_lower_limit(self):
        groups = np.arange(200) // 2
        low = []
        for misses in (3, 2, 1, 0):
            scores = np.r_[np.full(100, 0.1), np.full(100, 0.9)]
            scores[100 : 100 + 2 * misses : 2] = 0.1
            labels = np.arange(200) // 100
            point = evaluation.operating_point(
                labels, scores, threshold=0.5, groups=groups
            )
            low.append(point.sensitivity.low)
        assert low == sorted(low)

    def test_likelihood_ratio_interval_is_that_of_the_published_formula(self):
        labels, scores, _ = films(n=200)
        point = evaluation.operating_point(labels, scores, threshold=0.5)
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
        point = evaluation.operating_point(labels, scores, threshold=0.5)
        ratio = point.likelihood_ratio_positive
        assert ratio.value == ratio.high == math.inf
        assert 5 < ratio.low < 15
        assert point.likelihood_ratio_negative.value == 0
        assert point.likelihood_ratio_negative.low == 0
        assert 0 < point.likelihood_ratio_negative.high < 0.2

    def test_one_class_is_undefined_in_the_rates_of_the_other(self):
        with pytest.warns(UndefinedMetricWarning, match="specificity"):
            point = evaluation.operating_point([1, 1], [0.2, 0.8], threshold=0.5)
        assert math.isnan(point.specificity.value)
        assert math.isnan(point.specificity.low)
        assert math.isnan(point.likelihood_ratio_positive.value)
        assert point.sensitivity.value == 0.5

    def test_one_film_and_one_patient_have_wide_intervals(self):
        with pytest.warns(UndefinedMetricWarning):
            one = evaluation.operating_point([1], [0.9], threshold=0.5)
        with pytest.warns(UndefinedMetricWarning):
            patient = evaluation.operating_point(
                [1] * 9, [0.9] * 5 + [0.1] * 4, threshold=0.5, groups=["a"] * 9
            )
        assert one.sensitivity.low == pytest.approx(naive_wilson(1, 1)[0])
        assert patient.sensitivity.high - patient.sensitivity.low > 0.75


DEGENERATE = {
    "one film with pneumonia": ([1], [0.7]),
    "one normal film": ([0], [0.2]),
    "only pneumonia": ([1] * 6, [0.1, 0.4, 0.4, 0.6, 0.9, 1.0]),
    "only normal films": ([0] * 6, [0.0, 0.1, 0.4, 0.4, 0.6, 0.9]),
    "constant 0": ([0, 1, 1, 0, 1], [0.0] * 5),
    "constant": ([0, 1, 1, 0, 1], [0.4] * 5),
    "constant 1": ([0, 1, 1, 0, 1], [1.0] * 5),
    "ties across the classes": ([0, 1, 0, 1, 1, 0], [0.2, 0.2, 0.4, 0.4, 0.9, 0.9]),
    "perfect": ([0, 0, 1, 1], [0.0, 0.1, 0.9, 1.0]),
    "perfectly wrong": ([1, 1, 0, 0], [0.0, 0.1, 0.9, 1.0]),
}


@pytest.mark.filterwarnings("ignore::cxr.evaluation.UndefinedMetricWarning")
@pytest.mark.parametrize("case", list(DEGENERATE))
class TestDegenerateFilms:
    """Every metric against its loop where classes, films or scores are few."""

    @pytest.mark.parametrize("threshold", [-1.0, 0.0, 0.4, 0.5, 1.0, 2.0])
    def test_rates(self, case, threshold):
        labels, scores = DEGENERATE[case]
        c = counts_at(labels, scores, threshold)
        found = evaluation.rates(
            evaluation.confusion_at(labels, scores, threshold=threshold)
        )
        assert asdict(found) == pytest.approx(naive_rates(c), nan_ok=True)
        point = evaluation.operating_point(labels, scores, threshold=threshold)
        assert point.confusion == c
        for name, estimate in estimates_of(point).items():
            assert estimate.value == pytest.approx(naive_rates(c)[name], nan_ok=True)
            assert math.isnan(estimate.value) or (
                0 <= estimate.low <= estimate.value <= estimate.high
            )

    def test_ranking(self, case):
        labels, scores = DEGENERATE[case]
        auc = precision = math.nan
        if len(set(labels)) == 2:
            auc = naive_auc(labels, scores)
            precision = naive_average_precision(labels, scores)
        assert evaluation.auc_score(labels, scores) == pytest.approx(auc, nan_ok=True)
        assert evaluation.average_precision_score(labels, scores) == pytest.approx(
            precision, nan_ok=True
        )

    def test_calibration(self, case):
        labels, scores = DEGENERATE[case]
        squares = [(s - y) ** 2 for y, s in zip(labels, scores, strict=True)]
        assert evaluation.brier_loss(labels, scores) == pytest.approx(
            sum(squares) / len(labels)
        )
        assert evaluation.expected_calibration_error(labels, scores) == pytest.approx(
            naive_calibration_error(labels, scores)
        )
        curve = evaluation.reliability_curve(labels, scores)
        assert curve.counts.sum() == len(labels)

    def test_all_at_once(self, case):
        labels, scores = DEGENERATE[case]
        found = evaluation.evaluate(labels, scores, threshold=0.4, n_bootstrap=30)
        values = naive_rates(counts_at(labels, scores, 0.4)) | {
            "brier": evaluation.brier_loss(labels, scores),
            "ece": naive_calibration_error(labels, scores),
            "auc": evaluation.auc_score(labels, scores),
            "average_precision": evaluation.average_precision_score(labels, scores),
        }
        for name, value in values.items():
            estimate = getattr(found, name)
            assert estimate.value == pytest.approx(value, nan_ok=True), name
            if not math.isnan(estimate.low):
                assert estimate.low <= estimate.value <= estimate.high, name

    def test_curves(self, case):
        labels, scores = DEGENERATE[case]
        curve = evaluation.operating_points(labels, scores)
        for i, threshold in enumerate(curve.thresholds):
            naive = naive_rates(counts_at(labels, scores, threshold))
            for name in ("sensitivity", "specificity", "precision", "npv", "f1"):
                assert getattr(curve, name)[i] == pytest.approx(
                    naive[name], nan_ok=True
                )


class TestLocalRates:
    def test_hand_worked(self):
        labels = [0] * 100 + [1] * 100
        scores = [0.1] * 80 + [0.9] * 20 + [0.1] * 10 + [0.9] * 90
        point = evaluation.operating_point(labels, scores, threshold=0.5)
        local = point.locally(prevalence=0.2)
        assert local.misses_per_1000.value == pytest.approx(20)
        assert local.false_alarms_per_1000.value == pytest.approx(160)
        assert local.precision.value == pytest.approx(180 / 340)
        assert local.npv.value == pytest.approx(640 / 660)
        for estimate in estimates_of(local).values():
            assert estimate.low < estimate.value < estimate.high

    def test_at_the_films_own_prevalence_equals_the_films_rates(self):
        labels, scores, _ = films()
        point = evaluation.operating_point(labels, scores, threshold=0.5)
        local = point.locally(prevalence=labels.mean())
        assert local.precision.value == pytest.approx(point.precision.value)
        assert local.npv.value == pytest.approx(point.npv.value)

    def test_is_certain_of_no_positive_call_without_false_alarms(self):
        point = evaluation.operating_point([0, 0, 1], [0.1, 0.2, 0.9], threshold=0.5)
        local = point.locally(prevalence=0.1)
        assert local.precision.value == local.precision.high == 1
        assert 0 < local.precision.low < 0.5

    @pytest.mark.parametrize("prevalence", [0, 1, -0.1, math.nan])
    def test_refuses_a_prevalence_that_is_none(self, prevalence):
        point = evaluation.operating_point([0, 1], [0.1, 0.9], threshold=0.5)
        with pytest.raises(ValueError, match="prevalence="):
            point.locally(prevalence=prevalence)


class TestAuc:
    @pytest.mark.parametrize("decimals", [None, 1, 0])
    @pytest.mark.parametrize("seed", range(3))
    def test_equals_the_share_of_won_pairs_and_scikit_learn(self, seed, decimals):
        labels, scores, _ = films(seed, decimals=decimals)
        found = evaluation.auc_score(labels, scores)
        assert found == pytest.approx(naive_auc(labels, scores))
        assert found == pytest.approx(sklearn_metrics.roc_auc_score(labels, scores))

    def test_hand_worked(self):
        # Won 2 and a half of 4 pairs: (.8, .4) and (.8, .8) half; (.4, ...) one half.
        assert evaluation.auc_score([0, 0, 1, 1], [0.4, 0.8, 0.8, 0.4]) == 0.5
        assert evaluation.auc_score([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]) == 0.75

    def test_of_constant_scores_is_a_half(self):
        assert evaluation.auc_score([0, 1, 1], [0.3, 0.3, 0.3]) == 0.5

    @pytest.mark.parametrize("label", [0, 1])
    def test_of_one_class_is_nan_with_a_warning(self, label):
        with pytest.warns(UndefinedMetricWarning, match="auc"):
            assert math.isnan(evaluation.auc_score([label] * 3, [0.1, 0.2, 0.3]))

    @pytest.mark.parametrize("decimals", [None, 1])
    def test_interval_follows_from_delongs_variance(self, decimals):
        labels, scores, _ = films(n=300, decimals=decimals, separation=0.8)
        found = evaluation.evaluate(labels, scores, threshold=0.5, n_bootstrap=0).auc
        variance, auc = naive_delong(labels, scores), naive_auc(labels, scores)
        limits = naive_wilson(auc, auc * (1 - auc) / variance)
        assert (found.low, found.high) == pytest.approx(limits, abs=5e-4)

    def test_interval_with_patients_follows_from_obuchowskis_variance(self):
        rng = np.random.default_rng(3)
        labels, logits, patients = clustered(rng, 150, 1.0)
        labels[::5] = 1 - labels[::5]  # patients of both classes
        scores = 1 / (1 + np.exp(-logits))
        found = evaluation.evaluate(
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
        few = evaluation.evaluate(labels[:20], scores[:20], threshold=0.5)
        many = evaluation.evaluate(labels, scores, threshold=0.5)
        in_patients = evaluation.evaluate(
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
            evaluation.evaluate(
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
        found = evaluation.average_precision_score(labels, scores)
        assert found == pytest.approx(naive_average_precision(labels, scores))
        assert found == pytest.approx(
            sklearn_metrics.average_precision_score(labels, scores)
        )

    def test_hand_worked(self):
        # Ill, well, ill from the highest score: precision 1 and 2/3.
        found = evaluation.average_precision_score([1, 0, 1], [0.9, 0.5, 0.2])
        assert found == pytest.approx((1 + 2 / 3) / 2)

    def test_of_constant_scores_is_the_prevalence(self):
        found = evaluation.average_precision_score([0, 1, 0, 0], [0.5] * 4)
        assert found == 0.25

    @pytest.mark.parametrize("label", [0, 1])
    def test_of_one_class_is_nan_with_a_warning(self, label):
        with pytest.warns(UndefinedMetricWarning, match="average_precision"):
            found = evaluation.average_precision_score([label] * 3, [0.1, 0.2, 0.3])
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


class TestReliability:
    def test_brier_equals_a_loop(self):
        labels, scores, _ = films()
        naive = sum((s - y) ** 2 for y, s in zip(labels, scores, strict=True))
        assert evaluation.brier_loss(labels, scores) == pytest.approx(naive / 60)

    def test_hand_worked_brier(self):
        assert evaluation.brier_loss([1, 0], [0.8, 0.4]) == pytest.approx(0.1)

    @pytest.mark.parametrize("n_bins", [1, 5, 15])
    @pytest.mark.parametrize("decimals", [None, 1, 0])
    def test_calibration_error_equals_a_loop(self, n_bins, decimals):
        labels, scores, _ = films(n=90, decimals=decimals)
        found = evaluation.expected_calibration_error(labels, scores, n_bins=n_bins)
        assert found == pytest.approx(naive_calibration_error(labels, scores, n_bins))

    def test_hand_worked_calibration_error(self):
        labels, scores = [0, 0, 0, 1, 1, 1, 1, 0], [0.25] * 4 + [0.95] * 4
        assert evaluation.expected_calibration_error(labels, scores) == pytest.approx(
            0.5 * 0 + 0.5 * 0.2
        )

    def test_certain_and_right_has_no_error(self):
        assert evaluation.expected_calibration_error([0, 1], [0, 1]) == 0
        assert evaluation.brier_loss([0, 1], [0, 1]) == 0

    def test_refuses_no_bins(self):
        with pytest.raises(ValueError, match="n_bins=0"):
            evaluation.expected_calibration_error([0, 1], [0.1, 0.2], n_bins=0)

    def test_curve_counts_every_film_once_and_sums_to_the_error(self):
        labels, scores, _ = films(n=90)
        curve = evaluation.reliability_curve(labels, scores, n_bins=15)
        assert curve.counts.sum() == 90
        filled = curve.counts > 0
        gap = np.abs(curve.observed - curve.predicted)[filled]
        assert (gap * curve.counts[filled]).sum() / 90 == pytest.approx(
            evaluation.expected_calibration_error(labels, scores)
        )
        assert (curve.low[filled] <= curve.observed[filled]).all()
        assert (curve.observed[filled] <= curve.high[filled]).all()
        inside = (curve.edges[:-1] <= curve.predicted) & (
            curve.predicted <= curve.edges[1:]
        )
        assert inside[filled].all()

    def test_an_empty_bin_is_nan(self):
        curve = evaluation.reliability_curve([0, 1], [0.05, 0.95], n_bins=3)
        assert curve.counts.tolist() == [1, 0, 1]
        for values in (curve.predicted, curve.observed, curve.low, curve.high):
            assert np.isnan(values).tolist() == [False, True, False]

    def test_curve_is_wider_for_films_that_come_in_patients(self):
        labels, scores = np.arange(40) // 20, np.full(40, 0.5)
        alone = evaluation.reliability_curve(labels, scores, n_bins=1)
        grouped = evaluation.reliability_curve(
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
        found = evaluation.evaluate(labels, scores, threshold=0.5, n_bootstrap=200).ece
        assert found.low == 0 < found.value <= found.high

    def test_interval_holds_a_small_error_that_chance_makes_look_large(self):
        # Too sure by half: an error of 0.049 in endlessly many films.
        rng, held, values = np.random.default_rng(8), 0, []
        for seed in range(60):
            labels, logits, patients = clustered(rng, 100, 2.0)
            found = evaluation.evaluate(
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
        found = evaluation.evaluate(
            labels, scores**4, threshold=0.5, n_bootstrap=200
        ).ece
        assert 0.1 < found.low < found.value < found.high


class TestCalibration:
    def test_platt_sits_where_the_smoothed_log_loss_is_level(self):
        labels, scores, _ = films(n=200)
        x = 3 * np.log(scores / (1 - scores)) - 2
        scaling = evaluation.fit_platt(labels, x)
        positive, negative = (labels == 1).sum(), (labels == 0).sum()
        targets = [
            (positive + 1) / (positive + 2) if y else 1 / (negative + 2) for y in labels
        ]
        errors = [
            1 / (1 + math.exp(-(scaling.slope * v + scaling.intercept))) - t
            for v, t in zip(x, targets, strict=True)
        ]
        slope = sum(e * v for e, v in zip(errors, x, strict=True)) / 200
        assert sum(errors) / 200 == pytest.approx(0, abs=1e-6)
        assert slope == pytest.approx(0, abs=1e-6)
        assert scaling.prevalence == pytest.approx(labels.mean())

    def test_platt_undoes_a_known_distortion(self):
        rng = np.random.default_rng(1)
        logits = rng.normal(0, 2, 20_000)
        labels = (rng.random(20_000) < 1 / (1 + np.exp(-logits))).astype(int)
        scaling = evaluation.fit_platt(labels, 4 * logits + 3)
        assert scaling.slope == pytest.approx(0.25, rel=0.05)
        assert scaling.intercept == pytest.approx(-0.75, abs=0.05)
        calibrated = scaling.apply(4 * logits + 3)
        assert evaluation.expected_calibration_error(labels, calibrated) < 0.02

    def test_temperature_has_the_least_loss_of_a_grid(self):
        labels, scores, _ = films(n=200)
        x = 5 * np.log(scores / (1 - scores))
        scaling = evaluation.fit_temperature(labels, x)
        positive, negative = (labels == 1).sum(), (labels == 0).sum()
        targets = np.where(labels, (positive + 1) / (positive + 2), 1 / (negative + 2))
        grid = np.linspace(0.01, 2, 2000)
        loss = [(np.logaddexp(0, g * x) - targets * g * x).mean() for g in grid]
        assert scaling.intercept == 0
        assert scaling.slope == pytest.approx(grid[np.argmin(loss)], abs=1e-3)

    @pytest.mark.parametrize("fit", [evaluation.fit_platt, evaluation.fit_temperature])
    @pytest.mark.parametrize(
        "logits",
        [
            [-9.0, -8, -7, 7, 8, 9],  # separated
            [9.0, 8, 7, -7, -8, -9],  # the wrong way round
            [1.0] * 6,
            [0.0] * 6,
            [-1e6, -1e5, -1e4, 1e4, 1e5, 1e6],
            [-1e-6, -1e-7, 0, 0, 1e-7, 1e-6],
        ],
    )
    def test_fits_stay_finite_and_keep_the_order(self, fit, logits):
        scaling = fit([0, 0, 0, 1, 1, 1], logits)
        assert scaling.slope > 0
        probabilities = scaling.apply(np.sort(logits))
        assert np.isfinite(probabilities).all()
        assert (np.diff(probabilities) >= 0).all()

    @pytest.mark.parametrize("fit", [evaluation.fit_platt, evaluation.fit_temperature])
    def test_fits_refuse_one_class(self, fit):
        with pytest.raises(ValueError, match="both classes"):
            fit([1, 1], [0.5, 1.0])

    def test_isotonic_has_the_blocks_of_scikit_learn(self):
        from sklearn.isotonic import IsotonicRegression

        labels, scores, _ = films(n=200)
        x = np.log(scores / (1 - scores))
        scaling = evaluation.fit_isotonic(labels, x)
        positive, negative = (labels == 1).sum(), (labels == 0).sum()
        targets = np.where(labels, (positive + 1) / (positive + 2), 1 / (negative + 2))
        theirs = IsotonicRegression().fit(x, targets).predict(x).round(9)
        centres = {v: x[theirs == v].mean() for v in np.unique(theirs)}
        found = {
            round(sigmoid(value), 9): knot
            for knot, value in zip(scaling.knots, scaling.values, strict=True)
        }
        kept = found.keys() & centres.keys()
        # Steep neighbours are joined; the others are those blocks.
        assert len(kept) > len(centres) / 2
        assert all(found[v] == pytest.approx(centres[v]) for v in kept)

    def test_hand_worked_isotonic(self):
        # Targets 1/4 and 3/4: the middle two films are one block of 1/2.
        scaling = evaluation.fit_isotonic([0, 1, 0, 1], [-3.0, -1.0, 1.0, 3.0])
        assert scaling.knots == pytest.approx((-3, 0, 3))
        assert scaling.values == pytest.approx((-math.log(3), 0, math.log(3)))
        assert scaling.apply(0) == 0.5
        assert scaling.apply(1.5) == pytest.approx(sigmoid(math.log(3) / 2))
        beyond = math.log(3) + scaling.slope
        assert scaling.apply(4.0) == pytest.approx(sigmoid(beyond))

    @pytest.mark.parametrize(
        "logits",
        [
            [-9.0, -8, -7, 7, 8, 9],
            [9.0, 8, 7, -7, -8, -9],
            [1.0] * 6,
            [0.0] * 6,
            [-1e6, -1e5, -1e4, 1e4, 1e5, 1e6],
            [-1e-6, -1e-7, 0, 0, 1e-7, 1e-6],
        ],
    )
    def test_isotonic_rises_and_is_never_0_or_1(self, logits):
        scaling = evaluation.fit_isotonic([0, 0, 0, 1, 1, 1], logits)
        grid = np.array([-1e308, *np.linspace(-20, 20, 401), 1e308])
        found = scaling.apply(grid)
        assert (found > 0).all() and (found < 1).all()
        assert (np.diff(found) >= 0).all()
        line = np.interp(grid[1:-1], scaling.knots, scaling.values)
        assert (np.diff(line) >= 0).all()
        assert math.isnan(scaling.apply(math.nan))
        assert 0 < scaling.apply(-math.inf) < scaling.apply(math.inf) < 1

    def test_isotonic_is_nowhere_much_steeper_than_platt(self):
        rng = np.random.default_rng(0)
        x = np.sort(rng.normal(0, 0.001, 40)) + np.repeat([-1, 1], 20)
        labels = np.repeat([0, 1], 20)
        x[19], x[20] = 0.0, 1e-9
        scaling = evaluation.fit_isotonic(labels, x)
        platt = evaluation.fit_platt(labels, x)
        steps = np.diff(scaling.values) / np.diff(scaling.knots)
        assert steps.max(initial=0) <= 10 * platt.slope * (1 + 1e-9)

    def test_the_order_of_films_and_so_the_auc_stays(self):
        labels, scores, _ = films(n=300)
        x = np.log(scores / (1 - scores))
        p = evaluation.fit_isotonic(labels, x).apply(x)
        assert evaluation.auc_score(labels, p) == evaluation.auc_score(labels, x)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"knots": ()},
            {"knots": (1.0, 1.0)},
            {"knots": (0.0, math.inf)},
            {"values": (0.0,)},
            {"values": (1.0, 0.0)},
            {"slope": 0.0},
            {"prevalence": 1.0},
        ],
    )
    def test_an_isotonic_scaling_that_can_not_serve_is_refused(self, wrong):
        good = {
            "knots": (0.0, 1.0),
            "values": (-1.0, 1.0),
            "slope": 1.0,
            "prevalence": 0.5,
        }
        with pytest.raises(ValueError, match="received"):
            evaluation.IsotonicScaling(**{**good, **wrong})

    def test_platt_stays_where_no_other_is_clearly_better(self):
        rng = np.random.default_rng(3)
        logits = rng.normal(0, 2, 400)
        labels = (rng.random(400) < sigmoid(0.5 * logits + 1)).astype(int)
        chosen = evaluation.choose_calibration(
            labels, logits, groups=np.arange(400) // 2
        )
        assert chosen.method == "platt"
        assert chosen.scaling == evaluation.fit_platt(labels, logits)
        assert set(chosen.log_loss) == {"platt", "temperature", "isotonic"}
        assert "Platt scaling" in chosen.rule

    def test_isotonic_is_chosen_where_the_line_is_bent(self):
        rng = np.random.default_rng(3)
        logits = rng.uniform(-6, 6, 3000)
        bent = np.where(np.abs(logits) < 4, 0.02, 3) * logits
        labels = (rng.random(3000) < sigmoid(bent)).astype(int)
        chosen = evaluation.choose_calibration(labels, logits)
        assert chosen.method == "isotonic"
        assert chosen.log_loss["isotonic"] < chosen.log_loss["platt"]
        assert chosen.rule.startswith("isotonic")

    def test_no_patient_is_fitted_and_judged(self, monkeypatch):
        from cxr.evaluation import calibration

        labels, scores, patients = films(n=200)
        x = np.log(scores / (1 - scores))
        owner = dict(zip(x, patients, strict=True))
        fitted = []

        class Spy:
            def __init__(self, labels, logits):
                fitted.append({owner[v] for v in logits})
                self.scaling = evaluation.fit_platt(labels, logits)

            def apply(self, logits):
                assert not {owner[v] for v in logits} & fitted[-1]
                return self.scaling.apply(logits)

        monkeypatch.setitem(calibration._FITS, "platt", Spy)
        evaluation.choose_calibration(labels, x, groups=patients)
        assert len(fitted) == 6  # five folds and all

    def test_too_few_patients_for_a_choice_leave_platt(self):
        chosen = evaluation.choose_calibration(
            [0, 0, 1, 1], [-1.0, 0, 1, 2], groups=["a", "a", "b", "b"]
        )
        assert chosen.method == "platt"
        assert math.isnan(chosen.log_loss["platt"])
        assert "too few" in chosen.rule

    def test_apply_is_safe_at_any_logit(self):
        scaling = PlattScaling(slope=2.0, intercept=-1.0, prevalence=0.5)
        logits = np.array([-1e308, -800, -20, 0.5, 20, 800, 1e308], dtype=np.float64)
        found = scaling.apply(logits)
        assert found[[0, 1, 3, 5, 6]].tolist() == [0, 0, 0.5, 1, 1]
        assert found[2] == pytest.approx(math.exp(-41), rel=1e-9)
        assert scaling.apply(np.float32([[0.5]])).dtype == np.float64
        assert scaling.apply([[0.5], [1.0]]).shape == (2, 1)
        assert math.isnan(scaling.apply(math.nan))

    @pytest.mark.parametrize(
        "wrong",
        [
            {"slope": 0.0},
            {"slope": -1.0},
            {"slope": math.nan},
            {"slope": math.inf},
            {"intercept": math.nan},
            {"prevalence": 0.0},
            {"prevalence": 1.0},
        ],
    )
    def test_a_scaling_that_can_not_serve_is_refused(self, wrong):
        good = {"slope": 1.0, "intercept": 0.0, "prevalence": 0.5}
        with pytest.raises(ValueError, match=next(iter(wrong))):
            PlattScaling(**{**good, **wrong})

    def test_a_scaling_survives_json(self):
        scaling = evaluation.fit_platt(*films()[:2])
        assert PlattScaling(**json.loads(json.dumps(asdict(scaling)))) == scaling

    def test_prevalence_shift_is_bayes_rule(self):
        # Of 1,000 with this film, 600 ill at a prevalence of 50 %: odds 1.5 for the
        # film; at 10 % they are 1.5 / 9.
        found = evaluation.at_prevalence(
            0.6, trained_prevalence=0.5, local_prevalence=0.1
        )
        assert found == pytest.approx((1.5 / 9) / (1 + 1.5 / 9))

    def test_prevalence_shift_goes_back_and_keeps_the_ends(self):
        p = np.array([0, 1e-300, 0.2, 0.7, 1 - 1e-12, 1])
        there = evaluation.at_prevalence(
            p, trained_prevalence=0.73, local_prevalence=0.05
        )
        back = evaluation.at_prevalence(
            there, trained_prevalence=0.05, local_prevalence=0.73
        )
        assert back == pytest.approx(p, rel=1e-9)
        assert (there[0], there[-1]) == (0, 1)
        assert (there[1:-1] < p[1:-1]).all()

    def test_likelihood_ratio_times_local_odds_is_the_shifted_probability(self):
        p = np.array([0.01, 0.3, 0.9])
        ratio = evaluation.likelihood_ratio(p, trained_prevalence=0.7)
        odds = ratio * 0.2 / 0.8
        assert odds / (1 + odds) == pytest.approx(
            evaluation.at_prevalence(p, trained_prevalence=0.7, local_prevalence=0.2)
        )
        assert evaluation.likelihood_ratio(0.7, trained_prevalence=0.7) == (
            pytest.approx(1)
        )
        assert evaluation.likelihood_ratio(1.0, trained_prevalence=0.7) == math.inf

    @pytest.mark.parametrize("prevalence", [0, 1, math.nan])
    def test_shift_refuses_what_is_no_prevalence_or_probability(self, prevalence):
        with pytest.raises(ValueError, match="prevalence="):
            evaluation.at_prevalence(
                0.5, trained_prevalence=prevalence, local_prevalence=0.5
            )
        with pytest.raises(ValueError, match="probability="):
            evaluation.likelihood_ratio([0.5, 1.1], trained_prevalence=0.5)
        with pytest.raises(ValueError, match="probability="):
            evaluation.likelihood_ratio(math.nan, trained_prevalence=0.5)


class TestOperatingCurve:
    @pytest.mark.parametrize("decimals", [None, 1, 0])
    def test_every_entry_has_the_counts_of_its_threshold(self, decimals):
        labels, scores, _ = films(decimals=decimals)
        curve = evaluation.operating_points(labels, scores)
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
        curve = evaluation.operating_points(*films()[:2])
        assert (curve.sensitivity[0], curve.specificity[0]) == (1, 0)
        assert (curve.sensitivity[-1], curve.specificity[-1]) == (0, 1)
        assert (np.diff(curve.sensitivity) <= 0).all()
        assert (np.diff(curve.specificity) >= 0).all()

    def test_the_area_under_it_is_the_auc(self):
        labels, scores, _ = films(decimals=1)
        curve = evaluation.operating_points(labels, scores)
        area = -np.trapezoid(curve.sensitivity, 1 - curve.specificity)
        assert area == pytest.approx(evaluation.auc_score(labels, scores))

    @pytest.mark.parametrize("threshold", [-1, 0, 0.3, 0.55, 1, math.inf])
    @pytest.mark.parametrize("with_patients", [False, True])
    def test_a_lookup_equals_the_operating_point(self, threshold, with_patients):
        labels, scores, patients = films()
        groups = patients if with_patients else None
        found = evaluation.operating_points(labels, scores, groups=groups).at(threshold)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UndefinedMetricWarning)
            direct = evaluation.operating_point(
                labels, scores, threshold=threshold, groups=groups
            )
        assert isinstance(found, OperatingPoint)
        assert repr(found) == repr(direct)  # nan equals nan here

    def test_one_class_is_nan_with_a_warning(self):
        with pytest.warns(UndefinedMetricWarning, match="specificity"):
            curve = evaluation.operating_points([1, 1], [0.2, 0.4])
        assert np.isnan(curve.specificity).all()
        assert curve.sensitivity.tolist() == [1, 0.5, 0]

    @pytest.mark.parametrize("scores", [[0.0, 0.0], [1.0, 1.0], [0.0, 1.0], [0.5, 0.5]])
    def test_scores_at_the_ends_still_have_both_extremes(self, scores):
        curve = evaluation.operating_points([0, 1], scores)
        called = [(np.array(scores) >= t).sum() for t in curve.thresholds]
        assert called[0] == 2
        assert called[-1] == 0


def brute_force(labels, scores):
    """All decisions that thresholds on a fine grid around the scores can give."""
    edges = {0.0, np.nextafter(1, 2)}
    for s in scores:
        edges |= {s, np.nextafter(s, 2)}
    found = []
    for threshold in sorted(edges):
        c = counts_at(labels, scores, threshold)
        found.append((threshold, share(c.tp, c.tp + c.fn), share(c.tn, c.tn + c.fp)))
    return found


class TestThresholdRules:
    @pytest.mark.parametrize("decimals", [None, 1, 0])
    @pytest.mark.parametrize("target", [0.05, 0.5, 0.9, 0.95, 0.98, 1.0])
    def test_sensitivity_rule_finds_the_best_specificity_that_is_allowed(
        self, target, decimals
    ):
        for seed in range(4):
            labels, scores, _ = films(seed, n=50, decimals=decimals)
            threshold = evaluation.threshold_for_sensitivity(
                labels, scores, target=target
            )
            c = counts_at(labels, scores, threshold)
            allowed = [x for x in brute_force(labels, scores) if x[1] >= target]
            assert c.tp / (c.tp + c.fn) >= target
            assert c.tn / (c.tn + c.fp) == max(x[2] for x in allowed)
            assert threshold not in set(scores) - {0.0}

    @pytest.mark.parametrize("decimals", [None, 1, 0])
    @pytest.mark.parametrize("target", [0.05, 0.5, 0.9, 0.95, 0.98, 1.0])
    def test_specificity_rule_finds_the_best_sensitivity_that_is_allowed(
        self, target, decimals
    ):
        for seed in range(4):
            labels, scores, _ = films(seed, n=50, decimals=decimals)
            threshold = evaluation.threshold_for_specificity(
                labels, scores, target=target
            )
            c = counts_at(labels, scores, threshold)
            allowed = [x for x in brute_force(labels, scores) if x[2] >= target]
            assert c.tn / (c.tn + c.fp) >= target
            assert c.tp / (c.tp + c.fn) == max(x[1] for x in allowed)

    @pytest.mark.parametrize(
        ("target", "expected"),
        [
            (1.0, 0.25),  # between .2 and .3: all three found
            (0.67, 0.25),
            (0.66, 0.45),  # between .3 and .6
            (1 / 3, 0.75),  # between .6 and .9
        ],
    )
    def test_hand_worked_sensitivity_thresholds(self, target, expected):
        labels, scores = [0, 0, 1, 1, 1], [0.1, 0.2, 0.3, 0.6, 0.9]
        found = evaluation.threshold_for_sensitivity(labels, scores, target=target)
        assert found == pytest.approx(expected)

    @pytest.mark.parametrize("grouped", [False, True])
    def test_assured_sensitivity_is_the_highest_threshold_that_assures_it(
        self, grouped
    ):
        for seed in range(4):
            labels, scores, patients = films(seed, n=400)
            groups = patients if grouped else None
            found = evaluation.threshold_for_assured_sensitivity(
                labels, scores, target=0.8, assured=0.75, groups=groups
            )
            allowed = []
            for threshold in np.unique(scores)[1:]:
                point = evaluation.operating_point(
                    labels, scores, threshold=threshold, groups=groups
                )
                if point.sensitivity.value >= 0.8 and point.sensitivity.low >= 0.75:
                    allowed.append(threshold)
            # The rule's threshold lies just below the highest score that is allowed.
            below = scores[scores < max(allowed)]
            assert below.max(initial=0.0) < found <= max(allowed)

    def test_what_few_films_cannot_assure_misses_none(self):
        labels, scores = [0, 0, 1, 1, 1], [0.1, 0.2, 0.3, 0.6, 0.9]
        found = evaluation.threshold_for_assured_sensitivity(
            labels, scores, target=0.9, assured=0.9
        )
        assert found == pytest.approx(0.25)

    def test_rounded_targets_mean_what_they_say(self):
        labels, scores = [0] + [1] * 50, [0.001] + [i / 100 for i in range(1, 51)]
        for misses in range(50):
            threshold = evaluation.threshold_for_sensitivity(
                labels, scores, target=1 - misses / 50
            )
            assert counts_at(labels, scores, threshold).fn == misses

    def test_tied_films_are_found_or_missed_together(self):
        labels, scores = [0, 1, 1, 1, 1], [0.2, 0.2, 0.2, 0.8, 0.8]
        assert evaluation.threshold_for_sensitivity(
            labels, scores, target=0.75
        ) == pytest.approx(0.1)
        assert evaluation.threshold_for_sensitivity(
            labels, scores, target=0.5
        ) == pytest.approx(0.5)

    def test_constant_scores_call_all_or_none(self):
        labels, scores = [0, 1], [0.5, 0.5]
        by_sensitivity = evaluation.threshold_for_sensitivity(
            labels, scores, target=0.9
        )
        by_specificity = evaluation.threshold_for_specificity(
            labels, scores, target=0.9
        )
        assert (by_sensitivity, by_specificity) == (0.25, 0.75)

    @pytest.mark.parametrize("low", [0.3, np.nextafter(0.3, 1)])
    def test_between_neighbouring_numbers_the_decision_still_holds(self, low):
        high = np.nextafter(low, 1)
        found = evaluation.threshold_for_sensitivity([0, 1], [low, high], target=1)
        assert low < found <= high

    def test_certain_films_leave_a_threshold_above_one(self):
        found = evaluation.threshold_for_specificity([0, 1], [1.0, 1.0], target=1)
        assert found == np.nextafter(1, 2)
        found = evaluation.threshold_for_sensitivity([0, 1], [0.0, 0.0], target=1)
        assert found == 0

    @pytest.mark.parametrize("per_1000", [0, 1, 5, 20, 100])
    def test_misses_rule_misses_no_more_than_that(self, per_1000):
        labels, scores, _ = films(n=90)
        threshold = evaluation.threshold_for_misses(
            labels, scores, per_1000=per_1000, prevalence=0.2
        )

        def misses(t):
            c = counts_at(labels, scores, t)
            return 200 * c.fn / (c.tp + c.fn)

        assert misses(threshold) <= per_1000 + 1e-9
        allowed = [
            t for t, _, _ in brute_force(labels, scores) if misses(t) <= per_1000
        ]
        c, best = (counts_at(labels, scores, t) for t in (threshold, max(allowed)))
        assert c == best

    @pytest.mark.parametrize("cost_miss", [0.1, 1, 10, 1000])
    @pytest.mark.parametrize("prevalence", [0.05, 0.6])
    def test_cost_rule_has_the_least_cost(self, cost_miss, prevalence):
        labels, scores, _ = films(decimals=1)
        threshold = evaluation.threshold_for_costs(
            labels,
            scores,
            cost_miss=cost_miss,
            cost_false_alarm=1,
            prevalence=prevalence,
        )

        def cost(sensitivity, specificity):
            missed = cost_miss * prevalence * (1 - sensitivity)
            return missed + (1 - prevalence) * (1 - specificity)

        found = evaluation.rates(counts_at(labels, scores, threshold + 1e-9))
        best = min(cost(a, b) for _, a, b in brute_force(labels, scores))
        assert cost(found.sensitivity, found.specificity) == pytest.approx(best)

    def test_youden_is_the_cost_rule_of_equal_stakes(self):
        labels, scores, _ = films()
        threshold = evaluation.threshold_youden(labels, scores)
        c = counts_at(labels, scores, threshold)
        best = max(a + b for _, a, b in brute_force(labels, scores))
        assert c.tp / (c.tp + c.fn) + c.tn / (c.tn + c.fp) == pytest.approx(best)
        assert threshold == evaluation.threshold_for_costs(
            labels, scores, cost_miss=1, cost_false_alarm=1, prevalence=0.5
        )

    def test_of_equals_the_one_that_misses_least(self):
        # Both .25 and .75 have sensitivity + specificity = 1.5.
        labels, scores = [0, 1, 0, 1], [0.1, 0.4, 0.6, 0.9]
        assert evaluation.threshold_youden(labels, scores) == pytest.approx(0.25)

    @pytest.mark.parametrize(
        "rule",
        [
            lambda y, s: evaluation.threshold_for_sensitivity(y, s, target=0.9),
            lambda y, s: evaluation.threshold_for_specificity(y, s, target=0.9),
            lambda y, s: evaluation.threshold_for_misses(
                y, s, per_1000=1, prevalence=0.5
            ),
            lambda y, s: evaluation.threshold_for_costs(
                y, s, cost_miss=1, cost_false_alarm=1, prevalence=0.5
            ),
            evaluation.threshold_youden,
            lambda y, s: evaluation.decision_curve(y, s, thresholds=[0.5]),
        ],
    )
    def test_one_class_is_refused(self, rule):
        with pytest.raises(ValueError, match="both classes"):
            rule([1, 1], [0.2, 0.4])

    @pytest.mark.parametrize("target", [0, -0.1, 1.01, math.nan])
    def test_targets_out_of_range_are_refused(self, target):
        for rule in (
            evaluation.threshold_for_sensitivity,
            evaluation.threshold_for_specificity,
        ):
            with pytest.raises(ValueError, match="target="):
                rule([0, 1], [0.1, 0.9], target=target)

    def test_more_misses_than_are_ill_are_refused(self):
        with pytest.raises(ValueError, match="per_1000=50"):
            evaluation.threshold_for_misses(
                [0, 1], [0.1, 0.9], per_1000=50, prevalence=0.05
            )

    @pytest.mark.parametrize("cost", [0, -1, math.nan, math.inf])
    def test_costs_that_are_none_are_refused(self, cost):
        with pytest.raises(ValueError, match="cost_miss="):
            evaluation.threshold_for_costs(
                [0, 1], [0.1, 0.9], cost_miss=cost, cost_false_alarm=1, prevalence=0.5
            )


class TestDecisionCurve:
    def test_equals_a_loop_over_films(self):
        labels, scores, _ = films(decimals=1)
        thresholds = [0, 0.1, 0.25, 0.5, 0.9]
        curve = evaluation.decision_curve(labels, scores, thresholds=thresholds)
        for i, t in enumerate(thresholds):
            c = counts_at(labels, scores, t)
            odds = t / (1 - t)
            assert curve.model[i] == pytest.approx((c.tp - c.fp * odds) / labels.size)
            everyone = counts_at(labels, scores, -1)
            assert curve.treat_all[i] == pytest.approx(
                (everyone.tp - everyone.fp * odds) / labels.size
            )
        assert curve.treat_none.tolist() == [0] * 5

    def test_hand_worked_at_another_prevalence(self):
        labels = [0] * 10 + [1] * 10
        scores = [0.1] * 8 + [0.9] * 2 + [0.1] + [0.9] * 9
        curve = evaluation.decision_curve(
            labels, scores, thresholds=[0.2], prevalence=0.1
        )
        # 0.1 * 0.9 - 0.9 * 0.2 * 0.25 and 0.1 - 0.9 * 0.25
        assert curve.model[0] == pytest.approx(0.045)
        assert curve.treat_all[0] == pytest.approx(-0.125)

    @pytest.mark.parametrize("thresholds", [[1.0], [-0.1], [math.nan], []])
    def test_refuses_thresholds_without_odds(self, thresholds):
        with pytest.raises(ValueError, match="thresholds"):
            evaluation.decision_curve([0, 1], [0.1, 0.9], thresholds=thresholds)


# Albumin, total protein, K-G score and popind of 43 patients with ovarian cancer: the
# example of DeLong et al., Biometrics 44 (1988) 837-845, as in SAS/STAT User's Guide,
# The LOGISTIC Procedure, "Comparing Receiver Operating Characteristic Curves".
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
        found = evaluation.delong_test(labels, tests[test], tests["kg"])
        limits = asdict(found.difference).values()
        assert list(limits) == pytest.approx([difference, low, high], abs=5e-5)
        assert found.p_value == pytest.approx(p_value, abs=5e-5)

    @pytest.mark.parametrize("decimals", [None, 1])
    def test_equals_a_naive_test_on_the_same_films(self, decimals):
        labels, a, _ = films(0, decimals=decimals)
        b = np.clip(a + np.random.default_rng(9).normal(0, 0.3, a.size), 0, 1)
        found = evaluation.delong_test(labels, a, b)
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
        found = evaluation.delong_test(labels, a, b, groups=patients)
        difference = naive_auc(labels, a) - naive_auc(labels, b)
        parts = np.array(naive_components(labels, a)) - naive_components(labels, b)
        variance = naive_obuchowski(labels, parts, patients, difference)
        half = found.difference.high - found.difference.value
        assert half == pytest.approx(Z * math.sqrt(variance))
        assert "patient" in found.method

    def test_swapping_the_models_turns_the_sign_only(self):
        labels, a, patients = films(2)
        b = films(3)[1]
        one = evaluation.delong_test(labels, a, b, groups=patients)
        two = evaluation.delong_test(labels, b, a, groups=patients)
        assert one.difference.value == pytest.approx(-two.difference.value)
        assert one.difference.low == pytest.approx(-two.difference.high)
        assert one.p_value == pytest.approx(two.p_value)
        assert one.auc_a == two.auc_b

    @pytest.mark.parametrize("transform", [lambda s: s, np.sqrt, lambda s: 9 * s - 4])
    def test_equal_order_differs_by_nothing(self, transform):
        labels, a, patients = films(decimals=2)
        found = evaluation.delong_test(labels, a, transform(a), groups=patients)
        assert asdict(found.difference) == {"value": 0, "low": 0, "high": 0}
        assert found.p_value == 1

    def test_holds_its_level_for_models_that_do_not_differ(self):
        rng = np.random.default_rng(4)
        p_values = []
        for _ in range(300):
            labels = np.arange(80) % 2
            signal = rng.normal(labels, 1)
            a, b = (signal + rng.normal(0, 1, 80) for _ in range(2))
            p_values.append(evaluation.delong_test(labels, a, b).p_value)
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
            found = evaluation.delong_test(labels, a, b)
        assert math.isnan(found.p_value)
        assert math.isnan(found.difference.low)


class TestMcnemar:
    def test_equals_the_binomial_sum(self):
        rng = np.random.default_rng(2)
        labels, a, b = rng.integers(0, 2, size=(3, 40))
        found = evaluation.mcnemar_test(labels, a, b)
        right_a, right_b = a == labels, b == labels
        only_a = sum(right_a & ~right_b)
        only_b = sum(right_b & ~right_a)
        n, k = only_a + only_b, min(only_a, only_b)
        tail = sum(math.comb(n, i) for i in range(k + 1)) / 2**n
        assert (found.only_a_right, found.only_b_right) == (only_a, only_b)
        assert found.p_value == pytest.approx(min(1, 2 * tail))

    def test_hand_worked(self):
        # Six films that only a gets right: 2 * 0.5^6.
        found = evaluation.mcnemar_test([1] * 8, [1] * 6 + [0, 1], [0] * 6 + [0, 1])
        assert found.p_value == pytest.approx(2 / 64)

    def test_equal_decisions_have_p_of_one(self):
        found = evaluation.mcnemar_test([0, 1], [1, 1], [1, 1])
        assert found.p_value == 1
        assert found.difference.low < found.difference.value == 0

    @pytest.mark.parametrize("seed", range(4))
    def test_with_patients_equals_all_signs_of_all_patients(self, seed):
        rng = np.random.default_rng(seed)
        labels, a, b = rng.integers(0, 2, size=(3, 30))
        patients = rng.integers(0, 8, 30)
        found = evaluation.mcnemar_test(labels, a, b, groups=patients)
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
        found = evaluation.mcnemar_test([1] * 9, [1] * 9, [0] * 9, groups=["a"] * 9)
        assert found.p_value == 1
        assert found.difference.high - found.difference.low > 0.5

    def test_patients_of_one_film_change_nothing(self):
        rng = np.random.default_rng(5)
        labels, a, b = rng.integers(0, 2, size=(3, 50))
        alone = evaluation.mcnemar_test(labels, a, b)
        grouped = evaluation.mcnemar_test(labels, a, b, groups=np.arange(50))
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
            found = evaluation.mcnemar_test(np.ones(240), a, b, groups=patients)
            p_values.append(found.p_value)
        assert 0.02 < np.mean(np.array(p_values) < 0.05) < 0.08

    def test_hand_worked_interval(self):
        # 10 films: 4 only a, 1 only b; (4.5 - 1.5) / 12 and its standard error.
        labels = [1] * 10
        a, b = [1] * 9 + [0], [0] * 4 + [1] * 5 + [1]
        found = evaluation.mcnemar_test(labels, a, b).difference
        centre = 3 / 12
        half = Z * math.sqrt((6 / 12 - centre**2) / 12)
        assert found.value == pytest.approx(0.3)
        assert (found.low, found.high) == pytest.approx((centre - half, centre + half))

    def test_refuses_scores_and_other_lengths(self):
        with pytest.raises(ValueError, match="decision_a"):
            evaluation.mcnemar_test([0, 1], [0.2, 0.8], [0, 1])
        with pytest.raises(ValueError, match="one length"):
            evaluation.mcnemar_test([0, 1], [0, 1], [0, 1, 1])


class TestEvaluate:
    @pytest.fixture
    def evaluated(self):
        labels, scores, patients = films(n=120)
        return evaluation.evaluate(
            labels, scores, threshold=0.4, groups=patients, n_bootstrap=300
        )

    def test_has_the_values_of_each_metric(self, evaluated):
        labels, scores, patients = films(n=120)
        assert evaluated.confusion == counts_at(labels, scores, 0.4)
        assert (evaluated.n, evaluated.n_positive) == (120, labels.sum())
        assert evaluated.n_patients == len(set(patients))
        assert evaluated.threshold == 0.4
        found = [
            getattr(evaluated, name).value
            for name in ("auc", "average_precision", "brier", "ece")
        ]
        assert found == pytest.approx(
            [
                naive_auc(labels, scores),
                naive_average_precision(labels, scores),
                evaluation.brier_loss(labels, scores),
                naive_calibration_error(labels, scores),
            ]
        )

    def test_every_estimate_lies_in_its_interval_and_names_its_method(self, evaluated):
        estimates = estimates_of(evaluated)
        assert set(estimates) == set(evaluated.methods)
        for estimate in estimates.values():
            assert estimate.low <= estimate.value <= estimate.high
            assert estimate.low < estimate.high
        assert all("patient" in method for method in evaluated.methods.values())

    def test_is_the_operating_point_of_its_threshold(self, evaluated):
        labels, scores, patients = films(n=120)
        point = evaluation.operating_point(
            labels, scores, threshold=0.4, groups=patients
        )
        assert isinstance(evaluated, OperatingPoint)
        for name, estimate in estimates_of(point).items():
            assert getattr(evaluated, name) == estimate

    def test_the_seed_decides_and_the_order_of_films_does_not_matter_much(self):
        labels, scores, patients = films()

        def run(order, seed):
            return evaluation.evaluate(
                labels[order],
                scores[order],
                threshold=0.5,
                groups=patients[order],
                n_bootstrap=200,
                seed=seed,
            )

        order = np.arange(labels.size)
        assert run(order, 1) == run(order, 1)
        assert run(order, 1) != run(order, 2)
        a, b = run(order, 1), run(order[::-1], 1)
        for name, estimate in estimates_of(a).items():
            assert asdict(getattr(b, name)) == pytest.approx(asdict(estimate))

    def test_copies_of_films_in_any_order_change_no_bootstrap_interval(self):
        labels, scores, _ = films()
        order = np.random.default_rng(1).permutation(4 * labels.size)
        once = evaluation.evaluate(labels, scores, threshold=0.5, n_bootstrap=100)
        copied = evaluation.evaluate(
            np.repeat(labels, 4)[order],
            np.repeat(scores, 4)[order],
            threshold=0.5,
            groups=np.repeat(np.arange(labels.size), 4)[order],
            n_bootstrap=100,
        )
        for name in ("average_precision", "brier", "ece"):
            a, b = (asdict(getattr(e, name)) for e in (once, copied))
            assert a == pytest.approx(b)

    def test_without_draws_only_the_intervals_that_need_them_are_nan(self):
        found = evaluation.evaluate(*films()[:2], threshold=0.5, n_bootstrap=0)
        nan = {k for k, v in estimates_of(found).items() if math.isnan(v.low)}
        assert nan == {"average_precision", "brier", "ece"}
        assert not math.isnan(found.average_precision.value)
        assert found.n_patients is None

    @pytest.mark.parametrize("label", [0, 1])
    def test_one_class_warns_once_and_keeps_what_is_defined(self, label):
        with pytest.warns(UndefinedMetricWarning) as caught:
            found = evaluation.evaluate(
                [label] * 5,
                [0.1, 0.4, 0.6, 0.8, 0.9],
                threshold=0.5,
                n_bootstrap=50,
            )
        assert len(caught) == 1
        assert math.isnan(found.auc.value)
        assert math.isnan(found.average_precision.value)
        defined = found.sensitivity if label else found.specificity
        assert defined.value == (0.6 if label else 0.4)
        assert 0 < found.brier.low < found.brier.value < found.brier.high

    @pytest.mark.parametrize("score", [0.0, 0.5, 1.0])
    def test_one_film_is_evaluated(self, score):
        with pytest.warns(UndefinedMetricWarning):
            found = evaluation.evaluate([1], [score], threshold=0.5, n_bootstrap=20)
        assert found.accuracy.value == (score >= 0.5)
        assert found.accuracy.high - found.accuracy.low > 0.7
        assert math.isnan(found.ece.low)

    def test_one_patient_has_no_bootstrap_interval(self):
        labels, scores, _ = films(n=12)
        found = evaluation.evaluate(
            labels, scores, threshold=0.5, groups=["a"] * 12, n_bootstrap=20
        )
        assert math.isnan(found.brier.low)
        assert found.auc.high - found.auc.low > 0.5

    @pytest.mark.parametrize("score", [0.0, 0.5, 1.0])
    def test_constant_scores_are_evaluated(self, score):
        labels = np.arange(40) % 2
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UndefinedMetricWarning)
            found = evaluation.evaluate(
                labels, np.full(40, score), threshold=0.5, n_bootstrap=50
            )
        assert found.auc.value == 0.5
        assert found.average_precision.value == 0.5
        assert found.auc.low < 0.5 < found.auc.high

    def test_ranks_like_a_bootstrap_with_scikit_learn(self):
        labels, scores, patients = films(n=150)
        found = evaluation.evaluate(
            labels, scores, threshold=0.5, groups=patients, n_bootstrap=1000
        )
        rng = np.random.default_rng(7)
        by_patient = [np.flatnonzero(patients == p) for p in np.unique(patients)]
        draws = []
        for _ in range(300):
            chosen = rng.integers(len(by_patient), size=len(by_patient))
            index = np.concatenate([by_patient[i] for i in chosen])
            y, s = labels[index], scores[index]
            draws.append(
                [
                    sklearn_metrics.roc_auc_score(y, s),
                    sklearn_metrics.average_precision_score(y, s),
                    sklearn_metrics.brier_score_loss(y, s),
                ]
            )
        limits = np.quantile(draws, [0.025, 0.975], axis=0).T
        for name, (low, high) in zip(
            ("auc", "average_precision", "brier"), limits, strict=True
        ):
            estimate = getattr(found, name)
            width = estimate.high - estimate.low
            assert width == pytest.approx(high - low, rel=0.35)
            assert estimate.low == pytest.approx(low, abs=0.3 * width)

    def test_resamples_patients_as_scipy_does(self):
        from scipy.stats import bootstrap

        from cxr.evaluation.ranking import auc_variance, components
        from cxr.evaluation.summary import _draws

        labels, scores, patients = films(n=150)
        patients = np.unique(patients, return_inverse=True)[1]
        theirs = [np.flatnonzero(patients == p) for p in range(patients.max() + 1)]

        def error(metric):
            def statistic(drawn):
                rows = np.concatenate([theirs[p] for p in drawn])
                return metric(labels[rows], scores[rows])

            return bootstrap(
                (np.arange(len(theirs)),),
                statistic,
                vectorized=False,
                n_resamples=600,
                method="percentile",
                rng=3,
            ).standard_error

        draws = _draws(labels, scores, patients, 2000, 0)
        calibration_error = np.abs(draws.gaps).sum(axis=1)
        for ours, metric in (
            (draws.average_precision.std(), sklearn_metrics.average_precision_score),
            (draws.brier.std(), sklearn_metrics.brier_score_loss),
            (calibration_error.std(), evaluation.expected_calibration_error),
            (
                math.sqrt(auc_variance(components(labels, scores, patients))),
                sklearn_metrics.roc_auc_score,
            ),
        ):
            assert ours == pytest.approx(error(metric), rel=0.15)

    def test_goes_to_json_with_three_numbers_an_estimate(self, evaluated):
        document = json.loads(json.dumps(asdict(evaluated)))
        assert set(document["auc"]) == {"value", "low", "high"}
        assert set(document["confusion"]) == {"tn", "fp", "fn", "tp"}
        assert document["n"] == 120

    def test_is_frozen(self, evaluated):
        assert isinstance(evaluated, Evaluation)
        with pytest.raises(AttributeError):
            evaluated.n = 1


class TestCoverage:
    @pytest.mark.parametrize("separation", [2.0, 3.5])
    def test_intervals_hold_the_truth_when_films_come_in_patients(self, separation):
        rng = np.random.default_rng(11)
        labels, logits, _ = clustered(rng, 200_000, separation)
        truth = asdict(
            evaluation.rates(evaluation.confusion_at(labels, logits, threshold=0))
        )
        truth["auc"] = evaluation.auc_score(labels, logits)
        truth["average_precision"] = evaluation.average_precision_score(labels, logits)
        truth["brier"] = evaluation.brier_loss(labels, sigmoid(logits))
        held = dict.fromkeys(truth, 0)
        for seed in range(200):
            labels, logits, patients = clustered(rng, 80, separation)
            found = evaluation.evaluate(
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
