"""Kills trainings at many instants and shows that each goes on as if nothing was.

    python -m benchmarks.kills [--kills 20] [--seed 1]

A small training (made-up films, the baseline CNN) is run once undisturbed. Then each of
`--kills` runs is killed (SIGKILL) once, in turn at a random moment, while a checkpoint
is being written, while the best weights are, and while the model is being registered,
and resumed. Prints one JSON document: how many epochs each lost, and how far its
validation AUC is from the undisturbed one.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np

from cxr.config import ROOT

sys.path.insert(0, str(ROOT / "tests"))

from synthetic_films import as_png, chest_phantom  # noqa: E402

from cxr import documents  # noqa: E402
from cxr.datasets import folders  # noqa: E402
from cxr.jobs import endings, queues  # noqa: E402
from cxr.models import registry  # noqa: E402
from cxr.runs import history  # noqa: E402
from cxr.runs.config import config_for  # noqa: E402

FILMS = 120
CONFIG = {"architecture": "baseline-cnn", "epochs": 5, "batch_size": 8, "warm_up": 5}


def main() -> int:
    """Runs, kills, resumes, prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        make_films(place / "films")
        whole = Trial(place, "whole")
        started = time.time()
        whole.run_to_the_end()
        seconds = time.time() - started
        expected, loss = whole.validation_auc(), whole.validation_loss()
        trials = [
            killed_and_resumed(place, number, rng, seconds)
            for number in range(options.kills)
        ]
    differences = [abs(trial["validation_auc"] - expected) for trial in trials]
    answer = {
        "undisturbed": {
            "seconds": round(seconds, 1),
            "validation_auc": expected,
            "validation_loss": loss,
        },
        "kills": len(trials),
        "resumed": sum(trial["resumed"] for trial in trials),
        "most_epochs_lost": max(trial["epochs_lost"] for trial in trials),
        "largest_auc_difference": max(differences),
        "largest_loss_difference": max(
            abs(trial["validation_loss"] - loss) for trial in trials
        ),
        "models_registered_twice": sum(trial["models"] != 1 for trial in trials),
        "trials": trials,
    }
    sys.stdout.write(json.dumps(answer, indent=2) + "\n")
    good = answer["most_epochs_lost"] <= 1 and max(differences) <= 0.005
    return 0 if good and not answer["models_registered_twice"] else 1


class Trial:
    """One training in folders of its own, as a process that can be killed."""

    def __init__(self, place: Path, name: str) -> None:
        """Writes its settings; films and prepared films are shared."""
        self.models = place / f"{name}-models"
        self.folder = place / f"{name}-run"
        self.folder.mkdir()
        config = config_for("standard", data=str(place / "films"), **CONFIG)
        documents.replace(self.folder / queues.CONFIG, asdict(config))
        self.environment = os.environ | {
            "CXR_MODELS_DIR": str(self.models),
            "CXR_CACHE_DIR": str(place / "cache"),
            "TF_CPP_MIN_LOG_LEVEL": "2",
        }

    def start(self) -> subprocess.Popen[bytes]:
        """Starts the training, or goes on with it."""
        command = [sys.executable, "-m", "cxr", "train", "--resume"]
        with (self.folder / endings.LOG).open("ab") as log:
            return subprocess.Popen(
                [*command, "--run", str(self.folder)],
                cwd=ROOT,
                env=self.environment,
                stdout=log,
                stderr=log,
            )

    def run_to_the_end(self) -> None:
        """Raises RuntimeError with the end of its log if it fails."""
        if self.start().wait():
            log = (self.folder / endings.LOG).read_text(errors="replace")
            raise RuntimeError(log[-2000:])

    def validation_auc(self) -> float:
        """Returns the AUC on the card of the only model it has registered."""
        return registry.cards(self.models)[0].metrics["validation"].auc.value

    def validation_loss(self) -> float:
        """Returns the loss of its best epoch."""
        return min(float(row["val_loss"]) for row in history.read_history(self.folder))

    def epochs(self) -> int:
        """Returns the epochs in its learning curves."""
        return len(history.read_history(self.folder))


def killed_and_resumed(
    place: Path, number: int, rng: random.Random, seconds: float
) -> dict[str, object]:
    """Returns what became of one training that was killed once."""
    trial = Trial(place, f"kill-{number:02d}")
    kind = ("random", "checkpoint", "best weights", "registration")[number % 4]
    running = trial.start()
    begun = time.time()
    wait_until(running, instant(trial, kind, rng, seconds))
    was_alive = running.poll() is None
    running.send_signal(signal.SIGKILL)
    running.wait()
    told = trial.epochs()
    killed_after = time.time() - begun
    whole = len(list((trial.folder / "checkpoints").glob("epoch-*")))
    newest = max(
        (int(p.name[-4:]) for p in trial.folder.glob("checkpoints/epoch-*")), default=0
    )
    trial.run_to_the_end()
    return {
        "kind": kind,
        "killed_after_seconds": round(killed_after, 2),
        "was_alive": was_alive,
        "epochs_told": told,
        "generations": whole,
        "epochs_lost": max(0, told - newest),
        "resumed": trial.epochs() >= told,
        "models": len(registry.cards(trial.models)),
        "validation_auc": trial.validation_auc(),
        "validation_loss": trial.validation_loss(),
    }


def instant(
    trial: Trial, kind: str, rng: random.Random, seconds: float
) -> Callable[[], bool]:
    """Returns what is true from the moment of the kill on."""
    checkpoints = trial.folder / "checkpoints"
    after = rng.randint(1, 4)
    if kind == "checkpoint":
        return lambda: trial.epochs() >= after and any(checkpoints.glob(".draft-*"))
    if kind == "best weights":
        return lambda: (checkpoints / "draft.npz").exists()
    if kind == "registration":
        return lambda: any(trial.models.glob(".draft-*"))
    due = time.time() + rng.uniform(0.05, 0.95) * seconds
    return lambda: time.time() >= due


def wait_until(process: subprocess.Popen[bytes], due: Callable[[], bool]) -> None:
    """Waits for the instant, or for the end of a process that comes first."""
    while process.poll() is None and not due():
        time.sleep(0.0005)


def make_films(folder: Path) -> None:
    """Writes made-up films, a third of them normal, hard enough to be learnt slowly."""
    rng = np.random.default_rng(3)
    for number in range(FILMS):
        label = int(number % 3 > 0)
        strength = rng.uniform(0, 0.5) if label else rng.uniform(0, 0.3)
        path = folder / folders.CLASSES[label] / f"{number:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(as_png(chest_phantom(230, 230, number, strength)))


if __name__ == "__main__":
    sys.exit(main())
