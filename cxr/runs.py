"""A training run as its files: settings, state, learning curves.

`training` writes them and pages read them; nothing here needs TensorFlow. Every file
that changes is replaced in one step, so a reader sees the old one or the new one.
"""

import csv
import json
import logging
import os
import re
import secrets
import time
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cxr import architectures, documents
from cxr.errors import JobError

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
CONFIG, STATUS, HISTORY, LOG = "config.json", "status.json", "history.csv", "log.txt"
BEAT_SECONDS = 2.0

PREPARING = "preparing films"
HEAD = "training the head"
FINE_TUNING = "fine-tuning"
PLAIN, STYLE = "plain", "style"
PUBLISHING = "calibrating, evaluating, exporting"
DONE = "done"
STAGES = (PREPARING, HEAD, FINE_TUNING, PUBLISHING, DONE)
SHARES = (
    "averaging",
    "dropout",
    "target_sensitivity",
    "assured_sensitivity",
    "target_under_shift",
    "standard_tone",
)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Everything that decides a run besides the films themselves.

    Attributes:
        data: the data folder or manifest.
        preset: whose settings these are, with the changes made to them.
        architecture: one of `architectures.ARCHITECTURES`.
        backbone_weights: `imagenet`, `none` or a file.
        backbone_note: where such a file comes from; goes on the card.
        seed: of the draws and the initial weights.
        split_seed: of the split. Models with the same one are held out from the same
            patients, so they can be compared and joined.
        batch_size: films a step, over all devices.
        accumulate: steps whose gradients are added up before the weights move, where
            memory is too short for a larger batch.
        augmentation: `style` randomises how a film was acquired, `plain` is the
            ordinary one.
        harder_from: epoch of fine-tuning, counted from 1, from which on the draws are
            harder and the learning rate starts anew; 0 for none, and without meaning
            for `plain` films.
        head_views: augmented copies of each film that the frozen backbone sees once.
        head_epochs: at most, for the head alone.
        head_learning_rate: Adam's, for the head alone.
        unfreeze_from: first EfficientNet block (2 to 7) that is fine-tuned.
        epochs: at most, of fine-tuning (of everything for the baseline CNN).
        learning_rate: Adam's, after the warm-up of fine-tuning.
        schedule: `cosine` lets it fall to nothing over `epochs`, `plateau` lowers it
            to 0.3 of itself when the validation loss has not improved for half of
            `patience`.
        warm_up: steps over which that rate is reached; without them the first ones
            throw the pretrained weights off, which frozen batch normalisation can't
            make up for.
        patience: epochs without a better validation loss before the run stops.
        averaging: momentum of the running mean of the weights that is evaluated and
            kept; 0 for none.
        dropout: before the head.
        mixed_precision: on a GPU, compute in 16 bits and keep weights in 32.
        target_sensitivity: of the threshold rule, on the validation split.
        assured_sensitivity: least lower limit of its 95 % interval there.
        target_under_shift: sensitivity on the validation films as they are and after
            shifts of acquisition together, in place of that lower limit; 0 for the
            films as they are alone.
        standard_tone: how far the finished network's films are moved towards the mean
            tone of its training films, `[0, 1]`; 0 for not at all. Training itself
            draws tones at random.
    """

    data: str
    preset: str = "standard"
    architecture: str = architectures.DEFAULT
    backbone_weights: str = "imagenet"
    backbone_note: str = ""
    seed: int = 20261122
    split_seed: int = 20261122
    batch_size: int = 32
    accumulate: int = 1
    augmentation: str = STYLE
    harder_from: int = 0
    head_views: int = 1
    head_epochs: int = 40
    head_learning_rate: float = 1e-3
    unfreeze_from: int = 5
    epochs: int = 7
    learning_rate: float = 3e-4
    schedule: str = "cosine"
    warm_up: int = 100
    patience: int = 4
    averaging: float = 0.99
    dropout: float = 0.3
    mixed_precision: bool = True
    target_sensitivity: float = 0.98
    assured_sensitivity: float = 0.97
    target_under_shift: float = 0.0
    standard_tone: float = 0.0

    def __post_init__(self) -> None:
        """Raises ValueError for a share outside 0 to 1, before hours go into it."""
        for name in SHARES:
            if not 0 <= (value := getattr(self, name)) <= 1:
                raise ValueError(f"expected {name} from 0 to 1, received {value}")

    @property
    def is_made_harder(self) -> bool:
        """Whether any epoch has harder films."""
        return self.augmentation == STYLE and 0 < self.harder_from <= self.epochs


PRESETS: dict[str, dict[str, Any]] = {
    "quick": {"epochs": 2, "unfreeze_from": 6},
    "standard": {},
    "best": {
        "epochs": 21,
        "harder_from": 12,
        "unfreeze_from": 4,
        # More than there are harder ones: the loss rises there before it falls.
        "patience": 14,
        "target_under_shift": 0.995,
        "standard_tone": 0.5,
    },
}
# What a preset promises; a model's card says what came of it.
PURPOSES = {
    "quick": "Shows that films and machine work. Not a model to read with.",
    "standard": "The upper blocks for a few epochs. What to begin with.",
    "best": "More blocks, three times as long, with harder films in the second half.",
}
BASELINE_PRESET: dict[str, Any] = {
    "averaging": 0.0,
    "epochs": 30,
    "harder_from": 0,
    "learning_rate": 1e-3,
    "schedule": "plateau",
    "patience": 6,
}


def config_for(preset: str, **changes: Any) -> TrainConfig:
    """Returns a preset's settings with these changes, which go first.

    Raises:
        ValueError: no such preset or architecture, or a setting out of its range.
    """
    if preset not in PRESETS:
        raise ValueError(f"expected one of {', '.join(PRESETS)}, received {preset=}")
    is_baseline = changes.get("architecture") == architectures.BASELINE
    settings = {**PRESETS[preset], **(BASELINE_PRESET if is_baseline else {})}
    if is_baseline and preset == "quick":
        settings["epochs"] = PRESETS["quick"]["epochs"]
    return TrainConfig(**{**settings, "data": "", "preset": preset, **changes})


@dataclass(frozen=True, kw_only=True)
class Status:
    """What a run last said of itself.

    Attributes:
        stage: one of `STAGES`.
        updated: seconds since 1970; a living run says something every few seconds.
        epoch: the one that runs, from 1; 0 where there are none.
        epochs: at most, in this stage.
        step: done in this epoch.
        steps: in one epoch.
        done: films prepared so far, while films are prepared.
        total: films to prepare.
        seconds_left: of the whole run if no early stop comes; None if unknown.
        device: what computes, in words; empty before that is known.
        patience: seconds that it may say nothing before something is wrong, where
            that is more than usual.
        model_id: of the registered model; empty before it is.
    """

    stage: str
    updated: float
    epoch: int = 0
    epochs: int = 0
    step: int = 0
    steps: int = 0
    done: int = 0
    total: int = 0
    seconds_left: float | None = None
    device: str = ""
    patience: float = 0.0
    model_id: str = ""


def read_status(folder: Path) -> Status | None:
    """Returns the state in a run's folder, None if it has not said any yet."""
    try:
        content = json.loads((folder / STATUS).read_text(encoding="utf-8"))
        known = {field.name for field in fields(Status)}
        return Status(**{k: v for k, v in content.items() if k in known})
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def read_history(folder: Path) -> list[dict[str, str]]:
    """Returns the rows of a run's `history.csv`, none if there is no such file yet."""
    path = folder / HISTORY
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def read_config(folder: Path) -> TrainConfig:
    """Returns the settings of the run in this folder.

    Raises:
        JobError: there is no run, or its settings can't be read.
    """
    try:
        settings = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        # Older runs have one seed for everything.
        return TrainConfig(**{"split_seed": settings["seed"], **settings})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise JobError(f"{folder.name} holds no run that can go on.") from error


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


