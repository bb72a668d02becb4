"""What the history says of a model at work: its worth by reviews, and what has moved.

It owns the way from kept readings to columns and back: which films count, where a
model's own films come from, and what is held against them. Samples never count.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cxr import documents
from cxr.errors import ModelError
from cxr.evaluation import alignment_watch, drift
from cxr.evaluation import live as live_rates
from cxr.evaluation.alignment import Reference
from cxr.evaluation.alignment_watch import Apart, Place
from cxr.evaluation.calibration import logit
from cxr.evaluation.drift import Drift, Expected, Far, Stream
from cxr.evaluation.estimates import Estimate
from cxr.evaluation.live import Live, Reviews
from cxr.models import home as held_out
from cxr.models import lungs, registry
from cxr.models.cards import Card
from cxr.models.home import HeldOut
from cxr.models.scores import SCORES
from cxr.reading.cases import REFUSED
from cxr.records import search
from cxr.records.kept import ABOVE, BELOW
from cxr.records.search import Query, Series

MEASURED = Path(__file__).with_suffix(".json")
# Films that are looked at: the latest 10,000 to 20,000. The first of them moves in
# steps, so that what is said of one film after the other belongs to one run.
MOST = 10_000


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was measured once on a model's held-out films, through the gate.

    Attributes:
        model_id: of the model.
        lungs_card_sha256: of the card of the lung network whose gate it was.
        far: how far out these films lie.
        refused: share of them that is refused, of the class that has more of them.
    """

    model_id: str
    lungs_card_sha256: str
    far: Far
    refused: Estimate


@dataclass(frozen=True, kw_only=True)
class Measurements:
    """What was measured, each by the hash of its model's weights."""

    models: dict[str, Measured]


