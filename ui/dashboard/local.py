"""Local validation: a labelled folder of the reader's own, scored in the background.

The job and its folder are the only state: a reload, a second tab and the command line
see the same. The shipped threshold is used and stays as it is.
"""

import math
from pathlib import Path

import streamlit as st

from cxr.datasets import folders
from cxr.errors import CxrError, JobError
from cxr.jobs import control
from cxr.jobs.control import Job
from cxr.models.cards import Card
from cxr.records import actors
from cxr.validation import local, start
from cxr.validation.local import Report
from ui import jobs, wording
from ui.dashboard.scored_films import LocalFilms, local_reports
from ui.dashboard.source import Source
from ui.errors import show_errors
from ui.people import actor, allowed, say_who_can

REFUSALS_SHOWN = 200
REFUSED = "dashboard_local_refused"
STAGES = {stage: stage for stage in (local.LOADING, local.SCORING, local.REPORTING)}
VERDICTS = {
    True: ":blue[:material/check_circle: **Go**: all bars are met]",
    False: ":orange[:material/block: **No-go**: {failed} of {bars} bars {are} not met]",
}


def bar_rows(report: Report) -> list[tuple[str, str, str]]:
    """Returns for each bar what had to hold, what the films show, and if it is met."""
    return [
        (bar.sentence, _value(bar.value), "met" if bar.passed else "not met")
        for bar in report.bars
    ]


def show_verdict(source: Source) -> None:
    """Shows above the figures of a local validation whether all its bars are met."""
    if (report := source.films.report()) is not None:
        name = wording.escaped(wording.file_name(report.title))
        st.markdown(f"**{name}** · {_verdict(report)}, at the shipped threshold")


def show_local_validation(card: Card) -> None:
    """Shows the form that starts one, those that run, and what came of them.

    Raises:
        CxrError: one can't be started, resumed or deleted.
    """
    st.subheader("Local validation", anchor=False)
    st.markdown(
        "Scores a folder of your own films with known answers (NORMAL and PNEUMONIA, "
        "or a CSV manifest) and holds the result against stated bars. The shipped "
        "threshold is used and stays as it is."
    )
    if allowed(actors.VALIDATE):
        _offer_validation(card)
    else:
        say_who_can(actors.VALIDATE)
    if refused := st.session_state.pop(REFUSED, ""):
        st.warning(wording.escaped(refused), icon=":material/folder_off:")
    known = [job for job in control.list_jobs(local.queue()) if _is_of(card, job)]
    if not all(job.has_ended for job in known):
        _show_running(card)
    for job in known:
        if job.has_ended and job.state != control.DONE:
            _show_unfinished(job)
    for name, report in local_reports(card).items():
        _show_report(card, name, report)


def _offer_validation(card: Card) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        folder = st.text_input(
            "Labelled folder or manifest",
            key="dashboard_local_folder",
            persist_state="session",
            max_chars=1000,
            icon=":material/folder_open:",
        )
        name = st.text_input(
            "Name",
            key="dashboard_local_name",
            persist_state="session",
            max_chars=local.LONGEST_NAME,
            placeholder="that of the folder",
        )
        st.button(
            f"Validate {card.model_id}",
            key="dashboard_local_start",
            icon=":material/play_arrow:",
            disabled=not folder.strip(),
            on_click=_start,
            args=(card, folder.strip(), name),
        )


def _start(card: Card, text: str, name: str) -> None:
    try:
        start.start(text, card.model_id, actor=actor(), name=name)
    except CxrError as error:
        st.session_state[REFUSED] = error.message


def _is_of(card: Card, job: Job) -> bool:
    try:
        config = local.read_config(job.folder)
    except JobError:
        return False
    mine = (card.model_id, card.weights_sha256)
    return (config.model_id, config.model_sha256) == mine


