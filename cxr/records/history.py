"""The acts of the history: keep a reading, review it, add to it, delete it.

Each act is on the disk when it returns, or raises and has done nothing. How the cases
are searched is `cxr.records.search`.
"""

import logging
import math
import re
import secrets
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cxr.errors import CxrError
from cxr.records import actors, audit, events, films, keys
from cxr.records.chain import clean
from cxr.records.kept import (
    ADDITION,
    CONTEXT_NAMES,
    DELETION,
    OPINIONS,
    READING,
    REVIEW,
    KeptCase,
    KeptReading,
    case_of,
    seen,
)

CASE_DELETED, CASES_EXPIRED = actors.DELETE_CASE, actors.EXPIRE
MAX_REASON_CHARACTERS = 2_000
SETTING = "CXR_KEEP_DAYS"  # who deletes what is past its time, for the trails
_AT_ONCE = 200  # cases that are deleted in one transaction

logger = logging.getLogger(__name__)


def keep(
    records_dir: Path,
    reading: KeptReading,
    *,
    actor: str,
    picture: bytes | None = None,
    context: Mapping[str, float | None] | None = None,
    stability: Mapping[str, Any] | None = None,
    evidence: Mapping[str, Any] | None = None,
) -> str:
    """Keeps a reading or a refusal as a new case, and returns the case's id.

    Any number of processes may do this at the same time.

    Args:
        records_dir: of the history; made if it isn't there.
        reading: its `film` and `patient` are the plain digests: only hashes of them
            under the site's secret are kept.
        actor: who had the film read.
        picture: of the film, a grey PNG file without metadata; None to keep none.
        context: what is known already, as in `add`.
        stability: likewise.
        evidence: likewise.

    Raises:
        CxrError: code `not-allowed`, `records-read-only`, `records-folder`,
            `records-damaged`, `records-newer`, `records-busy`, `history-key` or
            `disk-full`. Nothing was kept.
    """
    added = _additions(context, stability, evidence)
    actors.require(records_dir, actor, actors.READ)
    case_id = secrets.token_hex(8)
    try:
        with events.writing(records_dir) as database:
            first = events.CHAIN.last(database)[0] == 0
            kept = _under_key(keys.secret(records_dir, first=first), reading)
            event = events.append(database, READING, case_id, actor, content_of(kept))
            happened = [event]
            if added:
                happened.append(
                    events.append(database, ADDITION, case_id, actor, added)
                )
            events.index(database, case_of(happened))
            if picture is not None:
                films.store(records_dir, case_id, picture)
    except BaseException:
        if picture is not None:
            with suppress(OSError):
                films.remove(records_dir, case_id)
        raise
    return case_id


def review(
    records_dir: Path,
    case_id: str,
    opinion: str,
    *,
    actor: str,
    reason: str = "",
    pneumonia: bool | None = None,
    answer: str = "",
    blind: bool = False,
) -> KeptCase:
    """Adds a reader's review to a case and returns the case; earlier ones stay.

    Args:
        records_dir: of the history.
        case_id: of the case.
        opinion: on the model's answer, one of `OPINIONS`; an empty one takes the
            newest review back.
        actor: whose review it is.
        reason: in the reader's words.
        pneumonia: whether the reader sees pneumonia, where opinion and answer don't
            say it already.
        answer: that the review is on, where the threshold was moved since the reading;
            empty for the answer of the reading.
        blind: whether the reader said it before the answer was shown.

    Raises:
        CxrError: that person may not (code `not-allowed`), there is no such case
            (code `no-case`), opinion and `pneumonia` contradict each other (code
            `review`), or the history can't be written.
        ValueError: there is no such opinion.
    """
    if opinion not in OPINIONS:
        raise ValueError(f"expected one of {OPINIONS}, received {opinion=}")
    actors.require(records_dir, actor, actors.REVIEW)
    with events.writing(records_dir) as database:
        case = _found(database, case_id)
        on = answer or case.reading.answer
        content = {
            "opinion": opinion,
            "pneumonia": seen(on, opinion, pneumonia),
            "answer": on,
            "blind": blind,
            "reason": clean(reason.strip(), MAX_REASON_CHARACTERS),
        }
        return _added(database, REVIEW, case_id, actor, content)


