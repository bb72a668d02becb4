"""Where a threshold lies among the scores of another place, from films without labels.

It owns the fit: the logits of normal and of pneumonia films that the model knows, each
as a density, are shifted and stretched together (`a + b x`) and mixed by an unknown
share, until the mixture is as likely as it can be for the films of the other place. A
weak pull towards "no shift" decides where the films do not. The threshold moves with
`a` and `b`. A model that knows films of more than one kind of place has a pair of
densities for each, and which of them these films are like is fitted too.

The likelihood is computed on a grid of kinds, shifts, scales and shares, whose mean by
posterior weight is the fit. A bootstrap over patients is then one matrix product, and
says how far the fit can be trusted.

Reference:
    Saerens, Latinne and Decaestecker, Neural Comput. 14 (2002) 21-41 (share by
    likelihood); Jiang et al., Nat. Commun. 14 (2023) 6757 (a site's threshold without
    labels, in mammography).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cxr.evaluation.estimates import Z95, Estimate, Mask, proportion, score_limits
from cxr.evaluation.inputs import (
    Floats,
    Integers,
    finite,
    labels_and_scores,
    patient_codes,
)
from cxr.evaluation.kinds import Kind, kind

FEWEST = 100  # films below which nothing is proposed
WIDEST_SHARE = 0.35  # of an interval by which a share counts as known
FURTHEST = 3.0  # logits that a threshold may move
LEAST_FIT = 0.01  # p of the test of the films against the fit
# Share of the films by which their distribution and the fit must differ besides: among
# many films a test sees what no threshold would notice.
LEAST_DISTANCE = 0.1
LOWEST_SHARE, HIGHEST_SHARE = 0.005, 0.995
DRAWS, HOME_DRAWS = 200, 60  # of the bootstraps
# Log odds against the best point from which on a point is left out of the draws: other
# patients do not turn that round.
UNLIKELY = 60.0

SHIFT_SPREAD, SCALE_SPREAD = 2.0, 0.25  # of the pull: logits, and log of the scale

_SHIFTS = np.arange(-4.0, 8.01, 0.2)
_SCALES = np.exp(np.arange(-0.8, 0.41, 0.1))

FEW, SHARE, FAR, CONTRADICTED = (
    "too-few-films",
    "share-not-known",
    "too-far",
    "films-contradict",
)


@dataclass(frozen=True, kw_only=True)
class Reference:
    """The kinds of place that a model knows.

    Attributes:
        home: where its threshold was chosen.
        others: further ones; none for most models.
        spread: standard deviation in logits by which the place of the threshold would
            differ if other patients had been at home.
        well_spread: likewise, of the share of normal films above the threshold.
        ill_spread: likewise, of the share of films with pneumonia below it.
    """

    home: Kind
    others: tuple[Kind, ...] = ()
    spread: float = 0.0
    well_spread: float = 0.0
    ill_spread: float = 0.0

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """All of them, home first."""
        return (self.home, *self.others)


@dataclass(frozen=True, kw_only=True)
class Fit:
    """What the films of another place say about shift, scale and share.

    Attributes:
        threshold: the aligned threshold, in logits, with its interval.
        share: of pneumonia among the films, `[0, 1]`, likewise.
        shift: logits by which scores lie higher there, `a`.
        scale: by which they are stretched, `b`.
        films: that it rests on.
        patients: of these films.
        fit_p: of the test of the films against the fit; small if they contradict it.
        kind: which of the model's kinds of place they are most like; 0 is home.
        doubts: codes of what speaks against using it; empty if nothing does.
    """

    threshold: Estimate
    share: Estimate
    shift: float
    scale: float
    films: int
    patients: int
    fit_p: float
    kind: int
    doubts: tuple[str, ...]


def reference(
    y_true: ArrayLike,
    logits: ArrayLike,
    *,
    threshold: float,
    groups: ArrayLike | None = None,
    seed: int = 0,
) -> Reference:
    """Returns the densities of both classes, by a Gaussian kernel.

    Args:
        y_true: 0 or 1, shape `(n,)`.
        logits: finite, shape `(n,)`.
        threshold: at home, in logits.
        groups: patient of each film, shape `(n,)`.
        seed: of the draws of other patients.

    Raises:
        ValueError: shapes differ or a class has no film.
    """
    labels, values = labels_and_scores(y_true, logits)
    home = kind(labels, values)
    patients = patient_codes(groups, values.size)
    codes = np.arange(values.size) if patients is None else patients
    places = [
        labelled_place(home, labels, values, weights, threshold)
        for weights in _draws(codes, seed, HOME_DRAWS)[1:].astype(np.float64)
    ]
    above = values >= threshold
    return Reference(
        home=home,
        spread=float(np.std(places)),
        well_spread=_deviation(above, labels == 0, codes),
        ill_spread=_deviation(~above, labels == 1, codes),
    )


def _deviation(hit: Mask, trial: Mask, codes: Integers) -> float:
    """Returns the standard deviation of a share, by the width of its interval."""
    estimate = proportion(hit, trial, codes)
    return (estimate.high - estimate.low) / (2 * Z95)


def fit(
    home: Reference,
    logits: ArrayLike,
    *,
    threshold: float,
    groups: ArrayLike | None = None,
    share: tuple[float, float] = (LOWEST_SHARE, HIGHEST_SHARE),
    seed: int = 0,
) -> Fit:
    """Returns where a threshold lies among the logits of another place.

    Args:
        home: the kinds of place that the model knows.
        logits: of the films there, finite, shape `(n,)`.
        threshold: at home, in logits.
        groups: patient of each film, shape `(n,)`.
        share: range of the share of pneumonia there that is thought possible.
        seed: of the bootstrap.

    Raises:
        ValueError: the range is empty, or there are not n patients.
    """
    values = finite(logits, name="logits")
    patients = patient_codes(groups, values.size)
    codes = np.arange(values.size) if patients is None else patients
    weights = _draws(codes, seed)
    grid, posteriors = _posteriors(home, values, weights, share)
    thresholds = posteriors @ (grid.shift + grid.scale * threshold)
    found = 1 / (1 + np.exp(-(posteriors @ np.log(grid.share / (1 - grid.share)))))
    likeliest = grid.at(posteriors[0].argmax())
    fit_p, distance = _agreement(home.kinds[int(likeliest.kind)], values, likeliest)
    estimates = _place(thresholds, home.spread), _share(found, home)
    return Fit(
        threshold=estimates[0],
        share=estimates[1],
        shift=float(posteriors[0] @ grid.shift),
        scale=float(math.exp(posteriors[0] @ np.log(grid.scale))),
        films=values.size,
        patients=int(codes.max()) + 1,
        fit_p=fit_p,
        kind=int(np.bincount(grid.kind, posteriors[0]).argmax()),
        doubts=_doubts(
            values.size,
            *estimates,
            threshold,
            contradicted=fit_p < LEAST_FIT and distance > LEAST_DISTANCE,
        ),
    )


def labelled_place(
    home: Kind,
    labels: Integers,
    logits: Floats,
    weights: Floats,
    threshold: float,
) -> float:
    """Returns where a threshold lies among films whose labels are known.

    Args:
        home: the densities of the kind of place that they are like.
        labels: 1 for pneumonia, shape `(n,)`.
        logits: of the films, shape `(n,)`.
        weights: how often each film counts, shape `(n,)`.
        threshold: at home, in logits.
    """

    from scipy import optimize

    def unlikely(parameters: Floats) -> float:
        shift, log_scale = parameters
        x = (logits - shift) / math.exp(log_scale)
        normal, ill = (np.interp(x, home.at, f) for f in (home.normal, home.ill))
        likely = np.log(np.maximum(np.where(labels == 1, ill, normal), 1e-30))
        return float(weights @ (log_scale - likely))

    shift, log_scale = optimize.minimize(
        unlikely, np.zeros(2), method="Nelder-Mead", options={"xatol": 0.01}
    ).x
    return float(shift + math.exp(log_scale) * threshold)


def _doubts(
    films: int,
    moved: Estimate,
    share: Estimate,
    threshold: float,
    *,
    contradicted: bool,
) -> tuple[str, ...]:
    reach = max(abs(moved.low - threshold), abs(moved.high - threshold))
    doubts = {
        FEW: films < FEWEST,
        SHARE: share.high - share.low > WIDEST_SHARE,
        FAR: reach > FURTHEST,
        CONTRADICTED: contradicted,
    }
    return tuple(code for code, holds in doubts.items() if holds)


def _draws(codes: Integers, seed: int, draws: int = DRAWS) -> NDArray[np.float32]:
    """Returns how often each film is in each draw of patients; all once in the first.

    `float32`, shape `(1 + draws, n)`.
    """
    rng = np.random.default_rng(seed)
    m = int(codes.max()) + 1
    times = rng.multinomial(m, np.full(m, 1 / m), size=draws)
    whole = np.ones((1, m), np.int64)
    return np.concatenate([whole, times])[:, codes].astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class _Grid:
    """Points of the grid, each attribute of shape `(points,)`."""

    kind: Integers
    shift: Floats
    scale: Floats
    share: Floats

    def at(self, chosen: Integers | NDArray[np.bool_] | np.integer) -> "_Grid":
        """Returns these points."""
        return _Grid(
            kind=self.kind[chosen],
            shift=self.shift[chosen],
            scale=self.scale[chosen],
            share=self.share[chosen],
        )


def _posteriors(
    home: Reference,
    values: Floats,
    weights: NDArray[np.float32],
    share: tuple[float, float],
) -> tuple[_Grid, Floats]:
    """Returns the points of the grid that count, and their weight in each draw.

    Weights have the shape `(draws, points)`; those of a draw have a sum of 1.
    """
    axes = np.arange(len(home.kinds)), _SHIFTS, _SCALES, _shares(*share)
    places = np.indices([axis.size for axis in axes]).reshape(len(axes), -1)
    grid = _Grid(
        **{
            name: axis[place]
            for name, axis, place in zip(
                ("kind", "shift", "scale", "share"), axes, places, strict=True
            )
        }
    )
    rows = np.ravel_multi_index(tuple(places[:3]), [axis.size for axis in axes[:3]])
    densities = _densities(home, values)
    # The density of what was stretched by b is that at home, divided by b.
    films = weights.sum(axis=1)
    pull, stretch = log_pull(grid.shift, grid.scale), np.log(grid.scale)
    whole = np.concatenate(
        [
            _log_likely(densities, rows[part], grid.share[part]).sum(axis=1)
            for part in np.array_split(np.arange(rows.size), axes[3].size)
        ]
    )
    whole += pull - values.size * stretch
    kept = np.flatnonzero(whole > whole.max() - UNLIKELY)
    totals = weights @ _log_likely(densities, rows[kept], grid.share[kept]).T
    totals = (
        totals.astype(np.float64) + pull[kept] - films[:, np.newaxis] * stretch[kept]
    )
    likely = np.exp(totals - totals.max(axis=1, keepdims=True))
    return grid.at(kept), likely / likely.sum(axis=1, keepdims=True)


def _densities(
    home: Reference, values: Floats
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Returns the densities of normal and ill films for each kind, shift and scale.

    Each of shape `(kinds * shifts * scales, n)`, in that order.
    """
    home_at = (values - _SHIFTS[:, np.newaxis, np.newaxis]) / _SCALES[:, np.newaxis]
    normal, ill = (
        np.concatenate(
            [np.interp(home_at, known.at, getattr(known, name)) for known in home.kinds]
        ).reshape(-1, values.size)
        for name in ("normal", "ill")
    )
    return normal.astype(np.float32), ill.astype(np.float32)


