"""Decisions, numbers, times and file names in words."""

import math
import re
import unicodedata
from dataclasses import dataclass

from cxr.evaluation.estimates import UNDEFINED, Estimate
from cxr.evaluation.summary import Evaluation
from cxr.models.inference import NORMAL, PNEUMONIA, UNCERTAIN
from cxr.validation import tables

NOT_MEASURED = "–"
INTERVAL = "95\N{NO-BREAK SPACE}% interval"
LONGEST_NAME = 48
WHOLE_NAME = 255  # characters, as file systems have it
MINUTE = 60  # seconds
# The metrics of an `Evaluation` by their words, in the order of all tables.
METRICS = {
    "AUC": "auc",
    "Average precision": "average_precision",
    "Sensitivity": "sensitivity",
    "Specificity": "specificity",
    "Accuracy": "accuracy",
    "Precision (PPV)": "precision",
    "NPV": "npv",
    "F1": "f1",
    "Likelihood ratio, positive": "likelihood_ratio_positive",
    "Likelihood ratio, negative": "likelihood_ratio_negative",
    "Calibration error (ECE)": "ece",
    "Brier score": "brier",
}
# Those of its three answers, likewise.
ANSWERED = {label: field for field, label in tables.ANSWERED.items()}
WORD_JOINER = "\N{WORD JOINER}"
COMMAND = re.compile(r"(?<!`)`(python -m cxr [^`]+|CXR_[A-Z_]+)`(?!`)")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """How an outcome looks; icon and words say the same as the colour.

    Attributes:
        words: in sentence case.
        icon: Material symbol.
        colour: name in Streamlit's palette, whose values are the theme's.
    """

    words: str
    icon: str
    colour: str


VERDICTS = {
    PNEUMONIA: Verdict(
        words="Above threshold", icon=":material/arrow_upward:", colour="orange"
    ),
    UNCERTAIN: Verdict(
        words="No answer: near the threshold", icon=":material/help:", colour="violet"
    ),
    NORMAL: Verdict(
        words="Below threshold", icon=":material/arrow_downward:", colour="blue"
    ),
}
REFUSED = Verdict(words="Refused", icon=":material/block:", colour="violet")


def threshold(value: float) -> str:
    """Returns a threshold with three decimals, or two where the third is 0."""
    return f"{value:.3f}".removesuffix("0")


def probability(value: float, beside: float | None = None) -> str:
    """Returns a probability with two decimals, and never as certainty.

    Args:
        value: `[0, 1]`.
        beside: the threshold that is read next to it; as many decimals are given as it
            takes to be on the right side of it.
    """
    limit = None if beside is None else float(threshold(beside))
    for digits in range(2, 6):
        text = f"{value:.{digits}f}"
        if beside is None or limit is None:
            break
        if (float(text) >= limit) == (value >= beside):
            break
    if float(text) in (0, 1):
        return "< 0.01" if value < 0.5 else "> 0.99"
    return text


def answered(evaluation: Evaluation, field: str) -> Estimate:
    """Returns a figure of the three answers; undefined where they were not measured.

    Args:
        evaluation: of a model.
        field: one of the values of `ANSWERED`.
    """
    if evaluation.answered is None:
        return UNDEFINED
    return getattr(evaluation.answered, field)


def probability_estimate(value: Estimate) -> str:
    """Returns a probability and its limits, none of them as certainty; or a dash."""
    if math.isnan(value.value):
        return NOT_MEASURED
    return (
        f"{probability(value.value)} ({probability(value.low)} to "
        f"{probability(value.high)})"
    )


def percent(share: float) -> str:
    """Returns a share as "20 %", with a decimal where it takes one."""
    return f"{100 * share:.3g}\N{NO-BREAK SPACE}%"


def ratio(value: Estimate | None) -> str:
    """Returns a likelihood ratio and its limits in two digits; a dash for none."""
    if value is None or math.isnan(value.value):
        return NOT_MEASURED
    parts = (value.value, value.low, value.high)
    middle, low, high = map(_two_digits, parts)
    return f"{middle} ({low} to {high})"


def patients(value: Estimate) -> str:
    """Returns a whole number of patients and its limits; a dash for none."""
    if math.isnan(value.value):
        return NOT_MEASURED
    return f"{value.value:,.0f} ({value.low:,.0f} to {value.high:,.0f})"


def figure(value: Estimate) -> str:
    """Returns a figure alone; a dash for what is not measured."""
    return NOT_MEASURED if math.isnan(value.value) else _decimals(value.value)


