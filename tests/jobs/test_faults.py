"""What goes wrong around a job: kills, hangs, strangers, memory, clock, a full disk."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import job_commands
import psutil
import pytest
from job_commands import beats, everybody, kill, python, until

from cxr import disk, documents
from cxr.config import ROOT
from cxr.errors import JobError
from cxr.jobs import control, endings, processes, queues


@pytest.fixture
def queue(tmp_path, monkeypatch):
    monkeypatch.setenv("CXR_DISK_RESERVE_GB", "0")
    queue = tmp_path / "runs"
    queue.mkdir()
    yield queue
    job_commands.clear(queue)


@pytest.fixture
def folder(queue):
    (queue / "a").mkdir()
    return queue / "a"


def record_of(folder: Path) -> queues.Record:
    record = queues.read_record(folder)
    assert record
    return record


def rewrite(folder: Path, **changes: object) -> None:
    queues.write_record(folder, replace(record_of(folder), **changes))


def running(folder: Path, seconds: float = 60) -> queues.Record:
    control.submit(folder, beats(folder, seconds))
    until(lambda: (folder / "status.json").is_file())
    return record_of(folder)


def failed(folder: Path, code: str) -> control.Job:
    control.submit(folder, python(code))
    job = control.wait(folder, 15)
    assert job.state == control.FAILED
    assert job.advice
    return job


# Killed


def test_a_job_without_its_supervisor_runs_on_and_stop_reaches_it(folder, queue):
    record = running(folder)
    kill(record.supervisor)
    assert control.read(folder).state == control.RUNNING
    with pytest.raises(JobError, match="already"):
        control.submit(folder, ("x",))
    with pytest.raises(JobError):
        control.delete(folder)
    control.stop(folder)
    control.stop(folder)
    job = control.wait(folder, 15)
    assert (job.state, job.reason) == (control.STOPPED, "")
    until(lambda: not everybody(queue))


def test_a_job_and_its_supervisor_killed_are_lost_and_resume(folder):
    record = running(folder)
    kill(record.supervisor)
    kill(record.leader)
    job = control.read(folder)
    assert job.state == control.LOST
    assert job.reason and "Resume" in job.advice
    assert job.started <= job.ended <= time.time()
    assert control.stop(folder) == job
    control.submit(folder, python("pass"))
    assert control.wait(folder, 15).state == control.DONE


def test_a_training_that_said_done_is_done_though_nobody_saw_it_end(folder):
    record = running(folder)
    kill(record.supervisor)
    kill(record.leader)
    documents.replace(folder / "status.json", {"stage": "done", "updated": time.time()})
    assert control.read(folder).state == control.DONE


def test_stopping_a_queued_job_does_not_start_it_first(folder, queue):
    record = running(folder)
    (queue / "b").mkdir()
    control.submit(queue / "b", beats(queue / "b", 60))
    kill(record.supervisor)
    kill(record.leader)
    job = control.stop(queue / "b")
    assert (job.state, job.started) == (control.STOPPED, None)


def test_one_killed_while_it_is_stopped_is_stopped(folder):
    record = running(folder)
    rewrite(folder, stop_asked=time.time())
    kill(record.supervisor)
    kill(record.leader)
    assert control.read(folder).state == control.STOPPED


def test_a_kill_by_the_kernel_is_called_memory(folder):
    job = failed(folder, "import os; os.kill(os.getpid(), 9)")
    assert "Memory ran out, most likely" in job.reason
    assert "smaller batch" in job.advice


def test_the_kernel_would_take_the_command_before_the_app(folder):
    score = Path("/proc/self/oom_score_adj")
    if not score.is_file():
        pytest.skip("only Linux can be asked")
    control.submit(folder, python(f"print(open('{score}').read())"))
    control.wait(folder, 15)
    assert control.log_tail(folder, 1) == "500"


def test_a_supervisor_that_the_record_does_not_name_does_nothing(folder, queue):
    # Its starter was killed, or found the disk full, before it could write it down.
    token = "0" * 32
    waiting = queues.Record(
        command=beats(folder, 60), token=token, number=1, turn=1, created=time.time()
    )
    queues.write_record(folder, waiting)
    done = subprocess.run(
        [sys.executable, "-m", "cxr.jobs.supervisor", str(folder)],
        cwd=ROOT,
        env={**os.environ, processes.TOKEN: token},
        capture_output=True,
        timeout=30,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert record_of(folder) == waiting
    assert everybody(queue) == []
    assert control.read(folder).state == control.RUNNING  # whoever looks starts it


# Strangers


def test_a_stranger_with_the_pid_is_never_signalled(folder, queue):
    record = running(folder)
    job_commands.clear(queue)
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as stranger:
        now = processes.identify(stranger.pid)
        for started in (now.started, "1"):
            reused = replace(now, started=started)
            rewrite(folder, supervisor=reused, leader=reused, state=queues.RUNNING)
            assert queues.orphans(record_of(folder)) == []
            assert control.stop(folder).state == control.LOST
            assert control.read(folder).state == control.LOST
        time.sleep(0.2)
        assert stranger.poll() is None
        processes.send(replace(now, started="1"), signal.SIGKILL)
        processes.send(processes.Process(pid=2**22 - 1, started="1"), signal.SIGKILL)
        time.sleep(0.1)
        assert stranger.poll() is None
        stranger.kill()
    assert record.state == queues.RUNNING


@pytest.mark.parametrize(
    "pid", [-1, 0, 1, os.getpid()], ids=["all", "group", "init", "oneself"]
)
def test_the_system_and_oneself_are_never_signalled(pid):
    with pytest.raises(ValueError, match="another program"):
        processes.send(processes.Process(pid=pid, started="1"), signal.SIGKILL)


def test_a_zombie_is_not_alive():
    with subprocess.Popen(["sleep", "60"], env={processes.TOKEN: "t"}) as child:
        process = processes.identify(child.pid)
        # The kernel shows a program's environment a moment after it has begun.
        until(lambda: psutil.Process(child.pid).environ())
        assert processes.is_alive(process, "t")
        assert not processes.is_alive(process, "u")
        child.kill()
        until(lambda: not processes.is_alive(process, "t"))
        assert process not in processes.members("t")


def test_without_environments_the_session_tells_who_belongs(monkeypatch):
    def denied(process: psutil.Process) -> dict[str, str]:
        raise psutil.AccessDenied(process.pid)

    monkeypatch.setattr(psutil.Process, "environ", denied)
    command = ["sh", "-c", "sleep 60 & wait"]
    with subprocess.Popen(command, start_new_session=True) as child:
        until(lambda: len(processes.members("t", session=child.pid)) == 2)
        process = processes.identify(child.pid)
        assert processes.is_alive(process, "t")
        assert not processes.is_alive(replace(process, started="Mon"), "t")
        for member in processes.members("t", session=child.pid):
            processes.send(member, signal.SIGKILL)
        until(lambda: not processes.is_alive(process, "t"))


def test_the_start_time_is_the_kernels_own_whatever_the_clock_says(monkeypatch):
    # So a job that an earlier version recorded is recognised.
    stat = Path(f"/proc/{os.getppid()}/stat")
    if not stat.is_file():
        pytest.skip("only Linux counts from its own start")
    ticks = stat.read_text().rpartition(")")[2].split()[19]
    assert processes.identify(os.getppid()).started == ticks
    later = psutil.boot_time() + 3600.25
    monkeypatch.setattr(psutil, "boot_time", lambda: later)
    monkeypatch.setattr(psutil._pslinux, "boot_time", lambda: later)
    assert processes.identify(os.getppid()).started == ticks


def test_a_process_with_another_start_time_is_ended_by_its_token(folder, queue):
    # As on macOS a job that an earlier version recorded, in the words of `ps`.
    record = running(folder)
    other = "Thu Nov 26 18:37:06 2026"
    rewrite(
        folder,
        supervisor=replace(record.supervisor, started=other),
        leader=replace(record.leader, started=other),
    )
    assert control.read(folder).state == control.RUNNING
    control.stop(folder)
    assert control.wait(folder, 15).state == control.STOPPED
    until(lambda: not everybody(queue))


# Silent, or with a wrong clock


def test_one_that_says_nothing_for_a_minute_does_not_respond(folder):
    control.submit(folder, python("import time; time.sleep(60)"))
    assert control.read(folder).state == control.RUNNING
    ago = time.time() - 200
    rewrite(folder, created=ago, started=ago)
    job = control.read(folder)
    assert (job.state, job.alive) == (control.SILENT, True)
    assert job.reason == "It has said nothing for 3 minutes."
    assert "resume" in job.advice
    (folder / "status.json").write_text("{}")
    assert control.read(folder).state == control.RUNNING
    os.utime(folder / "status.json", (ago, ago))
    assert control.read(folder).state == control.SILENT
    documents.replace(folder / "status.json", {"stage": "x", "updated": 0.0})
    with pytest.raises(JobError, match="already"):
        control.submit(folder, ("x",))
    control.stop(folder)
    assert control.wait(folder, 15).state == control.STOPPED


@pytest.mark.parametrize(
    ("patience", "state"),
    [(900, control.RUNNING), (0, control.SILENT), ("x", control.SILENT)],
)
def test_a_job_may_ask_for_patience(folder, patience, state):
    control.submit(folder, python("import time; time.sleep(60)"))
    status = {"stage": "compiling", "updated": 0.0, "patience": patience}
    documents.replace(folder / "status.json", status)
    ago = time.time() - 200
    os.utime(folder / "status.json", (ago, ago))
    rewrite(folder, created=ago - 10, started=ago - 10)
    assert control.read(folder).state == state
    # What was asked before it was resumed counts no more.
    rewrite(folder, created=ago + 10, started=ago + 10)
    assert control.read(folder).state == control.SILENT


def test_an_old_sign_of_life_does_not_count_against_a_resumed_job(folder):
    (folder / "status.json").write_text("{}")
    os.utime(folder / "status.json", (1, 1))
    control.submit(folder, python("import time; time.sleep(60)"))
    assert control.read(folder).state == control.RUNNING


def test_a_clock_set_back_gives_no_negative_times_and_keeps_the_order(queue):
    later = time.time() + 3600
    folders = [queue / name for name in "ab"]
    for folder in folders:
        folder.mkdir()
    control.submit(folders[0], beats(folders[0], 0.5))
    rewrite(folders[0], created=later, started=later)
    assert control.read(folders[0]).seconds == 0
    control.submit(folders[1], python("pass"))
    first, second = (control.wait(folder, 15) for folder in folders)
    assert first.state == second.state == control.DONE
    assert first.created <= first.started <= first.ended
    assert 0 <= first.seconds < 15
    assert [job.name for job in control.list_jobs(queue)] == ["b", "a"]


# Reasons


def test_a_named_error_is_the_reason(folder):
    code = """
