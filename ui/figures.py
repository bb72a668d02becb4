"""The dashboard's figures; they draw finished values and compute nothing.

Amber is about films with pneumonia or above the threshold, blue-grey about normal films
or those below it, violet is doubt. Colour is never alone: dashes, symbols and words say
the same.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from cxr.appraisal import LocalLines
from cxr.evaluation import (
    CurveLines,
    DecisionCurve,
    Estimate,
    OperatingPoint,
    ReliabilityCurve,
    ScoreHistogram,
    SubgroupRates,
)
from cxr.inference import NORMAL, PNEUMONIA, UNCERTAIN
from ui import wording
from ui.charts import COLOURS, LINE

ILL, WELL, DOUBT, MODEL = (
    COLOURS[PNEUMONIA],
    COLOURS[NORMAL],
    COLOURS[UNCERTAIN],
    "#4A8AD6",
)
HEIGHT = 340
GRID = "rgba(127,138,148,0.22)"
TEMPLATE = go.layout.Template(
    layout={
        "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "hovermode": "closest",
        # At the lower edge, whatever the height: never on the words of an axis.
        "legend": {"orientation": "h", "yref": "container", "y": 0, "x": 0},
        "xaxis": {
            "automargin": True,
            "zeroline": False,
            "gridcolor": GRID,
        },
        "yaxis": {
            "automargin": True,
            "zeroline": False,
            "gridcolor": GRID,
        },
    }
)
UNIT = [-0.02, 1.02]
CELL_WORDS = {
    "tn": "right below",
    "fp": "false alarms",
    "fn": "misses",
    "tp": "found",
}
Trace = dict[str, Any]


def confusion(point: OperatingPoint, prevalence: float, *, ink: str) -> go.Figure:
    """Returns the matrix: counts, rates, and patients per 1,000 at a prevalence.

    Each cell is a bar that can be clicked; its `customdata` is the cell's name.
    """
    c = point.confusion
    share = {
        "tp": point.sensitivity.value,
        "fn": 1 - point.sensitivity.value,
        "tn": point.specificity.value,
        "fp": 1 - point.specificity.value,
    }
    places = {"fn": (0, 1), "tp": (1, 1), "tn": (0, 0), "fp": (1, 0)}
    traces: list[Trace] = []
    words = []
    for cell, (column, row) in places.items():
        ill = cell in ("tp", "fn")
        per_1000 = 1000 * (prevalence if ill else 1 - prevalence) * share[cell]
        words.append(
            {
                "x": column,
                "y": row,
                "text": f"<b>{getattr(c, cell):,}</b> {CELL_WORDS[cell]}<br>"
                f"{_share(share[cell])} of the {'ill' if ill else 'well'}<br>"
                f"{_number(per_1000)} per 1,000 here",
                "showarrow": False,
                "captureevents": False,
                "font": {"size": 14, "color": ink},
            }
        )
        colour = ILL if column else WELL
        traces.append(
            {
                "type": "bar",
                "x": [column],
                "y": [0.96],
                "base": [row - 0.48],
                "width": 0.96,
                "customdata": [cell],
                # "skip" would swallow the click too.
                "hoverinfo": "none",
                "marker": {
                    "color": _faded(colour, 0.3 if cell in ("tp", "tn") else 0.12),
                    "line": {"color": colour, "width": 1},
                    "pattern": {
                        "shape": "" if cell in ("tp", "tn") else "/",
                        "fgcolor": _faded(colour, 0.35),
                        "size": 9,
                    },
                },
                "selected": {"marker": {"opacity": 1}},
                "unselected": {"marker": {"opacity": 0.55}},
            }
        )
    return _figure(
        traces,
        annotations=words,
        barmode="overlay",
        showlegend=False,
        height=HEIGHT - 40,
        xaxis={
            "tickvals": [0, 1],
            "ticktext": ["below the threshold", "at or above it"],
            "side": "top",
            "range": [-0.5, 1.5],
            "showgrid": False,
            "fixedrange": True,
        },
        yaxis={
            "tickvals": [0, 1],
            "ticktext": ["normal", "pneumonia"],
            "range": [-0.5, 1.5],
            "showgrid": False,
            "fixedrange": True,
        },
    )


def rates(
    lines: CurveLines,
    local: LocalLines,
    *,
    threshold: float,
    shipped: float,
    band: tuple[float, float],
) -> go.Figure:
    """Returns five rates over the threshold, with the threshold and its band."""
    drawn = (
        ("Sensitivity", lines.sensitivity, ILL, "solid"),
        ("Specificity", lines.specificity, WELL, "solid"),
        ("PPV", local.precision, ILL, "dash"),
        ("NPV", local.npv, WELL, "dash"),
        ("F1", local.f1, MODEL, "dot"),
    )
    traces = [
        _line(name, lines.thresholds, values, colour, dash, hover="threshold")
        for name, values, colour, dash in drawn
    ]
    return _figure(
        traces,
        shapes=[_band(band), _shipped(shipped), _current(threshold)],
        xaxis={"title": "threshold", "range": UNIT},
        yaxis={"range": UNIT},
    )


def roc(
    lines: CurveLines, point: OperatingPoint, shipped: OperatingPoint, name: str
) -> go.Figure:
    """Returns the ROC curve with the threshold, its intervals, and the shipped one."""
    return _figure(
        [
            _line(name, 1 - lines.specificity, lines.sensitivity, MODEL, "solid"),
            _line("chance", [0, 1], [0, 1], LINE, "dot", hover=None),
            *_operating_points(
                *((_false_alarms(p), p.sensitivity) for p in (shipped, point))
            ),
        ],
        xaxis={"title": "false alarm rate (1 − specificity)", "range": UNIT},
        yaxis={"title": "sensitivity", "range": UNIT},
    )


def precision_recall(
    lines: CurveLines,
    point: OperatingPoint,
    shipped: OperatingPoint,
    prevalence: float,
    name: str,
) -> go.Figure:
    """Returns precision over sensitivity; the dotted line is chance.

    Args:
        lines: along all thresholds.
        point: at the threshold.
        shipped: at the shipped threshold.
        prevalence: of pneumonia among these films.
        name: of the model.
    """
    return _figure(
        [
            _line(name, lines.sensitivity, lines.precision, MODEL, "solid"),
            _line("chance", [0, 1], [prevalence] * 2, LINE, "dot", hover=None),
            *_operating_points(
                *((p.sensitivity, p.precision) for p in (shipped, point))
            ),
        ],
        xaxis={"title": "sensitivity (recall)", "range": UNIT},
        yaxis={"title": "precision (PPV) in these films", "range": UNIT},
    )


def scores(
    histogram: ScoreHistogram,
    *,
    threshold: float,
    shipped: float,
    band: tuple[float, float],
) -> go.Figure:
    """Returns the scores of both classes; each bar can be clicked.

    Counts are on a logarithmic axis, so that a single film among hundreds is seen. The
    `customdata` of a bar is the number of its bin and the label.
    """
    middles = (histogram.edges[:-1] + histogram.edges[1:]) / 2
    width = 0.92 * float(histogram.edges[1] - histogram.edges[0])
    most = max(histogram.pneumonia.max(), histogram.normal.max(), 10)
    count_axis = {
        "type": "log",
        "range": [-0.3, float(np.log10(most)) + 0.15],
        "dtick": 1,
        "title": "films",
        "fixedrange": True,
    }
    return _figure(
        [
            _bins("pneumonia", 1, middles, histogram.pneumonia, width, ILL),
            _bins("normal", 0, middles, histogram.normal, width, WELL),
        ],
        bargap=0,
        shapes=[_band(band), _shipped(shipped), _current(threshold)],
        xaxis={
            "range": UNIT,
            "fixedrange": True,
            "title": "probability of pneumonia",
            "anchor": "y2",
        },
        yaxis={**count_axis, "domain": [0.54, 1]},
        yaxis2={**count_axis, "domain": [0, 0.46], "gridcolor": GRID},
    )


def reliability(after: ReliabilityCurve, before: ReliabilityCurve | None) -> go.Figure:
    """Returns observed over predicted shares, with calibration and without."""
    traces = [_line("perfect", [0, 1], [0, 1], LINE, "dot", hover=None)]
    if before is not None:
        traces.append(
            _calibration("before calibration", before, WELL, "square-open", "dash")
        )
    shown = _calibration("after calibration", after, MODEL, "circle", "solid")
    filled = after.counts > 0
    shown["error_y"] = {
        "type": "data",
        "symmetric": False,
        "array": (after.high - after.observed)[filled],
        "arrayminus": (after.observed - after.low)[filled],
        "thickness": 1,
        "width": 3,
        "color": MODEL,
    }
    return _figure(
        [*traces, shown],
        xaxis={"title": "mean probability in the bin", "range": UNIT},
        yaxis={"title": "share with pneumonia", "range": UNIT},
    )


def net_benefit(curve: DecisionCurve, local_threshold: float) -> go.Figure:
    """Returns the net benefit of acting on the model, on all and on none."""
    top = float(max(curve.prevalence, np.nanmax(curve.model)))
    return _figure(
        [
            _line("act on the model", curve.thresholds, curve.model, MODEL, "solid"),
            _line("act on all", curve.thresholds, curve.treat_all, ILL, "dash"),
            _line("act on none", curve.thresholds, curve.treat_none, WELL, "dot"),
        ],
        shapes=[_current(local_threshold)],
        xaxis={"title": "probability from which one would act", "range": UNIT},
        yaxis={"title": "net benefit", "range": [-0.25 * top, 1.1 * top]},
    )


def subgroups(rows: Sequence[SubgroupRates]) -> go.Figure:
    """Returns sensitivity and specificity of each part with intervals and counts."""
    names = [_part(row) for row in rows]
    places = np.arange(len(rows))[::-1]
    traces = [
        _forest("sensitivity", [r.sensitivity for r in rows], places + 0.14, ILL),
        _forest("specificity", [r.specificity for r in rows], places - 0.14, WELL),
    ]
    return _figure(
        traces,
        height=110 + 62 * len(rows),
        xaxis={"title": "rate at this threshold, with 95 % interval"},
        yaxis={
            "tickvals": places,
            "ticktext": names,
            "range": [-0.6, len(rows) - 0.4],
            "showgrid": False,
        },
    )


def learning(rows: Sequence[Mapping[str, str]]) -> go.Figure:
    """Returns loss and AUC over the epochs of the run that made a model."""
    figure = make_subplots(rows=1, cols=2, horizontal_spacing=0.16)
    epochs = list(range(1, len(rows) + 1))
    for column, measure, label in ((1, "loss", "loss"), (2, "auc", "AUC")):
        for prefix, name, colour, dash in (
            ("", "training films", WELL, "dash"),
            ("val_", "validation films", MODEL, "solid"),
        ):
            figure.add_scatter(
                row=1,
                col=column,
                x=epochs,
                y=[_float(row.get(prefix + measure)) for row in rows],
                name=name,
                legendgroup=name,
                showlegend=column == 1,
                mode="lines+markers",
                marker={"size": 4},
                line={"color": colour, "dash": dash},
                text=[
                    f"{r.get('phase', '')}, epoch {r.get('epoch', '')}" for r in rows
                ],
                hovertemplate=f"%{{text}}<br>{label} %{{y:.3f}}<extra>{name}</extra>",
            )
        figure.update_yaxes(title=label, col=column)
    figure.update_xaxes(title="epoch")
    figure.update_layout(template=TEMPLATE, height=HEIGHT - 40)
    for start in _phase_starts(rows):
        figure.add_vline(x=start, line={"color": LINE, "dash": "dot", "width": 1})
    return figure


def shortcuts(features: Mapping[str, Estimate], network: Estimate | None) -> go.Figure:
    """Returns how well a film's outside predicts the label, beside the network."""
    names, values = list(features), list(features.values())
    places = np.arange(len(names))[::-1]
    traces = [_forest("AUC from this alone", values, places, WELL)]
    shapes = [_vertical(0.5, LINE, "dot", 1)]
    if network is not None:
        traces.append(_forest("the network", [network], np.array([-1.0]), MODEL))
        names.append("the network")
        places = np.append(places, -1)
    return _figure(
        traces,
        height=90 + 34 * len(names),
        showlegend=False,
        shapes=shapes,
        xaxis={"title": "AUC with 95 % interval", "range": [0.4, 1.02]},
        yaxis={
            "tickvals": places,
            "ticktext": names,
            "range": [-1.6, len(features) - 0.4],
            "showgrid": False,
        },
    )


