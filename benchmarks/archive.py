"""Kills the scoring of an archive at random and shows that nothing is lost or doubled.

    python -m benchmarks.archive DATA_DIR [--films 5000] [--kills 20] [--seed 1]

Films of `DATA_DIR`, a folder with JPEG files, are scored once undisturbed. Then the
same command is started again and again on another table and killed (SIGKILL, with its
decoders) at a random moment, and at last runs to its end. Prints one JSON document;
exit code 1 if a film is missing, there twice, or has another score.

    python -m benchmarks.archive DATA_DIR --dicom 1000

times DICOM films of 2,000 by 2,000 pixels instead, which are made of them.
"""

import argparse
import csv
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cxr.config import ROOT

sys.path.insert(0, str(ROOT / "tests"))

from synthetic_films import as_dicom  # noqa: E402

LARGE_EDGE = 2000
TOLERANCE = 1e-6


def main() -> int:
    """Makes films, scores them, prints; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--films", type=int, default=5000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dicom", type=int)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "films"
        folder.mkdir()
        if options.dicom:
            answer = timed(options.data, folder, options.dicom)
        else:
            make_films(options.data, folder, options.films)
            answer = killed(folder, options.films, options.kills, options.seed)
    sys.stdout.write(json.dumps(answer, indent=2) + "\n")
    return int(not answer["good"])


def timed(data: Path, folder: Path, count: int) -> dict[str, Any]:
    """Returns how long so many large DICOM films take, the whole process."""
    sources = sorted(data.rglob("*.jp*g"))
    for number in range(count):
        source = sources[number * len(sources) // count]
        with Image.open(source) as picture:
            large = picture.convert("L").resize((LARGE_EDGE, LARGE_EDGE))
        content = as_dicom(np.asarray(large, np.float32))
        (folder / f"{number:05}.dcm").write_bytes(content)
    started = time.perf_counter()
    output = folder.with_name("scores.csv")
    start(folder, output).wait()
    seconds = time.perf_counter() - started
    rows = table(output)
    return {
        "films": count,
        "rows": len(rows),
        "scored": sum(row["status"] == "scored" for row in rows),
        "seconds": seconds,
        "load": os.getloadavg(),
        "good": len(rows) == count,
    }


def killed(folder: Path, count: int, kills: int, seed: int) -> dict[str, Any]:
    """Returns how the table of a scoring that was killed differs from a whole one."""
    rng = random.Random(seed)
    whole, output = folder.with_name("whole.csv"), folder.with_name("scores.csv")
    started = time.perf_counter()
    start(folder, whole).wait()
    seconds = time.perf_counter() - started
    done = []
    for _ in range(kills):
        running = start(folder, output)
        try:
            running.wait(rng.uniform(0.3, 1.5) * (seconds / kills + 4))
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)
            running.wait()
        done.append(lines(output.with_name(output.name + ".journal")))
    last = start(folder, output).wait()
    expected, rows = table(whole), table(output)
    names = [row["path"] for row in rows]
    difference = max(
        (
            abs(float(a["probability"] or 0) - float(b["probability"] or 0))
            for a, b in zip(rows, expected, strict=False)
        ),
        default=1.0,
    )
    answer = {
        "films": count,
        "undisturbed_s": seconds,
        "kills": kills,
        "lines_after_each_kill": done,
        "exit_code_at_the_end": last,
        "missing": count - len(set(names)),
        "twice": len(names) - len(set(names)),
        "refused": sum(row["status"] == "refused" for row in rows),
        "same_order_and_answers": [(r["path"], r["answer"]) for r in rows]
        == [(r["path"], r["answer"]) for r in expected],
        "largest_difference": difference,
    }
    sound = not answer["missing"] and not answer["twice"]
    answer["good"] = sound and bool(answer["same_order_and_answers"])
    answer["good"] = answer["good"] and difference <= TOLERANCE
    return answer


def make_films(data: Path, folder: Path, count: int) -> None:
    """Copies so many films and puts, among a hundred, a file that is none."""
    sources = sorted(data.rglob("*.jp*g"))
    for number in range(count):
        content = sources[number * len(sources) // count].read_bytes()
        path = folder / f"{number:06}.jpg"
        path.write_bytes(content if number % 100 else b"no film")


def start(folder: Path, output: Path) -> subprocess.Popen[bytes]:
    """Starts the scoring in a process group of its own."""
    command = [sys.executable, "-m", "cxr", "score"]
    return subprocess.Popen(
        [*command, "--input", str(folder), "--output", str(output)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def lines(path: Path) -> int:
    """Returns the whole lines of a file, 0 without it."""
    return path.read_bytes().count(b"\n") if path.exists() else 0


def table(path: Path) -> list[dict[str, str]]:
    """Returns the rows of a table."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


if __name__ == "__main__":
    sys.exit(main())