def _log_likely(
    densities: tuple[NDArray[np.float32], NDArray[np.float32]],
    rows: Integers,
    share: Floats,
) -> NDArray[np.float32]:
    """Returns the log density of each film at these points, shape `(points, n)`."""
    normal, ill = (density[rows] for density in densities)
    p = share.astype(np.float32)[:, np.newaxis]
    return np.log(np.maximum(p * ill + (1 - p) * normal, np.float32(1e-30)))


def log_pull(shift: Floats, scale: Floats) -> Floats:
    """Returns the log of the pull towards "no shift", but for a constant, elementwise.

    Args:
        shift: in logits.
        scale: above 0, of that shape.
    """
    far, wide = shift / SHIFT_SPREAD, np.log(scale) / SCALE_SPREAD
    return np.asarray(-(far**2) / 2 - wide**2 / 2)


def _shares(low: float, high: float) -> Floats:
    """Returns the shares of the grid, even in their log odds, within a range."""
    if not LOWEST_SHARE <= low <= high <= HIGHEST_SHARE:
        raise ValueError(
            f"expected a range within {LOWEST_SHARE} to {HIGHEST_SHARE}, received "
            f"{low} to {high}"
        )
    ends = np.log([low / (1 - low), high / (1 - high)])
    n = 1 + math.ceil((ends[1] - ends[0]) / 0.27)
    return 1 / (1 + np.exp(-np.linspace(ends[0], ends[1], n)))


