"""From a trained network to a registered model.

Exports the network for serving, calibrates, chooses the threshold and the uncertain
band, evaluates, and checks that serving gives the trained network's scores. Every score
on the card is the serving network's. The model appears in the registry in one step,
whole, as a candidate.
"""

import contextlib
import importlib.metadata
import shutil
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from cxr import (
    architectures,
    data,
    disk,
    documents,
    evaluation,
    frozen,
    networks,
    operation,
    preprocessing,
    registry,
    scores,
    subtypes,
    tones,
)
from cxr.batches import PreparedSplit
from cxr.data import LabelledFilm, Origin
from cxr.errors import ModelError
from cxr.estimate import SCORE, Clock
from cxr.evaluation import CalibrationChoice, Scaling
from cxr.inference import Network
from cxr.registry import (
    Card,
    DataRecord,
    FileRecord,
    Parity,
    Threshold,
)
from cxr.robustness import operating
from cxr.robustness.films import film_set
from cxr.scores import Scores
from cxr.subtypes import SubtypeRecord
from cxr.tones import StandardTone

PARITY_TOLERANCE = 1e-3  # probability
PARITY_FILMS = 256
FAINTEST_FULL_HEAT = 0.1  # logits
SHORT_NAMES = {architectures.BASELINE: "baseline"}
HELD_OUT = ("validation", "calibration", "test")
GRAPH_BYTES = 4_000_000  # more than a graph and the tables beside it ever take
CHUNK = 256  # films that are held as network inputs at a time
TONE_FILMS = 200  # of each class, whose mean is the standard tone

INTENDED_USE = (
    "Research and education: shows how a network reads frontal chest films, beside a "
    "reader who decides. Never a diagnosis, not a medical device."
)
LIMITS = (
    "It knows two answers only. Any other finding (effusion, mass, fracture, "
    "pneumothorax, heart failure) is not looked for and may pass for either.",
    "A film below the threshold can still show pneumonia; clinical signs go first.",
    "It has not been tested on adults, newborns or films of other hospitals, where "
    "networks trained on one hospital's films are known to lose much of their "
    "specificity.",
    "Films are reduced to a square: one that was cropped, framed or shaped otherwise "
    "than those it learned from can score higher than it should.",
    "A heat map shows which regions raised the score. It is not a finding and not "
    "proof that the reason is the right one.",
    "Its labels are readings of films by graders, not cultures or courses of illness.",
)
PACKAGES = (
    "keras",
    "tensorflow",
    "openvino",
    "numpy",
    "opencv-python",
    "opencv-python-headless",
    "pillow",
)

Films = Mapping[str, tuple[LabelledFilm, ...]]


@dataclass(frozen=True, kw_only=True)
class ScoredSplit:
    """One split with the serving network's outputs.

    Attributes:
        films: in the order of the arrays.
        labels: `int64`, shape `(n,)`.
        logits: `float64`, shape `(n,)`.
        peaks: `float64`, shape `(n,)`, the highest activation of each film.
        pooled: `float32`, shape `(n, channels)`.
    """

    films: tuple[LabelledFilm, ...]
    labels: NDArray[np.int64]
    logits: NDArray[np.float64]
    peaks: NDArray[np.float64]
    pooled: NDArray[np.float32]

    @property
    def patients(self) -> NDArray[np.str_]:
        """Patient of each film, shape `(n,)`."""
        return np.array([film.patient_id for film in self.films])

    def as_scores(self, calibration: Scaling) -> Scores:
        """Returns the films as they go into the table of scores."""
        return Scores(
            names=tuple(film.name for film in self.films),
            sha256=tuple(film.sha256 for film in self.films),
            patients=tuple(film.patient_id for film in self.films),
            labels=self.labels,
            logits=self.logits,
            probabilities=calibration.apply(self.logits),
            subtypes=tuple(film.subtype or "" for film in self.films),
        )


