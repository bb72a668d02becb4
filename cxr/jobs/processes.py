"""Processes: recognised again, told apart from unrelated ones, and signalled.

A pid alone says nothing: the system gives it to another program as soon as it is free.
A process is known here by its pid and its start time, and its descendants by a token
that they inherit in their environment. Where the system does not show the environment
of a process, it belongs to a job if it is in the session that the job began.
"""

import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

TOKEN = "CXR_JOB_TOKEN"
_ENDED = (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)


@dataclass(frozen=True, kw_only=True)
class Process:
    """One process, not to be taken for a later one with its pid.

    Attributes:
        pid: its number.
        started: when it began: on Linux in clock ticks since the machine started, as in
            `/proc/PID/stat`; elsewhere in seconds since 1970.
    """

    pid: int
    started: str


def identify(pid: int) -> Process | None:
    """Returns the process that has this pid now, None if none has or it has ended."""
    try:
        process = psutil.Process(pid)
        return None if process.status() in _ENDED else _as_recorded(process)
    except psutil.Error:
        return None


def is_alive(process: Process | None, token: str) -> bool:
    """Returns whether this very process still runs and carries this token."""
    if process is None or identify(process.pid) != process:
        return False
    return _carries(process.pid, token) is not False


def members(token: str, *, session: int | None = None) -> list[Process]:
    """Returns the living processes that carry the token, without the caller's own.

    Args:
        token: as in their environment.
        session: id of a session known to be theirs; its processes count too, also those
            that have changed their environment.
    """
    pids = [pid for pid in psutil.pids() if pid != os.getpid()]
    found = [_member(pid, token, session) for pid in pids]
    return [process for process in found if process]


def send(process: Process, number: int) -> None:
    """Sends a signal to this very process; does nothing if it is gone.

    Raises:
        PermissionError: the process belongs to another user.
        ValueError: it is the system's first process, a group, or the caller itself.
    """
    if process.pid <= 1 or process.pid == os.getpid():
        raise ValueError(f"expected another program's process, received {process=}")
    with contextlib.suppress(ProcessLookupError), _held(process.pid) as descriptor:
        if identify(process.pid) != process:
            return
        if descriptor is None:
            os.kill(process.pid, number)
        else:
            signal.pidfd_send_signal(descriptor, number)


def sacrifice(pid: int) -> None:
    """Asks the kernel to end this process first when memory runs out, where it can."""
    # A kernel that takes the largest process would as well take the web server.
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/oom_score_adj").write_text("500")


@contextlib.contextmanager
def _held(pid: int) -> Iterator[int | None]:
    """A descriptor that stands for the process even if its pid changes hands."""
    if not hasattr(os, "pidfd_open"):
        yield None
        return
    descriptor = os.pidfd_open(pid)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _member(pid: int, token: str, session: int | None) -> Process | None:
    """Returns the living process of this pid if it belongs to the job, else None."""
    try:
        process = psutil.Process(pid)
        if _session_of(pid) != session and not _carries(pid, token):
            return None
        # What was read is of this process only if the pid has not changed hands since.
        if not process.is_running() or process.status() in _ENDED:
            return None
        return _as_recorded(process)
    except psutil.Error:
        return None


def _as_recorded(process: psutil.Process) -> Process:
    began = process.create_time()
    if not psutil.LINUX:
        return Process(pid=process.pid, started=repr(began))
    # Both times move when the clock is set; what the kernel keeps is their difference.
    ticks = (began - psutil.boot_time()) * os.sysconf("SC_CLK_TCK")
    return Process(pid=process.pid, started=str(round(ticks)))


def _session_of(pid: int) -> int:
    """Returns the id of the session that a process is in, 0 if it can't be told."""
    try:
        return os.getsid(pid)
    except OSError:
        return 0


def _carries(pid: int, token: str) -> bool | None:
    """Whether the process has the token; None where the system does not tell."""
    try:
        environment = psutil.Process(pid).environ()
    except (psutil.Error, OSError):
        return None
    if not environment:  # a program that is being loaded has none yet
        return None
    return environment.get(TOKEN) == token
