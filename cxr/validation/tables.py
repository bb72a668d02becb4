"""Tables of an appraisal: for a page, and as CSV that a spreadsheet takes for text."""

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxr.evaluation.estimates import UNDEFINED, Estimate
from cxr.evaluation.overview import View
from cxr.evaluation.scores import Scores
from cxr.evaluation.summary import Evaluation
from cxr.spreadsheets import as_cell
from cxr.validation.appraisal import Appraisal

# By the field of `OperatingPoint`; the order of the page.
RATES = {
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "precision": "PPV, these films",
    "npv": "NPV, these films",
    "accuracy": "Accuracy",
    "f1": "F1",
    "likelihood_ratio_positive": "LR above",
    "likelihood_ratio_negative": "LR below",
}
ANSWERED = {
    "no_answer": "No answer",
    "no_answer_well": "No answer, of normal films",
    "no_answer_ill": "No answer, of pneumonia films",
    "sensitivity": "Sensitivity of the answered",
    "specificity": "Specificity of the answered",
}
# By the field of `LocalRates`, with the rate that each is made of.
LOCAL = {
    "precision": ("PPV at the local prevalence", "precision"),
    "npv": ("NPV at the local prevalence", "npv"),
    "misses_per_1000": ("Misses per 1,000 local patients", "sensitivity"),
    "false_alarms_per_1000": ("False alarms per 1,000 local patients", "specificity"),
}
OVERALL = {
    "auc": "ROC-AUC",
    "average_precision": "PR-AUC",
    "brier": "Brier",
    "ece": "ECE",
}


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric on several sets of films.

    Attributes:
        metric: its name.
        values: by the words for the films.
        apart: whether two of the intervals have nothing in common.
    """

    metric: str
    values: dict[str, Estimate]
    apart: bool


def metrics(appraisal: Appraisal, view: View) -> list[dict[str, object]]:
    """Returns a row for each metric: value, interval, shipped value, how it was made.

    Undefined is nan.
    """
    whole = appraisal.whole
    rows = [
        _row(name, getattr(view.point, field), getattr(whole, field), method)
        for field, name in RATES.items()
        for method in (whole.methods[field],)
    ]
    return (
        rows
        + _answered(whole, view)
        + _local(whole, view)
        + [
            _row(name, estimate, estimate, whole.methods[field])
            for field, name in OVERALL.items()
            for estimate in (getattr(whole, field),)
        ]
    )


def _answered(whole: Evaluation, view: View) -> list[dict[str, object]]:
    """Returns the rows of the three answers."""
    method = whole.methods["sensitivity"]
    return [
        _row(
            name,
            getattr(view.answers, field),
            getattr(whole.answered, field) if whole.answered else UNDEFINED,
            method,
        )
        for field, name in ANSWERED.items()
    ]


def _local(whole: Evaluation, view: View) -> list[dict[str, object]]:
    """Returns the rows at the local prevalence; none where nobody states it."""
    if view.local is None:
        return []
    shipped = whole.locally(prevalence=view.local.prevalence)
    return [
        _row(
            name,
            getattr(view.local, field),
            getattr(shipped, field),
            f"from {source}: {whole.methods[source]}",
        )
        for field, (name, source) in LOCAL.items()
    ]


def side_by_side(points: dict[str, tuple[Appraisal, View]]) -> list[Metric]:
    """Returns each metric with its value on each set of films.

    Args:
        points: by the words for the films.
    """
    of_each = {films: _by_name(*seen) for films, seen in points.items()}
    rows = []
    for name in (*RATES.values(), *ANSWERED.values(), *OVERALL.values()):
        estimates = {films: found[name] for films, found in of_each.items()}
        apart = _apart(list(estimates.values()))
        rows.append(Metric(metric=name, values=estimates, apart=apart))
    return rows


def _by_name(appraisal: Appraisal, view: View) -> dict[str, Estimate]:
    asked = (
        (RATES, view.point),
        (ANSWERED, view.answers),
        (OVERALL, appraisal.whole),
    )
    return {
        name: getattr(found, field)
        for names, found in asked
        for field, name in names.items()
    }


def metrics_csv(rows: Sequence[dict[str, object]]) -> str:
    """Returns the rows of `metrics` as CSV; what is undefined is empty."""
    return _csv(list(rows[0]), (row.values() for row in rows))


def thresholds_csv(appraisal: Appraisal) -> str:
    """Returns the rates at every threshold that changes a decision, as CSV."""
    curve = appraisal.overview.curve
    columns = {
        "threshold": curve.thresholds,
        "true_positives": curve.true_positives,
        "false_positives": curve.false_positives,
        "sensitivity": curve.sensitivity,
        "specificity": curve.specificity,
        "precision": curve.precision,
        "npv": curve.npv,
        "f1": curve.f1,
        "accuracy": curve.accuracy,
    }
    return _csv(
        list(columns), zip(*(c.tolist() for c in columns.values()), strict=True)
    )


def films_csv(scores: Scores, rows: NDArray[np.int64]) -> str:
    """Returns these films as CSV: name, hash, patient, label, kind, probability."""
    return _csv(
        ["film", "sha256", "patient", "label", "subtype", "probability"],
        (
            (
                scores.names[i],
                scores.sha256[i],
                scores.patients[i],
                int(scores.labels[i]),
                scores.subtypes[i],
                float(scores.probabilities[i]),
            )
            for i in rows
        ),
    )


def _row(
    name: str, value: Estimate, shipped: Estimate, method: str
) -> dict[str, object]:
    return {
        "metric": name,
        "value": value.value,
        "low": value.low,
        "high": value.high,
        "shipped": shipped.value,
        "interval": method,
    }


def _apart(values: Sequence[Estimate]) -> bool:
    known = [v for v in values if not (math.isnan(v.low) or math.isnan(v.high))]
    if len(known) < 2:
        return False
    return max(v.low for v in known) > min(v.high for v in known)


def _csv(header: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return stream.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return ""
    return as_cell(value) if isinstance(value, str) else value
