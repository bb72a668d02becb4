"""How fast many films are read, beside an older version and beside the bare runtime.

    python -m benchmarks.batches DATA_DIR [--before TREE] [--films 624] [--rounds 3]

In each round, in one run on one machine: `python -m cxr classify` and `evaluate` on the
same films, by this version and by the one in `TREE` (a checkout of it), each as a
process of its own, in turn; and the bare networks, single films in as many streams as
there are processors, without decoding or anything else. Prints one JSON document: whole
processes in seconds, films a second from the first reading to the last, and the median
of the ratios of each round. `DATA_DIR` holds films in NORMAL and PNEUMONIA.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from cxr.config import ROOT, settings
from cxr.films.film import read_film
from cxr.models import cards, inference, lungs, registry
from cxr.models.compiled import processors
from cxr.models.runtime import openvino

CLASSES = ("NORMAL", "PNEUMONIA")


def main() -> None:
    """Measures everything and prints it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--before", type=Path)
    parser.add_argument("--films", type=int, default=624)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    trees = {"now": ROOT}
    if options.before:
        trees["before"] = options.before.resolve()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "films"
        count = some_films(options.data, folder, options.films)
        rounds = [measured(trees, folder, count) for _ in range(options.rounds)]
    answer = {
        "films": count,
        "processors": processors(),
        "load": os.getloadavg(),
        "median": {k: statistics.median(r[k] for r in rounds) for k in rounds[0]},
        "ratios": ratios(rounds),
        "rounds": rounds,
    }
    sys.stdout.write(json.dumps(answer, indent=2) + "\n")


def some_films(source: Path, folder: Path, most: int) -> int:
    """Copies films of both classes, evenly drawn, and returns how many there are."""
    films = [path for name in CLASSES for path in sorted((source / name).iterdir())]
    chosen = [films[i * len(films) // most] for i in range(min(most, len(films)))]
    for path in chosen:
        target = folder / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    return len(chosen)


def measured(trees: dict[str, Path], folder: Path, count: int) -> dict[str, float]:
    """Returns what one round of all processes took."""
    figures = bare(sorted(folder.glob("*/*"))[:: max(1, count // 64)])
    for name, tree in trees.items():
        seconds, between = classified(tree, folder)
        figures[f"classify_{name}_s"] = seconds
        figures[f"classify_{name}_films_per_s"] = (count - 1) / between
        command = ["evaluate", "--data", str(folder), "--json"]
        figures[f"evaluate_{name}_s"] = process(tree, command)
    return figures


def ratios(rounds: list[dict[str, float]]) -> dict[str, float]:
    """Returns the medians of what each round says of one version and the other."""
    both = "bare_both_films_per_s"
    pairs = {"classify_rate_over_bare": ("classify_now_films_per_s", both)}
    if "classify_before_s" in rounds[0]:
        pairs |= {
            "classify_rate": (
                "classify_now_films_per_s",
                "classify_before_films_per_s",
            ),
            "classify_process": ("classify_before_s", "classify_now_s"),
            "evaluate_process": ("evaluate_before_s", "evaluate_now_s"),
        }
    return {
        name: statistics.median(r[over] / r[under] for r in rounds)
        for name, (over, under) in pairs.items()
    }


def classified(tree: Path, folder: Path) -> tuple[float, float]:
    """Returns seconds of the whole process and from its first line to its last."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "cxr", "classify", str(folder), "--json"]
    with subprocess.Popen(command, cwd=tree, stdout=subprocess.PIPE) as running:
        times = [time.perf_counter() for _ in running.stdout or ()]
    return time.perf_counter() - started, times[-1] - times[0]


def process(tree: Path, arguments: list[str]) -> float:
    """Returns the seconds of one command."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "cxr", *arguments]
    subprocess.run(command, cwd=tree, capture_output=True, check=False)
    return time.perf_counter() - started


def bare(paths: list[Path]) -> dict[str, float]:
    """Returns films a second of the networks alone, on films that are prepared."""
    models_dir = settings().models_dir
    model, network = inference.load(models_dir), lungs.load(models_dir)
    films = [read_film(path.read_bytes()) for path in paths]
    seconds = {
        "bare_model": streamed(
            registry.folder_of(models_dir, model.card.model_id),
            np.stack([model.input(film) for film in films]),
        ),
        "bare_lungs": streamed(
            models_dir / lungs.FOLDER,
            np.stack([network.prepare(film.pixels) for film in films]),
        ),
    }
    seconds["bare_both"] = sum(seconds.values())
    return {f"{name}_films_per_s": 1 / value for name, value in seconds.items()}


def streamed(folder: Path, inputs: np.ndarray, repeats: int = 3) -> float:
    """Returns seconds a film of a network in one stream on each processor."""
    core = openvino.Core()
    graph = core.read_model(folder / cards.NETWORK)
    graph.reshape([1, *inputs.shape[1:]])
    config: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": "f32",
        "NUM_STREAMS": processors(),
        "INFERENCE_NUM_THREADS": processors(),
    }
    queue = openvino.AsyncInferQueue(
        core.compile_model(graph, "CPU", config), processors()
    )
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        for film in inputs:
            queue.start_async(film[np.newaxis], share_inputs=False)
        queue.wait_all()
        seconds.append((time.perf_counter() - started) / len(inputs))
    return min(seconds)


if __name__ == "__main__":
    main()
