"""The small process that starts a job's command, waits for it and says how it ended.

    python -m cxr.jobs.supervisor FOLDER

It has a session of its own, so it outlives the app. When it gets SIGTERM it ends
the command with all its children: first kindly, after `GRACE_SECONDS` by force. Then
it writes the end into the job's record and starts the next job of the queue.
"""

import logging
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from cxr import disk
from cxr.config import ROOT
from cxr.jobs import processes, queues
from cxr.jobs.endings import LOG, STOPPED, Ending, cannot_start, ending, log_lines
from cxr.jobs.queues import RUNNING, Record

GRACE_SECONDS = 8.0
KILL_SECONDS = 0.5
LEFTOVER_SECONDS = 2.0
POLL_SECONDS = 0.1
LOOK_SECONDS = 0.2
PATIENCE_SECONDS = 3600.0
WRITE_ATTEMPTS = 5
MAX_LOG_BYTES, KEPT_LOG_BYTES = 50_000_000, 1_000_000
SPARE, SPARE_BYTES = ".spare", 8192

# TensorFlow on a processor takes and returns large blocks all the time. By default
# each is mapped and unmapped anew, and half of a forward pass goes into page faults;
# kept in a heap of huge pages they are reused.
GLIBC_TUNABLES = ":".join(
    (
        "glibc.malloc.hugetlb=1",
        "glibc.malloc.mmap_max=0",
        "glibc.malloc.trim_threshold=17179869184",
        "glibc.malloc.arena_max=1",
        "glibc.malloc.top_pad=67108864",
    )
)

logger = logging.getLogger(__name__)


def main(folder: Path) -> None:
    """Runs the job in this folder to its end; nothing if it is not this process's."""
    stop = _StopFlag()
    queue = folder.parent
    with queues.locked(queue, PATIENCE_SECONDS):
        record = _mine(folder)
        if record is None:
            return
        began = time.monotonic()
        offset = _announce(folder)
        try:
            command = None if record.stop_asked else _start(folder, record)
        except OSError as error:
            _end(folder, record, cannot_start(error), time.time())
            queues.start_next(queue)
            return
    if command is None:
        _end_all(record, None)
        _finish(folder, record, Ending(state=STOPPED), time.time())
        return
    outcome = _wait(folder, record, command, stop, offset)
    started = record.started or record.created
    # Not the clock's difference: the clock may have been set meanwhile.
    _finish(folder, record, outcome, started + time.monotonic() - began)


def environment(base: Mapping[str, str], token: str) -> dict[str, str]:
    """Returns the environment of a command: the given one and what it needs besides."""
    added = {"PYTHONUNBUFFERED": "1", "TF_CPP_MIN_LOG_LEVEL": "2"}
    if sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        added["GLIBC_TUNABLES"] = base.get("GLIBC_TUNABLES") or GLIBC_TUNABLES
    return {**base, **added, processes.TOKEN: token}


class _StopFlag:
    def __init__(self) -> None:
        self.is_set = False
        signal.signal(signal.SIGTERM, self._set)
        # Handlers and not SIG_IGN, which the command would inherit.
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: None)

    def _set(self, *_: object) -> None:
        self.is_set = True


def _mine(folder: Path) -> Record | None:
    record = queues.read_record(folder)
    token = os.environ.get(processes.TOKEN)
    if record is None or record.state != RUNNING or record.token != token:
        return None
    supervisor = record.supervisor
    return record if supervisor and supervisor.pid == os.getpid() else None


def _announce(folder: Path) -> int:
    offset = (folder / LOG).stat().st_size
    sys.stdout.write(f"--- {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC\n")
    sys.stdout.flush()
    return offset


def _start(folder: Path, record: Record) -> subprocess.Popen[bytes]:
    command = subprocess.Popen(
        record.command,
        cwd=ROOT,
        env=environment(os.environ, record.token),
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    processes.sacrifice(command.pid)
    try:
        (folder / SPARE).write_bytes(bytes(SPARE_BYTES))
        leader = processes.identify(command.pid)
        queues.write_record(folder, replace(record, leader=leader))
    except OSError as error:
        # Its token finds it as well; and a disk that is full now will end it soon, with
        # that reason.
        logger.warning("The record can't be written: %s", error.strerror)
    return command


def _wait(
    folder: Path,
    record: Record,
    command: subprocess.Popen[bytes],
    stop: _StopFlag,
    offset: int,
) -> Ending:
    while command.poll() is None and not stop.is_set:
        time.sleep(LOOK_SECONDS)
        if _shortened_log(folder / LOG):
            offset = 0
    if command.returncode is None:
        _end_all(record, command)
        return Ending(state=STOPPED)
    code = command.returncode
    _wait_until_gone(record, command, LEFTOVER_SECONDS)
    _end_all(record, command)
    lines = log_lines(folder, 40, start=offset)
    return ending(code, lines, disk.free(folder))


def _shortened_log(log: Path) -> bool:
    """Cuts a log that would fill the disk to its end; returns whether it did."""
    try:
        with log.open("r+b") as file:
            if file.seek(0, os.SEEK_END) <= MAX_LOG_BYTES:
                return False
            file.seek(-KEPT_LOG_BYTES, os.SEEK_END)
            end = file.read()
            # The command appends: it goes on behind whatever is there.
            file.seek(0)
            file.write(end)
            file.truncate()
            return True
    except OSError:
        return False


def _end_all(record: Record, command: subprocess.Popen[bytes] | None) -> None:
    _signal_all(record, command, signal.SIGTERM)
    left = _wait_until_gone(record, command, GRACE_SECONDS)
    # One that forks while the others are looked up appears in the next round. A process
    # that not even SIGKILL ends (a driver that hangs) is not called stopped.
    while left:
        _signal_all(record, command, signal.SIGKILL)
        left = _wait_until_gone(record, command, KILL_SECONDS)


def _signal_all(
    record: Record, command: subprocess.Popen[bytes] | None, number: int
) -> None:
    for process in _left(record, command):
        processes.send(process, number)


def _wait_until_gone(
    record: Record, command: subprocess.Popen[bytes] | None, seconds: float
) -> bool:
    """Waits for processes to end; returns whether one is left after this time."""
    deadline = time.monotonic() + seconds
    while _left(record, command):
        if time.monotonic() >= deadline:
            return True
        time.sleep(POLL_SECONDS)
    return False


def _left(
    record: Record, command: subprocess.Popen[bytes] | None
) -> list[processes.Process]:
    if command is None:
        return queues.orphans(record)
    command.poll()
    return processes.members(record.token, session=command.pid)


def _finish(folder: Path, record: Record, outcome: Ending, ended: float) -> None:
    for _ in range(WRITE_ATTEMPTS):
        with queues.locked(folder.parent, PATIENCE_SECONDS):
            if _end(folder, record, outcome, ended):
                break
        time.sleep(1)
    with queues.locked(folder.parent, PATIENCE_SECONDS):
        try:
            queues.start_next(folder.parent)
        except OSError as error:
            logger.warning("The queue can't go on: %s", error.strerror)


def _end(folder: Path, record: Record, outcome: Ending, ended: float) -> bool:
    """Writes the end; returns False if it may be worth another try."""
    try:
        # The command may have filled the disk to the last byte.
        (folder / SPARE).unlink(missing_ok=True)
        now = queues.read_record(folder) or record
        queues.write_record(folder, queues.with_ending(now, outcome, ended))
    except OSError as error:
        logger.warning("The end can't be written: %s", error.strerror)
        return not folder.is_dir()
    return True


if __name__ == "__main__":
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(message)s")
    main(Path(sys.argv[1]))
