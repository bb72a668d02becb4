"""What a page shows at any threshold, and the parts of the films."""

import math
import time

import numpy as np
import pytest

from cxr.evaluation import (
    answered,
    overview,
    ranking,
    reliability,
    subgroups,
    thresholds,
)
from cxr.evaluation.estimates import UndefinedMetricWarning


def films(n=200, seed=0):
    rng = np.random.default_rng(seed)
    labels = (np.arange(n) % 3 > 0).astype(int)
    scores = 1 / (1 + np.exp(-rng.normal(2 * labels - 1, 1.2)))
    kinds = np.where(labels == 1, np.where(np.arange(n) % 2, "viral", "bacterial"), "")
    return labels, scores, np.arange(n) // 2, kinds


@pytest.fixture
def seen():
    labels, scores, patients, kinds = films()
    return overview.overview(
        labels,
        scores,
        groups=patients,
        uncalibrated=scores**2,
        parts=subgroups.by_subtype(labels, kinds),
    )


class TestOverview:
    @pytest.mark.parametrize("threshold", [0.0, 0.3, 0.7, 1.0])
    def test_has_the_operating_point_of_the_films(self, seen, threshold):
        labels, scores, patients, _ = films()
        view = seen.at(threshold, prevalence=0.2)
        direct = thresholds.operating_points(labels, scores, groups=patients).at(
            threshold
        )
        assert repr(view.point) == repr(direct)
        assert repr(view.local) == repr(direct.locally(prevalence=0.2))
        assert view.answers.no_answer.value == 0
        assert view.answers.confusion == direct.confusion

    def test_has_the_three_answers_of_the_films(self, seen):
        labels, scores, patients, _ = films()
        view = seen.at(0.4, band=(0.2, 0.7))
        direct = answered.three_answers(
            labels, scores, band=(0.2, 0.7), groups=patients
        )
        assert view.answers == direct

    def test_without_a_stated_prevalence_nothing_is_local(self, seen):
        assert seen.at(0.4).local is None

    def test_has_the_rates_of_each_part(self, seen):
        labels, scores, patients, kinds = films()
        direct = subgroups.subgroup_rates(
            labels,
            scores,
            threshold=0.4,
            parts=subgroups.by_subtype(labels, kinds),
            groups=patients,
        )
        assert seen.at(0.4, prevalence=0.2).subgroups == direct

    def test_has_both_reliability_curves(self, seen):
        labels, scores, _, _ = films()
        after = reliability.reliability_curve(labels, scores)
        np.testing.assert_array_equal(seen.reliability.observed, after.observed)
        assert seen.reliability_before.predicted[0] < 1 / 15
        assert overview.overview(labels, scores).reliability_before is None

    @pytest.mark.parametrize("band", [(0.4, 0.4), (0.2, 0.7)])
    @pytest.mark.parametrize("cell", overview.CELLS)
    def test_a_cell_lists_its_films_the_most_wrong_first(self, seen, cell, band):
        labels, scores, _, _ = films()
        rows = seen.films_in_cell(cell, band)
        counted = answered.three_answers(labels, scores, band=band)
        expected = dict(zip(("nw", "ni"), counted.n_no_answer, strict=True))
        expected |= vars(counted.confusion)
        assert rows.size == expected[cell]
        assert (labels[rows] == (cell in ("tp", "ni", "fn"))).all()
        wrong = scores[rows] if cell in ("tn", "nw", "fp") else -scores[rows]
        assert (np.diff(wrong) <= 0).all()

    @pytest.mark.parametrize("band", [(0.4, 0.4), (0.2, 0.7), (0.0, 1.0)])
    def test_the_cells_hold_every_film_once(self, seen, band):
        held = [seen.films_in_cell(cell, band) for cell in overview.CELLS]
        assert sorted(np.concatenate(held)) == list(range(200))

    def test_a_cell_that_is_none_is_refused(self, seen):
        with pytest.raises(ValueError, match="cell="):
            seen.films_in_cell("xx", (0.4, 0.4))

    def test_the_bins_hold_every_film_once(self, seen):
        labels, _, _, _ = films()
        histogram = seen.histogram
        assert histogram.normal.sum() == (labels == 0).sum()
        assert histogram.pneumonia.sum() == labels.sum()
        listed = [
            row
            for label in (0, 1)
            for i in range(histogram.normal.size)
            for row in seen.films_in_bin(i, label)
        ]
        assert sorted(listed) == list(range(labels.size))

    @pytest.mark.parametrize("score", [0.0, 1.0])
    def test_scores_at_the_ends_are_in_a_bin(self, score):
        histogram = overview.score_histogram([1], [score])
        assert histogram.pneumonia.sum() == 1

    @pytest.mark.parametrize("prevalence", [0, 1, math.nan])
    def test_refuses_what_is_no_prevalence(self, seen, prevalence):
        with pytest.raises(ValueError, match="prevalence="):
            seen.at(0.4, prevalence=prevalence)

    @pytest.mark.parametrize("label", [0, 1])
    def test_one_class_has_no_auc_and_still_a_view(self, label):
        with pytest.warns(UndefinedMetricWarning):
            found = overview.overview([label] * 3, [0.1, 0.5, 0.9])
        assert math.isnan(found.auc.value)
        assert found.at(0.4, prevalence=0.1).point.confusion is not None

    def test_one_film_is_enough(self):
        with pytest.warns(UndefinedMetricWarning):
            found = overview.overview([1], [0.5], groups=["a"])
        assert found.lines.thresholds.size == 2

    def test_a_part_of_other_films_is_refused(self):
        with pytest.raises(ValueError, match="part"):
            overview.overview([0, 1], [0.1, 0.9], parts={"a": np.ones(3, bool)})

    def test_many_films_answer_at_once(self):
        labels, scores, patients, kinds = films(20_000)
        found = overview.overview(
            labels,
            scores,
            groups=patients,
            parts=subgroups.by_subtype(labels, kinds),
        )
        found.at(0.5, prevalence=0.2)
        started = time.perf_counter()
        found.at(0.4, prevalence=0.2)
        assert time.perf_counter() - started < 0.2


