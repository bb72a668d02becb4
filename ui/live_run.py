"""One run as it goes: where it is, its curves and log, and what can be done with it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from cxr import jobs
from cxr.runs import Status
from ui import curves, durations, wording
from ui.errors import show_errors
from ui.model_charts import ink
from ui.runs import CHOSEN, DAMAGED, UNSTARTED, RunView, age, read_run, took
from ui.training import command_for

REFRESH_SECONDS = 2
LOG_LINES = 40
LOOKS: dict[str, tuple[str, Any]] = {
    jobs.QUEUED: (":material/schedule:", "gray"),
    jobs.RUNNING: (":material/play_circle:", "primary"),
    jobs.SILENT: (":material/notifications_paused:", "violet"),
    jobs.STOPPED: (":material/stop_circle:", "gray"),
    jobs.DONE: (":material/task_alt:", "gray"),
    jobs.FAILED: (":material/error:", "red"),
    jobs.LOST: (":material/link_off:", "violet"),
    DAMAGED: (":material/broken_image:", "violet"),
    UNSTARTED: (":material/pending:", "gray"),
}


def choose_run(views: Sequence[RunView]) -> RunView:
    """Returns the run that is shown: the reader's, else one that runs, else the newest.

    Args:
        views: all runs, the newest first; at least one.
    """
    by_name = {view.folder.name: view for view in views}
    if st.session_state.get(CHOSEN) not in by_name:
        running = [view for view in views if view.state == jobs.RUNNING]
        st.session_state[CHOSEN] = [*running, *views][0].folder.name
    chosen = st.selectbox(
        "Run",
        list(by_name),
        key=CHOSEN,
        persist_state="session",
    )
    return by_name[chosen]


def show_run(view: RunView) -> None:
    """Shows a run, every two seconds anew while it moves."""
    with st.container(border=True):
        _show_actions(view)
        every = REFRESH_SECONDS if view.moves else None
        st.fragment(_show_live, run_every=every)(view.folder, view.state)


def show_validation_curves(views: Sequence[RunView]) -> None:
    """Shows the validation AUC of several runs in one figure."""
    with_curve = {view.name: view.epochs for view in views if view.epochs}
    if not with_curve:
        st.caption("None of these runs has a whole epoch yet.")
        return
    st.markdown("**AUC on validation films**")
    st.plotly_chart(
        curves.validation_auc(with_curve, ink=ink()),
        key="train_compared_curves",
        theme=None,
        config=curves.CONFIG,
        alt="Validation AUC over the epochs of the compared runs",
    )
    data = {view.config.data for view in views if view.config}
    if len(data) > 1:
        st.caption(
            ":material/warning: These runs learnt from other films; their validation "
            "films are not the same either."
        )


def _show_actions(view: RunView) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        job = view.job
        if view.moves and job:
            if st.button(
                "Stop run",
                key="train_stop",
                icon=":material/stop_circle:",
                disabled=job.stopping,
                help="Whole epochs are kept; the run can go on later.",
            ):
                jobs.stop(view.folder)
                st.rerun()
        elif not view.moves:
            _show_ended_actions(view)


def _show_ended_actions(view: RunView) -> None:
    resumable = view.config is not None and view.state != jobs.DONE
    if resumable and st.button(
        "Resume",
        key="train_resume",
        icon=":material/resume:",
        help="Goes on after its last whole epoch, or waits for its turn.",
    ):
        jobs.submit(view.folder, command_for(view.folder))
        st.rerun()
    if view.model_id and st.button(
        f"Open {view.model_id} on the Models page",
        key="train_model",
        icon=":material/inventory:",
    ):
        st.session_state["models_chosen"] = view.model_id
        st.switch_page("pages/5_Models.py")
    if st.button(
        "Delete run", key="train_delete", icon=":material/delete:", type="tertiary"
    ):
        _confirm_delete(view)


@st.dialog("Delete this run?")
def _confirm_delete(view: RunView) -> None:
    with show_errors():
        st.markdown(
            f"Settings, learning curves, log and checkpoints of "
            f"**{wording.escaped(view.name)}** will be gone. A model that came of it "
            "stays."
        )
        with st.container(horizontal=True):
            if st.button("Delete", key="train_delete_sure", type="primary"):
                jobs.delete(view.folder)
                st.rerun()
            if st.button("Keep it", key="train_delete_not"):
                st.rerun()


def _show_live(folder: Path, state: str) -> None:
    with show_errors():
        view = read_run(folder)
        if view is None or view.state != state:
            st.rerun()
        _show_state(view)
        _show_curves(view)
        _show_log(view)


def _show_state(view: RunView) -> None:
    icon, colour = LOOKS[view.state]
    stopping = view.job is not None and view.job.stopping
    with st.container(horizontal=True, vertical_alignment="center"):
        word = "Stopping" if stopping else view.state.capitalize()
        st.badge(word, icon=icon, color=colour)
        st.markdown(_facts(view))
    if view.status and view.state in (jobs.RUNNING, jobs.SILENT):
        _show_progress(view.status)
    if view.damage:
        st.warning(view.damage, icon=":material/broken_image:")
    if view.job and view.job.reason:
        show = st.error if view.state == jobs.FAILED else st.warning
        show(
            wording.escaped(f"{view.job.reason} {view.job.advice}"),
            icon=icon,
        )


def _facts(view: RunView) -> str:
    parts = [f"**{wording.escaped(view.name)}**"]
    if view.config:
        parts += [
            wording.escaped(wording.file_name(view.config.data)),
            view.config.architecture,
            view.config.preset,
        ]
    if view.state == jobs.QUEUED:
        parts.append(_queue_in_words(view))
    status = view.status
    if status and view.state in (jobs.RUNNING, jobs.SILENT):
        if status.seconds_left is not None:
            left = max(0.0, status.seconds_left - age(status))
            parts.append(f"at most {durations.words(left)} left")
        if status.device:
            parts.append(wording.escaped(status.device))
    elif took(view) is not None and not view.moves:
        parts.append(f"took {durations.words(took(view))}")
    return " · ".join(parts)


def _queue_in_words(view: RunView) -> str:
    position = view.job.position if view.job else 0
    ahead = [
        job
        for job in jobs.list_jobs(view.folder.parent)
        if job.alive or 0 < job.position < position
    ]
    # Listed with the newest first: the one that is waited for is the last in turn.
    ahead.sort(key=lambda job: job.position)
    if not ahead:
        return "begins in a moment"
    return f"queued behind {wording.escaped(ahead[-1].name)}"


def _show_progress(status: Status) -> None:
    done, total, what = status.step, status.steps, "step"
    if status.total:
        done, total, what = status.done, status.total, "film"
    stage = status.stage
    if status.epoch:
        stage += f", epoch {status.epoch} of {status.epochs}"
    if not total:
        st.progress(0.0, text=stage.capitalize())
        return
    share = min(max(done / total, 0.0), 1.0)
    st.progress(share, text=f"{stage.capitalize()}, {what} {done:,} of {total:,}")


def _show_curves(view: RunView) -> None:
    if not view.epochs:
        if view.state == jobs.RUNNING:
            st.caption("Curves appear with the first whole epoch.")
        return
    figures = {
        "Loss": curves.learning_curves(
            view.epochs, train="loss", held_out="val_loss", ink=ink()
        ),
        "AUC": curves.learning_curves(
            view.epochs, train="auc", held_out="val_auc", ink=ink()
        ),
        "Learning rate": curves.learning_rate(view.epochs, ink=ink()),
    }
    grid = st.grid(3, min_column_width=260)
    for title, figure in figures.items():
        with grid.cell():
            st.markdown(f"**{title}**")
            st.plotly_chart(
                figure,
                key=f"train_curve_{title}",
                theme=None,
                config=curves.CONFIG,
                alt=f"{title} over the epochs of {view.name}",
            )
    st.caption(
        "Solid: validation films. Dotted: training films, augmented, so that they are "
        "harder than the others."
    )


def _show_log(view: RunView) -> None:
    with st.expander("Log", icon=":material/notes:", key="train_log"):
        text = jobs.log_tail(view.folder, LOG_LINES)
        st.code(text or "Nothing yet.", language=None, wrap_lines=True)
