"""Which data folder the page is about.

Every path that is typed in is resolved, and refused outside the folder that this app
may read. A new session begins with the folder that was checked last.
"""

from itertools import islice
from pathlib import Path

import streamlit as st

from cxr import data_folder
from cxr.config import settings
from cxr.datasets import search, words
from cxr.jobs import control
from cxr.jobs.control import Job
from ui import session
from ui.wording import escaped, file_name

LAYOUTS = (
    "Three layouts are read: `train`, `val` and `test`, each with the folders `NORMAL` "
    "and `PNEUMONIA`; these two folders alone; or a CSV manifest with the columns "
    "`path` and `label`, and `patient`, `split` and `place` (empty for films of home) "
    "where they are known. Nothing is uploaded, and no film is moved, changed or "
    "deleted."
)
NO_DATA = (
    "The Chest X-Ray Images (Pneumonia) data set comes with `python -m cxr download`; "
    "any folder of one of the three layouts will do."
)
MOST_SUGGESTIONS, MOST_ENTRIES = 8, 500


def choose_data() -> Path:
    """Shows the field for a data folder; returns it resolved, or ends the page.

    Raises:
        DatasetError: there is nothing of that name, or it may not be read.
    """
    st.session_state.setdefault(session.SOURCE, _remembered())
    st.text_input(
        "Data folder or manifest",
        key=session.SOURCE,
        persist_state="session",
        placeholder="/path/to/chest_xray",
        icon=":material/folder_open:",
    )
    st.caption(LAYOUTS)
    text = st.session_state[session.SOURCE].strip()
    if not text:
        st.info(NO_DATA, icon=":material/folder_off:")
        st.stop()
    source = search.allowed(text)
    if source.is_dir() and not _has_classes(source):
        _suggest_folders(source)
        st.stop()
    return source


def _remembered() -> str:
    """Returns the folder that was checked last, or the folder of all data."""
    root = settings().data_dir
    known = control.list_jobs(settings().cache_dir / "checks")
    for job in sorted(known, key=lambda job: -(job.started or job.created)):
        source = _source_of(job)
        if source and data_folder.is_inside(Path(source)):
            return source
    return str(root or "")


def _source_of(job: Job) -> str:
    command = list(job.command)
    place = command.index("check") + 1 if "check" in command else len(command)
    return command[place] if place < len(command) else ""


def _has_classes(folder: Path) -> bool:
    inner = [entry for entry in _folders_in(folder) if words.split_of(entry.name)]
    return any(
        words.label_of(entry.name) is not None
        for part in (folder, *inner)
        for entry in _folders_in(part)
    )


def _folders_in(folder: Path) -> list[Path]:
    return [entry for entry in islice(folder.iterdir(), MOST_ENTRIES) if entry.is_dir()]


def _suggest_folders(source: Path) -> None:
    """Shows which folders and manifests below this one could be meant."""
    st.info(
        "This folder has neither `NORMAL` nor `PNEUMONIA` in it, nor `train`, `val` or "
        f"`test` with them. {NO_DATA}",
        icon=":material/folder_off:",
    )
    fitting = [
        entry
        for entry in sorted(islice(source.iterdir(), MOST_ENTRIES))
        if (entry.is_dir() and search.is_there(entry) and _has_classes(entry))
        or entry.suffix.lower() == ".csv"
    ]

    def choose() -> None:
        if st.session_state["data_suggestion"]:
            st.session_state[session.SOURCE] = st.session_state["data_suggestion"]

    if fitting:
        st.pills(
            "Found in it",
            [str(entry) for entry in fitting[:MOST_SUGGESTIONS]],
            format_func=lambda path: escaped(file_name(path)),
            key="data_suggestion",
            on_change=choose,
        )
