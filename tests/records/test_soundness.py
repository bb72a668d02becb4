"""Whether the history holds: what was altered is named, and what can be mended is."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from kept_readings import cut, fold, overwrite_header, reading, tamper

from cxr.errors import CxrError
from cxr.records import audit, chain, events, history, keys, search, soundness


@pytest.fixture
def records(records: Path) -> Path:
    """Four cases: the second reviewed, the third deleted; rows 1 to 6."""
    ids = [history.keep(records, reading(), actor="ann") for _ in range(4)]
    history.review(records, ids[1], "disagree", actor="bob", reason="Heart.")
    history.delete(records, ids[2], actor="ann", reason="asked")
    return records


def test_a_history_that_nobody_touched_holds(records):
    assert soundness.verify(records) == []
    assert soundness.obstacle(records) is None


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE events SET actor = 'eve' WHERE id = 2", "Row 2 was altered."),
        (
            "UPDATE events SET content = replace(content, '0.9', '0.1') WHERE id = 2",
            "The content of row 2 was altered.",
        ),
        (
            "UPDATE events SET content = '[' WHERE id = 4",
            "The content of row 4 was altered.",
        ),
        ("UPDATE events SET salt = 'x' WHERE id = 5", "The content of row 5 was alt"),
        (
            "UPDATE events SET content = NULL, salt = NULL WHERE id = 1",
            "Row 1 was emptied, and no deletion says why.",
        ),
        ("DELETE FROM events WHERE id = 5", "Row 5 is missing."),
        ("DELETE FROM events WHERE id = 6", "Row 6 is missing at the end."),
        (
            "UPDATE events SET content = '{}', salt = 'x', content_hash = "
            "'{of_an_empty_one}' WHERE id = 3",
            "Row 3 was altered.",
        ),
    ],
)
def test_case_i5_the_place_of_a_change_is_named(records, statement, problem):
    hashed = events.content_hash("x", "{}")
    tamper(records / events.FILE, statement.replace("{of_an_empty_one}", hashed))
    assert soundness.verify(records)[0].startswith(problem)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET actor = 'eve' WHERE id = 2",
        "UPDATE events SET content = '{}' WHERE id = 2",
        "UPDATE events SET content = NULL WHERE id = 2",
        "UPDATE events SET content = NULL, salt = NULL, actor = 'eve' WHERE id = 2",
        "DELETE FROM events WHERE id = 6",
        "REPLACE INTO events SELECT * FROM events WHERE id = 2",
    ],
)
def test_the_database_itself_refuses_a_change(records, statement):
    with closing(sqlite3.connect(records / events.FILE)) as database:
        with pytest.raises(sqlite3.IntegrityError, match="the history"):
            database.execute(statement)
    assert soundness.verify(records) == []


def test_case_i5_guards_and_a_head_that_were_taken_away_are_seen(records):
    tamper(records / events.FILE)
    assert soundness.verify(records) == []
    (records / events.HEAD).unlink()
    assert soundness.verify(records) == ["The head of the history is missing."]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE cases SET answer = 'below threshold' WHERE number = 2",
        "DELETE FROM cases WHERE number = 2",
        "DELETE FROM cases",
        "UPDATE tally SET cases = cases + 1",
        "DELETE FROM tally",
        "INSERT INTO cases SELECT 99, 'x', time, reader, worklist, film, patient, "
        "model_id, model_sha256, threshold, answer, code, probability, logit, frontal, "
        "unlike, brightness, contrast, sample, opinion, pneumonia, disagreement, words "
        "FROM cases WHERE number = 1",
    ],
)
def test_rows_to_search_by_that_are_wrong_are_seen_and_made_anew(records, statement):
    expected = search.cases(records)
    tamper(records / events.FILE, statement)
    assert "listed" in soundness.verify(records)[0]
    assert soundness.rebuild(records, actor="ann") == 3
    assert soundness.verify(records) == []
    assert search.cases(records) == expected
    assert search.count(records).disagreements == 1
    assert audit.entries(records)[0].action == soundness.REBUILT


def lose_the_key(path: Path) -> None:
    path.with_name(keys.KEY).unlink()


def alter(path: Path) -> None:
    tamper(path, "UPDATE events SET actor = 'eve' WHERE id = 2")


@pytest.mark.parametrize("damage", [overwrite_header, cut, alter, lose_the_key])
def test_case_f4_a_person_sets_it_aside_and_a_new_one_begins(records, damage):
    path = records / events.FILE
    fold(path)
    damage(path)
    content = path.read_bytes()
    names = soundness.set_aside(records, actor="ann", reason="disk fault")
    [kept] = records.glob(f"damaged-*-{events.FILE}")
    assert kept.read_bytes() == content and kept.name in names
    [entry] = audit.entries(records, actions=[soundness.SET_ASIDE])
    assert (entry.actor, entry.details["reason"]) == ("ann", "disk fault")
    history.keep(records, reading(), actor="ann")
    assert len(search.cases(records)) == 1 and soundness.verify(records) == []


def test_a_sound_history_is_not_set_aside_nor_one_without_a_reason(records):
    with pytest.raises(CxrError) as refused:
        soundness.set_aside(records, actor="ann", reason="tidy")
    assert refused.value.code == "records-sound"
    overwrite_header(records / events.FILE)
    with pytest.raises(CxrError) as refused:
        soundness.set_aside(records, actor="ann", reason=" ")
    assert refused.value.code == "reason"
    assert not list(records.glob("damaged-*"))


def test_the_head_is_never_ahead_of_what_can_be_read(records, monkeypatch):
    """A row that comes while a history is verified is no alarm."""
    read = chain.Chain.read_head

    def late(own: chain.Chain, folder: Path):
        head = read(own, folder)
        monkeypatch.setattr(chain.Chain, "read_head", read)
        history.keep(records, reading(), actor="ann")
        return head

    monkeypatch.setattr(chain.Chain, "read_head", late)
    assert soundness.verify(records) == []
