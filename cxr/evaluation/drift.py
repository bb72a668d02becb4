"""Has what a model reads moved? Scores, the gate's distance, tone, films unanswered.

It owns the figures of each film, held against the films that were read before it and
against the model's own, and what is said when chance would hardly do it. All tests
together raise a false alarm in at most `FALSE_ALARMS` of the places, over all films
that are ever read there (`cxr/evaluation/martingale.py`). A film counts only if it is
the first of its patient: further ones resemble it.

Against films read before, any lasting change is noticed, of the patients as well as of
the pictures; tone tells of the pictures alone, and of a change that scores may not
answer to. Against the model's films a share of pneumonia that differs is no change:
shares are held against the class of its films that has more of it, and scores against
its densities at any share (`cxr/evaluation/alignment_watch.py`).
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from cxr.evaluation import martingale
from cxr.evaluation.estimates import Estimate, Mask, proportion
from cxr.evaluation.inputs import (
    Floats,
    Integers,
    binary,
    labels_and_scores,
    patient_codes,
    require_both_classes,
)
from cxr.evaluation.martingale import Evidence

FALSE_ALARMS = 0.02
TESTS = 8  # five figures against earlier films, three against the model's
LIMIT = TESTS / FALSE_ALARMS  # of each e-value

SCORE, DISTANCE, UNANSWERED = "score", "distance", "unanswered"
BRIGHTNESS, CONTRAST = "brightness", "contrast"
EARLIER, MODEL = "films read before", "the model's own films"

MOST = 700.0  # log of the largest e-value that a float holds
FAR_SHARE = 0.05  # of the model's films of the odder class that count as far


@dataclass(frozen=True, kw_only=True, eq=False)
class Stream:
    """Films in the order in which they were read, as columns of shape `(n,)`.

    Attributes:
        logits: of the calibrated probability; nan for a film without a score.
        distance: the gate's figure for other patients or devices (`unlike`); nan for a
            film that it was not asked about.
        unanswered: whether a film was refused, or its score lies in the zone without an
            answer.
        brightness: mean grey level, `[0, 255]`; nan where it is not known.
        contrast: standard deviation of the grey levels, likewise.
        patients: anything that tells patients apart; None where nobody knows them,
            which takes each film for another patient's.
    """

    logits: Floats
    distance: Floats
    unanswered: Mask
    brightness: Floats
    contrast: Floats
    patients: ArrayLike | None = None

    def __len__(self) -> int:
        """The number of films."""
        return len(self.unanswered)

    def firsts(self) -> Integers:
        """Returns the rows of the first film of each patient, in order."""
        codes = patient_codes(self.patients, len(self)) if len(self) else None
        if codes is None:
            return np.arange(len(self))
        return np.sort(np.unique(codes, return_index=True)[1])


@dataclass(frozen=True, kw_only=True)
class Far:
    """How far a model's own held-out films lie out.

    Attributes:
        distance: beyond which lies 1 in 20 films of the class that lies further out.
        share: of the films beyond it, of the class that has more of them.
        films: that this rests on.
    """

    distance: float
    share: Estimate
    films: int


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What a model's own held-out films lead to expect, whatever the share of ill.

    Attributes:
        unanswered: share without an answer, of the class that has more of them.
        films: that this rests on.
        far: how far out they lie; None where that was not measured.
    """

    unanswered: Estimate
    films: int
    far: Far | None = None


@dataclass(frozen=True, kw_only=True)
class Level:
    """How high a figure stands among some films.

    Attributes:
        films: how many.
        median: of the figure (for scores of the probability); nan for a share.
        share: of the films above the threshold (`SCORE`), beyond the distance of `Far`
            (`DISTANCE`; 0 without one) or without an answer (`UNANSWERED`), with its
            interval; nan for the others.
    """

    films: int
    median: float
    share: Estimate


@dataclass(frozen=True, kw_only=True)
class Drift:
    """Whether one figure has moved.

    Attributes:
        figure: one of the five.
        against: `EARLIER` or `MODEL`.
        films: that it rests on, one for each patient.
        e_value: the largest so far. If nothing has changed it reaches x in at most one
            of x places.
        limit: from which on it is said that the figure moved.
        said_at: row of the film with which that was first said; None if it was not.
        since: row of the film since which it most likely moved; None likewise.
        before: the level before that film, or of the model's films; of all films if
            nothing moved; None where it is not known.
        after: the level from it on; None if nothing moved.
    """

    figure: str
    against: str
    films: int
    e_value: float
    limit: float
    said_at: int | None
    since: int | None
    before: Level | None
    after: Level | None

    @property
    def moved(self) -> bool:
        """Whether chance would hardly do it."""
        return self.said_at is not None


