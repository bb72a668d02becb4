"""Rows that are only ever added, each sealing the last; audit trail and history alike.

Each row holds the SHA-256 of itself and of the row before it, so a row that is altered,
exchanged or taken out of the middle breaks the chain at its place. Rows cut off the
end break nothing; therefore the newest hash is kept in a second file as well, the head.

What this shows: that the database was changed by anything but this program, and where.
What it can't show: a change by somebody who rewrites every later row and the head too,
because nothing here is secret from those who may write to the folder. Keep copies of
the head elsewhere where that matters. After a crash between row and head, the head is
one row behind, and that row's removal would go unseen until the next one is written.
"""

import hashlib
import json
import logging
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cxr import documents
from cxr.records.database import Database, transaction

FIRST_HASH = "0" * 64
MAX_NAME_CHARACTERS = 200

# What a chained table has, with a trigger of its own on what may be updated.
_GUARDS = {"only_the_next", "no_update", "no_delete"}

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Chain:
    """A table of sealed rows in a database, and the file that holds its newest hash.

    Its columns begin with `id` and `time`, and `previous` and `hash` follow those that
    are sealed with them; columns after `hash` are not sealed.

    Attributes:
        database: that the table is in.
        table: its name.
        head: the file.
        columns: between `time` and `previous`.
    """

    database: Database
    table: str
    head: str
    columns: tuple[str, ...]

    @property
    def sealed(self) -> str:
        """The columns that a hash is over, and the hash, for a query."""
        return ", ".join(("id", "time", *self.columns, "previous", "hash"))

    def append(
        self, database: sqlite3.Connection, *values: str, beside: Sequence[str] = ()
    ) -> tuple[Any, ...]:
        """Adds a row within a transaction and returns it.

        Args:
            database: in a transaction.
            values: of `columns`.
            beside: of the columns that are not sealed.
        """
        number, previous = self.last(database)
        content = (number + 1, now(), *values, previous)
        row = (*content, seal(content), *beside)
        places = ", ".join("?" * len(row))
        database.execute(f"INSERT INTO {self.table} VALUES ({places})", row)
        return row

    def last(self, database: sqlite3.Connection) -> tuple[int, str]:
        """Returns number and hash of the newest row."""
        newest = f"SELECT id, hash FROM {self.table} ORDER BY id DESC LIMIT 1"
        return database.execute(newest).fetchone() or (0, FIRST_HASH)

    def require_not_taken_away(self, folder: Path) -> None:
        """Makes sure that the database isn't gone while its head is left.

        Raises:
            CxrError: it is (code `records-damaged`): a new one would hide that.
        """
        if not self.database.is_there(folder) and (folder / self.head).exists():
            raise self.database.damaged()

    def require_whole(self, folder: Path, database: sqlite3.Connection) -> None:
        """Makes sure, within a transaction, that no row is missing at the end.

        Raises:
            CxrError: one is (code `records-damaged`): the next row would hide that.
        """
        head = self.read_head(folder)
        if head is not None and head[0] > self.last(database)[0]:
            raise self.database.damaged()

    def note_head(self, folder: Path, database: sqlite3.Connection) -> None:
        """Notes the newest row in the head.

        The row itself is safe already, so nothing is raised.
        """
        try:
            # Under the lock, or a slower process would put an older row into the head.
            with transaction(database):
                number, sealed = self.last(database)
                documents.replace(folder / self.head, {"id": number, "hash": sealed})
        except (OSError, sqlite3.Error) as error:
            what = self.database.what
            logger.warning("The head of the %s is a row behind: %s", what, error)

    def read_head(self, folder: Path) -> tuple[int, str] | None:
        """Returns number and hash in the head; None without one, -1 if it's damaged."""
        try:
            text = (folder / self.head).read_text(encoding="utf-8")
            content = json.loads(text)
            return int(content["id"]), str(content["hash"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, LookupError, RecursionError):
            return -1, ""

    def problems(
        self, database: sqlite3.Connection, head: tuple[int, str] | None
    ) -> list[str]:
        """Returns a sentence for each place where the chain is broken.

        Args:
            database: that is read.
            head: as `read_head` gave it before: rows may come meanwhile.
        """
        rows = database.execute(f"SELECT {self.sealed} FROM {self.table} ORDER BY id")
        named, what = None if head is None else head[0], self.database.what
        problems, last, hash_named = _broken(rows, named)
        triggers = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        if not _GUARDS <= {name for (name,) in database.execute(triggers)}:
            problems.append(f"The guards against changes were taken out of the {what}.")
        return problems + self._head_problems(head, last, hash_named)

    def _head_problems(
        self, head: tuple[int, str] | None, last: int, hash_named: str | None
    ) -> list[str]:
        what = self.database.what
        if head is None:
            return [] if last == 0 else [f"The head of the {what} is missing."]
        number, sealed = head
        if number < 0:
            return [f"The head of the {what} can't be read."]
        if number > last:
            return [f"{_missing(last + 1, number)[:-1]} at the end."]
        if hash_named not in (sealed, None):
            return [f"Row {number} is not the one that its head names."]
        return []


def guards(table: str, what: str) -> str:
    """Returns SQL of the triggers that let rows only be added, one after another.

    A plain INSERT gives the next number; REPLACE would delete without a trigger.

    Args:
        table: of the rows.
        what: its name in sentences.
    """
    return f"""
CREATE TRIGGER only_the_next BEFORE INSERT ON {table}
WHEN NEW.id IS NOT (SELECT coalesce(max(id), 0) + 1 FROM {table})
BEGIN SELECT RAISE(ABORT, 'the {what} only grows at its end'); END;
CREATE TRIGGER no_delete BEFORE DELETE ON {table}
BEGIN SELECT RAISE(ABORT, 'the {what} is never shortened'); END;
"""


def seal(content: Sequence[object]) -> str:
    """Returns the SHA-256 over the values of a row, as JSON."""
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def now() -> str:
    """Returns the time, UTC, ISO 8601 with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def clean(text: str, longest: int = MAX_NAME_CHARACTERS) -> str:
    """Returns a text as a database and a hash can take it, cut where it is too long."""
    # Half of a character pair is no text.
    return text[:longest].encode("utf-8", "replace").decode("utf-8")


def _broken(
    rows: Iterable[tuple[Any, ...]], named: int | None
) -> tuple[list[str], int, str | None]:
    """Returns what is wrong, the last number, and the hash of the row `named`."""
    problems: list[str] = []
    last, sealed, hash_named = 0, FIRST_HASH, None
    for row in rows:
        number, previous, own = row[0], row[-2], row[-1]
        if number < 1:
            problems.append(f"Row {number} was put in.")
        elif number != last + 1:
            problems.append(_missing(last + 1, number - 1))
        elif previous != sealed:
            problems.append(f"Row {number} doesn't continue the row before it.")
        if seal(row[:-1]) != own:
            problems.append(f"Row {number} was altered.")
        last, sealed = number, str(own)
        hash_named = sealed if number == named else hash_named
    return problems, last, hash_named


def _missing(first: int, last: int) -> str:
    if first == last:
        return f"Row {first} is missing."
    return f"Rows {first} to {last} are missing."
