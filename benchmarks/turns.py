"""How much longer one reader's film takes while another sends slow ones.

    python -m benchmarks.turns FILM [--rounds 20] [--json]

Two readers share the decoders and the networks as sessions of the app do. The one reads
`FILM`, again and again, first alone and then while the other sends large noisy PNG
files, each of which takes a decoder seconds. Exit code 1 if the slowest film beside
them took more than 2 s longer than the median one alone.
"""

import argparse
import io
import json
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from cxr.config import settings
from cxr.films.decoding import DecoderPool
from cxr.governance import trust
from cxr.models.inference import Model
from cxr.models.lungs import LungNetwork
from cxr.reading import scoring

EDGE = 5000  # of a slow film: 25 million pixels
MOST_LONGER = 2.0  # seconds


def main() -> int:
    """Measures both and prints them; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("film", type=Path)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    where = settings()
    model = trust.load(where.models_dir, where.records_dir, threads=where.threads)
    lungs = trust.load_lungs(where.models_dir, where.records_dir, threads=where.threads)
    film = options.film.read_bytes()
    with DecoderPool(max(2, where.decoder_workers), shared=True) as pool:
        figures = measure(pool, model, lungs, film, options.rounds)
    print(json.dumps(figures) if options.json else as_lines(figures))
    return int(figures["longer_s"] > MOST_LONGER)


def measure(
    pool: DecoderPool, model: Model, lungs: LungNetwork, film: bytes, rounds: int
) -> dict[str, float]:
    """Returns the seconds alone and beside slow films, and how much longer at most."""

    def seconds() -> list[float]:
        taken = []
        for _ in range(rounds):
            start = time.perf_counter()
            [reading] = scoring.score(model, pool, [film], lungs=lungs, most_at_once=1)
            if reading.eligible is not True:
                raise RuntimeError(f"expected a film that is read, received {reading}")
            taken.append(time.perf_counter() - start)
        return taken

    seconds()  # Starts the decoders.
    alone = seconds()
    over, slow_read, slow = threading.Event(), [], slow_film()

    def slow_films() -> Iterator[bytes]:
        while not over.is_set():
            yield slow

    def slow_reader() -> None:
        for _ in scoring.score(model, pool, slow_films(), lungs=lungs):
            slow_read.append(time.perf_counter())

    other = threading.Thread(target=slow_reader)
    other.start()
    time.sleep(1)
    beside = seconds()
    over.set()
    other.join()
    return {
        "alone_median_s": statistics.median(alone),
        "beside_median_s": statistics.median(beside),
        "beside_slowest_s": max(beside),
        "longer_s": max(beside) - statistics.median(alone),
        "slow_films_read": len(slow_read),
    }


def slow_film() -> bytes:
    """Returns a film of many pixels that no compression makes small."""
    noise = np.random.default_rng(0).integers(0, 65536, (EDGE, EDGE), np.uint16)
    stream = io.BytesIO()
    Image.fromarray(noise >> 3).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def as_lines(figures: dict[str, float]) -> str:
    """Returns a line for each figure."""
    return "\n".join(f"{name:20} {value:10.3f}" for name, value in figures.items())


if __name__ == "__main__":
    sys.exit(main())
