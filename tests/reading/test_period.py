"""A span of time: what was read in it, by answer, day and model."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from kept_readings import of_model
from tiny_model import register_tiny_model

from cxr.models import registry
from cxr.reading.period import period
from cxr.records import chain, history

FIRST = datetime(2026, 11, 2, tzinfo=UTC)


@pytest.fixture
def models_dir(tmp_path):
    register_tiny_model(tmp_path / "models")
    return tmp_path / "models"


@pytest.fixture
def site(tmp_path, models_dir, monkeypatch):
    """A site that reads six films on each of three days, and one later."""
    card = registry.read_card(models_dir, "tiny-1")
    records_dir, clock = tmp_path / "records", [FIRST]
    monkeypatch.setattr(
        chain, "now", lambda: clock[0].isoformat(timespec="milliseconds")
    )
    above = of_model(card, film="", patient="")
    below = replace(above, answer="below threshold", probability=0.1, threshold=0.5)
    refused = replace(above, answer="refused", probability=None, code="sideways")
    sample = replace(above, sample=True)
    gone = replace(above, model_id="gone-1", model_sha256="0" * 64)
    ids = []
    for day in (0, 1, 2, 9):
        clock[0] = FIRST + timedelta(days=day, hours=5)
        films = (above, above, below, refused, sample, gone)
        ids.append([history.keep(records_dir, film, actor="anna") for film in films])
    clock[0] = FIRST + timedelta(days=2, hours=6)
    history.review(records_dir, ids[0][0], "agree", actor="ben")
    history.review(records_dir, ids[1][0], "disagree", actor="ben")
    history.delete(records_dir, ids[2][1], actor="ben", reason="read twice")
    return records_dir


def test_counts_what_was_read_in_it(site, models_dir):
    found = period(site, models_dir, FIRST, FIRST + timedelta(days=3))
    assert (found.films, found.samples, found.deleted) == (14, 3, 1)
    assert found.answers == {
        "above threshold": 8,
        "below threshold": 3,
        "no answer": 0,
        "refused": 3,
    }
    assert found.refusals == {"sideways": 3}
    assert (found.reviewed, found.disagreements) == (2, 1)
    assert list(found.days) == ["2026-11-02", "2026-11-03", "2026-11-04"]
    assert [sum(answers.values()) for answers in found.days.values()] == [5, 5, 4]


def test_each_model_has_its_own_figures(site, models_dir):
    found = period(site, models_dir, FIRST, FIRST + timedelta(days=3))
    own, gone = found.models
    assert (own.model_id, gone.model_id) == ("tiny-1", "gone-1")
    assert dict(own.thresholds) == {0.4: 8, 0.5: 3}
    assert own.live.films == 11 and own.live.ppv.value == 0.5
    assert own.tested is not None
    assert len(own.watch.times) == 11 and not own.watch.moved
    assert (gone.watch, gone.tested, gone.live.films) == (None, None, 3)


def test_drift_looks_at_all_films_up_to_its_end(site, models_dir):
    last = FIRST + timedelta(days=9)
    found = period(site, models_dir, last, last + timedelta(days=1))
    assert found.films == 5 and len(found.models[0].watch.times) == 15


def test_a_time_without_films_is_empty(site, models_dir):
    found = period(site, models_dir, FIRST - timedelta(days=9), FIRST)
    assert (found.films, found.models, found.days, found.deleted) == (0, (), {}, 0)
    assert set(found.answers.values()) == {0}
