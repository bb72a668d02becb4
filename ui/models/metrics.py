"""All metrics of a model as a table. Every number is the card's."""

from collections.abc import Callable

import streamlit as st

from cxr.evaluation.summary import Evaluation
from cxr.models.cards import Card
from ui import wording
from ui.loaders import metrics_of
from ui.wording import ANSWERED, METRICS, NOT_MEASURED, escaped


def show_metrics(card: Card) -> None:
    """Shows every metric on each split, with intervals side by side."""
    st.subheader("How well it does", anchor=False)
    st.table(
        [
            {"": label}
            | {
                escaped(split.capitalize()): words(evaluation)
                for split, evaluation in metrics_of(card).items()
            }
            for label, words in _METRIC_ROWS.items()
        ],
        border="horizontal",
        hide_index=True,
        alt="Metrics with 95 % intervals on each split",
    )
    st.caption(
        "With 95 % intervals; rates are those at the threshold, as if every film got "
        "an answer. Below them: how many films lie in the zone without an answer, and "
        "the rates among those that get one."
    )
    with st.expander("How the intervals were made"):
        st.table(
            [
                {"Metric": label, "95 % interval by": escaped(method)}
                for label, method in _methods(card).items()
            ],
            border="horizontal",
            hide_index=True,
        )


def whole(figure: str) -> str:
    """Returns a figure in words whose interval is not broken over two lines."""
    return figure.replace("–", "\N{WORD JOINER}–\N{WORD JOINER}")


def _methods(card: Card) -> dict[str, str]:
    by_field = {k: v for e in card.metrics.values() for k, v in e.methods.items()}
    return {label: by_field.get(field, "") for label, field in METRICS.items()}


def _words(field: str) -> Callable[[Evaluation], str]:
    return lambda evaluation: whole(wording.estimate(getattr(evaluation, field)))


def _of_the_answered(field: str) -> Callable[[Evaluation], str]:
    return lambda e: whole(wording.estimate(wording.answered(e, field)))


_METRIC_ROWS: dict[str, Callable[[Evaluation], str]] = {
    "Films": lambda e: f"{e.n:,}",
    "Patients": lambda e: f"{e.n_patients:,}" if e.n_patients else NOT_MEASURED,
    **{label: _words(field) for label, field in METRICS.items()},
    **{label: _of_the_answered(field) for label, field in ANSWERED.items()},
    "Found (true positives)": lambda e: f"{e.confusion.tp:,}",
    "Missed (false negatives)": lambda e: f"{e.confusion.fn:,}",
    "False alarms (false positives)": lambda e: f"{e.confusion.fp:,}",
    "Rightly below (true negatives)": lambda e: f"{e.confusion.tn:,}",
}