@st.fragment(run_every=jobs.REFRESH_SECONDS)
def _show_running(card: Card) -> None:
    """Shows what runs or waits; draws the page anew when one has ended."""
    with show_errors():
        known = [job for job in control.list_jobs(local.queue()) if _is_of(card, job)]
        moving = [job for job in known if not job.has_ended]
        held = st.session_state.get("dashboard_local_moving")
        st.session_state["dashboard_local_moving"] = len(moving)
        if not moving or (held and held > len(moving)):
            st.rerun(scope="app")
        for job in moving:
            jobs.show_job(
                job,
                STAGES,
                title=f"**{_title(job)}**",
                stop=_stop if allowed(actors.STOP_VALIDATION) else None,
                key=f"dashboard_local_stop_{job.name}",
                help="Scored films are kept; the validation can go on later.",
            )


def _title(job: Job) -> str:
    return wording.escaped(wording.file_name(local.read_config(job.folder).title))


def _stop(folder: Path) -> None:
    start.stop(folder, actor=actor())


def _show_unfinished(job: Job) -> None:
    """Shows one that was stopped, failed or is lost, and what can be done with it."""
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        reason = wording.escaped(f"{job.reason} {job.advice}".strip())
        st.markdown(
            f":violet[:material/stop_circle:] {_title(job)}: {job.state}. {reason}"
        )
        if allowed(actors.VALIDATE) and st.button(
            "Resume",
            key=f"dashboard_local_resume_{job.name}",
            icon=":material/resume:",
            help="Goes on with the films that are missing.",
        ):
            start.resume(job.folder, actor=actor())
            st.rerun()
        if allowed(actors.DELETE_VALIDATION) and st.button(
            "Delete",
            key=f"dashboard_local_delete_{job.name}",
            icon=":material/delete:",
            type="tertiary",
            help="Deletes the scores so far. No film is touched.",
        ):
            start.delete(job.folder, actor=actor())
            st.rerun()


def _show_report(card: Card, name: str, report: Report) -> None:
    with st.container(border=True):
        st.markdown(
            f"**{wording.escaped(wording.file_name(report.title))}** · "
            f"{_verdict(report)} · {report.films:,} films, {len(report.refused):,} "
            f"refused · "
            f"{report.created[:10]}"
        )
        st.dataframe(
            [
                dict(zip(("bar", "here", "met"), row, strict=True))
                for row in bar_rows(report)
            ],
            hide_index=True,
            height="content",
            alt="What the films had to show and what they do",
        )
        if (answered := report.evaluation.answered) is not None:
            st.caption(
                f"Without an answer {wording.estimate(answered.no_answer)}, of normal "
                f"films {wording.estimate(answered.no_answer_well)}; among the others "
                f"sensitivity {wording.estimate(answered.sensitivity)} and specificity "
                f"{wording.estimate(answered.specificity)}."
            )
        with st.container(horizontal=True):
            st.button(
                "Show its figures above",
                key=f"dashboard_local_show_{name}",
                icon=":material/monitoring:",
                on_click=_show,
                args=(card, name),
            )
            st.download_button(
                "Report (JSON)",
                lambda: (local.queue() / name / local.REPORT).read_bytes(),
                file_name=f"validation-{name}.json",
                mime="application/json",
                key=f"dashboard_local_report_{name}",
                icon=":material/download:",
                on_click="ignore",
            )
        if report.refused:
            _show_refused(report)
        if report.left_out:
            st.caption(wording.escaped(folders.in_words(report.left_out)))


def _verdict(report: Report) -> str:
    failed = sum(not bar.passed for bar in report.bars)
    return VERDICTS[report.go].format(
        failed=failed, bars=len(report.bars), are="is" if failed == 1 else "are"
    )


def _show_refused(report: Report) -> None:
    with st.expander(f"Refused films ({len(report.refused):,})"):
        first = list(report.refused.items())[:REFUSALS_SHOWN]
        st.dataframe(
            [
                {"film": wording.file_name(film), "reason": reason}
                for film, reason in first
            ],
            hide_index=True,
            alt="Films without a score, and why",
        )


def _show(card: Card, name: str) -> None:
    st.session_state[f"dashboard_films_{card.model_id}"] = LocalFilms(name=name).key


def _value(value: float) -> str:
    return wording.NOT_MEASURED if math.isnan(value) else f"{value:.4g}"
