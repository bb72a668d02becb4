"""A tiny registered model for tests, made with OpenVINO alone, and a decoder for it.

Its logit rises with the mean brightness of the film, so tests know what to expect. Its
lung network sees the same two lungs on every film; the gate refuses films that are as
good as white, and calls films unlike that are as good as black.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxr.errors import ImageError
from cxr.evaluation.calibration import PlattScaling
from cxr.evaluation.estimates import Estimate
from cxr.evaluation.summary import evaluate
from cxr.films import preparation
from cxr.films.film import Film, read_film
from cxr.models import cards, lungs, registry
from cxr.models.cards import Card, DataRecord, Parity, Threshold, UncertainBand
from cxr.models.lungs import LungCard
from cxr.models.novelty import KINDS, SOMETHING_ELSE, UNLIKE, Gate, GateRecord
from cxr.models.runtime import openvino
from cxr.models.scores import SCORES, SPLIT

ops = openvino.opset13

BRIGHTNESS_OF_EVEN_ODDS = 110.0
GREY_LEVELS_PER_LOGIT = 12.0


def register_tiny_model(
    models_dir: Path, model_id: str = "tiny-1", **card_changes: object
) -> Card:
    """Returns the card of a new tiny model that is registered and active."""
    folder = models_dir / model_id
    folder.mkdir(parents=True)
    openvino.save_model(_graph(), folder / cards.NETWORK, compress_to_fp16=False)
    _write_tables(folder)
    films = np.stack([np.full((224, 224), v, np.uint8) for v in (60, 110, 160)])
    logits = (films.mean(axis=(1, 2)) - BRIGHTNESS_OF_EVEN_ODDS) / GREY_LEVELS_PER_LOGIT
    np.savez(
        folder / cards.GOLDEN, films=films, probabilities=1 / (1 + np.exp(-logits))
    )
    card = _card(folder, model_id)
    content = card | card_changes
    card = Card(**content)
    registry.write_card(models_dir, card)
    registry.activate(models_dir, model_id)
    if not (models_dir / lungs.FOLDER).is_dir():
        register_tiny_lungs(models_dir)
    return card


def let_continue(models_dir: Path, model_id: str = "tiny-1") -> Card:
    """Gives a tiny model what training needs to go on from it; no network fits it.

    It has learned from two patients, `old-1` and `old-2`.
    """
    folder = models_dir / model_id
    (folder / cards.KERAS_WEIGHTS).write_bytes(b"no weights")
    rows = (folder / SPLIT).read_text().splitlines()
    table = [f"{rows[0]},patient", *(f"{row},{i}" for i, row in enumerate(rows[1:]))]
    table += [f"old{i}.png,{i + 900:064x},train,old-{i}" for i in (1, 2)]
    (folder / SPLIT).write_text("\n".join(table) + "\n")
    card = replace(
        registry.read_card(models_dir, model_id), files=registry.file_records(folder)
    )
    registry.write_card(models_dir, card)
    return card


def register_tiny_lungs(models_dir: Path) -> LungCard:
    """Returns the card of a tiny lung network that is put into a registry."""
    folder = models_dir / lungs.FOLDER
    folder.mkdir(parents=True)
    openvino.save_model(_lung_graph(), folder / cards.NETWORK, compress_to_fp16=False)
    (folder / lungs.GATE).write_bytes(_gate().to_bytes())
    films = np.stack([np.full((lungs.SIZE,) * 2, v, np.uint8) for v in (60, 160)])
    share = 1 / (1 + np.exp(-np.stack([_lung_logits()] * 2)))
    np.savez(folder / cards.GOLDEN, films=films, lungs=share.astype(np.float32))
    certain = Estimate(value=1.0, low=1.0, high=1.0)
    card = LungCard(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        size=lungs.SIZE,
        preparation=preparation.PREPARATION,
        source="made in code",
        films={"test": 1},
        patients={"test": 1},
        dice={"test": certain},
        parameters=0,
        training={},
        gate=GateRecord(
            least_frontal=0.0,
            rule="made up",
            source="none",
            films={},
            false_refusals={"training films": certain},
            unlike={"training films": certain},
            refused={},
        ),
        files=registry.file_records(folder),
    )
    lungs.write_card(folder, card)
    return card


def _lung_logits() -> NDArray[np.float32]:
    """Returns two boxes of lung, `(128, 128)`, one in each half."""
    logits = np.full((lungs.SIZE, lungs.SIZE), -4.0, np.float32)
    logits[30:100, 20:50] = logits[30:95, 75:105] = 4.0
    return logits


def _lung_graph() -> openvino.Model:
    image = ops.parameter([-1, lungs.SIZE, lungs.SIZE, 1], np.float32, name="image")
    image.output(0).set_names({"image"})
    nothing = ops.multiply(image, np.float32(0))
    logits = ops.add(nothing, _lung_logits()[np.newaxis, :, :, np.newaxis])
    pooled = ops.reduce_mean(image, np.array([1, 2]), keep_dims=False)
    named = {"lungs": logits, "pooled": pooled}
    for name, node in named.items():
        node.output(0).set_names({name})
    return openvino.Model(list(named.values()), [image], "tiny_lungs")


def _gate() -> Gate:
    """Returns a gate with brightness as its only feature: white and black stand out."""
    white, black = 238.0, 20.0  # mean grey levels
    middle = (white + black) / 2
    far = (white - black) / 2
    output = np.zeros((2, len(KINDS)))
    output[0, KINDS.index(SOMETHING_ELSE)] = 1000.0
    output[1, KINDS.index(UNLIKE)] = 1000.0
    return Gate(
        mean=np.array([middle]),
        spread=np.array([far]),
        hidden=np.array([[1.0, -1.0]]),
        hidden_bias=np.array([-1.0, -1.0]),
        output=output,
        output_bias=np.array([5.0, 0.0, -5.0, -5.0, -5.0, -5.0]),
    )


def tiny_probability(pixels: NDArray[np.float32]) -> float:
    """Returns what the tiny model says about a film, worked out in NumPy."""
    brightness = float(preparation.network_input(pixels, 224).mean(dtype=np.float64))
    logit = (brightness - BRIGHTNESS_OF_EVEN_ODDS) / GREY_LEVELS_PER_LOGIT
    return 1 / (1 + np.exp(-logit))


class PoolHere:
    """Reads films as `DecoderPool` does, but in this process."""

    def __init__(self, workers: int = 1) -> None:
        self.workers = workers

    def start(self) -> None:
        pass

    def read(self, data: bytes) -> Film:
        """Returns the film, or raises its error."""
        return read_film(data)

    def map(self, files: Iterable[bytes]) -> Iterator[Film | ImageError]:
        """Yields each film or its error in order; as the pool, takes files ahead."""
        ahead: list[Film | ImageError] = []
        for data in files:
            try:
                ahead.append(read_film(data))
            except ImageError as error:
                ahead.append(error)
            if len(ahead) > 2 * self.workers:
                yield ahead.pop(0)
        yield from ahead

    def map_to(
        self, then: Callable[[Film | ImageError], Any], files: Iterable[bytes]
    ) -> Iterator[Any]:
        """Yields what `then` makes of each film or of its error, in order."""
        return map(then, self.map(files))

    def __enter__(self) -> "PoolHere":
        return self

    def __exit__(self, *exception: object) -> None:
        pass


def _graph() -> openvino.Model:
    image = ops.parameter([-1, 224, 224, 1], np.float32, name="image")
    image.output(0).set_names({"image"})
    channels_first = ops.transpose(image, np.array([0, 3, 1, 2]))
    coarse = ops.avg_pool(
        channels_first, [32, 32], [0, 0], [0, 0], [32, 32], True, "floor"
    )
    centred = ops.subtract(coarse, np.float32(BRIGHTNESS_OF_EVEN_ODDS))
    shares = ops.divide(centred, np.float32(GREY_LEVELS_PER_LOGIT))
    activation_map = ops.squeeze(shares, np.array([1]))
    logit = ops.reduce_mean(shares, np.array([2, 3]), keep_dims=False)
    pooled = ops.reduce_mean(coarse, np.array([2, 3]), keep_dims=False)
    named = {"activation_map": activation_map, "logit": logit, "pooled": pooled}
    for name, node in named.items():
        node.output(0).set_names({name})
    return openvino.Model(list(named.values()), [image], "tiny")


def _write_tables(folder: Path) -> None:
    rng = np.random.default_rng(5)
    score_rows = ["split,film,patient,subtype,label,logit,probability"]
    split_rows = ["film,sha256,split"]
    for split in ("validation", "calibration", "test"):
        for i in range(200):
            label = int(i % 4 > 0)
            logit = rng.normal(2.5 if label else -2.5, 1.3)
            probability = 1 / (1 + np.exp(-logit))
            subtype = ("bacterial" if i % 2 else "viral") if label else ""
            score_rows.append(
                f"{split},f{i}.png,p{i // 2},{subtype},{label},{logit:.6f},"
                f"{probability:.8f}"
            )
            split_rows.append(f"f{i}.png,{i:064x},{split}")
    (folder / SCORES).write_text("\n".join(score_rows) + "\n")
    (folder / SPLIT).write_text("\n".join(split_rows) + "\n")
    (folder / cards.HISTORY).write_text(
        "phase,epoch,loss,auc,val_loss,val_auc,learning_rate,seconds\n"
        "head,1,0.6,0.8,0.5,0.85,0.001,1.0\n"
    )


def _card(folder: Path, model_id: str) -> dict:
    rng = np.random.default_rng(6)
    labels = np.arange(200) % 4 > 0
    scores = 1 / (1 + np.exp(-rng.normal(np.where(labels, 2.5, -2.5), 1.3)))
    metrics = evaluate(labels.astype(int), scores, threshold=0.4, n_bootstrap=50)
    counts = dict.fromkeys(("train", "validation", "calibration", "test"), 200)
    return {
        "model_id": model_id,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "architecture": "baseline-cnn",
        "input_size": 224,
        "preparation": preparation.PREPARATION,
        "classes": ("NORMAL", "PNEUMONIA"),
        "backbone": "none",
        "intended_use": "Tests.",
        "population": "Synthetic films.",
        "limits": ("It has never seen a real film.",),
        "calibration": PlattScaling(slope=1.0, intercept=0.0, prevalence=0.74),
        "threshold": Threshold(value=0.4, rule="made up", split="validation"),
        "uncertain_band": UncertainBand(below=0.5, above=0.5, rule="made up"),
        "heatmap_scale": 4.0,
        "data": DataRecord(
            name="synthetic",
            source="made in code",
            licence="none",
            fingerprint="0" * 64,
            films=counts,
            positives=counts,
            patients=counts,
        ),
        "training": {"preset": "made up", "seconds": 0},
        "metrics": {"validation": metrics, "test": metrics},
        "parity": Parity(n=3, max_probability_difference=0.0, tolerance=1e-3),
        "versions": {"openvino": openvino.__version__},
        "licence": "Apache-2.0",
        "files": registry.file_records(folder),
    }
