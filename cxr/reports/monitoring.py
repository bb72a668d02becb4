"""What a model did in a day or a week, as a page and on paper.

It owns what such a report says; nothing in it is of a patient. It is what the societies
of radiology ask of whoever uses such a tool: to go on watching what it is worth.

Reference:
    Brady et al., Radiol. Artif. Intell. 6 (2024) e230513 (statement of ACR, CAR, ESR,
    RANZCR and RSNA; on monitoring after a tool was taken into use).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cxr import __version__
from cxr.evaluation.estimates import UNDEFINED, Estimate
from cxr.evaluation.live import Live
from cxr.evaluation.summary import Evaluation
from cxr.films import refusals
from cxr.reading import drift_words, eligibility
from cxr.reading.monitoring import Watch
from cxr.reading.period import ANSWERS, ModelPeriod, Period
from cxr.reports.document import NOTICE
from cxr.reports.page import templates

TITLE = "What was read"
POLICY = "default-src 'none'; style-src 'unsafe-inline'"  # it asks nobody for anything
NOT_MEASURED = "-"
SENSITIVITY, SPECIFICITY = "sensitivity", "specificity"
UNANSWERED = "no answer or refused"
REVIEWS = (
    "Only reviewed films count, and a reader who has seen the answer leans towards it. "
    "Where films above the threshold are reviewed more often than those below, "
    "sensitivity among reviewed films is too high and specificity too low. The "
    "weighted figures put that right by the number of films with each answer, if "
    "within an answer nobody chose films by what they show (Begg and Greenes 1983)."
)
NOT_KEPT = (
    "Of a film its figures are kept. Its file name, the patient's name and what its "
    "header says are not; film and patient are hashes that only this site can make.",
    "Films that were read while nothing could be kept are in no count.",
)
_TEMPLATES = templates(Path(__file__).parent)

Rows = tuple[tuple[str, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of a report.

    Attributes:
        title: of the part.
        sentences: that it begins with.
        rows: of a table, its heading first; empty for none.
        widths: of its columns, as shares of their sum.
        notes: that stand below the table.
    """

    title: str
    sentences: tuple[str, ...] = ()
    rows: Rows = ()
    widths: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()


def html(period: Period, *, time: datetime) -> str:
    """Returns the report as one HTML file that needs nothing else.

    Args:
        period: what was read.
        time: when the report is made, with a time zone.
    """
    return _TEMPLATES.get_template("monitoring.html").render(
        policy=POLICY,
        title=TITLE,
        span=_span(period),
        made=_made(time),
        notice=NOTICE,
        parts=list(parts(period)),
    )


def pdf(period: Period, *, time: datetime) -> bytes:
    """Returns the report as a PDF.

    Args:
        period: what was read.
        time: when the report is made, with a time zone; the only date of its making.
    """
    from cxr.reports.sheet import Sheet

    sheet = Sheet(TITLE, time)
    sheet.line_of(_span(period), size=11)
    sheet.line_of(_made(time))
    for part in parts(period):
        sheet.part(part.title, part.sentences)
        if part.rows:
            sheet.grid(part.rows[0], part.rows[1:], part.widths)
            sheet.ln(2)
        for note in part.notes:
            sheet.line_of(note)
    return bytes(sheet.output())


def parts(period: Period) -> Iterator[Part]:
    """Yields what the report says, the most important first."""
    yield _films(period)
    for model in period.models:
        yield _moved(model)
        yield _worth(model)
    if len(period.days) > 1:
        yield _days(period)
    yield _refused(period)
    yield _left_out(period)


def _films(period: Period) -> Part:
    rows = [("answer", "films", "share")]
    for answer in ANSWERS:
        films = period.answers[answer]
        share = NOT_MEASURED
        if period.films:
            share = f"{100 * films / period.films:.1f} %"
        rows.append((answer, f"{films:,}", share))
    disagreements = f"{period.disagreements:,} of them against the answer"
    return Part(
        title="Films",
        sentences=(
            f"{period.films:,} films were read or refused; {period.reviewed:,} were "
            f"reviewed, {disagreements}.",
        ),
        rows=tuple(rows),
        widths=(4, 2, 2),
    )


def _moved(model: ModelPeriod) -> Part:
    title = f"Has anything moved? {model.model_id}"
    watch = model.watch
    if watch is None:
        gone = "The model is no longer registered: its films can't be held against it."
        return Part(title=title, sentences=(gone,))
    return Part(
        title=title,
        sentences=tuple(moved(watch)),
        notes=(drift_words.HELP,),
    )


