"""What is worked out once for the dashboard, its tables and its wishes."""

import csv
import io
import math
from dataclasses import replace

import numpy as np
import pytest
from tiny_model import register_tiny_model

from cxr.evaluation import summary, thresholds
from cxr.models import registry
from cxr.validation import appraisal, tables
from cxr.validation.appraisal import Wishes


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    models_dir = tmp_path_factory.mktemp("models")
    card = register_tiny_model(models_dir)
    return models_dir, card, registry.read_scores(models_dir, card, "test")


@pytest.fixture(scope="module")
def found(tiny):
    _, card, scores = tiny
    return appraisal.appraise(scores, card, films="test films", pixels={})


class TestAppraise:
    def test_gives_the_metrics_of_the_shipped_threshold(self, tiny, found):
        _, card, scores = tiny
        whole = summary.evaluate(
            scores.labels,
            scores.probabilities,
            threshold=card.threshold.value,
            band=card.band,
            groups=scores.patients,
        )
        assert found.whole == whole
        assert found.prevalence == scores.labels.mean()

    def test_has_each_kind_of_pneumonia_against_all_normal(self, tiny, found):
        scores = tiny[2]
        view = found.overview.at(0.4, prevalence=0.2)
        by_name = {part.name: part for part in view.subgroups}
        assert list(by_name) == [
            "all films",
            "bacterial against all normal",
            "viral against all normal",
        ]
        viral = by_name["viral against all normal"]
        assert viral.n_positive == scores.subtypes.count("viral")
        assert viral.n_negative == (scores.labels == 0).sum()

    def test_has_strata_of_size_where_sizes_are_known(self, tiny):
        _, card, scores = tiny
        pixels = {sha: 1e6 * (1 + i % 7) for i, sha in enumerate(scores.sha256)}
        sized = appraisal.appraise(scores, card, films="x", pixels=pixels)
        view = sized.overview.at(0.4, prevalence=0.2)
        assert len(view.subgroups) > 3

    def test_calibration_before_is_that_of_the_networks_own_logits(self, tiny):
        _, card, scores = tiny
        squeezed = replace(scores, probabilities=scores.probabilities * 0.5)
        found = appraisal.appraise(squeezed, card, films="x", pixels={})
        assert found.uncalibrated_ece < found.whole.ece.value

    @pytest.mark.parametrize("label", [0, 1])
    def test_of_one_class_is_nan_without_a_warning(self, tiny, label):
        _, card, scores = tiny
        one = scores.rows(np.flatnonzero(scores.labels == label))
        found = appraisal.appraise(one, card, films="x", pixels={})
        assert math.isnan(found.whole.auc.value)
        assert appraisal.decision_curve(found, prevalence=0.3) is None
        assert appraisal.targets_for(one, Wishes(), prevalence=0.3) == ()
        view = found.overview.at(0.4, prevalence=0.3)
        assert tables.metrics(found, view)

    def test_of_one_film_works(self, tiny):
        _, card, scores = tiny
        found = appraisal.appraise(
            scores.rows(np.array([0])), card, films="x", pixels={}
        )
        assert found.whole.n == 1


class TestWishes:
    WISHES = Wishes(sensitivity=0.9, specificity=0.8, misses_per_1000=10, cost_ratio=5)

    def found(self, scores, wishes=WISHES, prevalence=0.3):
        targets = appraisal.targets_for(scores, wishes, prevalence=prevalence)
        return {target.name: target for target in targets}

    def test_lead_to_the_rules_thresholds(self, tiny):
        scores = tiny[2]
        y, p = scores.labels, scores.probabilities
        found = self.found(scores)
        sensitive = {
            share: thresholds.threshold_for_assured_sensitivity(
                y, p, target=share, assured=share, groups=scores.patients
            )
            for share in (0.9, 1 - 10 / 300)
        }
        assert {name: target.threshold for name, target in found.items()} == {
            "Sensitivity 90 %": sensitive[0.9],
            "Specificity 80 %": thresholds.threshold_for_assured_specificity(
                y, p, assured=0.8, groups=scores.patients
            ),
            "A miss is 5 alarms": thresholds.threshold_for_costs(
                y, p, cost_miss=5, cost_false_alarm=1, prevalence=0.3
            ),
            "Youden": thresholds.threshold_youden(y, p),
            "≤ 10 misses per 1,000": sensitive[1 - 10 / 300],
        }

    def test_are_met_by_the_lower_limit_and_not_by_the_value(self, tiny):
        _, card, scores = tiny
        overview = appraisal.appraise(scores, card, films="x", pixels={}).overview
        for share in (0.8, 0.9):
            found = self.found(scores, replace(self.WISHES, sensitivity=share))
            target = found[f"Sensitivity {100 * share:g} %"]
            point = overview.curve.at(target.threshold)
            assert point.sensitivity.low >= share and target.is_met(point)
        just = thresholds.threshold_for_sensitivity(
            scores.labels, scores.probabilities, target=0.9
        )
        point = overview.curve.at(just)
        assert point.sensitivity.value >= 0.9 and not target.is_met(point)

    def test_specificity_is_met_by_its_lower_limit_too(self, tiny):
        _, card, scores = tiny
        overview = appraisal.appraise(scores, card, films="x", pixels={}).overview
        target = self.found(scores)["Specificity 80 %"]
        point = overview.curve.at(target.threshold)
        assert point.specificity.low >= 0.8 and target.is_met(point)
        assert not target.is_met(overview.curve.at(0.0))

    def test_that_ask_for_no_share_are_always_met(self, tiny):
        _, card, scores = tiny
        curve = appraisal.appraise(scores, card, films="x", pixels={}).overview.curve
        assert self.found(scores)["Youden"].is_met(curve.at(1.0))

    def test_that_no_threshold_can_miss_are_left_out(self, tiny):
        found = self.found(tiny[2], Wishes(misses_per_1000=50), 0.05)
        assert not any("misses" in name for name in found)

    def test_that_need_a_prevalence_wait_until_it_is_stated(self, tiny):
        assert list(self.found(tiny[2], prevalence=None)) == [
            *("Sensitivity 90 %", "Specificity 80 %", "Youden"),
        ]


