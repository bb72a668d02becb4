"""Tables of an appraisal: for a page, and as CSV that a spreadsheet takes for text."""

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxr.evaluation.estimates import Estimate
from cxr.evaluation.operating import OperatingPoint
from cxr.evaluation.overview import View
from cxr.evaluation.scores import Scores
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
    rows = [
        _row(name, getattr(view.point, field), getattr(appraisal.whole, field), method)
        for field, name in RATES.items()
        for method in (appraisal.whole.methods[field],)
    ]
    local = (
        ("PPV at the local prevalence", view.local.precision, "precision"),
        ("NPV at the local prevalence", view.local.npv, "npv"),
        ("Misses per 1,000 local patients", view.local.misses_per_1000, "sensitivity"),
        (
            "False alarms per 1,000 local patients",
            view.local.false_alarms_per_1000,
            "specificity",
        ),
    )
    shipped = appraisal.whole.locally(prevalence=view.local.prevalence)
    fields = ("precision", "npv", "misses_per_1000", "false_alarms_per_1000")
    rows += [
        _row(
            name,
            value,
            getattr(shipped, field),
            f"from {source}: {appraisal.whole.methods[source]}",
        )
        for (name, value, source), field in zip(local, fields, strict=True)
    ]
    return rows + [
        _row(name, estimate, estimate, appraisal.whole.methods[field])
        for field, name in OVERALL.items()
        for estimate in (getattr(appraisal.whole, field),)
    ]


def side_by_side(
    points: dict[str, tuple[Appraisal, OperatingPoint]],
) -> list[Metric]:
    """Returns each metric with its value on each set of films.

    Args:
        points: by the words for the films.
    """
    rows = []
    for field, name in {**RATES, **OVERALL}.items():
        estimates = {
            films: getattr(point if field in RATES else appraisal.whole, field)
            for films, (appraisal, point) in points.items()
        }
        apart = _apart(list(estimates.values()))
        rows.append(Metric(metric=name, values=estimates, apart=apart))
    return rows


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