def estimate(value: Estimate) -> str:
    """Returns a figure with its 95 % interval; a dash for what is not measured."""
    if math.isnan(value.value):
        return NOT_MEASURED
    return f"{_decimals(value.value)} ({interval(value)})"


def interval(value: Estimate) -> str:
    """Returns the limits of a figure; a dash for what is not measured."""
    if math.isnan(value.low):
        return NOT_MEASURED
    return f"{_decimals(value.low)}–{_decimals(value.high)}"


def difference(value: Estimate) -> str:
    """Returns a difference and its limits, with signs; dashes for what is undefined."""
    if math.isnan(value.value):
        return NOT_MEASURED
    if math.isnan(value.low):
        return f"{value.value:+.3f} ({NOT_MEASURED})"
    return f"{value.value:+.3f} ({value.low:+.3f} to {value.high:+.3f})"


def count(value: Estimate) -> str:
    """Returns a number of patients and its limits; a dash for what is undefined."""
    if math.isnan(value.value):
        return NOT_MEASURED
    return f"{value.value:,.1f} ({value.low:,.1f}–{value.high:,.1f})"


def per_thousand(value: Estimate) -> tuple[str, str]:
    """Returns a rate and its interval as "992 of 1,000" and "95 % interval 985–997"."""
    if math.isnan(value.value):
        return f"{NOT_MEASURED} of 1,000", f"{INTERVAL} {NOT_MEASURED}"
    rate, low, high = (
        f"{1000 * part:,.0f}" for part in (value.value, value.low, value.high)
    )
    return f"{rate} of 1,000", f"{INTERVAL} {low}–{high}"


def duration(seconds: float | None) -> str:
    """Returns a time as "45 s", "12 min" or "2 h 10 min"; a dash if it is unknown."""
    if seconds is None or not math.isfinite(seconds):
        return NOT_MEASURED
    if round(seconds) < 90:
        return f"{max(0, round(seconds))} s"
    minutes = round(seconds / MINUTE)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def duration_span(low: float, high: float) -> str:
    """Returns two times as "38–52 min", one of them if they are the same in words."""
    first, last = duration(low), duration(high)
    if first == last:
        return first
    number, unit = first.rsplit(" ", 1)
    same_unit = " " not in number and last.endswith(f" {unit}") and " h " not in last
    return f"{number if same_unit else f'{first} '}–{'' if same_unit else ' '}{last}"


def sentence(text: str) -> str:
    """Returns a text of a card with one full stop, as Markdown that can do nothing.

    A card can come from somewhere else: a link or a picture in it must stay text.
    """
    return escaped(text.rstrip(".")) + "."


def file_name(name: str, longest: int = LONGEST_NAME) -> str:
    """Returns a file name that can do nothing on a page: short, on one line, bare text.

    Folders, control characters and those that turn the direction of writing are gone.

    Args:
        name: of a file, with or without its folders.
        longest: how many characters are kept; of a longer name both ends.
    """
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    shown = "".join(
        c for c in last if c == " " or unicodedata.category(c)[0] not in "CZ"
    )
    return shortened(shown, longest) or "unnamed"


def shortened(text: str, longest: int) -> str:
    """Returns a text whose middle gives way; a file's number is at its end."""
    if len(text) <= longest:
        return text
    return f"{text[: longest - 10]}…{text[-9:]}"


def escaped(text: str) -> str:
    """Returns text that Markdown shows as it is.

    Addresses stay text too. A backslash does not do that: the browser looks for them
    once the backslashes are gone. So an invisible character that allows no line break
    (U+2060) parts them.
    """
    parted = re.sub(r"(?i)(?<=www)(?=\.)|(?=://)|(?=@)", WORD_JOINER, text)
    return "".join(f"\\{c}" if c in r"\`*_{}[]()#+-.!|<>$~:&=" else c for c in parted)


def message(text: str) -> str:
    """Returns an error's message for Markdown, in one paragraph.

    Our commands and settings in backticks are set as code; all else is escaped: a
    message can hold the name of a file or a text of a card.
    """
    parts = COMMAND.split(" ".join(text.split()))
    return "".join(
        f"`{part}`" if number % 2 else escaped(part)
        for number, part in enumerate(parts)
    )


def _decimals(value: float) -> str:
    return "∞" if math.isinf(value) else f"{value:.3f}"


def _two_digits(value: float) -> str:
    if math.isinf(value):
        return "∞"
    return f"{value:,.0f}" if value >= 9.95 else f"{value:.2g}"
