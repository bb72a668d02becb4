"""The Train page through its real script, with runs made of files and no training."""

import json
import os
import time
from dataclasses import asdict

import pytest
from streamlit.testing.v1 import AppTest
from synthetic_films import as_jpeg, chest_phantom
from tiny_model import let_continue, register_tiny_model

from cxr.config import ROOT
from cxr.jobs import control, heartbeat, queues
from cxr.runs import devices, estimate, history, run_folder
from cxr.runs.config import PRESETS, PURPOSES, config_for
from cxr.runs.estimate import Speeds
from cxr.runs.history import HISTORY_COLUMNS
from ui import wording
from ui.train import runs
from ui.train.runs import differences

TRAIN = "pages/4_Train.py"


@pytest.fixture
def where(tmp_path, monkeypatch):
    """Temporary folders; four films of each class in `data`."""
    for name in ("models", "runs", "cache", "records", "data"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(f"CXR_{name.upper()}_DIR", str(tmp_path / name))
    monkeypatch.setenv("CXR_DISK_RESERVE_GB", "0")
    monkeypatch.delenv("CXR_BACKBONE_WEIGHTS", raising=False)
    register_tiny_model(tmp_path / "models")
    for i in range(8):
        folder = tmp_path / "data" / ("NORMAL", "PNEUMONIA")[i % 2]
        folder.mkdir(exist_ok=True)
        (folder / f"{i}.jpg").write_bytes(as_jpeg(chest_phantom(128, 128, seed=i)))
    return tmp_path


@pytest.fixture
def submitted(monkeypatch):
    """Collects what would be started; nothing is."""
    calls = []

    def submit(folder, command):
        calls.append((folder, command))
        return queue(folder)

    monkeypatch.setattr(control, "submit", submit)
    return calls


def page():
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).run()
    at.switch_page(TRAIN).run()
    assert not at.exception
    return at


def words(at):
    shown = [*at.markdown, *at.caption, *at.error, *at.warning, *at.info]
    return "\n".join(element.value for element in shown)


def button(at, label):
    [found] = [b for b in at.button if b.label.startswith(label)]
    return found


def labels(at):
    return [b.label for b in at.button]


def make_run(where, *, state=None, epochs=0, status=None, **changes):
    settings = {"data": str(where / "data"), **changes}
    folder = run_folder.create(where / "runs", config_for("quick", **settings))
    rows = [
        f"fine-tuning,{i + 1},{0.6 - i / 10},{0.7 + i / 20},0.5,{0.8 + i / 20},1e-4,2.0"
        for i in range(epochs)
    ]
    if rows:
        text = "\n".join([",".join(HISTORY_COLUMNS), *rows])
        (folder / history.HISTORY).write_text(text + "\n")
    if status:
        content = {"stage": run_folder.FINE_TUNING, "updated": time.time(), **status}
        (folder / heartbeat.STATUS).write_text(json.dumps(content))
    if state:
        queue(folder, state)
    return folder


def queue(folder, state=control.STOPPED, **facts):
    number = 1 + len(queues.records(folder.parent))
    record = queues.Record(
        command=("true",),
        token=f"token-{folder.name}",
        number=number,
        turn=number,
        created=time.time() - 100,
        started=time.time() - 90,
        ended=time.time() - 30,
        state=state,
        **facts,
    )
    queues.write_record(folder, record)
    return control.read(folder)


class TestFilms:
    def test_are_counted(self, where):
        text = words(page())
        assert "**8 films**, 4 with pneumonia" in text
        assert "Not checked" in text

    def test_outside_the_folder_of_data_are_refused(self, where, submitted):
        at = page()
        at.text_input(key="data_source").set_value("/etc").run()
        assert "outside" in words(at)
        assert button(at, "Start training").disabled

    def test_that_are_gone_are_named(self, where):
        at = page()
        at.text_input(key="data_source").set_value(str(where / "data" / "no")).run()
        assert "no such data folder" in words(at)
        assert button(at, "Start training").disabled

    def test_are_asked_for_when_there_are_none(self, where, monkeypatch):
        monkeypatch.delenv("CXR_DATA_DIR")
        at = page()
        assert "Give the path of a data folder" in words(at)
        assert button(at, "Start training").disabled

    def test_survive_a_change_of_page(self, where):
        at = page()
        chosen = str(where / "data" / "no")
        at.text_input(key="data_source").set_value(chosen).run()
        at.switch_page("pages/1_Classify.py").run()
        at.switch_page(TRAIN).run()
        assert at.text_input(key="data_source").value == chosen


