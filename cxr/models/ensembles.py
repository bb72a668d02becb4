"""An ensemble: registered models that score as one, itself a registered model.

Its logit is the mean of the members' calibrated logits, calibrated once more, since a
mean varies less than its parts. Nothing is scored for it: calibration, threshold
and metrics come from the members' stored scores of the films that were held out from
all of them in the same way.
"""

import hashlib
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cxr import disk, documents
from cxr.errors import ModelError
from cxr.evaluation import calibration, summary
from cxr.evaluation.calibration import CalibrationChoice
from cxr.evaluation.scores import Scores, shared_rows
from cxr.evaluation.summary import Evaluation
from cxr.models import inference, operating_point, registry, scores
from cxr.models.cards import (
    CARD,
    GOLDEN,
    NETWORK,
    NETWORK_WEIGHTS,
    Card,
    DataRecord,
    Member,
    Parity,
    UncertainBand,
)
from cxr.models.network import Ensemble, Network

ARCHITECTURE = "ensemble"
SPLITS = ("validation", "calibration", "test")
# What one member has seen counts as seen: the first of these that a film is in.
SEEN = ("train", "validation", "calibration", "test")
# Of the presets, for members whose card does not say.
TARGET_SENSITIVITY, ASSURED_SENSITIVITY = 0.98, 0.97


def create(models_dir: Path, ids: Sequence[str]) -> str:
    """Registers an ensemble as a candidate and returns its model id.

    Args:
        models_dir: the registry.
        ids: of at least two different models, none an ensemble itself.

    Raises:
        ModelError: a model is missing, damaged or an ensemble, or they were not held
            out from films of both classes in common.
        CxrError: the registry can't be written, or the disk is full.
    """
    cards = _cards(models_dir, ids)
    shared = {split: _shared(models_dir, cards, split) for split in SPLITS}
    chosen = _calibration(shared["calibration"])
    shared = {
        split: replace(part, probabilities=chosen.scaling.apply(part.logits))
        for split, part in shared.items()
    }
    registry.sweep(models_dir)
    with registry.writing(models_dir), disk.draft_folder(models_dir) as draft:
        scores.write(draft, shared)
        scores.write_split(draft, _split_rows(models_dir, cards, shared))
        _write_golden(draft, models_dir, cards, chosen)
        model_id = registry.new_id(models_dir, ARCHITECTURE)
        card = _card(cards, shared, chosen, model_id, draft)
        documents.replace(draft / CARD, asdict(card))
        draft.rename(models_dir / card.model_id)
    return card.model_id


def _cards(models_dir: Path, ids: Sequence[str]) -> list[Card]:
    if len(ids) < 2 or len(set(ids)) < len(ids):
        raise ModelError(
            "An ensemble takes at least two different models.", code="ensemble"
        )
    cards = [registry.read_card(models_dir, model_id) for model_id in ids]
    for card in cards:
        if card.members:
            raise ModelError(
                f"{card.model_id} is an ensemble itself; name its members instead.",
                code="ensemble",
            )
        for name in ("preparation", "classes"):
            if getattr(card, name) != getattr(cards[0], name):
                raise ModelError(
                    f"{cards[0].model_id} and {card.model_id} do not read the same "
                    f"films in the same way ({name}).",
                    code="ensemble",
                )
    return cards


def _shared(models_dir: Path, cards: Sequence[Card], split: str) -> Scores:
    """Returns the films that are in this split of every member, with mean logits."""
    tables = [registry.read_scores(models_dir, card, split) for card in cards]
    chosen = shared_rows(tables)
    if len(set(tables[0].labels[chosen[0]].tolist())) < 2:
        raise ModelError(
            f"The models have no films of both classes in common in their {split} "
            "split: train them on the same data with the same split seed.",
            code="no-shared-films",
        )
    logits = [
        card.calibration.scaled(table.logits[order])
        for card, table, order in zip(cards, tables, chosen, strict=True)
    ]
    return replace(tables[0].rows(chosen[0]), logits=np.mean(logits, axis=0))


def _calibration(part: Scores) -> CalibrationChoice:
    return calibration.choose_calibration(
        part.labels, part.logits, groups=part.patients
    )


def _split_rows(
    models_dir: Path, cards: Sequence[Card], shared: dict[str, Scores]
) -> Iterator[tuple[str, str, str]]:
    """Yields every film that a member knows, those with scores under their own split.

    A film is named by its hash where no scores of it are stored: names of two data
    folders can be the same.
    """
    seen: dict[str, str] = {}
    for card in cards:
        for sha256, split in registry.read_split(models_dir, card).items():
            seen[sha256] = min(split, seen.get(sha256, split), key=SEEN.index)
    for split, part in shared.items():
        for name, sha256 in zip(part.names, part.sha256, strict=True):
            seen.pop(sha256, None)
            yield name, sha256, split
    yield from ((sha256, sha256, split) for sha256, split in seen.items())