def two_models(lines: Mapping[str, CurveLines]) -> go.Figure:
    """Returns the ROC curves of two models on the same films."""
    styles = ((MODEL, "solid"), (DOUBT, "dash"))
    return _figure(
        [
            _line(name, 1 - line.specificity, line.sensitivity, *style)
            for (name, line), style in zip(lines.items(), styles, strict=False)
        ],
        xaxis={"title": "false alarm rate (1 − specificity)", "range": UNIT},
        yaxis={"title": "sensitivity", "range": UNIT},
    )


def _figure(traces: Sequence[Trace], **layout: Any) -> go.Figure:
    return go.Figure(
        data=traces, layout={"template": TEMPLATE, "height": HEIGHT, **layout}
    )


def _line(
    name: str,
    x: Any,
    y: Any,
    colour: str,
    dash: str,
    *,
    hover: str | None = "",
) -> Trace:
    words = "<extra></extra>" if hover is None else f"<extra>{name}</extra>"
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": x,
        "y": y,
        "line": {"color": colour, "dash": dash, "width": 2},
        "hoverinfo": "skip" if hover is None else None,
        "hovertemplate": f"%{{x:.3f}} → %{{y:.3f}}{words}",
        "showlegend": hover is not None,
    }


def _bins(
    name: str, label: int, middles: Any, counts: Any, width: float, colour: str
) -> Trace:
    shown = np.flatnonzero(counts)
    return {
        "type": "bar",
        "name": name,
        "x": middles[shown],
        "y": counts[shown],
        "yaxis": "y" if label else "y2",
        "width": width,
        "customdata": [[int(number), label] for number in shown],
        "marker": {"color": colour},
        "hovertemplate": f"%{{y:,}} {name} films<br>probability near %{{x:.2f}}"
        "<extra></extra>",
        "selected": {"marker": {"opacity": 1}},
        "unselected": {"marker": {"opacity": 0.45}},
    }