def _share(draws: Floats, home: Reference) -> Estimate:
    """Returns the first of the draws with a score interval.

    It is that of a share of so many films that it would vary as the draws do, and as it
    would with other patients at home: the draws' own quantiles are too narrow for small
    shares.
    """
    value = float(draws[0])
    at_home = math.hypot((1 - value) * home.well_spread, value * home.ill_spread)
    variance = float(np.var(draws[1:])) + at_home**2
    low, high = score_limits(value, value * (1 - value) / max(variance, 1e-12))
    return Estimate(value=value, low=low, high=high)


def _place(draws: Floats, spread: float) -> Estimate:
    """Returns the first of the draws with the interval of the others.

    A further spread is added to it as an independent one.
    """
    value = float(draws[0])
    low, high = np.quantile(draws[1:], (0.025, 0.975))
    further = Z95 * spread
    return Estimate(
        value=value,
        low=value - math.hypot(max(value - float(low), 0), further),
        high=value + math.hypot(max(float(high) - value, 0), further),
    )


def _agreement(known: Kind, values: Floats, fitted: _Grid) -> tuple[float, float]:
    """Returns p and distance of Kolmogorov's test of the films against the fit.

    Fitted to the same films, the test is lenient: what it refuses is far off.
    """
    from scipy import stats

    mixed = fitted.share * known.ill + (1 - fitted.share) * known.normal
    below = np.cumsum(mixed)
    below /= below[-1]

    def cdf(x: Floats) -> Floats:
        return np.asarray(np.interp((x - fitted.shift) / fitted.scale, known.at, below))

    test = stats.kstest(values, cdf)
    return float(test.pvalue), float(test.statistic)
