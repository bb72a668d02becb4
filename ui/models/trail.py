"""The audit trail: who did what with which model, and whether it is intact."""

import io
import json
from collections.abc import Mapping, Sequence

import streamlit as st

from cxr.config import settings
from cxr.names import printable
from cxr.records import audit
from cxr.records.audit import Entry
from cxr.spreadsheets import ENCODING, write_csv
from ui.wording import escaped

LATEST = 200


def show_audit_trail() -> None:
    """Shows the latest entries, whether the chain is intact, and the download.

    Raises:
        CxrError: the records can't be read.
    """
    records_dir = settings().records_dir
    problems = audit.verify(records_dir)
    entries = audit.entries(records_dir, limit=LATEST)
    for problem in problems:
        st.error(escaped(problem), icon=":material/link_off:")
    if not entries:
        st.caption(
            "Nothing is recorded yet: no model was promoted, imported or changed."
        )
        return
    if not problems:
        st.markdown(
            ":material/link: The chain of entries is intact: none was changed or "
            "removed."
        )
    st.dataframe(
        [row(entry) for entry in entries],
        hide_index=True,
        alt="Latest entries of the audit trail, the newest first",
    )
    st.caption(f"The latest {len(entries):,} entries.")
    st.download_button(
        "Audit trail (CSV)",
        lambda: as_csv([row(e) for e in audit.entries(records_dir, limit=10**6)]),
        file_name="audit-trail.csv",
        mime="text/csv",
        key="download_audit",
        icon=":material/download:",
        on_click="ignore",
    )


def row(entry: Entry) -> dict[str, str | int]:
    """Returns an entry as a row of a table."""
    return {
        "No.": entry.id,
        "Time (UTC)": entry.time[:19].replace("T", " "),
        "Who": entry.actor,
        "Did": entry.action,
        "Model": entry.model_id,
        "Details": _details(entry),
    }


def as_csv(rows: Sequence[Mapping[str, str | int]]) -> bytes:
    """Returns rows as CSV, UTF-8, in which no spreadsheet finds a formula."""
    file = io.StringIO(newline="")
    write_csv(file, list(rows[0]) if rows else [], rows)
    return file.getvalue().encode(ENCODING)


def _details(entry: Entry) -> str:
    if not entry.details:
        return ""
    return printable(json.dumps(entry.details, ensure_ascii=False, sort_keys=True))
