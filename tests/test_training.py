"""A training run: draws, balance, resuming, best weights, and one run from end to end.

Fine-tuning is watched on a network of a few hundred weights that has the names of a
real one.
"""

import csv
import json
import shutil
import warnings
from dataclasses import asdict, replace
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from films import as_png, chest_phantom
from keras import layers

from cxr import augmentation, data, inference, networks, registry, training
from cxr.checkpoints import Checkpoint, newest
from cxr.data import LabelledFilm
from cxr.errors import DatasetError, JobError, ModelError
from cxr.evaluation import UndefinedMetricWarning
from cxr.images import read_film
from cxr.training import AugmentedFilms, KeepBest, PreparedSplit, Run, TrainConfig

SIZE = 32
CONFIG = TrainConfig(
    data="films",
    architecture="small",
    batch_size=4,
    head_views=1,
    head_epochs=3,
    epochs=4,
    learning_rate=0.01,
    warm_up=3,
    patience=5,
    averaging=0.9,
)


def small_network(size=SIZE, name="small"):
    """A network of `networks.build`'s form with one block below and one above."""
    keras.utils.set_random_seed(7)
    image = keras.Input((size, size, 1), name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1, name="scale")(image)
    x = layers.Conv2D(3, 3, strides=size // 16, name="stem_conv")(x)
    x = layers.Conv2D(4, 3, strides=2, name="block4a_expand_conv")(x)
    x = layers.BatchNormalization(name="block4a_bn")(x)
    feature_map = layers.ReLU(name="feature_map")(x)
    pooled = layers.GlobalAveragePooling2D(name="pooled")(feature_map)
    logit = layers.Dense(1, name="logit")(layers.Dropout(0.2, name="dropout")(pooled))
    outputs = {"feature_map": feature_map, "logit": logit}
    return keras.Model(image, outputs, name=name)


def split_of(n, first=0, size=SIZE):
    """A third normal; films with pneumonia have an opacity."""
    labels = np.array([int(i % 3 > 0) for i in range(n)], np.float32)
    pixels = [
        chest_phantom(size, size, seed=first + i, opacity=label)
        for i, label in enumerate(labels)
    ]
    films = tuple(
        LabelledFilm(path=None, name=f"{i}", label=int(label), patient_id=f"{i}")
        for i, label in enumerate(labels)
    )
    return PreparedSplit(
        films=films, pixels=np.stack(pixels).astype(np.uint8), labels=labels
    )


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


class TestClassWeights:
    def test_give_both_classes_the_same_sum(self):
        labels = np.array([[1], [1], [1], [0]], np.float32)
        weights = training.class_weights(labels)
        assert weights.shape == (4,)
        assert weights.dtype == np.float32
        assert weights[:3].sum() == pytest.approx(weights[3]) == 2
        assert weights.mean() == 1

    def test_are_one_where_classes_are_even(self):
        np.testing.assert_array_equal(
            training.class_weights(np.array([0, 1, 1, 0], np.float32)), np.ones(4)
        )


class TestAugmentedFilms:
    def test_same_seed_epoch_and_index_give_the_same_batch(self, splits):
        first, second = (AugmentedFilms(splits["train"], CONFIG) for _ in range(2))
        first.epoch = second.epoch = 3
        second[0]
        for ours, theirs in zip(first[1], second[1], strict=True):
            np.testing.assert_array_equal(ours, theirs)

    @pytest.mark.parametrize("change", ["seed", "epoch", "index"])
    def test_another_one_gives_another_batch(self, splits, change):
        config = replace(CONFIG, seed=1) if change == "seed" else CONFIG
        films = AugmentedFilms(splits["train"], config)
        films.epoch = int(change == "epoch")
        other = films[int(change == "index")][0]
        assert np.abs(other - AugmentedFilms(splits["train"], CONFIG)[0][0]).mean() > 1

    def test_batch_has_inputs_labels_and_weights(self, splits):
        inputs, labels, weights = AugmentedFilms(splits["train"], CONFIG)[0]
        assert inputs.shape == (4, SIZE, SIZE, 1)
        assert inputs.dtype == np.float32
        assert 0 <= inputs.min() <= inputs.max() <= 255
        assert labels.shape == (4, 1)
        balanced = training.class_weights(splits["train"].labels)
        expected = {float(k): balanced[splits["train"].labels == k][0] for k in (0, 1)}
        for label, weight in zip(labels[:, 0], weights, strict=True):
            assert weight == expected[float(label)]

    def test_epoch_has_each_film_once_with_its_own_label(self, splits, monkeypatch):
        monkeypatch.setattr(training, "_augmented", lambda film, *_: film)
        train = splits["train"]
        films = AugmentedFilms(train, CONFIG)
        assert len(films) == 14 // 4
        found = []
        for index in range(len(films)):
            for film, label in zip(*films[index][:2], strict=True):
                same = (train.pixels == film[..., 0]).all(axis=(1, 2))
                (which,) = np.flatnonzero(same)
                assert train.labels[which] == label[0]
                found.append(which)
        assert len(set(found)) == len(found) == 12

    def test_fewer_films_than_a_batch_are_one_batch(self, splits):
        films = AugmentedFilms(splits["train"], replace(CONFIG, batch_size=64))
        assert len(films) == 1
        assert len(films[0][0]) == 14

    def test_tone_is_borrowed_from_training_films_alone(self, splits, monkeypatch):
        asked = []
        draw = augmentation.draw

        def spy(rng, *, n_references):
            asked.append(n_references)
            return draw(rng, n_references=n_references)

        monkeypatch.setattr(augmentation, "draw", spy)
        AugmentedFilms(splits["train"], CONFIG)[0]
        assert set(asked) == {14}

    def test_frozen_part_comes_after_the_changes(self, splits):
        films = AugmentedFilms(splits["train"], CONFIG, lambda x: x.mean(axis=(1, 2)))
        plain = AugmentedFilms(splits["train"], CONFIG)
        np.testing.assert_array_equal(films[0][0], plain[0][0].mean(axis=(1, 2)))


class TestStyledValidation:
    def test_has_each_film_as_it_is_and_once_restyled(self, splits):
        inputs, labels, weights = training.styled_validation(
            splits["validation"], CONFIG
        )
        assert inputs.shape == (12, SIZE, SIZE, 1)
        np.testing.assert_array_equal(labels[:6, 0], splits["validation"].labels)
        np.testing.assert_array_equal(labels[6:], labels[:6])
        np.testing.assert_array_equal(weights, training.class_weights(labels))
        blurred = training.preprocessing.low_pass(
            splits["validation"].pixels[0].astype(np.float32)
        )
        np.testing.assert_array_equal(inputs[0, ..., 0], blurred)
        assert np.abs(inputs[6:] - inputs[:6]).mean() > 1

    def test_is_the_same_in_every_epoch_and_run(self, splits):
        first, second = (
            training.styled_validation(splits["validation"], CONFIG)[0]
            for _ in range(2)
        )
        np.testing.assert_array_equal(first, second)


class TestConfig:
    def test_preset_gives_way_to_what_was_asked_for(self):
        config = training.config_for("quick", data="d", epochs=7)
        assert (config.data, config.epochs) == ("d", 7)
        assert config.unfreeze_from == training.PRESETS["quick"]["unfreeze_from"]

    def test_baseline_has_its_own_settings_which_give_way_too(self):
        config = training.config_for(
            "standard", architecture=networks.BASELINE, epochs=3
        )
        assert (config.averaging, config.patience, config.epochs) == (0.0, 6, 3)

    def test_unknown_preset_is_named(self):
        with pytest.raises(ValueError, match="received preset='fast'"):
            training.config_for("fast")

    @pytest.mark.parametrize("preset", training.PRESETS)
    def test_presets_are_settings(self, preset):
        assert training.config_for(preset).architecture == networks.DEFAULT


class TestRun:
    def test_settings_come_back_as_they_were(self, tmp_path):
        run = Run(tmp_path / "run")
        run.write_config(CONFIG)
        assert Run(tmp_path / "run").read_config() == CONFIG

    @pytest.mark.parametrize("content", [None, "{", '{"unknown": 1}', "[]"])
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

    @pytest.mark.parametrize(
        "fingerprint, change",
        [("other", {}), ("mine", {"seed": 1}), ("mine", {"architecture": "x"})],
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

    def test_films_may_change_until_an_epoch_is_done(self, tmp_path):
        run = Run(tmp_path)
        run.bind("first", CONFIG)
        run.bind("second", CONFIG)
        assert json.loads((tmp_path / "data.json").read_text())["fingerprint"] == (
            "second"
        )


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

    def test_unreadable_film_is_left_out_and_named(self, tmp_path, caplog):
        config = replace(CONFIG, architecture=networks.BASELINE)
        films = self.films(tmp_path, broken=[20])
        prepared = training.prepare(films, config)
        assert sum(len(split.films) for split in prepared.values()) == 23
        for split in prepared.values():
            assert split.pixels.shape == (len(split.films), 224, 224)
            assert [f.label for f in split.films] == split.labels.tolist()
        (record,) = caplog.records
        assert f"{20:064x}"[:8] in record.getMessage()
        assert "can be read" in record.getMessage()

    def test_split_with_one_class_left_is_refused(self, tmp_path):
        config = replace(CONFIG, architecture=networks.BASELINE)
        films = self.films(tmp_path, broken=range(8))
        with pytest.raises(DatasetError, match="films of one class only"):
            training.prepare(films, config)


def test_warm_up_raises_the_rate_in_equal_steps_and_then_leaves_it():
    optimizer = keras.optimizers.Adam(0.5)
    callback = training.WarmUp(0.2, 4)
    callback.set_model(SimpleNamespace(optimizer=optimizer))
    rates = []
    for step in range(5):
        optimizer.iterations.assign(step)
        if step == 4:
            optimizer.learning_rate.assign(0.07)
        callback.on_train_batch_begin(step)
        rates.append(float(optimizer.learning_rate))
    np.testing.assert_allclose(rates, [0.05, 0.1, 0.15, 0.2, 0.07], rtol=1e-6)


class TestKeepBest:
    def test_keeps_only_what_is_better(self, tmp_path):
        saved = []
        network = SimpleNamespace(save_weights=lambda p: (saved.append(p), p.touch()))
        best = KeepBest(network, tmp_path / "best.weights.h5", None)
        for loss in (0.5, 0.6, np.nan, 0.5, 0.4):
            best.on_test_end({"loss": loss})
        assert len(saved) == 2
        assert best.best == 0.4
        assert [p.name for p in tmp_path.iterdir()] == ["best.weights.h5"]

    def test_knows_the_best_of_the_epochs_before(self, tmp_path):
        best = KeepBest(None, tmp_path / "best.weights.h5", 0.3)
        best.on_test_end({"loss": 0.31})
        assert list(tmp_path.iterdir()) == []


def train_head(splits, run):
    network = small_network()
    training.train_head(network, splits, CONFIG, run)
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
    training.fine_tune(network, splits, config, run)
    network.load_weights(run.best_weights)
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
        assert tuple(rows[0]) == training.HISTORY_COLUMNS
        for row in rows:
            assert all(np.isfinite(float(row[c])) for c in training.HISTORY_COLUMNS[1:])
        assert float(rows[0]["learning_rate"]) == pytest.approx(CONFIG.learning_rate)

    def test_best_weights_are_those_with_the_lowest_validation_loss(
        self, whole_run, splits
    ):
        network, run = whole_run
        inputs, labels, weights = training.styled_validation(
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
        for path in folder.glob("checkpoints/epoch-*/state.json"):
            state = json.loads(path.read_text())
            state["schedules"]["stop"]["best"] = 1e-9
            path.write_text(json.dumps(state))
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

        def fine_tune(network, splits, config, run):
            taken.append("fine-tuning")
            kept = whole_run[1].checkpoints
            shutil.copytree(kept, run.checkpoints, dirs_exist_ok=True)

        monkeypatch.setattr(data, "scan", lambda _: [])
        monkeypatch.setattr(data, "with_hashes", lambda films: films)
        prepared = splits | {"calibration": split_of(3), "test": split_of(3)}
        monkeypatch.setattr(training, "prepare", lambda *_: prepared)
        monkeypatch.setattr(networks, "build", lambda *_, **__: small_network())
        monkeypatch.setattr(training, "train_head", lambda *_: taken.append("head"))
        monkeypatch.setattr(training, "fine_tune", fine_tune)
        monkeypatch.setattr(training.publication, "publish", publish)
        config = replace(CONFIG, data="/home/a/films", epochs=1)
        config = replace(config, backbone_weights="/home/a/b.weights.h5")
        folder = tmp_path / "run"

        def run(**changes):
            return training.train(replace(config, **changes), folder, tmp_path / "m")

        return SimpleNamespace(taken=taken, published=published, run=run, folder=folder)

    def test_new_run_trains_the_head_and_publishes_what_was_held_out(self, steps):
        assert steps.run() == "small-1"
        assert steps.taken == ["head", "fine-tuning", "publish"]
        assert set(steps.published["splits"]) == {"validation", "calibration", "test"}
        assert len(steps.published["training_films"]) == 14
        status = json.loads((steps.folder / "status.json").read_text())
        assert (status["stage"], status["model_id"]) == ("done", "small-1")
        # A card travels, and where files were on this machine stays here.
        config = steps.published["config"]
        assert config["data"] == "films"
        assert config["backbone_weights"] == "b.weights.h5"
        assert "/home" not in json.dumps(config)

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
    """The baseline CNN, trained for two epochs on 48 synthetic films and registered."""
    folder = tmp_path_factory.mktemp("end-to-end")
    for i in range(48):
        label = int(i % 3 > 0)
        path = folder / "films" / data.CLASSES[label] / f"{i:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(as_png(chest_phantom(230, 250, seed=i, opacity=label)))
    config = TrainConfig(
        data=str(folder / "films"),
        architecture=networks.BASELINE,
        averaging=0.0,
        batch_size=8,
        epochs=2,
        warm_up=2,
    )
    with warnings.catch_warnings():
        # On so few films some metrics are not defined.
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        model_id = training.train(config, folder / "run", folder / "models")
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
        films = data.with_hashes(data.scan(trained.folder / "films"))
        assert card.data.fingerprint == data.fingerprint(films)

    def test_films_score_in_serving_as_they_did_in_the_run(self, trained):
        models = trained.folder / "models"
        model = inference.load(models, trained.model_id)
        with (models / trained.model_id / registry.SCORES).open() as file:
            rows = list(csv.DictReader(file))
        assert {row["split"] for row in rows} == {"validation", "calibration", "test"}
        for row in rows:
            content = (trained.folder / "films" / row["film"]).read_bytes()
            probability = model.predict(read_film(content)).probability
            # The run keeps its films in whole grey levels.
            assert probability == pytest.approx(float(row["probability"]), abs=0.01)

    def test_run_folder_tells_how_it_went(self, trained):
        run = Run(trained.folder / "run")
        assert [r["epoch"] for r in run.history()] == ["1", "2"]
        status = json.loads((run.folder / "status.json").read_text())
        assert (status["stage"], status["model_id"]) == ("done", trained.model_id)
        assert run.read_config() == trained.config
