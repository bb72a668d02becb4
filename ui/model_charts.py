"""Plotly figures of registered models; they draw finished values."""

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
import streamlit as st
from numpy.typing import NDArray

from cxr.evaluation import ReliabilityCurve
from ui.charts import LINE, STATIC, TEMPLATE

CONFIG = STATIC
# Middle tones, legible on both themes; shape and name say the same as the colour.
FIRST, SECOND = "#5C9DEB", "#C98413"
GRID = "rgba(127,138,148,0.25)"


def ink() -> str:
    """Returns the colour of writing in the reader's theme."""
    return str(st.get_option(f"theme.{st.context.theme.type or 'dark'}.textColor"))


def reliability(curves: Mapping[str, ReliabilityCurve], *, ink: str) -> go.Figure:
    """Returns predicted against observed share of pneumonia for two models.

    Marks are larger where there are more films.

    Args:
        curves: by model id, the first drawn as circles, the second as squares.
        ink: colour of the labels.
    """
    figure = _figure(ink, height=340)
    figure.add_scatter(
        x=[0, 1], y=[0, 1], mode="lines", line={"color": LINE, "dash": "dot"}
    )
    marks = ((FIRST, "circle"), (SECOND, "square-open"))
    for (name, curve), (colour, symbol) in zip(curves.items(), marks, strict=False):
        some = curve.counts > 0
        observed = curve.observed[some]
        figure.add_scatter(
            x=curve.predicted[some],
            y=observed,
            error_y={
                "type": "data",
                "symmetric": False,
                "array": np.clip(curve.high[some] - observed, 0, None),
                "arrayminus": np.clip(observed - curve.low[some], 0, None),
                "thickness": 1,
                "width": 3,
            },
            mode="markers",
            name=name,
            marker={
                "symbol": symbol,
                "size": _sizes(curve.counts[some]),
                "color": colour,
                "line_width": 1.5 if symbol == "square-open" else 0,
            },
        )
    figure.update_xaxes(title_text="mean probability", range=[-0.03, 1.03])
    figure.update_yaxes(title_text="share with pneumonia", range=[-0.03, 1.03])
    return figure


def _sizes(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    return 6 + 3 * np.log10(counts)


def _figure(ink: str, *, height: int) -> go.Figure:
    figure = go.Figure(layout={"template": TEMPLATE, "height": height})
    figure.update_layout(font_color=ink)
    figure.update_xaxes(gridcolor=GRID, zeroline=False)
    figure.update_yaxes(gridcolor=GRID, zeroline=False)
    return figure
