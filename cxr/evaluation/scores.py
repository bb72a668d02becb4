"""A model's scores of films, and the films that several tables share."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Scores:
    """A model's stored scores of the films of one split.

    Attributes:
        names: of the films.
        sha256: of their files.
        patients: patient ids.
        labels: `int64`, shape `(n,)`, 1 for pneumonia.
        logits: `float64`, shape `(n,)`, before calibration.
        probabilities: `float64`, shape `(n,)`.
        subtypes: `bacterial`, `viral` or empty.
        pixels: rows times columns of each film, `float64`, shape `(n,)`; nan where that
            was not stored. None where it was stored for none.
    """

    names: tuple[str, ...]
    sha256: tuple[str, ...]
    patients: tuple[str, ...]
    labels: NDArray[np.int64]
    logits: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    subtypes: tuple[str, ...]
    pixels: NDArray[np.float64] | None = None

    def rows(self, chosen: NDArray[np.int64]) -> "Scores":
        """Returns these rows, in this order."""
        return Scores(
            names=tuple(self.names[i] for i in chosen),
            sha256=tuple(self.sha256[i] for i in chosen),
            patients=tuple(self.patients[i] for i in chosen),
            labels=self.labels[chosen],
            logits=self.logits[chosen],
            probabilities=self.probabilities[chosen],
            subtypes=tuple(self.subtypes[i] for i in chosen),
            pixels=None if self.pixels is None else self.pixels[chosen],
        )


def shared_rows(tables: Sequence[Scores]) -> list[NDArray[np.int64]]:
    """Returns where in each table the films are that all of them have, in one order.

    Films are the same when their files are equal byte for byte and have the same label;
    names may be the same in two data folders. Copies within a table count once.

    Returns:
        For each table `int64`, shape `(shared,)`.
    """
    rows = [
        {
            film: row
            for row, film in enumerate(zip(t.sha256, t.labels.tolist(), strict=True))
        }
        for t in tables
    ]
    shared = sorted(set.intersection(*(set(row_of) for row_of in rows)))
    return [np.array([row_of[film] for film in shared], np.int64) for row_of in rows]
