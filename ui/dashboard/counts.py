"""The dashboard's figures that count films: matrix, scores by class, subgroups."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from cxr.evaluation.operating import OperatingPoint
from cxr.evaluation.overview import ScoreHistogram
from cxr.evaluation.subgroups import SubgroupRates
from ui import wording
from ui.charts import GRID, HEIGHT, ILL, UNIT, WELL, Trace, faded, figure, forest

# Each cell of the matrix: its words, its column (1 at or above the threshold) and its
# row (1 with pneumonia).
CELLS = {
    "fn": ("misses", 0, 1),
    "tp": ("found", 1, 1),
    "tn": ("right below", 0, 0),
    "fp": ("false alarms", 1, 0),
}


def confusion(point: OperatingPoint, prevalence: float, *, ink: str) -> go.Figure:
    """Returns the matrix: counts, rates, and patients per 1,000 at a prevalence.

    Each cell is a bar that can be clicked; its `customdata` is the cell's name.

    Args:
        point: at the threshold.
        prevalence: of pneumonia among the patients, `(0, 1)`.
        ink: colour of the words.
    """
    return figure(
        [_cell(cell) for cell in CELLS],
        annotations=[_cell_words(cell, point, prevalence, ink) for cell in CELLS],
        barmode="overlay",
        showlegend=False,
        height=HEIGHT - 40,
        xaxis={**_two_places("below the threshold", "at or above it"), "side": "top"},
        yaxis=_two_places("normal", "pneumonia"),
    )


def scores(histogram: ScoreHistogram, marks: list[dict[str, Any]]) -> go.Figure:
    """Returns the scores of both classes; each bar can be clicked.

    Counts are on a logarithmic axis, so that a single film among hundreds is seen. The
    `customdata` of a bar is the number of its bin and the label.

    Args:
        histogram: of the scores.
        marks: of `curves.threshold_marks`.
    """
    most = max(histogram.pneumonia.max(), histogram.normal.max(), 10)
    count_axis = {
        "type": "log",
        "range": [-0.3, float(np.log10(most)) + 0.15],
        "dtick": 1,
        "title": "films",
        "fixedrange": True,
    }
    return figure(
        [
            _bins("pneumonia", 1, histogram.edges, histogram.pneumonia, ILL),
            _bins("normal", 0, histogram.edges, histogram.normal, WELL),
        ],
        bargap=0,
        shapes=marks,
        xaxis={
            "range": UNIT,
            "fixedrange": True,
            "title": "probability of pneumonia",
            "anchor": "y2",
        },
        yaxis={**count_axis, "domain": [0.54, 1]},
        yaxis2={**count_axis, "domain": [0, 0.46], "gridcolor": GRID},
    )


def subgroups(rows: Sequence[SubgroupRates]) -> go.Figure:
    """Returns sensitivity and specificity of each part with intervals and counts."""
    places = np.arange(len(rows))[::-1]
    sensitivity, specificity = (
        [row.sensitivity for row in rows],
        [row.specificity for row in rows],
    )
    return figure(
        [
            forest("sensitivity", sensitivity, places + 0.14, ILL, "circle"),
            forest("specificity", specificity, places - 0.14, WELL, "square"),
        ],
        height=110 + 62 * len(rows),
        xaxis={"title": "rate at this threshold, with 95 % interval"},
        yaxis={
            "tickvals": places,
            "ticktext": [_part(row) for row in rows],
            "range": [-0.6, len(rows) - 0.4],
            "showgrid": False,
        },
    )


def _cell(cell: str) -> Trace:
    """Returns a cell as a bar; errors are hatched."""
    _, column, row = CELLS[cell]
    right = column == row
    colour = ILL if column else WELL
    return {
        "type": "bar",
        "x": [column],
        "y": [0.96],
        "base": [row - 0.48],
        "width": 0.96,
        "customdata": [cell],
        # "skip" would swallow the click too.
        "hoverinfo": "none",
        "marker": {
            "color": faded(colour, 0.3 if right else 0.12),
            "line": {"color": colour, "width": 1},
            "pattern": {
                "shape": "" if right else "/",
                "fgcolor": faded(colour, 0.35),
                "size": 9,
            },
        },
        "selected": {"marker": {"opacity": 1}},
        "unselected": {"marker": {"opacity": 0.55}},
    }


def _cell_words(
    cell: str, point: OperatingPoint, prevalence: float, ink: str
) -> dict[str, Any]:
    """Returns what stands in a cell: films, share of a class, patients per 1,000."""
    words, column, row = CELLS[cell]
    rate = (point.sensitivity if row else point.specificity).value
    share = rate if column == row else 1 - rate
    per_1000 = 1000 * (prevalence if row else 1 - prevalence) * share
    return {
        "x": column,
        "y": row,
        "text": f"<b>{getattr(point.confusion, cell):,}</b> {words}<br>"
        f"{_percent(share)} of the {'ill' if row else 'well'}<br>"
        f"{_patients(per_1000)} per 1,000 here",
        "showarrow": False,
        "captureevents": False,
        "font": {"size": 14, "color": ink},
    }


def _two_places(first: str, second: str) -> dict[str, Any]:
    return {
        "tickvals": [0, 1],
        "ticktext": [first, second],
        "range": [-0.5, 1.5],
        "showgrid": False,
        "fixedrange": True,
    }


def _bins(name: str, label: int, edges: Any, counts: Any, colour: str) -> Trace:
    filled = np.flatnonzero(counts)
    middles = (edges[:-1] + edges[1:]) / 2
    return {
        "type": "bar",
        "name": name,
        "x": middles[filled],
        "y": counts[filled],
        "yaxis": "y" if label else "y2",
        "width": 0.92 * float(edges[1] - edges[0]),
        "customdata": [[int(number), label] for number in filled],
        "marker": {"color": colour},
        "hovertemplate": f"%{{y:,}} {name} films<br>probability near %{{x:.2f}}"
        "<extra></extra>",
        "selected": {"marker": {"opacity": 1}},
        "unselected": {"marker": {"opacity": 0.45}},
    }


def _part(row: SubgroupRates) -> str:
    patients = f", {row.n_patients:,} patients" if row.n_patients else ""
    return (
        f"{row.name}<br><span style='font-size:11px'>{row.n_positive:,} ill, "
        f"{row.n_negative:,} well{patients}</span>"
    )


def _percent(share: float) -> str:
    return wording.NOT_MEASURED if np.isnan(share) else f"{100 * share:.1f} %"


def _patients(number: float) -> str:
    if np.isnan(number):
        return wording.NOT_MEASURED
    return f"{number:.1f}" if number < 10 else f"{number:,.0f}"
