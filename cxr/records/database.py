"""The one way to open a lasting SQLite file: created whole, checked, errors named.

It owns opening, its errors, transactions and the steps from one version to the next,
and knows nothing of what the file holds. Nothing here mends a damaged file: a read
leaves it as it is; setting it aside is an act that a person asks for.
"""

import errno
import os
import random
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cxr import disk
from cxr.errors import CxrError

WAIT_SECONDS = 10.0
LARGE = 64_000_000  # bytes; to read a file of this size takes a tenth of a second

_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_CUT_SHORT = {sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_IOERR_CORRUPTFS}
_READ_ONLY = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
# What a write-ahead log answers where its shared memory can't be written.
_NO_LOG = _READ_ONLY | {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}
_NO_WRITING = {errno.EACCES, errno.EPERM, errno.EROFS}
_NOT_A_FOLDER = {errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP}
_NEARLY_NOTHING = 1_000_000  # bytes
_ASK_AGAIN = (0.001, 0.006)  # seconds between two tries to write
_LOGS = ("-wal", "-shm")  # end the names of the files that lie beside a database

# The size at which each file, by its device and inode, was sound in this process.
_SOUND: dict[tuple[int, int], int] = {}

Begin = Callable[[sqlite3.Connection], object]


@dataclass(frozen=True, kw_only=True)
class Database:
    """One kind of SQLite file, which lies in a folder of records.

    Attributes:
        what: its name in sentences, as "audit trail".
        file: its file name.
        schema: SQL that makes an empty one of this version.
        version: kept in the file as `user_version`, from 1.
        damage: what a reader of a damaged one is told to do, a sentence.
        unwritable: what it means that one can't be written, a sentence.
        steps: SQL that brings version 1 to 2, version 2 to 3, and so on.
        grows: whether it gets so large that its pages are not all read each time that
            it is opened: once in a process, and again if it got smaller, up to
            `LARGE`. Beyond that damage is noticed where it is met.
    """

    what: str
    file: str
    schema: str
    version: int
    damage: str
    unwritable: str
    steps: tuple[str, ...] = ()
    grows: bool = False

    def is_there(self, folder: Path) -> bool:
        """Returns whether the folder holds such a file, sound or not.

        Raises:
            CxrError: there can be no such folder (code `records-folder`), or it can't
                be looked into (`records-read-only`).
        """
        with self.named_errors(folder):
            try:
                (folder / self.file).stat()
            except FileNotFoundError:
                return False
        return True

    def create(self, folder: Path, begin: Begin | None = None) -> None:
        """Makes the file if it isn't there; of many callers at once one makes it.

        Args:
            folder: of the records; made if it isn't there.
            begin: called with a connection to the new file before others see it.
        """
        path = folder / self.file
        if self.is_there(folder):
            return
        folder.mkdir(parents=True, exist_ok=True)
        # Whole under another name first: SQLite can't switch to a write-ahead log while
        # others open the same new file.
        draft = folder / f".{self.file}.{uuid.uuid4().hex}.draft"
        try:
            with closing(sqlite3.connect(draft, isolation_level=None)) as database:
                database.execute("PRAGMA journal_mode = WAL")
                database.executescript(self.schema)
                if begin is not None:
                    begin(database)
            draft.chmod(0o600)
            with suppress(FileExistsError):  # Another process was first.
                os.link(draft, path)
        finally:
            _remove(draft)

    @contextmanager
    def opened(
        self, folder: Path, *, write: bool = True
    ) -> Iterator[sqlite3.Connection]:
        """Opens the file for one block; its transactions are begun and ended by hand.

        A file that may only be read, or lies on a full disk, is read as it is. One of
        an older version is copied and brought to this one first.

        Args:
            folder: of the records.
            write: whether it is to be written.

        Raises:
            CxrError: written by a newer version (code `records-newer`).
            sqlite3.Error: it is damaged, or can't be opened.
        """
        path = (folder / self.file).resolve()
        with closing(_connected(path, write=write)) as database:
            older = self._known_version(database) < self.version
            self._check(database, path)
            if not older:
                yield database
                return
        self._bring_up(path)
        with closing(_connected(path, write=write)) as database:
            yield database

    def copies(self, folder: Path) -> list[Path]:
        """Returns the copies that were made before a file was brought up to date."""
        return sorted(folder.glob(f"copy-*-{self.file}"))

    def set_aside(self, folder: Path, *others: str) -> list[str]:
        """Renames the file, its logs and other files to names that begin `damaged-`.

        Args:
            folder: of the records.
            others: names of files that belong to it.

        Returns:
            The new names of those that were there.
        """
        kept, stamp = [], _stamp()
        for name in (self.file, *(self.file + log for log in _LOGS), *others):
            with suppress(FileNotFoundError):
                (folder / name).rename(folder / f"damaged-{stamp}-{name}")
                kept.append(f"damaged-{stamp}-{name}")
        return kept

    @contextmanager
    def named_errors(self, folder: Path) -> Iterator[None]:
        """Turns what SQLite and the disk raise in a block into sentences.

        Raises:
            CxrError: code `records-read-only`, `records-folder`, `records-damaged`,
                `records-busy`, `records` or `disk-full`.
        """
        try:
            yield
        except sqlite3.Error as error:
            raise self._named(folder, error) from error
        except OSError as error:
            if error.errno in _NO_WRITING:
                raise self._read_only(folder) from error
            if error.errno in _NOT_A_FOLDER:
                raise CxrError(
                    f"{folder.name[:80]} is no folder: the {self.what} can't be kept "
                    "there. Set CXR_RECORDS_DIR to a folder.",
                    code="records-folder",
                ) from error
            raise CxrError(
                f"The {self.what} can't be used: {error.strerror or error}.",
                code="records",
            ) from error

    def damaged(self) -> CxrError:
        """Returns the error that says that a file is damaged."""
        return CxrError(
            f"The {self.what} is damaged. It was left as it is. {self.damage}",
            code="records-damaged",
        )

    def _check(self, database: sqlite3.Connection, path: Path) -> None:
        """Reads every page, but not each time of a file that grows."""
        stat = path.stat()
        identity, size = (stat.st_dev, stat.st_ino), stat.st_size
        if self.grows and (size > LARGE or _SOUND.get(identity, size + 1) <= size):
            return
        check_pages(database)
        _SOUND[identity] = size

    def _known_version(self, database: sqlite3.Connection) -> int:
        """Returns the version of a file, if this program is new enough for it."""
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version > self.version:
            raise CxrError(
                f"The {self.what} was written by a newer version of this program. "
                "Nothing was changed; use that version.",
                code="records-newer",
            )
        return int(version)

    def _bring_up(self, path: Path) -> None:
        """Brings a file of an older version to this one, in one transaction.

        A process that is killed in it leaves the old version; the next one begins
        again, with a copy of its own.
        """
        with closing(_connected(path, write=True)) as database:
            with transaction(database):
                version = self._known_version(database)
                if version == self.version:
                    return  # Another process was first.
                # Nobody else writes now, so what is copied is what is changed.
                _copy(path, path.with_name(f"copy-v{version}-{_stamp()}-{self.file}"))
                for step in self.steps[version - 1 :]:
                    for statement in _statements(step):
                        database.execute(statement)
                database.execute(f"PRAGMA user_version = {self.version}")

    def _named(self, folder: Path, error: sqlite3.Error) -> CxrError:
        # Extended codes keep the plain one in their lowest byte.
        extended = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        code = extended & 0xFF
        if code in _READ_ONLY:
            return self._read_only(folder)
        if code in _BUSY:
            return CxrError(
                f"The {self.what} is in use by others for too long. Try again.",
                code="records-busy",
            )
        if code == sqlite3.SQLITE_FULL or _out_of_space(code, folder):
            return CxrError(
                f"The disk is full: the {self.what} can't be written. Free some space "
                "and go on; what was stored before is unchanged.",
                code=disk.FULL,
            )
        if code in _DAMAGED or extended in _CUT_SHORT or _is_another(error):
            return self.damaged()
        return CxrError(f"The {self.what} can't be used: {error}.", code="records")

    def _read_only(self, folder: Path) -> CxrError:
        return CxrError(
            f"The {self.what} in {folder.name}/ can't be written: the folder is read-"
            f"only for this user. {self.unwritable}",
            code="records-read-only",
        )


@contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """Makes one transaction of a block, alone among the writers from its beginning.

    It is on the disk when the block ends; when the block raises, nothing of it is.
    """
    _begin(database)
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        # A full disk has ended the transaction already.
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


def _begin(database: sqlite3.Connection) -> None:
    """Waits for its turn to write, and begins.

    SQLite itself asks ever more seldom, at last every 100 ms: of sixteen processes that
    write without a pause, one that has waited long loses its turn to those that ask
    first, for more than 10 s. So everybody asks alike often here.
    """
    end = time.monotonic() + WAIT_SECONDS
    database.execute("PRAGMA busy_timeout = 0")
    try:
        while True:
            try:
                # Reading first and writing then would fail when another one writes.
                database.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
                if code & 0xFF not in _BUSY or time.monotonic() > end:
                    raise
            time.sleep(random.uniform(*_ASK_AGAIN))
    finally:
        database.execute(f"PRAGMA busy_timeout = {round(1000 * WAIT_SECONDS)}")


def _connected(path: Path, *, write: bool) -> sqlite3.Connection:
    modes = ["mode=rw"] if write else ["mode=ro", "mode=ro&immutable=1"]
    for mode in modes:
        database = sqlite3.connect(
            f"{path.as_uri()}?{mode}",
            uri=True,
            timeout=WAIT_SECONDS,
            isolation_level=None,
        )
        try:
            database.execute("PRAGMA synchronous = FULL")
            database.execute("SELECT count(*) FROM sqlite_master").fetchone()
            return database
        except sqlite3.OperationalError as error:
            # A write-ahead log can't be opened in a folder that can't be written;
            # a file that nobody can be writing to is read as it is.
            database.close()
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if mode == modes[-1] or code not in _NO_LOG:
                raise
        except sqlite3.Error:
            database.close()
            raise
    raise AssertionError


