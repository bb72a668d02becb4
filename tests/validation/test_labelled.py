"""A model on labelled films, and two models side by side."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from synthetic_films import as_png, chest_phantom
from tiny_model import PoolHere, register_tiny_model

from cxr.datasets import folders
from cxr.datasets.folders import LabelledFilm
from cxr.datasets.splits import choose
from cxr.errors import CxrError, DatasetError, ModelError
from cxr.evaluation.estimates import UndefinedMetricWarning
from cxr.governance import comparison
from cxr.models import inference, registry, scores
from cxr.models.inference import Model
from cxr.validation import labelled


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    models_dir = tmp_path_factory.mktemp("models")
    register_tiny_model(models_dir)
    return inference.load(models_dir)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> list[LabelledFilm]:
    """12 films, the ill ones brighter; of each class one on the wrong side."""
    root = tmp_path_factory.mktemp("films")
    for i in range(12):
        label = i % 2
        brightness = {4: 160.0, 5: 60.0}.get(i, 150.0 if label else 70.0)
        folder = root / ("test" if i < 8 else "val") / folders.CLASSES[label]
        folder.mkdir(parents=True, exist_ok=True)
        film = chest_phantom(160, 160, seed=i)
        film = np.clip(film + np.float32(brightness - film.mean()), 0, 255)
        (folder / f"f{i:02d}.png").write_bytes(as_png(film))
    return folders.scan(root)


def split_of(films: list[LabelledFilm], splits: dict[str, str]) -> dict[str, str]:
    """A model's record of some films by the last part of their names."""
    hashed = folders.with_hashes(films)
    return {f.sha256: splits[f.path.stem] for f in hashed if f.path.stem in splits}


class TestChoose:
    def test_without_a_split_all_films(self, films):
        assert choose(films, None, {}) == films

    def test_a_split_of_the_folder(self, films):
        chosen = choose(films, "val", {})
        assert len(chosen) == 4
        assert {film.split for film in chosen} == {"val"}

    def test_held_out_films_are_known_by_content_and_not_by_name(self, films):
        record = {"f01": "test", "f02": "train", "f03": "validation", "f09": "test"}
        chosen = choose(films, "held-out", split_of(films, record))
        assert sorted(film.path.stem for film in chosen) == ["f01", "f09"]

    def test_a_split_that_is_not_there_is_named(self, films):
        with pytest.raises(DatasetError, match="no films of the split train"):
            choose(films, "train", {})

    def test_a_folder_that_the_model_was_not_tested_on(self, films):
        with pytest.raises(DatasetError, match="not tested on any film"):
            choose(films, "held-out", {"0" * 64: "test"})


