"""Readings on paper: one film, or the list, as a PDF.

It owns what a printed report says. A film is named by the hash of its file: a file name
can be a patient's name, so it is there only where somebody asks for it.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cxr import __version__
from cxr.errors import ImageError
from cxr.evaluation.estimates import Estimate
from cxr.models.inference import Model
from cxr.reading.cases import NO_ANSWER, REFUSED, Case, Context
from cxr.reading.meaning import probability_after
from cxr.records.kept import ABOVE, BELOW
from cxr.reports.document import SAMPLE, heatmap_worth

if TYPE_CHECKING:
    from cxr.reports.sheet import Sheet

COLOURS = {
    ABOVE: (166, 92, 0),
    BELOW: (70, 98, 124),
    NO_ANSWER: (110, 84, 146),
    REFUSED: (110, 84, 146),
}
SOURCES = {
    "shipped": "the one that the model ships with",
    "site": "this site's own",
    "reader": "chosen by the reader",
}
CONTEXT_WORDS = {
    "age_years": ("age", "years"),
    "temperature_celsius": ("temperature", "\u00b0C"),
    "spo2_percent": ("oxygen saturation", "%"),
    "days_ill": ("ill for", "days"),
    "pretest_probability": ("probability before the film", ""),
}
UNREAD = "No picture: the file could not be read as a film."


def of_film(
    case: Case,
    model: Model,
    *,
    time: datetime,
    overlay: NDArray[np.uint8] | None = None,
    costs: Sequence[str] = (),
    with_name: bool = False,
) -> bytes:
    """Returns the report on one film as a PDF.

    Args:
        case: the film; its picture is printed if the reading has one.
        model: that read it.
        time: when the report is made, with a time zone; the only date in it.
        overlay: the film with its heat map, `uint8`, `(h, w, 3)` in RGB, to stand
            beside the film; None for none.
        costs: sentences on what the threshold costs; by default what the card says of
            the shipped threshold on the test films.
        with_name: prints the name of the film's file. It can be a patient's name: such
            a report is to be kept like a patient's record.
    """
    from cxr.reports.sheet import Sheet

    sheet = Sheet("Reading of a chest film", time)
    sheet.line_of(f"{_moment(time)} \u00b7 film {case.sha256[:16]}")
    if with_name:
        sheet.line_of(f"File: {case.name}")
    if case.sample:
        sheet.line_of(SAMPLE, colour=COLOURS[NO_ANSWER], bold=True)
    sheet.ln(3)
    _show_pictures(sheet, case, overlay)
    _show_answer(sheet, case, model)
    for label, sentences in _rows(case, model, tuple(costs)):
        sheet.row(label, sentences)
    return bytes(sheet.output())


def of_list(
    cases: Sequence[Case],
    model: Model,
    *,
    time: datetime,
    with_names: bool = False,
) -> bytes:
    """Returns a list of films as a PDF: counts, a table, and what read the films.

    Args:
        cases: in the order of the list.
        model: that read them.
        time: when the report is made, with a time zone; the only date in it.
        with_names: prints the names of the files, so that a reader can match rows to
            films. They can be patients' names: such a list is to be kept like a
            patient's record.
    """
    from cxr.reports.sheet import Sheet

    sheet = Sheet("Readings of chest films", time, landscape=True)
    counts = Counter(case.answer for case in cases)
    parts = [f"{len(cases)} films", *(f"{counts[a]} {a}" for a in COLOURS if counts[a])]
    sheet.line_of(f"{_moment(time)} \u00b7 " + ", ".join(parts))
    sheet.ln(3)
    heading = ["No.", "Film", "Answer", "Probability", "Threshold"]
    heading += ["Reader", "Remarks"]
    widths = [9, 32, 27, 20, 30, 36, 107]
    if with_names:
        heading.insert(2, "File")
        widths = [9, 32, 45, 27, 20, 30, 36, 62]
    table = (_cells(number, case, with_names) for number, case in enumerate(cases, 1))
    sheet.grid(heading, table, widths)
    sheet.ln(4)
    for label, sentences in (*_of_model(model), ("Limits", model.card.limits)):
        sheet.row(label, sentences)
    return bytes(sheet.output())


def _show_pictures(
    sheet: "Sheet", case: Case, overlay: NDArray[np.uint8] | None
) -> None:
    if not case.reading.picture.size:
        sheet.line_of(UNREAD)
        sheet.ln(2)
        return
    pictures = [("Film", case.reading.picture)]
    if overlay is not None:
        pictures.append(("Film with heat map: where the score comes from", overlay))
    sheet.pictures(pictures, height=78)


def _show_answer(sheet: "Sheet", case: Case, model: Model) -> None:
    colour, result = COLOURS[case.answer], case.reading.result
    sheet.line_of(case.answer.capitalize(), size=15, colour=colour, bold=True)
    if isinstance(result, ImageError):
        sheet.ln(1)
        sheet.row("Why", f"{result.message} ({result.code})")
        return
    sheet.scale(
        result.probability,
        threshold=case.threshold,
        band=model.band(case.threshold),
        colour=colour,
    )


def _rows(
    case: Case, model: Model, costs: tuple[str, ...]
) -> Iterator[tuple[str, str | Sequence[str]]]:
    """Yields label and sentences for what stands below the answer."""
    result = case.reading.result
    if not isinstance(result, ImageError):
        prevalence = model.card.calibration.prevalence
        yield (
            "Probability",
            f"{_share(result.probability)} of pneumonia, as among films of which "
            f"{prevalence * 100:.0f} % show it",
        )
        yield "Threshold", _threshold(case, model)
        yield "What it means", _meaning(case)
        yield "What it costs", costs or (_cost(model),)
        yield "Trials", _trials(case)
        yield "Heat map", heatmap_worth(model.card)
    yield "Context", _context(case.context)
    yield "Reader's answer", _review(case)
    sentences = case.reading.cautions + case.reading.warnings
    yield "Cautions", sentences or ("None.",)
    yield from _of_model(model)
    yield "Limits", model.card.limits
    yield "Film", f"SHA-256 {case.sha256}"


def _threshold(case: Case, model: Model) -> tuple[str, ...]:
    low, high = model.band(case.threshold)
    source = SOURCES.get(case.threshold_source, case.threshold_source)
    first = f"{_share(case.threshold)}, {source}."
    if case.threshold_source == "shipped":
        first += f" Rule: {model.card.threshold.rule}."
    if low == high:
        return (first,)
    return (first, f"No answer from {_share(low)} to below {_share(high)}.")


def _meaning(case: Case) -> tuple[str, ...]:
    ratio, before = case.likelihood_ratio, case.context.pretest_probability
    if ratio is None or math.isnan(ratio.value):
        return ("Likelihood ratio of this answer: not measured.",)
    sentences = [
        f"Likelihood ratio of this answer {_ratio(ratio.value)} "
        f"({_ratio(ratio.low)} to {_ratio(ratio.high)}), counted on test films (95 % "
        "interval)."
    ]
    here = "Where {} of the patients have pneumonia, as stated for here"
    patient = "For this patient, at {} before the film"
    for where, prior in ((here, case.prevalence), (patient, before)):
        if prior is not None:
            after = probability_after(prior, ratio)
            sentences.append(
                f"{where.format(f'{prior:.1%}')}: probability {_share(after.value)} "
                f"({_share(after.low)} to {_share(after.high)})."
            )
    return tuple(sentences)


def _trials(case: Case) -> tuple[str, ...]:
    sentences = []
    if (held := case.stability) is not None:
        sentences.append(
            f"The answer stays the same in {held.same} of {held.changes} small changes "
            f"of the film (probability {_share(held.low)} to {_share(held.high)})."
        )
    if case.evidence is not None:
        sentences.append(f"Evidence: {case.evidence.zone}.")
    return tuple(sentences) or ("None asked for.",)


def _cost(model: Model) -> str:
    test = model.card.metrics.get("test")
    if test is None:
        return "Not measured."
    value = model.card.threshold.value
    return (
        f"On {test.n} test films, at the shipped threshold {_share(value)} and without "
        f"the zone that gets no answer: sensitivity {_estimate(test.sensitivity)}, "
        f"specificity {_estimate(test.specificity)} (95 % intervals)."
    )


def _context(context: Context) -> str:
    parts = [
        f"{words} {value:g} {unit}".rstrip()
        for name, (words, unit) in CONTEXT_WORDS.items()
        if (value := getattr(context, name)) is not None
    ]
    if not parts:
        return "None given."
    return "; ".join(parts) + ". It did not touch the score."


def _review(case: Case) -> str:
    if case.review is None:
        return "None yet."
    reason = case.review.reason
    return case.review.opinion.capitalize() + (f": {reason}" if reason else "")


def _of_model(model: Model) -> Iterator[tuple[str, tuple[str, ...]]]:
    card = model.card
    yield (
        "Model",
        (
            f"{card.model_id}, cxr {__version__}",
            f"SHA-256 {model.sha256}",
            f"Made from: {card.population}",
        ),
    )


def _cells(number: int, case: Case, with_names: bool) -> list[str]:
    result, remarks = case.reading.result, []
    if case.sample:
        remarks.append("Sample film.")
    if isinstance(result, ImageError):
        remarks.append(result.message)
        probability = "-"
    else:
        probability = _share(result.probability)
    remarks += case.reading.cautions + case.reading.warnings
    return [
        str(number),
        case.sha256[:12],
        *([case.name] if with_names else []),
        case.answer,
        probability,
        f"{_share(case.threshold)} ({case.threshold_source})",
        "-" if case.review is None else _review(case),
        " ".join(remarks),
    ]


def _share(value: float) -> str:
    from cxr.reports.sheet import figure

    return figure(value)


def _estimate(estimate: Estimate) -> str:
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"


def _ratio(value: float) -> str:
    if math.isinf(value):
        return "infinite"
    return f"{value:,.0f}" if value >= 9.95 else f"{value:.2g}"


def _moment(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
