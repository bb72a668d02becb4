"""The films of other places in a publication: their table, and a place on the card.

Calibration, threshold and band are chosen on films of home. Those of other places are
scored beside them (`places.csv`): what the model is worth there is told, and an
alignment without labels knows what films of other places score.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from cxr.datasets import folders, places
from cxr.datasets.folders import LabelledFilm, Origin
from cxr.evaluation.calibration import Scaling
from cxr.evaluation.estimates import Estimate
from cxr.evaluation.inputs import patient_codes
from cxr.evaluation.operating import point_at
from cxr.evaluation.ranking import auc_estimate
from cxr.models import scores
from cxr.models.cards import Card, Place
from cxr.training.batches import PreparedSplit
from cxr.training.card import UNTESTED, ScoredSplit

Splits = Mapping[str, PreparedSplit]


def at_home(splits: Splits) -> dict[str, PreparedSplit]:
    """Returns the films of home in each split."""
    return {name: _part(split, home=True) for name, split in splits.items()}


def away(splits: Splits) -> dict[str, PreparedSplit]:
    """Returns the films of other places in each split that has any."""
    parts = {name: _part(split, home=False) for name, split in splits.items()}
    return {name: part for name, part in parts.items() if part.films}


def write(
    folder: Path, scored: Mapping[str, ScoredSplit], calibration: Scaling
) -> None:
    """Writes `places.csv`, where there are films of other places.

    Args:
        folder: of the model.
        scored: the films of other places, by split.
        calibration: of home.
    """
    if scored:
        tables = {name: part.as_scores(calibration) for name, part in scored.items()}
        scores.write(folder, tables, table=scores.PLACES)


def onto_card(
    card: Card,
    splits: Splits,
    scored: Mapping[str, ScoredSplit],
    origins: Mapping[str, Origin],
) -> Card:
    """Returns the card with the other places that the model learned from.

    Args:
        card: of home.
        splits: all films.
        scored: the films of other places, by split.
        origins: what is known of each place.
    """
    films = {name: split.films for name, split in away(splits).items()}
    names = sorted({film.place for part in films.values() for film in part})
    if not names:
        return card
    learned = tuple(
        _place(
            origins.get(name) or places.unstated(name),
            {k: [f for f in part if f.place == name] for k, part in films.items()},
            _worth(scored.get("test"), name, card),
        )
        for name in names
    )
    limit = (
        f"Beside its own it knows films of {', '.join(p.name for p in learned)}. It "
        "has not been tested on others, where networks are known to lose much of "
        "their specificity."
    )
    limits = tuple(limit if text == UNTESTED else text for text in card.limits)
    return replace(card, places=learned, limits=limits)


def _part(split: PreparedSplit, *, home: bool) -> PreparedSplit:
    rows = [i for i, film in enumerate(split.films) if (film.place == "") == home]
    return split.part(np.array(rows, np.int64))


def _place(
    origin: Origin,
    films: Mapping[str, Sequence[LabelledFilm]],
    worth: dict[str, Estimate | None],
) -> Place:
    return Place(
        name=origin.name,
        source=origin.source,
        licence=origin.licence,
        population=origin.population,
        films={k: len(part) for k, part in films.items()},
        positives={k: sum(f.label for f in part) for k, part in films.items()},
        patients={k: len({f.patient_id for f in part}) for k, part in films.items()},
        **worth,
    )


def _worth(
    test: ScoredSplit | None, name: str, card: Card
) -> dict[str, Estimate | None]:
    """Returns AUC, sensitivity and specificity on the test films of a place."""
    worth: dict[str, Estimate | None] = dict.fromkeys(
        ("auc", "sensitivity", "specificity")
    )
    rows = [] if test is None else [f.place == name for f in test.films]
    if test is None or not any(rows):
        return worth
    labels, logits = test.labels[rows], test.logits[rows]
    patients = patient_codes(test.patients[rows], labels.size)
    probabilities = card.calibration.apply(logits)
    point = point_at(labels, probabilities, card.threshold.value, patients)
    classes = set(labels.tolist())
    if 1 in classes:
        worth["sensitivity"] = point.sensitivity
    if 0 in classes:
        worth["specificity"] = point.specificity
    if len(classes) == len(folders.CLASSES):
        worth["auc"] = auc_estimate(labels, probabilities, patients)
    return worth
