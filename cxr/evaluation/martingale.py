"""Evidence, figure by figure, that a stream of figures is no longer what it was.

It owns tests that may be looked at after every figure, for as long as figures come. A
player starts with a capital of 1 and bets against "nothing has changed" in fair games:
then the chance that the capital ever reaches `limit` is at most 1 / `limit`, however
long the stream and however often one looks (Ville). The capital is an e-value.

From which figure on to bet is not known, so the capital is laid out over all of them
beforehand: half over the first `HALF_LIFE`, and what is left for later ones falls so
slowly that a change after thousands of figures costs little more than one after
hundreds.

Two games are played. Among figures that come from one source in any order, the rank of
each among those before it is uniform and independent of the ranks before: bets are that
ranks lean to one side. Of hits whose share is stated to be at most so much, bets are
that it is larger.

Reference:
    Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2nd ed. (2022),
    chapter 8 (conformal test martingales); Ville, Etude critique de la notion de
    collectif (1939); Shin, Ramdas and Rinaldo, New Engl. J. Stat. Data Sci. 2 (2024)
    229-260 (capital laid out over the time of a change); Waudby-Smith and Ramdas,
    J. R. Stat. Soc. B 86 (2024) 1-27 (bets on a share).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cxr.evaluation.estimates import Mask
from cxr.evaluation.inputs import Floats, finite, require_between

LEANS = (-1.0, -0.5, -0.25, 0.25, 0.5, 1.0)  # of ranks, in standard deviations
TIMES = (1.25, 1.5, 2.0, 3.0)  # the odds of a hit against those of the stated share
HALF_LIFE = 500

_BLOCK = 512  # figures that are ranked at once


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """What the player owns after each figure.

    Attributes:
        log_capital: natural log of it, `float64`, shape `(n,)`.
        gains: log of what each bet made of 1 from the first figure on, shape
            `(bets, n)`.
    """

    log_capital: Floats
    gains: Floats

    def reached(self, limit: float) -> int | None:
        """Returns the row with which the capital first reached a limit, or None."""
        rows = np.flatnonzero(self.log_capital >= np.log(limit))
        return int(rows[0]) if rows.size else None

    def changed_at(self, row: int) -> int:
        """Returns the row from which on bets until `row` paid most.

        Each counts with what was laid out for it: it is the likeliest time of the
        change, if the capital's lay-out is taken for its chance beforehand.
        """
        paid = self.gains[:, row, np.newaxis] - _before(self.gains)[:, : row + 1]
        weighed = np.logaddexp.reduce(paid, axis=0) + log_laid_out(row + 1)
        return int(weighed.argmax())


def ranks(values: ArrayLike, *, seed: int = 0) -> Floats:
    """Returns the rank of each value among those before it, in `(0, 1)`.

    Ties are broken by chance, and so is the place between two neighbours. A rank
    depends on no later value.

    Args:
        values: in the order in which they came, finite, shape `(n,)`.
        seed: of the chance.

    Returns:
        `float64`, shape `(n,)`; near 1 for a value above nearly all before it.
    """
    came = finite(values, name="values")
    chance = np.random.default_rng(seed).random(came.size)
    earlier, found = np.empty(0), np.empty(came.size)
    for start in range(0, came.size, _BLOCK):
        block = came[start : start + _BLOCK]
        less, equal = _among(earlier, block)
        before = np.arange(start, start + block.size)
        drawn = chance[start : start + _BLOCK]
        found[start : start + _BLOCK] = (less + drawn * (equal + 1)) / (before + 1)
        earlier = np.sort(np.concatenate([earlier, block]), kind="stable")
    return np.clip(found, 1e-12, 1 - 1e-12)


def leaning(uniform: Floats) -> Evidence:
    """Returns what a player owns who bets that ranks come to lean to one side.

    Args:
        uniform: as `ranks` gives them, shape `(n,)`.
    """
    from scipy import special  # half a second, which a prediction must not wait for

    leans = np.array(LEANS)[:, np.newaxis]
    # The odds of a normal figure that was moved by a lean against one that was not.
    return played(leans * special.ndtri(uniform) - leans**2 / 2)


def exceeding(hits: Mask, at_most: float) -> Evidence:
    """Returns what a player owns who bets that hits are more frequent than stated.

    Args:
        hits: shape `(n,)`.
        at_most: the stated share, in `(0, 1)`.
    """
    require_between(at_most, 0, 1, name="at_most")
    odds = np.array(TIMES)[:, np.newaxis] * at_most / (1 - at_most)
    share = odds / (1 + odds)
    return played(
        np.where(hits, np.log(share / at_most), np.log((1 - share) / (1 - at_most)))
    )


def played(steps: Floats) -> Evidence:
    """Returns what a player owns who divides the capital evenly between bets.

    Args:
        steps: log of what each bet makes of 1 with each figure, on average no more
            than 1 as long as nothing changes, shape `(bets, n)`.
    """
    gains = np.cumsum(steps, axis=1)
    n = gains.shape[1]
    begun = gains + np.logaddexp.accumulate(log_laid_out(n) - _before(gains), axis=1)
    kept = np.log(HALF_LIFE / (HALF_LIFE + 1 + np.arange(n)))
    owned = np.logaddexp.reduce(np.logaddexp(begun, kept), axis=0)
    return Evidence(log_capital=owned - np.log(len(gains)), gains=gains)


def _among(
    earlier: Floats, block: Floats
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns how many values before each one are less than it, and how many equal."""
    before = np.tri(block.size, k=-1, dtype=np.bool_)
    own = block[:, np.newaxis]
    left, right = (np.searchsorted(earlier, block, side) for side in ("left", "right"))
    less = left + (before & (block < own)).sum(axis=1)
    equal = right - left + (before & (block == own)).sum(axis=1)
    return less, equal


def _before(gains: Floats) -> Floats:
    """Returns what the gains were before each figure."""
    return np.concatenate([np.zeros((len(gains), 1)), gains[:, :-1]], axis=1)


def log_laid_out(n: int) -> Floats:
    """Returns the log of the capital laid out for bets from each of `n` rows on.

    Over all rows without end it sums to 1.
    """
    row = HALF_LIFE + np.arange(n)
    return np.asarray(np.log(HALF_LIFE) - np.log(row) - np.log(row + 1))
