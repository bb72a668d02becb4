"""The commands evaluate and validate."""

import os
from dataclasses import replace

import pytest
from command_line import METRICS, strict
from tiny_model import PoolHere

from cxr.datasets import folders
from cxr.evaluation.estimates import UndefinedMetricWarning
from cxr.models import registry, scores
from cxr.validation import local


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
        answered = document["answered"]
        assert answered["low"] < 0.4 < answered["high"]
        assert 0 <= answered["no_answer"]["value"] <= 1
        assert answered["n_no_answer"] == [
            round(4 * answered[f"no_answer_{kind}"]["value"])
            for kind in ("well", "ill")
        ]
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
        films = folders.with_hashes(folders.scan(films_dir))
        folder = models_dir / "tiny-1"
        rows = [f"{film.name},{film.sha256},train" for film in films[:3]]
        (folder / scores.SPLIT).write_text("\n".join(["film,sha256,split", *rows]))
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

    def test_field_case_a_names_that_are_no_text(self, run, films_dir, odd_names):
        (films_dir / odd_names[0]).write_bytes(b"")
        code, out, _ = run("evaluate", "--data", films_dir, "--json")
        assert code == 1 and list(strict(out)["refusals"]) == odd_names[:1]
        code, out, _ = run("evaluate", "--data", films_dir)
        assert code == 1
        assert "refused: test/NORMAL/film\\udcff.png, The file is empty" in out

    def test_in_words(self, run, films_dir):
        (films_dir / "test" / "NORMAL" / "odd.png").write_bytes(b"")
        code, out, _ = run("evaluate", "--data", films_dir)
        assert code == 1
        assert "8 films, 4 with pneumonia, 1 refused" in out
        assert "refused: test/NORMAL/odd.png, The file is empty" in out
        assert "sensitivity                  0.7500" in out
        assert "\nno answer from 0." in out and "\nno_answer_of_normal  " in out
        assert "\nsensitivity_of_answered  " in out


class TestValidate:
    @pytest.fixture(autouse=True)
    def pool_here(self, monkeypatch):
        monkeypatch.setattr("cxr.validation.local.DecoderPool", PoolHere)

    def test_prints_the_report_and_says_no_go_by_its_exit_code(
        self, run, films_dir, tmp_path
    ):
        folder = tmp_path / "validation"
        code, out, _ = run(
            *("validate", "--data", films_dir, "--folder", folder, "--json"),
            *("--name", "Winter films"),
        )
        report = strict(out)
        assert code == 1 and report["go"] is False  # far too few films
        assert report["model_id"] == "tiny-1"
        assert report["evaluation"]["n"] == report["films"] == 8
        assert {bar["name"] for bar in report["bars"]} >= {"sensitivity", "AUC"}
        code, out, _ = run("validate", "--folder", folder)
        assert code == 1
        assert out.endswith("no-go\n") and "not met" in out
        assert "\nno answer from 0." in out
        _, out, _ = run("models", "audit", "--json")
        again, entry = strict(out)["entries"]
        assert again["details"] == {**entry["details"], "resumed": True}
        assert (entry["action"], entry["model_id"]) == ("validate", "tiny-1")
        assert entry["details"] == {"data": films_dir.name, "validation": folder.name}

    def test_field_case_a_names_that_are_no_text(
        self, run, films_dir, odd_names, tmp_path
    ):
        folder = tmp_path / os.fsdecode(b"validation\xff")
        films = films_dir.rename(tmp_path / os.fsdecode(b"films\xff\n"))
        code, out, err = run("validate", "--data", films, "--folder", folder, "--json")
        assert (code, err) == (1, "")
        assert strict(out)["films"] == 8 and strict(out)["refused"] == {}
        assert set(odd_names) < set(local.read_scores(folder).names)
        code, again, _ = run("validate", "--folder", folder, "--json")
        assert code == 1 and strict(again)["evaluation"] == strict(out)["evaluation"]
        code, out, _ = run("models", "audit", "--json")
        assert code == 0
        assert strict(out)["entries"][0]["details"]["data"] == films.name
        assert local.read_report(folder).data == "films\\udcff\\n"

    def test_a_new_folder_needs_films(self, run, tmp_path):
        code, out, err = run("validate", "--folder", tmp_path / "validation")
        assert (code, out) == (2, "") and "--data DIR" in err

    def test_other_films_in_the_same_folder_are_refused(self, run, films_dir, tmp_path):
        folder = tmp_path / "validation"
        run("validate", "--data", films_dir, "--folder", folder)
        other = films_dir / "test"
        code, _, err = run("validate", "--data", other, "--folder", folder)
        assert code == 2 and "other-validation" in err
