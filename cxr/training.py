"""One training run, told from top to bottom.

Prepare the films, train the head on frozen features, fine-tune the upper blocks,
calibrate, choose the threshold, evaluate on patients that none of this saw, export for
serving, check that serving gives the same scores, register. All that a run leaves
behind is in its folder; a run that was cut off goes on from its last whole epoch.
"""

import csv
import json
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from cxr import augmentation, data, documents, networks, preprocessing, publication
from cxr.checkpoints import Checkpoint, newest, restore
from cxr.data import LabelledFilm
from cxr.errors import DatasetError, JobError
from cxr.frozen import FrozenFeatures

logger = logging.getLogger(__name__)

HISTORY_COLUMNS = (
    "phase",
    "epoch",
    "loss",
    "auc",
    "val_loss",
    "val_auc",
    "learning_rate",
    "seconds",
)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Everything that decides a run besides the films themselves.

    Attributes:
        data: the data folder or manifest.
        architecture: one of `networks.ARCHITECTURES`.
        backbone_weights: `imagenet`, `none` or a file.
        backbone_note: where such a file comes from; goes on the card.
        seed: of the split, the draws and the initial weights.
        batch_size: films a step.
        head_views: augmented copies of each film that the frozen backbone sees once.
        head_epochs: at most, for the head alone.
        head_learning_rate: Adam's, for the head alone.
        unfreeze_from: first EfficientNet block (2 to 7) that is fine-tuned.
        epochs: at most, of fine-tuning (of everything for the baseline CNN).
        learning_rate: Adam's, after the warm-up of fine-tuning.
        warm_up: steps over which that rate is reached; without them the first ones
            throw the pretrained weights off, which frozen batch normalisation can't
            make up for.
        patience: epochs without a better validation loss before the run stops; after
            half of it the learning rate falls to 0.3 of itself.
        averaging: momentum of the running mean of the weights that is evaluated and
            kept; 0 for none.
        dropout: before the head.
        target_sensitivity: of the threshold rule, on the validation split.
        assured_sensitivity: least lower limit of its 95 % interval there.
    """

    data: str
    architecture: str = networks.DEFAULT
    backbone_weights: str = "imagenet"
    backbone_note: str = ""
    seed: int = 20261122
    batch_size: int = 32
    head_views: int = 1
    head_epochs: int = 40
    head_learning_rate: float = 1e-3
    unfreeze_from: int = 4
    epochs: int = 11
    learning_rate: float = 2e-4
    warm_up: int = 100
    patience: int = 4
    averaging: float = 0.99
    dropout: float = 0.3
    target_sensitivity: float = 0.98
    assured_sensitivity: float = 0.97


# `quick` shows that films and machine work, `standard` is how the shipped model was
# made, `best` trains more blocks for longer. A model's card says how long it took.
PRESETS: dict[str, dict[str, Any]] = {
    "quick": {"epochs": 2, "unfreeze_from": 6},
    "standard": {},
    "best": {"epochs": 24, "unfreeze_from": 2, "patience": 6},
}
BASELINE_PRESET: dict[str, Any] = {
    "averaging": 0.0,
    "epochs": 30,
    "learning_rate": 1e-3,
    "patience": 6,
}


def config_for(preset: str, **changes: Any) -> TrainConfig:
    """Returns a preset's settings with these changes, which go first.

    Raises:
        ValueError: no such preset.
    """
    if preset not in PRESETS:
        raise ValueError(f"expected one of {', '.join(PRESETS)}, received {preset=}")
    is_baseline = changes.get("architecture") == networks.BASELINE
    settings = {**PRESETS[preset], **(BASELINE_PRESET if is_baseline else {})}
    return TrainConfig(**{**settings, "data": "", **changes})


@dataclass(frozen=True, kw_only=True)
class PreparedSplit:
    """The readable films of one split, reduced to the network's size.

    Attributes:
        films: in the order of the arrays.
        pixels: `uint8`, shape `(n, size, size)`.
        labels: `float32`, shape `(n,)`, 1 for pneumonia.
    """

    films: tuple[LabelledFilm, ...]
    pixels: NDArray[np.uint8]
    labels: NDArray[np.float32]


def train(config: TrainConfig, run_dir: Path, models_dir: Path) -> str:
    """Runs, or goes on with, one training and returns the new model's id.

    Args:
        config: what to do.
        run_dir: this run's own folder; what is there is resumed.
        models_dir: where the result is registered, as a candidate.

    Raises:
        DatasetError: the films can't be used.
        ModelError: the backbone weights can't be had, or serving disagrees.
        JobError: the run in this folder is one on other films or of another network,
            or the validation loss was never finite.
    """
    started = time.time()
    keras.utils.set_random_seed(config.seed)
    run = Run(run_dir)

    run.stage("preparing films")
    films = data.with_hashes(data.scan(Path(config.data)))
    fingerprint = data.fingerprint(films)
    run.bind(fingerprint, config)
    run.write_config(config)
    splits = prepare(films, config)

    network = networks.build(
        config.architecture,
        backbone_weights=config.backbone_weights,
        dropout=config.dropout,
    )
    if config.architecture != networks.BASELINE and newest(run.checkpoints) is None:
        run.stage("training the head")
        train_head(network, splits, config, run)
    run.stage("fine-tuning")
    fine_tune(network, splits, config, run)

    run.stage("calibrating, evaluating, exporting")
    network.load_weights(run.best_weights)
    model_id = publication.publish(
        network,
        config={
            **asdict(config),
            # Where files were on this machine is nothing for the card.
            "data": Path(config.data).name,
            "backbone_weights": Path(config.backbone_weights).name,
        },
        splits={k: (v.films, v.pixels) for k, v in splits.items() if k != "train"},
        training_films=splits["train"].films,
        fingerprint=fingerprint,
        history=run.history_file,
        seconds=run.seconds_before + time.time() - started,
        models_dir=models_dir,
    )
    run.stage("done", model_id=model_id)
    return model_id


def prepare(
    films: Sequence[LabelledFilm], config: TrainConfig
) -> dict[str, PreparedSplit]:
    """Returns the patient-grouped splits, every film decoded and reduced once."""
    size = networks.input_size(config.architecture)
    prepared = {}
    for name, part in data.split_by_patient(films, seed=config.seed).items():
        pixels, refused = data.load_pixels(part, size=size)
        unreadable = {film.name for film, _ in refused}
        for film, reason in refused:
            # Named by its content: a file name can be a patient's.
            logger.warning("left out of %s: %s (%s)", name, film.sha256[:12], reason)
        kept = tuple(film for film in part if film.name not in unreadable)
        labels = np.array([film.label for film in kept], np.float32)
        if len(set(labels)) < 2:
            raise DatasetError(
                f"The {name} split has readable films of one class only."
            )
        prepared[name] = PreparedSplit(films=kept, pixels=pixels, labels=labels)
    return prepared


def train_head(
    network: keras.Model,
    splits: dict[str, PreparedSplit],
    config: TrainConfig,
    run: "Run",
) -> None:
    """Trains the linear head on features that the frozen backbone computes once."""
    pooled = FrozenFeatures(
        keras.Model(network.input, network.get_layer("pooled").output)
    )
    batches = AugmentedFilms(splits["train"], config, pooled)
    views = []
    for epoch in range(config.head_views):
        batches.epoch = epoch
        views += [batches[index] for index in range(len(batches))]
    features, labels, weights = (
        np.concatenate(part) for part in zip(*views, strict=True)
    )
    validation = styled_validation(splits["validation"], config, pooled)
    head = keras.Sequential(
        [keras.Input(features.shape[1:]), keras.layers.Dropout(config.dropout)]
        + [keras.layers.Dense(1, name="logit")]
    )
    _compile(head, config.head_learning_rate, averaging=0.0)
    head.fit(
        features,
        labels,
        sample_weight=weights,
        validation_data=validation,
        batch_size=config.batch_size,
        epochs=config.head_epochs,
        callbacks=[
            keras.callbacks.EarlyStopping(patience=3, restore_best_weights=True),
            History(run, "head"),
        ],
        verbose=0,
    )
    network.get_layer("logit").set_weights(head.get_layer("logit").get_weights())


def fine_tune(
    network: keras.Model,
    splits: dict[str, PreparedSplit],
    config: TrainConfig,
    run: "Run",
) -> None:
    """Trains the upper blocks and leaves the best weights in `run.best_weights`."""
    lower, learner = networks.divide(network, config.unfreeze_from)
    features = FrozenFeatures(lower) if lower else None
    _compile(learner, config.learning_rate, averaging=config.averaging)
    learner.optimizer.build(learner.trainable_variables)
    batches = AugmentedFilms(splits["train"], config, features)
    stopping = keras.callbacks.EarlyStopping(patience=config.patience)
    plateau = keras.callbacks.ReduceLROnPlateau(
        factor=0.3, patience=max(1, config.patience // 2)
    )
    resumed = restore(learner, run.checkpoints, {"stop": stopping, "lr": plateau})
    batches.epoch = resumed.epoch
    best = KeepBest(network, run.best_weights, resumed.best)
    callbacks = [
        WarmUp(config.learning_rate, config.warm_up),
        # While the mean of the weights is swapped in for validation `best` keeps it. At
        # the end of the epoch the raw weights are back: they are what is resumed.
        best,
        *([keras.callbacks.SwapEMAWeights()] if config.averaging else []),
        History(run, "fine-tuning"),
        plateau,
        stopping,
        Checkpoint(run.checkpoints, {"stop": stopping, "lr": plateau}),
    ]
    if resumed.finished or resumed.epoch >= config.epochs:
        return
    learner.fit(
        batches,
        validation_data=styled_validation(splits["validation"], config, features),
        epochs=config.epochs,
        initial_epoch=resumed.epoch,
        callbacks=callbacks,
        # The films are shuffled by epoch already; Keras would shuffle the batches by a
        # global state that a resumed run doesn't have.
        shuffle=False,
        verbose=0,
    )
    if not run.best_weights.is_file():
        raise JobError(
            "The validation loss was never a finite number. Start a new run with a "
            "lower learning rate."
        )


def styled_validation(
    split: PreparedSplit, config: TrainConfig, features: FrozenFeatures | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Returns inputs, labels and weights: each film as it is and once restyled.

    With `features` the inputs are what that frozen part makes of the films.

    Films as they are look like the training films and are soon all classified; the
    copy with one fixed set of draws keeps the validation loss sensitive to shortcuts.
    """
    inputs = [preprocessing.low_pass(f) for f in split.pixels.astype(np.float32)]
    rng = np.random.default_rng([config.seed, 1])
    for film in split.pixels.astype(np.float32):
        inputs.append(_augmented(film, split.pixels, rng))
    labels = np.tile(split.labels, 2)[:, np.newaxis]
    batch = np.stack(inputs)[..., np.newaxis]
    return features(batch) if features else batch, labels, class_weights(labels)


