"""The dashboard's curves: rates, ROC, precision and recall, net benefit."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from cxr.evaluation.estimates import Estimate
from cxr.evaluation.operating import OperatingPoint
from cxr.evaluation.overview import CurveLines
from cxr.evaluation.thresholds import DecisionCurve
from cxr.validation.appraisal import LocalLines
from ui.charts import (
    DOUBT,
    ILL,
    LINE,
    MODEL,
    UNIT,
    WELL,
    Trace,
    faded,
    figure,
    guide,
    interval_bars,
    line,
    vertical,
)

WIDE_ENOUGH = 0.15  # of the scale, for the words in a zone
SHARES = np.arange(1, 100) / 100
FALSE_ALARMS = "false alarm rate (1 − specificity)"


def threshold_marks(
    threshold: float,
    shipped: float,
    band: tuple[float, float],
    *,
    named: bool = False,
) -> list[dict[str, Any]]:
    """Returns the shapes of the uncertain band and of both thresholds.

    Args:
        threshold: the one that is looked at, drawn solid.
        shipped: the model's own, drawn dotted.
        band: edges of the uncertain band around the first.
        named: whether the band says what it is; not where lines would cross the words.
    """
    low, high = band
    shaded = {
        "type": "rect",
        "label": {
            "text": "no answer" if named and high - low > WIDE_ENOUGH else "",
            "textposition": "top center",
            "font": {"size": 11},
        },
        "x0": low,
        "x1": high,
        "y0": 0,
        "y1": 1,
        "yref": "paper",
        "line": {"width": 0},
        "fillcolor": faded(DOUBT, 0.22),
        "layer": "below",
    }
    return [
        shaded,
        vertical(shipped, LINE, "dot", 2),
        vertical(threshold, ILL, "solid", 2),
    ]


def rates(
    lines: CurveLines, local: LocalLines | None, marks: list[dict[str, Any]]
) -> go.Figure:
    """Returns sensitivity and specificity over the threshold, and what depends on both.

    Args:
        lines: along all thresholds.
        local: what depends on the prevalence, along the same thresholds; None where
            none is stated.
        marks: of `threshold_marks`.
    """
    drawn = [
        ("Sensitivity", lines.sensitivity, ILL, "solid"),
        ("Specificity", lines.specificity, WELL, "solid"),
    ]
    if local is not None:
        drawn += [
            ("PPV", local.precision, ILL, "dash"),
            ("NPV", local.npv, WELL, "dash"),
            ("F1", local.f1, MODEL, "dot"),
        ]
    return figure(
        [
            line(name, lines.thresholds, values, colour, dash)
            for name, values, colour, dash in drawn
        ],
        shapes=marks,
        xaxis={"title": "threshold", "range": UNIT},
        yaxis={"range": UNIT},
    )


def roc(
    lines: Mapping[str, CurveLines], point: OperatingPoint, shipped: OperatingPoint
) -> go.Figure:
    """Returns the ROC curve with the threshold, its intervals, and the shipped one.

    Args:
        lines: along all thresholds, by model; the first one's are marked.
        point: at the threshold.
        shipped: at the shipped threshold.
    """
    return figure(
        [
            *_each_model(lines, _over_false_alarms),
            guide([0, 1], [0, 1]),
            *_operating_points(
                *((_false_alarms(p), p.sensitivity) for p in (shipped, point))
            ),
        ],
        xaxis={"title": FALSE_ALARMS, "range": UNIT},
        yaxis={"title": "sensitivity", "range": UNIT},
    )


def precision_recall(
    lines: Mapping[str, CurveLines],
    point: OperatingPoint,
    shipped: OperatingPoint,
    prevalence: float,
) -> go.Figure:
    """Returns precision over sensitivity; the dotted line is chance.

    Args:
        lines: along all thresholds, by model; the first one's are marked.
        point: at the threshold.
        shipped: at the shipped threshold.
        prevalence: of pneumonia among these films.
    """
    return figure(
        [
            *_each_model(lines, lambda of: (of.sensitivity, of.precision)),
            guide([0, 1], [prevalence] * 2),
            *_operating_points(
                *((p.sensitivity, p.precision) for p in (shipped, point))
            ),
        ],
        xaxis={"title": "sensitivity (recall)", "range": UNIT},
        yaxis={"title": "precision (PPV) in these films", "range": UNIT},
    )


def predictive_values(point: OperatingPoint, here: float | None) -> go.Figure:
    """Returns PPV and NPV of the threshold over the prevalence.

    Args:
        point: at the threshold.
        here: the stated prevalence, marked; None for none.
    """
    at = [point.locally(prevalence=float(share)) for share in SHARES]
    return figure(
        [
            line("PPV", SHARES, np.array([local.precision.value for local in at]), ILL),
            line("NPV", SHARES, np.array([local.npv.value for local in at]), WELL),
        ],
        shapes=[] if here is None else [vertical(here, ILL, "solid", 2)],
        xaxis={"title": "share of patients with pneumonia", "range": UNIT},
        yaxis={"title": "right among these answers", "range": UNIT},
    )


def net_benefit(curve: DecisionCurve, local_threshold: float) -> go.Figure:
    """Returns the net benefit of acting on the model, on all and on none."""
    top = float(max(curve.prevalence, np.nanmax(curve.model)))
    return figure(
        [
            line("act on the model", curve.thresholds, curve.model, MODEL),
            line("act on all", curve.thresholds, curve.treat_all, ILL, "dash"),
            line("act on none", curve.thresholds, curve.treat_none, WELL, "dot"),
        ],
        shapes=[vertical(local_threshold, ILL, "solid", 2)],
        xaxis={"title": "probability from which one would act", "range": UNIT},
        yaxis={"title": "net benefit", "range": [-0.25 * top, 1.1 * top]},
    )


def two_models(lines: Mapping[str, CurveLines]) -> go.Figure:
    """Returns the ROC curves of two models on the same films, by model id."""
    return figure(
        _each_model(lines, _over_false_alarms),
        xaxis={"title": FALSE_ALARMS, "range": UNIT},
        yaxis={"title": "sensitivity", "range": UNIT},
    )


def _each_model(
    lines: Mapping[str, CurveLines],
    axes: Callable[[CurveLines], tuple[NDArray[np.float64], NDArray[np.float64]]],
) -> list[Trace]:
    """Returns a line for each model, the second one dashed."""
    styles = ((MODEL, "solid"), (DOUBT, "dash"))
    return [
        line(name, *axes(curve), *style)
        for (name, curve), style in zip(lines.items(), styles, strict=False)
    ]


def _over_false_alarms(
    lines: CurveLines,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return 1 - lines.specificity, lines.sensitivity


def _operating_points(
    shipped: tuple[Estimate, Estimate], chosen: tuple[Estimate, Estimate]
) -> list[Trace]:
    """Returns the marks of both thresholds on a curve; the chosen has its intervals."""
    at_chosen = _mark("threshold", *chosen, symbol="circle")
    for axis, value in zip("xy", chosen, strict=True):
        at_chosen[f"error_{axis}"] = interval_bars([value], ILL)
    return [_mark("shipped", *shipped, symbol="diamond-open"), at_chosen]


def _mark(name: str, x: Estimate, y: Estimate, *, symbol: str) -> Trace:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [x.value],
        "y": [y.value],
        "marker": {"size": 11, "symbol": symbol, "color": ILL, "line": {"width": 2}},
        "hovertemplate": f"{name}<br>%{{x:.3f}} → %{{y:.3f}}<extra></extra>",
        "cliponaxis": False,
    }


def _false_alarms(point: OperatingPoint) -> Estimate:
    return point.specificity.through(lambda rate: 1 - rate)
