"""What all figures share: colours, the look, and the marks that recur.

Figures draw finished values and compute nothing. Amber is about films with pneumonia or
above the threshold, blue-grey about normal films or those below it, violet is doubt or
the second of two; blue is the model. Colour is never alone: dashes, symbols and words
say the same.
"""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from cxr.evaluation.estimates import Estimate
from cxr.models.inference import NORMAL, PNEUMONIA, UNCERTAIN
from ui import wording

# Middle tones, legible on the dark and on the light theme alike.
COLOURS = {PNEUMONIA: "#C98413", UNCERTAIN: "#9673CC", NORMAL: "#7C91A5"}
ILL, WELL, DOUBT = COLOURS[PNEUMONIA], COLOURS[NORMAL], COLOURS[UNCERTAIN]
MODEL = "#4A8AD6"
LINE = "#7F8A94"
GRID = "rgba(127,138,148,0.22)"
HEIGHT = 340  # pixels
ROW, FRAME = 34, 84  # pixels: a row of a forest; its axis and what is around it
UNIT = [-0.02, 1.02]  # an axis of shares
_AXIS = {"automargin": True, "zeroline": False, "gridcolor": GRID}
TEMPLATE = go.layout.Template(
    layout={
        "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "hovermode": "closest",
        # At the lower edge, whatever the height: never on the words of an axis.
        "legend": {"orientation": "h", "yref": "container", "y": 0, "x": 0},
        "xaxis": _AXIS,
        "yaxis": _AXIS,
    }
)
STATIC = {"displayModeBar": False, "staticPlot": True}
QUIET = {"displayModeBar": False, "scrollZoom": False}
Trace = dict[str, Any]


def figure(traces: Sequence[Trace], **layout: Any) -> go.Figure:
    """Returns a figure of some traces that looks like all others.

    Args:
        traces: in drawing order.
        layout: what differs from the others.
    """
    return go.Figure(
        data=traces, layout={"template": TEMPLATE, "height": HEIGHT, **layout}
    )


def line(name: str, x: Any, y: Any, colour: str, dash: str = "solid") -> Trace:
    """Returns a line that says its values when it is pointed at.

    Args:
        name: in the legend.
        x: shape `(k,)`.
        y: shape `(k,)`.
        colour: of the line.
        dash: as Plotly names it.
    """
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": x,
        "y": y,
        "line": {"color": colour, "dash": dash, "width": 2},
        "hovertemplate": f"%{{x:.3f}} → %{{y:.3f}}<extra>{name}</extra>",
    }


def guide(x: Any, y: Any) -> Trace:
    """Returns a dotted line that curves are held against, without a name."""
    return {
        "type": "scatter",
        "mode": "lines",
        "x": x,
        "y": y,
        "line": {"color": LINE, "dash": "dot", "width": 2},
        "hoverinfo": "skip",
        "showlegend": False,
    }


def vertical(x: float, colour: str, dash: str, width: float) -> dict[str, Any]:
    """Returns an upright line over the whole height of a figure, as a shape.

    Args:
        x: where.
        colour: of the line.
        dash: as Plotly names it.
        width: in pixels.
    """
    return {
        "type": "line",
        "x0": x,
        "x1": x,
        "y0": 0,
        "y1": 1,
        "yref": "paper",
        "line": {"color": colour, "dash": dash, "width": width},
    }


