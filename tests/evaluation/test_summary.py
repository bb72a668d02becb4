"""All metrics of a set of films, together."""

import json
import math
import subprocess
import sys
import warnings
from dataclasses import asdict

import numpy as np
import pytest
from naive_metrics import (
    counts_at,
    estimates_of,
    films,
    naive_auc,
    naive_average_precision,
    naive_calibration_error,
    naive_rates,
)
from sklearn import metrics as sklearn_metrics

from cxr.config import ROOT
from cxr.evaluation import operating, ranking, reliability, summary
from cxr.evaluation.estimates import UndefinedMetricWarning
from cxr.evaluation.operating import OperatingPoint
from cxr.evaluation.summary import Evaluation
from cxr.evaluation.thresholds import (
    operating_points,
)


class TestImport:
    def test_loads_neither_scipy_nor_sklearn_nor_pandas(self):
        code = (
            "import sys, pathlib, importlib\n"
            "for path in sorted(pathlib.Path('cxr/evaluation').glob('*.py')):\n"
            "    importlib.import_module(f'cxr.evaluation.{path.stem}')\n"
            "print({'scipy', 'sklearn', 'pandas', 'keras'} & set(sys.modules))"
        )
        command = [sys.executable, "-c", code]
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, cwd=ROOT
        )
        assert done.stdout.strip() == "set()"


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


@pytest.mark.filterwarnings("ignore::cxr.evaluation.estimates.UndefinedMetricWarning")
@pytest.mark.parametrize("case", list(DEGENERATE))
class TestDegenerateFilms:
    """Every metric against its loop where classes, films or scores are few."""

    @pytest.mark.parametrize("threshold", [-1.0, 0.0, 0.4, 0.5, 1.0, 2.0])
    def test_rates(self, case, threshold):
        labels, scores = DEGENERATE[case]
        c = counts_at(labels, scores, threshold)
        found = operating.rates(
            operating.confusion_at(labels, scores, threshold=threshold)
        )
        assert asdict(found) == pytest.approx(naive_rates(c), nan_ok=True)
        point = operating.operating_point(labels, scores, threshold=threshold)
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
        assert ranking.auc_score(labels, scores) == pytest.approx(auc, nan_ok=True)
        assert ranking.average_precision_score(labels, scores) == pytest.approx(
            precision, nan_ok=True
        )

    def test_calibration(self, case):
        labels, scores = DEGENERATE[case]
        squares = [(s - y) ** 2 for y, s in zip(labels, scores, strict=True)]
        assert reliability.brier_loss(labels, scores) == pytest.approx(
            sum(squares) / len(labels)
        )
        assert reliability.expected_calibration_error(labels, scores) == pytest.approx(
            naive_calibration_error(labels, scores)
        )
        curve = reliability.reliability_curve(labels, scores)
        assert curve.counts.sum() == len(labels)

    def test_all_at_once(self, case):
        labels, scores = DEGENERATE[case]
        found = summary.evaluate(labels, scores, threshold=0.4, n_bootstrap=30)
        values = naive_rates(counts_at(labels, scores, 0.4)) | {
            "brier": reliability.brier_loss(labels, scores),
            "ece": naive_calibration_error(labels, scores),
            "auc": ranking.auc_score(labels, scores),
            "average_precision": ranking.average_precision_score(labels, scores),
        }
        for name, value in values.items():
            estimate = getattr(found, name)
            assert estimate.value == pytest.approx(value, nan_ok=True), name
            if not math.isnan(estimate.low):
                assert estimate.low <= estimate.value <= estimate.high, name

    def test_curves(self, case):
        labels, scores = DEGENERATE[case]
        curve = operating_points(labels, scores)
        for i, threshold in enumerate(curve.thresholds):
            naive = naive_rates(counts_at(labels, scores, threshold))
            for name in ("sensitivity", "specificity", "precision", "npv", "f1"):
                assert getattr(curve, name)[i] == pytest.approx(
                    naive[name], nan_ok=True
                )


class TestEvaluate:
    @pytest.fixture
    def evaluated(self):
        labels, scores, patients = films(n=120)
        return summary.evaluate(
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
                reliability.brier_loss(labels, scores),
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
        point = operating.operating_point(
            labels, scores, threshold=0.4, groups=patients
        )
        assert isinstance(evaluated, OperatingPoint)
        for name, estimate in estimates_of(point).items():
            assert getattr(evaluated, name) == estimate

    def test_the_seed_decides_and_the_order_of_films_does_not_matter_much(self):
        labels, scores, patients = films()

        def run(order, seed):
            return summary.evaluate(
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
        once = summary.evaluate(labels, scores, threshold=0.5, n_bootstrap=100)
        copied = summary.evaluate(
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
        found = summary.evaluate(*films()[:2], threshold=0.5, n_bootstrap=0)
        nan = {k for k, v in estimates_of(found).items() if math.isnan(v.low)}
        assert nan == {"average_precision", "brier", "ece"}
        assert not math.isnan(found.average_precision.value)
        assert found.n_patients is None

    @pytest.mark.parametrize("label", [0, 1])
    def test_one_class_warns_once_and_keeps_what_is_defined(self, label):
        with pytest.warns(UndefinedMetricWarning) as caught:
            found = summary.evaluate(
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
            found = summary.evaluate([1], [score], threshold=0.5, n_bootstrap=20)
        assert found.accuracy.value == (score >= 0.5)
        assert found.accuracy.high - found.accuracy.low > 0.7
        assert math.isnan(found.ece.low)

    def test_one_patient_has_no_bootstrap_interval(self):
        labels, scores, _ = films(n=12)
        found = summary.evaluate(
            labels, scores, threshold=0.5, groups=["a"] * 12, n_bootstrap=20
        )
        assert math.isnan(found.brier.low)
        assert found.auc.high - found.auc.low > 0.5

    @pytest.mark.parametrize("score", [0.0, 0.5, 1.0])
    def test_constant_scores_are_evaluated(self, score):
        labels = np.arange(40) % 2
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UndefinedMetricWarning)
            found = summary.evaluate(
                labels, np.full(40, score), threshold=0.5, n_bootstrap=50
            )
        assert found.auc.value == 0.5
        assert found.average_precision.value == 0.5
        assert found.auc.low < 0.5 < found.auc.high

    def test_ranks_like_a_bootstrap_with_scikit_learn(self):
        labels, scores, patients = films(n=150)
        found = summary.evaluate(
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

    @pytest.mark.slow
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
            (calibration_error.std(), reliability.expected_calibration_error),
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
