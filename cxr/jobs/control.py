"""Background jobs: started, found again, stopped, resumed; one at a time in a queue.

A queue is a folder and each of its sub-folders is a job: the trainings, the checks of
data, the measurements of speed. A job is a command that runs outside the app, under a
small `supervisor` of its own. Everything known of it is in files, so that an app
that starts anew, a second tab and the command line see the same.

The queue needs no service: whoever submits or looks starts the next job if none runs,
and so does a supervisor when its job ends. A job does not survive what ends all
processes of the machine or container; it is then lost, and resumes by being submitted
again. Who uses a queue runs on the same machine and in the same container: processes
elsewhere can't be seen from here.
"""

import contextlib
import logging
import os
import shutil
import signal
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cxr import disk
from cxr.errors import CxrError, JobError
from cxr.jobs import endings, heartbeat, processes, queues
from cxr.jobs.endings import DONE, FAILED, LOST, RESUME, STOPPED
from cxr.jobs.heartbeat import STATUS
from cxr.jobs.queues import CONFIG, QUEUED, RUNNING, Record

SILENT = "not responding"
STATES = (QUEUED, RUNNING, SILENT, STOPPED, DONE, FAILED, LOST)
SILENT_SECONDS = 60.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job as it is now. Times are in seconds since 1970.

    Attributes:
        folder: of its files.
        name: of the folder.
        state: one of `STATES`.
        command: the program and its arguments.
        created: when it was first submitted.
        started: when it last began; None before.
        ended: when it ended; None before. Of a lost one, when it last gave a sign.
        position: place in the queue, from 1; 0 if it does not wait.
        reason: a sentence why it failed, is lost or does not respond, else empty.
        advice: a sentence what to do then, else empty.
        stopping: whether it was asked to stop and some of its processes still run.
    """

    folder: Path
    name: str
    state: str
    command: tuple[str, ...]
    created: float
    started: float | None = None
    ended: float | None = None
    position: int = 0
    reason: str = ""
    advice: str = ""
    stopping: bool = False

    @property
    def alive(self) -> bool:
        """Whether processes of it run; a queued job has none."""
        return self.state in (RUNNING, SILENT)

    @property
    def has_ended(self) -> bool:
        """Whether it neither runs nor waits: it may be resumed or deleted."""
        return self.state in (STOPPED, DONE, FAILED, LOST)

    @property
    def seconds(self) -> float | None:
        """How long it took, or has been running; None before it starts."""
        if self.started is None:
            return None
        return max(0.0, (self.ended or time.time()) - self.started)


def submit(folder: Path, command: Sequence[str]) -> Job:
    """Starts a job, or queues it behind the one that runs; an ended one goes on.

    Args:
        folder: of the job, which exists; the folder above it is the queue.
        command: a program and its arguments, started in the root of the project. It
            writes `status.json` into the folder every few seconds, or says in it how
            many seconds of `patience` a longer step needs. Exit code 0 or 1 is done, 2
            a named error.

    Returns:
        The job, running or queued.

    Raises:
        JobError: `already-running` (or queued), `disk-full` (less than the reserve is
            free, or nothing at all), `job-folder` (can't be written), `busy`.
    """
    folder = Path(os.path.abspath(folder))
    if not folder.is_dir() or not command:
        raise ValueError(f"expected a folder and a command, received {folder=}")
    if shortage := queues.space_shortage(folder):
        raise JobError(f"{shortage} {endings.SPACE_ADVICE}", code=disk.FULL)
    with _changing(folder):
        earlier = queues.read_record(folder)
        if earlier and (earlier.state == QUEUED or queues.is_live(earlier)):
            raise JobError(
                f"{folder.name} runs or waits already.", code="already-running"
            )
        try:
            queues.write_record(folder, _queued(folder, command, earlier))
            queues.start_next(folder.parent)
        except OSError:
            _put_back(folder, earlier)
            raise
    return _existing(folder)


def read(folder: Path) -> Job | None:
    """Returns a job as it is now, None if the folder holds none.

    A queued job is started if its turn has come.
    """
    folder = Path(os.path.abspath(folder))
    record = queues.read_record(folder)
    if record and (record.state == QUEUED or _is_gone(record)):
        _tend(folder.parent)
        record = queues.read_record(folder)
    if record is None:
        return None
    others = queues.records(folder.parent) if record.state == QUEUED else {}
    return _job(folder, record, queues.turns(others.values()))


def list_jobs(queue: Path) -> list[Job]:
    """Returns the jobs of a queue, the one first submitted last first.

    The next job is started if none runs.

    Raises:
        JobError: the queue can't be read.
    """
    queue = Path(os.path.abspath(queue))
    queues.reap()
    with _named_errors(queue):
        known = queues.records(queue)
        if _needs_care(list(known.values())):
            _tend(queue)
            known = queues.records(queue)
    turns = queues.turns(known.values())
    jobs = [_job(folder, record, turns) for folder, record in known.items()]
    number = {folder: record.number for folder, record in known.items()}
    return sorted(jobs, key=lambda job: (number[job.folder], job.name), reverse=True)


def is_this_process(folder: Path) -> bool:
    """Returns whether the caller is the job of a folder itself, not somebody's command.

    Whoever submitted it was asked then whether they may.
    """
    record = queues.read_record(folder)
    return (
        record is not None
        and record.state == RUNNING
        and record.token == os.environ.get(processes.TOKEN)
    )


def stop(folder: Path) -> Job:
    """Ends a job with all its processes, or takes it out of the queue.

    Returns at once: the supervisor gives the processes 8 s, ends them by force and then
    writes the end; until then the job is `stopping`. A job that has ended stays as it
    is.

    Raises:
        JobError: `no-job`; or `not-allowed`, another user of the machine started it.
    """
    folder = Path(os.path.abspath(folder))
    if not (folder / queues.RECORD).is_file():
        raise _no_job(folder)
    with _changing(folder):
        record = queues.read_record(folder)
        if record and record.state == QUEUED:
            ended = queues.with_ending(
                record, endings.Ending(state=STOPPED), time.time()
            )
            queues.write_record(folder, ended)
        elif record and queues.is_live(record):
            _ask_to_stop(folder, record)
    return _existing(folder)


def delete(folder: Path) -> None:
    """Deletes a job that has ended, with its folder and all that is in it.

    Raises:
        JobError: `already-running` while it runs or waits; `no-job`.
    """
    folder = Path(os.path.abspath(folder))
    with _changing(folder):
        _check_deletable(folder)
        # Gone in one step for everyone who looks; a rest has no name of a job.
        rest = folder.with_name(f".deleted-{uuid.uuid4().hex}")
        folder.rename(rest)
    for rest in folder.parent.glob(".deleted-*"):
        shutil.rmtree(rest, ignore_errors=True)


def wait(folder: Path, timeout: float) -> Job:
    """Returns a job when it has ended, or as it is after this many seconds."""
    deadline = time.monotonic() + timeout
    while True:
        job = read(folder)
        if job is None:
            raise _no_job(folder)
        if job.has_ended or time.monotonic() >= deadline:
            return job
        time.sleep(0.1)


def log_tail(folder: Path, lines: int = 40) -> str:
    """Returns the last lines of a job's log as plain text, empty if there are none.

    Control characters and colours are left out; long lines keep their end.
    """
    return "\n".join(endings.log_lines(folder, lines))


def _job(folder: Path, record: Record, turns: Sequence[int]) -> Job:
    record = _as_it_is(folder, record)
    silent = _silence(folder, record) if record.state == RUNNING else ""
    return Job(
        folder=folder,
        name=folder.name,
        state=SILENT if silent else record.state,
        command=record.command,
        created=record.created,
        started=record.started,
        ended=record.ended,
        position=turns.index(record.turn) + 1 if record.turn in turns else 0,
        reason=silent or record.reason,
        advice=f"Stop it and resume. {RESUME}" if silent else record.advice,
        stopping=record.state == RUNNING and record.stop_asked is not None,
    )


def _as_it_is(folder: Path, record: Record) -> Record:
    while _is_gone(record):
        # It may have written its end, or begun anew, between the two looks.
        again = queues.read_record(folder) or record
        if again == record:
            return queues.settled(folder, record)
        record = again
    return record


def _is_gone(record: Record) -> bool:
    return record.state == RUNNING and not queues.is_live(record)


def _silence(folder: Path, record: Record) -> str:
    running = time.time() - (record.started or record.created)
    said = disk.age(folder / STATUS)
    # A sign from before it was resumed says nothing of it now.
    seconds, limit = (
        (said, _patience(folder)) if said < running else (running, SILENT_SECONDS)
    )
    if seconds <= limit:
        return ""
    minutes = int(seconds // 60)
    return f"It has said nothing for {minutes} minute{'s' if minutes > 1 else ''}."


def _patience(folder: Path) -> float:
    status = heartbeat.read_status(folder)
    return max(SILENT_SECONDS, status.patience if status else 0.0)


def _needs_care(records: Sequence[Record]) -> bool:
    return any(r.state in (QUEUED, RUNNING) for r in records) and not any(
        queues.is_live(record) for record in records
    )


def _tend(queue: Path) -> None:
    """Ends records of vanished jobs, starts the next; unless another process does."""
    try:
        with queues.locked(queue, 0):
            queues.start_next(queue)
    except JobError as error:
        logger.debug("%s", error.message)
    except OSError as error:
        # Who only looks must not fail by a disk that is full or read-only.
        logger.warning("The queue can't go on: %s", error.strerror)


def _existing(folder: Path) -> Job:
    job = read(folder)
    if job is None:
        raise _no_job(folder)
    return job


def _no_job(folder: Path) -> JobError:
    return JobError(f"There is no job {folder.name}.", code="no-job")


def _queued(folder: Path, command: Sequence[str], earlier: Record | None) -> Record:
    others = queues.records(folder.parent).values()
    number = earlier.number if earlier else 0
    return Record(
        command=tuple(command),
        token=uuid.uuid4().hex,
        number=number or 1 + max((other.number for other in others), default=0),
        turn=1 + max((other.turn for other in others), default=0),
        created=earlier.created if earlier else time.time(),
    )


def _put_back(folder: Path, earlier: Record | None) -> None:
    try:
        if earlier:
            queues.write_record(folder, earlier)
        else:
            (folder / queues.RECORD).unlink(missing_ok=True)
    except OSError as error:
        logger.warning("%s stays queued: %s", folder.name, error.strerror)


def _ask_to_stop(folder: Path, record: Record) -> None:
    asked = replace(record, stop_asked=record.stop_asked or time.time())
    supervisor = record.supervisor
    if supervisor is None or not processes.is_alive(supervisor, record.token):
        # Somebody killed it; a new one ends what it left behind.
        queues.supervise(folder, asked)
        return
    if record.stop_asked:
        return
    try:
        queues.write_record(folder, asked)
    except OSError as error:
        # Stop has to work on a full disk.
        logger.warning("Stop can't be written down: %s", error.strerror)
    try:
        processes.send(supervisor, signal.SIGTERM)
    except PermissionError as error:
        raise JobError(
            f"Another user of this machine started {folder.name}; only they can stop "
            "it.",
            code="not-allowed",
        ) from error


def _check_deletable(folder: Path) -> None:
    record = queues.read_record(folder)
    if record is None and not any((folder / n).is_file() for n in (CONFIG, STATUS)):
        raise _no_job(folder)
    # Without a record the command line made it, and may be at it still.
    busy = record is None and disk.age(folder / STATUS) <= _patience(folder)
    if busy or (record and (record.state == QUEUED or queues.is_live(record))):
        raise JobError(
            f"{folder.name} runs or waits. Stop it before you delete it.",
            code="already-running",
        )


@contextlib.contextmanager
def _changing(folder: Path) -> Iterator[None]:
    """Holds the queue's lock; an error of the disk becomes one with a sentence."""
    with _named_errors(folder), queues.locked(folder.parent):
        yield


@contextlib.contextmanager
def _named_errors(folder: Path) -> Iterator[None]:
    try:
        with disk.writing(folder):
            yield
    except JobError:
        raise
    except CxrError as error:
        raise JobError(error.message, code=error.code) from error
    except OSError as error:
        raise JobError(
            f"The folder {folder.name} can't be read or changed: {error.strerror}.",
            code="job-folder",
        ) from error