def _operating_points(
    shipped: tuple[Estimate, Estimate], chosen: tuple[Estimate, Estimate]
) -> list[Trace]:
    """Returns the marks of both thresholds on a curve; the chosen has its intervals."""
    at_shipped = _mark("shipped", *shipped, symbol="diamond-open")
    at_chosen = _mark("threshold", *chosen, symbol="circle")
    for axis, value in zip("xy", chosen, strict=True):
        at_chosen[f"error_{axis}"] = {
            "type": "data",
            "symmetric": False,
            "array": [value.high - value.value],
            "arrayminus": [value.value - value.low],
            "thickness": 1.5,
            "width": 4,
            "color": ILL,
        }
    return [at_shipped, at_chosen]


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


def _calibration(
    name: str, curve: ReliabilityCurve, colour: str, symbol: str, dash: str
) -> Trace:
    filled = curve.counts > 0
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "x": curve.predicted[filled],
        "y": curve.observed[filled],
        "text": [f"{count:,} films" for count in curve.counts[filled]],
        "marker": {"symbol": symbol, "size": 8},
        "line": {"color": colour, "dash": dash, "width": 1.5},
        "hovertemplate": f"%{{text}}<br>%{{x:.3f}} → %{{y:.3f}}<extra>{name}</extra>",
    }


