"""What a job says of itself in its folder while it works."""

import logging
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxr import documents

logger = logging.getLogger(__name__)
STATUS = "status.json"
BEAT_SECONDS = 2.0
DONE = "done"


@dataclass(frozen=True, kw_only=True)
class Status:
    """What a job last said of itself.

    Attributes:
        stage: of its work; each kind of job has its own.
        updated: seconds since 1970; a living job says something every few seconds.
        epoch: of a training, the one that runs, from 1; 0 where there are none.
        epochs: at most, in this stage.
        step: done in this epoch.
        steps: in one epoch.
        done: films done so far in this stage.
        total: films of this stage; 0 where none are counted.
        seconds_left: of the whole job at most; None if unknown.
        device: what computes, in words; empty before that is known.
        stage_began: when this stage began, seconds since 1970; 0 if it is not told.
        done_before: films that were done when this stage began, by an earlier attempt.
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
    stage_began: float = 0.0
    done_before: int = 0
    patience: float = 0.0
    model_id: str = ""


def read_status(folder: Path) -> Status | None:
    """Returns what a job last said, None if it has said nothing that can be read."""
    try:
        text = (folder / STATUS).read_text(encoding="utf-8")
        # A process of another version may say more than is known here.
        status = documents.parse(text, Status, strict=False)
    except (OSError, ValueError):
        return None
    return status if math.isfinite(status.updated) else None


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
        pace = {"stage_began": time.time(), "done_before": facts.get("done", 0)}
        self._said = {**kept, **pace, "stage": stage, **facts}
        self._write()

    def beat(self, **facts: Any) -> None:
        """Says that the job lives and how far it is, if the last word is old enough."""
        self._said |= facts
        if time.time() - self._said.get("updated", 0) >= self._every:
            self._write()

    def _write(self) -> None:
        self._said |= {"updated": time.time(), "pid": os.getpid()}
        documents.replace(self.folder / STATUS, self._said)