def far(
    y_true: ArrayLike, distance: ArrayLike, *, groups: ArrayLike | None = None
) -> Far:
    """Returns how far a model's own films lie out.

    Args:
        y_true: 0 or 1, both present, shape `(n,)`.
        distance: of the gate, finite, shape `(n,)`.
        groups: patient of each film, shape `(n,)`.

    Raises:
        ValueError: an array is not of this kind.
    """
    labels, figures = labels_and_scores(y_true, distance)
    require_both_classes(labels)
    limit = max(
        float(np.quantile(figures[labels == label], 1 - FAR_SHARE)) for label in (0, 1)
    )
    share = larger_share(labels, figures > limit, groups=groups)
    return Far(distance=limit, share=share, films=labels.size)


def larger_share(
    y_true: ArrayLike, hits: ArrayLike, *, groups: ArrayLike | None = None
) -> Estimate:
    """Returns the share of hits of the class in which it may be larger.

    No mixture of the two classes has more.

    Args:
        y_true: 0 or 1, both present, shape `(n,)`.
        hits: 0, 1 or booleans, shape `(n,)`.
        groups: patient of each film, shape `(n,)`.

    Raises:
        ValueError: an array is not of this kind.
    """
    labels, hit = binary(y_true, name="y_true"), binary(hits, name="hits") == 1
    patients = patient_codes(groups, labels.size)
    shares = [proportion(hit, labels == label, patients) for label in (0, 1)]
    return max(shares, key=lambda share: share.high)


def drifts(
    stream: Stream, *, threshold: float, home: Expected | None = None, seed: int = 0
) -> tuple[Drift, ...]:
    """Returns what each figure says: against earlier films, then the model's own.

    Whatever was said after a film stays so when more films are read.

    Args:
        stream: the films.
        threshold: above which the share of scores is counted, in logits.
        home: of the model; None compares with films read before alone.
        seed: of the chance that breaks ties.
    """
    figures = {figure.name: figure for figure in _figures(stream, threshold, home)}
    found = [figure.against_earlier(seed) for figure in figures.values()]
    if home and home.far:
        found.append(figures[DISTANCE].against(home.far.share, home.far.films))
    if home:
        found.append(figures[UNANSWERED].against(home.unanswered, home.films))
    return tuple(found)


def _figures(
    stream: Stream, threshold: float, home: Expected | None
) -> Iterator["_Figure"]:
    columns = {
        SCORE: (stream.logits, np.nextafter(threshold, -np.inf)),
        DISTANCE: (stream.distance, home.far.distance if home and home.far else 0.0),
        UNANSWERED: (stream.unanswered.astype(np.float64), 0.5),
        BRIGHTNESS: (stream.brightness, np.nan),
        CONTRAST: (stream.contrast, np.nan),
    }
    rows = stream.firsts()
    for name, (column, over) in columns.items():
        known = rows[np.isfinite(column[rows])]
        yield _Figure(name=name, rows=known, values=column[known], over=float(over))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Figure:
    """A figure of the films that have it, one for each patient.

    Hits are the films over `over`; none are counted where it is nan.
    """

    name: str
    rows: Integers
    values: Floats
    over: float

    def against_earlier(self, seed: int) -> Drift:
        return self._said(
            EARLIER,
            lambda: martingale.leaning(martingale.ranks(self.values, seed=seed)),
        )

    def against(self, home: Estimate, films: int) -> Drift:
        """Returns whether more films than the interval of a share allows are hits."""
        at_most = min(max(home.high, 1e-3), 1 - 1e-3)
        level = Level(films=films, median=math.nan, share=home)
        return self._said(
            MODEL,
            lambda: martingale.exceeding(self.values > self.over, at_most),
            level,
        )

    def _said(
        self, against: str, play: Callable[[], Evidence], known: Level | None = None
    ) -> Drift:
        said = since = None
        e_value = 1.0
        if self.rows.size:
            evidence = play()
            e_value = math.exp(min(evidence.log_capital.max(), MOST))
            said = evidence.reached(LIMIT)
            since = None if said is None else evidence.changed_at(said)
        return Drift(
            figure=self.name,
            against=against,
            films=self.rows.size,
            e_value=e_value,
            limit=LIMIT,
            said_at=None if said is None else int(self.rows[said]),
            since=None if since is None else int(self.rows[since]),
            before=known or self._level(slice(0, since)),
            after=None if since is None else self._level(slice(since, None)),
        )

    def _level(self, part: slice) -> Level | None:
        values = self.values[part]
        if not values.size:
            return None
        hits, median = values > self.over, float(np.median(values))
        if self.name == SCORE:
            median = 1 / (1 + math.exp(-median))
        counted = not math.isnan(self.over)
        return Level(
            films=values.size,
            median=math.nan if self.name == UNANSWERED else median,
            share=proportion(hits, np.full(hits.shape, counted), None),
        )
