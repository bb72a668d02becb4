"""How long a check of a large data folder takes and how much memory, in one run.

    python -m benchmarks.checking [--films 100000] [--size 128] [--keep DIR] [--json]

Synthetic films are made first, which is not measured: noise of chest-like coarseness
with a smooth outline, each another one, two to a patient, with a few planted copies.
Then `python -m cxr check` runs on them twice; the second run finds nothing changed.
Memory is the peak of the sum over all its processes of what is theirs alone and their
part of what they share (PSS), looked at ten times a second.
"""

import argparse
import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from cxr.config import ROOT

COPIES = 50


def main() -> None:
    """Makes the films, checks them and prints figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--films", type=int, default=100_000)
    parser.add_argument("--size", type=int, default=128, help="edge in pixels")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="films are made here once and kept")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = options.keep or Path(name)
        if not (folder / "films").is_dir():
            make_films(folder / "films", options.films, options.size)
        shutil.rmtree(folder / "check", ignore_errors=True)
        figures = {"films": options.films, "size": options.size}
        for run in ("first", "again"):
            measured = check(folder, options.workers)
            figures |= {f"{run}_{key}": value for key, value in measured.items()}
    if options.json:
        print(json.dumps(figures))
        return
    for key, value in figures.items():
        print(f"{key:32} {value:12.1f}")


def make_films(folder: Path, n: int, size: int) -> None:
    """Writes `n` JPEG films into the two class folders, the last ones as copies."""
    for label in ("NORMAL", "PNEUMONIA"):
        (folder / label).mkdir(parents=True)
    numbers = range(n - COPIES)
    with ProcessPoolExecutor(2) as processes:
        list(
            processes.map(partial(make_film, folder, size=size), numbers, chunksize=500)
        )
    for number in range(COPIES):
        original = path_of(folder, number)
        copy = path_of(folder, n - COPIES + number)
        copy.write_bytes(original.read_bytes())


def path_of(folder: Path, number: int) -> Path:
    """Returns where a film is; three of four films are of pneumonia."""
    label = "NORMAL" if number // 2 % 4 == 0 else "PNEUMONIA"
    kind = "IM-{0:06d}-{1}" if label == "NORMAL" else "person{0}_virus_{1}"
    return folder / label / f"{kind.format(number // 2, number)}.jpeg"


def make_film(folder: Path, number: int, *, size: int) -> None:
    """Writes one film: dark lungs on a bright chest under coarse and fine noise."""
    generator = np.random.default_rng(number)
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    film = 150 - 60 * np.exp(-(((np.abs(x) - 0.45) / 0.3) ** 2) - (y / 0.7) ** 2)
    coarse = Image.fromarray(generator.normal(0, 25, (8, 8)).astype(np.float32))
    film = film + np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC))
    film = film + generator.normal(0, 3, film.shape)
    stream = io.BytesIO()
    pixels = np.clip(film, 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(stream, "JPEG", quality=80)
    path_of(folder, number).write_bytes(stream.getvalue())


def check(folder: Path, workers: int) -> dict[str, float]:
    """Returns seconds, processor time, peak memory and the longest silence of a check.

    Silence is the time between two states of `status.json`, its heartbeat.
    """
    kept = folder / "check"
    command = [sys.executable, "-m", "cxr", "check", str(folder / "films"), "--json"]
    before, started = os.times(), time.perf_counter()
    process = subprocess.Popen(
        [*command, "--folder", str(kept)],
        cwd=ROOT,
        env=os.environ | {"CXR_DECODERS": str(workers)},
        stdout=subprocess.PIPE,
    )
    watch = _Watch(process.pid, kept / "status.json")
    watch.start()
    answer, _ = process.communicate()
    seconds, after = time.perf_counter() - started, os.times()
    watch.join()
    findings = json.loads(answer)
    return {
        "wall_seconds": seconds,
        "cpu_seconds": after.children_user
        + after.children_system
        - before.children_user
        - before.children_system,
        "peak_mb": watch.peak / 1e6,
        "longest_silence_seconds": watch.silence,
        "exact_duplicates": findings["counts"]["exact-duplicate"],
        "near_duplicates": findings["counts"]["near-duplicate"],
        "unreadable": findings["counts"]["unreadable"],
    } | {f"{stage}_seconds": spent for stage, spent in watch.stages.items()}


class _Watch(threading.Thread):
    """Looks at the memory and the heartbeat of a process until it ends."""

    def __init__(self, pid: int, status: Path) -> None:
        super().__init__(daemon=True)
        self._pid, self._status = pid, status
        self.peak, self.silence = 0, 0.0
        self.stages: dict[str, float] = {}

    def run(self) -> None:
        last = time.time()
        while family := _family(self._pid):
            self.peak = max(self.peak, sum(map(_proportional_set, family)))
            updated = self._look()
            if updated > last:
                self.silence, last = max(self.silence, updated - last), updated
            time.sleep(0.1)

    def _look(self) -> float:
        try:
            status = json.loads(self._status.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return 0.0
        if status["stage"] != "done":
            name = status["stage"].split()[0]
            self.stages[name] = self.stages.get(name, 0.0) + 0.1
        return float(status["updated"])


def _family(pid: int) -> list[psutil.Process]:
    """Returns a process that runs and all its descendants, none when it has ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        if process.status() != psutil.STATUS_ZOMBIE:
            return [process, *process.children(recursive=True)]
    return []


def _proportional_set(process: psutil.Process) -> int:
    """Returns the bytes of a process, pages that it shares counted in part; Linux."""
    try:
        return int(process.memory_full_info().pss)
    except (psutil.Error, AttributeError):
        return 0


if __name__ == "__main__":
    main()
