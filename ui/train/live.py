"""One run as it goes: where it is, its curves and log, and what can be done with it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from cxr.jobs import control
from cxr.records import actors
from cxr.runs import start
from ui import jobs, learning_curves, wording
from ui.charts import ink
from ui.errors import show_errors
from ui.people import actor, allowed
from ui.train.again import offer_again
from ui.train.runs import CHOSEN, DAMAGED, STAGES, UNSTARTED, RunView, read_run, took

LOG_LINES = 40
LOOKS: dict[str, tuple[str, Any]] = {
    **jobs.LOOKS,
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
        running = [view for view in views if view.state == control.RUNNING]
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
        if not view.moves:
            _show_ended_actions(view)
        every = jobs.REFRESH_SECONDS if view.moves else None
        st.fragment(_show_live, run_every=every)(view.folder, view.state)


def show_validation_curves(views: Sequence[RunView]) -> None:
    """Shows the validation AUC of several runs in one figure."""
    with_curve = {view.name: view.epochs for view in views if view.epochs}
    if not with_curve:
        st.caption("None of these runs has a whole epoch yet.")
        return
    st.markdown("**AUC on validation films**")
    st.plotly_chart(
        learning_curves.validation_auc(with_curve, ink=ink()),
        key="train_compared_curves",
        theme=None,
        config=learning_curves.CONFIG,
        alt="Validation AUC over the epochs of the compared runs",
    )
    data = {view.config.data for view in views if view.config}
    if len(data) > 1:
        st.caption(
            ":material/warning: These runs learnt from other films; their validation "
            "films are not the same either."
        )


def _show_ended_actions(view: RunView) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        unfinished = view.config is not None and view.state != control.DONE
        resumable = unfinished and allowed(actors.TRAIN)
        obstacles = start.obstacles_to_resume(view.folder) if resumable else []
        if resumable and st.button(
            "Resume",
            key="train_resume",
            icon=":material/resume:",
            disabled=bool(obstacles),
            help="Goes on after its last whole epoch, or waits for its turn.",
        ):
            start.resume(view.folder, actor=actor())
            st.rerun()
        offer_again(view)
        if view.model_id and st.button(
            f"Open {view.model_id} on the Models page",
            key="train_model",
            icon=":material/inventory:",
        ):
            st.session_state["models_chosen"] = view.model_id
            st.switch_page("pages/5_Models.py")
        if allowed(actors.DELETE_RUN) and st.button(
            "Delete run", key="train_delete", icon=":material/delete:", type="tertiary"
        ):
            _confirm_delete(view)
    for obstacle in obstacles:
        st.caption(f":material/block: It can't go on. {wording.escaped(obstacle)}")


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
                start.delete(view.folder, actor=actor())
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
    if view.moves and view.job:
        jobs.show_job(
            view.job,
            STAGES,
            title=_facts(view),
            stop=_stop if allowed(actors.STOP_TRAINING) else None,
            key="train_stop",
            help="Whole epochs are kept; the run can go on later.",
        )
    else:
        _show_without_job(view)
    if view.damage:
        st.warning(view.damage, icon=":material/broken_image:")


def _stop(folder: Path) -> None:
    start.stop(folder, actor=actor())


def _show_without_job(view: RunView) -> None:
    """Shows a run that has ended, or that the command line runs."""
    with st.container(horizontal=True, vertical_alignment="center"):
        jobs.show_state(view.state, looks=LOOKS)
        st.markdown(_facts(view))
    if view.moves:
        jobs.show_progress(view.status, STAGES, started=None)
    if view.job and view.job.reason:
        show = st.error if view.state == control.FAILED else st.warning
        show(
            wording.escaped(f"{view.job.reason} {view.job.advice}"),
            icon=LOOKS[view.state][0],
        )


def _facts(view: RunView) -> str:
    parts = [f"**{wording.escaped(view.name)}**"]
    if view.config:
        parts += [
            wording.escaped(wording.file_name(view.config.data)),
            view.config.architecture,
            view.config.preset,
        ]
    if view.state == control.QUEUED:
        parts.append(_queue_in_words(view))
    elif view.moves and view.status and view.status.device:
        parts.append(wording.escaped(view.status.device))
    elif took(view) is not None and not view.moves:
        parts.append(f"took {wording.duration(took(view))}")
    return " · ".join(parts)


def _queue_in_words(view: RunView) -> str:
    position = view.job.position if view.job else 0
    ahead = [
        job
        for job in control.list_jobs(view.folder.parent)
        if job.alive or 0 < job.position < position
    ]
    # Listed with the newest first: the one that is waited for is the last in turn.
    ahead.sort(key=lambda job: job.position)
    if not ahead:
        return "begins in a moment"
    return f"queued behind {wording.escaped(ahead[-1].name)}"


def _show_curves(view: RunView) -> None:
    if not view.epochs:
        if view.state == control.RUNNING:
            st.caption("Curves appear with the first whole epoch.")
        return
    figures = {
        "Loss": learning_curves.learning_curves(
            view.epochs, train="loss", held_out="val_loss", ink=ink()
        ),
        "AUC": learning_curves.learning_curves(
            view.epochs, train="auc", held_out="val_auc", ink=ink()
        ),
        "Learning rate": learning_curves.learning_rate(view.epochs, ink=ink()),
    }
    grid = st.grid(3, min_column_width=260)
    for title, figure in figures.items():
        with grid.cell():
            st.markdown(f"**{title}**")
            st.plotly_chart(
                figure,
                key=f"train_curve_{title}",
                theme=None,
                config=learning_curves.CONFIG,
                alt=f"{title} over the epochs of {view.name}",
            )
    st.caption(
        "Solid: validation films. Dotted: training films, augmented, so that they are "
        "harder than the others."
    )


def _show_log(view: RunView) -> None:
    with st.expander("Log", icon=":material/notes:", key="train_log"):
        text = control.log_tail(view.folder, LOG_LINES)
        st.code(text or "Nothing yet.", language=None, wrap_lines=True)
