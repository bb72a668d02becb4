"""How fast films are read, beside the conventional way, in one run on one machine.

    python -m benchmarks.serving FILM [--json]

On one frontal chest film, a PNG or JPEG: Keras' `predict` with gradient-tape Grad-CAM,
the bare OpenVINO call, and ours from the file's bytes to probability and heat map. Then
the time and memory of `python -m cxr classify` to its first score, and a batch of 500
films.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from cxr.config import ROOT, settings
from cxr.errors import ImageError
from cxr.films.decoding import DecoderPool
from cxr.films.film import read_film
from cxr.models import (
    cards,
    heatmap,
    inference,
    lungs,
    registry,
)
from cxr.reading import scoring

BATCH = 500


def main() -> None:
    """Measures everything and prints it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("film", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    film = options.film.read_bytes()
    # Before anything else loads: a child started from a large process counts its pages.
    figures = first_score(film)
    model = inference.load(settings().models_dir)
    network = lungs.load(settings().models_dir)
    figures |= reading(model, network, film)
    figures |= batch(model, network, film)
    figures |= conventional(model, film)
    ratio = figures["conventional_ms"] / figures["ours_ms"]
    figures["conventional_over_ours"] = ratio
    figures["ours_over_bare"] = figures["ours_ms"] / figures["bare_openvino_ms"]
    if options.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:32} {value:10.2f}")


def first_score(film: bytes) -> dict[str, float]:
    """Returns seconds and peak memory of the command line until its first score."""
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.jpg"
        path.write_bytes(film)
        command = [sys.executable, "-m", "cxr", "classify", str(path), "--json"]
        for _ in range(5):
            started = time.perf_counter()
            with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
                json.loads(process.stdout.readline())
                seconds.append(time.perf_counter() - started)
    # The largest of all children: each classify and its decoder.
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return {"first_score_s": statistics.median(seconds), "classify_peak_mb": peak}


def reading(
    model: inference.Model, network: lungs.LungNetwork, film: bytes
) -> dict[str, float]:
    """Returns milliseconds for the bare call, and from bytes to heat map."""
    pixels = read_film(film).pixels
    inputs = model.network.prepare(pixels)[np.newaxis]

    def ours() -> None:
        read = scoring.read_one(model, pool, film, lungs=network)
        if isinstance(read.result, ImageError):
            raise read.result
        heatmap.heatmap(
            read.result.activation_map,
            scale=model.card.heatmap_scale,
            height=read.height,
            width=read.width,
        )

    with DecoderPool(1) as pool:
        return {
            "bare_openvino_ms": timed(lambda: model.network(inputs)),
            "ours_ms": timed(ours),
        }


def batch(
    model: inference.Model, network: lungs.LungNetwork, film: bytes
) -> dict[str, float]:
    """Returns films a second over a batch, from bytes to probabilities."""
    with DecoderPool(settings().decoder_workers) as pool:
        list(scoring.score(model, pool, [film] * 40, lungs=network))
        started = time.perf_counter()
        readings = list(scoring.score(model, pool, [film] * BATCH, lungs=network))
        seconds = time.perf_counter() - started
    if len(readings) != BATCH:
        raise RuntimeError(f"expected {BATCH} readings, received {len(readings)}")
    return {"batch_films_per_s": BATCH / seconds}


def conventional(model: inference.Model, film: bytes) -> dict[str, float]:
    """Returns milliseconds for Keras' `predict` and gradient-tape Grad-CAM."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf

    from cxr.training import networks

    network = networks.build(model.card.architecture, backbone_weights="none")
    folder = registry.folder_of(settings().models_dir, model.card.model_id)
    network.load_weights(folder / cards.KERAS_WEIGHTS)
    pixels = read_film(film).pixels

    def keras_way() -> None:
        inputs = model.network.prepare(pixels)[np.newaxis]
        network.predict(inputs, verbose=0)
        with tf.GradientTape() as tape:
            outputs = network(inputs)
        gradient = tape.gradient(outputs["logit"], outputs["feature_map"])
        weights = tf.reduce_mean(gradient, axis=(1, 2), keepdims=True)
        heat = tf.nn.relu(tf.reduce_sum(weights * outputs["feature_map"], axis=-1))
        tf.image.resize(heat[..., tf.newaxis], pixels.shape).numpy()

    return {"conventional_ms": timed(keras_way, repeats=8)}


def timed(call: Callable[[], object], *, repeats: int = 60) -> float:
    """Returns the median duration in milliseconds, after two calls to warm up."""
    call(), call()
    durations = []
    for _ in range(repeats):
        started = time.perf_counter()
        call()
        durations.append(1000 * (time.perf_counter() - started))
    return statistics.median(durations)


if __name__ == "__main__":
    main()