class TestTime:
    def test_is_a_dash_until_it_was_measured(self, where):
        at = page()
        assert "**Time** –" in words(at)
        assert "never measured" in words(at)

    def test_comes_from_what_was_measured_here(self, where):
        config = config_for("standard", data="")
        speeds = Speeds(
            device=devices.find().words,
            architecture=config.architecture,
            unfreeze_from=config.unfreeze_from,
            batch_size=config.batch_size,
            seconds={"step": 100.0},
            fixed=0.0,
            films=320,
            measured=time.time(),
        )
        estimate.store(where / "cache", speeds)
        expected = estimate.estimate(config, 8, speeds, prepared=False)
        text = words(page())
        assert f"**Time** {wording.duration_span(expected.low, expected.high)}" in text
        assert "320 films" in text

    def test_is_measured_on_request(self, where, submitted):
        at = page()
        button(at, "Measure this machine").click().run()
        [(folder, command)] = submitted
        assert folder.parent == where / "cache" / "measurements"
        assert command[1:4] == ("-m", "cxr", "measure")
        assert run_folder.read_config(folder).data == str(where / "data")

    def test_is_not_measured_beside_a_training(self, where, monkeypatch):
        folder = make_run(where, state=control.STOPPED)
        alive = control.Job(
            folder=folder,
            name=folder.name,
            state=control.RUNNING,
            command=(),
            created=1.0,
        )
        found = {where / "runs": [alive]}
        monkeypatch.setattr(control, "list_jobs", lambda queue: found.get(queue, []))
        monkeypatch.setattr(control, "read", lambda folder: alive)
        assert button(page(), "Measure this machine").disabled

    @pytest.mark.parametrize(
        ("low", "high", "text"),
        [
            (10, 20, "10–20 s"),
            (38 * 60, 52 * 60, "38–52 min"),
            (40, 300, "40 s – 5 min"),
            (3000, 9000, "50 min – 2 h 30 min"),
            (600, 601, "10 min"),
        ],
    )
    def test_reads_as_a_range(self, low, high, text):
        assert wording.duration_span(low, high) == text


class TestSettings:
    def test_are_those_of_the_preset(self, where):
        at = page()
        for name in PRESETS:
            at.segmented_control(key="train_preset").set_value(name).run()
            epochs = next(n for n in at.number_input if n.label == "Epochs")
            assert epochs.value == config_for(name).epochs
            assert PURPOSES[name] in words(at)

    def test_that_were_changed_are_named_and_started_with(self, where, submitted):
        at = page()
        next(n for n in at.number_input if n.label == "Epochs").set_value(3).run()
        assert "epochs 3 (preset 7)" in words(at)
        button(at, "Start training").click().run()
        [(folder, _)] = submitted
        config = run_folder.read_config(folder)
        assert (config.epochs, config.preset) == (3, "standard")

    def test_of_the_baseline_leave_out_what_it_has_not(self, where, submitted):
        at = page()
        at.selectbox(key="train_architecture").set_value("baseline-cnn").run()
        names = [n.label for n in at.number_input]
        assert "First block that learns" not in names
        button(at, "Start training").click().run()
        config = run_folder.read_config(submitted[0][0])
        assert config.backbone_weights == "none"

    @pytest.mark.parametrize("name", ["missing.weights.h5", "other.h5", "../x"])
    def test_backbone_files_that_cannot_be_used_stop_the_start(self, where, name):
        (where / "data" / "other.h5").write_bytes(b"x")
        (where / "x").write_bytes(b"x")
        at = page()
        at.selectbox(key="train_backbone").set_value("other").run()
        path = str(where / "data" / name)
        at.text_input(key="train_backbone_file").set_value(path).run()
        assert button(at, "Start training").disabled

    def test_a_backbone_file_and_its_note_reach_the_run(self, where, submitted):
        path = where / "data" / "mine.weights.h5"
        path.write_bytes(b"x")
        at = page()
        at.selectbox(key="train_backbone").set_value("other").run()
        at.text_input(key="train_backbone_file").set_value(str(path)).run()
        at.text_input(key="train_backbone_note").set_value("from a friend").run()
        button(at, "Start training").click().run()
        config = run_folder.read_config(submitted[0][0])
        assert config.backbone_weights == str(path)
        assert config.backbone_note == "from a friend"

    def test_a_disk_with_too_little_space_stops_the_start(self, where, monkeypatch):
        monkeypatch.setenv("CXR_DISK_RESERVE_GB", "99999")
        at = page()
        assert button(at, "Start training").disabled
        assert "are free" in words(at)


