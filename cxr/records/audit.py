"""Who did what with which model: rows that are only ever added, each sealing the last.

Each row holds the SHA-256 of itself and of the row before it, so a row that is altered,
exchanged or taken out of the middle breaks the chain at its place. Rows cut off the
end break nothing; therefore the newest hash is kept in a second file as well, the head.

What this shows: that the database was changed by anything but this module, and where.
What it can't show: a change by somebody who rewrites every later row and the head too,
because nothing here is secret from those who may write to the folder. Keep copies of
the head elsewhere where that matters. After a crash between row and head, the head is
one row behind, and that row's removal would go unseen until the next one is written.
"""

import getpass
import hashlib
import json
import logging
import os
import sqlite3
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cxr import disk, documents
from cxr.errors import CxrError
from cxr.records.database import Database

DATABASE = "audit.sqlite3"
HEAD = "audit.head.json"
RESTARTED = "restart"  # the first row after a damaged trail was set aside
VERSION = 1
FIRST_HASH = "0" * 64
MAX_NAME_CHARACTERS = 200
SYSTEM = "system:"  # begins the name of a user of the command line
MAX_DETAILS_CHARACTERS = 20_000

# A plain INSERT gives the next number; REPLACE would delete without a trigger.
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
CREATE TRIGGER only_the_next BEFORE INSERT ON entries
WHEN NEW.id IS NOT (SELECT coalesce(max(id), 0) + 1 FROM entries)
BEGIN SELECT RAISE(ABORT, 'the audit trail only grows at its end'); END;
CREATE TRIGGER no_update BEFORE UPDATE ON entries
BEGIN SELECT RAISE(ABORT, 'the audit trail is never changed'); END;
CREATE TRIGGER no_delete BEFORE DELETE ON entries
BEGIN SELECT RAISE(ABORT, 'the audit trail is never shortened'); END;
PRAGMA user_version = {VERSION};
"""
TRAIL = Database(
    what="audit trail",
    file=DATABASE,
    schema=_SCHEMA,
    version=VERSION,
    damage="Until somebody has looked at it and acknowledged the damage (`python -m "
    "cxr models audit --acknowledge REASON`), no model serves and none is switched.",
)
_TRIGGERS = {"only_the_next", "no_update", "no_delete"}
_COLUMNS = "id, time, actor, action, model_id, details, previous, hash"
logger = logging.getLogger(__name__)

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
    values = (_clean(actor), _clean(action), _clean(model_id), text)
    with TRAIL.named_errors(records_dir), disk.writing(records_dir):
        _require_not_taken_away(records_dir)
        TRAIL.create(records_dir)
        with TRAIL.opened(records_dir) as database:
            row = _append(database, values)
            _write_head(records_dir, database)
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
        f"SELECT {_COLUMNS} FROM entries WHERE {' AND '.join(wanted)} "
        f"ORDER BY id DESC LIMIT {-1 if limit is None else int(limit)}"
    )
    _require_not_taken_away(records_dir)
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
    head = _read_head(records_dir)
    if not is_there:
        return [] if head is None else ["The audit trail is missing; its head is left."]
    try:
        with TRAIL.opened(records_dir, write=False) as database:
            rows = database.execute(f"SELECT {_COLUMNS} FROM entries ORDER BY id")
            problems, hashes = _chain_problems(rows)
            objects = database.execute("SELECT name FROM sqlite_master").fetchall()
    except (sqlite3.Error, CxrError, OSError, TypeError, ValueError) as error:
        return [f"The audit trail can't be read: {error}."]
    if not _TRIGGERS <= {name for (name,) in objects}:
        problems.append("The guards against changes were taken out of the audit trail.")
    return problems + _head_problems(head, hashes)


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
        kept = _set_aside(records_dir)
        content = {**(details or {}), "set_aside": kept, "reason": reason.strip()}
        text = _details_text(content)
        TRAIL.create(
            records_dir,
            lambda database: _append(database, (_clean(actor), RESTARTED, "", text)),
        )
        with TRAIL.opened(records_dir) as database:
            _write_head(records_dir, database)
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


def _clean(name: str) -> str:
    # Half of a character pair is no text that a database or a hash could take.
    return name[:MAX_NAME_CHARACTERS].encode("utf-8", "replace").decode("utf-8")


def _require_not_taken_away(records_dir: Path) -> None:
    """Raises if the trail is gone and its head is left: a new one would hide that."""
    if not TRAIL.is_there(records_dir) and (records_dir / HEAD).exists():
        raise TRAIL.damaged()


def _set_aside(records_dir: Path) -> list[str]:
    """Renames database, log and head; returns the new names of what was there."""
    kept = []
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"
    for name in (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", HEAD):
        with suppress(FileNotFoundError):
            (records_dir / name).rename(records_dir / f"damaged-{stamp}-{name}")
            kept.append(f"damaged-{stamp}-{name}")
    return kept


def _append(database: sqlite3.Connection, values: tuple[str, str, str, str]) -> Row:
    actor, action, model_id, details = values
    # Reading first and writing then would fail at once when another one writes.
    database.execute("BEGIN IMMEDIATE")
    try:
        number, previous = _last(database)
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        content = (number + 1, now, actor, action, model_id, details, previous)
        row = (*content, _seal(content))
        database.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        database.execute("COMMIT")
    except BaseException:
        # A full disk has ended the transaction already.
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise
    return row


def _last(database: sqlite3.Connection) -> tuple[int, str]:
    newest = "SELECT id, hash FROM entries ORDER BY id DESC LIMIT 1"
    return database.execute(newest).fetchone() or (0, FIRST_HASH)


def _seal(content: Sequence[object]) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _write_head(records_dir: Path, database: sqlite3.Connection) -> None:
    """Notes the newest row; the row itself is safe already, so nothing is raised."""
    try:
        # Under the lock, or a slower process would put an older row into the head.
        database.execute("BEGIN IMMEDIATE")
        number, sealed = _last(database)
        documents.replace(records_dir / HEAD, {"id": number, "hash": sealed})
        database.execute("COMMIT")
    except (OSError, sqlite3.Error) as error:
        logger.warning("The head of the audit trail is a row behind: %s", error)


def _read_head(records_dir: Path) -> tuple[int, str] | None:
    try:
        text = (records_dir / HEAD).read_text(encoding="utf-8")
        content = json.loads(text)
        return int(content["id"]), str(content["hash"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, LookupError, RecursionError):
        return -1, ""


def _chain_problems(rows: sqlite3.Cursor) -> tuple[list[str], dict[int, str]]:
    problems: list[str] = []
    hashes: dict[int, str] = {}
    last, sealed = 0, FIRST_HASH
    for row in rows:
        number = row[0]
        if number < 1:
            problems.append(f"Row {number} was put in.")
        elif number != last + 1:
            problems.append(_missing(last + 1, number - 1))
        elif row[6] != sealed:
            problems.append(f"Row {number} doesn't continue the row before it.")
        if _seal(row[:-1]) != row[-1]:
            problems.append(f"Row {number} was altered.")
        last, sealed = number, str(row[-1])
        hashes[number] = sealed
    return problems, hashes


def _missing(first: int, last: int) -> str:
    if first == last:
        return f"Row {first} is missing."
    return f"Rows {first} to {last} are missing."


def _head_problems(
    head: tuple[int, str] | None, hashes: Mapping[int, str]
) -> list[str]:
    last = max(hashes, default=0)
    if head is None:
        return [] if last == 0 else ["The head of the audit trail is missing."]
    number, sealed = head
    if number < 0:
        return ["The head of the audit trail can't be read."]
    if number > last:
        return [f"{_missing(last + 1, number)[:-1]} at the end."]
    if number and hashes.get(number) not in (sealed, None):
        return [f"Row {number} is not the one that its head names."]
    return []


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
