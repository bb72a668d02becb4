"""The acts of the history: what is kept, reviewed, added and deleted; bad disks."""

import errno
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from kept_readings import (
    FILM,
    PATIENT,
    cut,
    fold,
    overwrite_header,
    overwrite_pages,
    reading,
    refusal,
    tamper,
)

from cxr.config import ROOT
from cxr.errors import CxrError
from cxr.records import (
    actors,
    audit,
    chain,
    database,
    events,
    films,
    history,
    keys,
    search,
    soundness,
)
from cxr.records.kept import AGREE, DISAGREE, UNSURE, WITHDRAWN

PNG = b"\x89PNG\r\n\x1a\n and pixels"


@pytest.fixture
def five(records: Path) -> list[str]:
    """Five kept cases, by their ids, the oldest first."""
    return [history.keep(records, reading(), actor="ann") for _ in range(5)]


def bytes_of(folder: Path) -> bytes:
    return b"".join(p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file())


class TestKeep:
    def test_a_reading_comes_back_as_it_was_kept(self, records):
        kept = reading(
            worklist="w", cautions=("Old.",), warnings=("Odd.", "Dim."), sample=True
        )
        case_id = history.keep(records, kept, actor="ann@x.org")
        case = search.case(records, case_id)
        assert (case.reader, case.number, case.opinion) == ("ann@x.org", 1, WITHDRAWN)
        key = keys.secret(records, first=False)
        film, patient = keys.keyed(key, FILM), keys.keyed(key, PATIENT)
        assert (case.reading.film, case.reading.patient) == (film, patient)
        assert case.reading == reading(
            **{**vars(kept), "film": film, "patient": patient}
        )
        assert case.time.endswith("+00:00") and len(case.time) == 29
        assert len(case_id) == 16

    def test_a_refusal_is_kept_with_its_code_and_without_figures(self, records):
        case = search.case(records, history.keep(records, refusal(), actor="ann"))
        assert (case.reading.answer, case.reading.code) == ("refused", "incomplete")
        assert case.reading.probability is None and case.reading.frontal is None
        assert case.reading.patient == ""

    def test_a_figure_that_is_not_finite_is_none(self, records):
        kept = reading(frontal=float("nan"), unlike=float("inf"))
        case = search.case(records, history.keep(records, kept, actor="ann"))
        assert (case.reading.frontal, case.reading.unlike) == (None, None)

    @pytest.mark.parametrize("name", ["Zoë 名前", "\ud800", "a\0b", "x" * 999, "'; --"])
    def test_any_name_can_be_kept(self, records, name):
        case_id = history.keep(records, reading(site=name), actor=name)
        history.review(records, case_id, AGREE, actor=name, reason=name)
        assert soundness.verify(records) == []
        assert len(search.case(records, case_id).reader) <= chain.MAX_NAME_CHARACTERS

    def test_the_same_film_and_patient_are_known_again_and_another_is_not(
        self, records, tmp_path
    ):
        first, again = (
            search.case(records, history.keep(records, reading(), actor="ann"))
            for _ in range(2)
        )
        assert first.reading.patient == again.reading.patient != PATIENT
        other = search.case(
            records, history.keep(records, reading(patient="b" * 64), actor="ann")
        )
        assert other.reading.patient != first.reading.patient
        elsewhere = tmp_path / "elsewhere"
        there = search.case(elsewhere, history.keep(elsewhere, reading(), actor="ann"))
        assert there.reading.patient != first.reading.patient

    def test_others_can_read_nothing_of_it(self, records):
        case_id = history.keep(records, reading(), actor="ann", picture=PNG)
        paths = [records / events.FILE, records / keys.KEY]
        paths.append(films.path_of(records, case_id))
        assert [path.stat().st_mode & 0o077 for path in paths] == [0, 0, 0]

    def test_a_film_is_kept_only_where_one_is_given(self, records):
        with_film = history.keep(records, reading(), actor="ann", picture=PNG)
        without = history.keep(records, reading(), actor="ann")
        assert films.read(records, with_film) == PNG
        assert films.is_kept(records, with_film)
        assert not films.is_kept(records, without)
        with pytest.raises(CxrError) as refused:
            films.read(records, without)
        assert refused.value.code == "no-film"

    def test_case_d7_a_case_keeps_the_threshold_that_it_was_read_at(self, records):
        low = history.keep(records, reading(threshold=0.1), actor="ann")
        high = history.keep(
            records, reading(threshold=0.9, threshold_source="reader"), actor="bob"
        )
        kept = [search.case(records, case_id).reading for case_id in (low, high)]
        assert [(k.threshold, k.threshold_source) for k in kept] == [
            *((0.1, "shipped"), (0.9, "reader"))
        ]

    def test_case_d5_each_row_has_the_model_that_read_it(self, records):
        for name in "aab":
            history.keep(records, reading(model_id=name, model_sha256=name), actor="x")
        assert search.series(records).model_sha256 == ("a", "a", "b")


