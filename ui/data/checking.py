"""The check of a data folder: started, watched, stopped, read.

A check is a process of its own, found again by its folder, which follows from the data
folder alone: closing or reloading the page loses nothing.
"""

from pathlib import Path

import streamlit as st

from cxr.config import settings
from cxr.datasets import checks, start
from cxr.datasets.checks import Check
from cxr.errors import DatasetError
from cxr.jobs import control
from cxr.jobs.control import Job
from cxr.records.actors import CHECK_DATA
from ui import jobs
from ui.errors import show_errors
from ui.people import actor, allowed, say_who_can
from ui.wording import escaped

STAGES = {
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
    job, identity = control.read(folder), _identity(folder)
    active = job is not None and not job.has_ended
    row = st.container(horizontal=True, vertical_alignment="center")
    if active:
        _show_progress(folder)
    else:
        _show_end(job, identity)
        with row:
            _offer_check(source, again=identity is not None)
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


@st.fragment(run_every=jobs.REFRESH_SECONDS)
def _show_progress(folder: Path) -> None:
    """Shows how far the check is; redraws itself, and the page once the check ends."""
    with show_errors():
        job = control.read(folder)
        if job is None or job.has_ended:
            st.rerun()
        jobs.show_job(
            job,
            STAGES,
            title="**Check** of these films",
            stop=_stop if allowed(CHECK_DATA) else None,
            key="data_stop",
            help=GOES_ON,
        )


def _stop(folder: Path) -> None:
    start.stop(folder, actor=actor())


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


def _offer_check(source: Path, *, again: bool) -> None:
    if not allowed(CHECK_DATA):
        say_who_can(CHECK_DATA)
    elif st.button(
        "Check again" if again else "Check this data",
        key="data_check",
        icon=":material/fact_check:",
        type="secondary" if again else "primary",
    ):
        start.start(source, actor=actor())
        st.rerun()


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
