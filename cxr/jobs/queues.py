"""The files of a queue of jobs: records, their lock, and whose turn it is.

A queue is a folder and its jobs are sub-folders with a `job.json`. A record changes
only under the queue's lock and is replaced in one step, so that reading needs no lock.
The kernel drops the lock with the process that holds it.
"""

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from cxr import disk, documents
from cxr.config import ROOT, settings
from cxr.errors import JobError
from cxr.jobs import processes
from cxr.jobs.endings import (
    FAILED,
    LOG,
    LOST,
    RESUME,
    SPACE_ADVICE,
    Ending,
    vanished,
)
from cxr.jobs.heartbeat import STATUS
from cxr.jobs.processes import Process

RECORD, LOCK = "job.json", ".lock"
CONFIG = "config.json"  # what a job was asked for, there before it begins
LOCK_SECONDS = 10.0

QUEUED, RUNNING = "queued", "running"


@dataclass(frozen=True, kw_only=True)
class Record:
    """What `job.json` says of a job.

    Attributes:
        command: the program and its arguments.
        token: of this attempt, in the environment of all its processes.
        number: of the job in its queue, counted from 1; stays when it is resumed.
        turn: of this attempt in the queue, counted from 1.
        created: when it was first submitted; this and all times in seconds since 1970.
        state: `QUEUED`, `RUNNING` or how it ended, as in `endings.Ending`.
        started: when this attempt began.
        ended: when it ended.
        reason: why it failed or was lost.
        advice: what to do then.
        stop_asked: when somebody asked it to stop.
        supervisor: the process that started the command and waits for it.
        leader: the process of the command, in a session of its own.
    """

    command: tuple[str, ...]
    token: str
    number: int
    turn: int
    created: float
    state: str = QUEUED
    started: float | None = None
    ended: float | None = None
    reason: str = ""
    advice: str = ""
    stop_asked: float | None = None
    supervisor: Process | None = None
    leader: Process | None = None


def claim(queue: Path) -> Path:
    """Returns a new folder for a job, named by the day and a number.

    Two callers at the same time get two folders.

    Raises:
        OSError: it can't be made.
    """
    stem = f"{datetime.now(UTC):%Y-%m-%d}"
    taken = [re.fullmatch(rf"{stem}-(\d+)", path.name) for path in queue.iterdir()]
    number = max((int(match[1]) for match in taken if match), default=0)
    while True:
        number += 1
        try:
            (queue / f"{stem}-{number}").mkdir()
        except FileExistsError:
            continue
        return queue / f"{stem}-{number}"


def read_record(folder: Path) -> Record | None:
    """Returns the record in a job's folder, None if there is no job.

    A damaged record gives a lost job, which can be resumed or deleted, so that the
    others of its queue go on.
    """
    path = folder / RECORD
    try:
        return documents.read(path, Record)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError):
        return Record(
            command=(),
            token="damaged",
            number=0,
            turn=0,
            created=max(0.0, time.time() - disk.age(path)),
            state=LOST,
            reason="Its record can't be read.",
            advice=RESUME,
        )


def write_record(folder: Path, record: Record) -> None:
    """Replaces the record in one step; the caller holds the lock.

    Raises:
        OSError: it can't be written; the earlier one is still there.
    """
    documents.replace(folder / RECORD, asdict(record))


def records(queue: Path) -> dict[Path, Record]:
    """Returns the folders of a queue with their records; none without a queue.

    Raises:
        OSError: the queue can't be read.
    """
    try:
        names = sorted(os.listdir(queue))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    folders = [queue / name for name in names if not name.startswith(".")]
    known = {folder: read_record(folder) for folder in folders}
    return {folder: record for folder, record in known.items() if record}


def turns(known: Iterable[Record]) -> list[int]:
    """Returns the turns of those that wait, the next one first."""
    return sorted(record.turn for record in known if record.state == QUEUED)


def is_live(record: Record) -> bool:
    """Returns whether a process of this attempt still runs."""
    if record.state != RUNNING:
        return False
    return processes.is_alive(record.supervisor, record.token) or bool(orphans(record))


