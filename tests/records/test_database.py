"""One way to open a SQLite file: its checks, its versions, its steps and copies."""

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from kept_readings import cut, fold, overwrite_pages

from cxr.config import ROOT
from cxr.errors import CxrError
from cxr.records import database
from cxr.records.database import Database, transaction

FIRST = Database(
    what="notebook",
    file="notes.sqlite3",
    schema="CREATE TABLE notes (text TEXT NOT NULL); PRAGMA user_version = 1;",
    version=1,
    damage="Look at it.",
    unwritable="Nothing is noted.",
)
# A trigger has semicolons of its own.
STEP = """
ALTER TABLE notes ADD COLUMN number INTEGER;
UPDATE notes SET number = rowid;
CREATE TRIGGER no_delete BEFORE DELETE ON notes
BEGIN SELECT RAISE(ABORT, 'notes; stay'); END;
"""
SECOND = replace(FIRST, version=2, steps=(STEP,))
THIRD = replace(
    FIRST, version=3, steps=(STEP, "UPDATE notes SET number = number + 10;")
)


def put(kind: Database, folder: Path, text: str) -> None:
    kind.create(folder)
    with kind.opened(folder) as opened, transaction(opened):
        opened.execute("INSERT INTO notes (text) VALUES (?)", (text,))


def rows(path: Path, columns: str = "text") -> list[tuple]:
    with closing(sqlite3.connect(path)) as opened:
        return opened.execute(f"SELECT {columns} FROM notes ORDER BY rowid").fetchall()


@pytest.fixture
def older(records: Path) -> Path:
    """A folder with a file of version 1 with two rows."""
    for text in ("a", "b"):
        put(FIRST, records, text)
    return records


class TestVersions:
    @pytest.mark.parametrize("kind", [SECOND, THIRD])
    def test_case_f6_an_older_file_is_brought_up_to_date_after_a_copy(
        self, older, kind
    ):
        put(kind, older, "c")
        path = older / kind.file
        expected = [("a", 1), ("b", 2), ("c", None)]
        if kind is THIRD:
            expected = [("a", 11), ("b", 12), ("c", None)]
        assert rows(path, "text, number") == expected
        with kind.opened(older) as opened:
            assert opened.execute("PRAGMA user_version").fetchone() == (kind.version,)
            with pytest.raises(sqlite3.IntegrityError, match="notes; stay"):
                opened.execute("DELETE FROM notes")
        [copy] = kind.copies(older)
        assert copy.name.startswith("copy-v1-")
        assert rows(copy) == [("a",), ("b",)]
        assert copy.stat().st_mode & 0o077 == 0
        with closing(sqlite3.connect(copy)) as opened:
            assert opened.execute("PRAGMA user_version").fetchone() == (1,)

    def test_case_f6_a_file_is_copied_once_and_not_when_it_is_new(self, older):
        for text in "cd":
            put(SECOND, older, text)
        assert len(SECOND.copies(older)) == 1
        fresh = older / "fresh"
        put(replace(FIRST, schema=FIRST.schema), fresh, "a")
        assert FIRST.copies(fresh) == []

    def test_case_f6_a_file_that_is_only_read_is_brought_up_to_date_too(self, older):
        with SECOND.opened(older, write=False) as opened:
            assert opened.execute("SELECT number FROM notes").fetchall() == [(1,), (2,)]

    def test_case_f6_a_step_that_fails_leaves_the_older_version(self, older):
        broken = replace(SECOND, steps=(f"{STEP}\nINSERT INTO nowhere VALUES (1);",))
        for _ in range(2):
            with pytest.raises(CxrError) as refused:
                with broken.named_errors(older):
                    put(broken, older, "c")
            assert refused.value.code == "records-damaged"
        assert rows(older / FIRST.file) == [("a",), ("b",)]
        put(FIRST, older, "c")  # the older program goes on
        put(SECOND, older, "d")
        assert [text for (text,) in rows(older / FIRST.file)] == list("abcd")

    def test_case_f6_a_newer_file_is_left_alone(self, older):
        put(THIRD, older, "c")
        content = (older / FIRST.file).read_bytes()
        for write in (True, False):
            with pytest.raises(CxrError, match="newer version") as refused:
                with FIRST.opened(older, write=write):
                    pass
            assert refused.value.code == "records-newer"
        assert (older / FIRST.file).read_bytes() == content

    def test_case_f6_an_older_file_that_may_only_be_read_is_named(self, read_only):
        with read_only(lambda folder: put(FIRST, folder, "a")) as folder:
            with pytest.raises(CxrError, match="Nothing is noted") as refused:
                with SECOND.named_errors(folder), SECOND.opened(folder, write=False):
                    pass
        assert refused.value.code == "records-read-only"


