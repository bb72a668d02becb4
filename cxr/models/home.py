"""How a registered model's scores lie on the films that were held out from it.

It owns the reading of these films from a model's folder: labels and calibrated logits
of its home, and the densities of every kind of place that it knows, which an alignment
fits and which what is read later is held against.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cxr.evaluation import alignment, kinds
from cxr.evaluation.alignment import Reference
from cxr.evaluation.calibration import logit
from cxr.evaluation.inputs import Floats, Integers
from cxr.evaluation.scores import Scores
from cxr.models import registry, scores
from cxr.models.cards import Card
from cxr.models.scores import PLACES

HELD_OUT = ("validation", "test")  # splits that the network did not learn from


@dataclass(frozen=True, kw_only=True, eq=False)
class HeldOut:
    """Films of a model's home that it did not learn from.

    Attributes:
        names: of the films in their data folder.
        labels: 1 for pneumonia, shape `(n,)`.
        logits: of the calibrated probability, shape `(n,)`.
        patients: of the films.
    """

    names: tuple[str, ...]
    labels: Integers
    logits: Floats
    patients: tuple[str, ...]


def films(models_dir: Path, card: Card, splits: Sequence[str] = HELD_OUT) -> HeldOut:
    """Returns the films of a model's home that it was not trained on.

    Args:
        models_dir: the registry.
        card: of the model.
        splits: whose films these are.

    Raises:
        ModelError: it has no scores of them.
    """
    tables = [registry.read_scores(models_dir, card, split) for split in splits]
    labels, logits = _labels_and_logits(card, tables)
    return HeldOut(
        names=tuple(name for t in tables for name in t.names),
        labels=labels,
        logits=logits,
        patients=tuple(patient for t in tables for patient in t.patients),
    )


def reference(
    models_dir: Path, card: Card, splits: Sequence[str] = HELD_OUT
) -> Reference:
    """Returns how the model's scores lie on films that it was not trained on.

    Args:
        models_dir: the registry.
        card: of the model.
        splits: whose films these are.

    Raises:
        ModelError: it has no scores of them.
    """
    own = films(models_dir, card, splits)
    home = alignment.reference(
        own.labels,
        own.logits,
        threshold=float(logit(card.threshold.value)),
        groups=own.patients,
    )
    if PLACES not in card.files:
        return home
    there = scores.splits(registry.read_file(models_dir, card, PLACES))
    elsewhere = [
        registry.read_scores(models_dir, card, split, table=PLACES)
        for split in splits
        if split in there
    ]
    if {label for t in elsewhere for label in t.labels.tolist()} != {0, 1}:
        return home  # Films of one class say nothing of how the other scores.
    return replace(home, others=(kinds.kind(*_labels_and_logits(card, elsewhere)),))


def _labels_and_logits(card: Card, tables: Sequence[Scores]) -> tuple[Integers, Floats]:
    """Returns labels and calibrated logits of all films of some tables."""
    logits = np.concatenate([t.logits for t in tables])
    return np.concatenate([t.labels for t in tables]), card.calibration.scaled(logits)