def orphans(record: Record) -> list[Process]:
    """Returns the living processes of this attempt besides its supervisor."""
    leader = record.leader
    known = leader is not None and processes.is_alive(leader, record.token)
    session = leader.pid if leader and known else None
    found = processes.members(record.token, session=session)
    return [process for process in found if process != record.supervisor]


@contextlib.contextmanager
def locked(queue: Path, seconds: float = LOCK_SECONDS) -> Iterator[None]:
    """Holds the queue's lock, for moments only.

    Raises:
        JobError: `busy`, another process has kept it for this many seconds; or
            `no-jobs-here`, this system has no such locks.
        OSError: the lock can't be created.
    """
    if not disk.CAN_LOCK:
        raise JobError(
            "Background jobs need Linux or macOS (or WSL). The command line works "
            "without them: python -m cxr train.",
            code="no-jobs-here",
        )
    deadline = time.monotonic() + seconds
    with (queue / LOCK).open("a") as file:
        while True:
            if disk.lock(file):
                break
            if time.monotonic() >= deadline:
                raise JobError(
                    "Another program is changing the queue. Try again.", code="busy"
                )
            time.sleep(0.02)
        yield


def start_next(queue: Path) -> None:
    """Starts the job whose turn it is if none runs; the caller holds the lock.

    Jobs that vanished are settled before, and one whose turn comes while the disk has
    too little space fails.

    Raises:
        OSError: a record can't be written or the job not be started; it stays queued.
    """
    reap()
    known = records(queue)
    for folder, record in known.items():
        if record.state == RUNNING and is_live(record):
            return
        if record.state == RUNNING:
            write_record(folder, settled(folder, record))
    waiting = [item for item in known.items() if item[1].state == QUEUED]
    for folder, record in sorted(waiting, key=lambda item: item[1].turn):
        if shortage := space_shortage(folder):
            refusal = Ending(state=FAILED, reason=shortage, advice=SPACE_ADVICE)
            write_record(folder, with_ending(record, refusal, time.time()))
            continue
        supervise(folder, replace(record, started=max(time.time(), record.created)))
        return


def settled(folder: Path, record: Record) -> Record:
    """Returns the ended record of a job that is gone and wrote no ending."""
    try:
        last_sign = (folder / STATUS).stat().st_mtime
    except OSError:
        last_sign = 0.0
    started = record.started or record.created
    outcome = vanished(
        folder,
        spoke=last_sign >= started,
        was_stopped=record.stop_asked is not None,
    )
    return with_ending(record, outcome, last_sign)


def with_ending(record: Record, outcome: Ending, ended: float) -> Record:
    """Returns the record of an ended job; it never ended before it began.

    Args:
        record: of the job as it was.
        outcome: how it ended.
        ended: when, seconds since 1970.
    """
    return replace(
        record,
        state=outcome.state,
        reason=outcome.reason,
        advice=outcome.advice,
        ended=max(ended, record.started or record.created),
    )


def supervise(folder: Path, record: Record) -> None:
    """Starts a supervisor for this record, detached; the caller holds the lock.

    It outlives the caller, waits for the lock and does nothing unless the record in
    the folder then names it.

    Raises:
        OSError: it can't be started, or the record not be written.
    """
    with (folder / LOG).open("ab") as log:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "cxr.jobs.supervisor", str(folder)],
            cwd=ROOT,
            env={**os.environ, processes.TOKEN: record.token},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    _started.append(supervisor)
    identity = processes.identify(supervisor.pid)
    write_record(folder, replace(record, state=RUNNING, supervisor=identity))


def space_shortage(folder: Path) -> str:
    """Returns a sentence if less than the reserve is free, else nothing."""
    reserve = settings().disk_reserve_gb
    free = disk.free(folder)
    if free >= reserve * 1e9:
        return ""
    return (
        f"The disk has {disk.in_words(free)} free and {reserve} GB are kept in "
        "reserve: nothing large is begun."
    )


def reap() -> None:
    """Lets go of supervisors of this process that have ended."""
    for supervisor in list(_started):
        if supervisor.poll() is not None:
            with contextlib.suppress(ValueError):  # another thread was faster
                _started.remove(supervisor)


# Children that have ended stay in the system's table until they are asked after.
_started: list[subprocess.Popen[bytes]] = []
