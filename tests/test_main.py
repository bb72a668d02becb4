"""The command line: one contract of JSON, streams and exit codes."""

import json
import os
import subprocess
import sys
import types
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from films import as_png, chest_phantom
from tiny_model import PoolHere, register_tiny_model, tiny_probability

import cxr
from cxr import data, registry, runs
from cxr.__main__ import main
from cxr.config import ROOT
from cxr.estimate import Speeds
from cxr.evaluation import UndefinedMetricWarning
from cxr.images import read_film

CLASSIFY_KEYS = [
    "file",
    "status",
    "code",
    "reason",
    "probability",
    "decision",
    "threshold",
    "model_id",
    "model_sha256",
    "warnings",
    "seconds",
]
METRICS = {
    "auc",
    "average_precision",
    "sensitivity",
    "specificity",
    "accuracy",
    "precision",
    "npv",
    "f1",
    "brier",
    "ece",
}


def film_of(brightness: float, seed: int = 0) -> bytes:
    film = chest_phantom(160, 160, seed)
    return as_png(np.clip(film + np.float32(brightness - film.mean()), 0, 255))


def strict(text: str) -> Any:
    """Reads JSON and refuses what only Python takes for JSON."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture
def models_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "models"
    register_tiny_model(folder)
    monkeypatch.setenv("CXR_MODELS_DIR", str(folder))
    monkeypatch.setenv("CXR_RUNS_DIR", str(tmp_path / "runs"))
    monkeypatch.setenv("CXR_RECORDS_DIR", str(tmp_path / "records"))
    monkeypatch.setenv("CXR_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr("cxr.decoding.DecoderPool", PoolHere)
    monkeypatch.setattr("cxr.exploration.DecoderPool", PoolHere)
    return folder


@pytest.fixture
def films_dir(tmp_path: Path) -> Path:
    """The data folder layout, 4 films of each class and 2 patients of each."""
    for label, name in enumerate(data.CLASSES):
        folder = tmp_path / "films" / "test" / name
        folder.mkdir(parents=True)
        for i in range(4):
            brightness = (70, 80, 75, 140)[i] if label == 0 else (150, 145, 140, 60)[i]
            film = film_of(brightness, seed=10 * label + i)
            (folder / f"IM-000{i // 2}-000{i}.png").write_bytes(film)
    return tmp_path / "films"


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(models_dir: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command here; returns exit code, standard output and standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        return code, *capsys.readouterr()

    return run


def run_apart(*arguments: object, models_dir: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cxr", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "CXR_MODELS_DIR": str(models_dir)},
        capture_output=True,
        text=True,
        timeout=60,
    )


class TestClassify:
    def test_a_film_is_one_line_with_all_keys(self, run, tmp_path, models_dir):
        path = tmp_path / "film.png"
        path.write_bytes(film_of(140))
        code, out, _ = run("classify", path, "--json")
        line = strict(out)
        assert code == 0
        assert out.count("\n") == 1
        assert list(line) == CLASSIFY_KEYS
        expected = tiny_probability(read_film(path.read_bytes()).pixels)
        assert line["probability"] == pytest.approx(expected, abs=1e-5)
        card = registry.read_card(models_dir, "tiny-1")
        assert line | {"probability": 0, "seconds": 0} == {
            "file": str(path),
            "status": "scored",
            "code": None,
            "reason": None,
            "probability": 0,
            "decision": "PNEUMONIA",
            "threshold": 0.4,
            "model_id": "tiny-1",
            "model_sha256": card.files[registry.NETWORK_WEIGHTS].sha256,
            "warnings": [],
            "seconds": 0,
        }

    def test_a_refusal_has_code_and_reason_and_no_score(self, run, tmp_path):
        (tmp_path / "a.png").write_bytes(film_of(60))
        (tmp_path / "b.png").write_bytes(b"text")
        (tmp_path / "c.png").write_bytes(film_of(106))
        code, out, _ = run(
            "classify", *(tmp_path / f"{n}.png" for n in "abc"), "--json"
        )
        lines = [strict(line) for line in out.splitlines()]
        assert code == 1
        assert [line["decision"] for line in lines] == ["NORMAL", None, "UNCERTAIN"]
        refused = lines[1]
        assert list(refused) == CLASSIFY_KEYS
        assert refused["status"] == "refused" and refused["code"] == "not-an-image"
        assert refused["reason"].endswith("Use PNG, JPEG or DICOM.")
        assert refused["probability"] is None

    def test_folders_are_walked_in_order_and_only_films_taken(self, run, tmp_path):
        folder = tmp_path / "films"
        (folder / "b").mkdir(parents=True)
        (folder / "x.png").mkdir()
        os.mkfifo(folder / "pipe.png")
        for name in ("c.PNG", "b/2.png", "b/1.png", "notes.txt"):
            (folder / name).write_bytes(film_of(120))
        other = tmp_path / "noname"
        other.write_bytes(film_of(100))
        code, out, _ = run("classify", folder, other, "--json")
        files = [strict(line)["file"] for line in out.splitlines()]
        names = [folder / "b/1.png", folder / "b/2.png", folder / "c.PNG", other]
        assert code == 0
        assert files == [str(name) for name in names]

    @pytest.mark.parametrize("name", ["missing.png", "", "empty"])
    def test_where_there_are_no_films_nothing_is_scored(self, run, tmp_path, name):
        (tmp_path / "films").mkdir()
        (tmp_path / "films" / "empty").mkdir()
        (tmp_path / "film.png").write_bytes(film_of(120))
        code, out, err = run(
            "classify", tmp_path / "film.png", tmp_path / "films" / name, "--json"
        )
        assert (code, out) == (2, "")
        assert err.rstrip().endswith("[dataset]")

    def test_a_file_that_vanishes_is_refused_alone(self, run, tmp_path, monkeypatch):
        for name in "ab":
            (tmp_path / f"{name}.png").write_bytes(film_of(120))
        start = PoolHere.start
        monkeypatch.setattr(
            PoolHere,
            "start",
            lambda pool: (start(pool), (tmp_path / "a.png").unlink()),
        )
        code, out, _ = run("classify", tmp_path / "a.png", tmp_path / "b.png", "--json")
        lines = [strict(line) for line in out.splitlines()]
        assert code == 1
        assert [line["code"] for line in lines] == ["not-opened", None]

    @pytest.mark.parametrize(
        "threshold, decision", [("0.001", "PNEUMONIA"), ("0.999", "NORMAL")]
    )
    def test_the_readers_threshold_decides(self, run, tmp_path, threshold, decision):
        (tmp_path / "film.png").write_bytes(film_of(110))
        path = tmp_path / "film.png"
        _, out, _ = run("classify", path, "--threshold", threshold, "--json")
        line = strict(out)
        assert line["threshold"] == float(threshold)
        assert line["decision"] == decision

    @pytest.mark.parametrize("threshold", ["0", "1", "nan", "-0.5", "2", "inf", "half"])
    def test_a_threshold_that_is_none_is_wrong_use(self, run, capsys, threshold):
        with pytest.raises(SystemExit) as ended:
            run("classify", "film.png", f"--threshold={threshold}")
        assert ended.value.code == 2
        out, err = capsys.readouterr()
        assert out == "" and "--threshold" in err

    def test_another_model_than_the_active_one(self, run, tmp_path, models_dir):
        register_tiny_model(models_dir, "tiny-2")
        (tmp_path / "film.png").write_bytes(film_of(110))
        path = tmp_path / "film.png"
        for arguments, model_id in (([], "tiny-2"), (["--model", "tiny-1"], "tiny-1")):
            _, out, _ = run("classify", path, *arguments, "--json")
            assert strict(out)["model_id"] == model_id

    @pytest.mark.parametrize(
        "model_id, code",
        [("tiny-9", "no-such-model"), ("../tiny-1", "no-such-model"), ("", "no-such")],
    )
    def test_a_model_that_is_not_there_is_a_named_error(
        self, run, tmp_path, model_id, code
    ):
        (tmp_path / "film.png").write_bytes(film_of(110))
        exit_code, out, err = run(
            "classify", tmp_path / "film.png", "--model", model_id
        )
        assert (exit_code, out) == (2, "")
        assert f"[{code}" in err and "Traceback" not in err

    def test_a_damaged_model_scores_nothing(self, run, tmp_path, models_dir):
        (tmp_path / "film.png").write_bytes(film_of(110))
        with (models_dir / "tiny-1" / registry.NETWORK_WEIGHTS).open("r+b") as file:
            file.write(b"\x01")
        code, out, err = run("classify", tmp_path / "film.png", "--json")
        assert (code, out) == (2, "")
        assert "[damaged-model]" in err

    def test_in_words_there_is_a_line_for_each_film(self, run, tmp_path):
        (tmp_path / "a.png").write_bytes(film_of(150))
        (tmp_path / "b.png").write_bytes(b"")
        code, out, _ = run("classify", tmp_path / "a.png", tmp_path / "b.png")
        scored, refused = out.splitlines()
        assert code == 1
        assert "PNEUMONIA, probability 0.9" in scored and "threshold 0.400" in scored
        assert refused.endswith("refused, The file is empty. Export the film again.")

    def test_a_network_that_gives_no_number_is_a_refusal_and_never_normal(
        self, run, tmp_path, monkeypatch
    ):
        (tmp_path / "film.png").write_bytes(film_of(60))
        monkeypatch.setattr(
            "cxr.scoring.Model.input",
            lambda model, film: np.full((224, 224, 1), np.nan, np.float32),
        )
        code, out, _ = run("classify", tmp_path / "film.png", "--json")
        line = strict(out)
        assert code == 1
        assert (line["status"], line["code"]) == ("refused", "not-scored")
        assert line["decision"] is None and line["probability"] is None


class TestEvaluate:
    def test_one_document_with_every_metric_and_its_interval(self, run, films_dir):
        code, out, _ = run("evaluate", "--data", films_dir, "--json")
        document = strict(out)
        assert code == 0
        assert out.count("\n") == 1
        assert {name for name in METRICS if name in document} == METRICS
        for name in METRICS:
            assert list(document[name]) == ["value", "low", "high"]
            assert document[name]["low"] <= document[name]["value"]
            assert document[name]["value"] <= document[name]["high"]
        assert document["confusion"] == {"tn": 3, "fp": 1, "fn": 1, "tp": 3}
        assert document["sensitivity"]["value"] == 0.75
        assert (document["n"], document["n_positive"]) == (8, 4)
        assert document["n_patients"] == 4
        assert document["threshold"] == 0.4
        assert document["refused"] == 0 and document["seen_in_training"] == 0
        assert document["model_id"] == "tiny-1"

    def test_a_metric_that_is_undefined_is_null(self, run, films_dir):
        for path in (films_dir / "test" / "NORMAL").iterdir():
            path.unlink()
        with pytest.warns(UndefinedMetricWarning):
            code, out, _ = run("evaluate", "--data", films_dir, "--json")
        document = strict(out)
        assert code == 0
        assert document["specificity"] == {"value": None, "low": None, "high": None}
        assert document["auc"]["value"] is None
        assert document["sensitivity"]["value"] == 0.75

    def test_refused_films_are_counted_and_named_but_not_in_the_log(
        self, run, films_dir, caplog
    ):
        (films_dir / "test" / "NORMAL" / "odd.png").write_bytes(b"text")
        code, out, _ = run("evaluate", "--data", films_dir, "--json")
        document = strict(out)
        assert code == 1
        assert document["refused"] == 1 and document["n"] == 8
        [(name, reason)] = document["refusals"].items()
        assert name == "test/NORMAL/odd.png"
        assert reason.startswith("This is not an image")
        assert "1 films were refused" in caplog.text and "odd" not in caplog.text

    def test_films_that_made_the_model_are_pointed_out(
        self, run, films_dir, models_dir, caplog
    ):
        films = data.with_hashes(data.scan(films_dir))
        folder = models_dir / "tiny-1"
        rows = [f"{film.name},{film.sha256},train" for film in films[:3]]
        (folder / registry.SPLIT).write_text("\n".join(["film,sha256,split", *rows]))
        card = registry.read_card(models_dir, "tiny-1")
        files = registry.file_records(folder)
        registry.write_card(models_dir, replace(card, files=files))
        code, out, _ = run("evaluate", "--data", films_dir, "--json")
        assert code == 0
        assert strict(out)["seen_in_training"] == 3
        assert "3 of these films" in caplog.text

    def test_a_split_of_the_folder(self, run, films_dir):
        code, out, _ = run("evaluate", "--data", films_dir, "--split", "test", "--json")
        assert code == 0 and strict(out)["n"] == 8

    @pytest.mark.parametrize(
        "arguments",
        [["--split", "val"], ["--split", "held-out"], ["--model", "other"]],
    )
    def test_what_can_not_be_evaluated_is_a_named_error(
        self, run, films_dir, arguments
    ):
        code, out, err = run("evaluate", "--data", films_dir, *arguments, "--json")
        assert (code, out) == (2, "")
        assert err.strip().endswith(("[dataset]", "[no-such-model]"))

    def test_a_folder_without_films_is_a_named_error(self, run, tmp_path):
        for folder in (tmp_path / "models", tmp_path / "nowhere"):
            code, out, err = run("evaluate", "--data", folder, "--json")
            assert (code, out) == (2, "")
            assert "[dataset]" in err

    def test_in_words(self, run, films_dir):
        (films_dir / "test" / "NORMAL" / "odd.png").write_bytes(b"")
        code, out, _ = run("evaluate", "--data", films_dir)
        assert code == 1
        assert "8 films, 4 with pneumonia, 1 refused" in out
        assert "refused: test/NORMAL/odd.png, The file is empty" in out
        assert "sensitivity                  0.7500" in out


class TestModels:
    def test_the_list_names_the_active_one(self, run, models_dir):
        register_tiny_model(models_dir, "tiny-2", created="2020-01-01T00:00:00+00:00")
        registry.activate(models_dir, "tiny-1")
        code, out, _ = run("models", "--json")
        document = strict(out)
        assert code == 0
        assert document["active"] == "tiny-1"
        assert [m["model_id"] for m in document["models"]] == ["tiny-1", "tiny-2"]
        first = document["models"][0]
        assert first["threshold"] == 0.4
        assert list(first["test_auc"]) == ["value", "low", "high"]

    def test_an_empty_registry_is_listed_too(self, run, models_dir, monkeypatch):
        monkeypatch.setenv("CXR_MODELS_DIR", str(models_dir / "none"))
        code, out, _ = run("models", "--json")
        assert code == 0
        assert strict(out) == {"active": None, "models": []}

    def test_a_model_without_test_metrics_is_listed(self, run, models_dir):
        card = registry.read_card(models_dir, "tiny-1")
        registry.write_card(models_dir, replace(card, metrics={}))
        _, out, _ = run("models", "--json")
        assert strict(out)["models"][0]["test_auc"] is None

    def test_a_card_is_shown_whole(self, run, models_dir):
        code, out, _ = run("models", "show", "tiny-1", "--json")
        path = models_dir / "tiny-1" / registry.CARD
        assert code == 0
        assert strict(out) == json.loads(path.read_text())

    def test_without_json_the_same_is_indented(self, run):
        _, indented, _ = run("models", "show", "tiny-1")
        _, line, _ = run("models", "show", "tiny-1", "--json")
        assert indented.count("\n") > 20 and line.count("\n") == 1
        assert strict(indented) == strict(line)

    def test_activate_and_back(self, run, models_dir):
        register_tiny_model(models_dir, "tiny-2")
        code, out, _ = run("models", "activate", "tiny-1", "--json")
        assert (code, strict(out)) == (0, {"active": "tiny-1"})
        assert registry.active_id(models_dir) == "tiny-1"

    @pytest.mark.parametrize("fault", ["bit", "golden", "preparation"])
    def test_a_model_that_would_not_serve_is_not_activated(
        self, run, models_dir, fault
    ):
        odd = {"preparation": "another"} if fault == "preparation" else {}
        register_tiny_model(models_dir, "bad", **odd)
        registry.activate(models_dir, "tiny-1")
        folder = models_dir / "bad"
        if fault == "bit":
            with (folder / registry.NETWORK_WEIGHTS).open("r+b") as file:
                file.write(b"\x01")
        if fault == "golden":
            films = np.full((1, 224, 224), 200, np.uint8)
            np.savez(folder / registry.GOLDEN, films=films, probabilities=[0.5])
            card = registry.read_card(models_dir, "bad")
            files = registry.file_records(folder)
            registry.write_card(models_dir, replace(card, files=files))

        code, out, err = run("models", "activate", "bad", "--json")

        assert (code, out) == (2, "")
        assert "[" in err
        assert registry.active_id(models_dir) == "tiny-1"

    def test_verify_finds_nothing_in_a_sound_registry(self, run):
        code, out, _ = run("models", "verify", "--json")
        assert (code, strict(out)) == (0, {"tiny-1": []})

    def test_verify_names_each_problem_once(self, run, models_dir):
        for model_id in ("bit", "card", "way"):
            odd = {"preparation": "another"} if model_id == "way" else {}
            register_tiny_model(models_dir, model_id, **odd)
        (models_dir / "bit" / registry.SCORES).write_text("")
        (models_dir / "card" / registry.CARD).write_text("{")
        code, out, _ = run("models", "verify", "--json")
        found = strict(out)
        assert code == 1
        assert found["tiny-1"] == []
        assert found["bit"] == [
            "The file scores.csv was changed (its SHA-256 differs)."
        ]
        assert found["card"] == ["The card of model card is damaged."]
        assert len(found["way"]) == 1 and "another" in found["way"][0]

    def test_compare(self, run, models_dir):
        register_tiny_model(models_dir, "tiny-2")
        code, out, _ = run("models", "compare", "tiny-1", "tiny-2", "--json")
        document = strict(out)
        assert code == 0
        assert list(document) == ["films", "evaluations", "auc", "decisions"]
        assert list(document["evaluations"]) == ["tiny-1", "tiny-2"]
        assert document["auc"]["difference"]["value"] == 0

    @pytest.mark.parametrize(
        "arguments",
        [
            ["list", "tiny-1"],
            ["show"],
            ["show", "tiny-1", "tiny-1"],
            ["activate"],
            ["verify", "tiny-1"],
            ["compare", "tiny-1"],
        ],
    )
    def test_another_number_of_ids_is_wrong_use(self, run, arguments):
        code, out, err = run("models", *arguments, "--json")
        assert (code, out) == (2, "")
        assert "[usage]" in err

    @pytest.mark.parametrize("action", ["show", "activate"])
    def test_an_unknown_model_is_a_named_error(self, run, action):
        code, out, err = run("models", action, "tiny-9", "--json")
        assert (code, out) == (2, "")
        assert "[no-such-model]" in err


class TestModelsServing:
    """Promotion, the way back, archives and the trail on the command line."""

    @pytest.fixture(autouse=True)
    def two_models(self, models_dir):
        register_tiny_model(models_dir, "tiny-2")

    def test_activation_goes_into_the_trail_and_back(self, run, models_dir):
        run("models", "activate", "tiny-1")
        code, out, _ = run("models", "rollback", "--json")
        assert (code, strict(out)) == (0, {"active": "tiny-2"})
        assert registry.active_id(models_dir) == "tiny-2"
        code, out, _ = run("models", "audit", "--json")
        document = strict(out)
        assert code == 0 and document["problems"] == []
        actions = [entry["action"] for entry in document["entries"]]
        assert actions == ["roll back", "activate"]
        assert document["entries"][0]["actor"]

    def test_a_gate_that_fails_is_named_and_nothing_changes(self, run, models_dir):
        # So few patients can't show that it is not worse.
        code, out, err = run("models", "promote", "tiny-1", "--json")
        assert (code, out) == (2, "")
        assert "[gates]" in err and "Sensitivity not worse" in err
        assert registry.active_id(models_dir) == "tiny-2"

    def test_no_earlier_model_is_a_named_error(self, run):
        code, _, err = run("models", "rollback")
        assert code == 2 and "[no-earlier-model]" in err

    def test_a_model_goes_out_and_into_another_registry(
        self, run, tmp_path, monkeypatch
    ):
        path = tmp_path / "tiny.zip"
        code, out, _ = run("models", "export", "tiny-1", path, "--json")
        assert code == 0 and strict(out)["file"] == str(path)
        monkeypatch.setenv("CXR_MODELS_DIR", str(tmp_path / "other"))
        code, out, _ = run("models", "import", path, "--json")
        assert (code, strict(out)) == (0, {"model_id": "tiny-1"})
        code, _, err = run("models", "import", path)
        assert code == 2 and "[already-there]" in err
        _, out, _ = run("models", "audit", "--json")
        entries = strict(out)["entries"]
        assert [entry["action"] for entry in entries] == ["import", "export"]

    def test_an_archive_that_is_not_there_is_wrong_use(self, run, tmp_path):
        code, _, err = run("models", "import", tmp_path / "none.zip")
        assert code == 2 and "[usage]" in err

    def test_verify_sees_a_card_that_was_changed_since(self, run, models_dir):
        run("models", "activate", "tiny-1")
        card = registry.read_card(models_dir, "tiny-1")
        registry.write_card(models_dir, replace(card, licence="other"))
        code, out, _ = run("models", "verify", "--json")
        assert code == 1 and "not the one recorded" in strict(out)["tiny-1"][0]


class TestTrain:
    @pytest.fixture
    def no_training(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Makes the import of TensorFlow's side fail."""
        for name in ("training", "networks"):
            monkeypatch.delattr(cxr, name, raising=False)
            monkeypatch.setitem(sys.modules, f"cxr.{name}", None)

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
        with pytest.raises(SystemExit) as ended:
            run("train", "--data", ".", "--seed", "x")
        assert ended.value.code == 2

    @pytest.fixture
    def training(self, monkeypatch: pytest.MonkeyPatch) -> types.SimpleNamespace:
        """Stands in for the module that imports TensorFlow."""
        calls: list[tuple] = []

        def train(config, run_dir, models_dir, cache_dir):
            calls.append((config, run_dir, models_dir, cache_dir))
            return "small-1"

        module = types.SimpleNamespace(train=train)
        monkeypatch.setattr(cxr, "training", module, raising=False)
        monkeypatch.setitem(sys.modules, "cxr.training", module)
        return types.SimpleNamespace(calls=calls)

    def test_the_settings_go_to_the_run(
        self, run, training, tmp_path, models_dir, monkeypatch
    ):
        monkeypatch.setenv("CXR_CACHE_DIR", str(tmp_path / "cache"))
        given = ["--preset", "quick", "--seed", 0, "--epochs", 3, "--accumulate", 2]
        code, out, _ = run("train", "--data", tmp_path, *given, "--json")
        assert (code, strict(out)) == (0, {"model_id": "small-1"})
        [(config, run_dir, registered_in, cached_in)] = training.calls
        expected = runs.config_for(
            "quick", data=str(tmp_path), seed=0, epochs=3, accumulate=2
        )
        assert config == expected
        assert run_dir.parent == tmp_path / "runs"
        assert runs.read_config(run_dir) == config
        assert (registered_in, cached_in) == (models_dir, tmp_path / "cache")

    def test_the_backbone_is_what_was_set_for_this_machine_or_asked_for(
        self, run, training, tmp_path, monkeypatch
    ):
        monkeypatch.setenv("CXR_BACKBONE_WEIGHTS", "here.weights.h5")
        run("train", "--data", tmp_path)
        run("train", "--data", tmp_path, "--backbone-weights", "none")
        used = [config.backbone_weights for config, *_ in training.calls]
        assert used == ["here.weights.h5", "none"]

    def test_each_run_has_a_folder_of_its_own(self, run, training, tmp_path):
        for _ in range(2):
            run("train", "--data", tmp_path)
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

    def test_a_run_that_is_there_is_not_started_again(self, run, training, tmp_path):
        folder = tmp_path / "run-1"
        (folder / "checkpoints" / "epoch-0001").mkdir(parents=True)
        code, out, err = run("train", "--data", tmp_path, "--run", folder, "--json")
        assert (code, out) == (2, "")
        assert "[run-exists]" in err and training.calls == []

    def test_a_run_goes_on_with_its_own_settings(self, run, training, tmp_path):
        config = runs.config_for("best", data="films", seed=5)
        folder = runs.create(tmp_path / "runs", config)
        code, out, _ = run("train", "--resume", "--run", folder)
        assert (code, out) == (0, "Registered small-1.\n")
        assert training.calls[0][:2] == (config, folder)

    def test_a_measurement_is_of_the_run_in_its_folder(
        self, run, monkeypatch, tmp_path
    ):
        config = runs.config_for("quick", data="films")
        folder = runs.create(tmp_path / "measurements", config)
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
        monkeypatch.setattr(cxr, "training", module, raising=False)
        monkeypatch.setitem(sys.modules, "cxr.training", module)
        monkeypatch.setenv("CXR_CACHE_DIR", str(tmp_path / "cache"))
        code, out, _ = run("measure", "--run", folder, "--json")
        assert (code, strict(out)["films_per_second"]) == (0, {"step": 2.0})
        assert measured == [(config, folder, tmp_path / "cache")]
        assert run("measure", "--run", tmp_path / "no")[0] == 2


