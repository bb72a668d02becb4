"""The file of the history: its events, in a chain, and one row a case to search by.

It owns these tables. What happens to a case is an event, which is only ever added; the
chain goes over the hash of an event's content, so that the content of a deleted case
can be emptied and the chain still holds. The row of a case, and the tally of the rows,
follow from the events, are written in the same transaction, and can be made anew.
"""

import hashlib
import json
import logging
import secrets
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cxr import disk, documents
from cxr.records import kept
from cxr.records.chain import Chain, clean, guards
from cxr.records.database import Database, transaction
from cxr.records.kept import DELETION, Event, KeptCase

FILE = "history.sqlite3"
HEAD = "history.head.json"
VERSION = 1
MAX_CONTENT_CHARACTERS = 100_000

_WHAT = "history"
# What is counted lies in the indices, so that no row is looked up for a count.
_COUNTED = "answer, opinion, disagreement, sample"
# By these alone cases are counted while they are written: a million are not read again.
_TALLIED = "model_id, reader, answer, opinion, disagreement, sample"
# An event may lose its content and its salt together, and nothing else may change.
_SCHEMA = f"""
CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    time TEXT NOT NULL,
    kind TEXT NOT NULL,
    case_id TEXT NOT NULL,
    actor TEXT NOT NULL,
    content_hash TEXT NOT NULL,
    previous TEXT NOT NULL,
    hash TEXT NOT NULL,
    salt TEXT,
    content TEXT
);
CREATE INDEX events_of_case ON events (case_id);
CREATE TRIGGER no_update BEFORE UPDATE ON events
WHEN NEW.content IS NOT NULL OR NEW.salt IS NOT NULL OR NEW.id IS NOT OLD.id
    OR NEW.time IS NOT OLD.time OR NEW.kind IS NOT OLD.kind
    OR NEW.case_id IS NOT OLD.case_id OR NEW.actor IS NOT OLD.actor
    OR NEW.content_hash IS NOT OLD.content_hash
    OR NEW.previous IS NOT OLD.previous OR NEW.hash IS NOT OLD.hash
BEGIN SELECT RAISE(ABORT, 'the {_WHAT} is never changed'); END;
{guards("events", _WHAT)}
CREATE TABLE cases (
    number INTEGER PRIMARY KEY,
    case_id TEXT NOT NULL UNIQUE,
    time TEXT NOT NULL,
    reader TEXT NOT NULL,
    worklist TEXT NOT NULL,
    film TEXT NOT NULL,
    patient TEXT NOT NULL,
    model_id TEXT NOT NULL,
    model_sha256 TEXT NOT NULL,
    threshold REAL NOT NULL,
    answer TEXT NOT NULL,
    code TEXT NOT NULL,
    probability REAL,
    logit REAL,
    frontal REAL,
    unlike REAL,
    brightness REAL,
    contrast REAL,
    sample INTEGER NOT NULL,
    opinion TEXT NOT NULL,
    pneumonia INTEGER,
    disagreement INTEGER NOT NULL,
    words TEXT NOT NULL
);
CREATE INDEX cases_by_time ON cases (time, {_COUNTED});
CREATE INDEX cases_by_answer ON cases (answer, time, opinion, disagreement, sample);
CREATE INDEX cases_by_model ON cases (model_id, time, {_COUNTED});
CREATE INDEX cases_by_reader ON cases (reader, time, {_COUNTED});
CREATE INDEX cases_of_list ON cases (worklist);
CREATE INDEX cases_of_patient ON cases (patient);
CREATE INDEX cases_of_film ON cases (film);
CREATE INDEX cases_reviewed ON cases (opinion, time, answer, disagreement, sample)
WHERE opinion != '';
CREATE INDEX cases_disputed ON cases (time, answer, opinion, sample)
WHERE disagreement;
CREATE INDEX cases_with_words ON cases (words) WHERE words != '';
CREATE TABLE tally (
    {_TALLIED},
    cases INTEGER NOT NULL,
    PRIMARY KEY ({_TALLIED})
) WITHOUT ROWID;
CREATE TRIGGER counted AFTER INSERT ON cases BEGIN
    INSERT INTO tally SELECT {_TALLIED}, 1 FROM cases WHERE number = NEW.number
    ON CONFLICT DO UPDATE SET cases = cases + 1;
END;
CREATE TRIGGER uncounted BEFORE DELETE ON cases BEGIN
    UPDATE tally SET cases = cases - 1 WHERE ({_TALLIED}) =
        (SELECT {_TALLIED} FROM cases WHERE number = OLD.number);
END;
PRAGMA user_version = {VERSION};
"""
HISTORY = Database(
    what=_WHAT,
    file=FILE,
    schema=_SCHEMA,
    version=VERSION,
    damage="Films are read on, but nothing is kept until somebody has looked at it and "
    "set it aside (`python -m cxr history check --set-aside REASON`).",
    unwritable="Films are read on, but nothing of them is kept until that is mended.",
    grows=True,
)
CHAIN = Chain(
    database=HISTORY,
    table="events",
    head=HEAD,
    columns=("kind", "case_id", "actor", "content_hash"),
)
_EVENT = "id, time, kind, case_id, actor, content"
_AT_ONCE = 500  # cases that one query asks for

