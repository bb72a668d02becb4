"""What a run measured in each epoch."""

import csv
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

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

HISTORY = "history.csv"


def read_history(folder: Path) -> list[dict[str, str]]:
    """Returns the rows of a run's `history.csv`, none if there is no such file yet."""
    path = folder / HISTORY
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One row of a learning curve; nan for what was not measured."""

    phase: str
    loss: float
    auc: float
    val_loss: float
    val_auc: float
    learning_rate: float


def epoch(row: Mapping[str, str]) -> Epoch:
    """Returns a row of `history.csv` as numbers; nan for what is not one or missing."""
    values = {}
    for name in ("loss", "auc", "val_loss", "val_auc", "learning_rate"):
        values[name] = math.nan
        with suppress(ValueError):
            values[name] = float(row.get(name) or math.nan)
    return Epoch(phase=str(row.get("phase") or ""), **values)
