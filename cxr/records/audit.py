"""Who did what with which model: the rows of the audit trail.

How its rows seal each other, and what that can show, is `cxr.records.chain`.
"""

import getpass
import json
import logging
import os
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxr import disk, documents
from cxr.errors import CxrError
from cxr.records.chain import Chain, clean, guards
from cxr.records.database import Database, transaction

DATABASE = "audit.sqlite3"
HEAD = "audit.head.json"
RESTARTED = "restart"  # the first row after a damaged trail was set aside
VERSION = 1
SYSTEM = "system:"  # begins the name of a user of the command line
MAX_DETAILS_CHARACTERS = 20_000

_WHAT = "audit trail"
_COLUMNS = ("actor", "action", "model_id", "details")
_SCHEMA = f"""
CREATE TABLE entries (
    id INTEGER PRIMARY KEY,
    time TEXT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    model_id TEXT NOT NULL,
    details TEXT NOT NULL,
    previous TEXT NOT NULL,
    hash TEXT NOT NULL
);
CREATE TRIGGER no_update BEFORE UPDATE ON entries
BEGIN SELECT RAISE(ABORT, 'the {_WHAT} is never changed'); END;
{guards("entries", _WHAT)}
PRAGMA user_version = {VERSION};
"""
TRAIL = Database(
    what=_WHAT,
    file=DATABASE,
    schema=_SCHEMA,
    version=VERSION,
    damage="Until somebody has looked at it and acknowledged the damage (`python -m "
    "cxr models audit --acknowledge REASON`), no model serves and none is switched.",
    unwritable="What has to be recorded is not done until that is mended.",
)
logger = logging.getLogger(__name__)
_CHAIN = Chain(database=TRAIL, table="entries", head=HEAD, columns=_COLUMNS)

