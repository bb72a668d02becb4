"""Learning curves of training runs, epoch by epoch, on every page that shows them."""

import csv
import io
import math
from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from cxr.config import settings
from cxr.models import registry
from cxr.models.cards import HISTORY, Card
from cxr.runs import history
from cxr.runs.history import Epoch
from ui.charts import DOUBT, ILL, LINE, MODEL, QUIET, WELL, figure

COLOURS = (MODEL, ILL, DOUBT, WELL)
DASHES = ("solid", "dash", "dot", "dashdot")
SYMBOLS = ("circle", "square", "diamond", "x")
CONFIG = QUIET


def epochs_of(card: Card) -> list[Epoch]:
    """Returns the epochs of the run that made a model, none if it kept none.

    Raises:
        ModelError: the file was changed.
    """
    if HISTORY not in card.files:
        return []
    content = registry.read_file(settings().models_dir, card, HISTORY)
    text = io.StringIO(content.decode("utf-8", "replace"), newline="")
    return [history.epoch(row) for row in csv.DictReader(text)]


def loss_and_auc(epochs: Sequence[Epoch], *, ink: str) -> dict[str, go.Figure]:
    """Returns the curves of loss and AUC over the epochs of a run, by name."""
    return {
        name: learning_curves(
            epochs, train=attribute, held_out=f"val_{attribute}", ink=ink
        )
        for name, attribute in (("Loss", "loss"), ("AUC", "auc"))
    }


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
    curves = _figure(epochs, ink)
    for name, attribute, dash in (
        ("training", train, "dot"),
        ("validation", held_out, "solid"),
    ):
        _line(curves, epochs, attribute, name=name, dash=dash)
    return curves


def learning_rate(epochs: Sequence[Epoch], *, ink: str) -> go.Figure:
    """Returns the learning rate at the end of each epoch, on a logarithmic axis."""
    curve = _figure(epochs, ink)
    _line(curve, epochs, "learning_rate", name="learning rate", dash="solid")
    curve.update_yaxes(type="log", tickformat=".1e", nticks=4)
    curve.update_layout(margin_l=64)
    return curve


def validation_auc(runs: Mapping[str, Sequence[Epoch]], *, ink: str) -> go.Figure:
    """Returns the AUC on validation films of several runs over their epochs."""
    longest = max(runs.values(), key=len, default=())
    curves = _figure(longest, ink, phases=False)
    curves.update_layout(
        height=320,
        showlegend=True,
        legend={"orientation": "h", "yref": "paper", "y": 1.12},
    )
    for i, (name, epochs) in enumerate(runs.items()):
        _line(curves, epochs, "val_auc", name=name, dash=DASHES[i], colour=COLOURS[i])
        curves.data[-1].marker.symbol = SYMBOLS[i]
    return curves


def _figure(epochs: Sequence[Epoch], ink: str, *, phases: bool = True) -> go.Figure:
    last = max(len(epochs), 2)
    empty = figure(
        [],
        height=220,
        showlegend=False,
        font={"color": ink},
        hovermode="x unified",
        hoverlabel={"font": {"color": "#1C2126"}, "bgcolor": "#EEF0F2"},
        margin={"l": 48, "r": 8, "t": 24, "b": 44},
        xaxis={
            "title": "epoch",
            "range": [0.5, last + 0.5],
            "tick0": 1,
            "dtick": math.ceil(last / 8),
            "tickformat": "d",
        },
        yaxis={"nticks": 5},
    )
    if phases:
        _mark_phases(empty, epochs)
    return empty


def _mark_phases(curves: go.Figure, epochs: Sequence[Epoch]) -> None:
    names = [epoch.phase for epoch in epochs]
    for phase in dict.fromkeys(names):
        begin = names.index(phase) + 0.5
        late = begin > 0.7 * len(names)  # to the right of it the words don't fit
        if begin > 1:
            curves.add_vline(x=begin, line={"color": LINE, "dash": "dot", "width": 1})
        curves.add_annotation(
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
    curves: go.Figure,
    epochs: Sequence[Epoch],
    attribute: str,
    *,
    name: str,
    dash: str,
    colour: str = COLOURS[0],
) -> None:
    curves.add_scatter(
        x=list(range(1, len(epochs) + 1)),
        y=[getattr(epoch, attribute) for epoch in epochs],
        name=name,
        # A single epoch has no line to be seen by.
        mode="lines+markers",
        line={"color": colour, "dash": dash, "width": 2},
        marker={"size": 5},
        hovertemplate="%{y:.4g}",
    )
