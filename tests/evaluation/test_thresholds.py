"""Rules for a threshold, and decision curves."""

import math

import numpy as np
import pytest
from naive_metrics import counts_at, films, share

from cxr.evaluation import operating
from cxr.evaluation.thresholds import (
    decision_curve,
    threshold_for_assured_sensitivity,
    threshold_for_assured_specificity,
    threshold_for_costs,
    threshold_for_misses,
    threshold_for_sensitivity,
    threshold_for_specificity,
    threshold_youden,
)


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
            threshold = threshold_for_sensitivity(labels, scores, target=target)
            c = counts_at(labels, scores, threshold)
            allowed = [x for x in brute_force(labels, scores) if x[1] >= target]
            assert c.tp / (c.tp + c.fn) >= target
            assert c.tn / (c.tn + c.fp) == max(x[2] for x in allowed)
            assert threshold not in set(scores) - {0.0}

    @pytest.mark.parametrize("grouped", [False, True])
    def test_assured_specificity_is_the_lowest_threshold_that_has_it(self, grouped):
        for seed in range(4):
            labels, scores, patients = films(seed, n=400)
            groups = patients if grouped else None
            found = threshold_for_assured_specificity(
                labels, scores, assured=0.75, groups=groups
            )
            allowed = []
            for threshold in np.unique(scores)[1:]:
                point = operating.operating_point(
                    labels, scores, threshold=threshold, groups=groups
                )
                if point.specificity.low >= 0.75:
                    allowed.append(threshold)
            # The rule's threshold lies just below the lowest score that is allowed.
            below = scores[scores < min(allowed)]
            assert below.max(initial=0.0) < found <= min(allowed)

    def test_specificity_that_few_films_can_not_assure_has_no_false_alarm(self):
        labels, scores, _ = films(n=20)
        found = threshold_for_assured_specificity(labels, scores, assured=0.99)
        assert not (scores[labels == 0] >= found).any()

    @pytest.mark.parametrize("decimals", [None, 1, 0])
    @pytest.mark.parametrize("target", [0.05, 0.5, 0.9, 0.95, 0.98, 1.0])
    def test_specificity_rule_finds_the_best_sensitivity_that_is_allowed(
        self, target, decimals
    ):
        for seed in range(4):
            labels, scores, _ = films(seed, n=50, decimals=decimals)
            threshold = threshold_for_specificity(labels, scores, target=target)
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
        found = threshold_for_sensitivity(labels, scores, target=target)
        assert found == pytest.approx(expected)

    @pytest.mark.parametrize("grouped", [False, True])
    def test_assured_sensitivity_is_the_highest_threshold_that_assures_it(
        self, grouped
    ):
        for seed in range(4):
            labels, scores, patients = films(seed, n=400)
            groups = patients if grouped else None
            found = threshold_for_assured_sensitivity(
                labels, scores, target=0.8, assured=0.75, groups=groups
            )
            allowed = []
            for threshold in np.unique(scores)[1:]:
                point = operating.operating_point(
                    labels, scores, threshold=threshold, groups=groups
                )
                if point.sensitivity.value >= 0.8 and point.sensitivity.low >= 0.75:
                    allowed.append(threshold)
            # The rule's threshold lies just below the highest score that is allowed.
            below = scores[scores < max(allowed)]
            assert below.max(initial=0.0) < found <= max(allowed)

    def test_what_few_films_cannot_assure_misses_none(self):
        labels, scores = [0, 0, 1, 1, 1], [0.1, 0.2, 0.3, 0.6, 0.9]
        found = threshold_for_assured_sensitivity(
            labels, scores, target=0.9, assured=0.9
        )
        assert found == pytest.approx(0.25)

    def test_rounded_targets_mean_what_they_say(self):
        labels, scores = [0] + [1] * 50, [0.001] + [i / 100 for i in range(1, 51)]
        for misses in range(50):
            threshold = threshold_for_sensitivity(
                labels, scores, target=1 - misses / 50
            )
            assert counts_at(labels, scores, threshold).fn == misses

    def test_tied_films_are_found_or_missed_together(self):
        labels, scores = [0, 1, 1, 1, 1], [0.2, 0.2, 0.2, 0.8, 0.8]
        assert threshold_for_sensitivity(labels, scores, target=0.75) == pytest.approx(
            0.1
        )
        assert threshold_for_sensitivity(labels, scores, target=0.5) == pytest.approx(
            0.5
        )

    def test_constant_scores_call_all_or_none(self):
        labels, scores = [0, 1], [0.5, 0.5]
        by_sensitivity = threshold_for_sensitivity(labels, scores, target=0.9)
        by_specificity = threshold_for_specificity(labels, scores, target=0.9)
        assert (by_sensitivity, by_specificity) == (0.25, 0.75)

    @pytest.mark.parametrize("low", [0.3, np.nextafter(0.3, 1)])
    def test_between_neighbouring_numbers_the_decision_still_holds(self, low):
        high = np.nextafter(low, 1)
        found = threshold_for_sensitivity([0, 1], [low, high], target=1)
        assert low < found <= high

    def test_certain_films_leave_a_threshold_above_one(self):
        found = threshold_for_specificity([0, 1], [1.0, 1.0], target=1)
        assert found == np.nextafter(1, 2)
        found = threshold_for_sensitivity([0, 1], [0.0, 0.0], target=1)
        assert found == 0

    @pytest.mark.parametrize("per_1000", [0, 1, 5, 20, 100])
    def test_misses_rule_misses_no_more_than_that(self, per_1000):
        labels, scores, _ = films(n=90)
        threshold = threshold_for_misses(
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
        threshold = threshold_for_costs(
            labels,
            scores,
            cost_miss=cost_miss,
            cost_false_alarm=1,
            prevalence=prevalence,
        )

        def cost(sensitivity, specificity):
            missed = cost_miss * prevalence * (1 - sensitivity)
            return missed + (1 - prevalence) * (1 - specificity)

        found = operating.rates(counts_at(labels, scores, threshold + 1e-9))
        best = min(cost(a, b) for _, a, b in brute_force(labels, scores))
        assert cost(found.sensitivity, found.specificity) == pytest.approx(best)

    def test_youden_is_the_cost_rule_of_equal_stakes(self):
        labels, scores, _ = films()
        threshold = threshold_youden(labels, scores)
        c = counts_at(labels, scores, threshold)
        best = max(a + b for _, a, b in brute_force(labels, scores))
        assert c.tp / (c.tp + c.fn) + c.tn / (c.tn + c.fp) == pytest.approx(best)
        assert threshold == threshold_for_costs(
            labels, scores, cost_miss=1, cost_false_alarm=1, prevalence=0.5
        )

    def test_of_equals_the_one_that_misses_least(self):
        # Both .25 and .75 have sensitivity + specificity = 1.5.
        labels, scores = [0, 1, 0, 1], [0.1, 0.4, 0.6, 0.9]
        assert threshold_youden(labels, scores) == pytest.approx(0.25)

    @pytest.mark.parametrize(
        "rule",
        [
            lambda y, s: threshold_for_sensitivity(y, s, target=0.9),
            lambda y, s: threshold_for_specificity(y, s, target=0.9),
            lambda y, s: threshold_for_misses(y, s, per_1000=1, prevalence=0.5),
            lambda y, s: threshold_for_costs(
                y, s, cost_miss=1, cost_false_alarm=1, prevalence=0.5
            ),
            threshold_youden,
            lambda y, s: decision_curve(y, s, thresholds=[0.5]),
        ],
    )
    def test_one_class_is_refused(self, rule):
        with pytest.raises(ValueError, match="both classes"):
            rule([1, 1], [0.2, 0.4])

    @pytest.mark.parametrize("target", [0, -0.1, 1.01, math.nan])
    def test_targets_out_of_range_are_refused(self, target):
        for rule in (
            threshold_for_sensitivity,
            threshold_for_specificity,
        ):
            with pytest.raises(ValueError, match="target="):
                rule([0, 1], [0.1, 0.9], target=target)

    def test_more_misses_than_are_ill_are_refused(self):
        with pytest.raises(ValueError, match="per_1000=50"):
            threshold_for_misses([0, 1], [0.1, 0.9], per_1000=50, prevalence=0.05)

    @pytest.mark.parametrize("cost", [0, -1, math.nan, math.inf])
    def test_costs_that_are_none_are_refused(self, cost):
        with pytest.raises(ValueError, match="cost_miss="):
            threshold_for_costs(
                [0, 1], [0.1, 0.9], cost_miss=cost, cost_false_alarm=1, prevalence=0.5
            )


class TestDecisionCurve:
    def test_equals_a_loop_over_films(self):
        labels, scores, _ = films(decimals=1)
        thresholds = [0, 0.1, 0.25, 0.5, 0.9]
        curve = decision_curve(labels, scores, thresholds=thresholds)
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
        curve = decision_curve(labels, scores, thresholds=[0.2], prevalence=0.1)
        # 0.1 * 0.9 - 0.9 * 0.2 * 0.25 and 0.1 - 0.9 * 0.25
        assert curve.model[0] == pytest.approx(0.045)
        assert curve.treat_all[0] == pytest.approx(-0.125)

    @pytest.mark.parametrize("thresholds", [[1.0], [-0.1], [math.nan], []])
    def test_refuses_thresholds_without_odds(self, thresholds):
        with pytest.raises(ValueError, match="thresholds"):
            decision_curve([0, 1], [0.1, 0.9], thresholds=thresholds)


# Albumin, total protein, K-G score and popind of 43 patients with ovarian cancer: the
# example of DeLong et al., Biometrics 44 (1988) 837-845, as in SAS/STAT User's Guide,
# The LOGISTIC Procedure, "Comparing Receiver Operating Characteristic Curves".
