"""Background jobs: one at a time, in order, found again, stopped to the last child."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import job_commands
import pytest
from job_commands import beats, elsewhere, everybody, python, until

from cxr import disk
from cxr.errors import JobError
from cxr.jobs import control, processes, queues, supervisor

SUBMIT = """
import sys, time
from pathlib import Path
from cxr.jobs import control
folder, go = Path(sys.argv[1]), Path(sys.argv[2])
while not go.exists():
    time.sleep(0.005)
job = control.submit(folder, sys.argv[3:])
print(job.state, job.position, flush=True)
"""


@pytest.fixture
def queue(tmp_path, monkeypatch):
    monkeypatch.setenv("CXR_DISK_RESERVE_GB", "0")
    queue = tmp_path / "runs"
    queue.mkdir()
    yield queue
    job_commands.clear(queue)


def folder_in(queue: Path, name: str) -> Path:
    (queue / name).mkdir()
    return queue / name


def began(folder: Path) -> bool:
    return (folder / "status.json").is_file()


def record_of(folder: Path) -> queues.Record:
    record = queues.read_record(folder)
    assert record
    return record


def rewrite(folder: Path, **changes: object) -> None:
    queues.write_record(folder, replace(record_of(folder), **changes))


def test_a_job_runs_and_is_done(queue):
    folder = folder_in(queue, "a")
    job = control.submit(folder, python("print('hello')"))
    assert (job.state, job.position, job.alive) == (control.RUNNING, 0, True)
    job = control.wait(folder, 15)
    assert (job.state, job.reason, job.advice) == (control.DONE, "", "")
    assert job.has_ended and not job.alive
    assert job.created <= job.started <= job.ended
    assert "hello" in control.log_tail(folder)


def test_submit_comes_back_at_once_and_the_job_has_what_it_needs(queue, monkeypatch):
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    folder = folder_in(queue, "a")
    show = """
import json, os, sys
keys = ("CXR_JOB_TOKEN", "PYTHONUNBUFFERED", "TF_CPP_MIN_LOG_LEVEL", "GLIBC_TUNABLES")
print(json.dumps({"env": {k: os.environ.get(k) for k in keys}, "cwd": os.getcwd(),
    "stdin": sys.stdin.read(), "sid": os.getsid(0), "pid": os.getpid(),
    "files": sorted(os.listdir("/proc/self/fd"))}))
