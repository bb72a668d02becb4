"""Why a job ended, from its exit code and the last lines of its log."""

import re
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cxr import disk
from cxr.jobs import heartbeat

DONE, STOPPED, FAILED, LOST = "done", "stopped", "failed", "lost"

LOG = "log.txt"
LOG_BYTES = 65_536  # of the end of a log; more is never read
LINE_LETTERS = 500

_ESCAPES = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|.)")
_NAMED = re.compile(r"(?P<sentence>.+) \[(?P<code>[a-z0-9]+(-[a-z0-9]+)*)\]")
_FULL = re.compile(r"No space left on device|ENOSPC|Errno 28\b|Disk quota exceeded")
_MEMORY = re.compile(
    r"ResourceExhausted|OOM when allocating|OUT_OF_MEMORY|out of memory"
    r"|MemoryError|bad_alloc|Cannot allocate memory"
)
_BROKEN = re.compile(r"Traceback \(most recent call last\)|No module named")

SPACE_ADVICE = "Free some space, for example by deleting old runs, then resume."
RESUME = "Resume goes on from what was stored last."
LESS_MEMORY = (
    "Close other programs and resume. A training needs less memory with a smaller "
    "batch and more accumulated steps in its place, or with a smaller network."
)
# The sentences of these errors say the rest.
ADVICE = {
    disk.FULL: SPACE_ADVICE,
    "out-of-memory": "Closing other programs and resuming may do as well.",
}

_NEARLY_NOTHING = 1_000_000  # bytes


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a job ended.

    Attributes:
        state: `DONE`, `STOPPED`, `FAILED` or `LOST`.
        reason: a sentence why it failed or was lost, else empty.
        advice: a sentence what to do then, else empty.
    """

    state: str
    reason: str = ""
    advice: str = ""


def ending(code: int, lines: Sequence[str], free_bytes: int) -> Ending:
    """Returns how a command ended, when it was not stopped on request.

    Args:
        code: its exit code; negative for the signal that ended it.
        lines: the last ones that it wrote.
        free_bytes: of the disk that it wrote to.
    """
    text = "\n".join(lines)
    # Python too ends with 1, when a program breaks.
    if code == 0 or (code == 1 and not _BROKEN.search(text)):
        return Ending(state=DONE)
    named = _named(lines) if code == 2 else None
    if named:
        advice = ADVICE.get(named["code"], "Change what it names, then resume.")
        return _failed(named["sentence"], advice)
    if _FULL.search(text):
        return _failed(_full_sentence(free_bytes), SPACE_ADVICE)
    if _MEMORY.search(text):
        return _failed("The memory of the machine or its GPU ran out.", LESS_MEMORY)
    if code in (-signal.SIGKILL, 128 + signal.SIGKILL):
        return _failed(
            "Memory ran out, most likely: the system ended the process.", LESS_MEMORY
        )
    if code < 0:
        return _failed(f"It was ended from outside ({_name(-code)}).", RESUME)
    return _failed(
        f"It ended with an error (exit code {code}).",
        "The last lines of its log say more. " + RESUME,
    )


def cannot_start(error: OSError) -> Ending:
    """Returns the ending of a job whose command could not be started."""
    return _failed(f"The command can't be started: {error.strerror}.", RESUME)


def vanished(folder: Path, *, spoke: bool, was_stopped: bool) -> Ending:
    """Returns the ending of a job that is gone and whose supervisor wrote none.

    Args:
        folder: of the job.
        spoke: whether its `status.json` is of this attempt.
        was_stopped: whether it had been asked to stop.
    """
    status = heartbeat.read_status(folder)
    if spoke and status and status.stage == heartbeat.DONE:
        return Ending(state=DONE)
    if was_stopped:
        return Ending(state=STOPPED)
    free = disk.free(folder)
    if free < _NEARLY_NOTHING:
        return Ending(state=LOST, reason=_full_sentence(free), advice=SPACE_ADVICE)
    return Ending(
        state=LOST,
        reason="It vanished without a word: memory ran short, somebody killed it, or "
        "the machine went down.",
        advice=RESUME,
    )


def log_lines(folder: Path, count: int, *, start: int = 0) -> list[str]:
    """Returns the last lines of a job's log, without control characters.

    No more than the last `LOG_BYTES` are read; a line keeps its last `LINE_LETTERS`.

    Args:
        folder: of the job.
        count: how many lines at most.
        start: where to begin, in bytes; what is before belongs to an earlier attempt.
    """
    try:
        with (folder / LOG).open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(start, size - LOG_BYTES))
            text = file.read(LOG_BYTES).decode("utf-8", errors="replace")
    except OSError:
        return []
    lines = [_printable(line) for line in text.split("\n")]
    return [line for line in lines if line.strip()][-count:] if count > 0 else []


def _printable(line: str) -> str:
    # A progress bar writes over itself: what stands last is what one would see.
    line = _ESCAPES.sub("", line.rstrip("\r")).rpartition("\r")[2].expandtabs(4)
    return "".join(c for c in line if c.isprintable())[-LINE_LETTERS:]


def _full_sentence(free_bytes: int) -> str:
    return f"The disk is full: {disk.in_words(free_bytes)} are free."


def _named(lines: Sequence[str]) -> re.Match[str] | None:
    # Libraries may still say something when the program is over.
    matches = [_NAMED.fullmatch(line.strip()) for line in lines[-5:]]
    return next((match for match in reversed(matches) if match), None)


def _failed(reason: str, advice: str) -> Ending:
    return Ending(state=FAILED, reason=reason, advice=advice)


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
