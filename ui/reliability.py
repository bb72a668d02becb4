"""The reliability diagram: probabilities against what the films show, for two at most.

It stands on the Dashboard (before and after calibration) and on Models (two models).
"""

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go

from cxr.evaluation.estimates import Estimate
from cxr.evaluation.reliability import ReliabilityCurve
from ui.charts import DOUBT, MODEL, UNIT, Trace, faded, figure, guide, interval_bars

STYLES = ((MODEL, "circle", "solid"), (DOUBT, "square-open", "dash"))


def reliability_diagram(curves: Mapping[str, ReliabilityCurve]) -> go.Figure:
    """Returns the share with pneumonia over the mean probability, bin by bin.

    Marks are larger where there are more films. On the dotted line both are equal.

    Args:
        curves: one or two by name: the first as filled circles, solid, the second as
            open squares, dashed.
    """
    drawn = [
        _curve(name, curve, *style)
        for (name, curve), style in zip(curves.items(), STYLES, strict=False)
    ]
    return figure(
        [guide([0, 1], [0, 1]), *reversed(drawn)],
        xaxis={"title": "mean probability in the bin", "range": UNIT},
        yaxis={"title": "share with pneumonia", "range": UNIT},
        legend_traceorder="reversed",
    )


def _curve(
    name: str, curve: ReliabilityCurve, colour: str, symbol: str, dash: str
) -> Trace:
    filled = np.flatnonzero(curve.counts)
    values = [
        Estimate(value=curve.observed[i], low=curve.low[i], high=curve.high[i])
        for i in filled
    ]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "x": curve.predicted[filled],
        "y": curve.observed[filled],
        "text": [f"{count:,} films" for count in curve.counts[filled]],
        "marker": {
            "symbol": symbol,
            "color": colour,
            "size": 6 + 3 * np.log10(curve.counts[filled]),
            "line": {"width": 1.5 if symbol.endswith("open") else 0},
        },
        # Faint: between bins of few films the line says less than the marks.
        "line": {"color": faded(colour, 0.5), "dash": dash, "width": 1.5},
        "error_y": interval_bars(values, faded(colour, 0.55 if dash == "dash" else 0.9))
        | {"thickness": 1, "width": 3},
        "hovertemplate": f"%{{text}}<br>%{{x:.3f}} → %{{y:.3f}}<extra>{name}</extra>",
    }
