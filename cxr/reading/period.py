"""A span of time in which films were read: what became of them, and what has moved.

It owns the facts of a report on a model at work. Nothing in them is of a patient: they
are counts, rates and dates.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from cxr.errors import ModelError
from cxr.evaluation.live import Live, live
from cxr.evaluation.summary import Evaluation
from cxr.models import registry
from cxr.reading import monitoring
from cxr.reading.cases import NO_ANSWER, REFUSED
from cxr.reading.monitoring import Watch
from cxr.records import audit, history, search
from cxr.records.kept import ABOVE, BELOW
from cxr.records.search import Query, Series

ANSWERS = (ABOVE, BELOW, NO_ANSWER, REFUSED)


@dataclass(frozen=True, kw_only=True)
class ModelPeriod:
    """What one model read.

    Attributes:
        model_id: of the model.
        model_sha256: of its weights.
        thresholds: that films were read at, with the number of films, as they came.
        answers: films by answer, all of `ANSWERS`.
        live: its worth by the reviews.
        tested: on its own test films, at the shipped threshold; None where that is not
            known.
        watch: what has moved among all films that it read up to the end of the span;
            None where the model is no longer registered.
    """

    model_id: str
    model_sha256: str
    thresholds: tuple[tuple[float, int], ...]
    answers: dict[str, int]
    live: Live
    tested: Evaluation | None
    watch: Watch | None


@dataclass(frozen=True, kw_only=True)
class Period:
    """What was read in a span of time.

    Attributes:
        since: its begin, with a time zone.
        until: its end, which no longer belongs to it.
        films: that were read or refused, no samples.
        samples: sample films that were read besides, which count nowhere.
        answers: films by answer, all of `ANSWERS`.
        refusals: films by the code of their refusal, the most frequent first.
        days: films by answer for each day on which any were read, UTC, ISO 8601.
        reviewed: films with a review.
        disagreements: of these, those in which the reader contradicts the answer.
        models: what each model read, by its first film.
        deleted: cases that were deleted in the span, whenever they were read.
    """

    since: datetime
    until: datetime
    films: int
    samples: int
    answers: dict[str, int]
    refusals: dict[str, int]
    days: dict[str, dict[str, int]]
    reviewed: int
    disagreements: int
    models: tuple[ModelPeriod, ...]
    deleted: int


def period(
    records_dir: Path, models_dir: Path, since: datetime, until: datetime
) -> Period:
    """Returns what was read in a span of time.

    Args:
        records_dir: of the history.
        models_dir: the registry.
        since: its begin, with a time zone.
        until: its end, likewise.

    Raises:
        CxrError: the history can't be read.
        ModelError: a file of a model was changed.
    """
    query = Query(since=since, until=until, sample=False)
    series = search.series(records_dir, query)
    counts = search.count(records_dir, query)
    days = search.by_day(records_dir, query)
    return Period(
        since=since,
        until=until,
        films=counts.cases,
        samples=search.count(records_dir, replace(query, sample=True)).cases,
        answers=_answers(counts.answers),
        refusals=dict(Counter(code for code in series.code if code).most_common()),
        days={day: _answers(counted) for day, counted in days.items()},
        reviewed=counts.reviewed,
        disagreements=counts.disagreements,
        models=tuple(_models(records_dir, models_dir, series, until)),
        deleted=_deleted(records_dir, since, until),
    )


def _models(
    records_dir: Path, models_dir: Path, series: Series, until: datetime
) -> Iterator[ModelPeriod]:
    """Yields what each model read, by its first film."""
    for model_id, sha256 in dict.fromkeys(
        zip(series.model_id, series.model_sha256, strict=True)
    ):
        own = monitoring.only(series, [name == sha256 for name in series.model_sha256])
        watch = tested = None
        try:
            card = registry.read_card(models_dir, model_id)
        except ModelError:
            card = None  # It was removed; what it read stays in the history.
        if card is not None and card.weights_sha256 == sha256:
            tested = card.metrics.get("test")
            home = monitoring.home(models_dir, card)
            watch = monitoring.watch(records_dir, Query(until=until), home)
        yield ModelPeriod(
            model_id=model_id,
            model_sha256=sha256,
            thresholds=tuple(Counter(own.threshold).items()),
            answers=_answers(Counter(own.answer)),
            live=live(monitoring.reviews(own)),
            tested=tested,
            watch=watch,
        )


def _answers(counted: Mapping[str, int]) -> dict[str, int]:
    return {answer: counted.get(answer, 0) for answer in ANSWERS}


def _deleted(records_dir: Path, since: datetime, until: datetime) -> int:
    """Returns how many cases were deleted, one by one or as their time was over."""
    actions = (history.CASE_DELETED, history.CASES_EXPIRED)
    first, last = (
        time.astimezone(UTC).isoformat(timespec="milliseconds")
        for time in (since, until)
    )
    return sum(
        int(str(entry.details.get("cases", 1)))
        for entry in audit.entries(records_dir, actions=actions)
        if first <= entry.time < last
    )
