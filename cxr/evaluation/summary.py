"""All metrics of one model on one set of films, each with its interval."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from cxr.evaluation.answered import ThreeAnswers, answers_in
from cxr.evaluation.estimates import Estimate, warn_undefined
from cxr.evaluation.inputs import Floats, Integers, labels_and_scores, patient_codes
from cxr.evaluation.operating import OperatingPoint, point_at, undefined_fields
from cxr.evaluation.ranking import (
    auc_estimate,
    average_precision_estimate,
    average_precisions,
)
from cxr.evaluation.reliability import (
    N_BINS,
    brier_estimate,
    calibration_error_estimate,
    calibration_errors_if_right,
    gap_sums,
)

# Films drawn at once, 8 bytes each.
CHUNK = 2_000_000
# Films drawn in all: of many films fewer draws give the same interval.
BUDGET, FEWEST_DRAWS = 6_000_000, 60
# Scores told apart in a draw: the variance of many films needs no finer order.
DISTINCT = 2000


@dataclass(frozen=True, kw_only=True)
class Evaluation(OperatingPoint):
    """An operating point with the metrics that need no threshold.

    Attributes:
        n: films.
        n_positive: pneumonia films.
        n_patients: None when films were taken as independent.
        auc: area under the ROC curve.
        average_precision: area under the precision-recall steps.
        brier: mean squared difference of label and probability.
        ece: expected calibration error, 15 bins of equal width.
        methods: for each estimate, how its interval was made.
        answered: with the zone without an answer around the threshold; None on older
            cards, and for films that were evaluated without one.
    """

    n: int
    n_positive: int
    n_patients: int | None
    auc: Estimate
    average_precision: Estimate
    brier: Estimate
    ece: Estimate
    methods: dict[str, str]
    answered: ThreeAnswers | None = None


def evaluate(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    threshold: float,
    band: tuple[float, float] | None = None,
    groups: ArrayLike | None = None,
    n_bootstrap: int = 2000,
    seed: int = 0,
) -> Evaluation:
    """Returns every metric with its 95 % interval.

    Patients are resampled whole; without them, films. Intervals are made as
    `Evaluation.methods` says: score intervals for values that a few errors decide,
    because resampling a sample without errors only gives samples without errors.

    Args:
        y_true: 0 or 1, shape `(n,)`.
        y_score: probabilities, shape `(n,)`.
        threshold: the model's own, chosen on the validation split.
        band: edges of the zone without an answer; None leaves the three answers out.
        groups: patient of each film, shape `(n,)`.
        n_bootstrap: draws, fewer (but at least 60) for more than 3,000 films; with 0
            the intervals that need them are nan.
        seed: of the draws; the same seed gives the same intervals.

    Raises:
        ValueError: an array is not of this kind, or the threshold is nan.

    Reference:
        Field and Welsh, J. R. Stat. Soc. B 69 (2007) 369-390 (cluster bootstrap).
    """
    labels, scores = labels_and_scores(y_true, y_score, probabilities=True)
    patients = patient_codes(groups, labels.size)
    point = point_at(labels, scores, threshold, patients)
    n_bootstrap = min(n_bootstrap, max(FEWEST_DRAWS, BUDGET // labels.size))
    draws = _draws(labels, scores, patients, n_bootstrap, seed)
    evaluation = Evaluation(
        **vars(point),
        n=labels.size,
        n_positive=int(labels.sum()),
        n_patients=None if patients is None else int(patients.max()) + 1,
        auc=auc_estimate(labels, scores, patients),
        average_precision=average_precision_estimate(
            labels, scores, patients, draws.average_precision
        ),
        brier=brier_estimate(labels, scores, patients, draws.brier),
        ece=calibration_error_estimate(
            labels, scores, patients, draws.gaps, draws.ece_if_right
        ),
        methods=_methods(by_patient=patients is not None, n_bootstrap=n_bootstrap),
        answered=band and answers_in(labels, scores, band, patients),
    )
    warn_undefined(undefined_fields(evaluation))
    return evaluation


@dataclass(frozen=True, kw_only=True)
class _Draws:
    average_precision: Floats
    brier: Floats
    gaps: Floats
    ece_if_right: Floats


def _draws(
    labels: Integers,
    scores: Floats,
    patients: Integers | None,
    n_bootstrap: int,
    seed: int,
) -> _Draws:
    if patients is None:
        patients = np.arange(labels.size)
    rng = np.random.default_rng(seed)
    n, m = labels.size, int(patients.max()) + 1
    level = _levels(scores)
    order = np.argsort(level, kind="stable")
    starts = np.flatnonzero(np.diff(level[order], prepend=-1))
    ill = labels[order].astype(np.float64)
    loss = np.bincount(patients, (scores - labels) ** 2, m)
    size, gaps = np.bincount(patients, minlength=m), gap_sums(labels, scores, patients)
    rows, gap_rows = [np.empty((3, 0))], [np.empty((0, N_BINS))]
    # One patient gives the same films in every draw and no interval.
    for draws in _chunks(n_bootstrap if m > 1 else 0, n):
        times = _times(m, draws, rng)
        drawn, films = times @ size, times[:, patients[order]]
        row = (
            average_precisions(
                np.add.reduceat(films * ill, starts, axis=1),
                np.add.reduceat(films, starts, axis=1),
            ),
            times @ loss / drawn,
            calibration_errors_if_right(scores, patients, rng.random((draws, m))),
        )
        rows.append(np.stack(row))
        gap_rows.append(times @ gaps / drawn[:, np.newaxis])
    precision, brier, if_right = np.concatenate(rows, axis=1)
    return _Draws(
        average_precision=precision,
        brier=brier,
        gaps=np.concatenate(gap_rows),
        ece_if_right=if_right,
    )


def _levels(scores: Floats) -> Integers:
    """Returns the place of each score among all, from 0 for the highest."""
    distinct, place = np.unique(-scores, return_inverse=True)
    if distinct.size <= DISTINCT:
        return place
    return place * DISTINCT // distinct.size


def _chunks(n_bootstrap: int, n: int) -> list[int]:
    size = max(1, CHUNK // n)
    return [min(size, n_bootstrap - i) for i in range(0, n_bootstrap, size)]


def _times(m: int, draws: int, rng: np.random.Generator) -> Floats:
    """Returns how often each of `m` patients is drawn, shape `(draws, m)`."""
    drawn = rng.integers(m, size=(draws, m)) + np.arange(draws)[:, np.newaxis] * m
    counts = np.bincount(drawn.ravel(), minlength=draws * m)
    return counts.reshape(draws, m).astype(np.float64)


def _methods(*, by_patient: bool, n_bootstrap: int) -> dict[str, str]:
    unit = "patient" if by_patient else "film"
    wilson = "Wilson, design effect by patient" if by_patient else "Wilson"
    delong = "Obuchowski by patient" if by_patient else "DeLong"
    bootstrap = f"bootstrap by {unit}, {n_bootstrap} draws"
    rates = ("sensitivity", "specificity", "accuracy", "precision", "npv")
    ratios = ("likelihood_ratio_positive", "likelihood_ratio_negative")
    return {
        **dict.fromkeys(rates, wilson),
        "f1": f"{wilson}, of tp / (tp + fp + fn)",
        **dict.fromkeys(ratios, f"MOVER-R of {wilson}"),
        "auc": f"score interval, variance of {delong}",
        "average_precision": f"score interval, variance of {bootstrap}",
        "brier": f"score interval, variance of {bootstrap}",
        "ece": f"score interval without the chance part, {bootstrap}",
    }
