"""What a run keeps of the model that it goes on from, and what it can't go on from."""

import pytest
from tiny_model import let_continue, register_tiny_model

from cxr.errors import JobError, ModelError
from cxr.models import cards, registry
from cxr.runs import architectures, continuation, start
from cxr.runs.config import CONTINUED_PRESET, TrainConfig, config_for
from cxr.runs.run_folder import Run

NETWORK = "baseline-cnn"
WEIGHTS = "model:tiny-1"


@pytest.fixture
def models(tmp_path, monkeypatch):
    register_tiny_model(tmp_path / "models")
    let_continue(tmp_path / "models")
    monkeypatch.setenv("CXR_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("CXR_DISK_RESERVE_GB", "0")
    return tmp_path / "models"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


class TestProblem:
    def test_is_none_for_a_model_with_weights_and_patients(self, models):
        assert continuation.problem(models, WEIGHTS, NETWORK) == ""

    @pytest.mark.parametrize("weights", ["imagenet", "none", "/a/b.weights.h5"])
    def test_other_weights_are_no_matter_of_this(self, models, weights):
        assert continuation.problem(models, weights, NETWORK) == ""

    def test_another_network_is_named(self, models):
        said = continuation.problem(models, WEIGHTS, architectures.DEFAULT)
        assert "tiny-1 is a baseline-cnn: a efficientnet-b0 can't" in said

    @pytest.mark.parametrize("weights", ["model:", "model:no-such", "model:../x"])
    def test_what_is_no_model_is_named(self, models, weights):
        assert "model" in continuation.problem(models, weights, NETWORK)

    def test_a_table_without_patients_is_refused(self, models):
        register_tiny_model(models, "tiny-2")
        (models / "tiny-2" / cards.KERAS_WEIGHTS).write_bytes(b"x")
        card = registry.read_card(models, "tiny-2")
        files = registry.file_records(models / "tiny-2")
        registry.write_card(models, type(card)(**(vars(card) | {"files": files})))
        said = continuation.problem(models, "model:tiny-2", NETWORK)
        assert "which patients it learned from" in said

    def test_a_changed_table_is_refused(self, models):
        path = models / "tiny-1" / "split.csv"
        path.write_text(path.read_text().replace("train", "test"))
        assert "was changed" in continuation.problem(models, WEIGHTS, NETWORK)


class TestKeep:
    def test_keeps_the_model_as_it_was(self, models, folder):
        kept = continuation.keep(folder, models, WEIGHTS)
        assert kept.card_sha256 == registry.card_sha256(models, "tiny-1")
        assert {"old-1", "old-2"} <= {
            film.patient_id for film in continuation.kept_films(folder)
        }
        for path in (models / "tiny-1").iterdir():
            path.unlink()
        assert continuation.keep(folder, models, WEIGHTS) == kept
        assert continuation.kept_films(folder)

    def test_weights_are_those_that_the_run_began_with(self, models, folder):
        kept = continuation.keep(folder, models, WEIGHTS)
        path = continuation.weights_path(models, kept)
        assert path.read_bytes() == b"no weights"
        path.write_bytes(b"no wEIGHTS")
        with pytest.raises(ModelError, match="was changed"):
            continuation.weights_path(models, kept)
        card = registry.read_card(models, "tiny-1")
        files = registry.file_records(models / "tiny-1")
        registry.write_card(models, type(card)(**(vars(card) | {"files": files})))
        with pytest.raises(ModelError, match="not the model any more"):
            continuation.weights_path(models, kept)

    def test_of_other_weights_nothing_is_kept(self, models, folder):
        assert continuation.keep(folder, models, "none") is None
        assert not any(folder.iterdir())

    @pytest.mark.parametrize("name", ["start.json", "start_split.csv"])
    def test_damage_is_named(self, models, folder, name):
        continuation.keep(folder, models, WEIGHTS)
        (folder / name).write_text("x")
        with pytest.raises(JobError, match="Start a new run"):
            continuation.keep(folder, models, WEIGHTS)
            continuation.kept_films(folder)


class TestStart:
    @pytest.fixture
    def config(self, models, tmp_path):
        for label in ("NORMAL", "PNEUMONIA"):
            (tmp_path / "films" / label).mkdir(parents=True)
            for i in range(4):
                (tmp_path / "films" / label / f"{i}.png").touch()
        return TrainConfig(
            data=str(tmp_path / "films"),
            architecture=NETWORK,
            backbone_weights=WEIGHTS,
        )

    def test_without_a_network_it_is_not_in_the_way(self, config, offline):
        assert start.obstacles(config) == []

    def test_films_that_are_all_known_are_named_before_it(self, config, models):
        table = models / "tiny-1" / "split.csv"
        rows = [
            f"{label}/{i}.png,{i}{label:a<63},train,{label.lower()}-{i}"
            for label in ("NORMAL", "PNEUMONIA")
            for i in range(4)
        ]
        table.write_text("\n".join(["film,sha256,split,patient", *rows]) + "\n")
        card = registry.read_card(models, "tiny-1")
        files = registry.file_records(models / "tiny-1")
        registry.write_card(models, type(card)(**(vars(card) | {"files": files})))
        [said] = start.obstacles(config)
        assert "No patient with NORMAL is left for the validation films" in said

    def test_a_run_with_its_best_weights_needs_no_others(self, config, folder, offline):
        imagenet = TrainConfig(data=config.data)
        run = Run(folder)
        run.write_config(imagenet)
        [said] = start.obstacles_to_resume(folder)
        assert "no connection" in said
        with pytest.raises(JobError, match="no connection"):
            start.resume(folder, actor="carl")
        run.best_weights.touch()
        assert start.obstacles_to_resume(folder) == []

    def test_memory_that_is_too_short_is_named(self, config, monkeypatch):
        monkeypatch.setattr(start, "LEAST_OF_BASELINE_GB", 99_999)
        [said] = start.obstacles(config)
        assert "begins from 99999 GB" in said


class TestConfig:
    def test_what_has_learned_is_moved_by_less(self):
        config = config_for("standard", data="a", backbone_weights=WEIGHTS)
        assert config.continues
        assert config.learning_rate == CONTINUED_PRESET["learning_rate"]
        assert config.learning_rate < config_for("standard", data="a").learning_rate
        own = config_for(
            "standard", data="a", backbone_weights=WEIGHTS, learning_rate=0.5
        )
        assert own.learning_rate == 0.5

    @pytest.mark.parametrize("weights", ["model:", "model:../a", "model:A b"])
    def test_what_is_no_model_id_is_no_setting(self, weights):
        with pytest.raises(ValueError, match="not a model id"):
            TrainConfig(data="a", backbone_weights=weights)
