"""What happens beside the steps of a run: learning rate, best weights, its words."""

import math
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np

from cxr import disk, documents
from cxr.runs.config import TrainConfig
from cxr.runs.estimate import HEAD, STEP, VALIDATE, Clock
from cxr.runs.history import HISTORY_COLUMNS
from cxr.runs.run_folder import Run
from cxr.training.batches import AugmentedFilms

_LOSS = "validation_loss"


class Schedule(keras.callbacks.Callback):
    """Raises the learning rate in equal steps to its start value, then lowers it.

    `cosine`: half a cosine from there to nothing at the end of the last epoch
    (Loshchilov and Hutter 2017, arXiv 1608.03983); with `harder_from` to nothing before
    that epoch, and once more from there on. `plateau`: left to `ReduceLROnPlateau`. The
    rate depends on the optimizer's count alone, so a resumed run goes on where it was.
    """

    def __init__(self, config: TrainConfig, steps: int) -> None:
        """Keeps the settings and the steps of one epoch."""
        super().__init__()
        self.config = config
        first = config.harder_from - 1 if config.is_made_harder else 0
        self.restart = first * steps // config.accumulate
        self.updates = max(1, config.epochs * steps // config.accumulate)

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Sets the rate of this step."""
        done, updates = int(as_number(self.model.optimizer.iterations)), self.updates
        if self.restart <= done:
            done, updates = done - self.restart, updates - self.restart
        elif self.restart:
            updates = self.restart
        rate, warm_up = self.config.learning_rate, self.config.warm_up
        if done < warm_up:
            self._set(rate * (done + 1) / warm_up)
        elif self.config.schedule == "cosine":
            share = (done - warm_up) / max(1, updates - warm_up)
            self._set(rate * 0.5 * (1 + math.cos(math.pi * min(1.0, share))))

    def _set(self, rate: float) -> None:
        self.model.optimizer.learning_rate.assign(rate)


class DrawAnew(keras.callbacks.Callback):
    """Gives each epoch its own draws, the same in a resumed run.

    Keras' own call of a data set's `on_epoch_begin` comes once more with several
    devices, when the network is built.
    """

    def __init__(self, batches: AugmentedFilms) -> None:
        """Keeps the films that are drawn."""
        super().__init__()
        self.batches = batches

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Sets the epoch, counted from 1."""
        self.batches.epoch = epoch + 1


class KeepBest(keras.callbacks.Callback):
    """Saves the whole network's weights when the validation loss is the best so far."""

    def __init__(self, network: keras.Model, path: Path) -> None:
        """Keeps what to save and where; weights that are there have to be beaten."""
        super().__init__()
        self.network = network
        self.path = path
        self.best = _loss_of(path)

    def on_test_end(self, logs: dict | None = None) -> None:
        """Saves under another name first, so that the file is always whole.

        The loss is in the file with the weights: whenever a run is cut off, the file
        says how good its weights are, and a worse epoch never replaces them.

        Raises:
            CxrError: the disk is full; the weights before are still there.
        """
        loss = float((logs or {})["loss"])
        if loss < self.best:
            self.best = loss
            weights = {f"{i:05d}": w for i, w in enumerate(self.network.get_weights())}
            with disk.writing(self.path.parent):
                # Not HDF5, which ends the process when a disk is full.
                arrays: dict[str, Any] = {_LOSS: np.float64(loss), **weights}
                with disk.whole_file(self.path) as draft, draft.open("wb") as file:
                    np.savez(file, allow_pickle=False, **arrays)


def load_best(network: keras.Model, path: Path) -> None:
    """Puts the weights that `KeepBest` saved into a network of the same form."""
    with np.load(path, allow_pickle=False) as arrays:
        network.set_weights([arrays[n] for n in sorted(arrays.files) if n != _LOSS])


class History(keras.callbacks.Callback):
    """Adds a row to the run's `history.csv` after each epoch."""

    def __init__(self, run: Run, phase: str) -> None:
        """Keeps where to write and which phase it is."""
        super().__init__()
        self.run = run
        self.phase = phase

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Starts the clock."""
        self.started = time.time()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Writes the row."""
        logs = logs or {}
        row = {name: float(logs[name]) for name in HISTORY_COLUMNS if name in logs}
        row["learning_rate"] = as_number(self.model.optimizer.learning_rate)
        row["seconds"] = max(0.0, time.time() - self.started)
        self.run.add_epoch({"phase": self.phase, "epoch": epoch + 1, **row})


class HeadBeat(keras.callbacks.Callback):
    """Says how far the head is, and times its epochs after the first.

    The first one builds the graph, which says nothing of speed.
    """

    def __init__(self, run: Run, clock: Clock, *, films: int, epochs: int) -> None:
        """Keeps where to say it, and how many films and epochs there are."""
        super().__init__()
        self.run, self.clock, self.films, self.epochs = run, clock, films, epochs
        self.last = 0.0

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Says it and times it."""
        now = time.perf_counter()
        if epoch:
            self.clock.add(HEAD, self.films, now - self.last)
        self.last = now
        self.run.beat(epoch=epoch + 1, epochs=self.epochs)


class Beat(keras.callbacks.Callback):
    """Says after each step how far the run is, and times what the steps take."""

    def __init__(
        self,
        run: Run,
        clock: Clock,
        *,
        config: TrainConfig,
        steps: int,
        validation: int,
        closing: float,
    ) -> None:
        """Keeps what the time left is worked out from.

        Args:
            run: that says it.
            clock: that adds up what was timed.
            config: of the run.
            steps: in one epoch.
            validation: inputs that are validated after each epoch.
            closing: seconds that publishing the model will take.
        """
        super().__init__()
        self.run, self.clock, self.config = run, clock, config
        self.steps, self.validation, self.closing = steps, validation, closing
        self.epoch = 0
        self.last = 0.0  # when the step before ended
        self.tested = 0.0  # seconds of the last validation

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Notes which epoch it is."""
        self.epoch = epoch + 1
        self.begun = time.perf_counter()
        self.timed = 0

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Times the step; the first two build the graph and say nothing of speed."""
        now = time.perf_counter()
        if batch < 2 and self.tested == 0:
            self.begun = now
        else:
            self.timed += 1
            films = self.config.batch_size
            self.clock.add(STEP, films, now - self.last)
        self.last = now
        self._say(step=batch + 1)

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Starts the clock of an epoch's first step."""
        if batch == 0:
            self.last = time.perf_counter()

    def on_test_begin(self, logs: dict | None = None) -> None:
        """Starts the clock of a validation."""
        self.test_begun = time.perf_counter()

    def on_test_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Says that the run lives."""
        self._say(step=self.steps)

    def on_test_end(self, logs: dict | None = None) -> None:
        """Times the validation."""
        self.tested = time.perf_counter() - self.test_begun
        self.clock.add(VALIDATE, self.validation, self.tested)

    def _say(self, step: int) -> None:
        self.run.beat(
            epoch=self.epoch,
            epochs=self.config.epochs,
            step=step,
            steps=self.steps,
            seconds_left=self._left(step),
        )

    def _left(self, step: int) -> float | None:
        if not self.timed:
            return None
        one = (time.perf_counter() - self.begun) / self.timed
        per_film = one / self.config.batch_size
        # Forward alone is about a third of forward and backward.
        test = self.tested or per_film * self.validation / 3
        epochs = self.config.epochs - self.epoch
        steps = (self.steps - step) + epochs * self.steps
        return steps * one + (epochs + 1) * test + self.closing


def as_number(variable: keras.Variable) -> float:
    """Returns a variable that is one number, also one that several devices hold."""
    return float(keras.ops.convert_to_numpy(variable))


def _loss_of(weights: Path) -> float:
    try:
        # Given a path, NumPy leaves a damaged file open.
        with weights.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return float(arrays[_LOSS])
    except documents.DAMAGE:
        return math.inf
