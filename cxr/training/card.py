"""The card of a trained model, written from what was measured."""

import contextlib
import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cxr.datasets import folders
from cxr.datasets.folders import LabelledFilm, Origin
from cxr.evaluation import summary
from cxr.evaluation.band import Shifted
from cxr.evaluation.calibration import CalibrationChoice, Scaling
from cxr.evaluation.scores import Scores
from cxr.films import preparation
from cxr.films.tones import StandardTone
from cxr.models import operating_point
from cxr.models.cards import (
    Card,
    DataRecord,
    FileRecord,
    Parity,
    Threshold,
    UncertainBand,
)
from cxr.models.subtypes import SubtypeRecord
from cxr.runs import architectures

FAINTEST_FULL_HEAT = 0.1  # logits

INTENDED_USE = (
    "Research and education: shows how a network reads frontal chest films, beside a "
    "reader who decides. Never a diagnosis, not a medical device."
)
UNTESTED = (
    "It has not been tested on adults, newborns or films of other hospitals, where "
    "networks trained on one hospital's films are known to lose much of their "
    "specificity."
)
LIMITS = (
    "It knows two answers only. Any other finding (effusion, mass, fracture, "
    "pneumothorax, heart failure) is not looked for and may pass for either.",
    "A film below the threshold can still show pneumonia; clinical signs go first.",
    UNTESTED,
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


def written_card(
    architecture: str,
    scored: dict[str, ScoredSplit],
    chosen: CalibrationChoice,
    *,
    model_id: str,
    films: Films,
    fingerprint: str,
    training: dict[str, object],
    tone: StandardTone | None,
    shifted: Shifted | None,
    parity: Parity,
    subtypes: SubtypeRecord | None,
    files: dict[str, FileRecord],
) -> Card:
    """Returns the card of a network that was trained, scored and exported.

    Args:
        architecture: its name.
        scored: the serving network's outputs, by split.
        chosen: the calibration.
        model_id: of the new model.
        films: of each split, whether or not they were scored.
        fingerprint: of all the data.
        training: the settings of the run.
        tone: that films are moved towards before the network reads them; None for none.
        shifted: logits of shifted validation films, from which threshold and band are
            chosen too; None where the films as they are decide alone.
        parity: how far serving is from training.
        subtypes: of the second opinion on subtypes; None without one.
        files: hashes and sizes of the model's files.
    """
    validation = scored["validation"]
    calibration = chosen.scaling
    probabilities = calibration.apply(validation.logits)
    threshold = _threshold(
        validation,
        probabilities,
        None if shifted is None else _of_the_ill(validation, shifted, calibration),
        training,
    )
    band = _band(validation, shifted, calibration, threshold.value)
    origin = folders.origin([film for part in films.values() for film in part])
    return Card(
        model_id=model_id,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        architecture=architecture,
        input_size=architectures.find(architecture).size,
        preparation=preparation.PREPARATION,
        classes=folders.CLASSES,
        backbone=_backbone(architecture, training),
        intended_use=INTENDED_USE,
        population=origin.population,
        age_years=origin.age_years,
        limits=LIMITS,
        calibration=calibration,
        calibration_rule=chosen.rule,
        threshold=threshold,
        uncertain_band=band,
        heatmap_scale=_heatmap_scale(validation),
        data=_data_record(films, origin, fingerprint),
        training=training,
        metrics={
            name: _evaluate(scored[name], calibration, threshold.value, band)
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
    if model_id := training.get("start_model"):
        sha256 = str(training["start_card_sha256"])
        return (
            f"{model_id}, its head included (card {sha256[:16]}), which was made from "
            f"{training['start_made_from']}"
        )
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
        return operating_point.threshold_under_shift(
            validation.labels,
            probabilities,
            shifted,
            target=float(str(training["target_under_shift"])),
            floor=float(str(training["target_sensitivity"])),
        )
    return operating_point.shipped_threshold(
        validation.labels,
        probabilities,
        validation.patients,
        target=float(str(training["target_sensitivity"])),
        assured=float(str(training["assured_sensitivity"])),
    )


def _band(
    validation: ScoredSplit,
    shifted: Shifted | None,
    calibration: Scaling,
    threshold: float,
) -> UncertainBand:
    if shifted is not None:
        shifted = replace(shifted, logits=calibration.scaled(shifted.logits))
    return operating_point.uncertain_band(
        validation.labels,
        calibration.scaled(validation.logits),
        validation.patients,
        threshold,
        shifted=shifted,
    )


def _of_the_ill(
    validation: ScoredSplit, shifted: Shifted, calibration: Scaling
) -> NDArray[np.float64]:
    """Returns the probabilities of the pneumonia films after shifts."""
    ill = validation.labels[shifted.rows] == 1
    return calibration.apply(shifted.logits[ill])


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
    split: ScoredSplit, calibration: Scaling, threshold: float, band: UncertainBand
) -> summary.Evaluation:
    return summary.evaluate(
        split.labels,
        calibration.apply(split.logits),
        threshold=threshold,
        band=band.around(threshold),
        groups=split.patients,
    )


def _versions() -> dict[str, str]:
    versions = {}
    for name in PACKAGES:
        # TensorFlow and OpenCV come under several names, of which one is installed.
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions
