"""What was read, reviewed and decided, and what it says of the model at work."""

import streamlit as st

from cxr.config import settings
from cxr.records import actors, search
from ui.errors import show_errors
from ui.frame import frame
from ui.history.at_work import show_moved, show_report, show_worth
from ui.history.case import NOTICE, show_case
from ui.history.cases import choose_case, chosen_case, offer_the_list
from ui.history.filters import choose_query, count_words
from ui.history.leaving import show_leaving
from ui.history.over_time import show_over_time
from ui.people import end_unless_allowed

CASES, OVER_TIME, WORTH = "Cases", "Over time", "Against reviews"
MOVED, LEAVING = "What moved", "Report and export"

with show_errors("Films are read on; only what was kept can't be shown."):
    frame("History")
    end_unless_allowed(actors.SEE_HISTORY)

    if notice := st.session_state.pop(NOTICE, ""):
        st.success(notice, icon=":material/delete:")
    query = choose_query()
    counted = search.count(settings().records_dir, query)
    st.markdown(count_words(counted))
    views = [CASES, OVER_TIME, WORTH, MOVED, LEAVING]
    tabs = st.tabs(views, key="history_view", on_change="rerun")
    view, place = next(pair for pair in zip(views, tabs, strict=True) if pair[1].open)

    with place:
        if view == CASES:
            if chosen := chosen_case():
                offer_the_list()
                show_case(chosen)
            else:
                choose_case(query)

        if view == OVER_TIME:
            show_over_time(query)

        if view == WORTH:
            show_worth(query)

        if view == MOVED:
            show_moved(query)

        if view == LEAVING:
            show_report()
            show_leaving(query)
