"""Two models on the films that both were tested on, for the page and the report."""

import math
from pathlib import Path

import plotly.graph_objects as go
import streamlit as st

from cxr import appraisal, appraisal_tables, registry, validation
from cxr.config import settings
from cxr.errors import CxrError
from cxr.evaluation import CurveLines
from cxr.registry import Card
from cxr.validation import Comparison
from ui import figures, wording
from ui.dashboard_layout import plot, two_columns
from ui.dashboard_source import Source, scores_of


def show_comparison(source: Source) -> None:
    """Shows the chosen model and another on the films that both were tested on."""
    if not source.other:
        return
    st.subheader(title(source), anchor=False)
    try:
        rows, words, figure = compared(source)
    except CxrError as error:
        st.info(error.message, icon=":material/compare_arrows:")
        return
    columns = two_columns()
    with columns.cell():
        st.dataframe(rows, hide_index=True, height="content")
        st.caption(words)
    with columns.cell():
        plot("two_models", figure)


def title(source: Source) -> str:
    """Returns what is compared."""
    return f"{source.card.model_id} and {source.other} on the same films"


def compared(source: Source) -> tuple[list[dict[str, str]], str, go.Figure]:
    """Returns a row for each metric, the paired tests in words, and both ROC curves.

    Raises:
        ModelError: the two have no test films in common, or one can't be read.
    """
    first, second = source.card.model_id, source.other
    found = _comparison(source.card, second)
    lines = _shared_lines(source.card, second)
    return _rows(found), _words(found, first, second), figures.two_models(lines)


def _comparison(card: Card, other: str) -> Comparison:
    models_dir = settings().models_dir
    second = registry.read_card(models_dir, other)
    stamps = tuple(
        f"{c.model_id} {c.files[registry.SCORES].sha256} {c.threshold.value}"
        for c in (card, second)
    )
    return _compared(stamps, models_dir, card.model_id, other)


@st.cache_resource(max_entries=4, show_spinner="Comparing the models")
def _compared(
    stamps: tuple[str, ...], models_dir: Path, first: str, second: str
) -> Comparison:
    return validation.compare(models_dir, first, second)


def _shared_lines(card: Card, other: str) -> dict[str, CurveLines]:
    second = registry.read_card(settings().models_dir, other)
    return appraisal.shared_lines(
        {c.model_id: scores_of(c, "test") for c in (card, second)}
    )


def _rows(found: Comparison) -> list[dict[str, str]]:
    names = {**appraisal_tables.RATES, **appraisal_tables.OVERALL}
    return [
        {
            "metric": name,
            **{
                model: wording.estimate(getattr(whole, field))
                for model, whole in found.evaluations.items()
            },
        }
        for field, name in names.items()
    ]


def _words(found: Comparison, first: str, second: str) -> str:
    difference, decisions = found.auc, found.decisions
    return (
        f"{found.films:,} films that both were tested on, each model at its own "
        "shipped threshold. AUC differs by "
        f"{wording.difference(difference.difference)}, {_p(difference.p_value)} "
        f"({difference.method}). Right where the other was "
        f"wrong: {first} {decisions.only_a_right:,} films, {second} "
        f"{decisions.only_b_right:,}, {_p(decisions.p_value)} ({decisions.method})."
    )


def _p(value: float) -> str:
    if math.isnan(value):
        return f"p {wording.NOT_MEASURED}"
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"
