"""The audit trail: what it keeps, what it shows of changes, many writers, bad disks."""

import json
import logging
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from kept_readings import cut, overwrite_header, overwrite_pages, tamper

from cxr.config import ROOT
from cxr.errors import CxrError
from cxr.records import audit, chain, database


@pytest.fixture
def five_rows(records: Path) -> Path:
    for number in range(1, 6):
        audit.record(records, "act", actor="ann", model_id=f"m{number}", details={})
    return records


@pytest.fixture
def without_rights(read_only) -> Iterator[Path]:
    """A records folder of five rows that this process may read and not write."""
    with read_only(lambda records: audit.record(records, "act", actor="ann")) as place:
        yield place


class TestRows:
    def test_a_row_comes_back_as_it_was_recorded(self, records):
        details = {"previous": None, "gates": {"AUC": "+0.01"}, "n": 3}
        entry = audit.record(
            records, "promote", actor="ann@x.org", model_id="m-1", details=details
        )
        assert audit.entries(records) == [entry]
        assert (entry.id, entry.actor, entry.action) == (1, "ann@x.org", "promote")
        assert (entry.model_id, entry.details) == ("m-1", details)
        assert entry.time.endswith("+00:00") and len(entry.hash) == 64

    def test_the_newest_is_first_and_a_limit_keeps_the_newest(self, five_rows):
        assert [e.id for e in audit.entries(five_rows)] == [5, 4, 3, 2, 1]
        assert [e.id for e in audit.entries(five_rows, limit=2)] == [5, 4]

    def test_rows_of_a_model_or_of_actions(self, five_rows):
        audit.record(five_rows, "other", actor="bob", model_id="m3")
        assert [e.id for e in audit.entries(five_rows, model_id="m3")] == [6, 3]
        assert [e.id for e in audit.entries(five_rows, actions=["other"])] == [6]
        assert audit.entries(five_rows, model_id="m3' OR '1") == []

    def test_without_a_trail_there_is_nothing_and_nothing_is_made(self, records):
        assert audit.entries(records) == []
        assert audit.verify(records) == []
        assert not records.exists()

    @pytest.mark.parametrize("name", ["Zoë 名前", "\ud800", "a\0b", "x" * 999, "'; --"])
    def test_any_name_can_be_recorded(self, records, name):
        audit.record(records, "act", actor=name, model_id=name)
        assert audit.verify(records) == []
        assert len(audit.entries(records)[0].actor) <= chain.MAX_NAME_CHARACTERS

    def test_what_is_not_finite_is_null(self, records):
        audit.record(records, "act", actor="ann", details={"auc": float("nan")})
        assert audit.entries(records)[0].details == {"auc": None}

    @pytest.mark.parametrize("details", [{"x": object()}, {"x": "y" * 30_000}])
    def test_details_that_can_not_be_kept_are_wrong_use(self, records, details):
        with pytest.raises(ValueError, match="expected"):
            audit.record(records, "act", actor="ann", details=details)
        assert audit.entries(records) == []

    def test_others_can_not_read_the_trail(self, five_rows):
        mode = (five_rows / audit.DATABASE).stat().st_mode
        assert mode & 0o077 == 0


