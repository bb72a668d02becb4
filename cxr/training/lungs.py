"""The training of the lung network: films with drawn lungs in, `models/lungs` out.

A small U-Net (Ronneberger et al. 2015, arXiv 1505.04597) on the film as every network
sees it, reduced to 128 pixels. It learns from turned, stretched, lightened and whitened
films, because it has to find lungs of films unlike those that it learned from. Once it
stands, the gate (`gate`) is fitted to its features.
"""

import json
import logging
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from cxr import disk, documents
from cxr.datasets.splits import SPLIT_SEED
from cxr.errors import ModelError
from cxr.evaluation.estimates import Estimate
from cxr.films import preparation
from cxr.models import cards, novelty, registry
from cxr.models.lungs import (
    FOLDER,
    GATE,
    OUTPUTS,
    SIZE,
    LungCard,
    LungNetwork,
    write_card,
)
from cxr.models.runtime import openvino
from cxr.training import frozen, gate, outlined
from cxr.training.export import golden_films
from cxr.training.outlined import DrawnFilms, OutlinedFilms

logger = logging.getLogger(__name__)

SOURCE = (
    "Chest X-Ray Images (Pneumonia), Kermany et al., Mendeley Data, "
    "doi 10.17632/rscbjbr9sj, CC BY 4.0; lungs drawn by V7 Labs, CC BY 4.0"
)
FILTERS = (16, 32, 64, 96, 128)
PEAK_RATE = 2e-3
CALM = 0.7  # of the epochs; those that follow change films half as much
DRAWS = 2000  # of the bootstrap
LEAST_AGREEMENT = 0.995  # Dice between the trained and the exported network


def train(
    source: Path,
    masks: Path,
    run_dir: Path,
    models_dir: Path,
    *,
    elsewhere: Path | None = None,
    epochs: int = 32,
    seed: int = 1,
) -> LungCard:
    """Trains the lung network and its gate, tests both on patients that they have not
    seen, and installs them.

    A training that was cut off goes on from its last whole epoch; one that had ended
    only fits the gate.

    Args:
        source: the data folder or manifest of the films.
        masks: folder of PNG files named as the films; bright is lung.
        run_dir: where the training keeps its state; created if it is new.
        models_dir: the registry; the network goes into its folder `lungs`.
        elsewhere: upright frontal films of other patients and places, for the gate;
            None for none.
        epochs: how many, at least 3.
        seed: of the first weights, the order and the changes of the films.

    Raises:
        DatasetError: the films or their lungs can't be used.
        CxrError: the disk is full (code `disk-full`).
    """
    parts = outlined.read_outlined(source, masks)
    run_dir.mkdir(parents=True, exist_ok=True)
    with disk.writing(run_dir):
        network = _fit(parts, run_dir, epochs=epochs, seed=seed)
        places = gate.read_places(source, elsewhere)
        settings: dict[str, Any] = {
            "epochs": epochs,
            "seed": seed,
            "split_seed": SPLIT_SEED,
            "peak_rate": PEAK_RATE,
            "batch_size": outlined.BATCH,
        }
        return _install(network, parts, places, run_dir, models_dir, settings)


def _fit(
    parts: dict[str, OutlinedFilms], run_dir: Path, *, epochs: int, seed: int
) -> keras.Model:
    """Returns the network with the weights of its best epoch on validation films."""
    keras.utils.set_random_seed(seed)
    network = build()
    best, ended = run_dir / "best.weights.h5", run_dir / "ended.json"
    if ended.is_file():
        network.load_weights(best)
        return network
    films = DrawnFilms(parts["train"], seed=seed, calm_from=round(CALM * epochs))
    steps = len(films)
    rate = keras.optimizers.schedules.CosineDecay(
        PEAK_RATE / 10,
        max(1, (epochs - 2) * steps),
        warmup_target=PEAK_RATE,
        warmup_steps=2 * steps,
        alpha=0.01,
    )
    optimizer = keras.optimizers.AdamW(
        rate, weight_decay=1e-4, use_ema=True, ema_momentum=0.99
    )
    network.compile(optimizer, loss=loss)
    network.fit(
        films,
        epochs=epochs,
        verbose=0,
        callbacks=[
            keras.callbacks.LambdaCallback(on_epoch_begin=lambda e, _: films.begin(e)),
            # The state first: what follows puts the averaged weights into the network.
            keras.callbacks.BackupAndRestore(run_dir / "state"),
            keras.callbacks.SwapEMAWeights(swap_on_epoch=True),
            _KeepBest(parts["validation"], best),
        ],
    )
    network.load_weights(best)
    documents.replace(ended, {"epochs": epochs, "seed": seed})
    return network


