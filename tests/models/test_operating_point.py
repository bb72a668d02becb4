"""The shipped threshold and the uncertain band around it."""

import numpy as np
import pytest

from cxr.evaluation import band, thresholds
from cxr.evaluation.answered import three_answers
from cxr.evaluation.band import Shifted
from cxr.evaluation.calibration import logit
from cxr.models import operating_point


class TestShippedThreshold:
    LABELS = np.array([0] * 100 + [1] * 400)
    PATIENTS = np.arange(500) // 2

    def scores(self):
        rng = np.random.default_rng(1)
        logits = np.where(self.LABELS, 3, -3) + rng.normal(0, 1.5, 500)
        return 1 / (1 + np.exp(-logits))

    def test_follows_the_rule_of_an_assured_sensitivity(self):
        found = operating_point.shipped_threshold(
            self.LABELS, self.scores(), self.PATIENTS, target=0.95, assured=0.93
        )
        assert found.value == thresholds.threshold_for_assured_sensitivity(
            self.LABELS, self.scores(), target=0.95, assured=0.93, groups=self.PATIENTS
        )
        assert found.split == "validation"
        assert "0.95 " in found.rule and "0.93 " in found.rule
        assert "misses none" not in found.rule

    def test_says_when_it_misses_none(self):
        found = operating_point.shipped_threshold(
            self.LABELS, self.scores(), self.PATIENTS, target=0.999, assured=0.999
        )
        assert "misses none" in found.rule


class TestThresholdUnderShift:
    LABELS = np.array([0] * 50 + [1] * 100)
    SCORES = np.concatenate([np.linspace(0, 0.4, 50), np.linspace(0.3, 1, 100)])

    def found(self, shifted, target=0.9, floor=0.8):
        return operating_point.threshold_under_shift(
            self.LABELS, self.SCORES, shifted, target=target, floor=floor
        )

    def test_the_share_of_films_and_shifted_films_together_reaches_the_target(self):
        shifted = np.linspace(0.1, 0.9, 300)
        value = self.found(shifted).value
        together = np.concatenate([self.SCORES[50:], shifted])
        assert (together >= value).mean() >= 0.9
        above = together[together > value].min()
        assert (together >= above).mean() <= 0.9

    def test_films_as_they_are_keep_their_floor(self):
        value = self.found(np.full(5000, 0.99), target=0.9, floor=0.95).value
        assert (self.SCORES[50:] >= value).mean() >= 0.95
        assert self.found(np.full(5000, 0.99), target=0.9, floor=0.5).value > value

    def test_lower_scores_after_shifts_lower_it(self):
        assert self.found(np.full(100, 0.2)).value < self.found(np.full(100, 0.9)).value

    def test_the_rule_says_what_was_asked(self):
        found = self.found(np.full(300, 0.9))
        assert "0.9 " in found.rule and "400 in all" in found.rule
        assert found.rule.endswith("at least 0.8 on the films as they are")
        assert found.split == "validation"

    def test_stays_inside_the_scale(self):
        assert self.found(np.zeros(5000), target=1.0, floor=0.5).value == 1e-6


class TestUncertainBand:
    LABELS = np.array([0] * 200 + [1] * 200)
    PATIENTS = np.arange(400)

    def logits(self, overlap):
        noise = np.random.default_rng(0).normal(0, overlap, 400)
        return np.where(self.LABELS, 4, -4) + noise

    def band(self, overlap, threshold=0.5, shifted=None):
        return operating_point.uncertain_band(
            self.LABELS, self.logits(overlap), self.PATIENTS, threshold, shifted=shifted
        )

    def test_reaches_from_the_threshold_to_the_chosen_edges(self):
        chosen = band.choose_band(
            self.LABELS, self.logits(3), groups=self.PATIENTS, shifted=None
        )
        found = self.band(3)
        low, high = (float(logit(edge)) for edge in found.around(0.5))
        assert low == pytest.approx(chosen.low.value)
        assert high == pytest.approx(chosen.high.value)

    def test_is_wider_the_more_the_classes_overlap(self):
        narrow, wide = self.band(2), self.band(3)
        assert wide.below + wide.above > narrow.below + narrow.above > 0

    def test_is_empty_where_the_classes_are_apart(self):
        found = self.band(0.2)
        assert (found.below, found.above) == (0, 0)
        assert "0.0 % get no answer" in found.rule

    def test_has_no_side_where_the_threshold_lies_beyond_the_edge(self):
        assert self.band(2, threshold=1e-6).below == 0
        assert self.band(2, threshold=1 - 1e-6).above == 0

    @pytest.mark.parametrize("threshold", [1e-6, 0.5, 1 - 1e-6])
    def test_has_finite_sides_for_any_threshold(self, threshold):
        found = self.band(3, threshold)
        assert 0 <= found.below < np.inf
        assert 0 <= found.above < np.inf

    def test_the_rule_says_what_was_promised_and_what_it_gives(self):
        rows = np.repeat(np.arange(400), 2)
        moved = Shifted(rows=rows, logits=self.logits(2)[rows] - 1)
        found = self.band(2, shifted=moved)
        shown = three_answers(
            self.LABELS, 1 / (1 + np.exp(-self.logits(2))), band=found.around(0.5)
        )
        assert "at most about 1 in 200" in found.rule and "1 in 40" in found.rule
        assert "400 validation films of 400 patients" in found.rule
        assert "after 800 shifts of acquisition" in found.rule
        assert f"{100 * shown.no_answer.value:.1f} % get no answer" in found.rule
        assert f"specificity {shown.specificity.value:.3f}" in found.rule
        assert "shifts" not in self.band(2).rule
