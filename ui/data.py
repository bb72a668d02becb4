"""Which data folder the page is about.

Every path that is typed in is resolved, and refused outside the folder that this app
may read. A new session begins with the folder that was checked last.
"""

import os
from itertools import islice
from pathlib import Path

import streamlit as st

from cxr import jobs
from cxr.config import settings
from cxr.data import CLASSES, FOLDER_SPLITS
from cxr.errors import DatasetError
from cxr.jobs import Job
from ui.wording import escaped, file_name

SOURCE = "data_source"  # in the session: the path as it was typed
LAYOUTS = (
    "Three layouts are read: `train`, `val` and `test`, each with the folders `NORMAL` "
    "and `PNEUMONIA`; these two folders alone; or a CSV manifest with the columns "
    "`path` and `label`, and `patient` and `split` where they are known. Nothing is "
    "uploaded, and no film is moved, changed or deleted."
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
    st.session_state.setdefault(SOURCE, _remembered())
    st.text_input(
        "Data folder or manifest",
        key=SOURCE,
        persist_state="session",
        placeholder="/path/to/chest_xray",
        icon=":material/folder_open:",
    )
    st.caption(LAYOUTS)
    text = st.session_state[SOURCE].strip()
    if not text:
        st.info(NO_DATA, icon=":material/folder_off:")
        st.stop()
    source = allowed(text)
    if source.is_dir() and not _has_classes(source):
        _suggest_folders(source)
        st.stop()
    return source


def allowed(text: str) -> Path:
    """Returns the data folder or manifest of this name, symbolic links resolved.

    Raises:
        DatasetError: it is not there, or lies outside the folder of all data.
    """
    root = settings().data_dir
    try:
        given = Path(text).expanduser()
        path = (root / given if root else given).resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise DatasetError("That is not a path.", code="no-data") from error
    # Before anything is looked at: what is there outside is nobody's business.
    if root and not path.is_relative_to(root.resolve()):
        raise DatasetError(
            "That folder lies outside the data that this app may read "
            "(`CXR_DATA_DIR`).",
            code="outside-data-folder",
        )
    if not _is_there(path) or not (root or given.is_absolute()):
        raise DatasetError(
            "There is no such data folder or CSV manifest on the machine that this app "
            "runs on, or it may not be read. Give its full path.",
            code="no-data",
        )
    return path


def _remembered() -> str:
    """Returns the folder that was checked last, or the folder of all data."""
    root = settings().data_dir
    known = jobs.list_jobs(settings().cache_dir / "checks")
    for job in sorted(known, key=lambda job: -(job.started or job.created)):
        source = _source_of(job)
        if source and (root is None or Path(source).is_relative_to(root.resolve())):
            return source
    return str(root or "")


def _source_of(job: Job) -> str:
    command = list(job.command)
    place = command.index("check") + 1 if "check" in command else len(command)
    return command[place] if place < len(command) else ""


def _is_there(path: Path) -> bool:
    try:
        if path.is_dir():
            return os.access(path, os.R_OK | os.X_OK)
        return path.suffix.lower() == ".csv" and path.is_file()
    except OSError:
        return False


def _has_classes(folder: Path) -> bool:
    parts = (folder, *(folder / split for split in FOLDER_SPLITS))
    return any((part / name).is_dir() for part in parts for name in CLASSES)


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
        if (entry.is_dir() and _is_there(entry) and _has_classes(entry))
        or entry.suffix.lower() == ".csv"
    ]

    def choose() -> None:
        if st.session_state["data_suggestion"]:
            st.session_state[SOURCE] = st.session_state["data_suggestion"]

    if fitting:
        st.pills(
            "Found in it",
            [str(entry) for entry in fitting[:MOST_SUGGESTIONS]],
            format_func=lambda path: escaped(file_name(path)),
            key="data_suggestion",
            on_change=choose,
        )
