"""All figures of the dashboard at one threshold, for the page and as one HTML file."""

import math
from datetime import UTC, datetime
from html import escape

import plotly.graph_objects as go
import plotly.io

from cxr import __version__, appraisal, appraisal_tables
from cxr.appraisal import Appraisal
from cxr.errors import CxrError
from cxr.evaluation import View
from cxr.reports import NOTICE
from ui import (
    dashboard_checks,
    dashboard_comparison,
    dashboard_local,
    figures,
    wording,
)
from ui.dashboard_source import Source, caution, history_of

# The report may draw and be saved, and ask nobody for anything.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:"
)
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1C2126; background: #FBFBFA;
       max-width: 1180px; margin: 2rem auto; padding: 0 1.5rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .3rem; }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(420px, 1fr));
           gap: 1.5rem; }
section { min-width: 0; overflow: hidden; }
table { border-collapse: collapse; font-size: .9rem; }
td, th { border-bottom: 1px solid #C9CFD5; padding: .25rem .7rem; text-align: left; }
td.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.note { color: #5A7085; }
"""
INK = "#1C2126"
LIGHT = {
    "paper_bgcolor": "#FBFBFA",
    "plot_bgcolor": "#FBFBFA",
    "font": {"color": INK, "family": "system-ui, sans-serif"},
}


def moving(source: Source, view: View, *, ink: str) -> dict[str, go.Figure]:
    """Returns the figures that move with the threshold, by their titles.

    Args:
        source: what the page is about.
        view: at the threshold.
        ink: colour of words inside a figure.
    """
    found, threshold = source.appraisal, view.point.threshold
    overview, prevalence = found.overview, view.local.prevalence
    band = source.card.uncertain_band.around(min(max(threshold, 0.0), 1.0))
    drawn = {
        "Confusion matrix": figures.confusion(view.point, prevalence, ink=ink),
        "Rates over the threshold": figures.rates(
            overview.lines,
            appraisal.local_lines(overview.lines, prevalence),
            threshold=threshold,
            shipped=found.shipped,
            band=band,
        ),
        "Scores by class": figures.scores(
            overview.histogram, threshold=threshold, shipped=found.shipped, band=band
        ),
        "Subgroups": figures.subgroups(view.subgroups),
    }
    benefit = appraisal.decision_curve(found, prevalence=prevalence)
    if benefit is None:
        return drawn
    local = appraisal.at_local_prevalence(found, threshold, prevalence)
    return {
        **drawn,
        "ROC": figures.roc(overview.lines, view.point, found.whole, found.model_id),
        "Precision and recall": figures.precision_recall(
            overview.lines, view.point, found.whole, found.prevalence, found.model_id
        ),
        "Net benefit": figures.net_benefit(benefit, float(local)),
    }


def reliability(found: Appraisal) -> go.Figure:
    """Returns the reliability diagram before and after calibration."""
    return figures.reliability(
        found.overview.reliability, found.overview.reliability_before
    )


def html(source: Source, view: View) -> str:
    """Returns the page as one HTML file that needs nothing else, without any film."""
    found, card = source.appraisal, source.card
    drawn = {
        **moving(source, view, ink=INK),
        "Calibration": reliability(found),
    }
    if rows := history_of(card):
        drawn["Learning curves"] = figures.learning(rows)
    if audit := dashboard_checks.audit(card):
        features = {**audit.features, "all of these": audit.combined}
        drawn["Shortcut audit"] = figures.shortcuts(features, found.whole.auc)
    facts = {
        "Model": card.model_id,
        "Population": card.population,
        "Films": f"{found.whole.n:,} {found.films}, {found.whole.n_positive:,} with "
        f"pneumonia, {found.whole.n_patients or found.whole.n:,} patients",
        "Threshold": f"{wording.threshold(view.point.threshold)} (shipped: "
        f"{wording.threshold(found.shipped)}, {card.threshold.rule})",
        "Local prevalence": f"{100 * view.local.prevalence:.0f} %",
        **({"Note": words} if (words := caution(source.films)) else {}),
        "Made": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC with cxr {__version__}",
    }
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        f"<title>{escape(card.model_id)}: dashboard</title><style>{STYLE}</style>",
        f"<h1>What {escape(card.model_id)} is worth</h1>",
        f"<p class=note>{escape(NOTICE)}</p>",
        _table([[escape(k), escape(v)] for k, v in facts.items()]),
        _bars(source),
        "<h2>Figures</h2>",
        _metrics_table(found, view),
        _comparison(source, drawn),
        "<div class=figures>",
    ]
    for number, (title, figure) in enumerate(drawn.items()):
        parts.append(f"<section><h2>{escape(title)}</h2>{_inline(figure, number)}")
        parts.append("</section>")
    limits = "".join(f"<li>{escape(limit)}</li>" for limit in card.limits)
    parts.append(f"</div><h2>What it can't tell</h2><ul>{limits}</ul></html>")
    return "\n".join(parts)


def _inline(figure: go.Figure, number: int) -> str:
    light = go.Figure(figure).update_layout(LIGHT)
    return plotly.io.to_html(
        light,
        # The library is in the file once, so that it opens anywhere and offline.
        include_plotlyjs=number == 0,
        full_html=False,
        config={
            "displaylogo": False,
            "responsive": True,
            # Nothing of a report is sent anywhere.
            "showSendToCloud": False,
            "modeBarButtonsToRemove": ["lasso2d", "select2d", "sendChartToCloud"],
        },
    )


def _bars(source: Source) -> str:
    """Returns what a local validation was held against; empty for other films."""
    if not dashboard_local.is_local(source.films):
        return ""
    report = dashboard_local.report_of(source.films)
    rows = [("bar", "here", ""), *dashboard_local.bar_rows(report)]
    verdict = "go" if report.go else "no-go"
    return (
        f"<h2>Local validation: {verdict}, at the shipped threshold</h2>"
        f"<p>{escape(report.data)}, {report.films:,} films, {len(report.refused):,} "
        f"refused</p>{_table([[escape(cell) for cell in row] for row in rows])}"
    )


def _comparison(source: Source, drawn: dict[str, go.Figure]) -> str:
    """Returns the table of two models and adds their figure; empty for one."""
    if not source.other:
        return ""
    try:
        rows, words, figure = dashboard_comparison.compared(source)
    except CxrError:
        return ""
    title = dashboard_comparison.title(source)
    drawn[title] = figure
    cells = [list(rows[0]), *(list(row.values()) for row in rows)]
    table = _table([[escape(cell) for cell in row] for row in cells])
    return f"<h2>{escape(title)}</h2>{table}<p class=note>{escape(words)}</p>"


def _metrics_table(found: Appraisal, view: View) -> str:
    rows = [["", "value", "95 % interval", "shipped", "how the interval was made"]]
    for row in appraisal_tables.metrics(found, view):
        value, low, high, shipped = (
            _figure(row[name]) for name in ("value", "low", "high", "shipped")
        )
        rows.append(
            [
                escape(str(row["metric"])),
                value,
                f"{low} – {high}",
                shipped,
                escape(str(row["interval"])),
            ]
        )
    return _table(rows)


def _figure(value: object) -> str:
    number = float(str(value))
    if math.isnan(number):
        return wording.NOT_MEASURED
    return "∞" if math.isinf(number) else f"{number:.4g}"


def _table(rows: list[list[str]]) -> str:
    """Returns rows of cells, escaped already, as a table."""
    body = "".join(
        "<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table>{body}</table>"