class _KeepBest(keras.callbacks.Callback):
    """Keeps the weights of the epoch with the highest Dice on validation films."""

    def __init__(self, part: OutlinedFilms, path: Path) -> None:
        super().__init__()
        self._part = part
        self._path = path

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        score = float(dice(self._part.masks > 0, called(self.model, self._part)).mean())
        logger.info("epoch %d: loss %.4f, Dice %.4f", epoch + 1, logs["loss"], score)
        note = self._path.with_suffix(".json")
        kept = json.loads(note.read_text()) if note.is_file() else {"dice": 0.0}
        if score > kept["dice"]:
            self.model.save_weights(self._path)
            documents.replace(note, {"dice": score, "epoch": epoch + 1})


def called(network: keras.Model, part: OutlinedFilms) -> NDArray[np.bool_]:
    """Returns what a network calls lung on the films of a split, `(n, 128, 128)`."""
    films = part.films[..., np.newaxis].astype(np.float32)
    return network.predict(films, batch_size=32, verbose=0)[..., 0] > 0


def _install(
    network: keras.Model,
    parts: dict[str, OutlinedFilms],
    places: gate.Parts,
    run_dir: Path,
    models_dir: Path,
    settings: dict[str, Any],
) -> LungCard:
    draft = run_dir / "lungs"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    openvino.save_model(_exported(network), draft / cards.NETWORK)
    features = _features(draft / cards.NETWORK)
    fitted, record = gate.fit(places, features, seed=settings["seed"])
    (draft / GATE).write_bytes(fitted.to_bytes())
    scores = {name: _scored(network, parts[name]) for name in ("validation", "test")}
    card = LungCard(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        size=SIZE,
        preparation=preparation.PREPARATION,
        source=SOURCE,
        films={name: len(part.names) for name, part in parts.items()},
        patients={name: len(set(part.patients)) for name, part in parts.items()},
        dice=scores,
        parameters=network.count_params(),
        training=settings,
        gate=record,
        files=registry.file_records(draft),
    )
    card = _with_golden(draft, card, network, parts["test"])
    with disk.draft_folder(models_dir) as whole:
        shutil.copytree(draft, whole / FOLDER)
        target = models_dir / FOLDER
        if target.exists():
            target.rename(whole / "before")  # goes with the draft
        (whole / FOLDER).rename(target)
    return card


def _with_golden(
    draft: Path, card: LungCard, network: keras.Model, part: OutlinedFilms
) -> LungCard:
    """Returns the card with the golden outputs, once the export was found faithful."""
    served = LungNetwork(
        (draft / cards.NETWORK).read_bytes(),
        (draft / cards.NETWORK_WEIGHTS).read_bytes(),
        card,
        novelty.read((draft / GATE).read_bytes()),
    )
    _require_parity(network, served, part)
    films = golden_films(SIZE)
    lungs = served(films[..., np.newaxis].astype(np.float32)).share
    np.savez_compressed(draft / cards.GOLDEN, films=films, lungs=lungs)
    card = replace(card, files=registry.file_records(draft))
    write_card(draft, card)
    return card


def _exported(network: keras.Model) -> Any:
    """Returns the graph that serves: the lungs, and features of every level.

    Features are the mean and the largest value of each channel, and of the deepest
    level the means of its quarters, which tell up from down and left from right.
    """
    names = [f"down{level}b_relu" for level in range(len(FILTERS))]
    parts = []
    for name in (*names, "up0b_relu"):
        x = network.get_layer(name).output
        parts += [layers.GlobalAveragePooling2D()(x), layers.GlobalMaxPooling2D()(x)]
    deepest = network.get_layer(names[-1]).output
    half = deepest.shape[1] // 2
    parts.append(layers.Flatten()(layers.AveragePooling2D(half)(deepest)))
    pooled = layers.Concatenate()(parts)
    graph = frozen.convert(keras.Model(network.input, [network.output, pooled]))
    for output, name in zip(graph.outputs, OUTPUTS, strict=True):
        output.tensor.set_names({name})
    return graph


