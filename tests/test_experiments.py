"""docs/experiments.md shows what was kept, and what was kept is of these models."""

import json

import pytest
from tiny_model import register_tiny_model

from cxr.config import ROOT
from cxr.models import registry
from docs import experiments


def test_the_tables_of_the_log_are_those_of_the_records():
    log = experiments.LOG.read_text(encoding="utf-8")
    assert experiments.replaced(log, experiments.records()) == log


def test_the_shipped_model_has_a_record_with_the_figures_of_its_card():
    models = ROOT / "models"
    card = registry.read_card(models, registry.active_id(models))
    found = [
        record
        for record in experiments.records().values()
        if record["training"].get("run") == card.training["run"]
        and record["model_id"] == card.model_id
    ]
    [record] = found
    test = card.metrics["test"]
    for name in ("auc", "sensitivity", "specificity", "ece"):
        estimate = getattr(test, name)
        kept = record["metrics"]["test"][name]
        assert kept["value"] == pytest.approx(estimate.value, abs=1e-5)
        assert kept["low"] == pytest.approx(estimate.low, abs=1e-5)
    unchanged = record["report"]["unchanged"]
    assert unchanged["auc"]["value"] == pytest.approx(test.auc.value, abs=2e-3)


def test_all_records_are_of_the_same_films_and_parts_of_the_suite():
    kept = experiments.records().values()
    assert len({record["fingerprint"] for record in kept}) == 1
    assert len({record["metrics"]["test"]["n"] for record in kept}) == 1
    reports = [record["report"] for record in kept if record["report"]]
    assert len(reports) >= 2
    assert len({(report["n"], report["n_patients"]) for report in reports}) == 1
    for report in reports:
        assert report["seen"] == 0
        for part in ("shifts", "markers", "strata", "style", "twins", "heatmap"):
            assert report[part]


@pytest.mark.parametrize(
    ("change", "says"), [({"name": "other"}, "of other"), ({"seen": 3}, "3 seen")]
)
def test_a_report_of_another_model_or_of_seen_films_is_not_kept(
    tmp_path, monkeypatch, change, says
):
    model_id = register_tiny_model(tmp_path / "models").model_id
    monkeypatch.setattr(experiments, "KEPT", tmp_path / "kept")
    report = {"name": model_id, "seen": 0} | change
    (tmp_path / "report.json").write_text(json.dumps(report))
    with pytest.raises(ValueError, match=says):
        experiments.keep("x", tmp_path / "models", model_id, tmp_path / "report.json")
    assert not (tmp_path / "kept").exists()


def test_what_is_kept_repeats_the_run(tmp_path, monkeypatch):
    model_id = register_tiny_model(tmp_path / "models").model_id
    monkeypatch.setattr(experiments, "KEPT", tmp_path / "kept")
    report = {"name": model_id, "seen": 0, "seconds": 1.23456789}
    (tmp_path / "report.json").write_text(json.dumps(report))
    experiments.keep("x", tmp_path / "models", model_id, tmp_path / "report.json")
    record = experiments.records()["x"]
    card = registry.read_card(tmp_path / "models", model_id)
    assert record["training"] == card.training
    assert record["fingerprint"] == card.data.fingerprint
    assert record["report"]["seconds"] == 1.234568