class TestChain:
    def test_a_trail_that_nobody_touched_holds(self, five_rows):
        assert audit.verify(five_rows) == []

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE entries SET actor = 'bob' WHERE id = 2",
            "DELETE FROM entries WHERE id = 5",
            "DELETE FROM entries",
            "REPLACE INTO entries SELECT 2, time, 'bob', action, model_id, details, "
            "previous, hash FROM entries WHERE id = 2",
            "INSERT INTO entries SELECT 9, time, actor, action, model_id, details, "
            "previous, hash FROM entries WHERE id = 2",
        ],
    )
    def test_the_database_itself_refuses_a_change(self, five_rows, statement):
        with closing(sqlite3.connect(five_rows / audit.DATABASE)) as database:
            with pytest.raises(sqlite3.IntegrityError, match="the audit trail"):
                database.execute(statement)
        assert audit.verify(five_rows) == []

    @pytest.mark.parametrize(
        ("statement", "problem"),
        [
            ("UPDATE entries SET actor = 'bob' WHERE id = 2", "Row 2 was altered."),
            ("UPDATE entries SET details = '{\"a\":1}' WHERE id = 5", "Row 5 was alt"),
            ("UPDATE entries SET time = '2020' WHERE id = 1", "Row 1 was altered."),
            ("DELETE FROM entries WHERE id = 3", "Row 3 is missing."),
            ("DELETE FROM entries WHERE id IN (1, 2)", "Rows 1 to 2 are missing."),
            ("DELETE FROM entries WHERE id = 5", "Row 5 is missing at the end."),
            ("DELETE FROM entries WHERE id > 3", "Rows 4 to 5 are missing at the end."),
            ("DELETE FROM entries", "Rows 1 to 5 are missing at the end."),
        ],
    )
    def test_the_place_of_a_change_is_named(self, five_rows, statement, problem):
        tamper(five_rows / audit.DATABASE, statement)
        [found] = audit.verify(five_rows)
        assert found.startswith(problem)

    @pytest.mark.parametrize(
        ("row", "problem"), [(2, "Row 3 doesn't continue"), (5, "Row 5 is not the one")]
    )
    def test_an_exchanged_row_with_a_hash_of_its_own_is_seen(
        self, five_rows, row, problem
    ):
        with closing(sqlite3.connect(five_rows / audit.DATABASE)) as database:
            query = f"SELECT {audit._CHAIN.sealed} FROM entries WHERE id = {row}"
            content = list(database.execute(query).fetchone())[:-1]
        content[2] = "bob"
        sealed = chain.seal(content)
        tamper(
            five_rows / audit.DATABASE,
            f"UPDATE entries SET actor = 'bob', hash = '{sealed}' WHERE id = {row}",
        )
        [found] = audit.verify(five_rows)
        assert found.startswith(problem)

    def test_a_trail_or_head_that_was_taken_away_is_seen(self, five_rows):
        head = (five_rows / audit.HEAD).read_text()
        (five_rows / audit.HEAD).unlink()
        assert audit.verify(five_rows) == ["The head of the audit trail is missing."]
        (five_rows / audit.HEAD).write_text("[")
        assert "can't be read" in audit.verify(five_rows)[0]
        (five_rows / audit.HEAD).write_text(head)
        (five_rows / audit.DATABASE).unlink()
        assert "is missing" in audit.verify(five_rows)[0]

    def test_guards_that_were_taken_out_are_seen(self, five_rows):
        with closing(sqlite3.connect(five_rows / audit.DATABASE)) as database:
            database.execute("DROP TRIGGER no_delete")
        assert "guards" in audit.verify(five_rows)[0]

    def test_a_head_one_row_behind_is_no_alarm(self, five_rows):
        behind = (five_rows / audit.HEAD).read_text()
        audit.record(five_rows, "act", actor="ann")
        (five_rows / audit.HEAD).write_text(behind)
        assert audit.verify(five_rows) == []

    def test_a_row_whose_details_were_spoilt_is_shown_without_them(self, five_rows):
        tamper(
            five_rows / audit.DATABASE, "UPDATE entries SET details = '[' WHERE id = 5"
        )
        assert audit.entries(five_rows, limit=1)[0].details == {}


WRITER = """
import sys
from pathlib import Path
from cxr.records import audit
for number in range(int(sys.argv[2])):
    place, actor, details = Path(sys.argv[1]), sys.argv[3], {"n": number}
    entry = audit.record(place, "act", actor=actor, details=details)
    print(entry.id, flush=True)
"""


def writer(records: Path, rows: int, name: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(records), str(rows), name],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


