"""Learning curves of training runs: finished values, epoch by epoch."""

import math
from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from ui.charts import LINE, TEMPLATE
from ui.runs import Epoch

# Middle tones, legible on both themes; dashes and markers say the same.
COLOURS = ("#5C9DEB", "#C98413", "#9673CC", "#7C91A5")
DASHES = ("solid", "dash", "dot", "dashdot")
SYMBOLS = ("circle", "square", "diamond", "x")
GRID = "rgba(127,138,148,0.25)"
CONFIG = {"displayModeBar": False, "scrollZoom": False}


def learning_curves(
    epochs: Sequence[Epoch], *, train: str, held_out: str, ink: str
) -> go.Figure:
    """Returns one quantity over the epochs of a run.

    Args:
        epochs: in order, of all phases.
        train: attribute on training films, drawn dotted.
        held_out: attribute on validation films, drawn solid.
        ink: colour of the labels.
    """
    figure = _figure(epochs, ink)
    for name, attribute, dash in (
        ("training", train, "dot"),
        ("validation", held_out, "solid"),
    ):
        _line(figure, epochs, attribute, name=name, dash=dash)
    return figure


def learning_rate(epochs: Sequence[Epoch], *, ink: str) -> go.Figure:
    """Returns the learning rate at the end of each epoch, on a logarithmic axis."""
    figure = _figure(epochs, ink)
    _line(figure, epochs, "learning_rate", name="learning rate", dash="solid")
    figure.update_yaxes(type="log", tickformat=".1e", nticks=4)
    figure.update_layout(margin_l=64)
    return figure


def validation_auc(runs: Mapping[str, Sequence[Epoch]], *, ink: str) -> go.Figure:
    """Returns the AUC on validation films of several runs over their epochs."""
    longest = max(runs.values(), key=len, default=())
    figure = _figure(longest, ink, phases=False)
    figure.update_layout(
        height=320, showlegend=True, legend={"orientation": "h", "y": 1.12}
    )
    for i, (name, epochs) in enumerate(runs.items()):
        _line(figure, epochs, "val_auc", name=name, dash=DASHES[i], colour=COLOURS[i])
        figure.data[-1].marker.symbol = SYMBOLS[i]
    return figure


def _figure(epochs: Sequence[Epoch], ink: str, *, phases: bool = True) -> go.Figure:
    figure = go.Figure(layout={"template": TEMPLATE, "height": 220})
    figure.update_layout(font_color=ink, hovermode="x unified")
    figure.update_layout(margin={"l": 48, "r": 8, "t": 24, "b": 44})
    figure.update_layout(hoverlabel={"font_color": "#1C2126", "bgcolor": "#EEF0F2"})
    last = max(len(epochs), 2)
    figure.update_xaxes(
        title_text="epoch",
        range=[0.5, last + 0.5],
        tick0=1,
        dtick=math.ceil(last / 8),
        tickformat="d",
    )
    figure.update_xaxes(gridcolor=GRID, zeroline=False)
    figure.update_yaxes(gridcolor=GRID, zeroline=False, nticks=5)
    if phases:
        _mark_phases(figure, epochs)
    return figure


def _mark_phases(figure: go.Figure, epochs: Sequence[Epoch]) -> None:
    names = [epoch.phase for epoch in epochs]
    for phase in dict.fromkeys(names):
        begin = names.index(phase) + 0.5
        late = begin > 0.7 * len(names)  # to the right of it the words don't fit
        if begin > 1:
            figure.add_vline(x=begin, line={"color": LINE, "dash": "dot", "width": 1})
        figure.add_annotation(
            x=begin,
            y=1,
            yref="paper",
            text=phase,
            showarrow=False,
            xanchor="right" if late else "left",
            yanchor="bottom",
            font_size=11,
        )


def _line(
    figure: go.Figure,
    epochs: Sequence[Epoch],
    attribute: str,
    *,
    name: str,
    dash: str,
    colour: str = COLOURS[0],
) -> None:
    figure.add_scatter(
        x=list(range(1, len(epochs) + 1)),
        y=[getattr(epoch, attribute) for epoch in epochs],
        name=name,
        # A single epoch has no line to be seen by.
        mode="lines+markers",
        line={"color": colour, "dash": dash, "width": 2},
        marker={"size": 5},
        hovertemplate="%{y:.4g}",
    )
