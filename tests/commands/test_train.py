"""The commands train and measure."""

import sys
import types

import pytest
from command_line import strict

import cxr.training
from cxr.datasets.folders import CLASSES, LeftOut
from cxr.jobs import control
from cxr.records import audit
from cxr.runs import run_folder
from cxr.runs.config import config_for
from cxr.runs.estimate import Speeds


class TestTrain:
    @pytest.fixture
    def no_training(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Makes the import of TensorFlow's side fail."""
        for name in ("train", "networks"):
            monkeypatch.delattr(cxr.training, name, raising=False)
            monkeypatch.setitem(sys.modules, f"cxr.training.{name}", None)

    @pytest.mark.parametrize(
        "arguments, code",
        [
            ([], "usage"),
            (["--preset", "quick"], "usage"),
            (["--resume"], "usage"),
            (["--resume", "--run", "nowhere"], "job"),
            (["--resume", "--run", "nowhere", "--data", "."], "usage"),
            (["--resume", "--run", "nowhere", "--preset", "quick"], "usage"),
            (["--resume", "--run", "nowhere", "--seed", "0"], "usage"),
            (["--data", "nowhere"], "dataset"),
        ],
    )
    def test_what_can_not_be_trained_is_named_before_tensorflow_is_loaded(
        self, run, no_training, tmp_path, monkeypatch, arguments, code
    ):
        monkeypatch.chdir(tmp_path)
        exit_code, out, err = run("train", *arguments, "--json")
        assert (exit_code, out) == (2, "")
        assert f"[{code}]" in err
        assert not (tmp_path / "nowhere").exists()
        assert not (tmp_path / "runs").exists()

    def test_a_seed_that_is_none_is_wrong_use(self, run):
        code, out, err = run("train", "--data", ".", "--seed", "x")
        assert (code, out) == (2, "")
        assert "--seed" in err

    @pytest.fixture
    def training(self, monkeypatch: pytest.MonkeyPatch) -> types.SimpleNamespace:
        """Stands in for the module that imports TensorFlow."""
        calls: list[tuple] = []

        def train(config, run_dir, models_dir, cache_dir):
            calls.append((config, run_dir, models_dir, cache_dir))
            part = LeftOut(reason="no image", files=1, examples=("notes.txt",))
            run_folder.Run(run_dir).write_left_out([part])
            return "small-1"

        module = types.SimpleNamespace(train=train)
        monkeypatch.setattr(cxr.training, "train", module, raising=False)
        monkeypatch.setitem(sys.modules, "cxr.training.train", module)
        return types.SimpleNamespace(calls=calls)

    @pytest.fixture
    def films(self, tmp_path, monkeypatch):
        """A folder of films that a training could deal; no reserve of disk is asked."""
        monkeypatch.setenv("CXR_DISK_RESERVE_GB", "0")
        monkeypatch.delenv("CXR_BACKBONE_WEIGHTS", raising=False)
        for label in CLASSES:
            (tmp_path / "films" / label).mkdir(parents=True)
            for i in range(4):
                (tmp_path / "films" / label / f"{i}.png").touch()
        return tmp_path / "films"

    def test_the_settings_go_to_the_run(
        self, run, training, films, tmp_path, models_dir, monkeypatch
    ):
        monkeypatch.setenv("CXR_CACHE_DIR", str(tmp_path / "cache"))
        given = ["--preset", "quick", "--seed", 0, "--epochs", 3, "--accumulate", 2]
        given += ["--unfreeze-from", 1, "--consistency", 2.5]
        code, out, _ = run("train", "--data", films, *given, "--json")
        part = {"reason": "no image", "files": 1, "examples": ["notes.txt"]}
        expected = {"model_id": "small-1", "left_out": [part]}
        assert (code, strict(out)) == (0, expected)
        [(config, run_dir, registered_in, cached_in)] = training.calls
        changes = {"seed": 0, "epochs": 3, "accumulate": 2}
        changes |= {"unfreeze_from": 1, "consistency": 2.5}
        assert config == config_for("quick", data=str(films), **changes)
        assert run_dir.parent == tmp_path / "runs"
        assert run_folder.read_config(run_dir) == config
        assert (registered_in, cached_in) == (models_dir, tmp_path / "cache")

    def test_the_backbone_is_what_was_set_for_this_machine_or_asked_for(
        self, run, training, films, tmp_path, monkeypatch
    ):
        monkeypatch.chdir(tmp_path)
        here = tmp_path / "here.weights.h5"
        here.touch()
        monkeypatch.setenv("CXR_BACKBONE_WEIGHTS", str(here))
        run("train", "--data", films)
        run("train", "--data", films, "--backbone-weights", "none")
        run("train", "--data", films, "--backbone-weights", here.name)
        used = [config.backbone_weights for config, *_ in training.calls]
        assert used == [str(here), "none", str(here)]

    @pytest.mark.parametrize(
        "weights, sentence",
        [
            ("imagenet", "no connection. Continue from a registered model (model:ID)"),
            ("no.weights.h5", "no file with backbone weights"),
            ("model:no-such", "There is no model no-such"),
            ("model:tiny-1", "it has no weights of its own"),
            ("model:../tiny-1", "is not a model id"),
        ],
    )
    def test_weights_that_can_not_be_had_are_named_before_anything_starts(
        self, run, no_training, films, offline, tmp_path, weights, sentence
    ):
        for more in ([], ["--background"]):
            given = ["--data", films, "--backbone-weights", weights, *more]
            code, out, err = run("train", *given, "--json")
            assert (code, out) == (2, "") and sentence in err
        assert not (tmp_path / "runs").exists()

    @pytest.fixture
    def submitted(self, monkeypatch, tmp_path):
        calls = []
        for name in ("runs", "cache", "records"):
            monkeypatch.setenv(f"CXR_{name.upper()}_DIR", str(tmp_path / name))
        monkeypatch.setenv("CXR_DISK_RESERVE_GB", "0")
        monkeypatch.delenv("CXR_DATA_DIR", raising=False)
        monkeypatch.delenv("CXR_BACKBONE_WEIGHTS", raising=False)
        monkeypatch.setattr(control, "submit", lambda *given: calls.append(given))
        return calls

    @pytest.mark.parametrize("command", ["train", "measure"])
    def test_in_the_background_the_app_s_own_act_is_called(
        self, run, no_training, submitted, films, tmp_path, monkeypatch, command
    ):
        monkeypatch.chdir(tmp_path)
        flag = ["--background"] if command == "train" else []
        code, out, _ = run(command, "--data", "films", *flag, "--epochs", 3, "--json")
        [(folder, words)] = submitted
        assert (code, strict(out)) == (0, {"folder": str(folder)})
        assert words[1:4] == ("-m", "cxr", command)
        config = run_folder.read_config(folder)
        assert (config.data, config.epochs) == (str(tmp_path / "films"), 3)

    @pytest.mark.parametrize(
        "arguments",
        [
            ["train", "--background", "--data", ".", "--run", "r"],
            ["train", "--background"],
            ["measure"],
            ["measure", "--run", "r", "--data", "."],
            ["measure", "--run", "r", "--epochs", "3"],
            ["check", ".", "--background", "--folder", "f"],
            ["validate", "--background"],
            ["validate", "--background", "--data", ".", "--folder", "f"],
            ["validate", "--data", "."],
        ],
        ids=" ".join,
    )
    def test_what_the_background_does_not_take_is_wrong_use(
        self, run, submitted, arguments
    ):
        code, out, err = run(*arguments)
        assert (code, out) == (2, "") and "[usage]" in err
        assert submitted == []

    def test_a_check_and_a_validation_go_to_the_background_too(
        self, run, submitted, tmp_path, models_dir
    ):
        for words in (["check", tmp_path], ["validate", "--data", tmp_path]):
            code, out, _ = run(*words, "--background", "--json")
            assert code == 0
            folder, command = submitted[-1]
            assert strict(out) == {"folder": str(folder)}
            assert command[1:4] == ("-m", "cxr", words[0])
        [entry] = audit.entries(tmp_path / "records")
        assert entry.action == "validate"

    def test_each_run_has_a_folder_of_its_own(self, run, training, films):
        for _ in range(2):
            run("train", "--data", films)
        assert len({call[1] for call in training.calls}) == 2

    @pytest.mark.parametrize(
        "arguments", [["--preset", "slow"], ["--architecture", "resnet"]]
    )
    def test_an_unknown_preset_or_architecture_is_wrong_use(
        self, run, training, tmp_path, arguments
    ):
        code, out, err = run("train", "--data", tmp_path, *arguments, "--json")
        assert (code, out) == (2, "")
        assert "received" in err and "[usage]" in err
        assert training.calls == []

    def test_a_run_that_is_there_is_not_started_again(
        self, run, training, films, tmp_path
    ):
        folder = tmp_path / "run-1"
        (folder / "checkpoints" / "epoch-0001").mkdir(parents=True)
        code, out, err = run("train", "--data", films, "--run", folder, "--json")
        assert (code, out) == (2, "")
        assert "[run-exists]" in err and training.calls == []

    def test_a_run_goes_on_with_its_own_settings(self, run, training, films, tmp_path):
        config = config_for("best", data="films", seed=5)
        folder = run_folder.create(tmp_path / "runs", config)
        code, out, _ = run("train", "--resume", "--run", folder)
        assert (code, out) == (0, "Registered small-1.\n")
        assert training.calls[0][:2] == (config, folder)

    def test_a_measurement_is_of_the_run_in_its_folder(
        self, run, monkeypatch, tmp_path
    ):
        config = config_for("quick", data="films")
        folder = run_folder.create(tmp_path / "measurements", config)
        measured = []

        def measure(config, run_dir, cache_dir):
            measured.append((config, run_dir, cache_dir))
            return Speeds(
                device="CPU",
                architecture=config.architecture,
                unfreeze_from=6,
                batch_size=32,
                seconds={"step": 0.5, "score": 0.0},
                fixed=9.0,
                films=320,
                measured=1.0,
            )

        module = types.SimpleNamespace(measure=measure)
        monkeypatch.setattr(cxr.training, "train", module, raising=False)
        monkeypatch.setitem(sys.modules, "cxr.training.train", module)
        monkeypatch.setenv("CXR_CACHE_DIR", str(tmp_path / "cache"))
        code, out, _ = run("measure", "--run", folder, "--json")
        assert (code, strict(out)["films_per_second"]) == (0, {"step": 2.0})
        assert measured == [(config, folder, tmp_path / "cache")]
        assert run("measure", "--run", tmp_path / "no")[0] == 2