class TestWriters:
    def test_many_processes_write_and_no_row_is_lost(self, records):
        # All of them find no trail at first.
        running = [writer(records, 20, f"w{i}") for i in range(6)]
        answers = [process.communicate(timeout=120)[0] for process in running]
        assert [process.returncode for process in running] == [0] * 6
        numbers = sorted(int(n) for answer in answers for n in answer.split())
        assert numbers == list(range(1, 121))
        assert audit.verify(records) == []
        assert json.loads((records / audit.HEAD).read_text())["id"] == 120
        for i in range(6):
            mine = [e for e in reversed(audit.entries(records)) if e.actor == f"w{i}"]
            assert [e.details["n"] for e in mine] == list(range(20))

    def test_a_killed_writer_loses_no_row_that_it_was_told_of(self, records):
        told: list[str] = []
        for i in range(4):
            process = writer(records, 10_000, f"w{i}")
            assert process.stdout
            told.append(process.stdout.readline())
            time.sleep(0.05 * i)
            process.send_signal(signal.SIGKILL)
            told += process.communicate()[0].split()
        assert audit.verify(records) == []
        known = {str(entry.id) for entry in audit.entries(records)}
        assert {number.strip() for number in told} <= known


def drop_table(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute("DROP TABLE entries")
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


DAMAGES = [overwrite_header, overwrite_pages, cut, drop_table]


class TestDamage:
    @pytest.mark.parametrize("damage", DAMAGES)
    @pytest.mark.parametrize(
        "use", [audit.entries, lambda r: audit.record(r, "act", actor="ann")]
    )
    def test_case_2_a_damaged_trail_stays_as_it_is_however_it_is_used(
        self, five_rows, damage: Callable[[Path], None], use
    ):
        path = five_rows / audit.DATABASE
        damage(path)
        content = path.read_bytes()
        names = {file.name for file in five_rows.iterdir()}
        for _ in range(2):  # The second time is no other than the first.
            assert audit.verify(five_rows) != []
            with pytest.raises(CxrError) as refused:
                use(five_rows)
            assert refused.value.code == "records-damaged"
            assert "--acknowledge" in refused.value.message
            assert path.read_bytes() == content
        aside = {file.name for file in five_rows.iterdir()} - names
        assert not [name for name in aside if name.startswith("damaged")]

    @pytest.mark.parametrize("damage", DAMAGES)
    def test_case_2_a_person_acknowledges_and_the_next_trail_says_so(
        self, five_rows, damage
    ):
        damage(five_rows / audit.DATABASE)
        content = (five_rows / audit.DATABASE).read_bytes()
        first = audit.acknowledge(
            five_rows, actor="ann", reason="disk fault", details={"cards": {"m": "h"}}
        )
        [kept] = five_rows.glob(f"damaged-*-{audit.DATABASE}")
        assert kept.read_bytes() == content
        assert (first.id, first.action, first.actor) == (1, audit.RESTARTED, "ann")
        assert kept.name in first.details["set_aside"]
        assert first.details["reason"] == "disk fault"
        assert first.details["cards"] == {"m": "h"}
        assert audit.record(five_rows, "act", actor="bob").id == 2
        assert audit.verify(five_rows) == []

    def test_case_2_a_changed_row_can_be_acknowledged_too(self, five_rows):
        tamper(
            five_rows / audit.DATABASE, "UPDATE entries SET actor = 'bob' WHERE id = 2"
        )
        audit.acknowledge(five_rows, actor="ann", reason="looked at it")
        assert audit.verify(five_rows) == []

    def test_a_sound_trail_is_not_set_aside(self, five_rows):
        with pytest.raises(CxrError) as refused:
            audit.acknowledge(five_rows, actor="ann", reason="tidy")
        assert refused.value.code == "records-sound"
        assert len(audit.entries(five_rows)) == 5

    @pytest.mark.parametrize("reason", ["", "  "])
    def test_a_damage_is_not_acknowledged_without_a_reason(self, five_rows, reason):
        overwrite_header(five_rows / audit.DATABASE)
        with pytest.raises(CxrError) as refused:
            audit.acknowledge(five_rows, actor="ann", reason=reason)
        assert refused.value.code == "reason"
        assert not list(five_rows.glob("damaged-*"))

    def test_case_2_a_trail_that_was_taken_away_is_not_begun_again(self, five_rows):
        (five_rows / audit.DATABASE).unlink()
        for use in (audit.entries, lambda r: audit.record(r, "act", actor="ann")):
            with pytest.raises(CxrError) as refused:
                use(five_rows)
            assert refused.value.code == "records-damaged"
        audit.acknowledge(five_rows, actor="ann", reason="it was deleted")
        assert [e.action for e in audit.entries(five_rows)] == [audit.RESTARTED]

    @pytest.mark.parametrize(
        "code", [sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN]
    )
    def test_case_9_what_lies_on_a_full_disk_is_read_as_it_is(
        self, five_rows, monkeypatch, code
    ):
        connect = sqlite3.connect

        class Full(sqlite3.Connection):
            def execute(self, *arguments):
                if "sqlite_master" in arguments[0]:
                    error = sqlite3.OperationalError("disk I/O error")
                    error.sqlite_errorcode = code
                    raise error
                return super().execute(*arguments)

        def opened(place, **options):
            kind = sqlite3.Connection if "immutable" in str(place) else Full
            return connect(place, factory=kind, **options)

        monkeypatch.setattr(database.sqlite3, "connect", opened)
        assert len(audit.entries(five_rows)) == 5

    def test_a_trail_of_a_newer_version_is_left_alone(self, five_rows):
        path = five_rows / audit.DATABASE
        with closing(sqlite3.connect(path)) as database:
            database.execute(f"PRAGMA user_version = {audit.VERSION + 1}")
        for use in (audit.entries, lambda r: audit.record(r, "act", actor="ann")):
            with pytest.raises(CxrError) as refused:
                use(five_rows)
            assert refused.value.code == "records-newer"
        assert "newer" in audit.verify(five_rows)[0]
        assert path.exists()

    def test_a_trail_that_may_not_be_written_is_named_and_still_read(
        self, without_rights
    ):
        with pytest.raises(CxrError) as refused:
            audit.record(without_rights, "act", actor="ann")
        assert refused.value.code == "records-read-only"
        assert len(audit.entries(without_rights)) == 5
        assert audit.verify(without_rights) == []

    def test_a_folder_that_can_not_be_made_is_named(self, without_rights):
        with pytest.raises(CxrError) as refused:
            audit.record(without_rights / "below", "act", actor="ann")
        assert refused.value.code == "records-read-only"

    def test_a_full_disk_is_named_and_nothing_earlier_is_lost(
        self, five_rows, monkeypatch
    ):
        full = sqlite3.OperationalError("database or disk is full")
        full.sqlite_errorcode = sqlite3.SQLITE_FULL

        def fail(content: object) -> str:
            raise full

        with monkeypatch.context() as patched:
            patched.setattr(chain, "seal", fail)
            with pytest.raises(CxrError) as refused:
                audit.record(five_rows, "act", actor="ann")
        assert refused.value.code == "disk-full"
        assert len(audit.entries(five_rows)) == 5 and audit.verify(five_rows) == []
        assert audit.record(five_rows, "act", actor="ann").id == 6

    def test_a_head_that_can_not_be_written_loses_no_row(
        self, five_rows, monkeypatch, caplog
    ):
        def fail(path: Path, content: object) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patched, caplog.at_level(logging.WARNING):
            patched.setattr(chain.documents, "replace", fail)
            assert audit.record(five_rows, "act", actor="ann").id == 6
        assert "row behind" in caplog.text
        assert audit.verify(five_rows) == []

    def test_a_trail_that_others_hold_for_long_is_named(self, five_rows, monkeypatch):
        monkeypatch.setattr(database, "WAIT_SECONDS", 0.1)
        path = five_rows / audit.DATABASE
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(CxrError) as refused:
                audit.record(five_rows, "act", actor="ann")
        assert refused.value.code == "records-busy"
        assert audit.record(five_rows, "act", actor="ann").id == 6

    def test_nothing_but_the_trail_is_left_in_the_folder(self, five_rows):
        with suppress(FileNotFoundError):
            (five_rows / f"{audit.DATABASE}-shm").unlink()
        names = {path.name.removesuffix("-wal") for path in five_rows.iterdir()}
        assert names == {audit.DATABASE, audit.HEAD}
