"""Whether a model may be trusted: its card held against what was recorded of it.

It owns the one place where trust is checked, for pages and command line alike: `load`.
A card is the recorded one if the trail holds its hash; a model that the trail does not
know is held against the pins of the models that ship. A trail that was damaged trusts
nothing until a person has acknowledged the damage.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cxr.errors import ModelError
from cxr.governance import shipped
from cxr.models import inference, lungs, registry
from cxr.models.cards import CARD
from cxr.models.inference import Model
from cxr.models.lungs import LungNetwork
from cxr.records import actors, audit
from cxr.records.audit import Entry

PROMOTED, ACTIVATED, ROLLED_BACK = "promote", "activate", "roll back"
IMPORTED, EXPORTED, FAILED = "import", "export", "switch failed"
INSTALLED = "install lungs"
JOINED, MEASURED = "ensemble", "measure"
SWITCHES = (PROMOTED, ACTIVATED, ROLLED_BACK)
CARDS = "cards"  # in the row that begins a new trail: hashes by model id


def load(
    models_dir: Path,
    records_dir: Path,
    model_id: str | None = None,
    *,
    threads: int = 0,
) -> Model:
    """Returns a model that may be trusted, loaded and checked.

    Args:
        models_dir: the registry.
        records_dir: of the audit trail.
        model_id: which model; None for the active one.
        threads: processor threads, 0 for all.

    Raises:
        ModelError: the card was changed since it was recorded or shipped (code
            `changed-card`), or the model fails its own checks.
        CxrError: the audit trail can't be read, or is damaged.
    """
    if model_id is None:
        model_id = registry.active_id(models_dir)
    require_trusted(models_dir, records_dir, model_id)
    return inference.load(models_dir, model_id, threads=threads)


def load_lungs(models_dir: Path, records_dir: Path, *, threads: int = 0) -> LungNetwork:
    """Returns the lung network, which says what may be scored, loaded and checked.

    Args:
        models_dir: the registry.
        records_dir: of the audit trail.
        threads: processor threads, 0 for all.

    Raises:
        ModelError: there is none (code `no-lungs`), its card was changed since it was
            recorded or shipped (code `changed-card`), or it fails its own checks.
        CxrError: the audit trail can't be read.
    """
    pin = shipped.LUNGS_SHA256.get(lungs.read_card(models_dir).created)
    if changed := _changed(models_dir, records_dir, registry.LUNGS, pin):
        raise ModelError(
            f"{changed} The lung network doesn't serve.", code="changed-card"
        )
    return lungs.load(models_dir, threads=threads)


def record_lungs(models_dir: Path, records_dir: Path, *, actor: str) -> Entry:
    """Records that the lung network as it is now was trained here, and by whom.

    Raises:
        CxrError: that person may not (code `not-allowed`), or the trail can't be
            written.
    """
    actors.require(records_dir, actor, actors.INSTALL_LUNGS)
    return record_card(models_dir, records_dir, INSTALLED, registry.LUNGS, actor=actor)


def require_trusted(models_dir: Path, records_dir: Path, model_id: str) -> None:
    """Makes sure that a model's card is still the one that was recorded or shipped.

    A model that neither trail nor pins know passes: it was trained or put there here.

    Args:
        models_dir: where the registered models are.
        records_dir: where the audit trail is.
        model_id: the model in question.

    Raises:
        ModelError: no such model, or the card was changed (code `changed-card`).
        CxrError: the audit trail can't be read, or is damaged.
    """
    registry.read_card(models_dir, model_id)
    audit.require_sound(records_dir)
    if changed := _changed(models_dir, records_dir, model_id, _pin(model_id)):
        raise ModelError(
            f"{changed} Model {model_id} doesn't serve.", code="changed-card"
        )


def problems(models_dir: Path, records_dir: Path, model_id: str) -> list[str]:
    """Returns a sentence for each thing about a model that was changed, if any.

    Its files are held against its card, and its card against the trail or the pins:
    somebody who exchanges a file and mends the card to fit would pass the first alone.

    Args:
        models_dir: where the registered models are.
        records_dir: where the audit trail is.
        model_id: the model in question.

    Raises:
        ModelError: no such model, or its card can't be read.
        CxrError: the audit trail can't be read.
    """
    card = registry.read_card(models_dir, model_id)
    sentences = registry.verify(models_dir, card)
    if changed := _changed(models_dir, records_dir, model_id, _pin(model_id)):
        sentences.append(changed)
    if broken := audit.verify(records_dir):
        sentences.append(f"The audit trail does not hold: {broken[0]}")
    return sentences


def trusted_card(records_dir: Path, model_id: str) -> Entry | None:
    """Returns the newest row that recorded a model's card, None if there is none.

    Raises:
        CxrError: the audit trail can't be read.
    """
    actions = (*SWITCHES, IMPORTED, JOINED, MEASURED, INSTALLED, audit.RESTARTED)
    for entry in audit.entries(records_dir, actions=actions):
        if _recorded_sha256(entry, model_id) is not None:
            return entry
    return None


def record_card(
    models_dir: Path,
    records_dir: Path,
    action: str,
    model_id: str,
    *,
    actor: str,
    details: Mapping[str, Any] | None = None,
) -> Entry:
    """Records an action with the SHA-256 of the model's card as it is now.

    Args:
        models_dir: the registry.
        records_dir: of the audit trail.
        action: what is done.
        model_id: with which model.
        actor: who does it.
        details: what else the row keeps.

    Raises:
        ModelError: no such model.
        CxrError: the audit trail can't be written.
    """
    sha256 = registry.card_sha256(models_dir, model_id)
    content = {**(details or {}), "card_sha256": sha256}
    return audit.record(
        records_dir, action, actor=actor, model_id=model_id, details=content
    )


def acknowledge(
    models_dir: Path, records_dir: Path, *, actor: str, reason: str
) -> Entry:
    """Sets a damaged trail aside; the new one begins with cards and roles as they are.

    Whoever acknowledges the damage vouches for these cards, which are trusted then, and
    for the roles that the old rows still tell. Where none can be read, none is given.

    Args:
        models_dir: the registry.
        records_dir: of the audit trail.
        actor: who has looked at the damage.
        reason: what it was, in that person's words.

    Raises:
        CxrError: that person is no lead by the rows that can still be read (code
            `not-allowed`), the trail is sound, there is no reason, or the folder can't
            be written.
    """
    actors.require(records_dir, actor, actors.ACKNOWLEDGE)
    hashes = {
        card.model_id: registry.card_sha256(models_dir, card.model_id)
        for card in registry.cards(models_dir)
    }
    if (models_dir / registry.LUNGS / CARD).is_file():
        hashes[registry.LUNGS] = registry.card_sha256(models_dir, registry.LUNGS)
    roles = {
        who: sorted(has) for who, has in actors.readable_roles(records_dir).items()
    }
    return audit.acknowledge(
        records_dir,
        actor=actor,
        reason=reason,
        details={CARDS: hashes, actors.KEPT: roles},
    )


def _pin(model_id: str) -> str | None:
    return shipped.CARD_SHA256.get(model_id)


def _changed(
    models_dir: Path, records_dir: Path, model_id: str, pin: str | None
) -> str:
    """Returns how a card differs from the one recorded or shipped; empty if it fits."""
    sha256 = registry.card_sha256(models_dir, model_id)
    if sha256 == pin:
        # A new version of the app may ship a model with more on its card.
        return ""
    entry = trusted_card(records_dir, model_id)
    if entry is not None:
        if _recorded_sha256(entry, model_id) == sha256:
            return ""
        return (
            f"The card is not the one recorded on {entry.time[:10]} ({entry.action} by "
            f"{entry.actor}): it was changed since."
        )
    if pin is not None:
        return "The card is not the one that shipped: it was changed since."
    return ""


def _recorded_sha256(entry: Entry, model_id: str) -> str | None:
    if entry.action == audit.RESTARTED:
        hashes = entry.details.get(CARDS)
        sha256 = hashes.get(model_id) if isinstance(hashes, dict) else None
    else:
        sha256 = entry.details.get("card_sha256") if entry.model_id == model_id else ""
    return sha256 if isinstance(sha256, str) and sha256 else None
