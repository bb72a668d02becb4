"""Cases found again: against a plain filter over all of them."""

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from kept_readings import reading, refusal

from cxr.records import chain, history, keys, search
from cxr.records.kept import KeptCase
from cxr.records.search import Query

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
REASONS = ("The heart, not a consolidation", "Äußerst dicht links", "100 % sure_thing")


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty cases, two at the same moment each, of three readers; half are reviewed."""
    folder = tmp_path_factory.mktemp("search") / "records"
    rng = random.Random(3)
    patch = pytest.MonkeyPatch()
    for number in range(60):
        when = BEGIN + timedelta(hours=number // 2)
        stamp = when.isoformat(timespec="milliseconds")
        patch.setattr(chain, "now", lambda stamp=stamp: stamp)
        make = refusal if rng.random() < 0.2 else reading
        answer = rng.choice(("above threshold", "below threshold", "no answer"))
        changes = {} if make is refusal else {"answer": answer}
        kept = make(
            worklist=f"list-{number // 20}",
            model_id=f"m-{number % 2}",
            film=f"{number:064d}",
            patient=f"{number % 7:064d}",
            sample=number % 10 == 0,
            **changes,
        )
        case_id = history.keep(folder, kept, actor=f"reader-{number % 3}")
        if rng.random() < 0.5:
            opinion = rng.choice(("agree", "disagree", "unsure"))
            said = rng.choice(REASONS)
            history.review(folder, case_id, opinion, actor="lead", reason=said)
    patch.undo()
    return folder


@pytest.fixture(scope="module")
def everything(records) -> list[KeptCase]:
    found = list(search.every(records, Query()))
    assert len(found) == 60
    return found


QUERIES = {
    "all": (Query(), lambda c: True),
    "answer": (
        Query(answers=("refused", "no answer")),
        lambda c: c.reading.answer in ("refused", "no answer"),
    ),
    "opinions": (
        Query(opinions=("agree", "unsure")),
        lambda c: c.opinion in ("agree", "unsure"),
    ),
    "no opinion yet": (Query(opinions=("",)), lambda c: c.opinion == ""),
    "disagreement": (Query(disagreement=True), lambda c: c.disagreement),
    "no disagreement": (Query(disagreement=False), lambda c: not c.disagreement),
    "model": (Query(model_id="m-1"), lambda c: c.reading.model_id == "m-1"),
    "reader": (Query(reader="reader-2"), lambda c: c.reader == "reader-2"),
    "list": (Query(worklist="list-1"), lambda c: c.reading.worklist == "list-1"),
    "samples": (Query(sample=True), lambda c: c.reading.sample),
    "no samples": (Query(sample=False), lambda c: not c.reading.sample),
    "since": (
        Query(since=BEGIN + timedelta(hours=7)),
        lambda c: datetime.fromisoformat(c.time) >= BEGIN + timedelta(hours=7),
    ),
    "between, in another zone": (
        Query(
            since=datetime.fromisoformat("2026-01-01T07:00:00+02:00"),
            until=datetime.fromisoformat("2026-01-01T09:00:00+02:00"),
        ),
        lambda c: (
            5 <= datetime.fromisoformat(c.time).hour < 7
            and datetime.fromisoformat(c.time).day == 1
        ),
    ),
    "words": (
        Query(text="  CONSOLIDATION heart"),
        lambda c: "consolidation" in c.reason.lower() and "heart" in c.reason.lower(),
    ),
    "letters beyond ASCII": (Query(text="ÄUSSERST"), lambda c: "Äuß" in c.reason),
    "signs that SQL knows": (Query(text="100 % sure_t"), lambda c: "%" in c.reason),
    "a part of a word": (Query(text="' OR 1 --"), lambda c: False),
    "several": (
        Query(reader="reader-1", model_id="m-0", answers=("below threshold",)),
        lambda c: (
            (c.reader, c.reading.model_id, c.reading.answer)
            == ("reader-1", "m-0", "below threshold")
        ),
    ),
}


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_finds_what_a_plain_filter_finds(records, everything, name):
    query, wanted = QUERIES[name]
    expected = [case for case in everything if wanted(case)]
    assert search.cases(records, query, limit=100) == expected
    assert (expected == []) == (name == "a part of a word")
    counted = search.count(records, query)
    answers = [case.reading.answer for case in expected]
    assert counted.answers == {a: answers.count(a) for a in set(answers)}
    assert counted.cases == len(expected)
    assert counted.reviewed == sum(case.opinion != "" for case in expected)
    assert counted.disagreements == sum(case.disagreement for case in expected)
    columns = search.series(records, query)
    assert len(columns) == len(expected)
    assert sorted(columns.case_id) == sorted(case.case_id for case in expected)


def test_the_newest_is_first_and_pages_follow_each_other(records, everything):
    keys_ = [search.cursor_of(case) for case in everything]
    assert keys_ == sorted(keys_, reverse=True)
    pages, before = [], None
    while some := search.cases(records, limit=7, before=before):
        pages += some
        before = search.cursor_of(some[-1])
    assert pages == everything


def test_a_case_is_found_by_the_first_characters_of_its_id(records, everything):
    case = everything[17]
    for text in (case.case_id, case.case_id[:9], case.case_id[:9].upper()):
        assert search.cases(records, Query(text=text)) == [case]
    assert search.cases(records, Query(text="g" + case.case_id[1:])) == []


def test_films_of_one_patient_are_found_by_the_keyed_hash(records, everything):
    key = keys.secret(records, first=False)
    patient = keys.keyed(key, f"{3:064d}")
    expected = [case for case in everything if case.reading.patient == patient]
    assert search.cases(records, Query(patient=patient)) == expected != []
    film = everything[5].reading.film
    assert search.cases(records, Query(film=film)) == [everything[5]]


def test_a_list_is_in_the_order_in_which_it_was_read(records, everything):
    found = search.worklist(records, "list-2")
    assert found == [c for c in everything[::-1] if c.reading.worklist == "list-2"]
    assert len(found) == 20
    assert search.worklist(records, "") == search.worklist(records, "none") == []


def test_columns_are_those_of_the_cases(records, everything):
    columns = search.series(records)
    for place, case in enumerate(reversed(everything)):
        assert (
            columns.case_id[place],
            columns.time[place],
            columns.patient[place],
            columns.answer[place],
            columns.logit[place],
            columns.unlike[place],
            columns.brightness[place],
            columns.opinion[place],
            columns.pneumonia[place],
            columns.code[place],
        ) == (
            case.case_id,
            case.time,
            case.reading.patient,
            case.reading.answer,
            case.reading.logit,
            case.reading.unlike,
            case.reading.brightness,
            case.opinion,
            case.pneumonia,
            case.reading.code,
        )


def test_without_a_history_there_is_nothing_and_nothing_is_made(tmp_path):
    folder = tmp_path / "records"
    assert search.cases(folder) == search.worklist(folder, "w") == []
    assert search.count(folder).cases == len(search.series(folder)) == 0
    assert search.events_of(folder, "0" * 16) == []
    assert not folder.exists()
