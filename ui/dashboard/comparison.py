"""The chosen model beside another one, for the page and the report."""

from dataclasses import dataclass

import plotly.graph_objects as go
import streamlit as st

from cxr.errors import CxrError
from ui import side_by_side, wording
from ui.dashboard import curves
from ui.dashboard.beside import beside
from ui.dashboard.layout import plot, two_columns
from ui.dashboard.source import Source


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Two models on the films that were held out from both.

    Attributes:
        title: which two.
        rows: of a table, a metric each.
        words: which films, and what the paired tests say.
        figure: both ROC curves.
    """

    title: str
    rows: list[dict[str, str]]
    words: str
    figure: go.Figure


def show_comparison(source: Source) -> None:
    """Shows the chosen model and another on the films that both were tested on.

    Their curves stand here only where they don't lie over the page's own.
    """
    if not source.other:
        return
    st.subheader(_title(source), anchor=False)
    try:
        pair = compared(source)
    except CxrError as error:
        st.info(error.message, icon=":material/compare_arrows:")
        return
    if pair is None:
        return
    if beside(source) is not None:
        _show_rows(pair)
        return
    columns = two_columns()
    with columns.cell():
        _show_rows(pair)
    with columns.cell():
        plot("two_models", pair.figure)


def _show_rows(pair: Compared) -> None:
    # Wide enough to tell the two likelihood ratios apart on a narrow screen.
    st.dataframe(
        pair.rows,
        hide_index=True,
        height="content",
        column_config={"metric": st.column_config.TextColumn(width=180)},
    )
    st.caption(wording.escaped(pair.words))


def compared(source: Source) -> Compared | None:
    """Returns the chosen model beside the other one; None if no other is chosen.

    Raises:
        CxrError: the two have no test films in common, or one can't be read.
    """
    if not source.other:
        return None
    both = side_by_side.of_models(source.card.model_id, source.other)
    return Compared(
        title=_title(source),
        rows=side_by_side.rows(both),
        words=f"{both.comparison.films:,} films that both were tested on, each model "
        f"at its own shipped threshold. {side_by_side.ranking(both)} "
        f"{side_by_side.decisions(both)} {side_by_side.INTERVALS}",
        figure=curves.two_models(both.lines),
    )


def _title(source: Source) -> str:
    return f"{source.card.model_id} and {source.other} on the same films"
