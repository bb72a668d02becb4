"""Operating points that a lead stores beside the shipped one."""

import json
import math

import pytest
from tiny_model import register_tiny_model

from cxr.errors import CxrError
from cxr.governance import stored_points
from cxr.models import cards
from cxr.records import audit

REASON = "Agreed in the department meeting, misses matter more."


@pytest.fixture
def card(tmp_path):
    return register_tiny_model(tmp_path / "models")


def store(tmp_path, card, threshold=0.3, **changes):
    facts = {
        "actor": "dr.lead",
        "reason": REASON,
        "films": "test films",
        "sensitivity": 0.99,
        "specificity": 0.9,
    }
    return stored_points.store(tmp_path / "records", card, threshold, **facts | changes)


def test_a_stored_point_is_read_back_the_newest_first(tmp_path, card):
    first = store(tmp_path, card, 0.3)
    second = store(tmp_path, card, 0.2)
    found = stored_points.points(tmp_path / "records", card)
    assert found == [second, first]
    assert (first.shipped, first.reason, first.actor) == (0.4, REASON, "dr.lead")


def test_the_audit_trail_knows_it(tmp_path, card):
    point = store(tmp_path, card)
    (entry,) = audit.entries(tmp_path / "records")
    assert (entry.action, entry.actor) == (stored_points.ACTION, "dr.lead")
    assert (entry.model_id, entry.details["threshold"]) == ("tiny-1", 0.3)
    assert entry.details["point_id"] == point.point_id


def test_without_a_trail_nothing_is_stored(tmp_path, card, monkeypatch):
    def refuse(*_, **__):
        raise CxrError("The records are read-only.", code="records-read-only")

    monkeypatch.setattr(audit, "record", refuse)
    with pytest.raises(CxrError, match="read-only"):
        store(tmp_path, card)
    assert stored_points.points(tmp_path / "records", card) == []


def test_the_card_stays_as_it_is(tmp_path, card):
    before = (tmp_path / "models" / "tiny-1" / cards.CARD).read_bytes()
    store(tmp_path, card)
    assert (tmp_path / "models" / "tiny-1" / cards.CARD).read_bytes() == before


@pytest.mark.parametrize("reason", ["", "   \n ", "because", "x" * 501])
def test_it_takes_a_reason(tmp_path, card, reason):
    with pytest.raises(CxrError) as caught:
        store(tmp_path, card, reason=reason)
    assert caught.value.code == "no-reason"
    assert stored_points.points(tmp_path / "records", card) == []


@pytest.mark.parametrize("threshold", [math.nan, math.inf, -0.1, 1.1])
def test_what_is_no_threshold_is_refused(tmp_path, card, threshold):
    with pytest.raises(ValueError, match="threshold"):
        store(tmp_path, card, threshold)


def test_what_is_undefined_is_none(tmp_path, card):
    point = store(tmp_path, card, specificity=math.nan)
    assert point.specificity is None
    assert stored_points.points(tmp_path / "records", card) == [point]


def test_it_does_not_pass_to_another_network_of_the_same_name(tmp_path, card):
    point = store(tmp_path, card)
    path = tmp_path / "records" / stored_points.FOLDER / "tiny-1"
    file = path / f"{point.point_id}.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps(content | {"model_sha256": "0" * 64}))
    assert stored_points.points(tmp_path / "records", card) == []


@pytest.mark.parametrize(
    "changes", [{"threshold": 0.9}, {"reason": "Another."}, {"actor": "dr.other"}]
)
def test_a_file_that_the_trail_does_not_know_is_not_offered(tmp_path, card, changes):
    point = store(tmp_path, card)
    folder = tmp_path / "records" / stored_points.FOLDER / "tiny-1"
    file = folder / f"{point.point_id}.json"
    content = json.loads(file.read_text())
    (folder / "forged.json").write_text(json.dumps(content | {"point_id": "forged"}))
    assert stored_points.points(tmp_path / "records", card) == [point]
    file.write_text(json.dumps(content | changes))
    assert stored_points.points(tmp_path / "records", card) == []


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"threshold": "x"}', "null"])
def test_a_damaged_file_is_left_out(tmp_path, card, content):
    point = store(tmp_path, card)
    folder = tmp_path / "records" / stored_points.FOLDER / "tiny-1"
    (folder / "damaged.json").write_text(content)
    assert stored_points.points(tmp_path / "records", card) == [point]


def test_a_folder_that_cannot_be_written_is_named(tmp_path, card):
    (tmp_path / "records").write_text("a file where the folder should be")
    with pytest.raises(CxrError) as caught:
        store(tmp_path, card)
    assert caught.value.code == "records-folder"
