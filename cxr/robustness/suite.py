"""All parts of the suite on one network, as one document."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from cxr.robustness import heatmaps, markers, shifts, strata, style, twins
from cxr.robustness.films import FilmSet
from cxr.robustness.heatmaps import HeatmapReport
from cxr.robustness.markers import MarkerReport
from cxr.robustness.measures import Figures, figures
from cxr.robustness.shifts import ShiftReport
from cxr.robustness.strata import StrataReport
from cxr.robustness.style import StyleReport
from cxr.robustness.subjects import Subject
from cxr.robustness.twins import TwinReport, Twins

SHIFTS, MARKERS, STRATA = "shifts", "markers", "strata"
STYLE, TWINS, HEATMAP = "style", "twins", "heatmap"
SUITES = (SHIFTS, MARKERS, STRATA, STYLE, TWINS, HEATMAP)

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class Report:
    """The results of the suite; a part that did not run is None.

    Attributes:
        name: of the network.
        threshold: of its probability.
        n: films.
        n_positive: of them with pneumonia.
        n_patients: their patients.
        seen: of them, how many trained, tuned or calibrated the network.
        seed: of everything that was drawn.
        seconds: that it took.
        unchanged: the network on the films as they are.
        shifts: synthetic shifts of acquisition.
        markers: markers added, moved and erased.
        strata: fifths of file size, sharpness and mean grey.
        style: films whose style votes for the wrong class; groups of style.
        twins: originals against their reduced copies.
        heatmap: faithfulness of the heat map, and where its heat lies.
    """

    name: str
    threshold: float
    n: int
    n_positive: int
    n_patients: int
    seen: int
    seed: int
    seconds: float
    unchanged: Figures
    shifts: ShiftReport | None = None
    markers: MarkerReport | None = None
    strata: StrataReport | None = None
    style: StyleReport | None = None
    twins: TwinReport | None = None
    heatmap: HeatmapReport | None = None

    @property
    def passed(self) -> bool:
        """Whether every part that ran reaches its bars; style has none."""
        parts = (self.shifts, self.markers, self.strata, self.twins, self.heatmap)
        return all(part.passed is not False for part in parts if part is not None)


def run(
    subject: Subject,
    films: FilmSet,
    *,
    suites: Sequence[str] = SUITES,
    everything: FilmSet | None = None,
    pairs: Twins | None = None,
    all_twins: bool = False,
    seed: int = 0,
    progress: Progress = lambda part, done, total: None,
) -> Report:
    """Returns the results of these parts of the suite.

    Args:
        subject: the network under test.
        films: labelled films that it has not learnt from.
        suites: some of `SUITES`.
        everything: all films of the data folder, those that trained the network too,
            for the classifier of style; without them `films` serve.
        pairs: originals with their reduced copies; without them no twins are measured.
        all_twins: whether pairs of patients who trained the network count too.
        seed: of everything that is drawn.
        progress: told which part is where.

    Raises:
        ValueError: there is no such part.
        DatasetError: the films are too few for the classifier of style.
    """
    if unknown := set(suites) - set(SUITES):
        raise ValueError(f"expected parts among {SUITES}, received {sorted(unknown)}")

    def told(part: str) -> Callable[[int, int], None]:
        return lambda done, total: progress(part, done, total)

    parts: dict[str, Callable[[], Any]] = {
        SHIFTS: lambda: shifts.measure(
            subject, films, seed=seed, progress=told(SHIFTS)
        ),
        MARKERS: lambda: markers.measure(subject, films, seed=seed),
        STRATA: lambda: strata.measure(subject, films),
        STYLE: lambda: style.measure(subject, everything or films),
        TWINS: lambda: pairs and twins.measure(subject, pairs, with_trained=all_twins),
        HEATMAP: lambda: heatmaps.measure(
            subject, films, seed=seed, progress=told(HEATMAP)
        ),
    }
    started = time.monotonic()
    probabilities = subject.probabilities(films.pixels)
    results = {name: measure() for name, measure in parts.items() if name in suites}
    return Report(
        name=subject.name,
        threshold=subject.threshold,
        n=len(films),
        n_positive=int(films.labels.sum()),
        n_patients=len(set(films.patients.tolist())),
        seen=int((~films.in_splits(("", "test"))).sum()),
        seed=seed,
        seconds=time.monotonic() - started,
        unchanged=figures(
            films.labels, probabilities, films.patients, subject.threshold
        ),
        **results,
    )
