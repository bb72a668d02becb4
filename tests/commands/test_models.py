"""The command models and its actions."""

import json
from dataclasses import replace

import numpy as np
import pytest
from command_line import strict
from tiny_model import register_tiny_model

from cxr.models import cards, registry, scores
from cxr.robustness import operating


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
        path = models_dir / "tiny-1" / cards.CARD
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
            with (folder / cards.NETWORK_WEIGHTS).open("r+b") as file:
                file.write(b"\x01")
        if fault == "golden":
            films = np.full((1, 224, 224), 200, np.uint8)
            np.savez(folder / cards.GOLDEN, films=films, probabilities=[0.5])
            card = registry.read_card(models_dir, "bad")
            files = registry.file_records(folder)
            registry.write_card(models_dir, replace(card, files=files))

        code, out, err = run("models", "activate", "bad", "--json")

        assert (code, out) == (2, "")
        assert "[" in err
        assert registry.active_id(models_dir) == "tiny-1"

    def test_verify_finds_nothing_in_a_sound_registry(self, run):
        code, out, _ = run("models", "verify", "--json")
        assert (code, strict(out)) == (0, {"tiny-1": [], "lungs": []})

    def test_verify_names_each_problem_once(self, run, models_dir):
        for model_id in ("bit", "card", "way"):
            odd = {"preparation": "another"} if model_id == "way" else {}
            register_tiny_model(models_dir, model_id, **odd)
        (models_dir / "bit" / scores.SCORES).write_text("")
        (models_dir / "card" / cards.CARD).write_text("{")
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
        code, out, err = run(
            "models", "promote", "tiny-1", "--reason", "It is wanted.", "--json"
        )
        assert (code, out) == (2, "")
        assert "[gates]" in err and "Sensitivity not worse" in err
        assert registry.active_id(models_dir) == "tiny-2"

    def test_a_candidates_band_is_chosen_anew(
        self, run, models_dir, films_dir, monkeypatch
    ):
        chosen = cards.UncertainBand(below=1.0, above=2.0, rule="chosen anew")
        seen = []

        def band_of(model, films, split_of):
            seen.append((model.card.model_id, len(films)))
            return chosen

        monkeypatch.setattr(operating, "band_of", band_of)
        code, out, _ = run("models", "set-band", "tiny-1", "--data", films_dir)
        document = strict(out)
        assert (code, seen) == (0, [("tiny-1", 8)])
        assert document["rule"] == "chosen anew"
        card = registry.read_card(models_dir, "tiny-1")
        assert card.uncertain_band == chosen and document["band"] == list(card.band)
        answered = card.metrics["test"].answered
        assert document["test"]["no_answer"]["value"] == answered.no_answer.value
        code, _, err = run("models", "set-band", "tiny-2", "--data", films_dir)
        assert code == 2 and "[already-active]" in err

    def test_without_its_validation_films_no_band_is_chosen(self, run, films_dir):
        code, _, err = run("models", "set-band", "tiny-1", "--data", films_dir)
        assert code == 2 and "[dataset]" in err and "0 of them are in" in err

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
        assert code == 2 and "ID ID ..." in err and "[usage]" in err
