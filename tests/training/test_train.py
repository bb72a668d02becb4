"""A training run: draws, balance, resuming, best weights, and one run from end to end.

Fine-tuning is watched on a network of a few hundred weights that has the names of a
real one.
"""

import csv
import io
import json
import os
import shutil
import warnings
from dataclasses import asdict, replace
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from small_run import CONFIG, small_network, split_of
from synthetic_films import as_png, chest_phantom

from cxr import names
from cxr.datasets import folders
from cxr.datasets.folders import LabelledFilm
from cxr.datasets.splits import SPLITS, split_by_patient
from cxr.errors import DatasetError, JobError, ModelError
from cxr.evaluation.estimates import UndefinedMetricWarning
from cxr.films.film import read_film
from cxr.models import inference, registry, scores
from cxr.runs import architectures, estimate, history
from cxr.runs.config import TrainConfig
from cxr.runs.estimate import Clock
from cxr.runs.run_folder import Run
from cxr.training import batches, learning, networks, train
from cxr.training.accelerator import Accelerator
from cxr.training.batches import AugmentedFilms
from cxr.training.callbacks import load_best
from cxr.training.checkpoints import Checkpoint, newest

NO_TEXT = os.fsdecode(b"47\xff.png")


@pytest.fixture(scope="module")
def splits():
    return {"train": split_of(14), "validation": split_of(6, first=50)}


@pytest.fixture
def draws(monkeypatch):
    """The epochs and batches that were drawn, in order."""
    seen = []
    batch_of = AugmentedFilms.__getitem__

    def spy(self, index):
        seen.append((self.epoch, index))
        return batch_of(self, index)

    monkeypatch.setattr(AugmentedFilms, "__getitem__", spy)
    return seen


class TestPrepare:
    def films(self, tmp_path, n_normal=8, broken=()):
        found = []
        for i in range(24):
            path = tmp_path / f"{i}.png"
            pixels = chest_phantom(240, 224, seed=i)
            path.write_bytes(b"no film" if i in broken else as_png(pixels))
            label = int(i >= n_normal)
            found.append(
                LabelledFilm(
                    path=path,
                    name=f"{i}",
                    label=label,
                    patient_id=f"{i}",
                    sha256=f"{i:064x}",
                )
            )
        return found

    def prepare(self, films, config, folder):
        run, clock = Run(folder / "run"), Clock()
        return train.prepare(films, "f" * 64, config, run, folder / "cache", clock)

    def test_unreadable_film_is_left_out_and_named(self, tmp_path, caplog):
        config = replace(CONFIG, architecture=architectures.BASELINE)
        films = self.films(tmp_path, broken=[20])
        prepared = self.prepare(films, config, tmp_path)
        assert sum(len(split.films) for split in prepared.values()) == 23
        for split in prepared.values():
            assert split.own_pixels().shape == (len(split.films), 224, 224)
            assert [f.label for f in split.films] == split.labels.tolist()
        (record,) = caplog.records
        assert f"{20:064x}"[:8] in record.getMessage()
        assert "can be read" in record.getMessage()

    def test_split_with_one_class_left_is_refused(self, tmp_path):
        config = replace(CONFIG, architecture=architectures.BASELINE)
        films = self.films(tmp_path, broken=range(8))
        with pytest.raises(DatasetError, match="films of one class only"):
            self.prepare(films, config, tmp_path)

    def test_films_of_other_places_do_not_stand_in_for_those_of_home(self, tmp_path):
        config = replace(CONFIG, architecture=architectures.BASELINE)
        films = self.films(tmp_path, broken=range(8))
        for film in films[8:16]:
            changes = {"label": 0, "place": "A", "patient_id": f"A{film.name}"}
            films.append(replace(film, sha256=film.sha256[::-1], **changes))
        with pytest.raises(DatasetError, match="films of one class only"):
            self.prepare(films, config, tmp_path)