def add(
    records_dir: Path,
    case_id: str,
    *,
    actor: str,
    context: Mapping[str, float | None] | None = None,
    stability: Mapping[str, Any] | None = None,
    evidence: Mapping[str, Any] | None = None,
) -> KeptCase:
    """Adds to a case what was asked of it or is known besides; returns the case.

    What is given takes the place of what was there; what is None stays.

    Args:
        records_dir: of the history.
        case_id: of the case.
        actor: who adds it.
        context: numbers by the names of `CONTEXT_NAMES`.
        stability: of the answer under small changes, what JSON can hold.
        evidence: where in the lungs the evidence lies, likewise.

    Raises:
        CxrError: that person may not (code `not-allowed`), there is no such case
            (code `no-case`), or the history can't be written.
        ValueError: the context is no such numbers.
    """
    content = _additions(context, stability, evidence)
    actors.require(records_dir, actor, actors.READ)
    with events.writing(records_dir) as database:
        _found(database, case_id)
        return _added(database, ADDITION, case_id, actor, content)


def _additions(
    context: Mapping[str, float | None] | None,
    stability: Mapping[str, Any] | None,
    evidence: Mapping[str, Any] | None,
) -> dict[str, Any]:
    given: dict[str, Any] = {"stability": stability, "evidence": evidence}
    if context is not None:
        given["context"] = _numbers(context)
    return {name: dict(value) for name, value in given.items() if value is not None}


def unlist(records_dir: Path, case_ids: Sequence[str], *, actor: str) -> None:
    """Takes cases off the list that they were read in; the cases stay.

    Args:
        records_dir: of the history.
        case_ids: of the cases; one that is not there any more is passed over.
        actor: who takes them off.

    Raises:
        CxrError: that person may not (code `not-allowed`), or the history can't be
            written.
    """
    actors.require(records_dir, actor, actors.READ)
    with events.writing(records_dir) as database:
        for case_id in case_ids:
            if events.find(database, case_id) is not None:
                _added(database, ADDITION, case_id, actor, {"listed": False})


def delete(records_dir: Path, case_id: str, *, actor: str, reason: str) -> None:
    """Deletes a case: what was kept of it, its film, and copies that hold it.

    That it was deleted, by whom, when and why stays in the history, and in the audit
    trail without the reason.

    Args:
        records_dir: of the history.
        case_id: of the case.
        actor: who deletes it.
        reason: why, in the words of that person; nothing of a patient.

    Raises:
        CxrError: that person may not (code `not-allowed`), there is no such case
            (code `no-case`) or no reason (code `reason`), or the history or the audit
            trail can't be written.
    """
    actors.require(records_dir, actor, actors.DELETE_CASE)
    if not reason.strip():
        raise CxrError("Say why the case is deleted.", code="reason")
    with events.reading(records_dir) as database:
        _found(database, case_id)
    audit.record(records_dir, CASE_DELETED, actor=actor, details={"case_id": case_id})
    _delete(records_dir, [case_id], actor, reason)
    _sweep(records_dir)


def expire(records_dir: Path, days: int, *, actor: str) -> int:
    """Deletes the cases that were read longer ago than a site keeps them.

    Args:
        records_dir: of the history.
        days: for which cases are kept, at least 1.
        actor: who asks for it.

    Returns:
        How many were deleted.

    Raises:
        CxrError: that person may not (code `not-allowed`), or the history or the audit
            trail can't be written.
        ValueError: `days` is less than 1.
    """
    if days < 1:
        raise ValueError(f"expected at least 1 day, received {days=}")
    actors.require(records_dir, actor, actors.EXPIRE)
    return _expire(records_dir, days, actor)


