"""Which cases the page is about: what a reader searches and filters by.

It owns the row of filters and the line that counts what they let through.
"""

from datetime import UTC, date, datetime, time, timedelta

import streamlit as st

from cxr.config import settings
from cxr.reading.cases import NO_ANSWER, REFUSED
from cxr.records import search
from cxr.records.kept import ABOVE, AGREE, BELOW, DISAGREE, UNSURE
from cxr.records.search import Counts, Query
from ui.wording import file_name

ANSWERS = {
    "Above threshold": ABOVE,
    "Below threshold": BELOW,
    "No answer": NO_ANSWER,
    "Refused": REFUSED,
}
EVERY, NOT_REVIEWED, DISPUTED = "All", "Not reviewed", "Disagreements"
QUEUES = (EVERY, NOT_REVIEWED, DISPUTED)
OPINIONS = (AGREE, DISAGREE, UNSURE)
PERIODS = {"Any time": None, "Today": 1, "7 days": 7, "30 days": 30, "A year": 365}


def choose_query() -> Query:
    """Shows the filters and returns which cases they want."""
    where = settings().records_dir
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        text = st.text_input(
            "Search",
            key="history_text",
            placeholder="case or words of a reason",
            icon=":material/search:",
            max_chars=200,
            persist_state="session",
            width=250,
        )
        period = st.selectbox(
            "Read within", list(PERIODS), key="history_period", width=130
        )
        answers = st.multiselect(
            "Answer", list(ANSWERS), key="history_answers", width=230
        )
        model = _one_of("Model", search.models(where), "history_model")
        reader = _one_of("Reader", search.readers(where), "history_reader")
        queue = st.segmented_control(
            "Reviews", QUEUES, default=EVERY, required=True, key="history_queue"
        )
    return Query(
        text=text,
        since=_since(PERIODS[period]),
        answers=tuple(ANSWERS[name] for name in answers),
        opinions=("",) if queue == NOT_REVIEWED else (),
        model_id=model,
        reader=reader,
        disagreement=True if queue == DISPUTED else None,
    )


def count_words(counted: Counts) -> str:
    """Returns how many cases there are and what became of them, in one line."""
    answers = counted.answers
    parts = (
        (answers.get(ABOVE, 0), "above"),
        (answers.get(BELOW, 0), "below"),
        (answers.get(NO_ANSWER, 0), "no answer"),
        (answers.get(REFUSED, 0), "refused"),
        (counted.reviewed, "reviewed"),
        (counted.disagreements, "in disagreement"),
    )
    total = f"**{counted.cases:,} case{'' if counted.cases == 1 else 's'}**"
    return " · ".join([total, *(f"{n:,} {words}" for n, words in parts if n)])


def _one_of(label: str, values: list[str], key: str) -> str:
    """Returns the chosen value; empty for all, and where there is no choice."""
    if len(values) < 2:
        return ""
    return st.selectbox(
        label,
        ["", *values],
        format_func=lambda value: file_name(value) or "all",
        key=key,
        width=190,
    )


def _since(days: int | None) -> datetime | None:
    """Returns when the day begins from which cases are wanted, UTC."""
    if days is None:
        return None
    today: date = datetime.now(UTC).date()
    return datetime.combine(today - timedelta(days=days - 1), time(), UTC)
