"""The check of a data folder: started, watched, stopped, read.

A check is a process of its own, found again by its folder, which follows from the data
folder alone: closing or reloading the page loses nothing.
"""

import sys
from pathlib import Path

import streamlit as st

from cxr import checks, jobs, runs
from cxr.checks import Check
from cxr.config import settings
from cxr.errors import CxrError, DatasetError
from cxr.jobs import Job
from ui.errors import show_errors
from ui.wording import escaped

STEPS = {
    checks.LISTING: "listing the films",
    checks.MEASURING: "reading the films",
    checks.COMPARING: "looking for copies",
    checks.PREDICTING: "looking for shortcuts",
    checks.DONE: "writing the result",
}
GOES_ON = "A new check goes on with what was measured already."


def current_check(source: Path) -> Check:
    """Shows how the check of a data folder stands; returns its result or ends the page.

    Raises:
        DatasetError: the result on disk is damaged.
        JobError: a check can't be started or stopped.
    """
    folder = checks.folder_for(settings().cache_dir, source)
    job, identity = jobs.read(folder), _identity(folder)
    active = job is not None and not job.has_ended
    row = st.container(horizontal=True, vertical_alignment="center")
    if active:
        _show_progress(folder)
    else:
        _show_end(job, identity)
        with row:
            _offer_check(source, folder, again=identity is not None)
    if identity is None:
        if not active:
            st.caption(
                "Every film is read once, in the background: what can't be read, "
                "copies, patients in two splits, conflicting labels, sizes and tones, "
                "and how far these alone give the label away. It goes on if this page "
                "is closed."
            )
        st.stop()
    check = _check(identity, folder)
    row.caption(f"Checked {check.created.replace('T', ' ')[:16]} UTC")
    if not active:
        _show_changes(identity, check)
    return check


def _identity(folder: Path) -> tuple[str, int] | None:
    """Returns what changes with every new result of a check; None without one."""
    try:
        return str(folder), (folder / checks.REPORT).stat().st_mtime_ns
    except OSError:
        return None


@st.fragment(run_every=1)
def _show_progress(folder: Path) -> None:
    """Shows how far the check is; redraws itself, and the page once the check ends."""
    with show_errors():
        job = jobs.read(folder)
        if job is None or job.has_ended:
            st.rerun()
        place = st.columns([5, 1], vertical_alignment="center")
        place[0].progress(*_progress(job))
        if place[1].button(
            "Stopping" if job.stopping else "Stop",
            key="data_stop",
            icon=":material/stop_circle:",
            disabled=job.stopping,
        ):
            jobs.stop(folder)
            st.rerun()
        if job.reason:
            st.warning(
                f"{escaped(job.reason)} Stop it and check again.",
                icon=":material/hourglass_disabled:",
            )


def _progress(job: Job) -> tuple[float, str]:
    """Returns the share of a step that is done, `[0, 1]`, and a line on it."""
    if job.state == "queued":
        return 0.0, f"Waits for another check to end (place {job.position})"
    status = runs.read_status(job.folder)
    if status is None or job.started is None or status.updated < job.started:
        return 0.0, "Starting"
    step = list(STEPS).index(status.stage) + 1 if status.stage in STEPS else 1
    line = f"Step {step} of {len(STEPS)}, {STEPS.get(status.stage, status.stage)}"
    if status.stage != checks.MEASURING or not status.total:
        return min(status.done / max(status.total, 1), 1.0), line
    line += f": {status.done:,} of {status.total:,}"
    seconds = status.updated - job.started
    if status.done and seconds > 1:
        rate = status.done / seconds
        left = _left((status.total - status.done) / rate)
        line += f" · {rate:,.0f} films/s · {left}"
    return min(status.done / status.total, 1.0), line


def _left(seconds: float) -> str:
    if seconds < 90:
        return f"about {max(5 * round(seconds / 5), 1)} s left"
    return f"about {round(seconds / 60)} min left"


def _show_end(job: Job | None, identity: tuple[str, int] | None) -> None:
    """Says how the last check ended where it left no result of its own."""
    if job is None or job.state == "done" or _is_newer(identity, job):
        return
    if job.state == "stopped":
        st.info(f"The check was stopped. {GOES_ON}", icon=":material/stop_circle:")
        return
    goes_on = GOES_ON if job.state == "lost" else "Mend that and check again."
    st.warning(
        f"The check failed. {escaped(job.reason)} {goes_on}", icon=":material/report:"
    )


def _is_newer(identity: tuple[str, int] | None, job: Job) -> bool:
    return identity is not None and identity[1] / 1e9 >= (job.started or job.created)


def _offer_check(source: Path, folder: Path, *, again: bool) -> None:
    if st.button(
        "Check again" if again else "Check this data",
        key="data_check",
        icon=":material/fact_check:",
        type="secondary" if again else "primary",
    ):
        _start(source, folder)
        st.rerun()


def _start(source: Path, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CxrError(
            "The folder for cached data can't be written (`CXR_CACHE_DIR`): "
            f"{error.strerror}.",
            code="cache-folder",
        ) from error
    command = (sys.executable, "-m", "cxr", "check", str(source))
    jobs.submit(folder, (*command, "--folder", str(folder)))


@st.fragment(parallel=True)
def _show_changes(identity: tuple[str, int], check: Check) -> None:
    """Says if films have changed since the check; nothing waits for it.

    Looking at 100,000 files takes seconds.
    """
    if _stale(identity, check):
        st.warning(
            "Films were added, removed or changed since this check: the figures below "
            "are those of before. Check again.",
            icon=":material/history:",
        )


@st.cache_resource(max_entries=2, show_spinner="Reading the check")
def _check(identity: tuple[str, int], folder: Path) -> Check:
    check = checks.read(folder)
    if check is None:
        raise DatasetError("The check of this data is gone. Check it again.")
    return check


@st.cache_data(ttl=300, max_entries=4, show_spinner=False)
def _stale(identity: tuple[str, int], _check: Check) -> bool:
    return checks.stale(_check)
