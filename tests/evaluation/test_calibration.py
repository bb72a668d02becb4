"""Scores to probabilities."""

import json
import math
from dataclasses import asdict

import numpy as np
import pytest
from naive_metrics import films, sigmoid

from cxr.evaluation import calibration as evaluation_calibration
from cxr.evaluation import ranking, reliability
from cxr.evaluation.calibration import PlattScaling


class TestCalibration:
    def test_platt_sits_where_the_smoothed_log_loss_is_level(self):
        labels, scores, _ = films(n=200)
        x = 3 * np.log(scores / (1 - scores)) - 2
        scaling = evaluation_calibration.fit_platt(labels, x)
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
        scaling = evaluation_calibration.fit_platt(labels, 4 * logits + 3)
        assert scaling.slope == pytest.approx(0.25, rel=0.05)
        assert scaling.intercept == pytest.approx(-0.75, abs=0.05)
        calibrated = scaling.apply(4 * logits + 3)
        assert reliability.expected_calibration_error(labels, calibrated) < 0.02

    def test_temperature_has_the_least_loss_of_a_grid(self):
        labels, scores, _ = films(n=200)
        x = 5 * np.log(scores / (1 - scores))
        scaling = evaluation_calibration.fit_temperature(labels, x)
        positive, negative = (labels == 1).sum(), (labels == 0).sum()
        targets = np.where(labels, (positive + 1) / (positive + 2), 1 / (negative + 2))
        grid = np.linspace(0.01, 2, 2000)
        loss = [(np.logaddexp(0, g * x) - targets * g * x).mean() for g in grid]
        assert scaling.intercept == 0
        assert scaling.slope == pytest.approx(grid[np.argmin(loss)], abs=1e-3)

    @pytest.mark.parametrize(
        "fit",
        [evaluation_calibration.fit_platt, evaluation_calibration.fit_temperature],
    )
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

    @pytest.mark.parametrize(
        "fit",
        [evaluation_calibration.fit_platt, evaluation_calibration.fit_temperature],
    )
    def test_fits_refuse_one_class(self, fit):
        with pytest.raises(ValueError, match="both classes"):
            fit([1, 1], [0.5, 1.0])

    def test_isotonic_has_the_blocks_of_scikit_learn(self):
        from sklearn.isotonic import IsotonicRegression

        labels, scores, _ = films(n=200)
        x = np.log(scores / (1 - scores))
        scaling = evaluation_calibration.fit_isotonic(labels, x)
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
        scaling = evaluation_calibration.fit_isotonic(
            [0, 1, 0, 1], [-3.0, -1.0, 1.0, 3.0]
        )
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
        scaling = evaluation_calibration.fit_isotonic([0, 0, 0, 1, 1, 1], logits)
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
        scaling = evaluation_calibration.fit_isotonic(labels, x)
        platt = evaluation_calibration.fit_platt(labels, x)
        steps = np.diff(scaling.values) / np.diff(scaling.knots)
        assert steps.max(initial=0) <= 10 * platt.slope * (1 + 1e-9)

    def test_the_order_of_films_and_so_the_auc_stays(self):
        labels, scores, _ = films(n=300)
        x = np.log(scores / (1 - scores))
        p = evaluation_calibration.fit_isotonic(labels, x).apply(x)
        assert ranking.auc_score(labels, p) == ranking.auc_score(labels, x)

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
            evaluation_calibration.IsotonicScaling(**{**good, **wrong})

    def test_platt_stays_where_no_other_is_clearly_better(self):
        rng = np.random.default_rng(3)
        logits = rng.normal(0, 2, 400)
        labels = (rng.random(400) < sigmoid(0.5 * logits + 1)).astype(int)
        chosen = evaluation_calibration.choose_calibration(
            labels, logits, groups=np.arange(400) // 2
        )
        assert chosen.method == "platt"
        assert chosen.scaling == evaluation_calibration.fit_platt(labels, logits)
        assert set(chosen.log_loss) == {"platt", "temperature", "isotonic"}
        assert "Platt scaling" in chosen.rule

    def test_isotonic_is_chosen_where_the_line_is_bent(self):
        rng = np.random.default_rng(3)
        logits = rng.uniform(-6, 6, 3000)
        bent = np.where(np.abs(logits) < 4, 0.02, 3) * logits
        labels = (rng.random(3000) < sigmoid(bent)).astype(int)
        chosen = evaluation_calibration.choose_calibration(labels, logits)
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
                self.scaling = evaluation_calibration.fit_platt(labels, logits)

            def apply(self, logits):
                assert not {owner[v] for v in logits} & fitted[-1]
                return self.scaling.apply(logits)

        monkeypatch.setitem(calibration._FITS, "platt", Spy)
        evaluation_calibration.choose_calibration(labels, x, groups=patients)
        assert len(fitted) == 6  # five folds and all

    def test_too_few_patients_for_a_choice_leave_platt(self):
        chosen = evaluation_calibration.choose_calibration(
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
        scaling = evaluation_calibration.fit_platt(*films()[:2])
        assert PlattScaling(**json.loads(json.dumps(asdict(scaling)))) == scaling

    def test_prevalence_shift_is_bayes_rule(self):
        # Of 1,000 with this film, 600 ill at a prevalence of 50 %: odds 1.5 for the
        # film; at 10 % they are 1.5 / 9.
        found = evaluation_calibration.at_prevalence(
            0.6, trained_prevalence=0.5, local_prevalence=0.1
        )
        assert found == pytest.approx((1.5 / 9) / (1 + 1.5 / 9))

    def test_prevalence_shift_goes_back_and_keeps_the_ends(self):
        p = np.array([0, 1e-300, 0.2, 0.7, 1 - 1e-12, 1])
        there = evaluation_calibration.at_prevalence(
            p, trained_prevalence=0.73, local_prevalence=0.05
        )
        back = evaluation_calibration.at_prevalence(
            there, trained_prevalence=0.05, local_prevalence=0.73
        )
        assert back == pytest.approx(p, rel=1e-9)
        assert (there[0], there[-1]) == (0, 1)
        assert (there[1:-1] < p[1:-1]).all()

    def test_likelihood_ratio_times_local_odds_is_the_shifted_probability(self):
        p = np.array([0.01, 0.3, 0.9])
        ratio = evaluation_calibration.likelihood_ratio(p, trained_prevalence=0.7)
        odds = ratio * 0.2 / 0.8
        assert odds / (1 + odds) == pytest.approx(
            evaluation_calibration.at_prevalence(
                p, trained_prevalence=0.7, local_prevalence=0.2
            )
        )
        assert evaluation_calibration.likelihood_ratio(0.7, trained_prevalence=0.7) == (
            pytest.approx(1)
        )
        assert (
            evaluation_calibration.likelihood_ratio(1.0, trained_prevalence=0.7)
            == math.inf
        )

    @pytest.mark.parametrize("prevalence", [0, 1, math.nan])
    def test_shift_refuses_what_is_no_prevalence_or_probability(self, prevalence):
        with pytest.raises(ValueError, match="prevalence="):
            evaluation_calibration.at_prevalence(
                0.5, trained_prevalence=prevalence, local_prevalence=0.5
            )
        with pytest.raises(ValueError, match="probability="):
            evaluation_calibration.likelihood_ratio([0.5, 1.1], trained_prevalence=0.5)
        with pytest.raises(ValueError, match="probability="):
            evaluation_calibration.likelihood_ratio(math.nan, trained_prevalence=0.5)