logger = logging.getLogger(__name__)


@contextmanager
def writing(records_dir: Path) -> Iterator[sqlite3.Connection]:
    """Opens the history for one act, within one transaction; made if it isn't there.

    Raises:
        CxrError: code `records-read-only`, `records-folder`, `records-damaged`,
            `records-newer`, `records-busy` or `disk-full`. Nothing was written.
    """
    with HISTORY.named_errors(records_dir), disk.writing(records_dir):
        CHAIN.require_not_taken_away(records_dir)
        HISTORY.create(records_dir)
        with HISTORY.opened(records_dir) as database:
            # What is deleted is overwritten with zeros.
            database.execute("PRAGMA secure_delete = ON")
            with transaction(database):
                CHAIN.require_whole(records_dir, database)
                yield database
            CHAIN.note_head(records_dir, database)


@contextmanager
def reading(records_dir: Path) -> Iterator[sqlite3.Connection | None]:
    """Opens the history to be read; None where there is none yet.

    Raises:
        CxrError: as `writing`.
    """
    with HISTORY.named_errors(records_dir):
        CHAIN.require_not_taken_away(records_dir)
        if not HISTORY.is_there(records_dir):
            yield None
            return
        with HISTORY.opened(records_dir, write=False) as database:
            yield database


def append(
    database: sqlite3.Connection,
    kind: str,
    case_id: str,
    actor: str,
    content: Mapping[str, Any],
) -> Event:
    """Adds an event within a transaction and returns it.

    Args:
        database: in a transaction.
        kind: of the event.
        case_id: of the case.
        actor: who did it.
        content: what JSON can hold.

    Raises:
        ValueError: it is no JSON, or too long.
    """
    text = json.dumps(documents.plain(dict(content)), allow_nan=False)
    if len(text) > MAX_CONTENT_CHARACTERS:
        raise ValueError(
            f"expected at most {MAX_CONTENT_CHARACTERS} characters, received "
            f"{len(text)}"
        )
    salt = secrets.token_hex(16)
    values = (kind, case_id, clean(actor), content_hash(salt, text))
    row = CHAIN.append(database, *values, beside=(salt, text))
    return _event((*row[:5], text))


def content_hash(salt: str, content: str) -> str:
    """Returns the SHA-256 of a content under its salt.

    Without the salt nobody can try out what an emptied content was.
    """
    return hashlib.sha256(f"{salt}{content}".encode()).hexdigest()