def train_head(splits, run):
    network = small_network()
    learning.train_head(network, splits, CONFIG, run, Clock())
    return network


def test_head_alone_learns_in_its_phase(splits, tmp_path):
    before = small_network()
    run = Run(tmp_path)
    network = train_head(splits, run)
    changed = {
        layer.name
        for layer, old in zip(network.layers, before.layers, strict=True)
        for now, then in zip(layer.get_weights(), old.get_weights(), strict=True)
        if not np.array_equal(now, then)
    }
    assert changed == {"logit"}
    rows = run.history()
    assert {r["phase"] for r in rows} == {"head"}
    assert [int(r["epoch"]) for r in rows] == list(range(1, len(rows) + 1))


def fine_tune(splits, folder, config=CONFIG):
    """Begins, or goes on, as a new process would."""
    run = Run(folder)
    network = small_network()
    keras.utils.set_random_seed(config.seed)
    learning.fine_tune(
        network, splits, config, run, clock=Clock(), device=Accelerator()
    )
    load_best(network, run.best_weights)
    return network, run


class Killed(BaseException):
    """Ends a run as SIGKILL does: nothing of it catches this."""


def kill_at(monkeypatch, epoch, *, before):
    """Lets the run end at its checkpoint of an epoch, before or after writing it."""
    write = Checkpoint.on_epoch_end

    def cut(self, number, logs=None):
        if not (before and number + 1 == epoch):
            write(self, number, logs)
        if number + 1 == epoch:
            raise Killed

    monkeypatch.setattr(Checkpoint, "on_epoch_end", cut)


@pytest.fixture(scope="module")
def whole_run(splits, tmp_path_factory):
    return fine_tune(splits, tmp_path_factory.mktemp("whole"))


