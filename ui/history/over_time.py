"""The three answers over time, and the films that were refused."""

from datetime import date, timedelta

import plotly.graph_objects as go
import streamlit as st

from cxr.config import settings
from cxr.reading.cases import NO_ANSWER, REFUSED
from cxr.records import search
from cxr.records.kept import ABOVE, BELOW
from cxr.records.search import Query
from ui import charts
from ui.charts import DOUBT, ILL, LINE, WELL

DAYS = 60  # more are drawn by week
PARTS = {
    ABOVE: (ILL, ""),
    NO_ANSWER: (DOUBT, "x"),
    BELOW: (WELL, ""),
    REFUSED: (LINE, "/"),
}


def show_over_time(query: Query) -> None:
    """Shows how many films got which answer, by day or by week."""
    days = search.by_day(settings().records_dir, query)
    if not days:
        st.caption("No film was read in this time.")
        return
    weekly = len(days) > DAYS
    drawn = by_week(days) if weekly else days
    unit = "week that begins on" if weekly else "day"
    st.plotly_chart(
        answers(drawn, unit),
        config=charts.QUIET,
        key="history_over_time",
        alt="Films by answer over time",
    )


def by_week(days: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    """Returns the same counts by the Monday of each week."""
    weeks: dict[str, dict[str, int]] = {}
    for day, counts in days.items():
        at = date.fromisoformat(day)
        week = weeks.setdefault(str(at - timedelta(days=at.weekday())), {})
        for answer, number in counts.items():
            week[answer] = week.get(answer, 0) + number
    return weeks


def answers(counted: dict[str, dict[str, int]], unit: str) -> go.Figure:
    """Returns a bar a day, cut by answer.

    Args:
        counted: films by answer, by day.
        unit: what a bar is, for the axis.
    """
    traces = [
        {
            "type": "bar",
            "name": answer,
            "x": list(counted),
            "y": [counts.get(answer, 0) for counts in counted.values()],
            "marker": {"color": colour, "pattern": {"shape": hatch, "size": 6}},
            "hovertemplate": f"%{{x}}: %{{y:,}} {answer}<extra></extra>",
        }
        for answer, (colour, hatch) in PARTS.items()
    ]
    return charts.figure(
        traces,
        barmode="stack",
        xaxis={"title": unit, "type": "category"},
        yaxis={"title": "films"},
        legend={"traceorder": "normal"},
    )