def claim(queue: Path) -> Path:
    """Returns a new folder for a job, named by the day and a number.

    Two callers at the same time get two folders.

    Raises:
        OSError: it can't be made.
    """
    stem = f"{datetime.now(UTC):%Y-%m-%d}"
    taken = [re.fullmatch(rf"{stem}-(\d+)", path.name) for path in queue.iterdir()]
    number = max((int(match[1]) for match in taken if match), default=0)
    while True:
        number += 1
        try:
            (queue / f"{stem}-{number}").mkdir()
        except FileExistsError:
            continue
        return queue / f"{stem}-{number}"


class Heartbeat:
    """What a job says of itself in `status.json` while it works."""

    def __init__(self, folder: Path, *, every: float | None = None) -> None:
        """Says nothing yet.

        `folder` is where it is said, and `every` the least seconds between two beats,
        None for `BEAT_SECONDS`.
        """
        self.folder = folder
        self._every = BEAT_SECONDS if every is None else every
        self._said: dict[str, Any] = {}

    def stage(self, stage: str, **facts: Any) -> None:
        """Says that a stage begins and what is known of it, at once."""
        logger.info("%s", stage)
        # What computes holds for every stage.
        kept = {k: self._said[k] for k in ("device",) if k in self._said}
        self._said = {**kept, "stage": stage, **facts}
        self._write()

    def beat(self, **facts: Any) -> None:
        """Says that the job lives and how far it is, if the last word is old enough."""
        self._said |= facts
        if time.time() - self._said.get("updated", 0) >= self._every:
            self._write()

    def _write(self) -> None:
        self._said |= {"updated": time.time(), "pid": os.getpid()}
        documents.replace(self.folder / STATUS, self._said)


class Run:
    """The folder of one run and the files in it, as the run itself writes them."""

    def __init__(self, folder: Path) -> None:
        """Creates the folder if it is new.

        `heartbeat` says how far the run is, in its own folder at first.
        """
        self.folder = folder
        self.heartbeat = Heartbeat(folder)
        self.checkpoints = folder / "checkpoints"
        self.best_weights = folder / "checkpoints" / "best.npz"
        self.history_file = folder / HISTORY
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        self.seconds_before = sum(float(row["seconds"]) for row in self.history())
        self.token = self._token()

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
        draft = self.history_file.with_suffix(".tmp")
        with draft.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, HISTORY_COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows([*rows, row])
        draft.replace(self.history_file)
        logger.info("%s", json.dumps(row))

    def _token(self) -> str:
        # Goes on the card: a run that is resumed finds the model it has registered.
        path = self.folder / "token.json"
        if not path.is_file():
            documents.replace(path, secrets.token_hex(8))
        return str(json.loads(path.read_text(encoding="utf-8")))
