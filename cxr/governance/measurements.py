"""What is measured of a registered model later, and put on its card.

It owns that act. A card is what a model is known by, so its new hash is recorded.
"""

from dataclasses import replace
from pathlib import Path

from cxr.governance import trust
from cxr.models import registry
from cxr.models.cards import Card, HeatmapWorth


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
        CxrError: the card or the audit trail can't be written; the card is as it was.
    """
    trust.require_trusted(models_dir, records_dir, model_id)
    before = registry.read_card(models_dir, model_id)
    card = replace(before, heatmap_worth=worth)
    registry.write_card(models_dir, card)
    try:
        trust.record_card(
            models_dir, records_dir, trust.MEASURED, model_id, actor=actor
        )
    except BaseException:
        registry.write_card(models_dir, before)
        raise
    return card
