"""The integrity report: what was found, with the films side by side and what to do."""

from collections.abc import Mapping

import streamlit as st

from cxr.datasets import integrity
from cxr.datasets.checks import Check
from cxr.datasets.folders import LabelledFilm
from cxr.datasets.integrity import Finding
from ui.data.thumbnails import show_films, show_name
from ui.errors import show_errors
from ui.wording import LONGEST_NAME, escaped

PER_PAGE, MOST_FILMS = 6, 6
KINDS = {
    integrity.UNREADABLE: ("Unreadable", "The file is damaged, empty or no film."),
    integrity.EXACT: ("Exact copies", "One file, byte for byte, under two names."),
    integrity.NEAR: (
        "Near copies",
        "Nearly the same picture in two files: stored again, or taken twice.",
    ),
    integrity.TWO_SPLITS: (
        "Patient in two splits",
        "Films of one patient on both sides of the folder's own split: a test on "
        "them would look too good.",
    ),
    integrity.CONFLICT: (
        "Conflicting labels",
        "Films that are equal, or nearly, one under each class.",
    ),
}


def show_integrity(check: Check) -> None:
    """Shows how many findings of each kind there are, the plan, and the chosen kind."""
    report = check.integrity
    st.table(
        {
            "Kind": [name for name, _ in KINDS.values()],
            "Findings": [f"{report.counts.get(kind, 0):,}" for kind in KINDS],
            "What it means": [meaning for _, meaning in KINDS.values()],
        },
        hide_index=True,
        border="horizontal",
    )
    if not report.findings:
        st.markdown("Nothing was found. There is nothing to repair.")
        return
    st.download_button(
        "Repair plan (CSV)",
        lambda: integrity.repair_plan(report),
        file_name=f"repair-plan-{check.survey.fingerprint[:8]}.csv",
        mime="text/csv",
        key="download_plan",
        icon=":material/download:",
        on_click="ignore",
    )
    st.caption(
        "The plan names every film concerned and what could be done. Nothing is moved, "
        "changed or deleted by this app: what is done with it is yours to decide."
    )
    _show_findings(check)


@st.fragment
def _show_findings(check: Check) -> None:
    """Lists the findings of one kind; its controls redraw this part alone."""
    with show_errors():
        report = check.integrity
        kinds = [kind for kind in KINDS if report.counts.get(kind)]
        kind = st.segmented_control(
            "Findings",
            kinds,
            default=kinds[0],
            required=True,
            format_func=lambda kind: f"{KINDS[kind][0]} ({report.counts[kind]:,})",
            key="finding_kind",
        )
        findings = [finding for finding in report.findings if finding.kind == kind]
        page = 1
        if len(findings) > PER_PAGE:
            pages = -(-len(findings) // PER_PAGE)
            page = st.pagination(pages, key=f"finding_page_{kind}")
        films = {film.name: film for film in check.survey.films}
        grid = st.grid(2, min_column_width=430, border=True)
        for finding in findings[(page - 1) * PER_PAGE : page * PER_PAGE]:
            with grid.cell():
                _show_finding(finding, films)


def _show_finding(finding: Finding, films: Mapping[str, LabelledFilm]) -> None:
    st.markdown(escaped(finding.sentence))
    shown = finding.films[:MOST_FILMS]
    if finding.kind == integrity.UNREADABLE:
        show_name(films[shown[0]], letters=LONGEST_NAME)
    else:
        show_films([films[name] for name in shown], width=165)
    if more := len(finding.films) - len(shown):
        st.caption(f"And {more:,} more; the repair plan has them all.")
    st.markdown(f":material/build: {escaped(finding.suggestion)}")
