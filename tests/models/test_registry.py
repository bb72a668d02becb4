"""The registry: cards, hashes, attacks on model folders, which model serves."""

import json
import math
import os
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from tiny_model import register_tiny_model

from cxr import disk
from cxr.errors import ModelError
from cxr.evaluation import calibration
from cxr.models import cards, registry
from cxr.models.cards import Card, Threshold, UncertainBand
from cxr.models.scores import SCORES, SPLIT


@pytest.fixture
def models_dir(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def card(models_dir: Path) -> Card:
    return register_tiny_model(models_dir)


def edit_card(models_dir: Path, change: Callable[[dict], object]) -> None:
    path = models_dir / "tiny-1" / cards.CARD
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


class TestCards:
    @pytest.mark.parametrize("age_years", [None, (1.0, 6.0)])
    def test_a_card_comes_back_as_it_was_written(self, models_dir, age_years):
        card = register_tiny_model(models_dir, age_years=age_years)
        assert registry.read_card(models_dir, "tiny-1") == card

    def test_an_undefined_figure_is_null_in_the_file_and_nan_again(
        self, models_dir, card
    ):
        test = card.metrics["test"]
        undefined = replace(test, auc=replace(test.auc, value=math.nan, low=math.inf))
        registry.write_card(models_dir, replace(card, metrics={"test": undefined}))

        text = (models_dir / "tiny-1" / cards.CARD).read_text()
        auc = registry.read_card(models_dir, "tiny-1").metrics["test"].auc

        assert "NaN" not in text and "Infinity" not in text
        assert json.loads(text)["metrics"]["test"]["auc"]["value"] is None
        assert math.isnan(auc.value) and math.isnan(auc.low)
        assert auc.high == test.auc.high

    def test_the_newest_model_is_first(self, models_dir):
        for model_id, created in (("a", "2026-01-02"), ("b", "2026-03-01")):
            register_tiny_model(models_dir, model_id, created=created)
        assert [card.model_id for card in registry.cards(models_dir)] == ["b", "a"]

    def test_no_registry_has_no_models(self, models_dir):
        assert registry.cards(models_dir) == []

    @pytest.mark.parametrize(
        "change",
        [
            lambda card: card.update(surprise=1),
            lambda card: card.update(threshold=[]),
            lambda card: card.update(metrics=[]),
            lambda card: card.update(metrics={"test": 1}),
            lambda card: card.update(files=["network.xml"]),
            lambda card: card["threshold"].update(surprise=1),
            lambda card: card["metrics"]["test"]["auc"].update(surprise=1),
            lambda card: card.pop("threshold"),
            lambda card: card.update(input_size="224"),
            lambda card: card.update(heatmap_scale="4"),
            lambda card: card.update(heatmap_scale=True),
            lambda card: card.update(heatmap_scale=0),
            lambda card: card.update(heatmap_scale=None),
            lambda card: card["calibration"].update(slope=-1),
            lambda card: card["calibration"].update(slope=None),
            lambda card: card.update(model_id="tiny-2"),
            lambda card: card["files"].pop(cards.NETWORK_WEIGHTS),
            lambda card: card["files"].pop(cards.GOLDEN),
        ],
    )
    def test_a_card_that_is_not_as_expected_is_refused(self, models_dir, card, change):
        edit_card(models_dir, change)
        with pytest.raises(ModelError) as refused:
            registry.read_card(models_dir, "tiny-1")
        assert refused.value.code == "damaged-card"
        assert registry.cards(models_dir) == []

    @pytest.mark.parametrize("value", [None, -0.1, 1.1, 1e9, "0.4"])
    def test_a_threshold_that_would_call_every_film_normal_is_refused(
        self, models_dir, card, value
    ):
        edit_card(models_dir, lambda content: content["threshold"].update(value=value))
        with pytest.raises(ModelError, match="damaged"):
            registry.read_card(models_dir, "tiny-1")

    @pytest.mark.parametrize("edge", ["below", "above"])
    @pytest.mark.parametrize("value", [None, -1])
    def test_a_band_without_width_or_beyond_is_refused(
        self, models_dir, card, edge, value
    ):
        edit_card(models_dir, lambda c: c["uncertain_band"].update({edge: value}))
        with pytest.raises(ModelError, match="damaged"):
            registry.read_card(models_dir, "tiny-1")

    @pytest.mark.parametrize(
        "text",
        ["", "null", "[]", "{}", '{"model_id"', "\0" * 50, "[" * 50_000, "NaN"],
        ids=["empty", "null", "list", "bare", "cut", "zeros", "deep", "nan"],
    )
    def test_a_file_that_is_no_card_hides_its_model_and_no_other(
        self, models_dir, card, text
    ):
        register_tiny_model(models_dir, "tiny-2")
        (models_dir / "tiny-1" / cards.CARD).write_text(text)

        with pytest.raises(ModelError) as refused:
            registry.read_card(models_dir, "tiny-1")

        assert refused.value.code == "damaged-card"
        assert [card.model_id for card in registry.cards(models_dir)] == ["tiny-2"]

    def test_a_card_that_is_not_text_is_refused(self, models_dir, card):
        (models_dir / "tiny-1" / cards.CARD).write_bytes(b"\xff\xfe\x00")
        with pytest.raises(ModelError, match="damaged"):
            registry.read_card(models_dir, "tiny-1")

    def test_a_card_of_any_length_is_not_read_to_its_end(self, models_dir, card):
        with (models_dir / "tiny-1" / cards.CARD).open("a") as file:
            file.write(" " * registry.MAX_CARD_CHARACTERS + "{}")
        assert registry.read_card(models_dir, "tiny-1") == card

    def test_a_written_card_replaces_the_old_one_and_leaves_nothing(
        self, models_dir, card
    ):
        before = sorted((models_dir / "tiny-1").iterdir())
        registry.write_card(models_dir, replace(card, licence="other"))
        assert registry.read_card(models_dir, "tiny-1").licence == "other"
        assert sorted((models_dir / "tiny-1").iterdir()) == before


class TestFolders:
    @pytest.mark.parametrize(
        "model_id",
        [
            "",
            ".",
            "..",
            "../tiny-1",
            "tiny-1/../tiny-1",
            "/etc",
            "a/b",
            "a\\b",
            "Tiny-1",
            "tiny_1",
            "tiny-1\n",
            "tiny-1\0",
            ".draft-1",
            "a" * 65,
            "a" * 100_000,
        ],
    )
    def test_what_is_not_a_model_id_leads_nowhere(self, models_dir, card, model_id):
        for use in (registry.folder_of, registry.read_card, registry.activate):
            with pytest.raises(ModelError) as refused:
                use(models_dir, model_id)
            assert refused.value.code == "no-such-model"
            assert len(refused.value.message) < 200

    def test_a_model_that_is_not_there_is_named(self, models_dir, card):
        with pytest.raises(ModelError, match="no model tiny-9"):
            registry.read_card(models_dir, "tiny-9")

    @pytest.mark.parametrize(
        "name", ["model.keras", "model.pkl", "model.joblib", "saved_model.pb"]
    )
    def test_a_folder_without_card_is_not_listed_and_not_opened(
        self, models_dir, card, name
    ):
        folder = models_dir / "foreign"
        folder.mkdir()
        # Opening a pipe that nobody writes to would hang.
        os.mkfifo(folder / name)
        assert [c.model_id for c in registry.cards(models_dir)] == ["tiny-1"]
        with pytest.raises(ModelError, match="no model foreign"):
            registry.activate(models_dir, "foreign")

    def test_odd_things_in_the_registry_are_ignored(self, models_dir, card):
        (models_dir / "notes.txt").write_text("x")
        (models_dir / "empty").mkdir()
        (models_dir / "folder" / cards.CARD).mkdir(parents=True)
        text = (models_dir / "tiny-1" / cards.CARD).read_text()
        for name in ("Big Name", ".draft-x", "copy-of-tiny-1", "ünïcode"):
            (models_dir / name).mkdir()
            (models_dir / name / cards.CARD).write_text(text)
        (models_dir / "pipe").mkdir()
        os.mkfifo(models_dir / "pipe" / cards.CARD)
        (models_dir / "dangling").symlink_to(models_dir / "nowhere")
        assert [c.model_id for c in registry.cards(models_dir)] == ["tiny-1"]

    def test_a_link_out_of_the_registry_is_not_a_model(self, tmp_path, models_dir):
        register_tiny_model(tmp_path / "elsewhere", "linked")
        models_dir.mkdir()
        (models_dir / "linked").symlink_to(tmp_path / "elsewhere" / "linked")
        assert registry.cards(models_dir) == []
        with pytest.raises(ModelError, match="no model linked"):
            registry.activate(models_dir, "linked")


class TestActive:
    def test_the_activated_model_serves(self, models_dir):
        for model_id in ("tiny-1", "tiny-2"):
            register_tiny_model(models_dir, model_id)
        assert registry.active_id(models_dir) == "tiny-2"
        assert registry.activate(models_dir, "tiny-1").model_id == "tiny-1"
        assert registry.active_id(models_dir) == "tiny-1"

    @pytest.mark.parametrize("text", [None, "", "{}", "[]", '"tiny-1"', "[" * 50_000])
    def test_without_a_readable_choice_no_model_serves(self, models_dir, card, text):
        (models_dir / registry.ACTIVE).unlink()
        if text is not None:
            (models_dir / registry.ACTIVE).write_text(text)
        with pytest.raises(ModelError) as refused:
            registry.active_id(models_dir)
        assert refused.value.code == "no-active-model"
        assert "models activate" in refused.value.message

    @pytest.mark.parametrize("name", sorted(cards.NEEDED) + [cards.HISTORY])
    @pytest.mark.parametrize("damage", [flip_a_bit, Path.unlink])
    def test_a_damaged_model_is_not_activated_and_the_old_one_serves_on(
        self, models_dir, name, damage
    ):
        for model_id in ("bad", "good"):
            register_tiny_model(models_dir, model_id)
        damage(models_dir / "bad" / name)

        with pytest.raises(ModelError, match=f"bad was not activated: .*{name}"):
            registry.activate(models_dir, "bad")

        assert registry.active_id(models_dir) == "good"


class TestVerify:
    def test_a_sound_model_has_no_problems(self, models_dir, card):
        assert registry.verify(models_dir, card) == []

    def test_each_problem_is_named(self, models_dir, card):
        flip_a_bit(models_dir / "tiny-1" / cards.NETWORK_WEIGHTS)
        (models_dir / "tiny-1" / SCORES).unlink()
        problems = registry.verify(models_dir, card)
        assert sorted(problems) == [
            "The file network.bin was changed (its SHA-256 differs).",
            "The file scores.csv is missing.",
        ]

    def test_a_pipe_in_place_of_a_file_does_not_hang(self, models_dir, card):
        path = models_dir / "tiny-1" / cards.NETWORK
        path.unlink()
        os.mkfifo(path)
        assert registry.verify(models_dir, card) == ["The file network.xml is missing."]
        with pytest.raises(ModelError, match="can't be read"):
            registry.read_file(models_dir, card, cards.NETWORK)

    def test_the_records_hold_every_file_but_the_card(self, models_dir, card):
        folder = models_dir / "tiny-1"
        records = registry.file_records(folder)
        assert records == card.files
        assert {*records, cards.CARD} == {path.name for path in folder.iterdir()}
        assert all(records[n].size == (folder / n).stat().st_size for n in records)


class TestReadFile:
    def test_the_bytes_of_a_sound_file(self, models_dir, card):
        expected = (models_dir / "tiny-1" / cards.NETWORK).read_bytes()
        assert registry.read_file(models_dir, card, cards.NETWORK) == expected

    @pytest.mark.parametrize("damage", [flip_a_bit, Path.unlink])
    def test_a_changed_or_missing_file_does_not_serve(self, models_dir, card, damage):
        damage(models_dir / "tiny-1" / cards.NETWORK)
        with pytest.raises(ModelError, match="doesn't serve") as refused:
            registry.read_file(models_dir, card, cards.NETWORK)
        assert refused.value.code == "damaged-model"

    @pytest.mark.parametrize("name", ["card.json", "../active.json", "secret"])
    def test_what_the_card_does_not_list_is_not_read(self, models_dir, card, name):
        with pytest.raises(ModelError, match="lists no"):
            registry.read_file(models_dir, card, name)

    @pytest.mark.parametrize(
        "name", ["../active.json", "/etc/hostname", "a/b", "..", "", "a\\b", "x" * 65]
    )
    def test_a_card_can_not_name_a_file_elsewhere(self, models_dir, card, name):
        edit_card(
            models_dir,
            lambda content: content["files"].update({name: {"sha256": "", "size": 0}}),
        )
        with pytest.raises(ModelError, match="damaged"):
            registry.read_card(models_dir, "tiny-1")

    def test_an_endless_file_is_read_no_further_than_its_record(self, models_dir, card):
        path = models_dir / "tiny-1" / cards.HISTORY
        with path.open("r+b") as file:
            file.truncate(1 << 40)  # takes no room on the disk
        with pytest.raises(ModelError, match="was changed"):
            registry.read_file(models_dir, card, cards.HISTORY)


class TestTables:
    def test_the_scores_of_a_split_in_the_order_of_the_file(self, models_dir, card):
        scores = registry.read_scores(models_dir, card, "test")
        assert scores.names[:2] == ("f0.png", "f1.png")
        assert scores.patients[:3] == ("p0", "p0", "p1")
        assert scores.sha256[3] == f"{3:064x}"
        assert scores.subtypes[:4] == ("", "bacterial", "viral", "bacterial")
        assert scores.labels.dtype == np.int64 and scores.labels.shape == (200,)
        assert scores.labels[:4].tolist() == [0, 1, 1, 1]
        assert scores.probabilities.dtype == np.float64
        assert ((scores.probabilities > 0) & (scores.probabilities < 1)).all()

    def test_a_split_that_was_not_scored_is_named(self, models_dir, card):
        with pytest.raises(ModelError, match="no scores of the split train"):
            registry.read_scores(models_dir, card, "train")

    def test_a_changed_table_is_not_read(self, models_dir, card):
        flip_a_bit(models_dir / "tiny-1" / SCORES)
        with pytest.raises(ModelError, match="was changed"):
            registry.read_scores(models_dir, card, "test")

    @pytest.mark.parametrize(
        "content",
        [
            b"split,film\ntest,f0.png\n",
            b"split,film,patient,subtype,label,probability\ntest,f0.png,p,,x,0.5\n",
            b"split,film,patient,subtype,label,probability\ntest,f0.png,p,,1,high\n",
            b"split,film,patient,subtype,label,probability\ntest,strange.png,p,,1,1\n",
            b"\xff\xfe",
        ],
        ids=["columns", "label", "probability", "film", "encoding"],
    )
    def test_a_table_that_fits_its_hash_but_not_its_form(
        self, models_dir, card, content
    ):
        (models_dir / "tiny-1" / SCORES).write_bytes(content)
        files = registry.file_records(models_dir / "tiny-1")
        card = replace(card, files=files)
        with pytest.raises(ModelError):
            registry.read_scores(models_dir, card, "test")

    def test_a_name_with_a_line_separator_stays_one_row(self, models_dir, card):
        folder = models_dir / "tiny-1"
        name = "odd\u2028name\x0b.png"
        for table in (SCORES, SPLIT):
            text = (folder / table).read_text(encoding="utf-8")
            (folder / table).write_text(text.replace("f0.png", name), encoding="utf-8")
        card = replace(card, files=registry.file_records(folder))
        assert registry.read_scores(models_dir, card, "test").names[0] == name

    def test_the_split_of_each_film_by_its_hash(self, models_dir, card):
        split_of = registry.read_split(models_dir, card)
        assert split_of[f"{7:064x}"] == "test"
        assert len(split_of) == 200

    def test_a_split_without_hashes_is_refused(self, models_dir, card):
        (models_dir / "tiny-1" / SPLIT).write_text("film,split\na,test\n")
        card = replace(card, files=registry.file_records(models_dir / "tiny-1"))
        with pytest.raises(ModelError, match=r"split\.csv"):
            registry.read_split(models_dir, card)


@pytest.mark.parametrize(
    "build",
    [
        lambda: Threshold(value=math.nan, rule="", split=""),
        lambda: Threshold(value=-0.01, rule="", split=""),
        lambda: UncertainBand(below=math.inf, above=0, rule=""),
        lambda: UncertainBand(below=0, above=math.nan, rule=""),
    ],
)
def test_numbers_by_which_nothing_can_serve_are_wrong_arguments(build):
    with pytest.raises(ValueError, match="expected .*, received"):
        build()


def test_a_card_holds_nothing_that_json_does_not_know(card):
    json.dumps(asdict(card), allow_nan=False)


class TestSweep:
    def old(self, path: Path) -> None:
        for inside in (*path.rglob("*"), path):
            os.utime(inside, (0, 0))

    def test_case_f5_what_a_killed_publication_left_is_removed(self, models_dir, card):
        draft = models_dir / f"{disk.DRAFT}1"
        draft.mkdir()
        (draft / cards.NETWORK).write_text("half")
        choice = models_dir / ".active.json.1.draft"
        choice.write_text("{")
        for left in (draft, choice):
            self.old(left)
        assert sorted(registry.sweep(models_dir)) == [choice.name, draft.name]
        there = {path.name for path in models_dir.iterdir()}
        assert there == {"active.json", "lungs", "tiny-1"}
        assert registry.read_card(models_dir, "tiny-1") == card

    def test_a_draft_that_is_being_written_stays(self, models_dir, card):
        draft = models_dir / f"{disk.DRAFT}1"
        draft.mkdir()
        self.old(draft)
        (draft / cards.NETWORK).write_text("half")
        os.utime(draft, (0, 0))
        assert registry.sweep(models_dir) == [] and draft.is_dir()

    def test_a_link_is_removed_and_not_followed(self, models_dir, card, tmp_path):
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        (models_dir / f"{disk.DRAFT}1").symlink_to(elsewhere)
        assert registry.sweep(models_dir) == [f"{disk.DRAFT}1"]
        assert elsewhere.is_dir()

    def test_no_registry_has_nothing_to_sweep(self, models_dir):
        assert registry.sweep(models_dir) == []


class TestCalibrations:
    def test_an_isotonic_one_is_read_as_it_was_written(self, tmp_path):
        scaling = calibration.IsotonicScaling(
            knots=(-2.0, 0.5, 3.0), values=(-3.0, 0.0, 2.5), slope=1.5, prevalence=0.7
        )
        card = register_tiny_model(
            tmp_path, calibration=scaling, calibration_rule="isotonic regression"
        )
        found = registry.read_card(tmp_path, card.model_id)
        assert found.calibration == scaling
        assert found.calibration_rule == "isotonic regression"

    def test_a_card_from_before_there_was_a_choice_is_read(self, tmp_path):
        card = register_tiny_model(tmp_path)
        path = tmp_path / card.model_id / cards.CARD
        content = json.loads(path.read_text())
        del content["calibration_rule"], content["members"]
        path.write_text(json.dumps(content))
        found = registry.read_card(tmp_path, card.model_id)
        assert found.calibration == card.calibration
        assert (found.calibration_rule, found.members) == ("", ())

    def test_one_that_falls_is_damage(self, tmp_path):
        card = register_tiny_model(tmp_path)
        path = tmp_path / card.model_id / cards.CARD
        content = json.loads(path.read_text())
        content["calibration"] = {
            "knots": [0.0, 1.0],
            "values": [1.0, 0.0],
            "slope": 1.0,
            "prevalence": 0.5,
        }
        path.write_text(json.dumps(content))
        with pytest.raises(ModelError, match="is damaged"):
            registry.read_card(tmp_path, card.model_id)
