"""What leaves the history: exports of cases, and those that are past their time."""

import io
from functools import partial

import streamlit as st

from cxr.config import settings
from cxr.records import actors, history, soundness
from cxr.records.search import Query
from cxr.reports import history as table
from ui.people import actor, allowed, say_who_can
from ui.wording import escaped

FILES = (
    ("Cases (CSV)", table.CSV, "history.csv", "text/csv"),
    ("Cases (Parquet)", table.PARQUET, "history.parquet", "application/octet-stream"),
)
MANIFEST = ("Manifest for training (CSV)", table.MANIFEST, "manifest.csv", "text/csv")


def show_leaving(query: Query) -> None:
    """Shows the exports of what the filters let through, and the time of keeping.

    Args:
        query: which cases.
    """
    st.markdown("##### Export")
    if allowed(actors.EXPORT_HISTORY):
        _show_files(query)
    else:
        say_who_can(actors.EXPORT_HISTORY)
    _show_time_of_keeping()
    _show_soundness()


def _show_files(query: Query) -> None:
    st.caption(
        "What the filters above let through. No name is in it: film and patient are "
        "hashes under this site's secret. Each export is in the audit trail."
    )
    # A download is made outside the page's run, where nobody is logged in.
    who = actor()
    files = [*FILES, MANIFEST] if settings().keep_films else FILES
    with st.container(horizontal=True, gap="small"):
        for label, kind, name, mime in files:
            st.download_button(
                label,
                partial(_content, query, kind, who),
                file_name=name,
                mime=mime,
                key=f"history_export_{kind}",
                icon=":material/download:",
                on_click="ignore",
            )
    if settings().keep_films:
        st.caption(
            "The manifest names the kept films whose review says whether they show "
            "pneumonia."
        )


def _content(query: Query, kind: str, who: str) -> bytes:
    target = io.BytesIO()
    table.export(settings().records_dir, query, target, actor=who, kind=kind)
    return target.getvalue()


def _show_time_of_keeping() -> None:
    st.markdown("##### Time of keeping")
    days = settings().keep_days
    if days is None:
        st.caption("Cases are kept until somebody deletes them (`CXR_KEEP_DAYS`).")
        return
    st.caption(f"Cases are kept for {days:,} days.")
    if not allowed(actors.EXPIRE):
        say_who_can(actors.EXPIRE)
    elif st.button("Delete older ones", key="history_expire", icon=":material/delete:"):
        count = history.expire(settings().records_dir, days, actor=actor())
        deleted = "1 case was" if count == 1 else f"{count:,} cases were"
        st.success(f"{deleted} deleted.", icon=":material/delete:")


def _show_soundness() -> None:
    st.markdown("##### Is it whole?")
    if not st.button("Check the history", key="history_verify", icon=":material/link:"):
        st.caption("Follows the chain of all events, and compares it with the cases.")
        return
    with st.spinner("Following the chain"):
        problems = soundness.verify(settings().records_dir)
    for problem in problems:
        st.error(escaped(problem), icon=":material/link_off:")
    if not problems:
        st.success(
            "The chain of events is intact: none was changed or removed.",
            icon=":material/link:",
        )