class TestValidate:
    def test_the_metrics_are_at_the_models_own_threshold(self, model, films):
        found = labelled.validate(model, PoolHere(), films, {})
        result = found.evaluation
        assert (result.n, result.n_positive, result.n_patients) == (12, 6, 12)
        assert result.threshold == model.card.threshold.value
        confusion = result.confusion
        assert (confusion.tn, confusion.fp) == (5, 1)
        assert (confusion.fn, confusion.tp) == (1, 5)
        assert result.sensitivity.value == pytest.approx(5 / 6)
        assert result.auc.value == pytest.approx(25 / 36)
        assert found.refused == {} and found.seen == 0

    def test_films_that_made_the_model_are_counted(self, model, films):
        record = {
            "f00": "train",
            "f01": "validation",
            "f02": "calibration",
            "f03": "test",
        }
        known = split_of(films, record)
        assert labelled.validate(model, PoolHere(), films, known).seen == 3

    def test_a_refused_film_is_named_and_left_out(self, model, films, tmp_path):
        broken = tmp_path / "broken.png"
        broken.write_bytes(b"text")
        gone = tmp_path / "gone.png"
        films = [
            replace(films[0], path=gone, name="gone.png"),
            *films[1:6],
            replace(films[6], path=broken, name="broken.png"),
            *films[7:],
        ]
        found = labelled.validate(model, PoolHere(), films, {})
        assert found.evaluation.n == 10
        assert set(found.refused) == {"gone.png", "broken.png"}
        assert "can't be opened" in found.refused["gone.png"]

    def test_patients_are_clusters(self, model, films):
        films = [replace(film, patient_id=f"p{i // 3}") for i, film in enumerate(films)]
        found = labelled.validate(model, PoolHere(), films, {})
        assert found.evaluation.n_patients == 4

    def test_films_of_one_class_leave_some_metrics_undefined(self, model, films):
        ill = [film for film in films if film.label == 1]
        with pytest.warns(UndefinedMetricWarning):
            found = labelled.validate(model, PoolHere(), ill, {})
        assert math.isnan(found.evaluation.specificity.value)
        assert found.evaluation.sensitivity.value == pytest.approx(5 / 6)

    @pytest.mark.parametrize("n", [0, 2])
    def test_without_one_scored_film_there_are_no_metrics(
        self, model, films, tmp_path, n
    ):
        gone = [replace(film, path=tmp_path / "gone.png") for film in films[:n]]
        with pytest.raises(DatasetError, match="None of these films"):
            labelled.validate(model, PoolHere(), gone, {})


def rewrite_tables(models_dir: Path, model_id: str, change: dict[str, str]) -> None:
    folder = models_dir / model_id
    for name in (scores.SCORES, scores.SPLIT):
        text = (folder / name).read_text()
        for old, new in change.items():
            text = text.replace(old, new)
        (folder / name).write_text(text)
    card = registry.read_card(models_dir, model_id)
    registry.write_card(models_dir, replace(card, files=registry.file_records(folder)))


class TestCompare:
    @pytest.fixture
    def models_dir(self, tmp_path: Path) -> Path:
        for model_id in ("first", "second"):
            register_tiny_model(tmp_path, model_id)
        return tmp_path

    def test_equal_models_do_not_differ(self, models_dir):
        found = comparison.compare(models_dir, "first", "second")
        assert found.films == 200
        assert list(found.evaluations) == ["first", "second"]
        assert found.auc.difference.value == 0
        assert found.auc.p_value == 1
        assert found.decisions.only_a_right == found.decisions.only_b_right == 0

    def test_each_model_decides_at_its_own_threshold(self, models_dir):
        card = registry.read_card(models_dir, "second")
        strict = replace(card.threshold, value=0.99)
        registry.write_card(models_dir, replace(card, threshold=strict))
        found = comparison.compare(models_dir, "first", "second")
        assert found.evaluations["first"].threshold == 0.4
        assert found.evaluations["second"].threshold == 0.99
        assert found.decisions.only_a_right > found.decisions.only_b_right
        assert found.decisions.p_value < 0.05

    def test_films_are_matched_by_content_whatever_their_names(self, models_dir):
        rewrite_tables(models_dir, "second", {".png": "/renamed.png"})
        found = comparison.compare(models_dir, "first", "second")
        assert found.films == 200
        assert found.auc.difference.value == 0

    def test_equal_names_of_other_films_are_not_compared(self, models_dir):
        rewrite_tables(models_dir, "second", {f",{'0' * 20}": f",{'1' * 20}"})
        with pytest.raises(CxrError, match="different films") as refused:
            comparison.compare(models_dir, "first", "second")
        assert refused.value.code == "no-shared-films"

    def test_only_the_films_that_both_were_tested_on_count(self, models_dir):
        odd = {f",{i:064x}": f",{'f' * 8}{i:056x}" for i in range(50)}
        rewrite_tables(models_dir, "second", odd)
        assert comparison.compare(models_dir, "first", "second").films == 150

    def test_a_missing_model_is_named(self, models_dir):
        with pytest.raises(ModelError, match="no model third"):
            comparison.compare(models_dir, "first", "third")
