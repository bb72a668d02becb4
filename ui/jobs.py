"""A background job as every page shows it: its state, how far it is, and its stop."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from cxr.jobs import control, heartbeat
from cxr.jobs.control import Job
from cxr.jobs.heartbeat import Status
from ui import wording

REFRESH_SECONDS = 2
PACE_SECONDS = 1.0  # after less than this a pace says nothing
LOOKS: dict[str, tuple[str, Any]] = {
    control.QUEUED: (":material/schedule:", "gray"),
    control.RUNNING: (":material/play_circle:", "primary"),
    control.SILENT: (":material/notifications_paused:", "violet"),
    control.STOPPED: (":material/stop_circle:", "gray"),
    control.DONE: (":material/task_alt:", "gray"),
    control.FAILED: (":material/error:", "red"),
    control.LOST: (":material/link_off:", "violet"),
}


def show_job(
    job: Job,
    stages: Mapping[str, str],
    *,
    title: str,
    stop: Callable[[Path], None] | None,
    key: str,
    help: str,
) -> None:
    """Shows a job that runs or waits, and the button that stops it.

    Belongs into a fragment that runs every `REFRESH_SECONDS`.

    Args:
        job: that has not ended.
        stages: what its `status.json` calls each stage, in order, and words for it.
        title: Markdown beside the state: what the job works on.
        stop: stops the job of a folder; None for whoever may not, and no button.
        key: of the button.
        help: what stopping means for this job.
    """
    with st.container(horizontal=True, vertical_alignment="center"):
        show_state(job.state, stopping=job.stopping)
        st.markdown(title)
        if stop and st.button(
            "Stop",
            key=key,
            icon=":material/stop_circle:",
            disabled=job.stopping,
            help=help,
        ):
            stop(job.folder)
            st.rerun()
    if job.state == control.QUEUED:
        st.progress(0.0, text=f"Waits for its turn (place {job.position})")
    else:
        show_progress(status_of(job), stages, started=job.started)
    if job.reason:
        st.warning(
            wording.escaped(f"{job.reason} {job.advice}".strip()),
            icon=LOOKS[job.state][0],
        )


def show_state(
    state: str,
    *,
    stopping: bool = False,
    looks: Mapping[str, tuple[str, Any]] = LOOKS,
) -> None:
    """Shows a state as a badge.

    Args:
        state: one of `looks`.
        stopping: whether the job was asked to stop and still runs.
        looks: icon and colour of each state.
    """
    icon, colour = looks[state]
    st.badge("Stopping" if stopping else state.capitalize(), icon=icon, color=colour)


def show_progress(
    status: Status | None, stages: Mapping[str, str], *, started: float | None
) -> None:
    """Shows the progress bar of a job that runs.

    Args:
        status: what the job last said; None before it has said anything.
        stages: its stages in order, and words for each.
        started: when it began, seconds since 1970; None if nobody knows.
    """
    if status is None:
        st.progress(0.0, text="Starting")
        return
    share, counted = _counted(status)
    name = wording.escaped(status.stage)
    if status.stage in stages:
        number = list(stages).index(status.stage) + 1
        name = f"Stage {number} of {len(stages)}: {stages[status.stage]}"
    if status.epoch:
        name += f", epoch {status.epoch} of {status.epochs}"
    st.progress(share, text=" · ".join([name + counted, *_pace(status, started)]))


def status_of(job: Job) -> Status | None:
    """Returns what a job has said since it last began; None before it has."""
    status = heartbeat.read_status(job.folder)
    if status is None or job.started is None or status.updated < job.started:
        return None
    return status


def _counted(status: Status) -> tuple[float, str]:
    """Returns the share of the stage that is done, `[0, 1]`, and what was counted."""
    done, total, words = status.done, status.total, "{:,} of {:,} films"
    if not total:
        done, total, words = status.step, status.steps, "step {:,} of {:,}"
    if not total:
        return 0.0, ""
    share = min(max(done / total, 0.0), 1.0)
    return share, f", {words.format(done, total)}"


def _pace(status: Status, started: float | None) -> list[str]:
    """Returns how fast films are done and how long it will take, where it is known."""
    if status.seconds_left is not None:
        seconds = max(0.0, status.seconds_left - (time.time() - status.updated))
        return [f"at most {wording.duration(seconds)} left"]
    since = status.stage_began or started
    done = status.done - status.done_before
    if since is None or not status.total or done <= 0:
        return []
    seconds = status.updated - since
    if seconds < PACE_SECONDS:
        return []
    rate = done / seconds
    left = wording.duration((status.total - status.done) / rate)
    return [f"{rate:.3g} films/s", f"about {left} left of this stage"]
