"""The films a training would learn from: chosen, counted, and what their check says."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from cxr.config import settings
from cxr.datasets import checks
from cxr.datasets.folders import in_words, listing
from cxr.datasets.search import Stamp, allowed, stamp
from cxr.errors import CxrError, DatasetError
from cxr.jobs import control
from cxr.runs import run_folder
from ui import wording
from ui.session import SOURCE
from ui.wording import escaped


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What matters here of a check.

    Attributes:
        fingerprint: SHA-256 of contents, labels and patients.
        findings: how many.
        serious: how many of them are.
        stale: whether films have changed since.
    """

    fingerprint: str
    findings: int
    serious: int
    stale: bool


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """A data folder or manifest that can be read.

    Attributes:
        path: absolute.
        films: how many.
        positives: how many with pneumonia.
        left_out: what else lies there, a sentence; empty where nothing does.
        check: None if it was never checked.
    """

    path: Path
    films: int
    positives: int
    left_out: str
    check: Checked | None


def choose_training_data() -> TrainingData | None:
    """Draws the choice of films and returns them, None if they can't be used."""
    text = _field()
    if not text:
        st.info(
            "Give the path of a data folder or manifest on the machine that runs this "
            "app. The Data page says how it has to look.",
            icon=":material/folder_open:",
        )
        return None
    try:
        training = _read(text)
    except DatasetError as error:
        st.warning(wording.escaped(error.message), icon=":material/folder_off:")
        return None
    _show(training)
    return training


def _field() -> str:
    st.session_state.setdefault(SOURCE, _first_choice())
    st.text_input(
        "Data folder or manifest",
        key=SOURCE,
        persist_state="session",
        max_chars=1000,
        icon=":material/folder_open:",
        help="The same as on the Data page: a folder with NORMAL and PNEUMONIA, alone "
        "or inside train, val and test, or a CSV manifest.",
    )
    return str(st.session_state[SOURCE]).strip()


def _first_choice() -> str:
    """Returns the films of the newest run that has them, or the folder of all data."""
    for job in control.list_jobs(settings().runs_dir):
        with suppress(CxrError):
            return str(allowed(run_folder.read_config(job.folder).data))
    return str(settings().data_dir or "")


def _read(text: str) -> TrainingData:
    path = allowed(text)
    films, positives, left_out = _count(path, stamp(path))
    folder = checks.folder_for(settings().cache_dir, path)
    report = _modified(folder / checks.REPORT)
    return TrainingData(
        path=path,
        films=films,
        positives=positives,
        left_out=left_out,
        check=_check(folder, report) if report else None,
    )


def _show(training: TrainingData) -> None:
    check = training.check
    counts = f"**{training.films:,} films**, {training.positives:,} with pneumonia"
    if check is None:
        st.markdown(
            f":material/help: {counts}. Not checked for duplicates, conflicts or "
            "unreadable files."
        )
        link = "Check these films on the Data page"
    else:
        icon = (
            ":material/report:" if check.serious or check.stale else ":material/task:"
        )
        stale = " Films have changed since they were checked." if check.stale else ""
        st.markdown(
            f"{icon} {counts} · fingerprint `{check.fingerprint[:8]}…` · "
            f"{_findings(check)}.{stale}"
        )
        link = "See the check on the Data page"
    if training.left_out:
        st.caption(escaped(training.left_out))
    st.page_link("pages/3_Data.py", label=link, icon=":material/folder_data:")


def _findings(check: Checked) -> str:
    if not check.findings:
        return "nothing found wrong"
    plural = "s" if check.findings > 1 else ""
    return f"{check.findings:,} finding{plural}, {check.serious:,} serious"


def _modified(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


@st.cache_data(max_entries=16, show_spinner="Counting films")
def _count(source: Path, stamp: Stamp) -> tuple[int, int, str]:
    listed = listing(source)
    positives = sum(film.label for film in listed.films)
    return len(listed.films), positives, in_words(listed.left_out)


# Whether films have changed takes a look at each of them: not at every click.
@st.cache_data(max_entries=8, ttl=60, show_spinner="Reading the check")
def _check(folder: Path, modified: int) -> Checked | None:
    try:
        check = checks.read(folder)
    except DatasetError:
        return None  # Damaged: the Data page says so and checks again.
    if check is None:
        return None
    findings = check.integrity.findings
    return Checked(
        fingerprint=check.survey.fingerprint,
        findings=len(findings),
        serious=sum(finding.serious for finding in findings),
        stale=checks.stale(check),
    )