class TestReview:
    def test_case_d3_two_clinicians_review_one_case_and_both_stay(self, records, five):
        history.review(records, five[2], AGREE, actor="ann", reason="Clear.")
        case = history.review(records, five[2], DISAGREE, actor="bob", reason="Heart.")
        assert (case.opinion, case.reviewer, case.reason) == (
            *(DISAGREE, "bob", "Heart."),
        )
        assert case == search.case(records, five[2])
        said = [
            (event.actor, event.content["opinion"], event.content["reason"])
            for event in search.events_of(records, five[2])[1:]
        ]
        assert said == [("ann", AGREE, "Clear."), ("bob", DISAGREE, "Heart.")]
        assert soundness.verify(records) == []

    @pytest.mark.parametrize(
        ("answer", "opinion", "said", "seen"),
        [
            ("above threshold", AGREE, None, True),
            ("above threshold", DISAGREE, None, False),
            ("below threshold", AGREE, None, False),
            ("below threshold", DISAGREE, None, True),
            ("below threshold", DISAGREE, True, True),
            ("above threshold", UNSURE, None, None),
            ("above threshold", UNSURE, False, False),
            ("no answer", AGREE, None, None),
            ("no answer", AGREE, True, True),
            ("refused", DISAGREE, False, False),
            ("above threshold", WITHDRAWN, None, None),
        ],
    )
    def test_a_review_says_what_the_reader_sees(
        self, records, answer, opinion, said, seen
    ):
        case_id = history.keep(records, reading(answer=answer), actor="ann")
        case = history.review(records, case_id, opinion, actor="ann", pneumonia=said)
        assert case.pneumonia is seen
        assert search.series(records).pneumonia == (seen,)

    @pytest.mark.parametrize(
        ("answer", "opinion", "said"),
        [("above threshold", AGREE, False), ("below threshold", DISAGREE, False)],
    )
    def test_a_review_that_contradicts_itself_is_refused(
        self, records, answer, opinion, said
    ):
        case_id = history.keep(records, reading(answer=answer), actor="ann")
        with pytest.raises(CxrError, match="contradict") as refused:
            history.review(records, case_id, opinion, actor="ann", pneumonia=said)
        assert refused.value.code == "review"
        assert len(search.events_of(records, case_id)) == 1

    def test_what_is_seen_can_be_a_disagreement_without_the_word(self, records):
        case_id = history.keep(records, reading(), actor="ann")
        case = history.review(records, case_id, UNSURE, actor="ann", pneumonia=False)
        assert case.disagreement
        assert not history.review(records, case_id, AGREE, actor="ann").disagreement

    def test_a_review_is_taken_back_by_a_new_event(self, records, five):
        history.review(records, five[0], DISAGREE, actor="ann", reason="No.")
        case = history.review(records, five[0], WITHDRAWN, actor="ann")
        assert (case.opinion, case.reason, case.disagreement) == ("", "", False)
        assert len(search.events_of(records, five[0])) == 3
        assert search.count(records).reviewed == 0

    def test_an_unknown_opinion_is_wrong_use(self, records, five):
        with pytest.raises(ValueError, match="expected one of"):
            history.review(records, five[0], "maybe", actor="ann")

    @pytest.mark.parametrize("case_id", ["0" * 16, "x", "", "../x", "';--"])
    def test_a_case_that_is_not_there_is_named(self, records, five, case_id):
        for act in (
            lambda: history.review(records, case_id, AGREE, actor="ann"),
            lambda: history.add(records, case_id, actor="ann", context={}),
            lambda: history.delete(records, case_id, actor="ann", reason="x"),
            lambda: search.case(records, case_id),
        ):
            with pytest.raises(CxrError) as refused:
                act()
            assert refused.value.code == "no-case"


