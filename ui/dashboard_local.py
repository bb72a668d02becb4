"""Local validation: a labelled folder of the reader's own, scored in the background.

The job and its folder are the only state: a reload, a second tab and the command line
see the same. The shipped threshold is used and stays as it is.
"""

import math
import shutil
from pathlib import Path

import streamlit as st

from cxr import jobs, local_validation, runs
from cxr.config import settings
from cxr.errors import CxrError, JobError
from cxr.jobs import Job
from cxr.local_validation import Report
from cxr.registry import Card
from cxr.scores import SCORES, Scores
from ui import wording
from ui.data import allowed
from ui.errors import show_errors
from ui.people import actor

PREFIX = "local:"
REFUSALS_SHOWN = 200
REFRESH_SECONDS = 2
REFUSED = "dashboard_local_refused"
VERDICTS = {
    True: ":blue[:material/check_circle: **Go**: all bars are met]",
    False: ":orange[:material/block: **No-go**: {failed} of {bars} bars {are} not met]",
}


def is_local(films: str) -> bool:
    """Returns whether these films are a local validation's, not a model's split."""
    return films.startswith(PREFIX)


def of_model(card: Card) -> list[str]:
    """Returns the finished local validations of this very network, newest first."""
    return [PREFIX + name for name in _reports(card)]


def name_of(films: str) -> str:
    """Returns the name of a local validation, as text that can do nothing."""
    return wording.file_name(films.removeprefix(PREFIX))


def report_of(films: str) -> Report:
    """Returns the report of a local validation.

    Raises:
        JobError: it can't be read.
    """
    return local_validation.read_report(_folder(films))


def caution(films: str) -> str:
    """Returns why the films of a local validation flatter the model; mostly empty."""
    try:
        seen = report_of(films).seen
    except JobError:
        return ""
    if not seen:
        return ""
    return (
        f"{seen:,} of these films trained, tuned or calibrated the model: they look "
        "better than films that it has never seen."
    )


def bar_rows(report: Report) -> list[tuple[str, str, str]]:
    """Returns for each bar what had to hold, what the films show, and if it is met."""
    return [
        (bar.sentence, _value(bar.value), "met" if bar.passed else "not met")
        for bar in report.bars
    ]


def scores(films: str) -> Scores:
    """Returns the scores of a local validation.

    Raises:
        JobError: they can't be read.
    """
    return local_validation.read_scores(_folder(films))


def stamp(films: str) -> str:
    """Returns what stands for the stored scores of a local validation.

    Raises:
        JobError: they are gone.
    """
    try:
        found = (_folder(films) / SCORES).stat()
    except OSError as error:
        raise JobError("The scores of this validation are gone.") from error
    return f"{films} {found.st_size} {found.st_mtime_ns}"


def folder_of_films(films: str) -> Path | None:
    """Returns where the films of a local validation were; None if it doesn't say."""
    try:
        source = Path(local_validation.read_config(_folder(films)).data)
    except JobError:
        return None
    return source.parent if source.suffix.lower() == ".csv" else source


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
    with st.container(horizontal=True, vertical_alignment="bottom"):
        folder = st.text_input(
            "Labelled folder or manifest",
            key="dashboard_local_folder",
            persist_state="session",
            max_chars=1000,
            icon=":material/folder_open:",
        )
        st.button(
            f"Validate {card.model_id}",
            key="dashboard_local_start",
            icon=":material/play_arrow:",
            disabled=not folder.strip(),
            on_click=_start,
            args=(card, folder.strip()),
        )
    if refused := st.session_state.pop(REFUSED, ""):
        st.warning(wording.escaped(refused), icon=":material/folder_off:")
    known = [job for job in jobs.list_jobs(_queue()) if _is_of(card, job)]
    if not all(job.has_ended for job in known):
        _show_running(card)
    for job in known:
        if job.has_ended and job.state != jobs.DONE:
            _show_unfinished(job)
    for name, report in _reports(card).items():
        _show_report(card, name, report)


def _start(card: Card, text: str) -> None:
    where, made = settings(), None
    try:
        made = local_validation.create(
            _queue(),
            where.models_dir,
            source=allowed(text),
            model_id=card.model_id,
            limit=where.data_dir,
        )
        local_validation.record_start(where.records_dir, made, actor=actor())
        jobs.submit(made, local_validation.command(made))
    except CxrError as error:
        if made:
            shutil.rmtree(made, ignore_errors=True)
        st.session_state[REFUSED] = error.message


