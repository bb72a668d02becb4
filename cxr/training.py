"""One training run, told from top to bottom.

Prepare the films, train the head on frozen features, fine-tune the upper blocks,
calibrate, choose the threshold, evaluate on patients that none of this saw, export for
serving, check that serving gives the same scores, register. All that a run leaves
behind is in its folder; a run that was cut off goes on from its last whole epoch.
"""

import logging
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from cxr import (
    accelerator,
    architectures,
    data,
    devices,
    disk,
    estimate,
    networks,
    prepared,
    publication,
    runs,
)
from cxr.accelerator import Accelerator
from cxr.batches import AugmentedFilms, PreparedSplit, styled_validation
from cxr.callbacks import (
    Beat,
    DrawAnew,
    HeadBeat,
    History,
    KeepBest,
    Schedule,
    load_best,
)
from cxr.checkpoints import Checkpoint, newest, restore
from cxr.data import LabelledFilm
from cxr.errors import DatasetError, JobError
from cxr.estimate import Clock, Speeds
from cxr.frozen import FrozenFeatures
from cxr.robustness import operating
from cxr.runs import Run, TrainConfig

logger = logging.getLogger(__name__)

MEASURED_FILMS = 320
# The longest that a run says nothing while a graph is built, exported or evaluated.
LONG_SILENCE = 900


def train(config: TrainConfig, run_dir: Path, models_dir: Path, cache_dir: Path) -> str:
    """Runs, or goes on with, one training and returns the new model's id.

    Args:
        config: what to do.
        run_dir: this run's own folder; what is there is resumed.
        models_dir: where the result is registered, as a candidate.
        cache_dir: where prepared films and measured speeds are kept.

    Raises:
        DatasetError: the films can't be used.
        ModelError: the backbone weights can't be had, or serving disagrees.
        JobError: the run in this folder is one on other films or of another network,
            the validation loss was never finite, or memory is too short.
        CxrError: the disk is full (code `disk-full`); what was stored stays.
    """
    with disk.writing(run_dir), _named_memory():
        run = Run(run_dir)
        if earlier := publication.find_run(models_dir, run.token):
            # It was registered and cut off before it could say so.
            run.stage(runs.DONE, model_id=earlier)
            return earlier
        films = data.with_hashes(data.scan(Path(config.data)))
        return _train(config, run, films, models_dir, cache_dir)


def measure(config: TrainConfig, folder: Path, cache_dir: Path) -> Speeds:
    """Returns how fast such a run is on this machine, by doing all of it in small.

    A sample of the films goes through every stage once, twice through fine-tuning; the
    model that comes of it is thrown away. Nothing is resumed.

    Args:
        config: of the run that is asked about.
        folder: for the progress.
        cache_dir: where the speeds are kept for `estimate.find_speeds`.

    Raises:
        CxrError: as `train`.
    """
    films = _sample(data.with_hashes(data.scan(Path(config.data))), config.seed)
    small = replace(config, epochs=2, warm_up=1, patience=2, head_epochs=5)
    with tempfile.TemporaryDirectory(dir=folder) as name, disk.writing(folder):
        scratch = Path(name)
        run = Run(scratch)
        run.heartbeat.folder = folder
        _train(small, run, films, scratch / "models", scratch / "cache")
        [speeds] = estimate.read(scratch / "cache")
        estimate.store(cache_dir, speeds)
    return speeds


def _train(
    config: TrainConfig,
    run: Run,
    films: Sequence[LabelledFilm],
    models_dir: Path,
    cache_dir: Path,
) -> str:
    started, clock = time.time(), Clock()
    keras.utils.set_random_seed(config.seed)
    device = accelerator.find(mixed_precision=config.mixed_precision)
    where = devices.find().words
    resumed = run.has_checkpoint

    run.stage(runs.PREPARING, device=where)
    fingerprint = data.fingerprint(films)
    run.bind(fingerprint, config)
    run.write_config(config)
    splits = prepare(films, fingerprint, config, run, cache_dir, clock)

    with device.policy(), device.scope():
        network = _build(config)
    is_baseline = config.architecture == architectures.BASELINE
    if not is_baseline and newest(run.checkpoints) is None:
        run.stage(runs.HEAD, patience=LONG_SILENCE)
        train_head(network, splits, config, run, clock)
    run.stage(runs.FINE_TUNING, epochs=config.epochs, patience=LONG_SILENCE)
    fine_tune(network, splits, config, run, clock=clock, device=device)

    run.stage(runs.PUBLISHING, patience=LONG_SILENCE)
    if device.mixed_precision:
        # Serving computes in 32 bits, and so does the network that is exported.
        network = _build(config)
    load_best(network, run.best_weights)
    model_id = publication.publish(
        network,
        config=_for_the_card(config, run),
        splits=splits,
        fingerprint=fingerprint,
        history=run.history_file,
        seconds=run.seconds_before + time.time() - started,
        models_dir=models_dir,
        clock=clock,
    )
    if not resumed:
        estimate.keep(cache_dir, config, clock, device=where, films=len(films))
    run.stage(runs.DONE, model_id=model_id)
    return model_id