@dataclass(frozen=True, kw_only=True, eq=False)
class Home:
    """A model's own films, which what it reads is held against.

    Attributes:
        card: of the model.
        films: that were held out from it; None for a model without any.
        reference: how their scores lie; None likewise.
        measured: through the gate; None where that was not measured, or with another
            gate.
    """

    card: Card
    films: HeldOut | None
    reference: Reference | None
    measured: Measured | None

    def expected(self, threshold: float) -> Expected | None:
        """Returns what these films lead to expect at a threshold, `(0, 1)`."""
        if self.films is None:
            return None
        low, high = logit(self.card.uncertain_band.around(threshold))
        share = drift.larger_share(
            self.films.labels,
            (self.films.logits >= low) & (self.films.logits < high),
            groups=self.films.patients,
        )
        if self.measured:
            share = _sum(share, self.measured.refused)
        return Expected(
            unanswered=share,
            films=self.films.labels.size,
            far=self.measured.far if self.measured else None,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Watch:
    """What has moved among the films that a model reads.

    Attributes:
        model_id: of the model.
        times: of the reading of each film that was looked at, UTC, ISO 8601; rows in
            `drifts` and `place` count these from 0.
        threshold: the newest one that films were read at; answers are counted at it.
        drifts: what each figure says.
        place: where the shipped threshold lies among these films; None for a model
            without held-out films.
        apart: what differs before and after the film since which scores most likely
            moved; None if they did not, or there are too few films on a side.
    """

    model_id: str
    times: tuple[str, ...]
    threshold: float
    drifts: tuple[Drift, ...]
    place: Place | None
    apart: Apart | None

    @property
    def moved(self) -> bool:
        """Whether anything did."""
        placed = self.place is not None and self.place.moved
        return placed or any(figure.moved for figure in self.drifts)


def home(models_dir: Path, card: Card) -> Home:
    """Returns a model's own films, in some seconds.

    Args:
        models_dir: the registry.
        card: of the model.

    Raises:
        ModelError: a file of the model was changed, or lacks these films.
    """
    films = reference = None
    if SCORES in card.files:
        films = held_out.films(models_dir, card)
        reference = held_out.reference(models_dir, card)
    measured = measurements().models.get(card.weights_sha256)
    if measured and measured.lungs_card_sha256 != _lungs_card(models_dir):
        measured = None
    return Home(card=card, films=films, reference=reference, measured=measured)


def live(records_dir: Path, query: Query) -> Live:
    """Returns what the films of a query say of the model by their reviews.

    Args:
        records_dir: of the history.
        query: which films; samples are left out.

    Raises:
        CxrError: the history can't be read.
    """
    return live_rates.live(reviews(search.series(records_dir, _real(query))))


def watch(records_dir: Path, query: Query, known: Home) -> Watch:
    """Returns what has moved among the films that a model reads.

    Args:
        records_dir: of the history.
        query: which films; of these, those that this model read count, no samples.
        known: the model's own films.

    Raises:
        CxrError: the history can't be read.
    """
    query = replace(_real(query), model_id=known.card.model_id)
    films = search.count(records_dir, query).cases
    series = search.series(records_dir, query, skip=_first(films))
    own = [sha256 == known.card.weights_sha256 for sha256 in series.model_sha256]
    return watched(only(series, own), known)


def watched(series: Series, known: Home) -> Watch:
    """Returns what has moved among some films, the oldest first.

    Args:
        series: of films that this model read.
        known: the model's own films.
    """
    threshold = series.threshold[-1] if len(series) else known.card.threshold.value
    films = stream(series, known.card, threshold)
    at = float(logit(threshold))
    found = drift.drifts(films, threshold=at, home=known.expected(threshold))
    place = apart = None
    if known.reference is not None:
        shipped = float(logit(known.card.threshold.value))
        rows = films.firsts()
        rows = rows[np.isfinite(films.logits[rows])]
        logits = films.logits[rows]
        place = _in_rows(
            alignment_watch.place(known.reference, logits, threshold=shipped), rows
        )
        if (since := found[0].since) is not None:
            apart = alignment_watch.apart(
                known.reference,
                logits[rows < since],
                logits[rows >= since],
                threshold=shipped,
            )
    return Watch(
        model_id=known.card.model_id,
        times=series.time,
        threshold=threshold,
        drifts=found,
        place=place,
        apart=apart,
    )


def stream(series: Series, card: Card, threshold: float) -> Stream:
    """Returns the figures of kept readings, all at one threshold.

    Args:
        series: of films that one model read.
        card: of that model.
        threshold: `(0, 1)`.
    """
    probability = _numbers(series.probability)
    low, high = card.uncertain_band.around(threshold)
    scored = np.isfinite(probability)
    logits = np.full(probability.shape, np.nan)
    logits[scored] = logit(probability[scored])
    return Stream(
        logits=logits,
        distance=_numbers(series.unlike),
        unanswered=~scored | ((probability >= low) & (probability < high)),
        brightness=_numbers(series.brightness),
        contrast=_numbers(series.contrast),
        patients=_patients(series),
    )


def reviews(series: Series) -> Reviews:
    """Returns the answers and reviews of kept readings."""
    answers, opinions = np.array(series.answer), np.array(series.opinion)
    above, below = answers == ABOVE, answers == BELOW
    seen = _numbers(series.pneumonia)
    return Reviews(
        above=above,
        below=below,
        refused=answers == REFUSED,
        reviewed=opinions != "",
        # An opinion may be on the answer at a threshold that was moved since.
        agreed=(above & (seen == 1)) | (below & (seen == 0)),
        disagreed=(above & (seen == 0)) | (below & (seen == 1)),
        pneumonia=seen,
        patients=_patients(series),
    )


def only(series: Series, wanted: Sequence[bool]) -> Series:
    """Returns the wanted rows of all columns."""
    columns = vars(series).items()
    return Series(**{name: tuple(compress(c, wanted)) for name, c in columns})


@functools.cache
def measurements() -> Measurements:
    """Returns what `benchmarks/drift.py` measured of the models that ship."""
    return documents.read(MEASURED, Measurements)


def _real(query: Query) -> Query:
    return replace(query, sample=False)


def _first(films: int) -> int:
    """Returns the row of the first film that is looked at."""
    return max(0, films // MOST - 1) * MOST


def _numbers(column: tuple[float | bool | None, ...]) -> NDArray[np.float64]:
    return np.array([np.nan if v is None else float(v) for v in column], np.float64)


def _patients(series: Series) -> ArrayLike:
    """Returns whose film each is; without a patient the same film is the same one's."""
    known = zip(series.patient, series.film, series.case_id, strict=True)
    return np.array([patient or film or case for patient, film, case in known])


def _in_rows(place: Place, rows: NDArray[np.int64]) -> Place:
    """Returns the same with rows of all films instead of those that it was given."""
    if place.said_at is None or place.since is None:
        return place
    return replace(
        place, said_at=int(rows[place.said_at]), since=int(rows[place.since])
    )


def _sum(a: Estimate, b: Estimate) -> Estimate:
    return Estimate(
        value=a.value + b.value,
        low=min(a.low + b.low, 1.0),
        high=min(a.high + b.high, 1.0),
    )


def _lungs_card(models_dir: Path) -> str:
    try:
        lungs.read_card(models_dir)
    except ModelError:
        return ""
    return registry.card_sha256(models_dir, registry.LUNGS)
