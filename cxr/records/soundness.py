"""Whether the history holds, and what a person may do where it doesn't.

It owns the checks of the whole file, which take a while in a large one, and two acts:
to set a damaged history aside, and to make the rows of the cases anew from the events.
"""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from cxr import disk
from cxr.errors import CxrError
from cxr.records import actors, audit, events, keys
from cxr.records.database import check_pages, transaction
from cxr.records.events import case_of
from cxr.records.kept import DELETION, READING

SET_ASIDE, REBUILT = "set history aside", "rebuild history"
_AT_ONCE = 500  # cases that are held at a time


def obstacle(records_dir: Path) -> CxrError | None:
    """Returns why nothing can be kept now; None if it can. Nothing is changed."""
    try:
        with events.reading(records_dir) as database:
            if database is None:
                return None
        with events.HISTORY.named_errors(records_dir):
            with (
                events.HISTORY.opened(records_dir) as database,
                transaction(database),
            ):
                events.CHAIN.require_whole(records_dir, database)
            if not keys.is_sound(records_dir):
                raise keys.lost()
    except CxrError as error:
        return error
    return None


def verify(records_dir: Path) -> list[str]:
    """Returns a sentence for each thing that was altered, none if the history holds.

    A history that can't be read gives a sentence, not an error. Nothing is changed.
    """
    try:
        head = events.CHAIN.read_head(records_dir)
        with events.reading(records_dir) as database:
            if database is None:
                return []
            check_pages(database)
            altered = [
                *events.CHAIN.problems(database, head),
                *_content_problems(database),
            ]
            # What was altered may be no case any more.
            return altered or [*_case_problems(database)]
    except CxrError as error:
        return [error.message]
    except (TypeError, ValueError) as error:
        return [f"The history can't be read: {error}."]


def set_aside(records_dir: Path, *, actor: str, reason: str) -> list[str]:
    """Sets a damaged history aside, so that the next reading begins a new one.

    Nothing of the old one is changed: its files get names that begin with `damaged-`.
    Films that were kept stay where they are.

    Args:
        records_dir: of the history.
        actor: who has looked at the damage.
        reason: what it was, in the words of that person.

    Returns:
        The new names of the files.

    Raises:
        CxrError: that person may not (code `not-allowed`), the history is sound (code
            `records-sound`), there is no reason (code `reason`), or the folder or the
            audit trail can't be written.
    """
    actors.require(records_dir, actor, actors.ACKNOWLEDGE)
    if not reason.strip():
        raise CxrError("Say what was found and why it is acceptable.", code="reason")
    if not verify(records_dir) and obstacle(records_dir) is None:
        raise CxrError(
            "The history is sound: there is nothing to set aside.",
            code="records-sound",
        )
    details = {"reason": reason.strip()[: audit.MAX_DETAILS_CHARACTERS // 2]}
    audit.record(records_dir, SET_ASIDE, actor=actor, details=details)
    with events.HISTORY.named_errors(records_dir), disk.writing(records_dir):
        lost = [] if keys.is_sound(records_dir) else [keys.KEY]
        return events.HISTORY.set_aside(records_dir, events.HEAD, *lost)


def rebuild(records_dir: Path, *, actor: str) -> int:
    """Makes the rows that cases are searched by anew from the events.

    Args:
        records_dir: of the history.
        actor: who asks for it.

    Returns:
        How many cases there are.

    Raises:
        CxrError: that person may not (code `not-allowed`), or the history or the audit
            trail can't be written.
    """
    actors.require(records_dir, actor, actors.ACKNOWLEDGE)
    audit.record(records_dir, REBUILT, actor=actor)
    count = 0
    with events.writing(records_dir) as database:
        known = _case_ids(database)
        database.execute("DELETE FROM cases")
        database.execute("DELETE FROM tally")
        for case_ids in known:
            for found in events.events_of(database, case_ids).values():
                events.index(database, case_of(found))
            count += len(case_ids)
    return count


def _content_problems(database: sqlite3.Connection) -> Iterator[str]:
    deleted = {
        case_id
        for (case_id,) in database.execute(
            "SELECT case_id FROM events WHERE kind = ?", (DELETION,)
        )
    }
    rows = database.execute(
        "SELECT id, kind, case_id, content_hash, salt, content FROM events ORDER BY id"
    )
    for number, kind, case_id, sealed, salt, content in rows:
        if content is None or salt is None:
            if case_id not in deleted:
                yield f"Row {number} was emptied, and no deletion says why."
        elif events.content_hash(salt, content) != sealed:
            yield f"The content of row {number} was altered."
        elif case_id in deleted and kind != DELETION:
            yield f"Row {number} is of a deleted case and still has its content."


def _case_problems(database: sqlite3.Connection) -> Iterator[str]:
    """Yields what differs between the rows of the cases and what the events say."""
    there = 0
    for case_ids in _case_ids(database):
        expected = {
            case_id: events.row_of(case_of(found))
            for case_id, found in events.events_of(database, case_ids).items()
        }
        places = ", ".join("?" * len(case_ids))
        rows = database.execute(
            f"SELECT * FROM cases WHERE case_id IN ({places})", case_ids
        )
        rows_there = {row[1]: row for row in rows}
        there += len(rows_there)
        for case_id, row in expected.items():
            if rows_there.get(case_id) != row:
                yield f"Case {case_id} is not listed as its events have it."
    (listed,) = database.execute("SELECT count(*) FROM cases").fetchone()
    if listed != there:
        yield f"Cases are listed of which there are no events: {listed - there}."
    if not events.tally_holds(database):
        yield "The tally of the cases that are listed is wrong."


def _case_ids(database: sqlite3.Connection) -> Iterator[list[str]]:
    """Yields the ids of all cases, the oldest first, some at a time."""
    last = 0
    while rows := database.execute(
        "SELECT id, case_id FROM events WHERE kind = ? AND content IS NOT NULL "
        "AND id > ? ORDER BY id LIMIT ?",
        (READING, last, _AT_ONCE),
    ).fetchall():
        yield [case_id for _, case_id in rows]
        last = rows[-1][0]
