"""The same films with burned-in markers added, moved and erased."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxr.robustness import letters
from cxr.robustness.films import FilmSet
from cxr.robustness.letters import Found
from cxr.robustness.measures import Change, Figures, change, figures
from cxr.robustness.subjects import Subject

MOST_CHANGE, MOST_FLIPPED = 0.02, 0.01
ADDED, MOVED, ERASED = "added", "moved", "erased"

Pixels = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class MarkerResult:
    """A network on films whose letters were changed in one way.

    Attributes:
        name: added, moved or erased.
        n: films that were changed; moved and erased needs letters that were found.
        figures: on the changed films.
        change: against the same films as they are.
        passed: whether mean change and share of flipped decisions keep to the bars.
    """

    name: str
    n: int
    figures: Figures
    change: Change
    passed: bool


@dataclass(frozen=True, kw_only=True)
class MarkerReport:
    """The three ways.

    Attributes:
        most_change: the bar of the mean absolute change of probability.
        most_flipped: the bar of the share of flipped decisions.
        found_normal: share of the normal films on which letters were found.
        found_pneumonia: the same of the pneumonia films; nan without such films.
        results: added, moved, erased.
        passed: whether all three keep to the bars.
    """

    most_change: float
    most_flipped: float
    found_normal: float
    found_pneumonia: float
    results: tuple[MarkerResult, ...]
    passed: bool


def measure(subject: Subject, films: FilmSet, *, seed: int = 0) -> MarkerReport:
    """Returns how far markers move the network's answers.

    Args:
        subject: the network under test.
        films: labelled; where letters are is found by `letters.find`.
        seed: of the letters that are added.
    """
    before = subject.probabilities(films.pixels)
    found = [letters.find(film) for film in films.pixels]
    has = np.array([bool(item.letters) for item in found], np.bool_)
    every = np.ones(len(films), np.bool_)
    results = []
    for name, rows in ((ADDED, every), (MOVED, has), (ERASED, has)):
        if rows.any():
            changed = _changed(films, found, np.flatnonzero(rows), name, seed)
            results.append(
                _result(name, subject, films.at(rows), before[rows], changed)
            )
    return MarkerReport(
        most_change=MOST_CHANGE,
        most_flipped=MOST_FLIPPED,
        found_normal=_share(has[films.labels == 0]),
        found_pneumonia=_share(has[films.labels == 1]),
        results=tuple(results),
        passed=all(result.passed for result in results),
    )


def _changed(
    films: FilmSet, found: list[Found], rows: NDArray[np.int64], name: str, seed: int
) -> NDArray[np.uint8]:
    def added(film: Pixels, row: int) -> Pixels:
        drawn = [seed, int(films.sha256[row][:12], 16)]
        return letters.add(film, np.random.default_rng(drawn))

    operations: dict[str, Callable[[Pixels, int], Pixels]] = {
        ADDED: added,
        MOVED: lambda film, row: letters.move(film, found[row]),
        ERASED: lambda film, row: letters.erase(film, found[row]),
    }
    operation = operations[name]
    changed = [operation(films.pixels[row].astype(np.float32), row) for row in rows]
    return np.rint(np.clip(changed, 0, 255)).astype(np.uint8)


def _result(
    name: str,
    subject: Subject,
    films: FilmSet,
    before: NDArray[np.float64],
    changed: NDArray[np.uint8],
) -> MarkerResult:
    after = subject.probabilities(changed)
    moved = change(before, after, films.patients, subject.threshold)
    return MarkerResult(
        name=name,
        n=len(films),
        figures=figures(films.labels, after, films.patients, subject.threshold),
        change=moved,
        passed=moved.mean.value <= MOST_CHANGE and moved.flipped.value <= MOST_FLIPPED,
    )


def _share(mask: NDArray[np.bool_]) -> float:
    return float(mask.mean()) if mask.size else float("nan")