class TestThinned:
    def test_a_short_curve_stays(self):
        labels, scores, _, _ = films(50)
        curve = thresholds.operating_points(labels, scores)
        lines = overview.thinned(curve)
        np.testing.assert_array_equal(lines.thresholds, curve.thresholds)
        np.testing.assert_array_equal(lines.f1, curve.f1)

    def test_a_long_curve_keeps_its_ends_and_its_shape(self):
        labels, scores, _, _ = films(5000)
        curve = thresholds.operating_points(labels, scores)
        lines = overview.thinned(curve, 200)
        assert 100 < lines.thresholds.size <= 202
        assert (np.diff(lines.thresholds) > 0).all()
        assert (lines.sensitivity[0], lines.sensitivity[-1]) == (1, 0)
        area = -np.trapezoid(lines.sensitivity, 1 - lines.specificity)
        assert area == pytest.approx(ranking.auc_score(labels, scores), abs=2e-3)

    def test_every_point_is_one_of_the_curve(self):
        labels, scores, _, _ = films(3000)
        curve = thresholds.operating_points(labels, scores)
        lines = overview.thinned(curve, 50)
        place = np.searchsorted(curve.thresholds, lines.thresholds)
        np.testing.assert_array_equal(curve.thresholds[place], lines.thresholds)
        np.testing.assert_array_equal(curve.npv[place], lines.npv)

    def test_one_point_is_no_curve(self):
        curve = thresholds.operating_points([0, 1], [0.1, 0.9])
        with pytest.raises(ValueError, match="n_points=1"):
            overview.thinned(curve, 1)


class TestSubgroups:
    def test_a_kind_is_set_against_all_normal_films(self):
        labels, scores, _, kinds = films()
        bacterial, viral = subgroups.subgroup_rates(
            labels, scores, threshold=0.4, parts=subgroups.by_subtype(labels, kinds)
        )
        assert (bacterial.name, viral.name) == ("bacterial", "viral")
        assert bacterial.n_negative == viral.n_negative == (labels == 0).sum()
        assert bacterial.n_positive + viral.n_positive == labels.sum()
        found = (scores >= 0.4)[kinds == "viral"]
        assert viral.sensitivity.value == pytest.approx(found.mean())
        assert bacterial.specificity == viral.specificity
        chosen = (labels == 0) | (kinds == "viral")
        assert viral.auc.value == pytest.approx(
            ranking.auc_score(labels[chosen], scores[chosen])
        )

    def test_patients_are_counted_and_widen_the_interval(self):
        labels, scores, _, kinds = films()
        groups = np.arange(200) // 20
        alone, grouped = (
            subgroups.subgroup_rates(
                labels,
                scores,
                threshold=0.4,
                parts=subgroups.by_subtype(labels, kinds),
                groups=g,
            )[0]
            for g in (None, groups)
        )
        assert alone.n_patients is None
        assert grouped.n_patients == 10
        a, b = alone.sensitivity, grouped.sensitivity
        assert b.low <= a.low and b.high >= a.high

    def test_a_part_without_a_class_is_undefined_with_a_warning(self):
        with pytest.warns(UndefinedMetricWarning, match="small"):
            [part] = subgroups.subgroup_rates(
                [0, 1, 1],
                [0.1, 0.5, 0.9],
                threshold=0.4,
                parts={"small": np.array([False, True, True])},
            )
        assert math.isnan(part.specificity.value) and math.isnan(part.auc.value)
        assert part.sensitivity.value == 1

    def test_unknown_kinds_are_no_part(self):
        assert subgroups.by_subtype([0, 1, 1], ["", "", ""]) == {}

    def test_sizes_make_strata_of_equally_many_films(self):
        pixels = np.r_[np.full(30, 1e6), np.full(30, 2e6), np.full(30, 4e6), math.nan]
        strata = subgroups.by_size(pixels)
        assert [mask.sum() for mask in strata.values()] == [30, 30, 30]
        assert next(iter(strata)) == "1.00 to 1.00 megapixels"
        assert not any(mask[-1] for mask in strata.values())

    def test_strata_of_nearly_equal_sizes_keep_their_films_and_names_apart(self):
        pixels = np.r_[np.full(9, 50_100), np.full(9, 50_176), np.full(9, 50_400)]
        strata = subgroups.by_size(pixels)
        assert list(strata) == [
            "0.0501 to 0.0501 megapixels",
            "0.0502 to 0.0502 megapixels",
            "0.0504 to 0.0504 megapixels",
        ]
        assert [mask.sum() for mask in strata.values()] == [9, 9, 9]

    @pytest.mark.parametrize("pixels", [[1e6] * 5, [math.nan] * 5])
    def test_films_of_one_size_have_no_strata(self, pixels):
        assert subgroups.by_size(pixels) == {}

    def test_films_of_one_size_are_never_apart(self):
        pixels = np.r_[np.full(50, 1e6), np.linspace(2e6, 3e6, 10)]
        strata = subgroups.by_size(pixels)
        assert sum(mask[0] for mask in strata.values()) == 1
        assert sum(mask.sum() for mask in strata.values()) == 60