def publish(
    network: keras.Model,
    *,
    config: dict[str, object],
    splits: dict[str, PreparedSplit],
    fingerprint: str,
    history: Path,
    seconds: float,
    models_dir: Path,
    clock: Clock | None = None,
) -> str:
    """Registers a trained network as a candidate and returns its model id.

    Args:
        network: with the outputs of `networks.build`.
        config: the run's settings, for the card.
        splits: the films of train, validation, calibration and test.
        fingerprint: of all the data.
        history: the run's learning curves.
        seconds: that the run took.
        models_dir: the registry.
        clock: that times the scoring, None for none.

    Raises:
        ModelError: the serving network gives other scores than the trained one.
        CxrError: the disk is full (code `disk-full`); nothing is registered.
    """
    models_dir.mkdir(parents=True, exist_ok=True)
    registry.sweep(models_dir)
    draft = models_dir / f".draft-{uuid.uuid4().hex}"
    films = {name: split.films for name, split in splits.items()}
    try:
        with disk.writing(models_dir):
            draft.mkdir()
            tone = _standard_tone(splits["train"], config)
            served = export(network, draft, tone)
            scored = _score_all(served, splits, clock or Clock())
            chosen = _calibration(scored["calibration"])
            parity = check_parity(network, served, splits["validation"], chosen.scaling)
            _write_golden(draft, served, chosen.scaling)
            tables = {k: scored[k].as_scores(chosen.scaling) for k in HELD_OUT}
            scores.write(draft, tables)
            scores.write_split(draft, _rows(films))
            shutil.copyfile(history, draft / registry.HISTORY)
            second_opinion = _write_subtypes(draft, scored)
            card = _card(
                network.name,
                scored,
                chosen,
                model_id=registry.new_id(models_dir, _short(network.name)),
                films=films,
                fingerprint=fingerprint,
                training={**config, "seconds": round(seconds)},
                tone=tone,
                shifted=_shifted(served, splits["validation"], config),
                parity=parity,
                subtypes=second_opinion,
                files=registry.file_records(draft),
            )
            documents.replace(draft / registry.CARD, asdict(card))
            draft.rename(models_dir / card.model_id)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return card.model_id


def find_run(models_dir: Path, token: str) -> str | None:
    """Returns the model that the run with this token has registered, if it has."""
    for card in registry.cards(models_dir):
        if card.training.get("run") == token:
            return card.model_id
    return None


def export(
    network: keras.Model, folder: Path, tone: StandardTone | None = None
) -> Network:
    """Writes the network for serving and its Keras weights; returns the served one.

    Both are stored as float32: halving them would move scores by about 1e-3.
    """
    from cxr.runtime import openvino

    size = sum(weights.nbytes for weights in network.get_weights())
    disk.require(folder, 2 * size + GRAPH_BYTES)
    graph = frozen.convert(networks.serving(network))
    openvino.save_model(graph, folder / registry.NETWORK, compress_to_fp16=False)
    network.save_weights(folder / registry.KERAS_WEIGHTS)
    return Network(
        (folder / registry.NETWORK).read_bytes(),
        (folder / registry.NETWORK_WEIGHTS).read_bytes(),
        tone=tone,
    )


