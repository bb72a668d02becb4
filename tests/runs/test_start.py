"""What stands in the way of a run or a measurement, and what their start leaves."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from cxr.config import settings
from cxr.datasets import checks
from cxr.datasets.folders import CLASSES
from cxr.errors import CxrError, DatasetError, JobError
from cxr.jobs import control
from cxr.records import audit
from cxr.runs import run_folder, start
from cxr.runs.config import TrainConfig


@pytest.fixture
def where(tmp_path, monkeypatch):
    for name in ("runs", "cache", "data"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(f"CXR_{name.upper()}_DIR", str(tmp_path / name))
    monkeypatch.setenv("CXR_DISK_RESERVE_GB", "0")
    monkeypatch.delenv("CXR_BACKBONE_WEIGHTS", raising=False)
    return tmp_path


@pytest.fixture
def config(where):
    for label in CLASSES:
        (where / "data" / label).mkdir()
        for i in range(4):
            (where / "data" / label / f"{i}.png").touch()
    return TrainConfig(data=str(where / "data"))


@pytest.fixture
def submitted(monkeypatch):
    calls = []
    monkeypatch.setattr(control, "submit", lambda *given: calls.append(given))
    return calls


def refuse(folder, command):
    raise JobError("The disk is full.", code="disk-full")


def check_says(where: Path, no_splits: str) -> None:
    folder = checks.folder_for(where / "cache", where / "data")
    folder.mkdir(parents=True)
    (folder / checks.REPORT).write_text(json.dumps({"no_splits": no_splits}))


class TestStart:
    def test_leaves_a_folder_with_the_settings_and_submits_it(self, config, submitted):
        folder = start.start(config, actor="carl")
        assert run_folder.read_config(folder) == config
        assert submitted == [(folder, start.command_for(folder))]

    def test_is_refused_where_the_page_would_refuse(self, where, config, submitted):
        check_says(where, "Only one patient.")
        assert start.obstacles(config) == ["Only one patient."]
        with pytest.raises(JobError, match=r"Only one patient\.") as caught:
            start.start(config, actor="carl")
        assert caught.value.code == "cannot-start"
        assert submitted == [] and not any((where / "runs").iterdir())

    def test_of_films_outside_the_data_is_refused(self, config, submitted):
        with pytest.raises(DatasetError, match="outside the data"):
            start.start(replace(config, data="/etc"), actor="carl")
        assert submitted == []

    def test_waits_for_space_on_the_disk(self, config, monkeypatch):
        assert start.obstacles(config) == []
        monkeypatch.setenv("CXR_DISK_RESERVE_GB", "99999")
        [sentence] = start.obstacles(config)
        assert "begins from 99999 GB" in sentence

    @pytest.mark.parametrize(
        "changes, least",
        [
            ({}, 3),
            ({"unfreeze_from": 1}, 5),
            ({"architecture": "baseline-cnn", "unfreeze_from": 1}, 1),
        ],
    )
    def test_waits_for_the_memory_that_the_network_takes(
        self, config, monkeypatch, changes, least
    ):
        config = replace(config, **changes)
        there = SimpleNamespace(available=least * 1e9)
        monkeypatch.setattr(start.psutil, "virtual_memory", lambda: there)
        assert start.obstacles(config) == []
        there.available -= 1e8
        [said] = start.obstacles(config)
        assert f"from {least} GB" in said

    @pytest.mark.parametrize("content", ["", "{", "[]", "{}"])
    def test_a_damaged_check_is_no_obstacle(self, where, config, content):
        check_says(where, "")
        [report] = (where / "cache").rglob(checks.REPORT)
        report.write_text(content)
        assert start.obstacles(config) == []

    @pytest.mark.parametrize("act", [start.start, start.measure])
    def test_that_fails_leaves_nothing(self, where, config, monkeypatch, act):
        monkeypatch.setattr(control, "submit", refuse)
        with pytest.raises(JobError, match="disk is full"):
            act(config, actor="carl")
        assert not list(where.glob("*/**/config.json"))

    def test_again_goes_on_with_the_run(self, where, config, submitted):
        folder = run_folder.create(where / "runs", config)
        start.resume(folder, actor="carl")
        assert submitted == [(folder, start.command_for(folder))]
        (folder / "config.json").write_text("{")
        with pytest.raises(JobError, match="no run that can go on"):
            start.resume(folder, actor="carl")


class TestInTheTrail:
    def test_each_act_on_a_run_is_recorded(self, where, config, submitted, monkeypatch):
        for act in ("stop", "delete"):
            monkeypatch.setattr(control, act, lambda folder: None)
        folder = start.start(config, actor="carl")
        start.stop(folder, actor="dora")
        start.resume(folder, actor="carl")
        start.delete(folder, actor="dora")
        rows = audit.entries(settings().records_dir)[::-1]
        assert [(row.actor, row.action) for row in rows] == [
            ("carl", "train"),
            ("dora", "stop training"),
            ("carl", "train"),
            ("dora", "delete run"),
        ]
        assert {row.details["run"] for row in rows} == {folder.name}
        assert rows[2].details["resumed"] is True

    @pytest.mark.parametrize("act", [start.stop, start.delete])
    def test_a_full_disk_keeps_nobody_from_ending_a_run(
        self, where, monkeypatch, caplog, act
    ):
        def full(*_, **__):
            raise CxrError("The disk is full.", code="disk-full")

        ended = []
        monkeypatch.setattr(audit, "record", full)
        for name in ("stop", "delete"):
            monkeypatch.setattr(control, name, ended.append)
        act(where / "runs" / "a", actor="dora")
        assert ended and "disk-full" in caplog.text

    def test_the_job_itself_goes_on_without_a_row(self, where, config, monkeypatch):
        monkeypatch.setattr(control, "is_this_process", lambda folder: True)
        folder = run_folder.create(where / "runs", config)
        start.require_resumable(folder, actor="system:nobody")
        start.require_measurable(folder, actor="system:nobody")
        assert audit.entries(settings().records_dir) == []


class TestMeasure:
    def test_submits_the_settings(self, where, config, submitted):
        folder = start.measure(config, actor="carl")
        assert folder.parent == start.measurements() == where / "cache" / "measurements"
        assert run_folder.read_config(folder) == config
        [(_, command)] = submitted
        assert command[1:] == ("-m", "cxr", "measure", "--run", str(folder))

    def test_deletes_those_that_have_ended(self, where, config):
        first = run_folder.create(start.measurements(), config)
        control.submit(first, ("true",))
        assert control.wait(first, 15).state == control.DONE
        second = start.measure(config, actor="carl")
        assert [job.folder for job in control.list_jobs(start.measurements())] == [
            second
        ]
        assert control.read(second).command[1:4] == ("-m", "cxr", "measure")
        control.stop(second)
        control.wait(second, 15)

    def test_is_refused_beside_a_run(self, where, config, submitted, monkeypatch):
        alive = control.Job(
            folder=where, name="a", state=control.RUNNING, command=(), created=1.0
        )
        monkeypatch.setattr(control, "list_jobs", lambda queue: [alive])
        with pytest.raises(JobError, match="slow the other down") as caught:
            start.measure(config, actor="carl")
        assert caught.value.code == "busy"
        assert submitted == []
