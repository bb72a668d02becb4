"""The model at work: what its answers were worth by the reviews, and what has moved.

It owns what is shown of both, for one model at a time, and the report on a period.
"""

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

import streamlit as st

from cxr.config import settings
from cxr.errors import ModelError
from cxr.evaluation.drift import Drift
from cxr.models import registry
from cxr.models.cards import Card
from cxr.reading import drift_words, monitoring, period
from cxr.reading.monitoring import Home, Watch
from cxr.records import search
from cxr.records.search import Query
from cxr.reports import monitoring as report
from ui.loaders import active_card
from ui.people import actor
from ui.signatures import Signature, model_signature
from ui.wording import NOT_MEASURED, escaped

FILTERS = "films of this model, by time and reader; other filters do not count here"
PERIODS = {"The last day": 1, "The last week": 7, "The last 30 days": 30}


def show_worth(query: Query) -> None:
    """Shows what the answers were worth by the reviews of the films.

    Args:
        query: which films; samples never count.
    """
    card = _card(query)
    model_id = card.model_id if card else query.model_id
    # Films chosen by their answer or review would say what they were chosen by.
    of_model = Query(since=query.since, reader=query.reader, model_id=model_id)
    live = monitoring.live(settings().records_dir, of_model)
    st.markdown(f"**{escaped(model_id)}** · {FILTERS}")
    if not live.reviewed:
        st.info(
            "No film is reviewed yet: agree or disagree on Classify or in a case, and "
            "this says what the answers are worth here.",
            icon=":material/rate_review:",
        )
        return
    tested = card.metrics.get("test") if card else None
    head, *rows = report.worth(live, tested)
    st.markdown(f"Reviewed: {escaped(report.reviewed(live))}.")
    st.dataframe(
        [dict(zip((" ", *head[1:]), row, strict=True)) for row in rows],
        hide_index=True,
        height="content",
        alt="What the answers were worth by the reviews, beside the test films",
    )
    st.caption(f"{head[0]}. {report.REVIEWS}")


def show_moved(query: Query) -> None:
    """Shows whether anything has moved among the films that the model reads.

    Args:
        query: which films; those of one model count.
    """
    card = _card(query)
    if card is None:
        st.info(
            "The model is no longer registered: its films can't be held against it.",
            icon=":material/inventory_2:",
        )
        return
    st.markdown(f"**{escaped(card.model_id)}** · {FILTERS}")
    watch = _watch(query, card)
    if not watch.times:
        st.info("This model has read no film yet.", icon=":material/inventory_2:")
        return
    if watch.moved:
        st.markdown("### :violet[:material/trending_up: Something has moved]")
    for sentence in report.moved(watch):
        st.markdown(escaped(sentence))
    st.dataframe(
        [_row(found) for found in watch.drifts],
        hide_index=True,
        height="content",
        alt="Each figure, whether it moved, and how strongly",
    )
    st.caption(drift_words.HELP)


def show_report() -> None:
    """Shows the report on a period, as HTML and PDF."""
    st.markdown("##### Report")
    who = actor()  # a download is made where nobody is logged in
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        words = st.selectbox("On", list(PERIODS), 1, key="history_report", width=190)
        for kind, mime, make in (
            ("html", "text/html", report.html),
            ("pdf", "application/pdf", report.pdf),
        ):
            st.download_button(
                f"Report ({kind.upper()})",
                partial(_made, make, PERIODS[words], who),
                file_name=f"report.{kind}",
                mime=mime,
                key=f"history_report_{kind}",
                icon=":material/summarize:",
                on_click="ignore",
            )
    st.caption(
        "What was read, refused and reviewed, what the answers were worth, and what "
        "has moved; nothing of a patient. Daily by `python -m cxr report`."
    )


def _made(make: Callable[..., str | bytes], days: int, who: str) -> str | bytes:
    search.require_sight(settings().records_dir, actor=who)
    return make(_period(days), time=datetime.now(UTC))


def _row(found: Drift) -> dict[str, str]:
    """Returns one figure as a row: whether it moved, how far, how surely."""
    levels = [level.median for level in (found.before, found.after) if level]
    return {
        "Figure": drift_words.NAMES[found.figure],
        "Against": found.against,
        "Films": f"{found.films:,}",
        "Moved": "yes" if found.moved else "no",
        "Median before, since": " → ".join(map(_median, levels)),
        "By chance in 1 of": drift_words.places(found.e_value),
        "Said from 1 of": f"{found.limit:,.0f}",
    }


def _period(days: int) -> period.Period:
    where, now = settings(), datetime.now(UTC)
    since = now - timedelta(days=days)
    return period.period(where.records_dir, where.models_dir, since, now)


def _card(query: Query) -> Card | None:
    """Returns the card of the model that the films are of; None if it is gone."""
    if not query.model_id:
        return active_card()
    try:
        return registry.read_card(settings().models_dir, query.model_id)
    except ModelError:
        return None


def _watch(query: Query, card: Card) -> Watch:
    """Returns what has moved; worked out anew when films have come."""
    where = settings()
    query = Query(since=query.since, reader=query.reader, model_id=card.model_id)
    newest = search.cases(where.records_dir, query, limit=1)
    count = search.count(where.records_dir, query).cases
    stamp = f"{newest[0].case_id} {count}" if newest else ""
    files = model_signature(card.model_id)
    return _watched(query, stamp, files, _home(files, card.model_id))


@st.cache_resource(max_entries=8, show_spinner="Holding the films against each other")
def _watched(query: Query, stamp: str, files: Signature, _known: Home) -> Watch:
    return monitoring.watch(settings().records_dir, query, _known)


@st.cache_resource(max_entries=4, show_spinner="Reading the model's own films")
def _home(files: Signature, model_id: str) -> Home:
    where = settings()
    return monitoring.home(
        where.models_dir, registry.read_card(where.models_dir, model_id)
    )


def _median(value: float) -> str:
    return NOT_MEASURED if math.isnan(value) else f"{value:.3g}"
