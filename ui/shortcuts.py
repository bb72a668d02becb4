"""The figure of a shortcut audit: how well a film's outside alone tells the label."""

from collections.abc import Mapping

import plotly.graph_objects as go

from cxr.evaluation.estimates import Estimate
from ui.charts import FRAME, LINE, MODEL, ROW, WELL, figure, forest, vertical

CHANCE = 0.5


def shortcut_forest(rows: Mapping[str, Estimate], network: str = "") -> go.Figure:
    """Returns the AUC of each row with its interval, beside the line of chance.

    Args:
        rows: by name, from top to bottom; an undefined one has no mark.
        network: name of the row that is the network's, drawn apart.
    """
    outside = {name: value for name, value in rows.items() if name != network}
    traces = [
        forest("from this alone", list(outside.values()), list(outside), WELL, "circle")
    ]
    if network in rows:
        traces.append(forest(network, [rows[network]], [network], MODEL, "diamond"))
    lowest = min([CHANCE, *(v.low for v in rows.values() if v.low == v.low)])
    return figure(
        traces,
        height=FRAME + ROW * len(rows),
        showlegend=False,
        shapes=[vertical(CHANCE, LINE, "dash", 1)],
        margin={"r": 28},  # labels past the edge are hidden
        xaxis={
            "title": "AUC with 95 % interval",
            "range": [min(0.45, lowest - 0.02), 1.02],
            "dtick": 0.1,
        },
        yaxis={
            "type": "category",
            "categoryorder": "array",
            "categoryarray": list(rows),
            "range": [len(rows) - 0.4, -0.6],
        },
    )