"""
    before = time.monotonic()
    control.submit(folder, python(show))
    assert time.monotonic() - before < 2
    assert control.wait(folder, 15).state == control.DONE
    told = json.loads(control.log_tail(folder, 1))
    assert told["env"]["CXR_JOB_TOKEN"] == record_of(folder).token
    assert told["env"]["PYTHONUNBUFFERED"] == "1"
    assert told["env"]["TF_CPP_MIN_LOG_LEVEL"] == "2"
    assert told["cwd"] == str(supervisor.ROOT)
    assert told["stdin"] == ""
    assert told["sid"] == told["pid"] != os.getsid(0)
    assert len(told["files"]) == 4  # three and the listing itself


def test_settings_of_the_memory_allocator_are_kept_if_there_are_any():
    mine = supervisor.environment({"GLIBC_TUNABLES": "mine", "A": "b"}, "t")
    assert mine["GLIBC_TUNABLES"] == "mine" or sys.platform != "linux"
    assert (mine["A"], mine["CXR_JOB_TOKEN"]) == ("b", "t")


def test_of_two_submits_at_once_one_runs_and_the_other_follows_unobserved(queue):
    folders = [folder_in(queue, name) for name in "ab"]
    go = queue / "go"
    callers = [elsewhere(SUBMIT, folder, go, *beats(folder, 1.0)) for folder in folders]
    time.sleep(0.5)
    go.touch()
    said = sorted(caller.communicate(timeout=20)[0].strip() for caller in callers)
    assert said == ["queued 1", "running 0"]
    # No one asks `jobs` from here on: the supervisor of the first starts the second.
    until(lambda: all(began(folder) for folder in folders))
    until(lambda: all(record_of(folder).ended for folder in folders))
    first, second = sorted(map(record_of, folders), key=lambda record: record.turn)
    assert first.state == second.state == control.DONE
    assert first.ended <= second.started
    until(lambda: not everybody(queue))


def test_the_queue_keeps_its_order_and_its_places(queue):
    folders = [folder_in(queue, name) for name in "cab"]
    for folder in folders:
        control.submit(folder, beats(folder, 60))
    assert [job.name for job in control.list_jobs(queue)] == ["b", "a", "c"]
    assert [control.read(folder).position for folder in folders] == [0, 1, 2]
    assert control.stop(folders[1]).state == control.STOPPED
    assert [control.read(folder).position for folder in folders] == [0, 0, 1]
    # Going on again it is last, and keeps its place in the list.
    control.submit(folders[1], beats(folders[1], 60))
    assert [control.read(folder).position for folder in folders] == [0, 2, 1]
    assert [job.name for job in control.list_jobs(queue)] == ["b", "a", "c"]
    control.stop(folders[0])
    assert control.wait(folders[0], 15).state == control.STOPPED
    until(lambda: control.read(folders[2]).state == control.RUNNING)
    assert [control.read(folder).position for folder in folders] == [0, 1, 0]


def test_a_look_starts_the_next_if_no_supervisor_did(queue):
    first, second = folder_in(queue, "a"), folder_in(queue, "b")
    control.submit(first, beats(first, 60))
    control.submit(second, beats(second, 60))
    job_commands.clear(queue)  # all at once, as a restart of the machine
    control.list_jobs(queue)
    assert control.read(first).state == control.LOST
    assert control.read(second).state == control.RUNNING


@pytest.mark.parametrize("stop_first", [False, True], ids=["running", "queued"])
def test_a_job_that_is_not_over_is_not_submitted_or_deleted(queue, stop_first):
    if stop_first:
        other = folder_in(queue, "other")
        control.submit(other, beats(other, 60))
    folder = folder_in(queue, "a")
    control.submit(folder, beats(folder, 60))
    for refused in (
        lambda: control.submit(folder, ("x",)),
        lambda: control.delete(folder),
    ):
        with pytest.raises(JobError) as caught:
            refused()
        assert caught.value.code == "already-running"
    assert folder.is_dir()


def test_the_run_outlives_the_app_and_is_found_and_stopped_by_another(queue):
    folder = folder_in(queue, "a")
    go = queue / "go"
    go.touch()
    app = elsewhere(
        SUBMIT + "time.sleep(60)", folder, go, *beats(folder, 60), process_group=0
    )
    until(lambda: began(folder))
    os.killpg(app.pid, signal.SIGKILL)
    app.communicate()
    beat = (folder / "status.json").stat().st_mtime
    until(lambda: (folder / "status.json").stat().st_mtime > beat)
    [job] = control.list_jobs(queue)
    assert (job.state, job.alive) == (control.RUNNING, True)
    control.stop(folder)
    assert control.wait(folder, 15).state == control.STOPPED
    until(lambda: not everybody(queue))


@pytest.mark.slow
def test_stop_is_quick_and_ends_the_stubborn_and_their_children_in_15_s(queue):
    folder = folder_in(queue, "a")
    program = folder / "stubborn.py"
    program.write_text(job_commands.STUBBORN)
    control.submit(folder, (sys.executable, "-S", str(program), str(folder), "2"))
    until(lambda: (folder / "depth-0").is_file())
    assert len(everybody(queue)) == 4
    before = time.monotonic()
    job = control.stop(folder)
    control.stop(folder)  # a second click
    assert time.monotonic() - before < 1
    assert job.stopping and job.state == control.RUNNING
    job = control.wait(folder, 15)
    assert time.monotonic() - before < 15
    assert (job.state, job.reason, job.stopping) == (control.STOPPED, "", False)
    until(lambda: not everybody(queue), 1)


def test_children_that_outlive_their_command_end_with_the_job(queue):
    folder = folder_in(queue, "a")
    leave = """
