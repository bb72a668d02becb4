"""A training run as its files: settings, state, learning curves.

`training` writes them and pages read them; nothing here needs TensorFlow. Every file
that changes is replaced in one step, so a reader sees the old one or the new one.
"""

import csv
import json
import logging
import secrets
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cxr import disk, documents
from cxr.datasets.folders import LeftOut
from cxr.errors import JobError
from cxr.jobs.heartbeat import DONE, Heartbeat
from cxr.jobs.queues import CONFIG, claim
from cxr.runs.config import TrainConfig
from cxr.runs.history import HISTORY, HISTORY_COLUMNS, read_history

logger = logging.getLogger(__name__)

LEFT_OUT = "left_out.json"

PREPARING = "preparing films"
HEAD = "training the head"
FINE_TUNING = "fine-tuning"
PUBLISHING = "calibrating, evaluating, exporting"
STAGES = (PREPARING, HEAD, FINE_TUNING, PUBLISHING, DONE)


def read_config(folder: Path) -> TrainConfig:
    """Returns the settings of the run in this folder.

    Raises:
        JobError: there is no run, or its settings can't be read.
    """
    try:
        settings = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        # Older runs have one seed for everything.
        whole = {"split_seed": settings["seed"], **settings}
        return documents.build(whole, TrainConfig)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise JobError(f"{folder.name} holds no run that can go on.") from error


def read_left_out(folder: Path) -> tuple[LeftOut, ...]:
    """Returns what lay in the run's data folder besides films; none if it is not told.

    Raises:
        JobError: the run's record of it is damaged.
    """
    try:
        parts = json.loads((folder / LEFT_OUT).read_text(encoding="utf-8"))
        return tuple(documents.build(part, LeftOut) for part in parts)
    except FileNotFoundError:
        return ()
    except documents.DAMAGE as error:
        raise JobError(f"{LEFT_OUT} of {folder.name} is damaged.") from error


def create(runs_dir: Path, config: TrainConfig) -> Path:
    """Returns the new folder of a run that has its settings and nothing else yet.

    Two callers at the same time get two folders.

    Raises:
        JobError: the folder can't be written.
    """
    try:
        runs_dir.mkdir(parents=True, exist_ok=True)
        folder = claim(runs_dir)
        documents.replace(folder / CONFIG, asdict(config))
    except OSError as error:
        raise JobError(
            f"The folder of the runs ({runs_dir.name}) can't be written: "
            f"{error.strerror}.",
            code="runs-folder",
        ) from error
    return folder


class Run:
    """The folder of one run and the files in it, as the run itself writes them."""

    def __init__(self, folder: Path) -> None:
        """Creates the folder if it is new.

        `heartbeat` says how far the run is, in its own folder at first.
        """
        self.folder = folder
        self.heartbeat = Heartbeat(folder)
        self.checkpoints = folder / "checkpoints"
        self.best_weights = Run.weights_of(folder)
        self.history_file = folder / HISTORY
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        self.seconds_before = sum(float(row["seconds"]) for row in self.history())
        self.token = self._token()

    @staticmethod
    def weights_of(folder: Path) -> Path:
        """Returns where a run keeps its best weights, whether or not there are any."""
        return folder / "checkpoints" / "best.npz"

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
            "split_seed": config.split_seed,
            "architecture": config.architecture,
        }
        if self.has_checkpoint and path.is_file():
            bound = json.loads(path.read_text(encoding="utf-8"))
            if {"split_seed": bound.get("seed"), **bound} != mine:
                raise JobError(
                    f"The films, the seed or the network are not those that the run in "
                    f"{self.folder} began with. Start a new run."
                )
        documents.replace(path, mine)

    def write_config(self, config: TrainConfig) -> None:
        """Writes `config.json`."""
        documents.replace(self.folder / CONFIG, asdict(config))

    def write_left_out(self, left_out: Sequence[LeftOut]) -> None:
        """Writes `left_out.json`: what lay in the data folder besides films."""
        documents.replace(self.folder / LEFT_OUT, [asdict(part) for part in left_out])

    def read_config(self) -> TrainConfig:
        """Returns the settings of the run in this folder.

        Raises:
            JobError: there is no run, or its settings can't be read.
        """
        return read_config(self.folder)

    def stage(self, stage: str, **facts: Any) -> None:
        """Writes `status.json`: a new stage and what is known of it."""
        self.heartbeat.stage(stage, **facts)

    def beat(self, **facts: Any) -> None:
        """Says that the run lives and how far it is; at most every `BEAT_SECONDS`."""
        self.heartbeat.beat(**{"patience": 0.0, **facts})

    def history(self) -> list[dict[str, str]]:
        """Returns the rows of `history.csv`, none if there is no such file yet."""
        return read_history(self.folder)

    def add_epoch(self, row: dict[str, object]) -> None:
        """Adds a row to `history.csv`; a repeated epoch replaces its earlier row."""
        key = (str(row["phase"]), str(row["epoch"]))
        rows = [r for r in self.history() if (r["phase"], r["epoch"]) != key]
        with (
            disk.whole_file(self.history_file) as draft,
            draft.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, HISTORY_COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows([*rows, row])
        logger.info("%s", json.dumps(row))

    def _token(self) -> str:
        # Goes on the card: a run that is resumed finds the model it has registered.
        path = self.folder / "token.json"
        if not path.is_file():
            documents.replace(path, secrets.token_hex(8))
        return str(json.loads(path.read_text(encoding="utf-8")))
