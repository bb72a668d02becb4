"""Everything a page shows of one set of scored films, at any threshold, quickly.

What does not depend on the threshold is worked out once; what does takes milliseconds,
also for 100,000 films. Nothing here draws: it gives the numbers of the drawings,
thinned to what a screen can show.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike

from cxr.evaluation.answered import ThreeAnswers, answers_in
from cxr.evaluation.estimates import Estimate, Mask, proportion
from cxr.evaluation.inputs import Floats, Integers, require_between
from cxr.evaluation.operating import LocalRates, OperatingPoint
from cxr.evaluation.ranking import auc_estimate
from cxr.evaluation.reliability import ReliabilityCurve, reliability_curve
from cxr.evaluation.subgroups import SubgroupRates
from cxr.evaluation.thresholds import OperatingCurve, operating_points

POINTS = 400
BINS = 40
# Below the threshold, without an answer, above it: normal films, then pneumonia films.
CELLS = ("tn", "nw", "fp", "fn", "ni", "tp")


@dataclass(frozen=True, kw_only=True, eq=False)
class CurveLines:
    """The operating curve thinned for drawing; all of shape `(k,)`, rising threshold.

    Undefined values are nan.
    """

    thresholds: Floats
    sensitivity: Floats
    specificity: Floats
    precision: Floats
    npv: Floats
    f1: Floats
    accuracy: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class ScoreHistogram:
    """Films by score, in bins of equal width.

    Attributes:
        edges: bin i is `[edges[i], edges[i + 1])`, the last with 1; `(n_bins + 1,)`.
        normal: normal films in each bin, `int64`, shape `(n_bins,)`.
        pneumonia: pneumonia films in each bin, likewise.
    """

    edges: Floats
    normal: Integers
    pneumonia: Integers


@dataclass(frozen=True, kw_only=True)
class View:
    """What moves with the threshold.

    Attributes:
        point: counts and rates with intervals.
        answers: with the zone without an answer.
        local: the rates of the threshold for 1,000 patients of the local prevalence;
            None where that is not stated.
        subgroups: rates of each part, in the order of the parts.
    """

    point: OperatingPoint
    answers: ThreeAnswers
    local: LocalRates | None
    subgroups: tuple[SubgroupRates, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Overview:
    """One set of scored films, ready for any threshold.

    Attributes:
        curve: all decisions that the scores allow.
        lines: the same, thinned for drawing.
        histogram: of the scores, by class.
        reliability: of the probabilities.
        reliability_before: of the probabilities before calibration; None if not given.
        auc: with its interval; undefined for one class.
        subgroup_auc: of each part, by its name.
    """

    curve: OperatingCurve
    lines: CurveLines
    histogram: ScoreHistogram
    reliability: ReliabilityCurve
    reliability_before: ReliabilityCurve | None
    auc: Estimate
    subgroup_auc: dict[str, Estimate]
    _parts: dict[str, "_Part"] = field(repr=False)

    def at(
        self,
        threshold: float,
        *,
        band: tuple[float, float] | None = None,
        prevalence: float | None = None,
    ) -> View:
        """Returns what the threshold does, here and at a prevalence.

        Args:
            threshold: any number; a film is positive at or above it.
            band: edges of the zone without an answer; None for none.
            prevalence: share of local patients who are ill, between 0 and 1; None
                where nobody states one.

        Raises:
            ValueError: the threshold is nan, or that is no prevalence.
        """
        if prevalence is not None:
            require_between(prevalence, 0, 1, name="prevalence")
        point = self.curve.at(threshold)
        called = self.curve.scores >= threshold
        return View(
            point=point,
            answers=answers_in(
                self.curve.labels,
                self.curve.scores,
                band or (threshold, threshold),
                self.curve.patients,
            ),
            local=None if prevalence is None else point.locally(prevalence=prevalence),
            subgroups=tuple(
                part.rates(called, self.curve.patients, self.subgroup_auc[name])
                for name, part in self._parts.items()
            ),
        )

    def films_in_cell(self, cell: str, band: tuple[float, float]) -> Integers:
        """Returns the rows of the films in a cell of the matrix of three answers.

        The most wrong first: misses from the lowest score, false alarms from the
        highest; right calls from the one that was nearest to being wrong.

        Args:
            cell: one of `CELLS`.
            band: edges of the zone without an answer; both the threshold for none.

        Raises:
            ValueError: there is no such cell.
        """
        if cell not in CELLS:
            raise ValueError(f"expected one of {', '.join(CELLS)}, received {cell=}")
        column, of_ill = CELLS.index(cell) % 3, CELLS.index(cell) >= 3
        low, high = band
        scores = self.curve.scores
        # The upper edge decides first, as where both are the threshold.
        answer = np.where(scores >= high, 2, np.where(scores < low, 0, 1))
        inside = (answer == column) & ((self.curve.labels == 1) == of_ill)
        return self._most_wrong_first(np.flatnonzero(inside))

    def films_in_bin(self, bin_index: int, label: int) -> Integers:
        """Returns the rows of one class in a bin of the histogram, most wrong first."""
        n_bins = self.histogram.normal.size
        inside = _bins(self.curve.scores, n_bins) == bin_index
        return self._most_wrong_first(
            np.flatnonzero(inside & (self.curve.labels == label))
        )

    def _most_wrong_first(self, rows: Integers) -> Integers:
        labels, scores = self.curve.labels[rows], self.curve.scores[rows]
        return rows[np.argsort(np.where(labels == 1, scores, -scores), kind="stable")]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Part:
    name: str
    ill: Mask
    well: Mask
    n_patients: int | None

    def rates(
        self, called: Mask, patients: Integers | None, auc: Estimate
    ) -> SubgroupRates:
        return SubgroupRates(
            name=self.name,
            n_positive=int(self.ill.sum()),
            n_negative=int(self.well.sum()),
            n_patients=self.n_patients,
            sensitivity=proportion(called, self.ill, patients),
            specificity=proportion(~called, self.well, patients),
            auc=auc,
        )


def overview(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    uncalibrated: ArrayLike | None = None,
    parts: Mapping[str, Mask] | None = None,
) -> Overview:
    """Returns everything about the scored films that does not depend on a threshold.

    Args:
        y_true: 0 or 1, shape `(n,)`.
        y_score: probabilities, shape `(n,)`.
        groups: patient of each film, shape `(n,)`.
        uncalibrated: probabilities before calibration, shape `(n,)`.
        parts: subgroups, as `subgroups.by_subtype` and `by_size` give them.

    Raises:
        ValueError: an array is not of this kind.
    """
    curve = operating_points(y_true, y_score, groups=groups)
    labels, scores, patients = curve.labels, curve.scores, curve.patients
    named = {name: _part(name, mask, curve) for name, mask in (parts or {}).items()}
    auc = auc_estimate(labels, scores, patients)
    before = None
    if uncalibrated is not None:
        before = reliability_curve(labels, uncalibrated, groups=patients)
    return Overview(
        curve=curve,
        lines=thinned(curve),
        histogram=score_histogram(labels, scores),
        reliability=reliability_curve(labels, scores, groups=patients),
        reliability_before=before,
        auc=auc,
        subgroup_auc={
            name: _auc(curve, part.ill | part.well, auc) for name, part in named.items()
        },
        _parts=named,
    )


def thinned(curve: OperatingCurve, n_points: int = POINTS) -> CurveLines:
    """Returns at most about `n_points` points of a curve, where it moves most.

    Half of them are spread evenly over the threshold, half over the way that the ROC
    curve takes; both ends are among them.

    Args:
        curve: of the films.
        n_points: at least 2.
    """
    if n_points < 2:
        raise ValueError(f"expected at least 2 points, received n_points={n_points}")
    size = curve.thresholds.size
    rows = np.arange(size)
    if size > n_points:
        half = n_points // 2
        missed = (curve.n_positive - curve.true_positives) / max(curve.n_positive, 1)
        way = missed - curve.false_positives / max(curve.n_negative, 1)
        even = np.linspace(curve.thresholds[0], curve.thresholds[-1], half)
        along = np.linspace(way[0], way[-1], half)
        rows = np.unique(
            np.concatenate(
                [
                    [0, size - 1],
                    np.searchsorted(curve.thresholds, even).clip(0, size - 1),
                    np.searchsorted(way, along).clip(0, size - 1),
                ]
            )
        )
    part = replace(
        curve,
        thresholds=curve.thresholds[rows],
        true_positives=curve.true_positives[rows],
        false_positives=curve.false_positives[rows],
    )
    names = ("sensitivity", "specificity", "precision", "npv", "f1", "accuracy")
    return CurveLines(
        thresholds=part.thresholds, **{name: getattr(part, name) for name in names}
    )


def score_histogram(
    y_true: ArrayLike, y_score: ArrayLike, *, n_bins: int = BINS
) -> ScoreHistogram:
    """Returns how many films of each class have which score.

    Args:
        y_true: 0 or 1, shape `(n,)`.
        y_score: probabilities, shape `(n,)`.
        n_bins: at least 1.
    """
    if n_bins < 1:
        raise ValueError(f"expected at least one bin, received n_bins={n_bins}")
    labels, bins = np.asarray(y_true), _bins(np.asarray(y_score), n_bins)
    return ScoreHistogram(
        edges=np.linspace(0, 1, n_bins + 1),
        normal=np.bincount(bins[labels == 0], minlength=n_bins),
        pneumonia=np.bincount(bins[labels == 1], minlength=n_bins),
    )


def _part(name: str, mask: Mask, curve: OperatingCurve) -> _Part:
    inside = np.asarray(mask, dtype=bool)
    if inside.shape != curve.labels.shape:
        raise ValueError(
            f"expected {curve.labels.size} films, received part {name!r} of "
            f"{inside.shape}"
        )
    n_patients = None
    if curve.patients is not None:
        n_patients = int(np.unique(curve.patients[inside]).size)
    ill = curve.labels == 1
    return _Part(name=name, ill=ill & inside, well=~ill & inside, n_patients=n_patients)


def _auc(curve: OperatingCurve, inside: Mask, of_all: Estimate) -> Estimate:
    if inside.all():
        return of_all
    if not inside.any():
        return Estimate(value=math.nan, low=math.nan, high=math.nan)
    patients = None if curve.patients is None else curve.patients[inside]
    return auc_estimate(curve.labels[inside], curve.scores[inside], patients)


def _bins(scores: Floats, n_bins: int) -> Integers:
    return np.minimum((scores * n_bins).astype(np.int64), n_bins - 1)