def _features(path: Path) -> gate.Features:
    """Returns a function from pictures to features, as the saved network gives them."""
    run = openvino.Core().compile_model(
        path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )

    def features(pictures: NDArray[np.float32]) -> NDArray[np.float32]:
        inputs = pictures[..., np.newaxis]
        parts = [
            run(inputs[start : start + outlined.BATCH])["pooled"].copy()
            for start in range(0, len(inputs), outlined.BATCH)
        ]
        return np.concatenate(parts)

    return features


def _require_parity(
    network: keras.Model, served: LungNetwork, part: OutlinedFilms
) -> None:
    films = part.films[:64, ..., np.newaxis].astype(np.float32)
    ours, theirs = called(network, part)[:64], served(films).share > 0.5
    agreement = float(dice(ours, theirs).mean())
    if not agreement >= LEAST_AGREEMENT:
        raise ModelError(
            f"The exported lung network agrees with the trained one to "
            f"{agreement:.4f}; at least {LEAST_AGREEMENT} is asked for. Not installed.",
            code="parity",
        )


def _scored(network: keras.Model, part: OutlinedFilms) -> Estimate:
    """Returns the mean Dice of a split; its interval resamples patients."""
    scores = dice(part.masks > 0, called(network, part))
    codes = np.unique(part.patients, return_inverse=True)[1]
    sums = np.bincount(codes, scores)
    counts = np.bincount(codes)
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(sums), size=(DRAWS, len(sums)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return Estimate(value=float(scores.mean()), low=float(low), high=float(high))


def build() -> keras.Model:
    """Returns an untrained network: film `(n, 128, 128, 1)` in `[0, 255]` to `lungs`,
    the logit of lung at each place, shape `(n, 128, 128, 1)`.
    """
    image = keras.Input((SIZE, SIZE, 1), name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1, name="scale")(image)
    across = []
    for level, filters in enumerate(FILTERS):
        x = _convolved(x, filters, f"down{level}")
        if level < len(FILTERS) - 1:
            across.append(x)
            x = layers.MaxPooling2D(name=f"down{level}_pool")(x)
    for level, filters in reversed(list(enumerate(FILTERS[:-1]))):
        x = layers.UpSampling2D(interpolation="bilinear", name=f"up{level}_rise")(x)
        x = layers.Concatenate(name=f"up{level}_across")([x, across[level]])
        x = _convolved(x, filters, f"up{level}")
    lungs = layers.Conv2D(1, 1, name="lungs", dtype="float32")(x)
    return keras.Model(image, lungs, name="lungs")


def _convolved(x: keras.KerasTensor, filters: int, name: str) -> keras.KerasTensor:
    for step in "ab":
        x = layers.Conv2D(
            filters,
            3,
            padding="same",
            use_bias=False,
            kernel_initializer="he_normal",
            name=f"{name}{step}_conv",
        )(x)
        x = layers.BatchNormalization(momentum=0.97, name=f"{name}{step}_bn")(x)
        x = layers.ReLU(name=f"{name}{step}_relu")(x)
    return x


def loss(drawn: keras.KerasTensor, logits: keras.KerasTensor) -> keras.KerasTensor:
    """Returns cross-entropy plus one minus the soft Dice coefficient of each film."""
    drawn = keras.ops.cast(drawn, "float32")
    share = keras.ops.sigmoid(logits)
    axes = (1, 2, 3)
    both = keras.ops.sum(share * drawn, axes)
    either = keras.ops.sum(share, axes) + keras.ops.sum(drawn, axes)
    entropy = keras.ops.binary_crossentropy(drawn, logits, from_logits=True)
    return keras.ops.mean(entropy, axes) + 1 - (2 * both + 1) / (either + 1)


def dice(drawn: NDArray[np.bool_], called: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Returns the Dice coefficient (Dice 1945) of each film, in `[0, 1]`.

    Args:
        drawn: shape `(n, h, w)`, what a person drew.
        called: same shape, what the network called lung.
    """
    both = (drawn & called).sum(axis=(1, 2))
    return 2 * both / np.maximum(drawn.sum(axis=(1, 2)) + called.sum(axis=(1, 2)), 1)