class TestStart:
    def test_submits_a_run_that_goes_on_by_itself(self, where, submitted):
        at = page()
        button(at, "Start training").click().run()
        [(folder, command)] = submitted
        assert command[1:] == ("-m", "cxr", "train", "--run", str(folder), "--resume")
        assert at.selectbox(key="train_run").value == folder.name

    def test_leaves_nothing_behind_when_it_fails(self, where, monkeypatch):
        def submit(folder, command):
            raise control.JobError("The disk is full.", code="disk-full")

        monkeypatch.setattr(control, "submit", submit)
        at = page()
        button(at, "Start training").click().run()
        assert "The disk is full." in at.error[0].value.replace("\\", "")
        assert not list((where / "runs").glob("[!.]*"))


class TestRun:
    @pytest.mark.parametrize(
        ("state", "actions"),
        [
            (control.STOPPED, {"Resume", "Delete run"}),
            (control.FAILED, {"Resume", "Delete run"}),
            (control.LOST, {"Resume", "Delete run"}),
            (control.DONE, {"Delete run"}),
        ],
    )
    def test_that_ended_offers_what_can_be_done(self, where, state, actions):
        make_run(where, state=state, epochs=2)
        found = set(labels(page()))
        assert found & {"Stop", "Resume", "Delete run"} == actions

    def test_says_why_it_failed_and_what_to_do(self, where):
        folder = make_run(where)
        queue(
            folder,
            control.FAILED,
            reason="Memory *ran* out.",
            advice="Halve the batch.",
        )
        [error] = page().error
        assert "Memory \\*ran\\* out" in error.value
        assert "Halve the batch" in error.value

    def test_that_runs_shows_where_it_is(self, where):
        make_run(
            where,
            epochs=1,
            status={
                "epoch": 2,
                "epochs": 2,
                "step": 3,
                "steps": 8,
                "seconds_left": 700,
            },
        )
        at = page()
        [progress] = at.get("progress")
        assert progress.proto.text == (
            "Stage 3 of 5: fine-tuning, epoch 2 of 2, step 3 of 8 · at most 12 min left"
        )
        assert "**AUC**" in words(at)

    def test_links_its_model(self, where):
        make_run(
            where, state=control.DONE, status={"stage": "done", "model_id": "tiny-1"}
        )
        assert "Open tiny-1 on the Models page" in labels(page())

    def test_is_resumed(self, where, submitted):
        folder = make_run(where, state=control.STOPPED)
        button(page(), "Resume").click().run()
        assert [f for f, _ in submitted] == [folder]

    def test_is_not_deleted_by_one_click(self, where):
        folder = make_run(where, state=control.STOPPED)
        at = page()
        button(at, "Delete run").click().run()
        assert "A model that came of it stays" in words(at)
        assert "Keep it" in labels(at)
        assert folder.is_dir()

    def test_whose_films_are_gone_is_still_shown(self, where):
        make_run(where, state=control.STOPPED, epochs=2, data=str(where / "gone"))
        assert "gone" in words(page())

    def test_waits_behind_the_one_that_runs(self, where, monkeypatch):
        first, second = make_run(where), make_run(where)
        common = {"command": (), "created": 1.0}
        found = {
            f: control.Job(folder=f, name=f.name, state=s, position=p, **common)
            for f, s, p in ((second, control.QUEUED, 1), (first, control.RUNNING, 0))
        }
        monkeypatch.setattr(
            control,
            "list_jobs",
            lambda q: list(found.values()) if "runs" in str(q) else [],
        )
        monkeypatch.setattr(control, "read", found.get)
        at = page()
        assert at.selectbox(key="train_run").value == first.name
        at.selectbox(key="train_run").set_value(second.name).run()
        assert f"queued behind {first.name.replace('-', chr(92) + '-')}" in words(at)


