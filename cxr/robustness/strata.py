"""The network among films that are alike in a plain figure.

Within a stratum the figure tells little about the label, so an AUC there can't come
from it. The size of a file is that of the file in the data folder: of reduced films it
is their JPEG's and not the original's.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxr.datasets import survey
from cxr.robustness.films import FilmSet
from cxr.robustness.measures import Figures, figures
from cxr.robustness.subjects import Subject

STRATA = 5
FEWEST = 20  # films of either class, below which a stratum says nothing
LEAST_AUC = 0.98

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Stratum:
    """The films with a figure in one range.

    Attributes:
        figure: what is alike: "file size", "sharpness" or "mean grey".
        low: smallest value, in bytes, as a ratio, or in grey levels.
        high: largest value.
        figures: the network on these films.
        counted: whether both classes have enough films (`FEWEST`).
        passed: whether the AUC reaches the bar, or does not count.
    """

    figure: str
    low: float
    high: float
    figures: Figures
    counted: bool
    passed: bool


@dataclass(frozen=True, kw_only=True)
class StrataReport:
    """All strata of all figures.

    Attributes:
        least_auc: the bar.
        fewest: films of either class that a stratum needs to count.
        strata: five for each figure, from its lowest values up.
        passed: whether every stratum that counts reaches the bar.
    """

    least_auc: float
    fewest: int
    strata: tuple[Stratum, ...]
    passed: bool


def measure(subject: Subject, films: FilmSet) -> StrataReport:
    """Returns the network's figures in fifths of file size, sharpness and mean grey."""
    probabilities = subject.probabilities(films.pixels)
    strata: list[Stratum] = []
    for name, values in plain_figures(films).items():
        for rows in fifths(values):
            measured = figures(
                films.labels[rows],
                probabilities[rows],
                films.patients[rows],
                subject.threshold,
            )
            strata.append(_stratum(name, values[rows], measured))
    return StrataReport(
        least_auc=LEAST_AUC,
        fewest=FEWEST,
        strata=tuple(strata),
        passed=all(stratum.passed for stratum in strata),
    )


def plain_figures(films: FilmSet) -> dict[str, Floats]:
    """Returns file size, sharpness and mean grey of each film, shape `(n,)` each."""
    return {
        "file size": films.file_bytes.astype(np.float64),
        "sharpness": np.nan_to_num([_sharpness(film) for film in films.pixels]),
        "mean grey": films.pixels.mean(axis=(1, 2), dtype=np.float64),
    }


def fifths(values: Floats) -> list[NDArray[np.int64]]:
    """Returns the rows of each fifth of the values; equal values stay together."""
    edges = np.quantile(values, np.arange(1, STRATA) / STRATA)
    codes = np.searchsorted(edges, values, side="left")
    return [np.flatnonzero(codes == code) for code in np.unique(codes)]


def _sharpness(film: NDArray[np.uint8]) -> float:
    return survey.sharpness(film.astype(np.float32))


def _stratum(name: str, values: Floats, measured: Figures) -> Stratum:
    counted = min(measured.n_positive, measured.n - measured.n_positive) >= FEWEST
    return Stratum(
        figure=name,
        low=float(values.min()),
        high=float(values.max()),
        figures=measured,
        counted=counted,
        passed=not counted or measured.auc.value >= LEAST_AUC,
    )
