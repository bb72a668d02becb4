"""A background job as every page shows it."""

import time

import pytest
from streamlit.testing.v1 import AppTest

from cxr import documents
from cxr.jobs import control, heartbeat
from cxr.jobs.heartbeat import Heartbeat, Status


def page(job=None, status=None, may_stop=True):
    from cxr.jobs import control
    from ui import jobs

    stages = {"reading": "reading the films", "joining": "joining"}
    if job:
        named = {"title": "**films**", "key": "stop", "help": "Ends it."}
        jobs.show_job(job, stages, stop=control.stop if may_stop else None, **named)
    else:
        jobs.show_progress(status, stages, started=100.0)


def progress_of(**given) -> tuple[int, str]:
    at = AppTest.from_function(page, kwargs=given).run()
    assert not at.exception
    [bar] = at.get("progress")
    return bar.proto.value, bar.proto.text


def a_job(folder, state=control.RUNNING, **facts):
    return control.Job(
        folder=folder,
        name=folder.name,
        state=state,
        command=(),
        created=1.0,
        started=time.time() - 10,
        **facts,
    )


@pytest.mark.parametrize(
    ("status", "share", "text"),
    [
        (None, 0, "Starting"),
        ({"stage": "reading"}, 0, "Stage 1 of 2: reading the films"),
        ({"stage": "un*known*"}, 0, r"un\*known\*"),
        (
            {"stage": "joining", "done": 30, "total": 120},
            25,
            "Stage 2 of 2: joining, 30 of 120 films · 3 films/s · "
            "about 30 s left of this stage",
        ),
        # What an earlier attempt had done took no time in this one.
        (
            {
                **{"stage": "joining", "done": 30, "total": 120},
                **{"stage_began": 105.0, "done_before": 20},
            },
            25,
            "Stage 2 of 2: joining, 30 of 120 films · 2 films/s · "
            "about 45 s left of this stage",
        ),
        (
            {"stage": "joining", "epoch": 2, "epochs": 7, "step": 9, "steps": 8},
            100,
            "Stage 2 of 2: joining, epoch 2 of 7, step 9 of 8",
        ),
    ],
)
def test_progress_says_stage_count_pace_and_time_left(status, share, text):
    said = status and Status(**{"updated": 110.0, **status})
    assert progress_of(status=said) == (share, text)


def test_the_whole_jobs_own_estimate_goes_before_the_stages():
    status = Status(
        stage="joining", updated=time.time(), done=1, total=9, seconds_left=700.0
    )
    assert progress_of(status=status)[1].endswith("1 of 9 films · at most 12 min left")


def test_what_was_said_before_it_began_anew_does_not_count(tmp_path):
    old = {"stage": "joining", "updated": time.time() - 20}
    documents.replace(tmp_path / heartbeat.STATUS, old)
    assert progress_of(job=a_job(tmp_path)) == (0, "Starting")


def test_one_that_waits_says_its_place_and_can_be_stopped(tmp_path, monkeypatch):
    stopped = []
    monkeypatch.setattr(control, "stop", stopped.append)
    job = a_job(tmp_path, control.QUEUED, position=2)
    at = AppTest.from_function(page, kwargs={"job": job}).run()
    assert at.get("progress")[0].proto.text == "Waits for its turn (place 2)"
    assert "Queued" in at.markdown[0].value
    at.button(key="stop").click().run()
    assert stopped == [tmp_path]


def test_who_may_not_stop_it_sees_no_button(tmp_path):
    given = {"job": a_job(tmp_path), "may_stop": False}
    at = AppTest.from_function(page, kwargs=given).run()
    assert "Running" in at.markdown[0].value and not at.button


def test_one_that_is_stopping_says_so_and_why_it_was_silent(tmp_path):
    job = a_job(
        tmp_path,
        control.SILENT,
        stopping=True,
        reason="Said *nothing*.",
        advice="Wait.",
    )
    at = AppTest.from_function(page, kwargs={"job": job}).run()
    assert "Stopping" in at.markdown[0].value
    assert at.button(key="stop").disabled
    assert at.warning[0].value == r"Said \*nothing\*\. Wait\."


def test_a_heartbeat_says_when_its_stage_began_and_with_what(tmp_path):
    Heartbeat(tmp_path).stage("reading", done=20, total=120)
    status = heartbeat.read_status(tmp_path)
    assert (status.done_before, status.done, status.total) == (20, 20, 120)
    assert 0 <= time.time() - status.stage_began < 5