class TestFineTuning:
    def test_lower_part_and_statistics_stay_and_the_upper_part_learns(self, whole_run):
        network, start = whole_run[0], small_network()
        learned = {}
        for layer in network.layers:
            old = start.get_layer(layer.name).get_weights()
            learned[layer.name] = any(
                not np.array_equal(now, then)
                for now, then in zip(layer.get_weights(), old, strict=True)
            )
        assert {name for name, changed in learned.items() if changed} == {
            "block4a_expand_conv",
            "logit",
        }

    def test_history_has_a_row_for_each_epoch(self, whole_run):
        rows = whole_run[1].history()
        assert [(r["phase"], r["epoch"]) for r in rows] == [
            ("fine-tuning", str(n)) for n in range(1, len(rows) + 1)
        ]
        assert tuple(rows[0]) == history.HISTORY_COLUMNS
        for row in rows:
            assert all(np.isfinite(float(row[c])) for c in history.HISTORY_COLUMNS[1:])
        assert float(rows[0]["learning_rate"]) == pytest.approx(CONFIG.learning_rate)

    def test_best_weights_are_those_with_the_lowest_validation_loss(
        self, whole_run, splits
    ):
        network, run = whole_run
        inputs, labels, weights = batches.styled_validation(
            splits["validation"], CONFIG
        )
        logits = network(inputs, training=False)["logit"].numpy()[:, 0]
        signs = np.where(labels[:, 0] == 1, 1, -1)
        loss = (weights * np.logaddexp(0, -signs * logits)).mean()
        best = min(float(row["val_loss"]) for row in run.history())
        assert loss == pytest.approx(best, abs=1e-4)

    def test_kept_weights_are_the_running_mean_and_resumed_ones_the_raw(
        self, splits, tmp_path
    ):
        network, run = fine_tune(splits, tmp_path, replace(CONFIG, epochs=1))
        generation = newest(run.checkpoints)
        _, learner = networks.divide(network, CONFIG.unfreeze_from)
        raw = dict(
            zip([v.path for v in learner.variables], generation.weights, strict=True)
        )
        learner.compile(keras.optimizers.Adam(use_ema=True))
        learner.optimizer.build(learner.trainable_variables)
        kept = [v.path for v in learner.optimizer.variables]
        means = [
            value
            for path, value in zip(kept, generation.optimizer, strict=True)
            if path.endswith("_average")
        ]
        assert len(means) == len(learner.trainable_variables) == 4
        for variable, mean in zip(learner.trainable_variables, means, strict=True):
            np.testing.assert_allclose(variable.numpy(), mean, atol=1e-5)
            assert not np.allclose(variable.numpy(), raw[variable.path], atol=1e-5)

    @pytest.mark.parametrize("epoch, before", [(1, False), (3, True)])
    def test_run_that_was_cut_off_ends_as_the_whole_one(
        self, whole_run, splits, tmp_path, monkeypatch, draws, epoch, before
    ):
        with monkeypatch.context() as patched:
            kill_at(patched, epoch, before=before)
            with pytest.raises(Killed):
                fine_tune(splits, tmp_path)
        assert Run(tmp_path).has_checkpoint
        assert Run(tmp_path).best_weights.is_file()
        draws.clear()
        network, run = fine_tune(splits, tmp_path)
        first = epoch if before else epoch + 1
        # Keras looks at two batches to learn their shapes before the first epoch.
        assert [e for e, _ in draws][2:] == [
            e for e in range(first, CONFIG.epochs + 1) for _ in range(14 // 4)
        ]
        ours, theirs = run.history(), whole_run[1].history()
        assert [r["epoch"] for r in ours] == [r["epoch"] for r in theirs]
        for column in ("loss", "val_loss", "learning_rate"):
            np.testing.assert_allclose(
                [float(r[column]) for r in ours],
                [float(r[column]) for r in theirs],
                rtol=1e-4,
            )
        for now, then in zip(
            network.get_weights(), whole_run[0].get_weights(), strict=True
        ):
            np.testing.assert_allclose(now, then, rtol=1e-3, atol=1e-5)

    def test_worse_epochs_after_a_resume_do_not_replace_the_best(
        self, whole_run, splits, tmp_path
    ):
        folder = shutil.copytree(whole_run[1].folder, tmp_path / "run")
        best = Run(folder).best_weights
        with np.load(best) as arrays:
            content = dict(arrays) | {"validation_loss": 1e-9}
        np.savez(best, **content)
        kept = Run(folder).best_weights.read_bytes()
        _, run = fine_tune(splits, folder, replace(CONFIG, epochs=5))
        assert len(run.history()) == 5
        assert run.best_weights.read_bytes() == kept

    def test_run_that_is_done_is_not_gone_on_with(self, whole_run, splits, draws):
        fine_tune(splits, whole_run[1].folder)
        assert draws == []

    def test_loss_that_is_never_finite_is_a_named_error(self, splits, tmp_path):
        config = replace(CONFIG, learning_rate=1e38, warm_up=0, epochs=1, averaging=0.0)
        with pytest.raises(JobError, match="lower learning rate"):
            fine_tune(splits, tmp_path, config)


class TestTrain:
    """Which steps a new run, a resumed one and a damaged one take."""

    @pytest.fixture
    def steps(self, splits, whole_run, monkeypatch, tmp_path):
        taken = []
        published = {}

        def publish(network, **facts):
            taken.append("publish")
            published.update(facts)
            return "small-1"

        def fine_tune(network, splits, config, run, **_):
            taken.append("fine-tuning")
            kept = whole_run[1].checkpoints
            shutil.copytree(kept, run.checkpoints, dirs_exist_ok=True)

        left_out = folders.LeftOut(reason="no image", files=1, examples=("a.txt",))
        nothing = folders.Listing(films=(), left_out=(left_out,))
        monkeypatch.setattr(folders, "listing", lambda _: nothing)
        monkeypatch.setattr(folders, "with_hashes", lambda films: films)
        prepared = splits | {"calibration": split_of(3), "test": split_of(3)}
        monkeypatch.setattr(train, "prepare", lambda *_: prepared)
        monkeypatch.setattr(networks, "build", lambda *_, **__: small_network())
        monkeypatch.setattr(train, "train_head", lambda *_: taken.append("head"))
        monkeypatch.setattr(train, "fine_tune", fine_tune)
        monkeypatch.setattr(train.publication, "publish", publish)
        monkeypatch.setattr(estimate, "keep", lambda *_, **__: None)
        config = replace(CONFIG, data="/home/a/films", epochs=1)
        config = replace(config, backbone_weights="/home/a/b.weights.h5")
        folder = tmp_path / "run"

        def run(**changes):
            return train.train(
                replace(config, **changes), folder, tmp_path / "m", tmp_path / "cache"
            )

        return SimpleNamespace(taken=taken, published=published, run=run, folder=folder)

    def test_new_run_trains_the_head_and_publishes_what_was_held_out(self, steps):
        assert steps.run() == "small-1"
        assert steps.taken == ["head", "fine-tuning", "publish"]
        assert set(steps.published["splits"]) == set(SPLITS)
        status = json.loads((steps.folder / "status.json").read_text())
        assert (status["stage"], status["model_id"]) == ("done", "small-1")
        [left_out] = json.loads((steps.folder / "left_out.json").read_text())
        assert left_out["examples"] == ["a.txt"]
        # A card travels, and where files were on this machine stays here.
        config = steps.published["config"]
        assert config["data"] == "films"
        assert config["backbone_weights"] == "b.weights.h5"
        assert "/home" not in json.dumps(config)

    def test_field_case_a_a_card_names_a_folder_in_letters(self, steps):
        steps.run(data="/home/a/films\udcff\n")
        assert steps.published["config"]["data"] == "films\\udcff\\n"

    def test_refused_resume_leaves_the_settings_of_the_run(self, steps):
        steps.run()
        with pytest.raises(JobError, match="Start a new run"):
            steps.run(seed=1)
        assert Run(steps.folder).read_config().seed == CONFIG.seed

    def test_resumed_run_trains_the_head_only_without_a_whole_checkpoint(self, steps):
        steps.run()
        steps.taken.clear()
        steps.run()
        assert steps.taken == ["fine-tuning", "publish"]
        for file in steps.folder.glob("checkpoints/epoch-*/model.npz"):
            file.write_bytes(b"")
        steps.taken.clear()
        steps.run()
        assert steps.taken == ["head", "fine-tuning", "publish"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The baseline CNN, trained for two epochs on 48 synthetic films and registered.

    The name of one film is no UTF-8.
    """
    folder = tmp_path_factory.mktemp("end-to-end")
    for i in range(48):
        label = int(i % 3 > 0)
        path = folder / "films" / folders.CLASSES[label] / f"{i:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(as_png(chest_phantom(230, 250, seed=i, opacity=label)))
    path.rename(path.with_name(NO_TEXT))
    config = TrainConfig(
        data=str(folder / "films"),
        architecture=architectures.BASELINE,
        averaging=0.0,
        batch_size=8,
        epochs=2,
        warm_up=2,
    )
    with warnings.catch_warnings():
        # On so few films some metrics are not defined.
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        model_id = train.train(
            config, folder / "run", folder / "models", folder / "cache"
        )
    return SimpleNamespace(folder=folder, config=config, model_id=model_id)


class TestFromEndToEnd:
    def test_result_is_a_candidate_and_does_not_serve(self, trained):
        models = trained.folder / "models"
        assert [p.name for p in models.iterdir()] == [trained.model_id]
        assert trained.model_id.startswith("baseline-")
        with pytest.raises(ModelError):
            registry.active_id(models)

    def test_card_tells_all_of_the_run(self, trained):
        card = registry.read_card(trained.folder / "models", trained.model_id)
        assert registry.verify(trained.folder / "models", card) == []
        assert sum(card.data.films.values()) == 48
        assert sum(card.data.positives.values()) == 32
        assert card.data.patients == card.data.films
        assert set(card.metrics) == {"validation", "test"}
        expected = asdict(trained.config) | {"data": "films"}
        assert {k: card.training[k] for k in expected} == expected
        films = folders.with_hashes(folders.scan(trained.folder / "films"))
        assert card.data.fingerprint == folders.fingerprint(films)

    def test_films_score_in_serving_as_they_did_in_the_run(self, trained):
        models = trained.folder / "models"
        model = inference.load(models, trained.model_id)
        table = models / trained.model_id / scores.SCORES
        rows = list(csv.DictReader(io.StringIO(names.decode(table.read_bytes()))))
        assert {row["split"] for row in rows} == {"validation", "calibration", "test"}
        for row in rows:
            content = (trained.folder / "films" / row["film"]).read_bytes()
            probability = model.predict(read_film(content)).probability
            # The run keeps its films in whole grey levels.
            assert probability == pytest.approx(float(row["probability"]), abs=0.01)

    def test_field_case_a_a_name_that_is_no_text_is_kept_as_it_is(self, trained):
        models = trained.folder / "models"
        card = registry.read_card(models, trained.model_id)
        films = folders.with_hashes(folders.scan(trained.folder / "films"))
        (odd,) = (film for film in films if film.path.name == NO_TEXT)
        split = registry.read_split(models, card)[odd.sha256]
        if split != "train":
            assert odd.name in registry.read_scores(models, card, split).names
        table = (models / trained.model_id / scores.SPLIT).read_bytes()
        assert b"PNEUMONIA/47\xff.png," in table

    def test_run_folder_tells_how_it_went(self, trained):
        run = Run(trained.folder / "run")
        assert [r["epoch"] for r in run.history()] == ["1", "2"]
        status = json.loads((run.folder / "status.json").read_text())
        assert (status["stage"], status["model_id"]) == ("done", trained.model_id)
        assert run.read_config() == trained.config


@pytest.mark.slow
def test_films_of_two_places_make_one_model_from_end_to_end(tmp_path):
    """Home's threshold from home's films; the other place's worth on the card."""
    lines = ["path,label,patient,site"]
    for i in range(96):
        label, place = int(i % 3 > 0), "mary" if i % 2 else ""
        pixels = chest_phantom(230, 250, seed=i, opacity=label)
        (tmp_path / f"{i}.png").write_bytes(as_png(pixels * (0.7 if place else 1)))
        lines.append(f"{i}.png,{label},{i},{place}")
    manifest = tmp_path / "films.csv"
    manifest.write_text("\n".join(lines) + "\n")
    (tmp_path / "places.csv").write_text("place,name\nmary,St. Mary's\n")
    config = TrainConfig(
        data=str(manifest),
        architecture=architectures.BASELINE,
        averaging=0.0,
        batch_size=8,
        consistency=2.0,
        epochs=2,
        warm_up=2,
    )
    models = tmp_path / "models"
    with warnings.catch_warnings():
        # On so few films some metrics are not defined.
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        model_id = train.train(config, tmp_path / "run", models, tmp_path / "cache")
    card = registry.read_card(models, model_id)
    assert registry.verify(models, card) == []
    [mary] = card.places
    assert (mary.name, mary.licence) == ("St. Mary's", "not stated")
    assert sum(mary.films.values()) == sum(card.data.films.values()) == 48
    assert card.training["consistency"] == 2.0
    films = folders.with_hashes(folders.scan(manifest))
    place_of = {film.name: film.place for film in films}
    for split in ("validation", "calibration", "test"):
        home = registry.read_scores(models, card, split)
        away = registry.read_scores(models, card, split, table=scores.PLACES)
        assert {place_of[name] for name in home.names} == {""}
        assert {place_of[name] for name in away.names} == {"mary"}
        assert set(home.names) == {
            film.name
            for film in split_by_patient(
                [f for f in films if not f.place], seed=config.split_seed
            )[split]
        }
    assert len(registry.read_split(models, card)) == 96