class TestProgram:
    def test_the_version(self, run, capsys):
        with pytest.raises(SystemExit) as ended:
            run("--version")
        assert ended.value.code == 0
        assert capsys.readouterr().out == f"{cxr.__version__}\n"

    @pytest.mark.parametrize("arguments", [[], ["fly"], ["models", "delete"]])
    def test_what_is_no_command_is_wrong_use(self, run, capsys, arguments):
        with pytest.raises(SystemExit) as ended:
            run(*arguments)
        assert ended.value.code == 2
        out, err = capsys.readouterr()
        assert out == "" and "usage" in err

    def test_a_setting_that_can_not_be_used_is_a_named_error(self, run, monkeypatch):
        monkeypatch.setenv("CXR_THREADS", "many")
        code, out, err = run("models", "--json")
        assert (code, out) == (2, "")
        assert "CXR_THREADS" in err and "[settings]" in err

    def test_a_process_classifies_and_prints_nothing_but_json(
        self, models_dir, tmp_path
    ):
        films = tmp_path / "films"
        films.mkdir()
        (films / "1.png").write_bytes(film_of(150))
        (films / "2.png").write_bytes(film_of(150)[:-30])
        (films / "3.png").write_bytes(film_of(60))
        done = run_apart("classify", films, "--json", models_dir=models_dir)
        lines = [strict(line) for line in done.stdout.splitlines()]
        assert done.returncode == 1
        assert [(line["decision"], line["code"]) for line in lines] == [
            ("PNEUMONIA", None),
            (None, "incomplete"),
            ("NORMAL", None),
        ]
        assert done.stderr == ""

    def test_a_process_evaluates_and_logs_to_the_other_stream(
        self, models_dir, films_dir
    ):
        (films_dir / "test" / "NORMAL" / "odd.png").write_bytes(b"text")
        done = run_apart(
            "evaluate", "--data", films_dir, "--json", models_dir=models_dir
        )
        assert done.returncode == 1
        assert strict(done.stdout)["refused"] == 1
        assert done.stderr.endswith(" 1 films were refused.\n")

    def test_a_process_that_fails_says_why_and_shows_no_traceback(self, tmp_path):
        done = run_apart("models", "show", "x", models_dir=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("There is no model x.")
        assert "Traceback" not in done.stderr


def test_check_finds_what_is_wrong_and_says_so_by_its_exit_code(
    run, films_dir, tmp_path
):
    (films_dir / "test/NORMAL/IM-0007-0001.png").write_bytes(b"no film")
    code, out, _ = run("check", str(films_dir), "--json")
    document = strict(out)
    assert code == 1
    assert (document["films"], document["unreadable"]) == (9, 1)
    assert document["counts"]["unreadable"] == 1
    assert document["findings"][0]["films"] == ["test/NORMAL/IM-0007-0001.png"]
    assert set(document["audit"]["features"]) >= {"file size", "width", "sharpness"}
    assert len(document["fingerprint"]) == 64
    (kept,) = (tmp_path / "cache" / "checks").iterdir()
    assert (kept / "report.json").is_file()


def test_check_in_words_with_a_folder_of_its_own(run, films_dir, tmp_path):
    odd = films_dir / "test/NORMAL/a\x1b[2J.png"
    odd.write_bytes((films_dir / "test/NORMAL/IM-0000-0000.png").read_bytes())
    code, out, _ = run("check", str(films_dir), "--folder", str(tmp_path / "kept"))
    assert code == 1  # the phantoms of both classes are nearly equal
    assert "exact-duplicate" in out and "fingerprint" in out and "\x1b" not in out
    assert (tmp_path / "kept" / "status.json").is_file()


def test_check_of_a_folder_that_is_not_there_fails(run, models_dir, tmp_path):
    code, out, err = run("check", str(tmp_path / "none"), "--json")
    assert (code, out) == (2, "") and "no data folder" in err


def test_download_says_where_the_films_are(run, films_dir, monkeypatch):
    (films_dir / "test").rename(films_dir / "train")
    fake = types.ModuleType("kagglehub")
    fake.dataset_download = lambda handle: str(films_dir)
    monkeypatch.setitem(sys.modules, "kagglehub", fake)
    code, out, _ = run("download", "--json")
    assert (code, strict(out)) == (0, {"data": str(films_dir)})


def test_download_without_kagglehub_says_what_to_do(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    code, out, err = run("download")
    assert (code, out) == (2, "") and "pip install kagglehub" in err


class TestValidate:
    @pytest.fixture(autouse=True)
    def pool_here(self, monkeypatch):
        monkeypatch.setattr("cxr.local_validation.DecoderPool", PoolHere)

    def test_prints_the_report_and_says_no_go_by_its_exit_code(
        self, run, films_dir, tmp_path
    ):
        folder = tmp_path / "validation"
        code, out, _ = run(
            "validate", "--data", films_dir, "--folder", folder, "--json"
        )
        report = strict(out)
        assert code == 1 and report["go"] is False  # far too few films
        assert report["model_id"] == "tiny-1"
        assert report["evaluation"]["n"] == report["films"] == 8
        assert {bar["name"] for bar in report["bars"]} >= {"sensitivity", "AUC"}
        code, out, _ = run("validate", "--folder", folder)
        assert code == 1
        assert out.endswith("no-go\n") and "not met" in out
        _, out, _ = run("models", "audit", "--json")
        (entry,) = strict(out)["entries"]
        assert (entry["action"], entry["model_id"]) == ("validate", "tiny-1")
        assert entry["details"] == {"data": films_dir.name, "validation": folder.name}

    def test_a_new_folder_needs_films(self, run, tmp_path):
        code, out, err = run("validate", "--folder", tmp_path / "validation")
        assert (code, out) == (2, "") and "--data DIR" in err

    def test_other_films_in_the_same_folder_are_refused(self, run, films_dir, tmp_path):
        folder = tmp_path / "validation"
        run("validate", "--data", films_dir, "--folder", folder)
        other = films_dir / "test"
        code, _, err = run("validate", "--data", other, "--folder", folder)
        assert code == 2 and "other-validation" in err


class TestEnsemble:
    def test_makes_a_model_of_two(self, run, models_dir):
        register_tiny_model(models_dir, "tiny-2")
        code, out, _ = run("models", "ensemble", "tiny-1", "tiny-2", "--json")
        model_id = strict(out)["model_id"]
        assert code == 0
        card = registry.read_card(models_dir, model_id)
        assert [member.model_id for member in card.members] == ["tiny-1", "tiny-2"]
        _, out, _ = run("models", "audit", "--json")
        (entry,) = strict(out)["entries"]
        assert (entry["action"], entry["model_id"]) == ("ensemble", model_id)
        code, out, _ = run("models", "verify", "--json")
        assert code == 0 and strict(out)[model_id] == []

    @pytest.mark.parametrize("ids", [[], ["tiny-1"]])
    def test_of_fewer_is_wrong_use(self, run, ids):
        code, _, err = run("models", "ensemble", *ids)
        assert code == 2 and "takes ID ID ...; received" in err
