"""The cases that the filters let through, the newest first, `ROWS` at a time."""

import streamlit as st

from cxr.config import settings
from cxr.records import search
from cxr.records.kept import AGREE, DISAGREE, UNSURE, KeptCase
from cxr.records.search import Query
from ui import wording
from ui.people import actor
from ui.reviews import answer_waits

ROWS = 50
CASE = "case"  # in the address of the page: the random id of a case
DRAWN = "history_drawn"  # the cases of the list that is on the page
PAGES = "history_pages"  # places where pages of the list begin
Begins = list[search.Cursor | None]
MARKS = {AGREE: "✓ agree", DISAGREE: "✕ disagree", UNSURE: "? unsure"}


def chosen_case() -> str:
    """Returns the id of the case in the page's address, or empty."""
    return str(st.query_params.get(CASE, ""))


def offer_the_list() -> None:
    """Shows the way from a case back to the list."""
    st.button(
        "All cases",
        key="history_all",
        icon=":material/arrow_back:",
        type="tertiary",
        on_click=_forget_case,
    )


def _forget_case() -> None:
    st.query_params.pop(CASE, None)


def choose_case(query: Query) -> None:
    """Shows the list; a row that is chosen goes into the page's address."""
    begins = _begins(query)
    found = search.cases(
        settings().records_dir, query, limit=ROWS + 1, before=begins[-1]
    )
    shown = found[:ROWS]
    ids = [case.case_id for case in shown]
    # A row is chosen in the list that was drawn; another case may be its first by now.
    drawn = st.session_state.get(DRAWN, ids)
    st.session_state[DRAWN] = ids
    picked = st.dataframe(
        [row(case) for case in shown],
        hide_index=True,
        height=min(38 + 35 * max(len(shown), 1), 460),
        key=f"history_cases_{len(begins)}",
        on_select="rerun",
        selection_mode="single-row",
        alt="Kept cases, the newest first",
    )
    _show_steps(begins, found)
    rows = picked["selection"]["rows"]
    if rows and rows[0] < len(drawn):
        st.query_params[CASE] = drawn[rows[0]]
        st.rerun()


def row(case: KeptCase) -> dict[str, str]:
    """Returns a case as a row of the list."""
    kept = case.reading
    hidden = is_hidden(case)
    score = wording.NOT_MEASURED
    if kept.probability is not None and not hidden:
        score = wording.probability(kept.probability, kept.threshold)
    return {
        "Read (UTC)": case.time[:16].replace("T", " "),
        "Case": case.case_id,
        "Answer": "Not read yet" if hidden else kept.answer.capitalize(),
        "Probability": score,
        "Threshold": f"{wording.threshold(kept.threshold)} ({kept.threshold_source})",
        "Review": MARKS.get(case.opinion, ""),
        "Reason": case.reason,
        "Reader": case.reader,
        "Model": kept.model_id,
    }


def is_hidden(case: KeptCase) -> bool:
    """Returns whether its reader has to say first what is seen (`CXR_READ_FIRST`)."""
    scored, own = case.reading.probability is not None, case.reader == actor()
    return own and answer_waits(scored=scored, reviewed=bool(case.reviewed))


def _begins(query: Query) -> Begins:
    """Returns where the pages begin that were turned to; another query starts anew."""
    held: tuple[Query, Begins] | None = st.session_state.get(PAGES)
    if held is None or held[0] != query:
        held = (query, [None])
        st.session_state[PAGES] = held
    return held[1]


def _show_steps(begins: Begins, found: list[KeptCase]) -> None:
    more = len(found) > ROWS
    if len(begins) == 1 and not more:
        return
    with st.container(horizontal=True, gap="small"):
        st.button(
            "Newer",
            key="history_newer",
            icon=":material/chevron_left:",
            disabled=len(begins) == 1,
            on_click=lambda: begins.pop() and None,
        )
        st.button(
            "Older",
            key="history_older",
            icon=":material/chevron_right:",
            disabled=not more,
            on_click=lambda: begins.append(search.cursor_of(found[ROWS - 1])),
        )