import subprocess, sys
subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"])
"""
    control.submit(folder, python(leave))
    assert control.wait(folder, 15).state == control.DONE
    until(lambda: not everybody(queue), 1)


def test_a_stopped_job_stays_stopped_and_goes_on_when_submitted_again(queue):
    folder = folder_in(queue, "a")
    control.submit(folder, beats(folder, 60))
    until(lambda: began(folder))
    control.stop(folder)
    job = control.wait(folder, 15)
    assert control.stop(folder) == job
    again = control.submit(folder, python("print('went on')"))
    assert again.created == job.created and again.started >= job.ended
    assert control.wait(folder, 15).state == control.DONE
    assert "went on" in control.log_tail(folder)


def test_a_job_that_ends_is_deleted_with_all_it_has(queue):
    folder = folder_in(queue, "a")
    control.submit(folder, python("pass"))
    control.wait(folder, 15)
    control.delete(folder)
    assert control.list_jobs(queue) == []
    assert [path.name for path in queue.iterdir()] == [queues.LOCK]


def test_a_training_of_the_command_line_is_not_deleted_while_it_beats(queue):
    folder = folder_in(queue, "a")
    (folder / "status.json").write_text("{}")
    with pytest.raises(JobError) as caught:
        control.delete(folder)
    assert caught.value.code == "already-running"
    os.utime(folder / "status.json", (1, 1))
    control.delete(folder)
    assert not folder.exists()


def test_what_is_no_job_is_neither_read_nor_stopped_nor_deleted(queue):
    folder = folder_in(queue, "a")
    (folder / "film.png").touch()
    assert control.read(folder) is None
    assert control.read(queue / "nowhere") is None
    assert control.list_jobs(queue) == control.list_jobs(queue / "nowhere") == []
    for change in (control.stop, control.delete, lambda f: control.wait(f, 1)):
        with pytest.raises(JobError) as caught:
            change(folder)
        assert caught.value.code == "no-job"
    assert (folder / "film.png").exists()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"state": "running"}'])
def test_a_damaged_record_is_a_lost_job_and_the_others_go_on(queue, content):
    damaged, folder = folder_in(queue, "damaged"), folder_in(queue, "a")
    (damaged / queues.RECORD).write_text(content)
    assert control.read(damaged).state == control.LOST
    assert "can't be read" in control.read(damaged).reason
    control.submit(folder, python("pass"))
    assert control.wait(folder, 15).state == control.DONE
    assert {job.name for job in control.list_jobs(queue)} == {"a", "damaged"}
    control.submit(damaged, python("pass"))
    assert control.wait(damaged, 15).state == control.DONE


def test_many_readers_at_once_see_whole_states(queue):
    folder = folder_in(queue, "a")
    seen: list[str] = []
    failures: list[BaseException] = []
    over = threading.Event()

    def look() -> None:
        try:
            while not over.is_set():
                seen.extend(job.state for job in control.list_jobs(queue))
        except BaseException as error:
            failures.append(error)

    readers = [threading.Thread(target=look) for _ in range(8)]
    for reader in readers:
        reader.start()
    for _ in range(3):
        control.submit(folder, beats(folder, 0.2))
        assert control.wait(folder, 15).state == control.DONE
    over.set()
    for reader in readers:
        reader.join()
    assert failures == []
    assert set(seen) <= {control.QUEUED, control.RUNNING, control.DONE}


def test_a_hundred_jobs_are_listed_quickly(queue, monkeypatch):
    first = folder_in(queue, "000")
    control.submit(first, python("pass"))
    control.wait(first, 15)
    content = json.loads((first / queues.RECORD).read_text())
    for number in range(1, 100):
        folder = folder_in(queue, f"{number:03}")
        (folder / queues.RECORD).write_text(json.dumps({**content, "number": number}))
    with monkeypatch.context() as patched:
        patched.delattr(processes, "members")  # no need to look at other processes
        before = time.perf_counter()
        assert len(control.list_jobs(queue)) == 100
        assert time.perf_counter() - before < 0.5


def test_a_log_is_shown_as_text_and_only_its_end(queue):
    folder = folder_in(queue, "a")
    lines = [f"line {n}" for n in range(20_000)]
    lines += ["a\x1b[31mred\x1b[0m\x07 \u202eb", "1 %\r50 %\r100 %\r", "x" * 2000, ""]
    (folder / "log.txt").write_bytes("\n".join(lines).encode() + b"\xff\n")
    tail = control.log_tail(folder, 5).split("\n")
    assert tail[0] == "line 19999"
    assert tail[1:3] == ["ared b", "100 %"]
    assert tail[3] == "x" * 500
    assert tail[4] == "\ufffd"
    assert len(control.log_tail(folder, 10**6)) <= 66_000
    assert control.log_tail(folder, 0) == control.log_tail(queue / "nowhere") == ""


def test_a_log_that_would_fill_the_disk_is_cut_to_its_end(tmp_path):
    log = tmp_path / "log.txt"
    with log.open("ab", 0) as file:  # as the command has it
        file.truncate(supervisor.MAX_LOG_BYTES)
        assert not supervisor._shortened_log(log)
        file.write(b"\nthe end\n")
        assert supervisor._shortened_log(log)
        file.write(b"and on\n")
    assert log.stat().st_size == supervisor.KEPT_LOG_BYTES + len("and on\n")
    assert control.log_tail(tmp_path, 2) == "the end\nand on"
    assert not supervisor._shortened_log(tmp_path / "nowhere")


def test_wrong_arguments_are_said(queue):
    for folder, command in ((queue / "nowhere", ("x",)), (queue, ())):
        with pytest.raises(ValueError, match="expected a folder and a command"):
            control.submit(folder, command)


def test_an_unknown_command_fails_with_words(queue):
    folder = folder_in(queue, "a")
    control.submit(folder, (str(queue / "no such program"),))
    job = control.wait(folder, 15)
    assert job.state == control.FAILED
    assert job.reason == "The command can't be started: No such file or directory."


def test_case_f2_less_than_the_reserve_is_refused_and_free_space_told(
    queue, monkeypatch
):
    folder = folder_in(queue, "a")
    monkeypatch.setenv("CXR_DISK_RESERVE_GB", "100000")
    with pytest.raises(JobError, match="reserve") as caught:
        control.submit(folder, python("pass"))
    assert caught.value.code == "disk-full"
    assert disk.free(folder / "not" / "yet") == pytest.approx(
        disk.free(queue), rel=0.01
    )
    assert list(folder.iterdir()) == []


def test_the_supervisor_is_small(queue):
    code = "import sys, cxr.jobs.supervisor; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code],
        cwd=supervisor.ROOT,
        capture_output=True,
        text=True,
    ).stdout.split()
    assert not set(loaded) & {"numpy", "pandas", "cv2", "tensorflow", "streamlit"}


IS_IT = """
import sys
from pathlib import Path
from cxr.jobs import control
mine, other = map(Path, sys.argv[1:])
print("answers", control.is_this_process(mine), control.is_this_process(other))
"""


def test_a_job_knows_itself_and_no_other(queue, monkeypatch):
    folder, other = folder_in(queue, "a"), folder_in(queue, "b")
    control.submit(folder, (sys.executable, "-c", IS_IT, str(folder), str(other)))
    assert control.wait(folder, 30).state == control.DONE
    assert "answers True False" in control.log_tail(folder)
    assert not control.is_this_process(folder)
    # Its number is of no use once it has ended.
    monkeypatch.setenv(processes.TOKEN, record_of(folder).token)
    assert not control.is_this_process(folder)
