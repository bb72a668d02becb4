"""What is done with a validation on local films: begun, resumed, stopped, deleted.

It owns the acts; `local` scores the films. Each act checks who may and records it. A
stop and a deletion are recorded where that can be: they work on a full disk too.
"""

import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from cxr import documents
from cxr.config import settings
from cxr.datasets.search import allowed
from cxr.errors import CxrError, JobError
from cxr.jobs import control, queues
from cxr.jobs.queues import CONFIG
from cxr.models import registry
from cxr.records import actors, audit
from cxr.validation import progress
from cxr.validation.local import LONGEST_NAME, Config, queue, read_config

VALIDATED = actors.VALIDATE  # the action in the audit trail


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a validation is to be of.

    Attributes:
        source: labelled folder or manifest.
        model_id: the model to validate.
        limit: the only folder below which films are read; None for any.
        name: what it is to be called; empty for the name of the films' folder.
    """

    source: Path
    model_id: str
    limit: Path | None = None
    name: str = ""


def start(source: str, model_id: str, *, actor: str, name: str = "") -> Path:
    """Has a model validated in the background and returns the validation's folder.

    The audit trail says who started it, on which folder of films.

    Args:
        source: path of the labelled folder or manifest, as somebody typed it.
        model_id: the model to validate.
        actor: who starts it, for the audit trail.
        name: what it is to be called; empty for the name of the films' folder.

    Raises:
        DatasetError: there are no such films, or the app may not read them.
        ModelError: there is no such model.
        JobError: the validation can't be started.
        CxrError: that person may not (code `not-allowed`), or the audit trail can't be
            written.
    """
    where = settings()
    actors.require(where.records_dir, actor, actors.VALIDATE)
    asked = Asked(
        source=allowed(source), model_id=model_id, limit=where.data_dir, name=name
    )
    folder = create(
        queue(), where.models_dir, asked, records_dir=where.records_dir, actor=actor
    )
    try:
        control.submit(folder, command(folder))
    except CxrError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


def resume(folder: Path, *, actor: str) -> None:
    """Lets a validation that ended early score the films that are missing.

    Args:
        folder: of the validation.
        actor: who lets it go on, for the audit trail.

    Raises:
        JobError: the folder holds no validation, or the job can't be started.
        CxrError: that person may not (code `not-allowed`), or the audit trail can't be
            written.
    """
    go_on(folder, settings().records_dir, actor=actor)
    control.submit(folder, command(folder))


def go_on(folder: Path, records_dir: Path, *, actor: str) -> None:
    """Records that a validation goes on; one that was started goes on by itself.

    Args:
        folder: of the validation.
        records_dir: of the audit trail.
        actor: who lets it go on.

    Raises:
        JobError: the folder holds no validation.
        CxrError: that person may not (code `not-allowed`), or the audit trail can't be
            written.
    """
    if control.is_this_process(folder):
        return
    actors.require(records_dir, actor, actors.VALIDATE)
    config = read_config(folder)
    audit.record(
        records_dir,
        VALIDATED,
        actor=actor,
        model_id=config.model_id,
        details={
            "validation": folder.name,
            "data": Path(config.data).name,
            "resumed": True,
        },
    )


def stop(folder: Path, *, actor: str) -> None:
    """Ends a validation; the films that are scored stay scored.

    Args:
        folder: of the validation.
        actor: who ends it, for the audit trail.

    Raises:
        CxrError: that person may not (code `not-allowed`).
        JobError: there is none, or another user of the machine started it.
    """
    _end(folder, actors.STOP_VALIDATION, actor)
    control.stop(folder)


def delete(folder: Path, *, actor: str) -> None:
    """Deletes a validation that has ended, with its scores; no film is touched.

    Args:
        folder: of the validation.
        actor: who deletes it, for the audit trail.

    Raises:
        CxrError: that person may not (code `not-allowed`).
        JobError: there is none, or it runs.
    """
    _end(folder, actors.DELETE_VALIDATION, actor)
    control.delete(folder)


def create(
    parent: Path, models_dir: Path, asked: Asked, *, records_dir: Path, actor: str
) -> Path:
    """Returns the new folder of a validation that has not begun to score.

    Args:
        parent: where validations are; made if need be.
        models_dir: the registry.
        asked: what it is to be of.
        records_dir: of the audit trail.
        actor: who starts it, for the audit trail.

    Raises:
        ModelError: there is no such model.
        JobError: the folder can't be written.
        CxrError: that person may not (code `not-allowed`), or the audit trail can't be
            written; nothing is left of the folder.
    """
    actors.require(records_dir, actor, actors.VALIDATE)
    try:
        parent.mkdir(parents=True, exist_ok=True)
        folder = queues.claim(parent)
    except OSError as error:
        raise progress.unwritable(error) from error
    try:
        begin(folder, models_dir, asked, records_dir=records_dir, actor=actor)
    except CxrError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


def begin(
    folder: Path, models_dir: Path, asked: Asked, *, records_dir: Path, actor: str
) -> None:
    """Writes into a folder what is asked for; the same again changes nothing.

    Before that, the audit trail says who begins it, on which folder of films. Takes and
    raises what `create` does, with the folder of the validation first; one that holds
    another validation is a `JobError` too.
    """
    actors.require(records_dir, actor, actors.VALIDATE)
    model_id = asked.model_id
    card = registry.read_card(models_dir, model_id)
    wanted = Config(
        data=str(asked.source.resolve()),
        model_id=model_id,
        model_sha256=card.weights_sha256,
        limit=str(asked.limit.resolve()) if asked.limit else "",
        name=asked.name.strip()[:LONGEST_NAME],
    )
    if (folder / CONFIG).exists():
        if read_config(folder) != wanted:
            raise JobError(
                f"{folder.name} holds the validation of another model or other films. "
                "Name another folder.",
                code="other-validation",
            )
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        details = {"validation": folder.name, "data": Path(wanted.data).name}
        audit.record(
            records_dir, VALIDATED, actor=actor, model_id=model_id, details=details
        )
        documents.replace(folder / CONFIG, asdict(wanted))
    except OSError as error:
        raise progress.unwritable(error) from error


def command(folder: Path) -> tuple[str, ...]:
    """Returns the command that runs a validation, or goes on with it."""
    return (sys.executable, "-m", "cxr", "validate", "--folder", str(folder))


def _end(folder: Path, act: str, actor: str) -> None:
    records_dir = settings().records_dir
    actors.require(records_dir, actor, act)
    details = {"validation": folder.name}
    audit.note(records_dir, act, actor=actor, details=details)