import sys
sys.stderr.write("There is no data folder. [dataset]\\n")
print("a library says goodbye")
sys.exit(2)
"""
    job = failed(folder, code)
    assert job.reason == "There is no data folder."


def test_an_error_of_the_attempt_before_is_not_the_reason(folder):
    failed(folder, "import sys; print('No space left on device'); sys.exit(3)")
    assert failed(folder, "import sys; sys.exit(3)").reason == (
        "It ended with an error (exit code 3)."
    )


FREE = 1_500_000_000


@pytest.mark.parametrize(
    ("code", "line", "state", "reason"),
    [
        (0, "Traceback (most recent call last)", "done", ""),
        (1, "3 findings", "done", ""),
        (1, "Traceback (most recent call last)", "failed", "exit code 1"),
        (1, "/usr/bin/python: No module named cxr", "failed", "exit code 1"),
        (1, "OSError: [Errno 28] No space left", "failed", "full: 1.5 GB are free"),
        (2, "Weights full. [disk-full]", "failed", "Weights full."),
        (2, "Too large. [out-of-memory]", "failed", "Too large."),
        (2, "cxr: error: unrecognized arguments", "failed", "exit code 2"),
        (3, "ResourceExhaustedError: OOM when", "failed", "memory of the machine"),
        (-6, "std::bad_alloc", "failed", "memory of the machine"),
        (-9, "", "failed", "Memory ran out, most likely"),
        (137, "", "failed", "Memory ran out, most likely"),
        (-11, "", "failed", "SIGSEGV"),
        (-64, "", "failed", "outside"),
        (134, "", "failed", "exit code 134"),
    ],
)
def test_exit_code_and_last_lines_tell_the_reason(code, line, state, reason):
    traceback = ["Traceback (most recent call last):"] if "Errno" in line else []
    found = endings.ending(code, [*traceback, line], FREE)
    assert found.state == state
    assert reason in found.reason
    assert bool(found.reason) == bool(found.advice) == (state == "failed")


# The disk


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("works_before", [0, 1], ids=["first", "second"])
def test_a_disk_full_at_any_write_of_submit_leaves_nothing(
    folder, queue, monkeypatch, works_before
):
    calls = []

    def replace_or_fail(path: Path, content: object) -> None:
        calls.append(path)
        if len(calls) > works_before:
            full()
        original(path, content)

    original = documents.replace
    with monkeypatch.context() as patched:
        patched.setattr(documents, "replace", replace_or_fail)
        with pytest.raises(JobError, match="disk is full") as caught:
            control.submit(folder, beats(folder, 60))
    assert caught.value.code == "disk-full"
    assert control.read(folder) is None
    assert not [path.name for path in folder.iterdir() if path.name != "log.txt"]
    until(lambda: not everybody(queue))
    # It works again when there is space, without a restart.
    control.submit(folder, python("pass"))
    assert control.wait(folder, 15).state == control.DONE


def test_stop_works_on_a_full_disk(folder, monkeypatch, queue):
    running(folder)
    with monkeypatch.context() as patched:
        patched.setattr(documents, "replace", full)
        control.stop(folder)
        until(lambda: not everybody(queue))
    assert control.read(folder).state == control.STOPPED


def test_looking_at_a_read_only_queue_is_no_error(folder, queue, monkeypatch):
    record = running(folder)
    kill(record.supervisor)
    kill(record.leader)
    with monkeypatch.context() as patched:
        patched.setattr(documents, "replace", full)
        assert control.read(folder).state == control.LOST
        assert [job.state for job in control.list_jobs(queue)] == [control.LOST]
    assert record_of(folder).state == queues.RUNNING


def test_a_queued_job_whose_turn_finds_the_disk_short_fails_with_words(
    folder, queue, monkeypatch
):
    waiting = queue / "b"
    waiting.mkdir()
    control.submit(folder, beats(folder, 60))
    control.submit(waiting, python("pass"))
    job_commands.clear(queue)
    monkeypatch.setenv("CXR_DISK_RESERVE_GB", "100000")
    job = control.read(waiting)
    assert job.state == control.FAILED
    assert "reserve" in job.reason and "Free some space" in job.advice
    monkeypatch.setenv("CXR_DISK_RESERVE_GB", "0")
    control.submit(waiting, python("pass"))
    assert control.wait(waiting, 15).state == control.DONE


FULL_DISK = """
import json, os, sys
from pathlib import Path
from cxr.jobs import control
queue = Path(sys.argv[1])
folder, film = queue / "a", queue / "film"
folder.mkdir()
code = "f = open(%r, 'wb', 0)\\nwhile True: f.write(bytes(4096))" % str(film)
control.submit(folder, (sys.executable, "-S", "-c", code))
first = control.wait(folder, 20)
left = sorted(path.name for path in folder.iterdir())
film.unlink()
control.submit(folder, ("true",))
second = control.wait(folder, 20)
print(json.dumps([first.state, first.reason, left, second.state]))
"""


def test_on_a_disk_that_a_job_fills_it_says_so_and_goes_on_when_freed(tmp_path):
    mount = f'mount -t tmpfs -o size=256k none {tmp_path} && exec "$@"'
    inside = ["unshare", "-rm", "sh", "-c", mount, "sh"]
    try:
        subprocess.run([*inside, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this system gives nobody a disk of their own")
    done = subprocess.run(
        [*inside, sys.executable, "-c", FULL_DISK, str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "CXR_DISK_RESERVE_GB": "0"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    first, reason, left, second = json.loads(done.stdout)
    assert first == control.FAILED
    assert reason.startswith("The disk is full: ")
    assert left == ["job.json", "log.txt"]
    assert second == control.DONE


def test_free_space_of_a_folder_to_be_is_that_of_its_disk(tmp_path):
    assert disk.free(tmp_path / "new") > 0
    assert disk.in_words(FREE) == "1.5 GB"
