"""What was kept, found again: cases by a query, their number, columns of figures."""

import re
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cxr.records import actors, events
from cxr.records.history import no_case
from cxr.records.kept import Event, KeptCase

Cursor = tuple[str, int]
Part = tuple[str, tuple[Any, ...]]  # of a condition, with its values


@dataclass(frozen=True, kw_only=True)
class Query:
    """Which cases are wanted; what is left empty limits nothing.

    Attributes:
        text: the first characters of a case's id, or words of a review's reason.
        since: read at or after that time, with a time zone.
        until: read before that time, likewise.
        answers: the answers.
        opinions: of the newest review; an empty one for cases without a review.
        model_id: of the model.
        reader: who had the film read.
        worklist: the list that it was read in.
        patient: keyed hash of the patient.
        film: keyed hash of the film.
        disagreement: whether the reader contradicts the answer.
        sample: whether the film is one of the samples that ship.
    """

    text: str = ""
    since: datetime | None = None
    until: datetime | None = None
    answers: Sequence[str] = ()
    opinions: Sequence[str] = ()
    model_id: str = ""
    reader: str = ""
    worklist: str = ""
    patient: str = ""
    film: str = ""
    disagreement: bool | None = None
    sample: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How many cases there are.

    Attributes:
        answers: cases by their answer.
        reviewed: cases with a review.
        disagreements: cases in which the reader contradicts the answer.
    """

    answers: dict[str, int]
    reviewed: int
    disagreements: int

    @property
    def cases(self) -> int:
        """All of them."""
        return sum(self.answers.values())


@dataclass(frozen=True, kw_only=True)
class Series:
    """Columns of figures, an item a case, the oldest first.

    Attributes:
        case_id: of the case.
        time: of the reading, UTC, ISO 8601.
        film: keyed hash of the film, or empty.
        patient: keyed hash of the patient, or empty.
        model_id: of the model.
        model_sha256: of its weights.
        threshold: that the film was read at.
        answer: of the model.
        code: of a refusal, or empty.
        probability: None for a refused film, as the logit.
        logit: of the score.
        frontal: the gate's logit of an upright frontal chest film, or None.
        unlike: its logit of another patient than the training films show, or None.
        brightness: mean grey level, or None.
        contrast: standard deviation of the grey levels, or None.
        opinion: of the newest review, or empty.
        pneumonia: whether that reader sees pneumonia; None where it isn't said.
    """

    case_id: tuple[str, ...]
    time: tuple[str, ...]
    film: tuple[str, ...]
    patient: tuple[str, ...]
    model_id: tuple[str, ...]
    model_sha256: tuple[str, ...]
    threshold: tuple[float, ...]
    answer: tuple[str, ...]
    code: tuple[str, ...]
    probability: tuple[float | None, ...]
    logit: tuple[float | None, ...]
    frontal: tuple[float | None, ...]
    unlike: tuple[float | None, ...]
    brightness: tuple[float | None, ...]
    contrast: tuple[float | None, ...]
    opinion: tuple[str, ...]
    pneumonia: tuple[bool | None, ...]

    def __len__(self) -> int:
        """Returns the number of cases."""
        return len(self.case_id)


_AT_ONCE = 1_000  # cases that are held at a time
_COLUMNS = tuple(field.name for field in fields(Series))


def require_sight(records_dir: Path, *, actor: str) -> None:
    """Makes sure that somebody may see what was read.

    Args:
        records_dir: of the history.
        actor: who is about to look.

    Raises:
        CxrError: that person may not (code `not-allowed`).
    """
    actors.require(records_dir, actor, actors.SEE_HISTORY)


def cases(
    records_dir: Path,
    query: Query = Query(),  # noqa: B008
    *,
    limit: int = 50,
    before: Cursor | None = None,
) -> list[KeptCase]:
    """Returns the cases that a query wants, the newest first.

    Args:
        records_dir: of the history.
        query: which cases.
        limit: at most so many.
        before: only cases older than this one, `cursor_of` the last that was shown.

    Raises:
        CxrError: the history can't be read.
    """
    wanted, values = _condition(query)
    if before is not None:
        wanted, values = f"{wanted} AND (time, number) < (?, ?)", [*values, *before]
    statement = (
        f"SELECT case_id FROM cases WHERE {wanted} "
        f"ORDER BY time DESC, number DESC LIMIT {limit:d}"
    )
    with events.reading(records_dir) as database:
        return [] if database is None else _cases(database, statement, values)


def every(records_dir: Path, query: Query) -> Iterator[KeptCase]:
    """Yields all cases that a query wants, the newest first; few are held at a time.

    Raises:
        CxrError: the history can't be read.
    """
    before = None
    while some := cases(records_dir, query, limit=_AT_ONCE, before=before):
        yield from some
        before = cursor_of(some[-1])


def cursor_of(case: KeptCase) -> Cursor:
    """Returns the place of a case in the order of `cases`."""
    return case.time, case.number


def count(records_dir: Path, query: Query = Query()) -> Counts:  # noqa: B008
    """Returns how many cases a query wants, by answer and by review.

    Raises:
        CxrError: the history can't be read.
    """
    wanted, values = _condition(query)
    statement = (
        "SELECT answer, sum(cases), sum(cases * (opinion != '')), "
        f"sum(cases * disagreement) FROM {_counted_in(query)} "
        f"WHERE cases AND {wanted} GROUP BY answer"
    )
    with events.reading(records_dir) as database:
        rows = [] if database is None else database.execute(statement, values)
        counted = [tuple(row) for row in rows]
    return Counts(
        answers={answer: number for answer, number, _, _ in counted},
        reviewed=sum(reviewed for _, _, reviewed, _ in counted),
        disagreements=sum(disputed for _, _, _, disputed in counted),
    )


def by_day(
    records_dir: Path,
    query: Query = Query(),  # noqa: B008
) -> dict[str, dict[str, int]]:
    """Returns how many cases of each day, UTC, got which answer, the oldest day first.

    Raises:
        CxrError: the history can't be read.
    """
    wanted, values = _condition(query)
    statement = (
        f"SELECT substr(time, 1, 10) AS day, answer, count(*) FROM cases "
        f"WHERE {wanted} GROUP BY day, answer ORDER BY day"
    )
    days: dict[str, dict[str, int]] = {}
    with events.reading(records_dir) as database:
        for day, answer, number in (
            [] if database is None else database.execute(statement, values)
        ):
            days.setdefault(day, {})[answer] = number
    return days


def readers(records_dir: Path) -> list[str]:
    """Returns who has had films read, in alphabetical order.

    Raises:
        CxrError: the history can't be read.
    """
    return _distinct(records_dir, "reader")


def models(records_dir: Path) -> list[str]:
    """Returns the ids of the models that have read films, in alphabetical order.

    Raises:
        CxrError: the history can't be read.
    """
    return _distinct(records_dir, "model_id")


def case(records_dir: Path, case_id: str) -> KeptCase:
    """Returns one case.

    Raises:
        CxrError: there is none (code `no-case`), or the history can't be read.
    """
    with events.reading(records_dir) as database:
        kept = None if database is None else events.find(database, case_id)
    if kept is None:
        raise no_case(case_id)
    return kept


def events_of(records_dir: Path, case_id: str) -> list[Event]:
    """Returns all that happened to a case, in order, its deletion too.

    Raises:
        CxrError: the history can't be read.
    """
    with events.reading(records_dir) as database:
        if database is None:
            return []
        return events.events_of(database, [case_id])[case_id]


def worklist(records_dir: Path, worklist: str) -> list[KeptCase]:
    """Returns the cases of one list, in the order in which they were read.

    Raises:
        CxrError: the history can't be read.
    """
    statement = (
        "SELECT case_id FROM cases WHERE worklist = ? AND worklist != '' "
        "ORDER BY number"
    )
    with events.reading(records_dir) as database:
        return [] if database is None else _cases(database, statement, [worklist])


def series(
    records_dir: Path,
    query: Query = Query(),  # noqa: B008
    *,
    skip: int = 0,
) -> Series:
    """Returns the figures of the cases that a query wants, the oldest first.

    Args:
        records_dir: of the history.
        query: which cases.
        skip: leaves out so many of the oldest ones.

    Raises:
        CxrError: the history can't be read.
    """
    wanted, values = _condition(query)
    statement = (
        f"SELECT {', '.join(_COLUMNS)} FROM cases WHERE {wanted} ORDER BY time, number "
        f"LIMIT -1 OFFSET {skip:d}"
    )
    with events.reading(records_dir) as database:
        found = [] if database is None else database.execute(statement, values)
        rows = list(found)
    columns = dict(zip(_COLUMNS, zip(*rows, strict=True), strict=True)) if rows else {}
    said = columns.pop("pneumonia", ())
    return Series(
        **{name: columns.get(name, ()) for name in _COLUMNS if name != "pneumonia"},
        pneumonia=tuple(None if item is None else bool(item) for item in said),
    )


def _distinct(records_dir: Path, column: str) -> list[str]:
    # Steps from value to value along the index; DISTINCT would read all of it.
    statement = (
        f"WITH RECURSIVE steps(value) AS (SELECT min({column}) FROM cases UNION ALL "
        f"SELECT (SELECT min({column}) FROM cases WHERE {column} > value) FROM steps "
        "WHERE value IS NOT NULL) SELECT value FROM steps WHERE value IS NOT NULL"
    )
    with events.reading(records_dir) as database:
        found = [] if database is None else database.execute(statement)
        return [value for (value,) in found]


def _cases(
    database: sqlite3.Connection, statement: str, values: Sequence[Any]
) -> list[KeptCase]:
    case_ids = [case_id for (case_id,) in database.execute(statement, values)]
    return [events.case_of(e) for e in events.events_of(database, case_ids).values()]


def _condition(query: Query) -> tuple[str, list[Any]]:
    """Returns what follows WHERE, and its values."""
    parts = [("1", ()), *_exactly(query), *_one_of(query), *_whether(query)]
    for column, time in (("time >= ?", query.since), ("time < ?", query.until)):
        if time is not None:
            stamp = time.astimezone(UTC).isoformat(timespec="milliseconds")
            parts.append((column, (stamp,)))
    if query.text.strip():
        parts.append(_text(query.text))
    wanted = " AND ".join(condition for condition, _ in parts)
    return wanted, [value for _, values in parts for value in values]


def _counted_in(query: Query) -> str:
    """Returns the table that a query's cases are counted in."""
    limited = (query.text.strip(), query.since, query.until)
    if any(limited) or query.worklist or query.patient or query.film:
        return "(SELECT *, 1 AS cases FROM cases)"
    return "tally"


