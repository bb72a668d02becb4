"""Plotly figures; they draw finished values and compute nothing."""

import plotly.graph_objects as go

from cxr.inference import NORMAL, PNEUMONIA, UNCERTAIN
from ui import wording

# Middle tones, legible on the dark and on the light theme alike.
COLOURS = {PNEUMONIA: "#C98413", UNCERTAIN: "#9673CC", NORMAL: "#7C91A5"}
LINE = "#7F8A94"
TEMPLATE = go.layout.Template(
    layout={
        "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "showlegend": False,
        "hovermode": False,
        "bargap": 0,
    }
)
STATIC = {"displayModeBar": False, "staticPlot": True}


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
        decision: as `cxr.inference` names it.
        ink: colour of the labels.
    """
    figure = go.Figure(layout={"template": TEMPLATE, "height": 104})
    _add_scale(figure, band)
    figure.add_shape(
        type="line",
        x0=threshold,
        x1=threshold,
        y0=-0.75,
        y1=0.75,
        line={"color": LINE, "width": 4},
    )
    figure.add_scatter(
        x=[probability],
        y=[0],
        mode="markers",
        marker={"size": 20, "color": COLOURS[decision], "line_width": 0},
        cliponaxis=False,
    )
    _label(
        figure, probability, f"<b>{wording.probability(probability, threshold)}</b>", 1
    )
    _label(figure, threshold, f"threshold {wording.threshold(threshold)}", -1)
    figure.update_annotations(font_color=ink)
    figure.update_xaxes(range=[-0.09, 1.09], visible=False)
    figure.update_yaxes(range=[-1.9, 1.9], visible=False)
    return figure


def _add_scale(figure: go.Figure, band: tuple[float, float]) -> None:
    figure.add_shape(type="line", x0=0, x1=1, y0=0, y1=0, line={"color": LINE})
    low, high = band
    figure.add_bar(
        x=[high - low],
        y=[0],
        base=low,
        width=0.7,
        orientation="h",
        marker={
            "color": "rgba(150,115,204,0.25)",
            "line": {"color": COLOURS[UNCERTAIN], "width": 1},
            "pattern": {"shape": "/", "fgcolor": COLOURS[UNCERTAIN], "size": 6},
        },
    )
    for end, shift in ((0, -16), (1, 16)):
        figure.add_annotation(x=end, y=0, text=str(end), showarrow=False, xshift=shift)


def _label(figure: go.Figure, x: float, text: str, side: int) -> None:
    """Writes above (1) or below (-1) a point, inside the figure at both ends."""
    anchor = "left" if x < 0.12 else "right" if x > 0.88 else "center"
    figure.add_annotation(
        x=x, y=side * 1.4, text=text, showarrow=False, xanchor=anchor, font_size=14
    )