def events_of(
    database: sqlite3.Connection, case_ids: Sequence[str]
) -> dict[str, list[Event]]:
    """Returns the events of each case, in their order; none for an unknown case."""
    events: dict[str, list[Event]] = {case_id: [] for case_id in case_ids}
    for start in range(0, len(case_ids), _AT_ONCE):
        some = case_ids[start : start + _AT_ONCE]
        rows = database.execute(
            f"SELECT {_EVENT} FROM events WHERE case_id IN "
            f"({', '.join('?' * len(some))}) ORDER BY id",
            list(some),
        )
        for row in rows:
            events[row[3]].append(_event(row))
    return events


def find(database: sqlite3.Connection, case_id: str) -> KeptCase | None:
    """Returns a case; None if there is none, or it was deleted."""
    events = events_of(database, [case_id])[case_id]
    if not events or events[-1].kind == DELETION:
        return None
    return case_of(events)


def case_of(events: Sequence[Event]) -> KeptCase:
    """Returns what the events of one case come to.

    Raises:
        CxrError: they are not those of a case (code `records-damaged`).
    """
    try:
        return kept.case_of(events)
    except (ValueError, TypeError) as error:
        raise HISTORY.damaged() from error


def is_there(database: sqlite3.Connection, case_id: str) -> bool:
    """Returns whether there is such a case."""
    query = "SELECT count(*) FROM cases WHERE case_id = ?"
    return bool(database.execute(query, (case_id,)).fetchone()[0])


def index(database: sqlite3.Connection, case: KeptCase) -> None:
    """Writes the row of a case, or writes it anew, within a transaction."""
    row = row_of(case)
    places = ", ".join("?" * len(row))
    database.execute("DELETE FROM cases WHERE number = ?", (case.number,))
    database.execute(f"INSERT INTO cases VALUES ({places})", row)


def empty(database: sqlite3.Connection, case_id: str) -> None:
    """Empties the events of a case and removes its row, within a transaction."""
    database.execute(
        "UPDATE events SET content = NULL, salt = NULL WHERE case_id = ?", (case_id,)
    )
    database.execute("DELETE FROM cases WHERE case_id = ?", (case_id,))


def tally_holds(database: sqlite3.Connection) -> bool:
    """Returns whether the tally is what counting the rows of the cases gives."""
    tallied = f"SELECT {_TALLIED}, cases FROM tally WHERE cases != 0"
    counted = f"SELECT {_TALLIED}, count(*) FROM cases GROUP BY {_TALLIED}"
    for more, less in ((tallied, counted), (counted, tallied)):
        if database.execute(f"{more} EXCEPT {less}").fetchone():
            return False
    return True


def row_of(case: KeptCase) -> tuple[Any, ...]:
    """Returns the row of a case, in the order of the table's columns."""
    read, worklist = case.reading, case.reading.worklist if case.listed else ""
    return (
        *(case.number, case.case_id, case.time, case.reader, worklist, read.film),
        *(read.patient, read.model_id, read.model_sha256, read.threshold, read.answer),
        *(read.code, read.probability, read.logit, read.frontal, read.unlike),
        *(read.brightness, read.contrast, int(read.sample), case.opinion),
        None if case.pneumonia is None else int(case.pneumonia),
        *(int(case.disagreement), case.reason.casefold()),
    )


def _event(row: Sequence[Any]) -> Event:
    number, time, kind, case_id, actor, text = row
    try:
        content = None if text is None else json.loads(text)
    except (ValueError, RecursionError) as error:
        raise HISTORY.damaged() from error
    return Event(
        id=number,
        time=time,
        kind=kind,
        case_id=case_id,
        actor=actor,
        content=content,
    )


def forget(records_dir: Path) -> None:
    """Empties the log of what was deleted and removes copies that still hold it.

    Where others read at the same time the log is emptied by the next deletion, or when
    the last of them has left.
    """
    with HISTORY.opened(records_dir) as database:
        ((busy, *_),) = database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        if busy:
            logger.warning("What was deleted is still in the log of the history.")
    for copy in HISTORY.copies(records_dir):
        copy.unlink(missing_ok=True)