def class_weights(labels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns a weight for each film, so that both classes weigh the same in the loss.

    `n / (2 n_class)`, shape of `labels` flattened.
    """
    flat = labels.ravel()
    share = flat.mean()
    return np.where(flat == 1, 0.5 / share, 0.5 / (1 - share)).astype(np.float32)


class AugmentedFilms(keras.utils.PyDataset):
    """Batches of shuffled, augmented films; the same for a seed, epoch and index."""

    def __init__(
        self,
        split: PreparedSplit,
        config: TrainConfig,
        features: FrozenFeatures | None = None,
    ) -> None:
        """Keeps the films and the frozen part that they pass first, if any.

        `epoch` is what the draws depend on: the whole epochs done before training goes
        on, then, while `fit` runs, the number of the epoch from 1.
        """
        super().__init__()
        self.split = split
        self.config = config
        self.features = features
        self.weights = class_weights(split.labels)
        self.epoch = 0

    def __len__(self) -> int:
        """Returns the number of whole batches in an epoch."""
        return max(1, len(self.split.films) // self.config.batch_size)

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], ...]:
        """Returns inputs or their features, labels `(b, 1)` and weights `(b,)`."""
        seed, size = self.config.seed, self.config.batch_size
        order = np.random.default_rng([seed, 2, self.epoch]).permutation(
            len(self.split.films)
        )
        chosen = order[index * size : (index + 1) * size]
        rng = np.random.default_rng([seed, 3, self.epoch, index])
        inputs = [
            _augmented(self.split.pixels[i].astype(np.float32), self.split.pixels, rng)
            for i in chosen
        ]
        batch = np.stack(inputs)[..., np.newaxis]
        labels = self.split.labels[chosen, np.newaxis]
        if self.features:
            batch = self.features(batch)
        return batch, labels, self.weights[chosen]

    def on_epoch_begin(self) -> None:
        """Goes on to this epoch's draws; Keras calls `on_epoch_end` once too often."""
        self.epoch += 1


class WarmUp(keras.callbacks.Callback):
    """Raises the learning rate in equal steps to its start value."""

    def __init__(self, learning_rate: float, steps: int) -> None:
        """Keeps where the rate goes and in how many steps."""
        super().__init__()
        self.learning_rate = learning_rate
        self.steps = steps

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Sets the rate of this step; afterwards the plateau schedule has it."""
        done = int(self.model.optimizer.iterations)
        if done < self.steps:
            rate = self.learning_rate * (done + 1) / self.steps
            self.model.optimizer.learning_rate.assign(rate)


class KeepBest(keras.callbacks.Callback):
    """Saves the whole network's weights when the validation loss is the best so far."""

    def __init__(self, network: keras.Model, path: Path, best: float | None) -> None:
        """Keeps what to save, where, and the best loss of the epochs before."""
        super().__init__()
        self.network = network
        self.path = path
        self.best = np.inf if best is None else best

    def on_test_end(self, logs: dict | None = None) -> None:
        """Saves under another name first, so that the file is always whole.

        That is before the epoch's checkpoint: a run cut off between the two repeats the
        epoch and finds the best weights there, never a best loss without its weights.
        """
        loss = (logs or {})["loss"]
        if loss < self.best:
            self.best = loss
            draft = self.path.with_name("draft.weights.h5")
            self.network.save_weights(draft)
            draft.replace(self.path)


class History(keras.callbacks.Callback):
    """Adds a row to the run's `history.csv` after each epoch."""

    def __init__(self, run: "Run", phase: str) -> None:
        """Keeps where to write and which phase it is."""
        super().__init__()
        self.run = run
        self.phase = phase

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Starts the clock."""
        self.started = time.time()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Writes the row and the run's state."""
        logs = logs or {}
        row = {name: float(logs[name]) for name in HISTORY_COLUMNS if name in logs}
        row["learning_rate"] = float(self.model.optimizer.learning_rate)
        row["seconds"] = time.time() - self.started
        self.run.add_epoch({"phase": self.phase, "epoch": epoch + 1, **row})


class Run:
    """The folder of one run and the files in it."""

    def __init__(self, folder: Path) -> None:
        """Creates the folder if it is new."""
        self.folder = folder
        self.checkpoints = folder / "checkpoints"
        self.best_weights = folder / "checkpoints" / "best.weights.h5"
        self.history_file = folder / "history.csv"
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        self.seconds_before = sum(float(row["seconds"]) for row in self.history())

    @property
    def has_checkpoint(self) -> bool:
        """Whether fine-tuning has already written a whole epoch."""
        return any(self.checkpoints.glob("epoch-*"))

    def bind(self, fingerprint: str, config: TrainConfig) -> None:
        """Ties the run to its films, its split and its network.

        Going on with other films deals patients out anew, and weights that have seen a
        patient would be tested on that patient.

        Raises:
            JobError: epochs were done with other ones.
        """
        path = self.folder / "data.json"
        mine = {
            "fingerprint": fingerprint,
            "seed": config.seed,
            "architecture": config.architecture,
        }
        if self.has_checkpoint and path.is_file():
            if json.loads(path.read_text(encoding="utf-8")) != mine:
                raise JobError(
                    f"The films, the seed or the network are not those that the run in "
                    f"{self.folder} began with. Start a new run."
                )
        documents.replace(path, mine)

    def write_config(self, config: TrainConfig) -> None:
        """Writes `config.json`."""
        documents.replace(self.folder / "config.json", asdict(config))

    def read_config(self) -> TrainConfig:
        """Returns the settings of the run in this folder.

        Raises:
            JobError: there is no run, or its settings can't be read.
        """
        try:
            content = (self.folder / "config.json").read_text(encoding="utf-8")
            return TrainConfig(**json.loads(content))
        except (OSError, ValueError, TypeError) as error:
            raise JobError(f"{self.folder} holds no run that can go on.") from error

    def stage(self, stage: str, **facts: object) -> None:
        """Writes `status.json`: the stage, and when it began."""
        logger.info("%s", stage)
        status = {"stage": stage, "updated": time.time(), "pid": os.getpid(), **facts}
        documents.replace(self.folder / "status.json", status)

    def history(self) -> list[dict[str, str]]:
        """Returns the rows of `history.csv`, none if there is no such file yet."""
        if not self.history_file.is_file():
            return []
        with self.history_file.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def add_epoch(self, row: dict[str, object]) -> None:
        """Adds a row to `history.csv`; a repeated epoch replaces its earlier row."""
        key = (str(row["phase"]), str(row["epoch"]))
        rows = [r for r in self.history() if (r["phase"], r["epoch"]) != key]
        draft = self.history_file.with_suffix(".tmp")
        with draft.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, HISTORY_COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows([*rows, row])
        draft.replace(self.history_file)
        logger.info("%s", json.dumps(row))


def _compile(model: keras.Model, learning_rate: float, *, averaging: float) -> None:
    optimizer = keras.optimizers.Adam(
        learning_rate,
        global_clipnorm=1.0,
        use_ema=averaging > 0,
        ema_momentum=averaging or 0.99,
    )
    model.compile(
        optimizer,
        loss=keras.losses.BinaryCrossentropy(from_logits=True),
        weighted_metrics=[keras.metrics.AUC(from_logits=True, name="auc")],
    )


def _augmented(
    film: NDArray[np.float32],
    references: NDArray[np.uint8],
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    draws = augmentation.draw(rng, n_references=len(references))
    reference = None
    if draws.reference is not None:
        reference = references[draws.reference].astype(np.float32)
    return preprocessing.low_pass(augmentation.apply(film, draws, reference))
