"""Which process is which: found, told from strangers, and ended with its children.

A pid alone says nothing: the system gives it to another program as soon as it is free.
A process is known here by its pid and its start time, and its descendants by a token
that they inherit in their environment. Where the system shows no environments (no
`/proc`, as on macOS), descendants are those in the session that the process began.
"""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
TOKEN = "CXR_JOB_TOKEN"


@dataclass(frozen=True, kw_only=True)
class Process:
    """One process, not to be taken for a later one with its pid.

    Attributes:
        pid: its number.
        started: when the system says it began, in the system's own words.
    """

    pid: int
    started: str


def identify(pid: int) -> Process | None:
    """Returns the process that has this pid now, None if none has or it has ended."""
    row = _look(pid)
    return row.process if row and not row.ended else None


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
    return [
        row.process
        for row in _everything()
        if not row.ended
        and row.process.pid != os.getpid()
        and (row.session == session or _carries(row.process.pid, token))
    ]


def send(process: Process, number: int) -> None:
    """Sends a signal to this very process; to nobody if it is gone.

    Raises:
        PermissionError: the process belongs to another user.
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
        (PROC / str(pid) / "oom_score_adj").write_text("500")


@dataclass(frozen=True, kw_only=True)
class _Row:
    process: Process
    session: int
    ended: bool


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


def _look(pid: int) -> _Row | None:
    if PROC.is_dir():
        return _from_proc(pid)
    return next((row for row in _from_ps("-p", str(pid))), None)


def _everything() -> Iterator[_Row]:
    if not PROC.is_dir():
        yield from _from_ps("-A")
        return
    for entry in os.listdir(PROC):
        if entry.isdigit() and (row := _from_proc(int(entry))):
            yield row


def _from_proc(pid: int) -> _Row | None:
    try:
        text = (PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    # The program's name stands in brackets and may hold brackets and blanks itself.
    fields = text.rpartition(")")[2].split()
    return _Row(
        process=Process(pid=pid, started=fields[19]),
        session=int(fields[3]),
        ended=fields[0] in "ZX",
    )


def _from_ps(*which: str) -> Iterator[_Row]:
    # The group stands for the session, which not every ps tells.
    done = subprocess.run(
        ["ps", *which, "-o", "pid=,pgid=,stat=,lstart="],
        env={**os.environ, "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=False,
    )
    for line in done.stdout.splitlines():
        pid, group, state, *started = line.split()
        yield _Row(
            process=Process(pid=int(pid), started=" ".join(started)),
            session=int(group),
            ended=state.startswith("Z"),
        )


def _carries(pid: int, token: str) -> bool | None:
    """Whether the process has the token; None where the system does not tell."""
    try:
        environment = (PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return None
    if not environment:  # a program that is being loaded has none yet
        return None
    return f"{TOKEN}={token}".encode() in environment.split(b"\0")
