"""What the tests of the command line share: films, strict JSON, another process."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from synthetic_films import as_png, chest_phantom

from cxr.config import ROOT

CLASSIFY_KEYS = [
    "file",
    "status",
    "code",
    "reason",
    "eligible",
    "probability",
    "answer",
    "threshold",
    "model_id",
    "model_sha256",
    "warnings",
    "seconds",
]
METRICS = {
    "auc",
    "average_precision",
    "sensitivity",
    "specificity",
    "accuracy",
    "precision",
    "npv",
    "f1",
    "brier",
    "ece",
}


def film_of(brightness: float, seed: int = 0) -> bytes:
    film = chest_phantom(160, 160, seed)
    return as_png(np.clip(film + np.float32(brightness - film.mean()), 0, 255))


def strict(text: str) -> Any:
    """Reads JSON and refuses what only Python takes for JSON."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def run_apart(*arguments: object, models_dir: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cxr", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "CXR_MODELS_DIR": str(models_dir)},
        capture_output=True,
        text=True,
        timeout=60,
    )