def _is_of(card: Card, job: Job) -> bool:
    try:
        config = local_validation.read_config(job.folder)
    except JobError:
        return False
    mine = (card.model_id, card.weights_sha256)
    return (config.model_id, config.model_sha256) == mine


@st.fragment(run_every=REFRESH_SECONDS)
def _show_running(card: Card) -> None:
    """Shows what runs or waits; draws the page anew when one has ended."""
    with show_errors():
        known = [job for job in jobs.list_jobs(_queue()) if _is_of(card, job)]
        moving = [job for job in known if not job.has_ended]
        held = st.session_state.get("dashboard_local_moving")
        st.session_state["dashboard_local_moving"] = len(moving)
        if not moving or (held and held > len(moving)):
            st.rerun(scope="app")
        for job in moving:
            _show_progress(job)


def _show_progress(job: Job) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.progress(*_progress(job))
        if st.button(
            "Stopping" if job.stopping else "Stop",
            key=f"dashboard_local_stop_{job.name}",
            icon=":material/stop_circle:",
            disabled=job.stopping,
        ):
            jobs.stop(job.folder)
            st.rerun(scope="app")
    if job.reason:
        st.caption(wording.escaped(f"{job.reason} {job.advice}"))


def _progress(job: Job) -> tuple[float, str]:
    """Returns the share that is done, `[0, 1]`, and a line on it."""
    name = _data_name(job)
    if job.state == jobs.QUEUED:
        return 0.0, f"{name}: waits for another validation (place {job.position})"
    status = runs.read_status(job.folder)
    if status is None or status.updated < (job.started or 0):
        return 0.0, f"{name}: starting"
    line = f"{name}: {status.stage}"
    if not status.total:
        return 0.0, line
    line += f", {status.done:,} of {status.total:,} films"
    return min(status.done / status.total, 1.0), line


def _data_name(job: Job) -> str:
    config = local_validation.read_config(job.folder)
    return wording.escaped(wording.file_name(Path(config.data).name))


def _show_unfinished(job: Job) -> None:
    """Shows one that was stopped, failed or is lost, and what can be done with it."""
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        reason = wording.escaped(f"{job.reason} {job.advice}".strip())
        st.markdown(
            f":violet[:material/stop_circle:] {_data_name(job)}: {job.state}. {reason}"
        )
        if st.button(
            "Resume",
            key=f"dashboard_local_resume_{job.name}",
            icon=":material/resume:",
            help="Goes on with the films that are missing.",
        ):
            jobs.submit(job.folder, local_validation.command(job.folder))
            st.rerun()
        if st.button(
            "Delete",
            key=f"dashboard_local_delete_{job.name}",
            icon=":material/delete:",
            type="tertiary",
            help="Deletes the scores so far. No film is touched.",
        ):
            jobs.delete(job.folder)
            st.rerun()


def _show_report(card: Card, name: str, report: Report) -> None:
    failed = sum(not bar.passed for bar in report.bars)
    verdict = VERDICTS[report.go].format(
        failed=failed, bars=len(report.bars), are="is" if failed == 1 else "are"
    )
    with st.container(border=True):
        st.markdown(
            f"{verdict} · {wording.escaped(wording.file_name(report.data))} · "
            f"{report.films:,} films, {len(report.refused):,} refused · "
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
                lambda: (_queue() / name / local_validation.REPORT).read_bytes(),
                file_name=f"validation-{name}.json",
                mime="application/json",
                key=f"dashboard_local_report_{name}",
                icon=":material/download:",
                on_click="ignore",
            )
        if report.refused:
            _show_refused(report)


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
    st.session_state[f"dashboard_films_{card.model_id}"] = PREFIX + name


def _reports(card: Card) -> dict[str, Report]:
    """Returns the finished validations of this very network, newest first, by name."""
    found = {}
    for path in _queue().glob(f"*/{local_validation.REPORT}"):
        try:
            report = _read(path.parent, path.stat().st_mtime_ns)
        except (JobError, OSError):
            continue
        mine = (card.model_id, card.weights_sha256)
        if (report.model_id, report.model_sha256) == mine:
            found[path.parent.name] = report
    return dict(sorted(found.items(), key=lambda item: item[1].created, reverse=True))


@st.cache_data(max_entries=50, show_spinner=False)
def _read(folder: Path, stamp: int) -> Report:
    return local_validation.read_report(folder)


def _queue() -> Path:
    return settings().records_dir / "validations"


def _folder(films: str) -> Path:
    name = films.removeprefix(PREFIX)
    return _queue() / Path(name).name


def _value(value: float) -> str:
    return wording.NOT_MEASURED if math.isnan(value) else f"{value:.4g}"
