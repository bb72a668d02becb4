"""How fast training is, beside the conventional way, in one run on one machine.

    python -m benchmarks.training DATA_DIR WEIGHTS [--films 1200] [--json]

On the same films of `DATA_DIR`, with the ImageNet start in the file WEIGHTS:

- the head: conventional Keras `fit` with a frozen EfficientNetB0 that decodes and
  augments every film in every epoch, against our epoch on features computed once;
- fine-tuning: an epoch of the whole network against one of `standard`, both with our
  films and augmentation.

A sample of the films is enough: with more of them the head's epoch only gets cheaper
per film. Computing the features, which our way does once, is printed beside it.
Fine-tuning is timed on a part of the sample: its time per film hardly depends on it.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import cv2
import keras
import numpy as np

from cxr.datasets import folders
from cxr.runs.config import (
    TrainConfig,
    config_for,
)
from cxr.runs.estimate import (
    FEATURES,
    HEAD,
    Clock,
)
from cxr.runs.run_folder import Run
from cxr.training import (
    frozen,
    learning,
    networks,
    train,
)
from cxr.training.batches import (
    AugmentedFilms,
    PreparedSplit,
)

WARM = 2  # steps that build the graph and are not timed
BATCH = 32
FINE_TUNED = 256  # films


def main() -> None:
    """Measures both ways and prints them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--films", type=int, default=1200)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    config = config_for(
        "standard", data=str(options.data_dir), backbone_weights=str(options.weights)
    )
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        splits = sample(config, options.films, place)
        figures = head(config, splits, place) | fine_tuning(config, splits)
    if options.json:
        print(json.dumps(figures))
        return
    for key, value in figures.items():
        print(f"{key:44} {value:.4g}")


def sample(config: TrainConfig, n: int, place: Path) -> dict[str, PreparedSplit]:
    """Returns the splits of about this many films, prepared."""
    films = folders.scan(Path(config.data))
    films = folders.with_hashes(films[:: max(1, len(films) // n)])
    clock, run = Clock(), Run(place / "run")
    fingerprint = folders.fingerprint(films)
    return train.prepare(films, fingerprint, config, run, place / "cache", clock)


def head(
    config: TrainConfig, splits: dict[str, PreparedSplit], place: Path
) -> dict[str, float]:
    """Returns seconds per film and epoch of both ways to train a head."""
    network = networks.build(
        "efficientnet-b0", backbone_weights=config.backbone_weights
    )
    usual = conventional_head(network, splits["train"])
    clock = Clock()
    learning.train_head(network, splits, config, Run(place / "run"), clock)
    ours = clock.per_film()
    return {
        "head_conventional_ms_per_film": 1000 * usual,
        "head_ours_ms_per_film": 1000 * ours[HEAD],
        "head_conventional_over_ours": usual / ours[HEAD],
        "features_once_ms_per_film": 1000 * ours[FEATURES],
    }


def conventional_head(network: keras.Model, split: PreparedSplit) -> float:
    """Returns the seconds per film of an epoch as tutorials have it."""
    for layer in network.layers:
        layer.trainable = layer.name == "logit"
    model = keras.Model(network.input, network.output["logit"])
    model.compile("adam", keras.losses.BinaryCrossentropy(from_logits=True))
    augment = keras.Sequential(
        [
            keras.layers.RandomFlip("horizontal"),
            keras.layers.RandomRotation(0.02),
            keras.layers.RandomZoom(0.1),
        ]
    )

    class Films(keras.utils.PyDataset):
        def __len__(self) -> int:
            return len(split.films) // BATCH

        def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
            chosen = split.films[index * BATCH : (index + 1) * BATCH]
            films = [cv2.imread(str(f.path), cv2.IMREAD_GRAYSCALE) for f in chosen]
            pixels = [cv2.resize(f, (224, 224)).astype(np.float32) for f in films]
            batch = augment(np.stack(pixels)[..., None], training=True)
            return np.asarray(batch), np.array([[f.label] for f in chosen], np.float32)

    return seconds_per_film(model, Films())


def fine_tuning(
    config: TrainConfig, splits: dict[str, PreparedSplit]
) -> dict[str, float]:
    """Returns seconds per film of the whole network and of `standard`'s part."""
    network = networks.build(
        "efficientnet-b0", backbone_weights=config.backbone_weights
    )
    part = splits["train"].part(np.arange(min(FINE_TUNED, len(splits["train"].films))))
    lower, upper = networks.divide(network, config.unfreeze_from)
    learning.compile_model(upper, config)
    features = frozen.FrozenFeatures(lower)
    ours = seconds_per_film(upper, AugmentedFilms(part, config, features))

    network = networks.build(
        "efficientnet-b0", backbone_weights=config.backbone_weights
    )
    whole = keras.Model(network.input, network.output["logit"])
    learning.compile_model(whole, config)
    usual = seconds_per_film(whole, AugmentedFilms(part, config))
    return {
        "whole_network_ms_per_film": 1000 * usual,
        "standard_ms_per_film": 1000 * ours,
        "whole_network_over_standard": usual / ours,
    }


def seconds_per_film(model: keras.Model, batches: keras.utils.PyDataset) -> float:
    """Returns the seconds per film of an epoch of `fit`, without its first steps."""
    times: list[float] = []
    callback = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: times.append(time.perf_counter())
    )
    model.fit(batches, epochs=1, callbacks=[callback], shuffle=False, verbose=0)
    return (times[-1] - times[WARM - 1]) / ((len(times) - WARM) * BATCH)


if __name__ == "__main__":
    main()
