"""Plotly figures of a data folder; they draw finished values and compute nothing."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from ui import charts
from ui.charts import ILL, WELL

# Drawn over one another, so a hatch tells the parts of a class apart without colour.
PARTS = {
    "Normal": (WELL, ""),
    "Pneumonia, bacterial": (ILL, ""),
    "Pneumonia, viral": (ILL, "/"),
    "Pneumonia, cause not stated": (ILL, "."),
}
CLASS_WORDS = ("Normal", "Pneumonia")
CLASS_COLOURS = (WELL, ILL)
CLASS_SYMBOLS = ("circle-open", "x-thin-open")
ROW, FRAME = 46, 84  # pixels: one row of a horizontal chart, and its axis and legend

Floats = NDArray[np.floating]
Integers = NDArray[np.int32]


def class_balance(splits: Mapping[str, Mapping[str, int]]) -> go.Figure:
    """Returns a bar for each split, cut by class and subtype into shares of its films.

    Args:
        splits: films in each of `PARTS`, by the words for the split.
    """
    figure = _figure(height=FRAME + ROW * len(splits))
    totals = {split: sum(parts.values()) for split, parts in splits.items()}
    for part, (colour, hatch) in PARTS.items():
        counts = [parts.get(part, 0) for parts in splits.values()]
        if not any(counts):
            continue
        figure.add_bar(
            name=part,
            y=list(splits),
            x=[c / max(t, 1) for c, t in zip(counts, totals.values(), strict=True)],
            text=[f"{count:,}" if count else "" for count in counts],
            orientation="h",
            width=0.66,
            marker={
                "color": colour,
                "line_width": 0,
                "pattern": {
                    "shape": hatch,
                    "bgcolor": colour,
                    "fgcolor": "rgba(255,255,255,0.55)",
                    "size": 8,
                    "solidity": 0.15,
                },
            },
            insidetextfont_color="#14171A",
            textposition="inside",
            insidetextanchor="middle",
            hovertemplate=f"{part}: %{{text}} films, %{{x:.1%}}<extra></extra>",
        )
    figure.update_layout(barmode="stack", legend_traceorder="normal")
    figure.update_xaxes(range=[0, 1.002], tickformat=".0%", title="share of the films")
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return figure


def sizes(width: Integers, height: Integers, labels: NDArray[np.int64]) -> go.Figure:
    """Returns a point for each film at its width and height in pixels, by class.

    Args:
        width: pixels, shape `(n,)`.
        height: pixels, shape `(n,)`.
        labels: 0 or 1, shape `(n,)`.
    """
    figure = _figure(height=360)
    for label, name in enumerate(CLASS_WORDS):
        chosen = labels == label
        figure.add_scattergl(
            name=name,
            x=width[chosen],
            y=height[chosen],
            mode="markers",
            marker={
                "color": CLASS_COLOURS[label],
                "symbol": CLASS_SYMBOLS[label],
                "size": 6,
                "opacity": 0.7,
                "line_width": 1,
            },
            hovertemplate=f"{name}: %{{x:,}} × %{{y:,}} pixels<extra></extra>",
        )
    figure.update_xaxes(title="width, pixels", rangemode="tozero")
    figure.update_yaxes(title="height, pixels", rangemode="tozero")
    return figure


def histogram(edges: Floats, shares: Sequence[Floats], unit: str) -> go.Figure:
    """Returns the shares of both classes' films in each bin, one over the other.

    Args:
        edges: of the bins, shape `(n + 1,)`.
        shares: of each class's films, shape `(n,)` each; empty for a class without.
        unit: of the values, for the axis.
    """
    figure = _figure(height=230)
    for label, name in enumerate(CLASS_WORDS):
        if not shares[label].size:
            continue
        figure.add_scatter(
            name=name,
            x=edges,
            y=np.append(shares[label], 0),
            mode="lines",
            line={
                "shape": "hv",
                "color": CLASS_COLOURS[label],
                "width": 2,
                "dash": ("solid", "dot")[label],
            },
            fill="tozeroy",
            hovertemplate=f"{name}, from %{{x:,.4g}}: %{{y:.1%}}<extra></extra>",
        )
    figure.update_xaxes(title=unit, showgrid=False)
    figure.update_yaxes(tickformat=".0%", rangemode="tozero", nticks=4)
    return figure


def _figure(*, height: int) -> go.Figure:
    return charts.figure(
        [],
        height=height,
        showlegend=True,
        dragmode=False,
        legend={"yref": "paper", "y": 1, "yanchor": "bottom"},
        margin={"t": 30, "r": 28},  # labels past the edge are hidden
    )
