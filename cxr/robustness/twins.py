"""Originals and the reduced copies of the same films: one answer or two."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cxr.datasets import folders
from cxr.errors import DatasetError
from cxr.films import preparation
from cxr.films.film import read_film
from cxr.robustness.films import FilmSet
from cxr.robustness.measures import Change, change
from cxr.robustness.subjects import Subject

MOST_GAP, MOST_FLIPPED = 0.02, 0.01
TRAINED = "train"


@dataclass(frozen=True, kw_only=True, eq=False)
class Twins:
    """Pairs of an original and its reduced copy.

    Attributes:
        originals: reduced here by the pixel contract, `uint8`, `(n, size, size)`.
        copies: the films of the data folder with the same names, in the same order.
    """

    originals: NDArray[np.uint8]
    copies: FilmSet


@dataclass(frozen=True, kw_only=True)
class TwinReport:
    """How far the answers of the pairs are apart.

    Attributes:
        most_gap: the bar of the mean absolute gap of probability.
        most_flipped: the bar of the share of pairs with two decisions.
        n_pairs: pairs that were found.
        n_trained: of them, copies whose patients trained the network.
        n: pairs that are measured.
        with_trained: whether those of trained patients are among them.
        gap: copies against originals; None without pairs.
        passed: whether both bars are kept; None without pairs.
    """

    most_gap: float
    most_flipped: float
    n_pairs: int
    n_trained: int
    n: int
    with_trained: bool
    gap: Change | None
    passed: bool | None


def load(originals: Path, films: FilmSet, *, size: int) -> Twins:
    """Returns the originals of a folder with their namesakes.

    Args:
        originals: a data folder of large films.
        films: the films of the data folder with the reduced copies.
        size: edge of the films in pixels.

    Raises:
        DatasetError: no film has a namesake of the same class.
        ImageError: an original can't be read.
    """
    where = {
        (Path(name).name, int(label)): row
        for row, (name, label) in enumerate(zip(films.names, films.labels, strict=True))
    }
    found = [
        (film, where[film.path.name, film.label])
        for film in folders.scan(originals)
        if (film.path.name, film.label) in where
    ]
    if not found:
        raise DatasetError(f"No film of {originals} has a namesake in the data folder.")
    reduced = [
        preparation.resize(read_film(film.path.read_bytes()).pixels, size)
        for film, _ in found
    ]
    return Twins(
        originals=np.rint(reduced).clip(0, 255).astype(np.uint8),
        copies=films.at(np.array([row for _, row in found], np.int64)),
    )


def measure(
    subject: Subject, twins: Twins, *, with_trained: bool = False
) -> TwinReport:
    """Returns how far apart originals and copies are.

    Args:
        subject: the network under test.
        twins: the pairs.
        with_trained: whether pairs of patients who trained the network count too.
    """
    trained = _patients_trained(twins.copies)
    rows = np.ones_like(trained) if with_trained else ~trained
    gap = None
    if rows.any():
        copies = twins.copies.at(rows)
        gap = change(
            subject.probabilities(copies.pixels),
            subject.probabilities(twins.originals[rows]),
            copies.patients,
            subject.threshold,
        )
    return TwinReport(
        most_gap=MOST_GAP,
        most_flipped=MOST_FLIPPED,
        n_pairs=len(trained),
        n_trained=int(trained.sum()),
        n=int(rows.sum()),
        with_trained=with_trained,
        gap=gap,
        passed=None
        if gap is None
        else gap.mean.value <= MOST_GAP and gap.flipped.value <= MOST_FLIPPED,
    )


def _patients_trained(films: FilmSet) -> NDArray[np.bool_]:
    # A split never divides a patient.
    return films.in_splits((TRAINED,))
