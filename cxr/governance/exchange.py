"""Models that come in, go out or are joined: each act done and recorded as one.

It owns the acts; `models.transfer` and `models.ensembles` do the work. The row of each
holds the SHA-256 of the card, by which the model is known from then on.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from cxr.governance import trust
from cxr.models import ensembles, transfer
from cxr.models.cards import Card
from cxr.records import actors
from cxr.records.audit import Entry


def import_model(
    models_dir: Path, records_dir: Path, content: BinaryIO, *, actor: str
) -> Card:
    """Registers the model in a zip file as a candidate and returns its card.

    Args:
        models_dir: the registry.
        records_dir: of the audit trail.
        content: the zip file.
        actor: who does it.

    Raises:
        ModelError: it is no sound model.
        CxrError: that person may not (code `not-allowed`), or the registry or the audit
            trail can't be written.

    Whatever is raised, nothing was registered.
    """
    actors.require(records_dir, actor, actors.IMPORT)
    card = transfer.import_model(models_dir, content)
    with _undone(models_dir / card.model_id):
        trust.record_card(
            models_dir, records_dir, trust.IMPORTED, card.model_id, actor=actor
        )
    return card


def export_file(
    models_dir: Path, records_dir: Path, model_id: str, target: Path, *, actor: str
) -> Entry:
    """Writes a model into a new zip file and returns the row that says so.

    Args:
        models_dir: the registry.
        records_dir: of the audit trail.
        model_id: which model.
        target: the new file.
        actor: who does it.

    Raises:
        ModelError: no such model, or its files are not those on its card.
        CxrError: that person may not (code `not-allowed`), or the file or the audit
            trail can't be written; there is no new file.
    """
    actors.require(records_dir, actor, actors.EXPORT)
    transfer.export_file(models_dir, model_id, target)
    with _undone(target):
        return _record_export(models_dir, records_dir, model_id, actor)


def export_bytes(
    models_dir: Path, records_dir: Path, model_id: str, *, actor: str
) -> bytes:
    """Returns a model as a zip file, after recording that it went out.

    Args:
        models_dir: the registry.
        records_dir: of the audit trail.
        model_id: which model.
        actor: who does it.

    Raises:
        ModelError: no such model, or its files are not those on its card.
        CxrError: that person may not (code `not-allowed`), or the audit trail can't be
            written.
    """
    actors.require(records_dir, actor, actors.EXPORT)
    content = transfer.export_model(models_dir, model_id)
    _record_export(models_dir, records_dir, model_id, actor)
    return content


def join(models_dir: Path, records_dir: Path, ids: Sequence[str], *, actor: str) -> str:
    """Registers an ensemble of models as a candidate and returns its id.

    Args:
        models_dir: the registry.
        records_dir: of the audit trail.
        ids: its members, at least two.
        actor: who does it.

    Raises:
        ModelError: a member is missing or they don't fit together.
        CxrError: that person may not (code `not-allowed`), or the registry or the audit
            trail can't be written; nothing was registered.
    """
    actors.require(records_dir, actor, actors.JOIN)
    model_id = ensembles.create(models_dir, ids)
    with _undone(models_dir / model_id):
        trust.record_card(
            models_dir,
            records_dir,
            trust.JOINED,
            model_id,
            actor=actor,
            details={"members": list(ids)},
        )
    return model_id


@contextmanager
def _undone(made: Path) -> Iterator[None]:
    """Removes what was made if it can't be recorded: the row needs its hash first."""
    try:
        yield
    except BaseException:
        if made.is_dir():
            shutil.rmtree(made, ignore_errors=True)
        else:
            made.unlink(missing_ok=True)
        raise


def _record_export(
    models_dir: Path, records_dir: Path, model_id: str, actor: str
) -> Entry:
    return trust.record_card(
        models_dir, records_dir, trust.EXPORTED, model_id, actor=actor
    )