def _exactly(query: Query) -> Iterator[Part]:
    for name in ("model_id", "reader", "worklist", "patient", "film"):
        if text := getattr(query, name):
            yield f"{name} = ?", (text,)


def _one_of(query: Query) -> Iterator[Part]:
    for column, choices in (("answer", query.answers), ("opinion", query.opinions)):
        if choices:
            yield f"{column} IN ({', '.join('?' * len(choices))})", tuple(choices)
    if query.opinions and "" not in query.opinions:
        yield "opinion != ''", ()  # which the index of reviewed cases is for


def _whether(query: Query) -> Iterator[Part]:
    for column in ("disagreement", "sample"):
        wanted = getattr(query, column)
        if wanted is not None:
            yield (column if wanted else f"NOT {column}"), ()


def _text(text: str) -> Part:
    """Returns the condition that an id begins so, or a reason has all the words."""
    words = text.casefold().split()
    has = " AND ".join(["words != ''", *["instr(words, ?)"] * len(words)])
    found = [f"SELECT number FROM cases WHERE {has}"]
    values = list(words)
    if re.fullmatch("[0-9a-f]{1,16}", text.strip().lower()):
        found.append("SELECT number FROM cases WHERE case_id >= ? AND case_id < ?")
        begin = text.strip().lower()
        values += [begin, f"{begin}g"]  # no digit comes after f
    return f"number IN ({' UNION '.join(found)})", tuple(values)