Row = tuple[int, str, str, str, str, str, str, str]
Signature = tuple[tuple[str, int, int, int, int], ...]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One row of the trail.

    Attributes:
        id: its number, from 1, without gaps.
        time: UTC, ISO 8601.
        actor: who did it.
        action: what was done, in a word or two.
        model_id: with which model; empty where none is meant.
        details: what else belongs to it, as JSON knows it.
        hash: SHA-256 over the row and the hash of the row before.
    """

    id: int
    time: str
    actor: str
    action: str
    model_id: str
    details: dict[str, Any]
    hash: str


def record(
    records_dir: Path,
    action: str,
    *,
    actor: str,
    model_id: str = "",
    details: Mapping[str, Any] | None = None,
) -> Entry:
    """Adds a row to the trail and returns it; it is on the disk then.

    Any number of processes may do this at the same time.

    Args:
        records_dir: where the trail is; made if it isn't there.
        action: what is done.
        actor: who does it.
        model_id: with which model.
        details: what JSON can hold; never anything about a patient.

    Raises:
        CxrError: code `records-read-only`, `records-damaged` (until a person
            acknowledges it), `records-newer`, `records-busy` or `disk-full`. Nothing
            was recorded, so what was to be recorded must not happen.
        ValueError: the details are no JSON, or too long.
    """
    text = _details_text(details or {})
    values = (clean(actor), clean(action), clean(model_id), text)
    with TRAIL.named_errors(records_dir), disk.writing(records_dir):
        _CHAIN.require_not_taken_away(records_dir)
        TRAIL.create(records_dir)
        with TRAIL.opened(records_dir) as database:
            with transaction(database):
                _CHAIN.require_whole(records_dir, database)
                row = _CHAIN.append(database, *values)
            _CHAIN.note_head(records_dir, database)
    return _entry(row)


def entries(
    records_dir: Path,
    *,
    limit: int | None = None,
    model_id: str | None = None,
    actions: Sequence[str] | None = None,
) -> list[Entry]:
    """Returns rows of the trail, the newest first; none where there is no trail yet.

    Args:
        records_dir: where the trail is.
        limit: at most so many; None for all.
        model_id: only rows about this model.
        actions: only rows of these actions.

    Raises:
        CxrError: as `record`.
    """
    wanted, values = ["1"], []
    if model_id is not None:
        wanted.append("model_id = ?")
        values.append(model_id)
    if actions is not None:
        wanted.append(f"action IN ({', '.join('?' * len(actions))})")
        values += actions
    query = (
        f"SELECT {_CHAIN.sealed} FROM entries WHERE {' AND '.join(wanted)} "
        f"ORDER BY id DESC LIMIT {-1 if limit is None else int(limit)}"
    )
    _CHAIN.require_not_taken_away(records_dir)
    if not TRAIL.is_there(records_dir):
        return []
    with (
        TRAIL.named_errors(records_dir),
        TRAIL.opened(records_dir, write=False) as database,
    ):
        rows = database.execute(query, values).fetchall()
        return [_entry(row) for row in rows]


def verify(records_dir: Path) -> list[str]:
    """Returns a sentence for each place where the chain is broken, none if it holds.

    A trail that can't be read gives a sentence, not an error. Nothing is changed.
    """
    try:
        is_there = TRAIL.is_there(records_dir)
    except CxrError as error:
        return [error.message]
    head = _CHAIN.read_head(records_dir)
    if not is_there:
        return [] if head is None else ["The audit trail is missing; its head is left."]
    try:
        with TRAIL.opened(records_dir, write=False) as database:
            return _CHAIN.problems(database, head)
    except (sqlite3.Error, CxrError, OSError, TypeError, ValueError) as error:
        return [f"The audit trail can't be read: {error}."]


def require_sound(records_dir: Path) -> None:
    """Makes sure that the trail holds: what it says of models and roles is believed.

    Raises:
        CxrError: it can't be read, or its chain is broken (code `records-damaged`).
    """
    if broken := verify(records_dir):
        entries(records_dir, limit=1)  # What can't be read says so itself.
        raise CxrError(
            f"The audit trail does not hold: {broken[0]} {TRAIL.damage}",
            code="records-damaged",
        )


def acknowledge(
    records_dir: Path,
    *,
    actor: str,
    reason: str,
    details: Mapping[str, Any] | None = None,
) -> Entry:
    """Sets a damaged trail aside and begins a new one, whose first row says so.

    Nothing of the old one is changed: its files get names that begin with `damaged-`.

    Args:
        records_dir: where the trail is.
        actor: who has looked at the damage.
        reason: what it was, in the words of that person.
        details: what else the first row keeps; what JSON can hold.

    Raises:
        CxrError: the trail is sound (code `records-sound`), there is no reason (code
            `reason`), or the folder can't be written.
    """
    if not reason.strip():
        raise CxrError("Say what was found and why it is acceptable.", code="reason")
    if not verify(records_dir):
        raise CxrError(
            "The audit trail is sound: there is nothing to acknowledge.",
            code="records-sound",
        )
    with TRAIL.named_errors(records_dir), disk.writing(records_dir):
        kept = TRAIL.set_aside(records_dir, HEAD)
        content = {**(details or {}), "set_aside": kept, "reason": reason.strip()}
        text = _details_text(content)
        row = (clean(actor), RESTARTED, "", text)
        TRAIL.create(records_dir, lambda database: _CHAIN.append(database, *row))
        with TRAIL.opened(records_dir) as database:
            _CHAIN.note_head(records_dir, database)
    return entries(records_dir)[-1]


def operating_system_user() -> str:
    """Returns who is at the command line: `system:` and the user of this process."""
    try:
        return f"{SYSTEM}{getpass.getuser()}"
    except (KeyError, OSError, ImportError):
        return f"{SYSTEM}{os.getuid()}"  # A container's number may have no name.


def signature(records_dir: Path) -> Signature:
    """Returns what changes when the trail does, for whoever keeps what it says."""
    stamps = []
    for name in (DATABASE, f"{DATABASE}-wal", HEAD):
        with suppress(OSError):
            stat = (records_dir / name).stat()
            # The time of the last change of a file's entry can't be set back. An empty
            # log is made anew by whoever reads.
            content = (stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
            if stat.st_size:
                stamps.append((name, *content))
    return tuple(stamps)


def note(
    records_dir: Path,
    action: str,
    *,
    actor: str,
    model_id: str = "",
    details: Mapping[str, Any] | None = None,
) -> None:
    """Records what ends something or frees space; that must work on a full disk too.

    Takes what `record` takes. A row that can't be written is a line of the log.
    """
    try:
        record(records_dir, action, actor=actor, model_id=model_id, details=details)
    except CxrError as error:
        logger.warning("%r is not in the audit trail: %s", action, error.code)


def _details_text(details: Mapping[str, Any]) -> str:
    plain = documents.plain(dict(details))
    try:
        text = json.dumps(plain, sort_keys=True, allow_nan=False)
    except TypeError as error:
        raise ValueError(f"expected details as JSON knows, received {details=}") from (
            error
        )
    if len(text) > MAX_DETAILS_CHARACTERS:
        raise ValueError(
            f"expected at most {MAX_DETAILS_CHARACTERS} characters of details, "
            f"received {len(text)}"
        )
    return text


def _entry(row: Row) -> Entry:
    number, time, actor, action, model_id, details, _, sealed = row
    try:
        content = json.loads(details)
    except (ValueError, TypeError, RecursionError):
        content = None
    return Entry(
        id=number,
        time=time,
        actor=actor,
        action=action,
        model_id=model_id,
        # A row that was altered is shown as far as it goes; `verify` names it.
        details=content if isinstance(content, dict) else {},
        hash=sealed,
    )