KILLED = """
import os, signal, sys
from pathlib import Path
from cxr.records import database
sys.path.insert(0, "tests/records")
from dataclasses import replace
from test_database import SECOND, STEP

def statements(script):
    for number, statement in enumerate(original(script)):
        if number == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        yield statement

original = database._statements
database._statements = statements
if sys.argv[2] == "-1":
    database._copy = lambda source, target: os.kill(os.getpid(), signal.SIGKILL)
with SECOND.opened(Path(sys.argv[1])):
    pass
"""


class TestKilled:
    @pytest.mark.parametrize("place", [-1, 0, 1, 2])
    def test_case_f6_a_migration_that_was_killed_half_way_is_repeated(
        self, older, place
    ):
        for _ in range(2):
            killed = subprocess.run(
                [sys.executable, "-c", KILLED, str(older), str(place)],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
                timeout=60,
            )
            assert killed.returncode == -signal.SIGKILL
        assert rows(older / FIRST.file) == [("a",), ("b",)]
        put(SECOND, older, "c")
        assert rows(older / FIRST.file, "text, number") == [
            *(("a", 1), ("b", 2), ("c", None))
        ]
        assert all(rows(copy) == [("a",), ("b",)] for copy in SECOND.copies(older))


class TestPages:
    def test_a_file_that_grows_is_read_whole_once_in_a_process(
        self, records, monkeypatch
    ):
        asked = []
        check = database.check_pages
        monkeypatch.setattr(
            database, "check_pages", lambda opened: (asked.append(1), check(opened))
        )
        grows = replace(FIRST, grows=True)
        for number in range(50):
            put(grows, records, "x" * 500 * number)
        assert len(asked) == 1
        for _ in range(3):
            put(FIRST, records, "y")
        assert len(asked) == 4

    @pytest.mark.parametrize("damage", [cut, overwrite_pages])
    def test_case_f4_damage_to_a_file_that_grows_is_named(self, records, damage):
        grows = replace(FIRST, grows=True)
        for _ in range(20):
            put(grows, records, "x" * 3000)
        fold(records / FIRST.file)
        damage(records / FIRST.file)
        content = (records / FIRST.file).read_bytes()
        with pytest.raises(CxrError) as refused, grows.named_errors(records):
            with grows.opened(records, write=False) as opened:
                opened.execute("SELECT sum(length(text)) FROM notes").fetchone()
        assert refused.value.code == "records-damaged"
        assert (records / FIRST.file).read_bytes() == content

    @pytest.mark.parametrize("damage", [cut, overwrite_pages])
    def test_case_f4_damage_to_a_large_file_is_named_where_it_is_met(
        self, records, damage, monkeypatch
    ):
        monkeypatch.setattr(database, "LARGE", 0)
        self.test_case_f4_damage_to_a_file_that_grows_is_named(records, damage)

    def test_what_is_set_aside_is_as_it_was(self, older):
        content = (older / FIRST.file).read_bytes()
        (older / "other").write_text("o")
        names = FIRST.set_aside(older, "other", "missing")
        assert [name.split("-", 3)[-1] for name in names][-1] == "other"
        assert (older / names[0]).read_bytes() == content
        assert not FIRST.is_there(older)


class TestTransaction:
    def test_all_of_it_or_nothing(self, older):
        with FIRST.opened(older) as opened:
            with pytest.raises(KeyError), transaction(opened):
                opened.execute("INSERT INTO notes VALUES ('c')")
                raise KeyError
            with transaction(opened):
                opened.execute("INSERT INTO notes VALUES ('d')")
        assert [text for (text,) in rows(older / FIRST.file)] == ["a", "b", "d"]
