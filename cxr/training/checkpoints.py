"""What a training run needs to go on: weights, optimizer, schedules, epoch.

A generation is a folder `epoch-NNNN`, written under another name and renamed when it is
whole; the last two are kept. So whatever cuts a run off, one whole generation is there.
"""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from cxr import disk, documents
from cxr.errors import JobError

# The state of Keras' callbacks that decide about the rest of the run.
_STATE = ("best", "wait", "cooldown_counter", "stopped_epoch")


@dataclass(frozen=True, kw_only=True)
class Resumed:
    """Where a run goes on: whole epochs done, and whether it had stopped by itself."""

    epoch: int = 0
    finished: bool = False


@dataclass(frozen=True, kw_only=True)
class Generation:
    """One generation as it was read.

    Attributes:
        epoch: whole epochs done.
        finished: whether early stopping had ended the run.
        schedules: what each schedule had counted, by its name.
        weights: of the model's variables, in their order.
        optimizer: of the optimizer's variables, the learning rate among them.
    """

    epoch: int
    finished: bool
    schedules: dict[str, dict[str, float]]
    weights: list[np.ndarray]
    optimizer: list[np.ndarray]


class Checkpoint(keras.callbacks.Callback):
    """Writes a generation after each epoch."""

    def __init__(
        self, folder: Path, schedules: dict[str, keras.callbacks.Callback]
    ) -> None:
        """Keeps where to write and the callbacks whose state goes along."""
        super().__init__()
        self.folder = folder
        self.schedules = schedules

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Writes this epoch's generation, then drops the one before the last.

        Raises:
            CxrError: the disk is full; the generations before are still there.
        """
        with disk.writing(self.folder):
            self._write(epoch)

    def _write(self, epoch: int) -> None:
        name = f"epoch-{epoch + 1:04d}"
        draft = self.folder / f".draft-{name}"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        state = {
            "epoch": epoch + 1,
            "finished": bool(self.model.stop_training),
            "schedules": {k: _state_of(v) for k, v in self.schedules.items()},
        }
        _write(draft / "model.npz", self.model.variables)
        _write(draft / "optimizer.npz", self.model.optimizer.variables)
        (draft / "state.json").write_text(json.dumps(state), encoding="utf-8")
        _sync(draft)
        shutil.rmtree(self.folder / name, ignore_errors=True)
        draft.rename(self.folder / name)
        for old in sorted(self.folder.glob("epoch-*"))[:-2]:
            shutil.rmtree(old)


def newest(folder: Path) -> Generation | None:
    """Returns the newest generation that is whole, None if there is none."""
    for generation in sorted(folder.glob("epoch-*"), reverse=True):
        try:
            state = json.loads((generation / "state.json").read_text(encoding="utf-8"))
            return Generation(
                epoch=int(state["epoch"]),
                finished=bool(state["finished"]),
                schedules={k: dict(v) for k, v in state["schedules"].items()},
                weights=_read(generation / "model.npz"),
                optimizer=_read(generation / "optimizer.npz"),
            )
        except documents.DAMAGE:
            continue
    return None


def restore(
    model: keras.Model, folder: Path, schedules: dict[str, keras.callbacks.Callback]
) -> Resumed:
    """Puts the newest generation into the model and says where it goes on.

    With no generation the model stays as it is.

    Args:
        model: compiled, its optimizer built.
        folder: where the generations are.
        schedules: the callbacks by the names they were kept under, early stopping as
            `stop`; they go on with what they had counted when training begins.

    Raises:
        JobError: the generation is of another network; the model stays as it is.
    """
    generation = newest(folder)
    if generation is None:
        return Resumed()
    variables = [*model.variables, *model.optimizer.variables]
    values = [*generation.weights, *generation.optimizer]
    if [tuple(v.shape) for v in variables] != [v.shape for v in values]:
        raise JobError(
            f"The checkpoints in {folder} are of another network. Start a new run."
        )
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
    for name, callback in schedules.items():
        _resume_schedule(callback, generation.schedules.get(name, {}))
    return Resumed(epoch=generation.epoch, finished=generation.finished)


def _state_of(callback: keras.callbacks.Callback) -> dict[str, float]:
    state = {name: getattr(callback, name, None) for name in _STATE}
    return {k: float(v) for k, v in state.items() if isinstance(v, int | float)}


def _resume_schedule(
    callback: keras.callbacks.Callback, state: dict[str, float]
) -> None:
    # Keras resets these when training begins, so they are set after that.
    begin = callback.on_train_begin

    def begin_and_resume(logs: dict | None = None) -> None:
        begin(logs)
        for name, value in state.items():
            setattr(callback, name, value)

    callback.on_train_begin = begin_and_resume


def _write(path: Path, variables: list) -> None:
    arrays = {
        f"{i:05d}": keras.ops.convert_to_numpy(v) for i, v in enumerate(variables)
    }
    np.savez(path, **arrays)


def _read(path: Path) -> list[np.ndarray]:
    # Given a path, NumPy leaves a damaged file open.
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return [arrays[name] for name in sorted(arrays.files)]


def _sync(folder: Path) -> None:
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
