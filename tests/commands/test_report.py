"""`report`: a page or a PDF of a span of days, exit codes and wrong use."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from kept_readings import of_model

from cxr.models import registry
from cxr.records import history


@pytest.fixture
def read_today(tmp_path, models_dir):
    """One film that was read just now."""
    card = registry.read_card(models_dir, "tiny-1")
    history.keep(tmp_path / "records", of_model(card), actor="anna")
    return f"{datetime.now(UTC):%Y-%m-%d}"


@pytest.mark.parametrize(
    ("name", "begins"), [("a.html", b"<!doctype html>"), ("a.PDF", b"%PDF-")]
)
def test_writes_what_the_name_asks_for(run, tmp_path, read_today, name, begins):
    day = read_today
    code, out, _ = run(
        "report", "--since", day, "--until", day, "--to", tmp_path / name
    )
    assert code == 0 and "Films: 1. Written to" in out
    assert (tmp_path / name).read_bytes().startswith(begins)


def test_a_week_ends_with_yesterday(run, tmp_path, read_today):
    to = tmp_path / "week.html"
    code, out, _ = run("report", "--period", "week", "--to", to, "--json")
    assert code == 0
    assert json.loads(out) == {"file": str(to), "films": 0, "reviewed": 0}
    first = datetime.fromisoformat(read_today) - timedelta(days=7)
    assert f"{first:%Y-%m-%d} 00:00 UTC to {read_today} 00:00 UTC" in to.read_text()


@pytest.mark.parametrize(
    "options",
    [
        ("--to", "a.html"),
        ("--since", "2026-11-02", "--to", "a.html"),
        ("--since", "2026-11-02", "--until", "2026-11-01", "--to", "a.html"),
        ("--since", "2026-11-02", "--period", "day", "--to", "a.html"),
        ("--period", "month", "--to", "a.html"),
        ("--period", "day", "--to", "a.txt"),
        ("--since", "yesterday", "--until", "today", "--to", "a.html"),
    ],
)
def test_wrong_use_writes_nothing(run, tmp_path, monkeypatch, options):
    monkeypatch.chdir(tmp_path)
    code, out, err = run("report", *options)
    assert (code, out) == (2, "") and "[usage]" in err
    assert not (tmp_path / "a.html").exists()
