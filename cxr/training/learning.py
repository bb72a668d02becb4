"""How a network learns: its head on frozen features, then its upper blocks."""

from dataclasses import replace

import keras
import numpy as np

from cxr.errors import JobError
from cxr.robustness import operating
from cxr.runs import estimate
from cxr.runs.config import TrainConfig
from cxr.runs.estimate import Clock
from cxr.runs.run_folder import Run
from cxr.training import networks
from cxr.training.accelerator import Accelerator
from cxr.training.batches import AugmentedFilms, PreparedSplit, styled_validation
from cxr.training.callbacks import (
    Beat,
    DrawAnew,
    HeadBeat,
    History,
    KeepBest,
    Schedule,
)
from cxr.training.checkpoints import Checkpoint, restore
from cxr.training.consistency import LabelAUC, PairedLoss
from cxr.training.frozen import FrozenFeatures


def train_head(
    network: keras.Model,
    splits: dict[str, PreparedSplit],
    config: TrainConfig,
    run: Run,
    clock: Clock,
) -> None:
    """Trains the linear head on features that the frozen backbone computes once.

    Args:
        network: with a frozen backbone; the weights of its head change.
        splits: the films of `train` and `validation`.
        config: of the run.
        run: that says how far it is.
        clock: that adds up what was timed.
    """
    pooled = FrozenFeatures(
        keras.Model(network.input, network.get_layer("pooled").output)
    )
    config = replace(config, consistency=0)  # Its features are shuffled, pairs apart.
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
    head = _head(features.shape[1:], config)
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


def _head(shape: tuple[int, ...], config: TrainConfig) -> keras.Model:
    """Returns a linear head by itself, compiled."""
    head = keras.Sequential(
        [keras.Input(shape), keras.layers.Dropout(config.dropout)]
        + [keras.layers.Dense(1, name="logit")]
    )
    compile_model(
        head, replace(config, learning_rate=config.head_learning_rate, averaging=0)
    )
    return head


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

    Args:
        network: with a trained head; its weights change.
        splits: the films of `train` and `validation`, and of the others for the time.
        config: of the run.
        run: whose checkpoints are gone on with, and where new ones are kept.
        clock: that adds up what was timed.
        device: what computes.

    Raises:
        JobError: the batch does not spread over the devices, the checkpoints are of
            another network, or the validation loss was never finite.
    """
    lower, learner = _learner(network, config, device)
    features = FrozenFeatures(lower) if lower else None
    batches = AugmentedFilms(splits["train"], config, features)
    schedules = _schedules(config)
    with device.scope():
        resumed = restore(learner, run.checkpoints, schedules)
    if resumed.finished or resumed.epoch >= config.epochs:
        return
    n_validation = len(splits["validation"].films) * estimate.VALIDATION_VIEWS
    with clock.time(estimate.LOWER, n_validation):
        validation = styled_validation(splits["validation"], config, features)
    beat = Beat(
        run,
        clock,
        config=config,
        steps=len(batches),
        validation=n_validation,
        closing=_closing_seconds(splits, config, clock),
    )
    learner.fit(
        batches,
        validation_data=validation,
        validation_batch_size=config.batch_size,
        epochs=config.epochs,
        initial_epoch=resumed.epoch,
        callbacks=[*_callbacks(network, batches, config, run, schedules), beat],
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


def _learner(
    network: keras.Model, config: TrainConfig, device: Accelerator
) -> tuple[keras.Model | None, keras.Model]:
    """Returns the part that computes features once, if any, and the part that learns.

    Raises:
        JobError: the batch does not spread over the devices.
    """
    share = device.devices * config.draws_of_a_film
    if device.devices > 1 and config.batch_size % share:
        raise JobError(
            f"A batch of {config.batch_size} films can't be shared by "
            f"{device.devices} devices evenly. Choose a multiple of {share}."
        )
    with device.scope():
        lower, learner = networks.divide(network, config.unfreeze_from)
        if device.on_gpu:
            # There the frozen part is best left where the data is.
            lower, learner = None, keras.Model(network.input, network.output["logit"])
        compile_model(learner, config, devices=device.devices)
        learner.optimizer.build(learner.trainable_variables)
    return lower, learner


def _schedules(config: TrainConfig) -> dict[str, keras.callbacks.Callback]:
    """Returns the callbacks that count over epochs, by the names of their state."""
    stopping = keras.callbacks.EarlyStopping(patience=config.patience)
    schedules: dict[str, keras.callbacks.Callback] = {"stop": stopping}
    if config.schedule == "plateau":
        schedules["lr"] = keras.callbacks.ReduceLROnPlateau(
            factor=0.3, patience=max(1, config.patience // 2)
        )
    return schedules


def _callbacks(
    network: keras.Model,
    batches: AugmentedFilms,
    config: TrainConfig,
    run: Run,
    schedules: dict[str, keras.callbacks.Callback],
) -> list[keras.callbacks.Callback]:
    """Returns what happens beside the steps of fine-tuning, in the order it needs."""
    return [
        DrawAnew(batches),
        Schedule(config, len(batches)),
        # While the mean of the weights is swapped in for validation `best` keeps it. At
        # the end of the epoch the raw weights are back: they are what is resumed.
        KeepBest(network, run.best_weights),
        *([keras.callbacks.SwapEMAWeights()] if config.averaging else []),
        History(run, "fine-tuning"),
        *schedules.values(),
        Checkpoint(run.checkpoints, schedules),
    ]


def compile_model(model: keras.Model, config: TrainConfig, devices: int = 1) -> None:
    """Gives a model the optimizer, loss and measure of a run.

    Args:
        model: whose output is one logit.
        config: of the run.
        devices: that share each batch.
    """
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
        loss=PairedLoss(config.consistency),
        weighted_metrics=[LabelAUC(from_logits=True, name="auc")],
    )


def _closing_seconds(
    splits: dict[str, PreparedSplit], config: TrainConfig, clock: Clock
) -> float:
    scored = sum(len(part.films) for name, part in splits.items() if name != "train")
    if config.target_under_shift:
        of_class = np.bincount(splits["validation"].labels, minlength=2)
        most = np.minimum(of_class, operating.MOST_FILMS)
        scored += operating.VIEWS * int(most.sum())
    return scored * clock.per_film().get(estimate.FEATURES, 0.0)