def interval_bars(values: Sequence[Estimate], colour: str) -> dict[str, Any]:
    """Returns the 95 % intervals of some values as Plotly's error bars."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [value.high - value.value for value in values],
        "arrayminus": [value.value - value.low for value in values],
        "thickness": 1.5,
        "width": 4,
        "color": colour,
    }


def forest(
    name: str, values: Sequence[Estimate], places: Any, colour: str, symbol: str
) -> Trace:
    """Returns a row of marks with their intervals; an undefined value has no mark.

    Args:
        name: of what the values measure.
        values: one a place.
        places: on the vertical axis, shape `(k,)`.
        colour: of marks and intervals.
        symbol: of the marks.
    """
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [value.value for value in values],
        "y": places,
        "text": [wording.estimate(value) for value in values],
        "marker": {"size": 9, "color": colour, "symbol": symbol},
        "error_x": interval_bars(values, colour),
        "hovertemplate": f"%{{text}}<extra>{name}</extra>",
    }


def faded(colour: str, opacity: float) -> str:
    """Returns a colour, `#rrggbb`, that lets through what is behind it.

    Args:
        colour: of six hexadecimal digits.
        opacity: `[0, 1]`.
    """
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"


NARROW_ZONE, LABEL_WIDTH = 0.05, 0.25  # shares of the scale


def probability_scale(
    probability: float,
    *,
    threshold: float,
    band: tuple[float, float],
    decision: str,
    ink: str,
) -> go.Figure:
    """Returns the scale from 0 to 1: the film, the threshold, the uncertain band.

    Args:
        probability: of the film, `[0, 1]`.
        threshold: the reader's.
        band: edges of the uncertain band.
        decision: as `cxr.models.inference` names it.
        ink: colour of the labels.
    """
    film = wording.probability(probability, threshold)
    labels = [
        _label(probability, f"<b>{film}</b>", 1),
        _label(threshold, f"threshold {wording.threshold(threshold)}", -1),
    ]
    middle = (band[0] + band[1]) / 2
    # A film in the zone has its own figure there, and its answer says the rest.
    if band[1] - band[0] > NARROW_ZONE and abs(probability - middle) > LABEL_WIDTH:
        labels.append(_label(middle, "no answer", 1))
    # In one piece: Plotly takes five times as long where marks are added one by one.
    return figure(
        [_zone(*band), _film_mark(probability, COLOURS[decision])],
        height=104,
        showlegend=False,
        hovermode=False,
        bargap=0,
        shapes=[_stroke((0, 1), (0, 0)), _stroke((threshold,) * 2, (-0.75, 0.75), 4)],
        annotations=[{**label, "font_color": ink} for label in _ends() + labels],
        xaxis={"range": [-0.09, 1.09], "visible": False},
        yaxis={"range": [-1.9, 1.9], "visible": False},
    )


def _zone(low: float, high: float) -> Trace:
    return {
        "type": "bar",
        "x": [high - low],
        "y": [0],
        "base": low,
        "width": 0.7,
        "orientation": "h",
        "marker": {
            "color": "rgba(150,115,204,0.25)",
            "line": {"color": COLOURS[UNCERTAIN], "width": 1},
            "pattern": {"shape": "/", "fgcolor": COLOURS[UNCERTAIN], "size": 6},
        },
    }


def _film_mark(x: float, colour: str) -> Trace:
    return {
        "type": "scatter",
        "x": [x],
        "y": [0],
        "mode": "markers",
        "marker": {"size": 20, "color": colour, "line": {"width": 0}},
        "cliponaxis": False,
    }


def _stroke(
    x: tuple[float, float], y: tuple[float, float], width: float = 2
) -> dict[str, Any]:
    (x0, x1), (y0, y1) = x, y
    ends = {"x0": x0, "x1": x1, "y0": y0, "y1": y1}
    return {"type": "line", **ends, "line": {"color": LINE, "width": width}}


def _ends() -> list[dict[str, Any]]:
    return [
        {"x": end, "y": 0, "text": str(end), "showarrow": False, "xshift": shift}
        for end, shift in ((0, -16), (1, 16))
    ]


def _label(x: float, text: str, side: int) -> dict[str, Any]:
    """Writes above (1) or below (-1) a point, inside the figure at both ends."""
    anchor = "left" if x < 0.12 else "right" if x > 0.88 else "center"
    place = {"x": x, "y": side * 1.4, "xanchor": anchor}
    return {**place, "text": text, "showarrow": False, "font_size": 14}


def ink() -> str:
    """Returns the colour of writing in the reader's theme."""
    return theme_colour("textColor")


def theme_colour(name: str) -> str:
    """Returns a colour of the reader's theme, by the name of its option."""
    return str(st.get_option(f"theme.{st.context.theme.type or 'dark'}.{name}"))
