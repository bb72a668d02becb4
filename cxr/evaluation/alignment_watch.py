"""Does a threshold still lie where it belongs among the scores that are read?

It owns two questions to the densities that an alignment fits (`alignment.py`). Has the
place of the threshold moved, whatever the share of pneumonia is? A mixture of all
shifts, scales and shares bets against those that leave the threshold where it is, give
or take a tolerance, at whatever share suits these films best: that is an e-value which
may be looked at after every film. And between two spans of films: is it the share of
pneumonia that differs, the place of the threshold, or both?

A change that moves both classes as one is told apart from a change of the share. One
that moves the scores of a single class, such as milder pneumonia, is not.

Reference:
    Wasserman, Ramdas and Balakrishnan, PNAS 117 (2020) 16880-16890 (the mixture against
    the best of what is doubted).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cxr.evaluation import alignment
from cxr.evaluation.alignment import Fit, Reference
from cxr.evaluation.drift import LIMIT, MOST
from cxr.evaluation.estimates import Z95, Estimate
from cxr.evaluation.inputs import Floats
from cxr.evaluation.martingale import log_laid_out

WINDOW = 500  # latest films that are fitted
PORTION = 50  # films after which one looks

# Logits by which a threshold may stand off before anybody would act on it; added to
# what other patients at home would make of it.
TOLERANCE = 0.25
_SHIFTS = np.arange(-4.0, 4.01, 0.25)
_SCALES = np.exp(np.arange(-0.6, 0.61, 0.2))
_SHARES = 1 / (1 + np.exp(-np.linspace(-5.2, 5.2, 21)))


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a threshold lies among the films that are read.

    Attributes:
        stands: the threshold in question, in logits.
        tolerance: logits by which it may stand off.
        films: that were looked at.
        e_value: the largest so far. If the threshold is where it belongs it reaches x
            in at most one of x places.
        limit: from which on it is said that it moved.
        said_at: row of the film with which that was first said; None if it was not.
        since: row of the first film of the portion since which it most likely moved;
            None likewise.
        fit: of the latest `WINDOW` films; None with too few.
    """

    stands: float
    tolerance: float
    films: int
    e_value: float
    limit: float
    said_at: int | None
    since: int | None
    fit: Fit | None

    @property
    def moved(self) -> bool:
        """Whether chance would hardly do it."""
        return self.said_at is not None


@dataclass(frozen=True, kw_only=True)
class Apart:
    """What differs between two spans of films.

    Attributes:
        before: the fit of the first span.
        after: that of the second one.
        share: whether their intervals of the share of pneumonia are apart.
        place: whether those of the place of the threshold are.
    """

    before: Fit
    after: Fit
    share: bool
    place: bool


def place(
    home: Reference,
    logits: ArrayLike,
    *,
    threshold: float,
    stands: float | None = None,
) -> Place:
    """Returns whether a threshold still lies where it belongs.

    Args:
        home: the kinds of place that the model knows.
        logits: of the films in the order in which they were read, one for each patient,
            finite, shape `(n,)`.
        threshold: at home, in logits.
        stands: where an alignment has put it here; None for where it is at home.
    """
    values = np.asarray(logits, np.float64)
    here = threshold if stands is None else stands
    tolerance = TOLERANCE + Z95 * home.spread
    capital, starts = _capital(
        home, values, threshold, (here - tolerance, here + tolerance)
    )
    reached = np.flatnonzero(capital >= math.log(LIMIT))
    portion = int(reached[0]) if reached.size else None
    fitted = None
    if values.size >= alignment.FEWEST:
        fitted = alignment.fit(home, values[-WINDOW:], threshold=threshold)
    return Place(
        stands=here,
        tolerance=tolerance,
        films=values.size,
        e_value=math.exp(min(float(capital.max(initial=0)), MOST)),
        limit=LIMIT,
        said_at=None
        if portion is None
        else min((portion + 1) * PORTION, values.size) - 1,
        since=None if portion is None else int(starts[portion]) * PORTION,
        fit=fitted,
    )