def check_pages(database: sqlite3.Connection) -> None:
    """Reads every page of an open database.

    Raises:
        sqlite3.DatabaseError: one is damaged; SQLite reads what was cut off as 0.
    """
    (answer,) = database.execute("PRAGMA quick_check(1)").fetchone()
    if answer != "ok":
        error = sqlite3.DatabaseError(answer)
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error


def _copy(source: Path, target: Path) -> None:
    """Copies a database with all that is committed, whole or not at all."""
    draft = target.with_name(f".{target.name}.draft")
    try:
        with (
            closing(_connected(source, write=False)) as database,
            closing(sqlite3.connect(draft)) as copy,
        ):
            draft.chmod(0o600)
            database.backup(copy)
        draft.replace(target)
    finally:
        _remove(draft)


def _remove(path: Path) -> None:
    for suffix in ("", *_LOGS):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _statements(script: str) -> Iterator[str]:
    """Yields the statements of a script; a trigger's own semicolons end none."""
    statement = ""
    for part in script.split(";")[:-1]:
        statement += f"{part};"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _stamp() -> str:
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"


def _out_of_space(code: int, folder: Path) -> bool:
    # The shared memory beside the database fails without saying why.
    return code == sqlite3.SQLITE_IOERR and disk.free(folder) < _NEARLY_NOTHING


def _is_another(error: sqlite3.Error) -> bool:
    # A sound database whose table was dropped, or that is somebody else's.
    return "no such table" in str(error) or "no such column" in str(error)