class TestAdd:
    def test_what_is_added_comes_back_and_the_rest_stays(self, records, five):
        history.add(records, five[1], actor="ann", context={"age_years": 4})
        history.add(records, five[1], actor="ann", stability={"same": 9})
        case = history.add(records, five[1], actor="bob", evidence={"zone": "left"})
        assert case.context == {"age_years": 4.0}
        assert (case.stability, case.evidence) == ({"same": 9}, {"zone": "left"})
        case = history.add(records, five[1], actor="ann", context={"spo2_percent": 91})
        assert case.context == {"spo2_percent": 91.0} and case.stability
        assert soundness.verify(records) == []

    @pytest.mark.parametrize(
        "context",
        [
            {"name": 1.0},
            {"age_years": "DOE JANE"},
            {"age_years": float("nan")},
            {"age_years": True},
        ],
    )
    def test_case_i1_a_context_holds_numbers_alone(self, records, five, context):
        with pytest.raises(ValueError, match="expected numbers") as wrong:
            history.add(records, five[0], actor="ann", context=context)
        assert "DOE" not in str(wrong.value)


class TestDelete:
    def test_case_i4_nothing_of_a_deleted_case_is_left_but_that_it_was(self, records):
        stays = history.keep(records, reading(), actor="ann")
        kept = reading(site="canary-site", warnings=("canary-warning",))
        case_id = history.keep(records, kept, actor="ann", picture=PNG)
        history.review(records, case_id, DISAGREE, actor="ann", reason="Canary reason")
        evidence = {"zone": "canary-zone"}
        history.add(records, case_id, actor="ann", evidence=evidence)
        assert b"anary reason" in bytes_of(records)
        history.delete(records, case_id, actor="lead", reason="asked by the family")
        left = bytes_of(records)
        for word in (b"canary", b"Canary", b"anary reason", b"and pixels"):
            assert word not in left
        with pytest.raises(CxrError, match="deleted"):
            search.case(records, case_id)
        assert [c.case_id for c in search.cases(records)] == [stays]
        *emptied, deletion = search.events_of(records, case_id)
        assert [event.content for event in emptied] == [None, None, None]
        assert (deletion.actor, deletion.kind) == ("lead", "deletion")
        assert deletion.content == {"reason": "asked by the family"}
        [entry] = audit.entries(records, actions=[history.CASE_DELETED])
        assert (entry.actor, entry.details) == ("lead", {"case_id": case_id})
        assert soundness.verify(records) == []

    def test_case_i4_a_deleted_case_stays_deleted(self, records, five):
        history.delete(records, five[0], actor="ann", reason="twice")
        with pytest.raises(CxrError) as refused:
            history.delete(records, five[0], actor="ann", reason="twice")
        assert refused.value.code == "no-case"
        history.keep(records, reading(), actor="ann")
        assert len(search.cases(records)) == 5
        assert len(audit.entries(records)) == 1

    def test_case_i4_copies_that_hold_a_deleted_case_go_too(self, records, five):
        copy = records / f"copy-v0-20260101T000000-abcdef-{events.FILE}"
        copy.write_bytes((records / events.FILE).read_bytes())
        history.delete(records, five[0], actor="ann", reason="asked")
        assert not copy.exists()

    @pytest.mark.parametrize("reason", ["", " \n"])
    def test_a_case_is_not_deleted_without_a_reason(self, records, five, reason):
        with pytest.raises(CxrError) as refused:
            history.delete(records, five[0], actor="ann", reason=reason)
        assert refused.value.code == "reason"
        assert len(search.cases(records)) == 5

    def test_what_the_trail_can_not_record_is_not_deleted(self, records, five):
        audit.record(records, "act", actor="ann")
        overwrite_header(records / audit.DATABASE)
        with pytest.raises(CxrError) as refused:
            history.delete(records, five[0], actor="ann", reason="asked")
        assert refused.value.code == "records-damaged"
        assert len(search.cases(records)) == 5

    def test_cases_past_their_time_are_deleted(self, records, monkeypatch):
        now = datetime.now(UTC)
        for age in (400, 31, 29, 0):
            then = (now - timedelta(days=age)).isoformat(timespec="milliseconds")
            with monkeypatch.context() as patched:
                patched.setattr(chain, "now", lambda then=then: then)
                history.keep(records, reading(), actor="ann", picture=PNG)
        assert history.expire(records, 30, actor="lead") == 2
        assert history.expire(records, 30, actor="lead") == 0
        assert len(search.cases(records)) == 2
        assert len(list((records / films.FOLDER).iterdir())) == 2
        [entry] = audit.entries(records, actions=[history.CASES_EXPIRED])
        assert (entry.details["cases"], entry.details["days"]) == (2, 30)
        assert soundness.verify(records) == []

    def test_the_setting_needs_no_role_and_a_person_does(self, records, monkeypatch):
        actors.grant(records, "lead@x.org", actors.LEAD, actor="lead@x.org")
        actors.grant(records, "ann", actors.READER, actor="lead@x.org")
        then = (datetime.now(UTC) - timedelta(days=3)).isoformat()
        with monkeypatch.context() as patched:
            patched.setattr(chain, "now", lambda: then)
            history.keep(records, reading(), actor="ann")
        with pytest.raises(CxrError) as refused:
            history.expire(records, 1, actor="ann")
        assert refused.value.code == "not-allowed"
        assert history.expire_by_setting(records, 1) == 1
        [entry] = audit.entries(records, actions=[history.CASES_EXPIRED])
        assert entry.actor == history.SETTING

    def test_days_below_one_are_wrong_use(self, records):
        with pytest.raises(ValueError, match="at least 1 day"):
            history.expire(records, 0, actor="ann")