def apart(
    home: Reference, before: ArrayLike, after: ArrayLike, *, threshold: float
) -> Apart | None:
    """Returns what differs between two spans of films; None if one has too few.

    Args:
        home: the kinds of place that the model knows.
        before: logits of the first span; its last `WINDOW` count, shape `(n,)`.
        after: logits of the second one; its last `WINDOW` count, shape `(m,)`.
        threshold: at home, in logits.
    """
    spans = [np.asarray(span, np.float64)[-WINDOW:] for span in (before, after)]
    if min(span.size for span in spans) < alignment.FEWEST:
        return None
    first, second = (alignment.fit(home, s, threshold=threshold) for s in spans)
    return Apart(
        before=first,
        after=second,
        share=_differ(first.share, second.share),
        place=_differ(first.threshold, second.threshold),
    )


def _capital(
    home: Reference, values: Floats, threshold: float, allowed: tuple[float, float]
) -> tuple[Floats, NDArray[np.int64]]:
    """Returns the log of the capital after each portion, and since which it grew.

    Of the bets from a portion on, what is doubted is always at its best for the films
    since then; their capital is then at most that of a fair game.
    """
    likely, prior, doubted = _log_likely(home, values, threshold, allowed)
    n = likely.shape[1] - 1
    laid_out = (
        np.logaddexp.reduceat(
            log_laid_out(n * PORTION), np.arange(0, n * PORTION, PORTION)
        )
        if n
        else np.empty(0)
    )
    capital, since = np.zeros(n), np.zeros(n, np.int64)
    for portion in range(n):
        gained = likely[:, portion + 1, np.newaxis] - likely[:, : portion + 1]
        bets = np.logaddexp.reduce(gained + prior[:, np.newaxis], axis=0)
        bets += laid_out[: portion + 1] - gained[doubted].max(axis=0)
        kept = np.log1p(-np.exp(laid_out[: portion + 1]).sum())
        capital[portion] = np.logaddexp(np.logaddexp.reduce(bets), kept)
        since[portion] = bets.argmax()
    return capital, since


def _log_likely(
    home: Reference, values: Floats, threshold: float, allowed: tuple[float, float]
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Returns log likelihoods up to each portion, prior and what is doubted.

    The first has the shape `(points, 1 + portions)`, the others `(points,)`.
    """
    rows, densities = _densities(home, values)
    portions = np.arange(0, values.size, PORTION)
    summed = np.zeros((_SHARES.size, len(rows), 1 + portions.size))
    for share, out in zip(_SHARES, summed, strict=True):
        mixed = share * densities[1] + (1 - share) * densities[0]
        log = np.log(np.maximum(mixed, 1e-30)) - np.log(rows[:, 1:])
        if portions.size:
            out[:, 1:] = np.cumsum(np.add.reduceat(log, portions, axis=1), axis=1)
    at = rows[:, 0] + rows[:, 1] * threshold
    doubted = (at >= allowed[0]) & (at <= allowed[1])
    pull = alignment.log_pull(rows[:, 0], rows[:, 1])
    prior = np.tile(
        pull - np.logaddexp.reduce(pull) - math.log(_SHARES.size), _SHARES.size
    )
    return summed.reshape(-1, 1 + portions.size), prior, np.tile(doubted, _SHARES.size)


def _densities(home: Reference, values: Floats) -> tuple[Floats, tuple[Floats, Floats]]:
    """Returns shift and scale of each row, and both densities of each film in it."""
    shift, scale = (grid.ravel() for grid in np.meshgrid(_SHIFTS, _SCALES))
    rows = np.tile(np.stack([shift, scale], axis=1), (len(home.kinds), 1))
    at = (values - shift[:, np.newaxis]) / scale[:, np.newaxis]
    normal, ill = (
        np.concatenate(
            [np.interp(at, known.at, getattr(known, name)) for known in home.kinds]
        )
        for name in ("normal", "ill")
    )
    return rows, (normal, ill)


def _differ(a: Estimate, b: Estimate) -> bool:
    """Returns whether the interval of the difference of two estimates excludes 0."""
    if a.value > b.value:
        a, b = b, a
    return b.value - a.value > math.hypot(a.high - a.value, b.value - b.low)