def check_parity(
    network: keras.Model,
    served: Network,
    split: PreparedSplit,
    calibration: Scaling,
) -> Parity:
    """Returns how far serving is from training, in probability.

    Raises:
        ModelError: farther than `PARITY_TOLERANCE` on any film.
    """
    every = max(1, len(split.films) // PARITY_FILMS)
    inputs = _inputs(served, split.pixels[split.rows[::every][:PARITY_FILMS]])
    trained = network.predict(inputs, batch_size=32, verbose=0)["logit"][:, 0]
    difference = np.abs(
        calibration.apply(trained) - calibration.apply(served(inputs).logits)
    )
    largest = float(difference.max())
    if not largest <= PARITY_TOLERANCE:
        raise ModelError(
            f"The exported network differs from the trained one by {largest:.2g} in "
            f"probability; at most {PARITY_TOLERANCE} is allowed. Not registered.",
            code="parity",
        )
    return Parity(
        n=len(inputs),
        max_probability_difference=largest,
        tolerance=PARITY_TOLERANCE,
    )


def golden_films(size: int, n: int = 4) -> NDArray[np.uint8]:
    """Returns made-up films, `uint8`, shape `(n, size, size)`: bright field, two dark
    lungs, and in some a bright patch. They only have to score the same for ever.
    """
    rows, columns = np.mgrid[0:size, 0:size] / size
    films = []
    for number in range(n):
        rng = np.random.default_rng([7, number])
        film = 150 + 60 * np.cos(3 * (columns - 0.5)) - 40 * np.abs(rows - 0.5)
        for centre in (0.3, 0.7):
            lung = ((columns - centre) / 0.15) ** 2 + ((rows - 0.45) / 0.3) ** 2
            film -= 110 * np.exp(-(lung**2))
        row, column = rng.uniform(0.3, 0.6), rng.uniform(0.25, 0.75)
        spot = ((columns - column) / 0.1) ** 2 + ((rows - row) / 0.1) ** 2
        film += number * 25 * np.exp(-spot)
        films.append(np.clip(film, 0, 255).astype(np.uint8))
    return np.stack(films)


def _score_all(
    served: Network, splits: dict[str, PreparedSplit], clock: Clock
) -> dict[str, ScoredSplit]:
    # Of the training films only those of a known subtype are needed, for the second
    # opinion.
    train = splits["train"]
    known = np.array([i for i, film in enumerate(train.films) if film.subtype], int)
    wanted = {**splits, "train": train.part(known)}
    with clock.time(SCORE, sum(len(part.films) for part in wanted.values())):
        return {name: _score(served, part) for name, part in wanted.items()}


def _score(served: Network, split: PreparedSplit) -> ScoredSplit:
    logits, peaks, pooled = [], [], []
    for start in range(0, len(split.films), CHUNK):
        part = split.pixels[split.rows[start : start + CHUNK]]
        outputs = served(_inputs(served, part))
        logits.append(outputs.logits.astype(np.float64))
        peaks.append(outputs.activation_maps.max(axis=(1, 2)).astype(np.float64))
        pooled.append(outputs.pooled)
    return ScoredSplit(
        films=split.films,
        labels=np.array([film.label for film in split.films], np.int64),
        logits=np.concatenate(logits) if logits else np.empty(0),
        peaks=np.concatenate(peaks) if peaks else np.empty(0),
        pooled=np.concatenate(pooled) if pooled else np.empty((0, 0), np.float32),
    )


def _shifted(
    served: Network, split: PreparedSplit, config: Mapping[str, object]
) -> NDArray[np.float64] | None:
    """Returns the logits of shifted pneumonia films if the threshold asks for them."""
    if not config.get("target_under_shift"):
        return None
    return operating.shifted_logits(
        lambda pixels: served(_inputs(served, pixels)).logits.astype(np.float64),
        film_set(split.films, split.own_pixels()),
    )


def _calibration(split: ScoredSplit) -> CalibrationChoice:
    return evaluation.choose_calibration(
        split.labels, split.logits, groups=split.patients
    )


def _standard_tone(
    split: PreparedSplit, config: Mapping[str, object]
) -> StandardTone | None:
    """Returns the mean tone of as many training films of either class."""
    share = float(str(config.get("standard_tone", 0)))
    if not share:
        return None
    hashes = np.array([film.sha256 for film in split.films])
    chosen = []
    for label in (0, 1):
        ours = np.flatnonzero(split.labels == label)
        chosen += ours[np.argsort(hashes[ours])][:TONE_FILMS].tolist()
    return tones.standard((split.film(i) for i in chosen), share)


def _inputs(served: Network, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.stack([served.prepare(film) for film in pixels.astype(np.float32)])


def _card(
    architecture: str,
    scored: dict[str, ScoredSplit],
    chosen: CalibrationChoice,
    *,
    model_id: str,
    films: Films,
    fingerprint: str,
    training: dict[str, object],
    tone: StandardTone | None,
    shifted: NDArray[np.float64] | None,
    parity: Parity,
    subtypes: SubtypeRecord | None,
    files: dict[str, FileRecord],
) -> Card:
    validation = scored["validation"]
    calibration = chosen.scaling
    probabilities = calibration.apply(validation.logits)
    threshold = _threshold(
        validation,
        probabilities,
        None if shifted is None else calibration.apply(shifted),
        training,
    )
    origin = data.origin([film for part in films.values() for film in part])
    return Card(
        model_id=model_id,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        architecture=architecture,
        input_size=architectures.find(architecture).size,
        preparation=preprocessing.PREPARATION,
        classes=data.CLASSES,
        backbone=_backbone(architecture, training),
        intended_use=INTENDED_USE,
        population=origin.population,
        age_years=origin.age_years,
        limits=LIMITS,
        calibration=calibration,
        calibration_rule=chosen.rule,
        threshold=threshold,
        uncertain_band=operation.uncertain_band(
            validation.labels, probabilities, threshold.value
        ),
        heatmap_scale=_heatmap_scale(validation),
        data=_data_record(films, origin, fingerprint),
        training=training,
        metrics={
            name: _evaluate(scored[name], calibration, threshold.value)
            for name in ("validation", "test")
        },
        parity=parity,
        versions=_versions(),
        licence="Apache-2.0",
        subtypes=subtypes,
        files=files,
        tone=tone,
    )


def _backbone(architecture: str, training: dict[str, object]) -> str:
    if architecture == architectures.BASELINE:
        return "none: trained from random weights"
    source = str(training["backbone_weights"])
    if source == "imagenet":
        return "ImageNet, downloaded by Keras"
    if source == "none":
        return "none: trained from random weights"
    note = training["backbone_note"] or "a local file, origin not stated"
    return f"{Path(source).name}: {note}"


def _threshold(
    validation: ScoredSplit,
    probabilities: NDArray[np.float64],
    shifted: NDArray[np.float64] | None,
    training: dict[str, object],
) -> Threshold:
    if shifted is not None:
        return operation.threshold_under_shift(
            validation.labels,
            probabilities,
            shifted,
            target=float(str(training["target_under_shift"])),
            floor=float(str(training["target_sensitivity"])),
        )
    return operation.shipped_threshold(
        validation.labels,
        probabilities,
        validation.patients,
        target=float(str(training["target_sensitivity"])),
        assured=float(str(training["assured_sensitivity"])),
    )


def _heatmap_scale(validation: ScoredSplit) -> float:
    peaks = np.quantile(validation.peaks[validation.labels == 1], 0.5)
    return max(float(peaks), FAINTEST_FULL_HEAT)


def _data_record(films: Films, origin: Origin, fingerprint: str) -> DataRecord:
    return DataRecord(
        name=origin.name,
        source=origin.source,
        licence=origin.licence,
        fingerprint=fingerprint,
        films={k: len(part) for k, part in films.items()},
        positives={k: sum(f.label for f in part) for k, part in films.items()},
        patients={k: len({f.patient_id for f in part}) for k, part in films.items()},
    )


def _evaluate(
    split: ScoredSplit, calibration: Scaling, threshold: float
) -> evaluation.Evaluation:
    return evaluation.evaluate(
        split.labels,
        calibration.apply(split.logits),
        threshold=threshold,
        groups=split.patients,
    )


def _versions() -> dict[str, str]:
    versions = {}
    for name in PACKAGES:
        # TensorFlow and OpenCV come under several names, of which one is installed.
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


def _write_golden(folder: Path, served: Network, calibration: Scaling) -> None:
    films = golden_films(served.size)
    logits = served(_inputs(served, films)).logits
    np.savez_compressed(
        folder / registry.GOLDEN,
        films=films,
        probabilities=calibration.apply(logits),
    )


def _rows(films: Films) -> Iterator[tuple[str, str, str]]:
    for name, part in films.items():
        yield from ((film.name, film.sha256, name) for film in part)


def _write_subtypes(
    folder: Path, scored: dict[str, ScoredSplit]
) -> SubtypeRecord | None:
    films = {
        name: subtypes.of_films(
            split.pooled,
            split.labels,
            [film.subtype for film in split.films],
            [film.patient_id for film in split.films],
        )
        for name, split in scored.items()
        if len(split.films)
    }
    if set(films) != set(data.SPLITS) or (fitted := subtypes.fit(**films)) is None:
        return None
    head, record = fitted
    (folder / registry.SUBTYPES).write_bytes(head.to_bytes())
    return record


def _short(architecture: str) -> str:
    return SHORT_NAMES.get(architecture, architecture.removeprefix("efficientnet-"))
