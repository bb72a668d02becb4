"""What a network makes of validation films after shifts: the ground of its threshold.

The lowest scores among a few hundred pneumonia films are those of two or three odd
films, so a threshold that is read off them is mostly chance. After shifts the same
films are many more, and the threshold has to hold there too.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

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
) -> Logits:
    """Returns the logits of the pneumonia films after some shifts each.

    Of many films `MOST_FILMS` are taken, chosen by their hashes. The shifts are dealt
    out in turn, so that each is given to about as many films.

    Args:
        score: from `uint8` films `(n, size, size)` to logits `(n,)`.
        films: of both classes; shifts borrow from them.
        views: shifts of each film, at most as many as there are.
        seed: of everything that is drawn.

    Returns:
        `float64`, shape `(views * pneumonia films,)`.
    """
    ill = np.flatnonzero(films.labels == 1)
    if ill.size > MOST_FILMS:
        ill = np.array(sorted(ill, key=lambda row: films.sha256[row])[:MOST_FILMS])
    cases = [
        (int(row), SHIFTS[(number * views + view) % len(SHIFTS)])
        for number, row in enumerate(ill)
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
    return np.concatenate(parts) if parts else np.empty(0)
