"""The dashboard as one HTML file that opens without a server and holds no film.

It writes what `figures` draws, and what is measured, into a template that escapes every
text.
"""

import math
from datetime import UTC, datetime
from pathlib import Path

import plotly.graph_objects as go
import plotly.io

from cxr import __version__
from cxr.errors import CxrError
from cxr.evaluation.overview import View
from cxr.reports.document import NOTICE
from cxr.reports.page import templates
from cxr.validation import tables
from ui import wording
from ui.dashboard import comparison, figures
from ui.dashboard.beside import beside
from ui.dashboard.comparison import Compared
from ui.dashboard.local import bar_rows
from ui.dashboard.source import Source

# The report may draw and be saved, and ask nobody for anything.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:"
)
INK = "#1C2126"
LIGHT = {
    "paper_bgcolor": "#FBFBFA",
    "plot_bgcolor": "#FBFBFA",
    "font": {"color": INK, "family": "system-ui, sans-serif"},
}
_TEMPLATES = templates(Path(__file__).parent)


def html(source: Source, view: View) -> str:
    """Returns the page as one HTML file that needs nothing else, without any film.

    Args:
        source: what the page is about.
        view: at the threshold.
    """
    compared = _compared(source)
    drawn = {
        **figures.at_threshold(source, view, ink=INK, other=beside(source)),
        **figures.whatever_the_threshold(source, ink=INK),
        **({compared.title: compared.figure} if compared else {}),
    }
    return _TEMPLATES.get_template("report.html").render(
        policy=POLICY,
        notice=NOTICE,
        model_id=source.card.model_id,
        facts=_facts(source, view),
        validation=_validation(source),
        metrics=_metrics(source, view),
        comparison=_comparison_rows(compared),
        figures={
            title: _inline(figure, with_library=number == 0)
            for number, (title, figure) in enumerate(drawn.items())
        },
        limits=source.card.limits,
    )


def _facts(source: Source, view: View) -> dict[str, str]:
    shown, card = source.appraisal, source.card
    facts = {
        "Model": card.model_id,
        "Population": card.population,
        "Films": f"{shown.whole.n:,} {shown.films}, {shown.whole.n_positive:,} with "
        f"pneumonia, {shown.whole.n_patients or shown.whole.n:,} patients",
        "Threshold": f"{wording.threshold(view.point.threshold)} (shipped: "
        f"{wording.threshold(shown.shipped)}, {card.threshold.rule})",
        "Zone without an answer": f"{wording.threshold(view.answers.low)} to "
        f"{wording.threshold(view.answers.high)}",
        "Local prevalence": wording.percent(view.local.prevalence)
        if view.local
        else "not stated",
    }
    if caution := source.films.caution():
        facts["Note"] = caution
    made = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC with cxr {__version__}"
    return {**facts, "Made": made}


def _validation(source: Source) -> dict[str, object] | None:
    """Returns what a local validation was held against; None for other films."""
    report = source.films.report()
    if report is None:
        return None
    return {
        "verdict": "go" if report.go else "no-go",
        "words": f"{report.title}, {report.films:,} films, {len(report.refused):,} "
        "refused",
        "bars": [("bar", "here", ""), *bar_rows(report)],
    }


def _metrics(source: Source, view: View) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [
        ("", "value", "95 % interval", "shipped", "how the interval was made")
    ]
    for row in tables.metrics(source.appraisal, view):
        value, low, high, shipped = (
            _number(row[name]) for name in ("value", "low", "high", "shipped")
        )
        metric, method = str(row["metric"]), str(row["interval"])
        rows.append((metric, value, f"{low} – {high}", shipped, method))
    return rows


def _compared(source: Source) -> Compared | None:
    """Returns the chosen model beside another; None where there is nothing to show."""
    try:
        return comparison.compared(source)
    except CxrError:
        return None  # The page says why.


def _comparison_rows(compared: Compared | None) -> dict[str, object] | None:
    if compared is None:
        return None
    head, rows = compared.rows[0].keys(), (row.values() for row in compared.rows)
    return {"title": compared.title, "words": compared.words, "rows": [head, *rows]}


def _inline(figure: go.Figure, *, with_library: bool) -> str:
    """Returns a figure as HTML, which Plotly makes safe to stand in a page.

    Args:
        figure: to be drawn.
        with_library: whether the drawing library is to be in it; the first figure's
            serves all.
    """
    return plotly.io.to_html(
        go.Figure(figure).update_layout(LIGHT),
        include_plotlyjs=with_library,
        full_html=False,
        config={
            "displaylogo": False,
            "responsive": True,
            # Nothing of a report is sent anywhere.
            "showSendToCloud": False,
            "modeBarButtonsToRemove": ["lasso2d", "select2d", "sendChartToCloud"],
        },
    )


def _number(value: object) -> str:
    number = float(str(value))
    if math.isnan(number):
        return wording.NOT_MEASURED
    return "∞" if math.isinf(number) else f"{number:.4g}"