def _write_golden(
    folder: Path, models_dir: Path, cards: Sequence[Card], chosen: CalibrationChoice
) -> None:
    golden = io.BytesIO(registry.read_file(models_dir, cards[0], GOLDEN))
    with np.load(golden, allow_pickle=False) as content:
        films = content["films"]
    probabilities = chosen.scaling.apply(_logits(models_dir, cards, films))
    np.savez_compressed(folder / GOLDEN, films=films, probabilities=probabilities)


def _logits(
    models_dir: Path, cards: Sequence[Card], films: NDArray[np.uint8]
) -> NDArray[np.float32]:
    members = []
    for card in cards:
        network = inference.load(models_dir, card.model_id).network
        if isinstance(network, Network):
            members.append((network, card.calibration))
    together = Ensemble(members)
    inputs = [together.prepare(film.astype(np.float32)) for film in films]
    return together(np.stack(inputs)).logits


def _card(
    cards: Sequence[Card],
    shared: dict[str, Scores],
    chosen: CalibrationChoice,
    model_id: str,
    folder: Path,
) -> Card:
    validation = shared["validation"]
    targets = _targets(cards)
    threshold = operating_point.shipped_threshold(
        validation.labels,
        validation.probabilities,
        np.array(validation.patients),
        target=targets["target_sensitivity"],
        assured=targets["assured_sensitivity"],
    )
    band = operating_point.uncertain_band(
        validation.labels,
        chosen.scaling.scaled(validation.logits),
        validation.patients,
        threshold.value,
    )
    return Card(
        model_id=model_id,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        architecture=ARCHITECTURE,
        input_size=max(card.input_size for card in cards),
        preparation=cards[0].preparation,
        classes=cards[0].classes,
        backbone=_joined(card.backbone for card in cards),
        intended_use=_joined(card.intended_use for card in cards),
        population=_joined(card.population for card in cards),
        age_years=_common_age(cards),
        limits=tuple(dict.fromkeys(limit for card in cards for limit in card.limits)),
        calibration=chosen.scaling,
        calibration_rule=chosen.rule,
        threshold=threshold,
        uncertain_band=band,
        heatmap_scale=_heatmap_scale(cards),
        data=_data(cards, shared),
        training={"members": [card.model_id for card in cards], **targets},
        metrics={
            split: _metrics(shared[split], threshold.value, band)
            for split in ("validation", "test")
        },
        parity=_parity(cards),
        versions=cards[0].versions,
        licence=_joined(card.licence for card in cards),
        files=registry.file_records(folder),
        members=tuple(_member(card) for card in cards),
    )


def _targets(cards: Sequence[Card]) -> dict[str, float]:
    """Returns the strictest targets of the members, by the names of the settings."""
    usual = {
        "target_sensitivity": TARGET_SENSITIVITY,
        "assured_sensitivity": ASSURED_SENSITIVITY,
    }
    return {
        name: max(float(str(card.training.get(name, least))) for card in cards)
        for name, least in usual.items()
    }


def _metrics(part: Scores, threshold: float, band: UncertainBand) -> Evaluation:
    return summary.evaluate(
        part.labels,
        part.probabilities,
        threshold=threshold,
        band=band.around(threshold),
        groups=part.patients,
    )


def _member(card: Card) -> Member:
    return Member(
        model_id=card.model_id,
        network=card.files[NETWORK],
        weights=card.files[NETWORK_WEIGHTS],
        calibration=card.calibration,
        tone=card.tone,
    )


def _heatmap_scale(cards: Sequence[Card]) -> float:
    # As the maps are joined: each times the slope of its calibration.
    return float(np.mean([c.calibration.slope * c.heatmap_scale for c in cards]))


def _parity(cards: Sequence[Card]) -> Parity:
    """Returns the worst of the members; the ensemble itself is checked by its golden
    films.
    """
    return Parity(
        n=min(card.parity.n for card in cards),
        max_probability_difference=max(
            card.parity.max_probability_difference for card in cards
        ),
        tolerance=max(card.parity.tolerance for card in cards),
    )


def _data(cards: Sequence[Card], shared: dict[str, Scores]) -> DataRecord:
    fingerprints = sorted({card.data.fingerprint for card in cards})
    fingerprint = fingerprints[0]
    if len(fingerprints) > 1:
        fingerprint = hashlib.sha256(" ".join(fingerprints).encode()).hexdigest()
    return DataRecord(
        name=_joined(card.data.name for card in cards),
        source=_joined(card.data.source for card in cards),
        licence=_joined(card.data.licence for card in cards),
        fingerprint=fingerprint,
        films={k: len(part.names) for k, part in shared.items()},
        positives={k: int(part.labels.sum()) for k, part in shared.items()},
        patients={k: len(set(part.patients)) for k, part in shared.items()},
    )


def _common_age(cards: Sequence[Card]) -> tuple[float, float] | None:
    ranges = [card.age_years for card in cards]
    known = [ages for ages in ranges if ages is not None]
    if len(known) < len(ranges):
        return None
    return max(low for low, _ in known), min(high for _, high in known)


def _joined(texts: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(texts))
