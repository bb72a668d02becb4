"""The registered models: cards, hashes, and which one serves.

A model is a folder `models/<model_id>/` with a card; a folder without a readable card
is no model. `models/active.json` names the one that serves. Nothing in a model folder
is ever executed: the network is read by OpenVINO as data, arrays without pickle.
"""

import csv
import errno
import hashlib
import io
import json
import math
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from cxr import disk, documents
from cxr.errors import CxrError, ModelError
from cxr.evaluation.scores import Scores
from cxr.models import scores
from cxr.models.cards import CARD, NETWORK, NETWORK_WEIGHTS, Card, FileRecord, Member
from cxr.models.scores import SCORES, SPLIT

ACTIVE = "active.json"

MAX_CARD_CHARACTERS = 1_000_000
LEFT_AFTER_SECONDS = 6 * 3600.0
LUNGS = "lungs"  # the folder of the lung network, which is no model
_MODEL_ID = re.compile(r"[a-z0-9][a-z0-9.-]{0,63}")


def cards(models_dir: Path) -> list[Card]:
    """Returns the cards of all models, newest first; unreadable folders are left out.

    `python -m cxr models verify` names what is wrong with those.
    """
    readable = []
    for name in names(models_dir):
        try:
            readable.append(read_card(models_dir, name))
        except ModelError:
            continue
    return sorted(readable, key=lambda card: card.created, reverse=True)


def names(models_dir: Path) -> list[str]:
    """Returns the names of all folders with a card, sorted, damaged ones too.

    Drafts and the lung network are no models.
    """
    folders = (path.parent.name for path in models_dir.glob(f"[!.]*/{CARD}"))
    return sorted(name for name in folders if name != LUNGS)


def read_card(models_dir: Path, model_id: str) -> Card:
    """Returns the card of one model.

    A figure that is undefined or infinite is null in the file and nan on the card.

    Raises:
        ModelError: no such model, or its card can't be read.
    """
    folder = folder_of(models_dir, model_id)
    # A link could lead out of the registry.
    if folder.is_symlink() or not (folder / CARD).is_file():
        raise ModelError(
            f"There is no model {model_id}. `python -m cxr models` lists those there.",
            code="no-such-model",
        )
    try:
        with (folder / CARD).open(encoding="utf-8") as file:
            card = _parsed(file.read(MAX_CARD_CHARACTERS))
    except documents.DAMAGE as error:
        raise ModelError(
            f"The card of model {model_id} is damaged.", code="damaged-card"
        ) from error
    if card.model_id != model_id:
        raise ModelError(
            f"The folder {model_id} holds the card of {card.model_id}.",
            code="damaged-card",
        )
    return card


@lru_cache(maxsize=8)
def _parsed(text: str) -> Card:
    # Every run of a page reads the active card, which is seldom another one.
    return documents.parse(text, Card)


def card_sha256(models_dir: Path, model_id: str) -> str:
    """Returns the SHA-256 of the file that is a model's card, or the lung network's.

    Raises:
        ModelError: no such model.
    """
    is_lungs = model_id == LUNGS
    folder = models_dir / LUNGS if is_lungs else folder_of(models_dir, model_id)
    try:
        with _opened(folder / CARD) as file:
            content = file.read(MAX_CARD_CHARACTERS * 4)
    except OSError as error:
        raise ModelError(
            f"The card of model {model_id} can't be read.", code="damaged-card"
        ) from error
    return hashlib.sha256(content).hexdigest()


def write_card(models_dir: Path, card: Card) -> None:
    """Writes a card into its folder, replacing an earlier one in one step."""
    documents.replace(folder_of(models_dir, card.model_id) / CARD, asdict(card))


def folder_of(models_dir: Path, model_id: str) -> Path:
    """Returns a model's folder, whether or not it is there.

    Raises:
        ModelError: that is not a model id (it could lead out of the registry).
    """
    if not is_model_id(model_id):
        raise ModelError(f"{model_id[:80]!r} is not a model id.", code="no-such-model")
    return models_dir / model_id


def new_id(models_dir: Path, kind: str) -> str:
    """Returns a name for a new model that no other has: kind, day and a number."""
    stem = f"{kind}-{datetime.now(UTC):%Y-%m-%d}"
    taken = {path.name for path in models_dir.iterdir()}
    number = 1
    while f"{stem}-{number}" in taken:
        number += 1
    return f"{stem}-{number}"


def is_model_id(text: str) -> bool:
    """Returns whether a text may name a model: lower case, digits, dots and dashes.

    `active.json`, which names the active model, is not an id, nor is the folder of the
    lung network.
    """
    return _MODEL_ID.fullmatch(text) is not None and text not in (ACTIVE, LUNGS)


def active_id(models_dir: Path) -> str:
    """Returns the id of the model that serves.

    Raises:
        ModelError: none is active; nothing may be predicted then.
    """
    try:
        content = json.loads((models_dir / ACTIVE).read_text(encoding="utf-8"))
        return str(content["model_id"])
    except documents.DAMAGE as error:
        raise ModelError(
            f"No model is active in {models_dir.name}/. Train one, or activate one "
            "with `python -m cxr models activate ID`.",
            code="no-active-model",
        ) from error


def activate(models_dir: Path, model_id: str) -> Card:
    """Makes a model the one that serves, after its files were verified.

    Whether it also gives its golden scores is for `inference.activate` to find out.

    Raises:
        ModelError: no such model, or a file is not what its card says.
    """
    card = read_card(models_dir, model_id)
    if problems := verify(models_dir, card):
        raise ModelError(
            f"{model_id} was not activated: {problems[0]}", code="damaged-model"
        )
    documents.replace(models_dir / ACTIVE, {"model_id": model_id})
    return card


def verify(models_dir: Path, card: Card) -> list[str]:
    """Returns a sentence for each file that differs from the card, none if all fit.

    The networks of an ensemble's members are among these files.
    """
    folder = folder_of(models_dir, card.model_id)
    files = [(name, folder / name, record) for name, record in card.files.items()]
    for member in card.members:
        theirs = folder_of(models_dir, member.model_id)
        for name, record in (
            (NETWORK, member.network),
            (NETWORK_WEIGHTS, member.weights),
        ):
            files.append((f"{name} of {member.model_id}", theirs / name, record))
    problems = []
    for name, path, record in files:
        try:
            if _record(path) != record:
                problems.append(f"The file {name} was changed (its SHA-256 differs).")
        except OSError:
            problems.append(f"The file {name} is missing.")
    return problems


def read_file(models_dir: Path, card: Card, name: str) -> bytes:
    """Returns the bytes of one of the model's files, after comparing their hash.

    Args:
        models_dir: where the registered models are.
        card: of the model.
        name: of the file, as on the card.

    Raises:
        ModelError: the file is missing, not on the card, or was changed.
    """
    if name not in card.files:
        raise _damaged(card, f"The card lists no {name}.")
    return _read(folder_of(models_dir, card.model_id) / name, card.files[name], card)


def read_member(models_dir: Path, card: Card, member: Member) -> tuple[bytes, bytes]:
    """Returns graph and weights of one member of an ensemble, hashes compared.

    Args:
        models_dir: where the registered models are.
        card: of the ensemble.
        member: the one to read, from the card.

    Raises:
        ModelError: a file is missing or is not that of the ensemble's making.
    """
    folder = folder_of(models_dir, member.model_id)
    return (
        _read(folder / NETWORK, member.network, card),
        _read(folder / NETWORK_WEIGHTS, member.weights, card),
    )


