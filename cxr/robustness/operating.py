"""What a network makes of validation films after shifts: the ground of its threshold.

The lowest scores among a few hundred pneumonia films are those of two or three odd
films, so a threshold that is read off them is mostly chance. After shifts the same
films are many more, and the threshold has to hold there too; so has the zone without an
answer around it, whose upper edge is that of the normal films.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cxr.errors import DatasetError
from cxr.evaluation.band import Shifted
from cxr.models import operating_point
from cxr.models.cards import UncertainBand
from cxr.models.inference import Model
from cxr.robustness import subjects
from cxr.robustness.films import FilmSet
from cxr.robustness.shifts import PORTION, SHIFTS, shifted

VIEWS, MOST_FILMS = 12, 1000

Logits = NDArray[np.float64]


def shifted_logits(
    score: Callable[[NDArray[np.uint8]], Logits],
    films: FilmSet,
    *,
    views: int = VIEWS,
    seed: int = 0,
) -> Shifted:
    """Returns the logits of the films after some shifts each, pneumonia films first.

    Of many films of a class `MOST_FILMS` are taken, chosen by their hashes. The shifts
    are dealt out in turn within a class, so that each is given to about as many films.

    Args:
        score: from `uint8` films `(n, size, size)` to logits `(n,)`.
        films: of both classes; shifts borrow from them.
        views: shifts of each film, at most as many as there are.
        seed: of everything that is drawn.
    """
    cases = [
        (int(row), SHIFTS[(number * views + view) % len(SHIFTS)])
        for label in (1, 0)
        for number, row in enumerate(_of_class(films, label))
        for view in range(views)
    ]
    parts = []
    for start in range(0, len(cases), PORTION):
        part = cases[start : start + PORTION]
        parts.append(
            score(
                np.stack([shifted(films, row, shift, seed=seed) for row, shift in part])
            )
        )
    return Shifted(
        rows=np.array([row for row, _ in cases], np.int64),
        logits=np.concatenate(parts) if parts else np.empty(0),
    )


def band_of(model: Model, films: FilmSet, split_of: Mapping[str, str]) -> UncertainBand:
    """Returns the zone without an answer of a registered model, chosen anew.

    Args:
        model: ready to score.
        films: a data folder's, of which those of the model's validation split count.
        split_of: the model's own record, split by SHA-256 of the film.

    Raises:
        DatasetError: not all of the model's validation films are among them.
    """
    chosen = films.at(films.in_splits(["validation"]))
    # Copies of a film, byte for byte, are one film here and there.
    expected = sum(split == "validation" for split in split_of.values())
    if len(chosen) != expected or not expected:
        raise DatasetError(
            f"The zone without an answer is chosen on the {expected} validation films "
            f"of {model.card.model_id}; {len(chosen)} of them are in this folder."
        )
    subject = subjects.subject_of(model)
    scaled = model.card.calibration.scaled
    moved = shifted_logits(subject.logits, chosen)
    return operating_point.uncertain_band(
        chosen.labels,
        scaled(subject.logits(chosen.pixels)),
        chosen.patients,
        model.card.threshold.value,
        shifted=replace(moved, logits=scaled(moved.logits)),
    )


def _of_class(films: FilmSet, label: int) -> NDArray[np.int64]:
    """Returns the rows of a class that are shifted."""
    rows = np.flatnonzero(films.labels == label)
    if rows.size > MOST_FILMS:
        rows = np.array(sorted(rows, key=lambda row: films.sha256[row])[:MOST_FILMS])
    return rows