def moved(watch: Watch) -> Iterator[str]:
    """Yields the sentences on what has moved; one if nothing has."""
    for found in watch.drifts:
        if found.moved:
            sentence = drift_words.sentence(found, watch.times)
            yield f"{sentence} {drift_words.chance(found)}"
    if watch.apart is not None:
        yield drift_words.apart_sentence(watch.apart)
    if not watch.moved:
        yield (
            f"Nothing has moved that chance would not move, in {len(watch.times):,} "
            "films read up to the end of this report."
        )
    if watch.place is not None:
        yield drift_words.place_sentence(watch.place, watch.times)


def _worth(model: ModelPeriod) -> Part:
    thresholds = ", ".join(
        f"{value:.3f} ({films:,} films)" for value, films in model.thresholds
    )
    return Part(
        title=f"What {model.model_id} was worth by the reviews",
        sentences=(
            f"Weights {model.model_sha256[:16]}. Thresholds: {thresholds}.",
            f"Reviewed: {reviewed(model.live)}.",
        ),
        rows=tuple(worth(model.live, model.tested)),
        widths=(4, 3, 3),
        notes=(REVIEWS,),
    )


def worth(live: Live, tested: Evaluation | None) -> Iterator[tuple[str, str, str]]:
    """Yields the rows of a table on what a model was worth, its heading first.

    Args:
        live: by the reviews.
        tested: on its test films; None where that is not known.
    """
    known: dict[str, Estimate] = {}
    if tested and tested.answered:
        known = {
            SENSITIVITY: tested.answered.sensitivity,
            SPECIFICITY: tested.answered.specificity,
            UNANSWERED: tested.answered.no_answer,
        }
    yield "95 % intervals", "here, by reviews", "the model's test films"
    for name, here in (
        (SENSITIVITY, live.sensitivity),
        (SPECIFICITY, live.specificity),
        ("sensitivity, weighted", live.weighted_sensitivity),
        ("specificity, weighted", live.weighted_specificity),
        ("pneumonia if above", live.ppv),
        ("no pneumonia if below", live.npv),
        ("readers agree", live.agreement),
        (UNANSWERED, live.unanswered),
    ):
        yield name, _estimate(here), _estimate(known.get(name, UNDEFINED))


def reviewed(live: Live) -> str:
    """Returns how many films of each answer were reviewed."""
    return ", ".join(
        f"{stratum.reviewed:,} of {stratum.films:,} {answer}"
        for answer, stratum in zip(ANSWERS, live.strata, strict=True)
        if stratum.films
    )


def _days(period: Period) -> Part:
    rows: list[tuple[str, ...]] = [("day (UTC)", "films", *ANSWERS)]
    for day, answers in period.days.items():
        counts = [answers[answer] for answer in ANSWERS]
        rows.append((day, f"{sum(counts):,}", *(f"{n:,}" for n in counts)))
    return Part(title="Day by day", rows=tuple(rows), widths=(3, 2, 3, 3, 2, 2))


def _refused(period: Period) -> Part:
    if not period.refusals:
        return Part(title="Refused", sentences=("No film was refused.",))
    known = refusals.REFUSALS | eligibility.REFUSALS
    rows = [("films", "code", "why")]
    rows += [
        (f"{n:,}", code, known.get(code, "")) for code, n in period.refusals.items()
    ]
    return Part(title="Refused", rows=tuple(rows), widths=(1, 3, 9))


def _left_out(period: Period) -> Part:
    sentences = [*NOT_KEPT]
    if period.samples:
        sentences.append(f"Sample films, in no count: {period.samples:,}.")
    if period.deleted:
        sentences.append(
            f"Cases deleted in this time, in no count any more: {period.deleted:,}."
        )
    return Part(title="What is not in this report", sentences=tuple(sentences))


def _span(period: Period) -> str:
    return f"{_moment(period.since)} to {_moment(period.until)}"


def _made(time: datetime) -> str:
    return f"Made {_moment(time)} with cxr {__version__}."


def _moment(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def _estimate(value: Estimate) -> str:
    if math.isnan(value.value):
        return NOT_MEASURED
    return f"{value.value:.3f} ({value.low:.3f} to {value.high:.3f})"
