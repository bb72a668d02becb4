"""A run as its files: settings, state, curves."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace

import pytest

from cxr.datasets.folders import LeftOut
from cxr.errors import JobError
from cxr.jobs import heartbeat
from cxr.runs import architectures, run_folder
from cxr.runs.config import PRESETS, PURPOSES, SHARES, TrainConfig, config_for
from cxr.runs.run_folder import Run

CONFIG = TrainConfig(data="films", epochs=4, unfreeze_from=4)


class TestConfig:
    def test_preset_gives_way_to_what_was_asked_for(self):
        config = config_for("quick", data="d", epochs=7)
        assert (config.data, config.epochs) == ("d", 7)
        assert config.unfreeze_from == PRESETS["quick"]["unfreeze_from"]

    def test_baseline_has_its_own_settings_which_give_way_too(self):
        config = config_for("standard", architecture=architectures.BASELINE, epochs=3)
        assert (config.averaging, config.patience, config.epochs) == (0.0, 6, 3)

    def test_quick_baseline_is_quick(self):
        config = config_for("quick", architecture=architectures.BASELINE)
        assert config.epochs == PRESETS["quick"]["epochs"]

    def test_the_baseline_has_no_harder_films(self):
        for preset in PRESETS:
            config = config_for(preset, architecture=architectures.BASELINE)
            assert not config.is_made_harder

    @pytest.mark.parametrize("name", SHARES)
    @pytest.mark.parametrize("value", [-0.1, 1.01, float("nan")])
    def test_a_share_out_of_its_range_is_named_before_anything_runs(self, name, value):
        with pytest.raises(ValueError, match=f"expected {name} from 0 to 1"):
            config_for("best", **{name: value})

    def test_unknown_preset_is_named(self):
        with pytest.raises(ValueError, match="received preset='fast'"):
            config_for("fast")

    @pytest.mark.parametrize("preset", PRESETS)
    def test_presets_are_settings_with_a_purpose(self, preset):
        assert config_for(preset).preset == preset
        assert PURPOSES[preset]
        assert config_for(preset).architecture == architectures.DEFAULT


class TestRun:
    def test_settings_come_back_as_they_were(self, tmp_path):
        run = Run(tmp_path / "run")
        run.write_config(CONFIG)
        assert Run(tmp_path / "run").read_config() == CONFIG

    @pytest.mark.parametrize(
        "content",
        [
            *(None, "{", '{"unknown": 1}', "[]", '{"data": 3, "seed": 1}'),
            *('{"data": "d", "seed": 1, "unknown": 1}', '{"data": "d"}'),
            '{"data": "d", "seed": 1, "learning_rate": null}',
        ],
    )
    def test_folder_without_settings_can_not_go_on(self, tmp_path, content):
        if content:
            (tmp_path / "config.json").write_text(content)
        with pytest.raises(JobError, match="no run that can go on"):
            Run(tmp_path).read_config()

    def test_repeated_epoch_replaces_its_row(self, tmp_path):
        run = Run(tmp_path)
        for loss in (0.5, 0.4):
            row = {"phase": "fine-tuning", "epoch": 1, "loss": loss, "seconds": 2.0}
            run.add_epoch(row)
        run.add_epoch({"phase": "head", "epoch": 1, "loss": 0.9, "seconds": 1.0})
        rows = [(r["phase"], r["loss"]) for r in run.history()]
        assert rows == [("fine-tuning", "0.4"), ("head", "0.9")]
        assert Run(tmp_path).seconds_before == 3

    def test_stage_is_told_with_its_time(self, tmp_path):
        Run(tmp_path).stage("done", model_id="m-1")
        status = json.loads((tmp_path / "status.json").read_text())
        assert status["stage"] == "done"
        assert status["model_id"] == "m-1"
        assert {"updated", "pid"} <= set(status)

    def test_beat_is_written_at_most_every_few_seconds(self, tmp_path, monkeypatch):
        now = [1000.0]
        monkeypatch.setattr(heartbeat.time, "time", lambda: now[0])
        run = Run(tmp_path)
        run.stage(run_folder.FINE_TUNING, epochs=4, patience=900)
        assert heartbeat.read_status(tmp_path).patience == 900
        run.beat(step=1)
        assert heartbeat.read_status(tmp_path).step == 0
        now[0] += heartbeat.BEAT_SECONDS
        run.beat(step=2, steps=9)
        status = heartbeat.read_status(tmp_path)
        assert (status.stage, status.epochs) == (run_folder.FINE_TUNING, 4)
        assert (status.step, status.steps, status.patience) == (2, 9, 0)
        assert status.updated == now[0]

    def test_device_is_kept_over_the_stages(self, tmp_path):
        run = Run(tmp_path)
        run.stage(run_folder.PREPARING, device="CPU, 2 cores", total=9)
        run.stage(run_folder.HEAD)
        status = heartbeat.read_status(tmp_path)
        assert (status.device, status.total) == ("CPU, 2 cores", 0)

    def test_token_stays_and_is_the_runs_own(self, tmp_path):
        first = Run(tmp_path / "a").token
        assert Run(tmp_path / "a").token == first != Run(tmp_path / "b").token

    @pytest.mark.parametrize(
        "content",
        [
            *(
                None,
                "",
                "[1]",
                "{",
                '{"stage": "x"}',
                '{"stage": "x", "updated": null}',
            ),
            '{"stage": 5, "updated": 1.0}',
            '{"stage": "x", "updated": 1, "patience": "x"}',
        ],
    )
    def test_status_that_can_not_be_read_is_none(self, tmp_path, content):
        if content is not None:
            (tmp_path / "status.json").write_text(content)
        assert heartbeat.read_status(tmp_path) is None

    def test_status_may_say_more_than_is_known_and_less(self, tmp_path):
        text = '{"stage": "x", "updated": 1, "pid": 7, "of_a_later_version": []}'
        (tmp_path / "status.json").write_text(text)
        assert heartbeat.read_status(tmp_path) == heartbeat.Status(
            stage="x", updated=1.0
        )

    @pytest.mark.parametrize(
        "fingerprint, change",
        [
            ("other", {}),
            ("mine", {"seed": 1}),
            ("mine", {"split_seed": 1}),
            ("mine", {"architecture": "x"}),
        ],
    )
    def test_other_films_or_another_split_are_refused(
        self, tmp_path, fingerprint, change
    ):
        run = Run(tmp_path)
        run.bind("mine", CONFIG)
        run.bind("mine", CONFIG)
        (run.checkpoints / "epoch-0001").mkdir()
        run.bind("mine", replace(CONFIG, epochs=9))
        with pytest.raises(JobError, match="Start a new run"):
            run.bind(fingerprint, replace(CONFIG, **change))

    def test_a_run_from_before_split_seeds_keeps_its_split(self, tmp_path):
        older = {k: v for k, v in asdict(CONFIG).items() if k != "split_seed"}
        older["seed"] = 5
        (tmp_path / "config.json").write_text(json.dumps(older))
        config = run_folder.read_config(tmp_path)
        assert (config.seed, config.split_seed) == (5, 5)
        run = Run(tmp_path)
        run.bind("films", config)
        bound = json.loads((tmp_path / "data.json").read_text())
        del bound["split_seed"]
        (tmp_path / "data.json").write_text(json.dumps(bound))
        (run.checkpoints / "epoch-0001").mkdir()
        run.bind("films", config)
        with pytest.raises(JobError, match="Start a new run"):
            run.bind("films", replace(config, split_seed=6))

    def test_films_may_change_until_an_epoch_is_done(self, tmp_path):
        run = Run(tmp_path)
        run.bind("first", CONFIG)
        run.bind("second", CONFIG)
        assert json.loads((tmp_path / "data.json").read_text())["fingerprint"] == (
            "second"
        )


class TestCreate:
    def test_folder_holds_the_settings(self, tmp_path):
        folder = run_folder.create(tmp_path / "runs", CONFIG)
        assert run_folder.read_config(folder) == CONFIG
        assert [p.name for p in folder.iterdir()] == ["config.json"]

    def test_two_at_once_get_two_folders(self, tmp_path):
        with ThreadPoolExecutor(8) as threads:
            made = list(
                threads.map(lambda _: run_folder.create(tmp_path, CONFIG), range(24))
            )
        assert len(set(made)) == 24

    def test_number_of_a_deleted_run_before_the_last_is_not_given_again(self, tmp_path):
        first, second = (run_folder.create(tmp_path, CONFIG) for _ in range(2))
        shutil.rmtree(first)
        assert run_folder.create(tmp_path, CONFIG) not in (first, second)

    def test_folder_that_can_not_be_written_is_a_named_error(self, tmp_path):
        (tmp_path / "runs").write_text("a file")
        with pytest.raises(JobError, match="can't be written") as caught:
            run_folder.create(tmp_path / "runs", CONFIG)
        assert caught.value.code == "runs-folder"


class TestLeftOut:
    PART = LeftOut(reason="no image", files=2, examples=("a\udcff.txt",))

    def test_what_was_left_out_comes_back(self, tmp_path):
        run = Run(tmp_path / "run")
        assert run_folder.read_left_out(run.folder) == ()
        run.write_left_out([self.PART])
        assert run_folder.read_left_out(run.folder) == (self.PART,)

    @pytest.mark.parametrize("text", ["", "[1]", "{}x", '[{"reason": "a"}]'])
    def test_a_damaged_record_is_named(self, tmp_path, text):
        (tmp_path / run_folder.LEFT_OUT).write_text(text)
        with pytest.raises(JobError, match="left_out.json"):
            run_folder.read_left_out(tmp_path)
