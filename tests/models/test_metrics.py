"""A card's figures with three answers, from its stored scores where it lacks them."""

from dataclasses import replace

import pytest
from tiny_model import register_tiny_model

from cxr.evaluation.answered import three_answers
from cxr.models import metrics, registry
from cxr.models.scores import SCORES


@pytest.fixture
def models_dir(tmp_path):
    register_tiny_model(tmp_path)
    return tmp_path


def test_an_older_card_is_completed_from_its_stored_scores(models_dir):
    card = registry.read_card(models_dir, "tiny-1")
    assert card.metrics["test"].answered is None
    found = metrics.of_card(models_dir, card)
    for split in ("validation", "test"):
        scores = registry.read_scores(models_dir, card, split)
        assert found[split].answered == three_answers(
            scores.labels,
            scores.probabilities,
            band=card.uncertain_band.around(0.4),
            groups=scores.patients,
        )
        assert replace(found[split], answered=None) == card.metrics[split]


def test_what_a_card_says_is_kept(models_dir):
    card = registry.read_card(models_dir, "tiny-1")
    complete = replace(card, metrics=metrics.of_card(models_dir, card))
    registry.write_card(models_dir, complete)
    (models_dir / "tiny-1" / SCORES).unlink()
    again = registry.read_card(models_dir, "tiny-1")
    assert again == complete
    assert metrics.of_card(models_dir, again) == complete.metrics


def test_changed_scores_complete_nothing(models_dir):
    with (models_dir / "tiny-1" / SCORES).open("a") as file:
        file.write("x")
    card = registry.read_card(models_dir, "tiny-1")
    assert metrics.of_card(models_dir, card) == card.metrics
