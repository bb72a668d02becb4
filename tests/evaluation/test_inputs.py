"""What the metrics take and refuse."""

import math

import numpy as np
import pytest
from naive_metrics import films

from cxr.evaluation import calibration as evaluation_calibration
from cxr.evaluation import operating, ranking, reliability, summary
from cxr.evaluation.thresholds import (
    operating_points,
)


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
            lambda: operating.confusion_at(labels, scores, threshold=0.5),
            lambda: summary.evaluate(labels, scores, threshold=0.5),
            lambda: ranking.auc_score(labels, scores),
            lambda: operating_points(labels, scores),
            lambda: evaluation_calibration.fit_platt(labels, scores),
        ):
            with pytest.raises(ValueError, match=says):
                function()

    @pytest.mark.parametrize("score", [-0.01, 1.01])
    def test_refuses_scores_that_are_no_probabilities(self, score):
        for function in (
            reliability.brier_loss,
            reliability.expected_calibration_error,
            reliability.reliability_curve,
            operating_points,
        ):
            with pytest.raises(ValueError, match="probabilities"):
                function([0, 1], [0.5, score])

    def test_refuses_a_threshold_of_nan(self):
        with pytest.raises(ValueError, match="threshold=nan"):
            operating.confusion_at([0, 1], [0.1, 0.2], threshold=math.nan)
        with pytest.raises(ValueError, match="threshold=nan"):
            operating_points([0, 1], [0.1, 0.2]).at(math.nan)

    def test_refuses_patients_that_do_not_match_the_films(self):
        with pytest.raises(ValueError, match="2 patient ids"):
            summary.evaluate([0, 1], [0.1, 0.9], threshold=0.5, groups=["a"])

    def test_takes_booleans_lists_and_float32(self):
        labels, scores, _ = films()
        a = summary.evaluate(labels, scores.astype(np.float32), threshold=0.5)
        b = summary.evaluate(
            list(labels == 1), list(scores.astype(np.float32)), threshold=0.5
        )
        assert a == b
