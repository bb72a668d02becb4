"""The dashboard's figures that count films: matrix, scores by class, subgroups."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from cxr.evaluation.overview import ScoreHistogram, View
from cxr.evaluation.subgroups import SubgroupRates
from ui import wording
from ui.charts import (
    DOUBT,
    GRID,
    HEIGHT,
    ILL,
    UNIT,
    WELL,
    Trace,
    faded,
    figure,
    forest,
)

# Each cell of the matrix: its words, its answer (as a column) and its row (1 with
# pneumonia).
CELLS = {
    "fn": ("missed", "below", 1),
    "ni": ("no answer", "none", 1),
    "tp": ("found", "above", 1),
    "tn": ("right below", "below", 0),
    "nw": ("no answer", "none", 0),
    "fp": ("false alarms", "above", 0),
}
WRONG = ("fn", "fp")
ANSWERS = {"below": "below", "none": "no answer", "above": "above"}


def matrix(view: View, *, chosen: str | None, ink: str) -> go.Figure:
    """Returns the matrix of answers: films, and their share of the ill or the well.

    Each cell is a bar that can be clicked; its `customdata` is the cell's name. Where
    the zone without an answer has no width there are two columns.

    Args:
        view: at the threshold.
        chosen: the cell whose films are shown; None for none.
        ink: colour of the words.
    """
    answers = [
        a for a in ANSWERS if a != "none" or view.answers.low < view.answers.high
    ]
    cells = {c: place for c, place in CELLS.items() if place[1] in answers}
    columns = {answer: number for number, answer in enumerate(answers)}
    return figure(
        [_cell(cell, columns, cell == chosen, ink) for cell in cells],
        annotations=[_cell_words(cell, view, columns, ink) for cell in cells],
        barmode="overlay",
        showlegend=False,
        height=HEIGHT - 60,
        xaxis={**_places([ANSWERS[answer] for answer in answers]), "side": "top"},
        yaxis=_places(["normal", "pneumonia"]),
    )


def in_cell(view: View, cell: str) -> int:
    """Returns how many films are in a cell of the matrix."""
    if cell in ("nw", "ni"):
        return view.answers.n_no_answer[cell == "ni"]
    return int(getattr(view.answers.confusion, cell))


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


def _cell(cell: str, columns: dict[str, int], chosen: bool, ink: str) -> Trace:
    """Returns a cell as a bar; errors are hatched, the chosen one has a frame."""
    _, answer, row = CELLS[cell]
    colour = {"below": WELL, "none": DOUBT, "above": ILL}[answer]
    wrong = cell in WRONG
    return {
        "type": "bar",
        "x": [columns[answer]],
        "y": [0.94],
        "base": [row - 0.47],
        "width": 0.94,
        "customdata": [cell],
        # "skip" would swallow the click too.
        "hoverinfo": "none",
        "marker": {
            "color": faded(colour, 0.12 if wrong else 0.3),
            "line": {"color": ink if chosen else colour, "width": 4 if chosen else 1},
            "pattern": {
                "shape": "/" if wrong else "",
                "fgcolor": faded(colour, 0.35),
                "size": 9,
            },
        },
        "selected": {"marker": {"opacity": 1}},
        "unselected": {"marker": {"opacity": 1}},
    }


def _cell_words(
    cell: str, view: View, columns: dict[str, int], ink: str
) -> dict[str, Any]:
    """Returns what stands in a cell: how many films, and their share of a class."""
    words, answer, row = CELLS[cell]
    of_class = [in_cell(view, c) for c, place in CELLS.items() if place[2] == row]
    share = in_cell(view, cell) / sum(of_class) if sum(of_class) else float("nan")
    return {
        "x": columns[answer],
        "y": row,
        "text": f"<b>{in_cell(view, cell):,}</b> {words}<br>"
        f"{_percent(share)} of the {'ill' if row else 'well'}",
        "showarrow": False,
        "captureevents": False,
        "font": {"size": 13, "color": ink},
    }


def _places(names: Sequence[str]) -> dict[str, Any]:
    return {
        "tickvals": list(range(len(names))),
        "ticktext": list(names),
        "range": [-0.5, len(names) - 0.5],
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
