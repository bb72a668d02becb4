"""What a model must have measured before it is imported or serves.

It owns one question: are there figures from test films on the card, and finite scores
behind them? A page that shows a model would have nothing to say of one without.
"""

import math
from pathlib import Path

import numpy as np

from cxr.errors import ModelError
from cxr.models import registry
from cxr.models.cards import Card

NEEDED_METRICS = ("auc", "sensitivity", "specificity")
NEEDED_SCORES = ("validation", "test")


def gaps(models_dir: Path, card: Card) -> list[str]:
    """Returns a sentence for each thing that was not measured, none if all was.

    Args:
        models_dir: folder that holds the model's folder; a draft of one will do.
        card: of the model.
    """
    return [*_of_the_card(card), *_of_the_scores(models_dir, card)]


def require_measured(models_dir: Path, card: Card) -> None:
    """Makes sure that nothing is missing that every page shows.

    Raises:
        ModelError: something is (code `unmeasured`).
    """
    if missing := gaps(models_dir, card):
        raise ModelError(f"{card.model_id}: {' '.join(missing)}", code="unmeasured")


def _of_the_card(card: Card) -> list[str]:
    missing = []
    if not 0 < card.threshold.value < 1:
        missing.append("Its threshold is no number between 0 and 1.")
    test = card.metrics.get("test")
    if test is None:
        return [*missing, "Its card has no metrics of test films."]
    for name in NEEDED_METRICS:
        if not math.isfinite(getattr(test, name).value):
            missing.append(f"Its {name} on test films is not a number.")
    return missing


def _of_the_scores(models_dir: Path, card: Card) -> list[str]:
    missing = []
    for split in NEEDED_SCORES:
        try:
            scores = registry.read_scores(models_dir, card, split)
        except ModelError as error:
            missing.append(error.message)
            continue
        if not len(scores.probabilities):
            missing.append(f"It has no scores of {split} films.")
        elif not np.isfinite(scores.probabilities).all():
            missing.append(f"Some of its scores of {split} films are not numbers.")
    return missing