class TestDamage:
    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("config.json", b"{"),
            ("config.json", b'{"data": 3, "epochs": "many"}'),
            ("config.json", b"[]"),
            ("status.json", b'{"stage": 5, "updated": "now", "epoch": []}'),
            ("status.json", b"\xff\xfe"),
            ("history.csv", b"\xff\xfe\x00"),
            ("history.csv", b"a,b\n1,2\n"),
            ("history.csv", b"phase,epoch,loss\nhead,1,not a number\n"),
            ("job.json", b"nonsense"),
        ],
    )
    def test_of_a_file_is_no_error_of_the_page(self, where, name, content):
        folder = make_run(where, state=control.STOPPED, epochs=2)
        make_run(where, state=control.STOPPED, epochs=1)
        (folder / name).write_bytes(content)
        at = page()
        at.selectbox(key="train_run").set_value(folder.name).run()
        assert not at.exception
        assert not at.error
        assert "Delete run" in labels(at)

    def test_of_the_settings_is_said(self, where):
        folder = make_run(where, state=control.STOPPED)
        (folder / "config.json").write_text("{")
        text = words(page())
        assert "settings can't be read" in text
        assert "Resume" not in labels(page())


class TestTable:
    def test_lists_the_newest_first(self, where):
        folders = [make_run(where, state=control.STOPPED, epochs=2) for _ in range(11)]
        [table] = [t.value for t in page().dataframe if "State" in t.value.columns]
        assert list(table["Run"]) == [f.name for f in reversed(folders)]
        assert table["Best AUC"][0] == "0.8500"
        assert table["Data"][0] == "data"
        assert table["Epochs"][0] == "2 of 2"

    def test_of_a_hundred_runs_is_drawn_in_a_moment(self, where):
        for _ in range(100):
            make_run(where, state=control.STOPPED, epochs=7)
        at = page()
        began = time.monotonic()
        at.run()
        assert time.monotonic() - began < 10
        assert not at.exception

    def test_shows_a_name_as_text(self, where):
        os.rename(make_run(where), where / "runs" / "<b>*run*")
        assert r"\<b\>\*run\*" in words(page())


class TestComparison:
    def test_names_the_settings_that_differ(self, where):
        names = [make_run(where, epochs=2, seed=seed).name for seed in (1, 2)]
        at = page()
        at.multiselect(key="train_compared").set_value(names).run()
        [table] = [t.value for t in at.dataframe if "Setting" in t.value.columns]
        assert list(table["Setting"]) == ["seed"]
        assert sorted(table.iloc[0, 1:]) == ["1", "2"]
        assert "AUC on validation films" in words(at)

    def test_says_when_the_films_were_others(self, where):
        names = [make_run(where, epochs=2, data=data).name for data in ("/a", "/b")]
        at = page()
        at.multiselect(key="train_compared").set_value(names).run()
        assert "learnt from other films" in words(at)

    def test_of_equal_settings_has_no_rows(self):
        config = asdict(config_for("quick"))
        assert differences({"one": config, "two": config}) == []


def test_a_run_of_the_command_line_cannot_be_stopped_here(where):
    make_run(where, status={"epoch": 1, "epochs": 2})
    at = page()
    assert not {"Stop", "Resume", "Delete run"} & set(labels(at))
    [view] = runs.all_runs()
    assert view.state == control.RUNNING


