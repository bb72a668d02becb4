"""What a model is worth on one set of scored films, ready for any threshold.

Everything that needs all films is worked out once; a threshold then costs a few
milliseconds. Nothing in here names a film or a patient: rows are numbers.
"""

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cxr.evaluation import calibration, reliability, subgroups, summary, thresholds
from cxr.evaluation import overview as evaluation_overview
from cxr.evaluation.estimates import UndefinedMetricWarning
from cxr.evaluation.inputs import Floats
from cxr.evaluation.operating import OperatingPoint
from cxr.evaluation.overview import CurveLines, Overview
from cxr.evaluation.scores import Scores
from cxr.evaluation.summary import Evaluation
from cxr.evaluation.thresholds import DecisionCurve
from cxr.models import registry, scores
from cxr.models.cards import Card

DECISION_GRID = np.arange(1, 100) / 100


@dataclass(frozen=True, kw_only=True, eq=False)
class Appraisal:
    """A model on one set of films.

    Attributes:
        model_id: the model.
        films: which films, in words.
        shipped: the model's own threshold.
        whole: all metrics at the shipped threshold.
        overview: the same films at any threshold.
        uncalibrated_ece: calibration error of the network's own probabilities.
        prevalence: share of pneumonia among these films.
        calibrated_prevalence: where the probabilities hold.
    """

    model_id: str
    films: str
    shipped: float
    whole: Evaluation
    overview: Overview
    uncalibrated_ece: float
    prevalence: float
    calibrated_prevalence: float


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What a department asks of a threshold.

    Attributes:
        sensitivity: at least, above 0 and at most 1.
        specificity: at least, above 0 and at most 1.
        misses_per_1000: at most, among 1,000 patients.
        cost_ratio: how many false alarms one miss is worth, above 0.
    """

    sensitivity: float = 0.98
    specificity: float = 0.95
    misses_per_1000: float = 5.0
    cost_ratio: float = 10.0


@dataclass(frozen=True, kw_only=True)
class Target:
    """A threshold that somebody's wish leads to.

    Attributes:
        name: the wish, in a few words.
        threshold: chosen on validation films.
        sensitivity: that was asked for; None where none was.
        specificity: likewise.
    """

    name: str
    threshold: float
    sensitivity: float | None = None
    specificity: float | None = None

    def is_met(self, point: OperatingPoint) -> bool:
        """Returns whether the lower limits on some films reach what was asked for.

        Args:
            point: of the threshold on those films; what is undefined meets nothing.
        """
        asked = (
            (self.sensitivity, point.sensitivity),
            (self.specificity, point.specificity),
        )
        return all(share is None or found.low >= share for share, found in asked)


@dataclass(frozen=True, kw_only=True, eq=False)
class LocalLines:
    """What depends on the prevalence, along the curve; shape `(k,)`, nan undefined."""

    precision: Floats
    npv: Floats
    f1: Floats


def appraise(
    scores: Scores, card: Card, *, films: str, pixels: Mapping[str, float]
) -> Appraisal:
    """Returns everything that needs all films, worked out once.

    Args:
        scores: of these films by the model.
        card: of the model.
        films: which films these are, in words.
        pixels: rows times columns of each film by its SHA-256, where known; not used
            where the scores have them.
    """
    uncalibrated = 1 / (1 + np.exp(-np.clip(scores.logits, -700, 700)))
    size = scores.pixels
    if size is None:
        size = np.array([pixels.get(sha256, math.nan) for sha256 in scores.sha256])
    patients = np.unique(scores.patients, return_inverse=True)[1]
    parts = {"all films": np.ones(scores.labels.size, dtype=bool)}
    kinds = subgroups.by_subtype(scores.labels, scores.subtypes)
    parts |= {f"{name} against all normal": mask for name, mask in kinds.items()}
    parts |= subgroups.by_size(size)
    with warnings.catch_warnings():
        # What is undefined is a dash on the page.
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        return Appraisal(
            model_id=card.model_id,
            films=films,
            shipped=card.threshold.value,
            whole=summary.evaluate(
                scores.labels,
                scores.probabilities,
                threshold=card.threshold.value,
                band=card.band,
                groups=patients,
            ),
            overview=evaluation_overview.overview(
                scores.labels,
                scores.probabilities,
                groups=patients,
                uncalibrated=uncalibrated,
                parts=parts,
            ),
            uncalibrated_ece=reliability.expected_calibration_error(
                scores.labels, uncalibrated
            ),
            prevalence=float(scores.labels.mean()),
            calibrated_prevalence=card.calibration.prevalence,
        )


def decision_curve(appraisal: Appraisal, *, prevalence: float) -> DecisionCurve | None:
    """Returns the net benefit at a prevalence; None for films of one class."""
    if not 0 < appraisal.prevalence < 1:
        return None
    curve = appraisal.overview.curve
    return thresholds.decision_curve(
        curve.labels,
        at_local_prevalence(appraisal, curve.scores, prevalence),
        thresholds=DECISION_GRID,
        prevalence=prevalence,
    )


def at_local_prevalence(
    appraisal: Appraisal, probability: Floats | float, prevalence: float
) -> Floats:
    """Returns probabilities of this model for patients of another prevalence.

    Args:
        appraisal: of the model that gave the probabilities.
        probability: one or an array, `[0, 1]`, as the model gives them.
        prevalence: of pneumonia among the patients in question, between 0 and 1.
    """
    return calibration.at_prevalence(
        probability,
        trained_prevalence=appraisal.calibrated_prevalence,
        local_prevalence=prevalence,
    )


def local_lines(lines: CurveLines, prevalence: float) -> LocalLines:
    """Returns PPV, NPV and F1 along a curve, at a prevalence.

    Sensitivity and specificity are taken to stay as they are.
    """
    hit = prevalence * lines.sensitivity
    miss = prevalence - hit
    alarm = (1 - prevalence) * (1 - lines.specificity)
    right = (1 - prevalence) * lines.specificity
    return LocalLines(
        precision=_over(hit, hit + alarm),
        npv=_over(right, right + miss),
        f1=_over(2 * hit, 2 * hit + alarm + miss),
    )


def targets_for(
    scores: Scores, wishes: Wishes, *, prevalence: float | None
) -> tuple[Target, ...]:
    """Returns the threshold that each wish leads to.

    A share is wished for of films to come, so the lower limit of its 95 % interval has
    to reach it, where the films are enough for that. A wish that this prevalence can't
    meet, or that needs one where none is stated, is left out.

    Args:
        scores: of the model's validation films; on the films that are looked at, a
            choice makes its own figures look better than they will be.
        wishes: what is asked for.
        prevalence: of the patients, between 0 and 1; None where nobody states it.

    Raises:
        ValueError: a wish is out of range.
    """
    y, p, groups = scores.labels, scores.probabilities, scores.patients
    if not 0 < y.mean() < 1:
        return ()

    def sensitive(share: float) -> float:
        return thresholds.threshold_for_assured_sensitivity(
            y, p, target=share, assured=share, groups=groups
        )

    suggested = [
        Target(
            name=f"Sensitivity {_percent(wishes.sensitivity)}",
            threshold=sensitive(wishes.sensitivity),
            sensitivity=wishes.sensitivity,
        ),
        Target(
            name=f"Specificity {_percent(wishes.specificity)}",
            threshold=thresholds.threshold_for_assured_specificity(
                y, p, assured=wishes.specificity, groups=groups
            ),
            specificity=wishes.specificity,
        ),
        Target(name="Youden", threshold=thresholds.threshold_youden(y, p)),
    ]
    if prevalence is None:
        return tuple(suggested)
    cost = thresholds.threshold_for_costs(
        y, p, cost_miss=wishes.cost_ratio, cost_false_alarm=1, prevalence=prevalence
    )
    suggested.append(
        Target(name=f"A miss is {wishes.cost_ratio:g} alarms", threshold=cost)
    )
    share = 1 - wishes.misses_per_1000 / (1000 * prevalence)
    if share > 0:
        suggested.append(
            Target(
                name=f"≤ {wishes.misses_per_1000:g} misses per 1,000",
                threshold=sensitive(share),
                sensitivity=share,
            )
        )
    return tuple(suggested)


def scored_splits(models_dir: Path, card: Card) -> tuple[str, ...]:
    """Returns the splits that a model has scores of, the test films first.

    Raises:
        ModelError: the scores were changed.
    """
    named = scores.splits(registry.read_file(models_dir, card, scores.SCORES))
    return tuple(sorted(named, key=lambda name: (name != "test", name != "validation")))


def _percent(share: float) -> str:
    return f"{100 * share:g} %"


def _over(numerator: Floats, denominator: Floats) -> Floats:
    return numerator / np.where(denominator > 0, denominator, math.nan)