def test_local_lines_agree_with_the_films_at_their_own_prevalence(found):
    lines = found.overview.lines
    local = appraisal.local_lines(lines, found.prevalence)
    np.testing.assert_allclose(local.precision, lines.precision)
    np.testing.assert_allclose(local.npv, lines.npv)
    np.testing.assert_allclose(local.f1, lines.f1)


def test_local_lines_agree_with_the_rates_at_a_threshold(found):
    lines = found.overview.lines
    local = appraisal.local_lines(lines, 0.1)
    middle = lines.thresholds.size // 2
    rates = found.overview.at(float(lines.thresholds[middle]), prevalence=0.1).local
    assert local.precision[middle] == pytest.approx(rates.precision.value)
    assert local.npv[middle] == pytest.approx(rates.npv.value)


def test_the_splits_are_those_of_the_scores_test_first(tiny):
    models_dir, card, _ = tiny
    found = appraisal.scored_splits(models_dir, card)
    assert found == ("test", "validation", "calibration")


class TestTables:
    def test_metrics_have_value_interval_and_shipped(self, found):
        view = found.overview.at(0.6, prevalence=0.2)
        rows = {row["metric"]: row for row in tables.metrics(found, view)}
        sensitivity = rows["Sensitivity"]
        assert sensitivity["value"] == view.point.sensitivity.value
        assert sensitivity["shipped"] == found.whole.sensitivity.value
        assert rows["NPV at the local prevalence"]["value"] == view.local.npv.value
        assert rows["ECE"]["high"] == found.whole.ece.high

    def test_metrics_have_the_three_answers_beside_the_rates(self, found):
        view = found.overview.at(0.6, band=(0.3, 0.8))
        rows = {row["metric"]: row for row in tables.metrics(found, view)}
        for field, name in tables.ANSWERED.items():
            assert rows[name]["value"] == getattr(view.answers, field).value
            assert rows[name]["shipped"] == getattr(found.whole.answered, field).value
        assert not any("local" in name for name in rows)

    def test_what_is_undefined_is_empty_in_csv(self, tiny):
        _, card, scores = tiny
        ill = scores.rows(np.flatnonzero(scores.labels == 1))
        found = appraisal.appraise(ill, card, films="x", pixels={})
        view = found.overview.at(0.4, prevalence=0.2)
        text = tables.metrics_csv(tables.metrics(found, view))
        rows = {r["metric"]: r for r in csv.DictReader(io.StringIO(text))}
        assert rows["Specificity"]["value"] == ""
        assert "nan" not in text

    def test_thresholds_have_every_change_of_a_decision(self, found):
        rows = list(csv.DictReader(io.StringIO(tables.thresholds_csv(found))))
        curve = found.overview.curve
        assert len(rows) == curve.thresholds.size
        assert int(rows[0]["true_positives"]) == curve.n_positive

    @pytest.mark.parametrize(
        "name",
        [
            "=HYPERLINK(1)",
            "+1",
            "-1",
            "@x",
            "\tx",
            "\n=1",
            "\N{FULLWIDTH EQUALS SIGN}1",
        ],
    )
    def test_a_film_name_is_no_formula(self, tiny, name):
        scores = tiny[2]
        named = replace(scores, names=(name, *scores.names[1:]))
        text = tables.films_csv(named, np.array([0]))
        (row,) = csv.DictReader(io.StringIO(text))
        assert row["film"] == f"'{name}"

    def test_sets_of_films_are_apart_when_no_interval_is_shared(self, tiny, found):
        _, card, scores = tiny
        wrong = replace(scores, probabilities=1 - scores.probabilities)
        other = appraisal.appraise(wrong, card, films="other", pixels={})
        rows = tables.side_by_side(
            {
                "a": (found, found.overview.at(0.4)),
                "b": (other, other.overview.at(0.4)),
            }
        )
        alike = ("LR below", *list(tables.ANSWERED.values())[:3])
        assert all(row.apart for row in rows if row.metric not in alike)
        same = tables.side_by_side(
            {name: (found, found.overview.at(0.4)) for name in "ab"}
        )
        assert not any(row.apart for row in same)