def prepare(
    films: Sequence[LabelledFilm],
    fingerprint: str,
    config: TrainConfig,
    run: Run,
    cache_dir: Path,
    clock: Clock,
) -> dict[str, PreparedSplit]:
    """Returns the patient-grouped splits, every film decoded and reduced once.

    Raises:
        DatasetError: a split is left without films of both classes.
    """
    size = architectures.find(config.architecture).size
    is_there = prepared.is_there(cache_dir, fingerprint, size)
    begun = time.perf_counter()
    found = prepared.prepare(
        films,
        fingerprint=fingerprint,
        size=size,
        cache_dir=cache_dir,
        progress=lambda done, total: run.beat(done=done, total=total),
    )
    if not is_there:
        clock.add(estimate.DECODE, len(films), time.perf_counter() - begun)
    splits = {}
    for name, part in data.split_by_patient(films, seed=config.split_seed).items():
        for film in part:
            if reason := found.refused.get(film.sha256):
                # Named by its content: a file name can be a patient's.
                logger.warning(
                    "left out of %s: %s (%s)", name, film.sha256[:12], reason
                )
        kept = tuple(film for film in part if film.sha256 in found.rows)
        labels = np.array([film.label for film in kept], np.float32)
        if len(set(labels)) < 2:
            raise DatasetError(
                f"The {name} split has readable films of one class only."
            )
        splits[name] = PreparedSplit(
            films=kept,
            pixels=found.pixels,
            rows=np.array([found.rows[film.sha256] for film in kept]),
            labels=labels,
        )
    return splits


def train_head(
    network: keras.Model,
    splits: dict[str, PreparedSplit],
    config: TrainConfig,
    run: Run,
    clock: Clock,
) -> None:
    """Trains the linear head on features that the frozen backbone computes once."""
    pooled = FrozenFeatures(
        keras.Model(network.input, network.get_layer("pooled").output)
    )
    batches = AugmentedFilms(splits["train"], config, pooled)
    validation_films = len(splits["validation"].films) * estimate.VALIDATION_VIEWS
    total = config.head_views * len(batches) * config.batch_size
    views = []
    with clock.time(estimate.FEATURES, total + validation_films):
        for epoch in range(config.head_views):
            batches.epoch = epoch
            for index in range(len(batches)):
                views.append(batches[index])
                run.beat(done=len(views) * config.batch_size, total=total, patience=0)
        validation = styled_validation(splits["validation"], config, pooled)
    features, labels, weights = (
        np.concatenate(part) for part in zip(*views, strict=True)
    )
    head = keras.Sequential(
        [keras.Input(features.shape[1:]), keras.layers.Dropout(config.dropout)]
        + [keras.layers.Dense(1, name="logit")]
    )
    _compile(
        head, replace(config, learning_rate=config.head_learning_rate, averaging=0)
    )
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
            HeadBeat(run, clock, films=len(features), epochs=config.head_epochs),
        ],
        verbose=0,
    )
    network.get_layer("logit").set_weights(head.get_layer("logit").get_weights())