def _forest(name: str, values: Sequence[Estimate], places: Any, colour: str) -> Trace:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [e.value for e in values],
        "y": places,
        "text": [wording.estimate(e) for e in values],
        "marker": {
            "size": 9,
            "color": colour,
            "symbol": "square" if colour == WELL else "circle",
        },
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [e.high - e.value for e in values],
            "arrayminus": [e.value - e.low for e in values],
            "thickness": 1.5,
            "width": 4,
            "color": colour,
        },
        "hovertemplate": f"%{{text}}<extra>{name}</extra>",
    }


def _part(row: SubgroupRates) -> str:
    patients = f", {row.n_patients:,} patients" if row.n_patients else ""
    return (
        f"{row.name}<br><span style='font-size:11px'>{row.n_positive:,} ill, "
        f"{row.n_negative:,} well{patients}</span>"
    )


def _band(band: tuple[float, float]) -> dict[str, Any]:
    low, high = band
    return {
        "type": "rect",
        "x0": low,
        "x1": high,
        "y0": 0,
        "y1": 1,
        "yref": "paper",
        "line": {"width": 0},
        "fillcolor": _faded(DOUBT, 0.22),
        "layer": "below",
    }


def _current(threshold: float) -> dict[str, Any]:
    return _vertical(threshold, ILL, "solid", 2)


def _shipped(threshold: float) -> dict[str, Any]:
    return _vertical(threshold, LINE, "dot", 2)


def _vertical(x: float, colour: str, dash: str, width: float) -> dict[str, Any]:
    return {
        "type": "line",
        "x0": x,
        "x1": x,
        "y0": 0,
        "y1": 1,
        "yref": "paper",
        "line": {"color": colour, "dash": dash, "width": width},
    }


def _phase_starts(rows: Sequence[Mapping[str, str]]) -> list[float]:
    phases = [row.get("phase") for row in rows]
    pairs = zip(phases, phases[1:], strict=False)
    return [i + 1.5 for i, (a, b) in enumerate(pairs) if a != b]


def _faded(colour: str, opacity: float) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"


def _share(value: float) -> str:
    return wording.NOT_MEASURED if np.isnan(value) else f"{100 * value:.1f} %"


def _number(value: float) -> str:
    if np.isnan(value):
        return wording.NOT_MEASURED
    return f"{value:.1f}" if value < 10 else f"{value:,.0f}"


def _float(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None