def read_scores(
    models_dir: Path, card: Card, split: str, *, table: str = SCORES
) -> Scores:
    """Returns the model's stored scores of one split, in the order of the file.

    Args:
        models_dir: where the registered models are.
        card: of the model.
        split: such as `validation` or `test`.
        table: `SCORES`, or `PLACES` for the films of other places.

    Raises:
        ModelError: the file was changed or has no such split.
    """
    tables = [read_file(models_dir, card, name) for name in (table, SPLIT)]
    try:
        stored = scores.parse(tables[0], tables[1], split)
    except (*documents.DAMAGE, csv.Error) as error:
        raise _damaged(card, f"The file {table} can't be understood.") from error
    if stored is None:
        raise ModelError(f"Model {card.model_id} has no scores of the split {split}.")
    return stored


def active_test_scores(models_dir: Path) -> tuple[Scores | None, str]:
    """Returns the active model's scores of its test films, and its id.

    Where there is no model that can be read, these are None and an empty text.
    """
    try:
        card = read_card(models_dir, active_id(models_dir))
        return read_scores(models_dir, card, "test"), card.model_id
    except ModelError:
        return None, ""


def read_split(models_dir: Path, card: Card) -> Mapping[str, str]:
    """Returns the split of each film that made the model, by the film's SHA-256.

    Raises:
        ModelError: the file was changed or is no such table.
    """
    content = read_file(models_dir, card, SPLIT)
    try:
        return scores.split_of(content)
    except (KeyError, csv.Error) as error:
        raise _damaged(card, f"The file {SPLIT} can't be understood.") from error


def file_records(folder: Path) -> dict[str, FileRecord]:
    """Returns hash and size of every file in a model folder but the card, by name."""
    return {
        path.name: _record(path)
        for path in sorted(folder.iterdir())
        if path.name != CARD and path.is_file()
    }


@contextmanager
def writing(models_dir: Path) -> Iterator[None]:
    """Turns an error of writing the registry into one that says what prevents it.

    Raises:
        CxrError: the disk is full (code `disk-full`), or this user may not write there
            (code `models-read-only`).
    """
    try:
        with disk.writing(models_dir):
            yield
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        raise CxrError(
            f"The folder {models_dir.name}/ is read-only for this user. No model can "
            "be added, and which one serves can't be changed.",
            code="models-read-only",
        ) from error


def sweep(models_dir: Path, *, older_than: float = LEFT_AFTER_SECONDS) -> list[str]:
    """Removes what a killed publication, import or switch left; returns the names.

    Only drafts are removed, which are no models, and only those that nobody has
    written to for a while: another process may be at work on one.

    Args:
        models_dir: the registry.
        older_than: seconds since the last change.
    """
    swept = []
    for draft in (*models_dir.glob(f"{disk.DRAFT}*"), *models_dir.glob(".*.draft")):
        if _quiet_seconds(draft) <= older_than:
            continue
        # One that can't be removed is no reason not to start.
        with suppress(OSError):
            if draft.is_dir() and not draft.is_symlink():
                shutil.rmtree(draft)
            else:
                draft.unlink()
            swept.append(draft.name)
    return swept


def _quiet_seconds(draft: Path) -> float:
    if draft.is_symlink():
        return math.inf
    return min(disk.age(path) for path in (draft, *draft.rglob("*")))


def _damaged(card: Card, what: str) -> ModelError:
    return ModelError(
        f"Model {card.model_id} doesn't serve. {what}", code="damaged-model"
    )


def _read(path: Path, record: FileRecord, card: Card) -> bytes:
    of = "" if path.parent.name == card.model_id else f" of {path.parent.name}"
    try:
        with _opened(path) as file:
            # One byte more than it should have is enough to see that it was changed.
            content = file.read(record.size + 1)
    except OSError as error:
        raise _damaged(card, f"The file {path.name}{of} can't be read.") from error
    if hashlib.sha256(content).hexdigest() != record.sha256:
        raise _damaged(
            card, f"The file {path.name}{of} was changed (its SHA-256 differs)."
        )
    return content


def _opened(path: Path) -> io.BufferedReader:
    # A pipe or device would be read for ever.
    if not path.is_file():
        raise FileNotFoundError(path.name)
    return path.open("rb")


def _record(path: Path) -> FileRecord:
    with _opened(path) as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return FileRecord(sha256=digest, size=path.stat().st_size)