def fine_tune(
    network: keras.Model,
    splits: dict[str, PreparedSplit],
    config: TrainConfig,
    run: Run,
    *,
    clock: Clock,
    device: Accelerator,
) -> None:
    """Trains the upper blocks and leaves the best weights in `run.best_weights`.

    Raises:
        JobError: the batch does not spread over the devices, the checkpoints are of
            another network, or the validation loss was never finite.
    """
    if config.batch_size % device.devices:
        raise JobError(
            f"A batch of {config.batch_size} films can't be shared by "
            f"{device.devices} devices evenly. Choose a multiple of {device.devices}."
        )
    with device.scope():
        lower, learner = networks.divide(network, config.unfreeze_from)
        if device.on_gpu:
            # There the frozen part is best left where the data is.
            lower, learner = None, keras.Model(network.input, network.output["logit"])
        _compile(learner, config, devices=device.devices)
        learner.optimizer.build(learner.trainable_variables)
    features = FrozenFeatures(lower) if lower else None
    batches = AugmentedFilms(splits["train"], config, features)
    stopping = keras.callbacks.EarlyStopping(patience=config.patience)
    schedules: dict[str, keras.callbacks.Callback] = {"stop": stopping}
    if config.schedule == "plateau":
        schedules["lr"] = keras.callbacks.ReduceLROnPlateau(
            factor=0.3, patience=max(1, config.patience // 2)
        )
    with device.scope():
        resumed = restore(learner, run.checkpoints, schedules)
    if resumed.finished or resumed.epoch >= config.epochs:
        return
    n_validation = len(splits["validation"].films) * estimate.VALIDATION_VIEWS
    with clock.time(estimate.LOWER, n_validation):
        validation = styled_validation(splits["validation"], config, features)
    callbacks = [
        DrawAnew(batches),
        Schedule(config, len(batches)),
        # While the mean of the weights is swapped in for validation `best` keeps it. At
        # the end of the epoch the raw weights are back: they are what is resumed.
        KeepBest(network, run.best_weights),
        *([keras.callbacks.SwapEMAWeights()] if config.averaging else []),
        History(run, "fine-tuning"),
        *schedules.values(),
        Checkpoint(run.checkpoints, schedules),
        Beat(
            run,
            clock,
            config=config,
            steps=len(batches),
            validation=n_validation,
            closing=_closing_seconds(splits, config, clock),
        ),
    ]
    learner.fit(
        batches,
        validation_data=validation,
        validation_batch_size=config.batch_size,
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


def _build(config: TrainConfig) -> keras.Model:
    return networks.build(
        config.architecture,
        backbone_weights=config.backbone_weights,
        dropout=config.dropout,
    )


def _compile(model: keras.Model, config: TrainConfig, devices: int = 1) -> None:
    optimizer = keras.optimizers.Adam(
        config.learning_rate,
        # Keras clips on each device, before it adds up their shares of the gradient.
        global_clipnorm=1.0 / devices,
        use_ema=config.averaging > 0,
        ema_momentum=config.averaging or 0.99,
        gradient_accumulation_steps=config.accumulate
        if config.accumulate > 1
        else None,
    )
    model.compile(
        optimizer,
        loss=keras.losses.BinaryCrossentropy(from_logits=True),
        weighted_metrics=[keras.metrics.AUC(from_logits=True, name="auc")],
    )


def _for_the_card(config: TrainConfig, run: Run) -> dict[str, object]:
    return {
        **asdict(config),
        # Where files were on this machine is nothing for the card.
        "data": Path(config.data).name,
        "backbone_weights": Path(config.backbone_weights).name,
        "run": run.token,
    }


def _closing_seconds(
    splits: dict[str, PreparedSplit], config: TrainConfig, clock: Clock
) -> float:
    scored = sum(len(part.films) for name, part in splits.items() if name != "train")
    if config.target_under_shift:
        ill = int(splits["validation"].labels.sum())
        scored += operating.VIEWS * min(ill, operating.MOST_FILMS)
    return scored * clock.per_film().get(estimate.FEATURES, 0.0)


def _sample(films: Sequence[LabelledFilm], seed: int) -> list[LabelledFilm]:
    """Returns whole patients of each class in turn until there are enough films."""
    if len(films) <= MEASURED_FILMS:
        return list(films)
    rng = np.random.default_rng(seed)
    chosen: list[LabelledFilm] = []
    for label in (0, 1):
        ours = [film for film in films if film.label == label]
        patients = sorted({film.patient_id for film in ours})
        rng.shuffle(patients)
        # At least a quarter of each class, so that every split has some.
        share = max(0.25, len(ours) / len(films)) * MEASURED_FILMS
        taken: list[LabelledFilm] = []
        for patient in patients:
            if len(taken) < share:
                taken += [film for film in ours if film.patient_id == patient]
        chosen += taken
    return sorted(chosen, key=lambda film: film.name)


@contextmanager
def _named_memory() -> Iterator[None]:
    try:
        yield
    except (MemoryError, tf.errors.ResourceExhaustedError) as error:
        raise JobError(
            "Memory ran out. Start a new run with a smaller batch whose gradients are "
            "accumulated over several steps, or with a smaller network.",
            code="out-of-memory",
        ) from error
