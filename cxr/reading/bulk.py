"""An archive of films scored into one table, however often it is stopped.

It owns the journal: a file beside the table, with a line for what is scored with what
and a line for each film that is done. A line is written in one piece behind the others,
so whoever ends the process, a film is done or it is not; a last line that was cut off
counts for nothing. The table is made of the journal in one step at the end.
"""

import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

from cxr import disk, documents
from cxr.errors import CxrError, ImageError
from cxr.films.decoding import DecoderPool
from cxr.models.inference import Model
from cxr.models.lungs import LungNetwork
from cxr.reading import archive_tables, cases, scoring
from cxr.reading.archive_tables import REFUSED, SCORED, Row
from cxr.reading.scoring import Reading
from cxr.records import actors, audit

SCORED_ARCHIVE = "score archive"  # the action in the audit trail
JOURNAL = ".journal"  # follows the name of the table
_LINE_BREAK = b"\n"


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is scored, with what: a journal goes on only with the same.

    Attributes:
        input: the archive's folder.
        model_id: of the model.
        model_sha256: of its network's weights.
        lungs_sha256: of the lung network's weights.
        threshold: the reader's operating point, `(0, 1)`.
    """

    input: str
    model_id: str
    model_sha256: str
    lungs_sha256: str
    threshold: float


_Kind = TypeVar("_Kind", Task, Row)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of an archive.

    Attributes:
        films: how many there are.
        before: how many of them an earlier run had done.
        scored: how many have a score, over all runs.
        refused: how many were refused, likewise.
    """

    films: int
    before: int
    scored: int
    refused: int


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far an archive is: `done` of `total`, `before` of them by earlier runs."""

    done: int
    total: int
    before: int
    seconds: float

    @property
    def seconds_left(self) -> float:
        """Seconds to the end at the speed of this run; infinite before its start."""
        read = self.done - self.before
        return self.seconds / read * (self.total - self.done) if read else float("inf")


def score(
    task: Task,
    output: Path,
    films: Sequence[Path],
    model: Model,
    pool: DecoderPool,
    *,
    lungs: LungNetwork,
    records_dir: Path,
    actor: str,
    progress: Callable[[Progress], None] = lambda so_far: None,
) -> Outcome:
    """Scores each film of an archive once and writes the table.

    The audit trail says who has how many films scored; the history keeps none of them.
    A film that an earlier run has done stays as it is, whether or not its file has
    changed.

    Args:
        task: what is scored; of `model` and `lungs`.
        output: the table; ends in .csv or .parquet.
        films: below the folder of the task.
        model: ready to score.
        pool: decodes the films.
        lungs: says which films may be scored.
        records_dir: of the audit trail.
        actor: who has them scored.
        progress: told before the first film and after each.

    Raises:
        CxrError: that person may not read films (code `not-allowed`), the table is
            there without its journal, was begun with something else, is being written
            by another process, or the disk is full.
    """
    actors.require(records_dir, actor, actors.READ)
    archive_tables.require_format(output)
    root = Path(task.input)
    with disk.writing(output.parent), _journal(output, task) as journal:
        done = {row.path for row in _rows(journal.name)}
        names = [str(path.relative_to(root)) for path in films]
        waiting = [name for name in names if name not in done]
        before, started = len(names) - len(waiting), time.perf_counter()

        def tell(count: int) -> None:
            seconds = time.perf_counter() - started
            done = before + count
            progress(
                Progress(done=done, total=len(names), before=before, seconds=seconds)
            )

        details = {"films": len(names), "done": before}
        audit.record(
            records_dir,
            SCORED_ARCHIVE,
            actor=actor,
            model_id=task.model_id,
            details=details,
        )
        tell(0)
        rows = _scored(task, waiting, model, pool, lungs)
        for count, row in enumerate(rows, 1):
            _append(journal, asdict(row))
            tell(count)
        os.fsync(journal.fileno())
        archive_tables.write(output, _rows(journal.name))
        return _outcome(len(names), before, _rows(journal.name))


def _outcome(films: int, before: int, rows: Iterable[Row]) -> Outcome:
    refused = [row.status == REFUSED for row in rows]
    return Outcome(
        films=films,
        before=before,
        scored=len(refused) - sum(refused),
        refused=sum(refused),
    )


def _scored(
    task: Task,
    names: Sequence[str],
    model: Model,
    pool: DecoderPool,
    lungs: LungNetwork,
) -> Iterator[Row]:
    hashes: deque[str] = deque()
    contents = scoring.contents(Path(task.input, name) for name in names)
    readings = scoring.score(model, pool, scoring.hashed(contents, hashes), lungs=lungs)
    for name, reading in zip(names, readings, strict=True):
        yield _row(task, name, hashes.popleft(), reading, model)


def _row(task: Task, name: str, sha256: str, reading: Reading, model: Model) -> Row:
    result, likeness = reading.result, reading.likeness
    refused = isinstance(result, ImageError)
    return Row(
        path=name,
        sha256=sha256,
        status=REFUSED if refused else SCORED,
        code=result.code if isinstance(result, ImageError) else "",
        answer=cases.answer(reading, model, task.threshold),
        probability=None if isinstance(result, ImageError) else result.probability,
        threshold=task.threshold,
        model_id=task.model_id,
        model_sha256=task.model_sha256,
        frontal=likeness.frontal if likeness else None,
        unlike=likeness.unlike if likeness else None,
        cautions=" ".join(reading.cautions + reading.warnings),
        seconds=round(reading.seconds, 4),
    )


@contextmanager
def _journal(output: Path, task: Task) -> Iterator[BinaryIO]:
    """Opens the journal of a table for this process alone, after its last whole line.

    Raises:
        CxrError: as `score`.
    """
    path = output.with_name(output.name + JOURNAL)
    if output.exists() and not path.exists():
        raise CxrError(
            f"{output.name} is there already and no journal of it: it would be "
            "overwritten. Choose another file.",
            code="output-exists",
        )
    with path.open("a+b", buffering=0) as raw:
        _lock(raw, output)
        for draft in output.parent.glob(f".{output.name}.*.draft"):
            draft.unlink()  # of a process that was killed
        _drop_cut_line(raw)
        begun = _task(path)
        if begun is None:
            _append(raw, asdict(task))
        elif begun != task:
            raise _other_task(output, begun, task)
        yield raw


def _lock(journal: BinaryIO, output: Path) -> None:
    """Holds the journal until it is closed, or the process ends in whatever way."""
    if not disk.lock(journal):
        raise CxrError(
            f"{output.name} is being written by another process. Wait for it, or "
            "choose another file.",
            code="output-in-use",
        )


def _drop_cut_line(journal: BinaryIO) -> None:
    """Cuts off what follows the last line break."""
    size = end = journal.seek(0, os.SEEK_END)
    while end > 0:
        start = max(0, end - 65_536)
        journal.seek(start)
        place = journal.read(end - start).rfind(_LINE_BREAK)
        if place >= 0:
            end = start + place + 1
            break
        end = start
    if end < size:
        journal.truncate(end)


def _append(journal: BinaryIO, content: dict[str, object]) -> None:
    line = json.dumps(documents.plain(content), allow_nan=False).encode()
    rest = memoryview(line + _LINE_BREAK)
    while rest:
        rest = rest[journal.write(rest) :]


def _task(path: Path) -> Task | None:
    """Returns what a journal was begun for, None if it is empty."""
    with path.open(encoding="utf-8") as file:
        first = file.readline()
    return _parsed(first, Task) if first else None


def _rows(name: str) -> Iterator[Row]:
    """Yields the films of a journal, one after the other."""
    with open(name, encoding="utf-8") as file:
        file.readline()
        for line in file:
            yield _parsed(line, Row)


def _parsed(line: str, kind: type[_Kind]) -> _Kind:
    try:
        return kind(**json.loads(line))
    except (ValueError, TypeError) as error:
        raise CxrError(
            "The journal is damaged. Choose another file.", code="damaged-journal"
        ) from error


def _other_task(output: Path, begun: Task, task: Task) -> CxrError:
    words = {
        "input": "another folder",
        "model_id": f"model {begun.model_id}",
        "model_sha256": "other weights of the model",
        "lungs_sha256": "another lung network",
        "threshold": f"threshold {begun.threshold:g}",
    }
    now = asdict(task)
    others = [words[k] for k, value in asdict(begun).items() if value != now[k]]
    return CxrError(
        f"{output.name} was begun with {', '.join(others)}. Go on with the same, or "
        "choose another file.",
        code="other-task",
    )
