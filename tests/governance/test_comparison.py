"""Two registered models on the films that both were tested on."""

from dataclasses import replace

import numpy as np
import pytest
from tiny_model import register_tiny_model

from cxr.errors import CxrError
from cxr.evaluation import overview, reliability, thresholds
from cxr.governance import comparison
from cxr.models import registry
from cxr.models.scores import SCORES, SPLIT

N_SHARED = 100


def rewritten(models_dir, model_id, table, change):
    """Changes the rows of a model's table, and its card so that it is sound."""
    path = models_dir / model_id / table
    head, *rows = path.read_text().splitlines()
    path.write_text("\n".join([head, *change(rows)]) + "\n")
    card = registry.read_card(models_dir, model_id)
    files = registry.file_records(models_dir / model_id)
    registry.write_card(models_dir, replace(card, files=files))


@pytest.fixture
def models_dir(tmp_path):
    """Two models; the second was tested on the first half of the films of the first."""
    for name in ("tiny-1", "tiny-2"):
        register_tiny_model(tmp_path, name)

    def half(rows):
        test = [row for row in rows if row.startswith("test,")]
        return [row for row in rows if row not in test[N_SHARED:]]

    rewritten(tmp_path, "tiny-2", SCORES, half)
    return tmp_path


def shared(models_dir):
    card = registry.read_card(models_dir, "tiny-2")
    return registry.read_scores(models_dir, card, "test")


def test_what_is_drawn_is_of_the_films_that_both_scored(models_dir):
    both, scores = (
        comparison.side_by_side(models_dir, "tiny-1", "tiny-2"),
        shared(models_dir),
    )
    assert both.comparison.films == N_SHARED
    assert both.comparison.tested == {"tiny-1": 2 * N_SHARED, "tiny-2": N_SHARED}
    lines = overview.thinned(
        thresholds.operating_points(scores.labels, scores.probabilities)
    )
    curve = reliability.reliability_curve(
        scores.labels, scores.probabilities, groups=scores.patients
    )
    for name in ("tiny-1", "tiny-2"):
        np.testing.assert_array_equal(both.lines[name].thresholds, lines.thresholds)
        np.testing.assert_array_equal(both.lines[name].sensitivity, lines.sensitivity)
        np.testing.assert_array_equal(both.curves[name].observed, curve.observed)


def test_its_figures_are_those_of_the_comparison_alone(models_dir):
    both = comparison.side_by_side(models_dir, "tiny-1", "tiny-2")
    assert both.comparison == comparison.compare(models_dir, "tiny-1", "tiny-2")
    assert both.differences["auc"] == both.comparison.auc.difference
    assert both.differences.keys() == {
        *("auc", "sensitivity", "specificity", "accuracy"),
        *("no_answer", "no_answer_well", "no_answer_ill"),
    }


def test_a_model_differs_from_itself_by_nothing(models_dir):
    found = comparison.compare(models_dir, "tiny-1", "tiny-1")
    assert found.auc.difference.value == 0
    assert found.decisions.only_a_right == found.decisions.only_b_right == 0


def test_models_without_common_films_are_not_compared(models_dir):
    rewritten(
        models_dir, "tiny-2", SPLIT, lambda rows: [r.replace(",0", ",f") for r in rows]
    )
    with pytest.raises(CxrError, match="were tested on different films"):
        comparison.side_by_side(models_dir, "tiny-1", "tiny-2")