DAMAGES = [overwrite_header, overwrite_pages, cut]
USES: list[Callable[[Path], object]] = [
    lambda records: history.keep(records, reading(), actor="ann"),
    search.cases,
    search.series,
]


class TestFaults:
    @pytest.mark.parametrize("damage", DAMAGES)
    @pytest.mark.parametrize("use", USES, ids=["keep", "cases", "series"])
    def test_case_f4_a_damaged_history_stays_as_it_is_however_it_is_used(
        self, records, five, damage, use
    ):
        path = records / events.FILE
        fold(path)
        damage(path)
        content = path.read_bytes()
        for _ in range(2):
            assert soundness.verify(records) != []
            with pytest.raises(CxrError) as refused:
                use(records)
            assert refused.value.code == "records-damaged"
            assert "--set-aside" in refused.value.message
            assert path.read_bytes() == content

    def test_case_f4_a_log_that_was_cut_is_seen_and_nothing_hides_it(
        self, records, five, tmp_path
    ):
        path = records / events.FILE
        with closing(sqlite3.connect(path)) as holder:  # keeps the log where it is
            holder.execute("SELECT count(*) FROM cases").fetchone()
            for _ in range(3):
                history.keep(records, reading(), actor="ann")
            taken = tmp_path / "taken"
            taken.mkdir()
            for name in (events.FILE, events.HEAD, keys.KEY):
                (taken / name).write_bytes((records / name).read_bytes())
            log = (records / f"{events.FILE}-wal").read_bytes()
        for size in (len(log) // 2, 0):
            (taken / f"{events.FILE}-wal").write_bytes(log[:size])
            (taken / f"{events.FILE}-shm").unlink(missing_ok=True)
            assert "at the end" in soundness.verify(taken)[0]
            with pytest.raises(CxrError) as refused:
                history.keep(taken, reading(), actor="ann")
            assert refused.value.code == "records-damaged"
            assert "at the end" in soundness.verify(taken)[0]

    def test_case_f4_a_history_that_was_taken_away_is_not_begun_again(
        self, records, five
    ):
        (records / events.FILE).unlink()
        for use in USES:
            with pytest.raises(CxrError) as refused:
                use(records)
            assert refused.value.code == "records-damaged"

    def test_case_f3_what_may_not_be_written_is_named_and_still_read(self, read_only):
        keep = USES[0]
        with read_only(keep) as folder:
            with pytest.raises(CxrError, match="nothing of them is kept") as refused:
                keep(folder)
            assert refused.value.code == "records-read-only"
            assert soundness.obstacle(folder).code == "records-read-only"
            assert len(search.cases(folder)) == 5
            assert search.count(folder).cases == 5
            with pytest.raises(CxrError) as refused:
                keep(folder / "below")
            assert refused.value.code == "records-read-only"

    @pytest.mark.parametrize("place", ["row", "commit", "film", "key"])
    def test_case_f1_a_full_disk_is_named_and_nothing_earlier_is_lost(
        self, records, five, monkeypatch, place
    ):
        def full(*_: object, **__: object) -> None:
            if place in ("film", "key"):
                raise OSError(errno.ENOSPC, "No space left on device")
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error

        module, name = {
            "row": (chain, "seal"),
            "commit": (events, "index"),
            "film": (films, "store"),
            "key": (keys, "secret"),
        }[place]
        with monkeypatch.context() as patched:
            patched.setattr(module, name, full)
            with pytest.raises(CxrError) as refused:
                history.keep(records, reading(), actor="ann", picture=PNG)
        assert refused.value.code == "disk-full"
        assert len(search.cases(records)) == 5 and soundness.verify(records) == []
        assert not list((records / films.FOLDER).glob("*"))
        history.keep(records, reading(), actor="ann", picture=PNG)
        assert len(search.cases(records)) == 6

    def test_case_f1_a_head_that_can_not_be_written_loses_no_case(
        self, records, five, monkeypatch
    ):
        def full(path: Path, content: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(chain.documents, "replace", full)
            history.keep(records, reading(), actor="ann")
        assert len(search.cases(records)) == 6 and soundness.verify(records) == []

    def test_case_f6_a_history_of_a_newer_version_is_left_alone(self, records, five):
        tamper(records / events.FILE, f"PRAGMA user_version = {events.VERSION + 1}")
        for use in USES:
            with pytest.raises(CxrError) as refused:
                use(records)
            assert refused.value.code == "records-newer"
        assert "newer" in soundness.verify(records)[0]

    def test_a_history_that_others_hold_for_long_is_named(
        self, records, five, monkeypatch
    ):
        monkeypatch.setattr(database, "WAIT_SECONDS", 0.1)
        path = records / events.FILE
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(CxrError) as refused:
                history.keep(records, reading(), actor="ann")
            assert soundness.obstacle(records).code == "records-busy"
        assert refused.value.code == "records-busy"
        assert soundness.obstacle(records) is None

    @pytest.mark.parametrize("spoil", [Path.unlink, lambda p: p.write_bytes(b"short")])
    def test_a_secret_that_is_gone_or_damaged_is_named_and_none_is_made(
        self, records, five, spoil
    ):
        spoil(records / keys.KEY)
        for _ in range(2):
            with pytest.raises(CxrError) as refused:
                history.keep(records, reading(), actor="ann")
            assert refused.value.code == "history-key"
            assert soundness.obstacle(records).code == "history-key"
        assert len(search.cases(records)) == 5


WRITER = """
import sys
sys.path.insert(0, "tests")
from pathlib import Path
from kept_readings import reading
from cxr.records import history
records, count, name = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
for number in range(count):
    kept = reading(worklist=f"{name}-{number}")
    print(history.keep(records, kept, actor=name), kept.worklist, flush=True)
"""


def writer(records: Path, count: int, name: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(records), str(count), name],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


class TestWriters:
    def written_by(self, records: Path, processes: int, each: int) -> None:
        # All of them find no history and no secret at first.
        running = [writer(records, each, f"w{i}") for i in range(processes)]
        answers = [process.communicate(timeout=600)[0] for process in running]
        assert [process.returncode for process in running] == [0] * processes
        told = {line.split()[0] for answer in answers for line in answer.splitlines()}
        kept = {case.case_id: case for case in search.every(records, search.Query())}
        assert told == kept.keys() and len(told) == processes * each
        assert soundness.verify(records) == []
        assert len({case.reading.patient for case in kept.values()}) == 1
        for i in range(processes):
            mine = search.cases(records, search.Query(reader=f"w{i}"), limit=each)
            lists = [case.reading.worklist for case in reversed(mine)]
            assert lists == [f"w{i}-{number}" for number in range(each)]

    def test_case_d2_many_processes_keep_and_no_case_is_lost(self, records):
        self.written_by(records, 4, 15)

    @pytest.mark.slow
    def test_case_d2_sixteen_processes_keep_two_hundred_cases_each(self, records):
        self.written_by(records, 16, 200)

    def killed(self, records: Path, instants: list[float]) -> None:
        told: list[str] = []
        for number, instant in enumerate(instants):
            process = writer(records, 10_000, f"w{number}")
            assert process.stdout
            told.append(process.stdout.readline())
            time.sleep(instant)
            process.send_signal(signal.SIGKILL)
            told += process.communicate()[0].splitlines()
        # The last line of a process may have been cut by the kill.
        whole = [line.split() for line in told if len(line.split()) == 2]
        kept = list(search.every(records, search.Query()))
        lists = {case.case_id: case.reading.worklist for case in kept}
        assert [i for i, _ in whole if i not in lists] == []  # none is lost
        assert all(lists[case_id].startswith(name) for case_id, name in whole)
        assert len({case.reading.worklist for case in kept}) == len(kept)  # none twice
        assert soundness.verify(records) == []

    def test_a_killed_writer_loses_no_case_that_it_was_told_of(self, records):
        self.killed(records, [0.01, 0.06])

    @pytest.mark.slow
    def test_case_d2_writers_killed_at_forty_instants_lose_nothing(self, records):
        rng = random.Random(1)
        self.killed(records, [rng.uniform(0, 0.3) for _ in range(40)])