def expire_by_setting(records_dir: Path, days: int) -> int:
    """Deletes the cases that are past the time that the site has set; asks nobody.

    Whoever runs the app has said how long cases are kept, and is no person of a role.

    Args:
        records_dir: of the history.
        days: of the setting, at least 1.

    Returns:
        How many were deleted.

    Raises:
        CxrError: the history or the audit trail can't be written.
    """
    return _expire(records_dir, days, SETTING)


def _expire(records_dir: Path, days: int, actor: str) -> int:
    before = datetime.now(UTC) - timedelta(days=days)
    limit = before.isoformat(timespec="milliseconds")
    with events.reading(records_dir) as database:
        old = "SELECT case_id FROM cases WHERE time < ? ORDER BY time"
        rows = [] if database is None else database.execute(old, (limit,)).fetchall()
    due = [case_id for (case_id,) in rows]
    if due:
        details = {"cases": len(due), "days": days, "before": limit}
        audit.record(records_dir, CASES_EXPIRED, actor=actor, details=details)
    reason = f"kept for {days} days"
    for start in range(0, len(due), _AT_ONCE):
        _delete(records_dir, due[start : start + _AT_ONCE], actor, reason)
    _sweep(records_dir)
    return len(due)


def _delete(records_dir: Path, case_ids: list[str], actor: str, reason: str) -> None:
    content = {"reason": clean(reason.strip(), MAX_REASON_CHARACTERS)}
    with events.writing(records_dir) as database:
        for case_id in case_ids:
            if events.find(database, case_id) is None:
                continue  # Somebody else was first.
            events.empty(database, case_id)
            events.append(database, DELETION, case_id, actor, content)
    with events.HISTORY.named_errors(records_dir):
        for case_id in case_ids:
            films.remove(records_dir, case_id)
        events.forget(records_dir)


def _sweep(records_dir: Path) -> None:
    with events.reading(records_dir) as database:
        if database is not None:
            films.sweep(records_dir, lambda case_id: events.is_there(database, case_id))


def known_as(records_dir: Path, sha256: str) -> str:
    """Returns the hash by which a history that is there knows a film.

    Args:
        records_dir: of the history.
        sha256: of the file's bytes.

    Raises:
        CxrError: the site's secret can't be read.
    """
    with events.HISTORY.named_errors(records_dir):
        return keys.keyed(keys.secret(records_dir, first=False), sha256)


def _under_key(key: bytes, reading: KeptReading) -> KeptReading:
    return replace(
        reading,
        film=keys.keyed(key, reading.film),
        patient=keys.keyed(key, reading.patient),
    )


def content_of(reading: KeptReading) -> dict[str, Any]:
    """Returns a reading as the content of its event."""
    content = asdict(reading)
    return {k: clean(v) if isinstance(v, str) else v for k, v in content.items()}


def _numbers(context: Mapping[str, float | None]) -> dict[str, float | None]:
    wrong = [
        name
        for name, value in context.items()
        if name not in CONTEXT_NAMES or not _is_number(value)
    ]
    if wrong:
        raise ValueError(
            f"expected numbers by the names of a context, received {len(wrong)}"
        )
    return {k: None if v is None else float(v) for k, v in context.items()}


def _is_number(value: object) -> bool:
    if value is None:
        return True
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
    )


def _added(
    database: sqlite3.Connection,
    kind: str,
    case_id: str,
    actor: str,
    content: Mapping[str, Any],
) -> KeptCase:
    events.append(database, kind, case_id, actor, content)
    case = _found(database, case_id)
    events.index(database, case)
    return case


def _found(database: sqlite3.Connection | None, case_id: str) -> KeptCase:
    case = None if database is None else events.find(database, case_id)
    if case is None:
        raise no_case(case_id)
    return case


def no_case(case_id: str) -> CxrError:
    """Returns the error that says that there is no such case."""
    shown = case_id if re.fullmatch("[0-9a-f]{1,16}", case_id) else "by that name"
    return CxrError(
        f"There is no case {shown} in the history. It may have been deleted.",
        code="no-case",
    )