class TestBeginning:
    @pytest.fixture
    def can_continue(self, where):
        let_continue(where / "models")

    def test_is_the_active_model_where_nothing_else_can_be_had(
        self, where, can_continue, offline, submitted
    ):
        at = page()
        assert at.selectbox(key="train_backbone").value == "model:tiny-1"
        assert at.selectbox(key="train_architecture").value == "baseline-cnn"
        text = words(at)
        assert "none that it learned from is tested on" in text.replace("\\", "")
        assert "no connection" in text
        button(at, "Start training").click().run()
        [(folder, _)] = submitted
        config = run_folder.read_config(folder)
        assert config.backbone_weights == "model:tiny-1"
        assert config.learning_rate == 3e-4

    def test_is_imagenet_where_that_can_be_had(self, where, can_continue):
        at = page()
        assert at.selectbox(key="train_backbone").value == "imagenet"
        assert at.selectbox(key="train_architecture").value == "efficientnet-b0"
        assert "no connection" not in words(at)

    def test_what_can_not_be_had_is_said_before_start(self, where, offline):
        at = page()
        assert at.selectbox(key="train_backbone").value == "imagenet"
        assert button(at, "Start training").disabled
        assert "they can't be fetched: no connection" in words(at).replace("\\", "")

    def test_a_run_that_can_not_go_on_says_why(self, where, offline):
        make_run(where, state=control.FAILED)
        at = page()
        assert button(at, "Resume").disabled
        assert "It can't go on. The ImageNet weights" in words(at).replace("\\", "")


class TestAgain:
    def test_a_run_s_settings_fill_the_fields(self, where, submitted):
        changes = {
            "patience": 9,
            "learning_rate": 2e-4,
            "dropout": 0.5,
            "seed": 7,
            "augmentation": "plain",
            "backbone_weights": "none",
        }
        folder = make_run(where, state=control.FAILED, **changes)
        at = page()
        button(at, "New run with these settings").click().run()
        assert not at.exception
        text = words(at)
        assert "With the settings of" in text
        assert "augmentation plain (preset style)" in text
        assert "patience, epochs 9 (preset 4)" in text
        assert submitted == []
        next(n for n in at.number_input if n.label == "Epochs").set_value(6).run()
        button(at, "Start training").click().run()
        [(made, _)] = submitted
        wanted = asdict(run_folder.read_config(folder)) | {"epochs": 6}
        assert asdict(run_folder.read_config(made)) == wanted
        assert "With the settings of" not in words(at)

    def test_another_preset_leaves_what_has_no_field(self, where, submitted):
        make_run(where, state=control.STOPPED, augmentation="plain")
        at = page()
        button(at, "New run with these settings").click().run()
        at.segmented_control(key="train_preset").set_value("standard").run()
        assert "augmentation" not in words(at)

    def test_a_file_and_a_model_come_along(self, where, submitted):
        path = where / "data" / "mine.weights.h5"
        path.write_bytes(b"x")
        let_continue(where / "models")
        for changes in (
            {"backbone_weights": str(path), "backbone_note": "from a friend"},
            {"backbone_weights": "model:tiny-1", "architecture": "baseline-cnn"},
            {"backbone_weights": "model:gone-1"},
        ):
            folder = make_run(where, state=control.DONE, **changes)
            at = page()
            at.selectbox(key="train_run").set_value(folder.name).run()
            button(at, "New run with these settings").click().run()
            start = button(at, "Start training")
            assert start.disabled == ("gone" in changes["backbone_weights"])
            if not start.disabled:
                start.click().run()
                made = run_folder.read_config(submitted[-1][0])
                assert made == run_folder.read_config(folder)
        assert "There is no model gone-1" in words(at).replace("\\", "")

    def test_of_damaged_settings_is_not_offered(self, where):
        folder = make_run(where, state=control.STOPPED)
        (folder / "config.json").write_text("{")
        assert "New run with these settings" not in labels(page())
