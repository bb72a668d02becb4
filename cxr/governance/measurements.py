"""What is measured of a registered model later, and put on its card.

It owns that act. A card is what a model is known by, so its new hash is recorded.
"""

from dataclasses import replace
from pathlib import Path

from cxr.errors import ModelError
from cxr.governance import trust
from cxr.models import metrics, registry
from cxr.models.cards import Card, HeatmapWorth, UncertainBand
from cxr.records import actors


def put_heatmap_worth(
    models_dir: Path,
    records_dir: Path,
    model_id: str,
    worth: HeatmapWorth,
    *,
    actor: str,
) -> Card:
    """Puts what a model's heat map is worth on its card, and returns the card.

    Args:
        models_dir: the registry.
        records_dir: of the audit trail.
        model_id: which model.
        worth: measured on films that nothing was chosen on.
        actor: who does it.

    Raises:
        ModelError: no such model, or its card was changed (code `changed-card`).
        CxrError: that person may not (code `not-allowed`), or the card or the audit
            trail can't be written; the card is as it was.
    """
    actors.require(records_dir, actor, actors.MEASURE_MODEL)
    trust.require_trusted(models_dir, records_dir, model_id)
    before = registry.read_card(models_dir, model_id)
    card = replace(before, heatmap_worth=worth)
    return _replace_card(models_dir, records_dir, before, card, actor=actor)


def put_band(
    models_dir: Path,
    records_dir: Path,
    model_id: str,
    band: UncertainBand,
    *,
    actor: str,
) -> Card:
    """Gives a candidate another zone without an answer; returns its card.

    Its figures with three answers are counted anew from its stored scores. The model
    that serves keeps the zone that its readers know: register another candidate.

    Args:
        models_dir: the registry.
        records_dir: of the audit trail.
        model_id: which model.
        band: chosen on its validation films.
        actor: who does it.

    Raises:
        ModelError: the model serves (code `already-active`), there is no such model, or
            its card was changed (code `changed-card`).
        CxrError: that person may not (code `not-allowed`), or the card or the audit
            trail can't be written; the card is as it was.
    """
    actors.require(records_dir, actor, actors.SET_BAND)
    trust.require_trusted(models_dir, records_dir, model_id)
    if _serves(models_dir, model_id):
        raise ModelError(
            f"{model_id} serves: its zone without an answer stays as its readers know "
            "it. Register a new candidate.",
            code="already-active",
        )
    before = registry.read_card(models_dir, model_id)
    unmeasured = {
        split: replace(evaluation, answered=None)
        for split, evaluation in before.metrics.items()
    }
    card = replace(before, uncertain_band=band, metrics=unmeasured)
    card = replace(card, metrics=metrics.of_card(models_dir, card))
    return _replace_card(models_dir, records_dir, before, card, actor=actor)


def _serves(models_dir: Path, model_id: str) -> bool:
    try:
        return registry.active_id(models_dir) == model_id
    except ModelError:
        return False


def _replace_card(
    models_dir: Path, records_dir: Path, before: Card, card: Card, *, actor: str
) -> Card:
    """Writes a card and records it, or leaves the one before."""
    registry.write_card(models_dir, card)
    try:
        trust.record_card(
            models_dir, records_dir, trust.MEASURED, card.model_id, actor=actor
        )
    except BaseException:
        registry.write_card(models_dir, before)
        raise
    return card
