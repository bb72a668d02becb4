"""A model's figures as its card has them, with the three answers where it lacks them.

Cards that were written before the share without an answer was measured are completed
from the scores that are stored with the model; the card itself stays as it is.
"""

from dataclasses import replace
from pathlib import Path

from cxr.errors import ModelError
from cxr.evaluation.answered import three_answers
from cxr.evaluation.summary import Evaluation
from cxr.models import registry
from cxr.models.cards import Card


def of_card(models_dir: Path, card: Card) -> dict[str, Evaluation]:
    """Returns the metrics of each split on a card, with the three answers.

    A split without stored scores, or whose scores were changed, stays without them.

    Args:
        models_dir: the registry.
        card: of the model.
    """
    return {
        split: _completed(models_dir, card, split, evaluation)
        for split, evaluation in card.metrics.items()
    }


def _completed(
    models_dir: Path, card: Card, split: str, evaluation: Evaluation
) -> Evaluation:
    if evaluation.answered is not None:
        return evaluation
    try:
        scores = registry.read_scores(models_dir, card, split)
    except ModelError:
        return evaluation
    answered = three_answers(
        scores.labels, scores.probabilities, band=card.band, groups=scores.patients
    )
    return replace(evaluation, answered=answered)
