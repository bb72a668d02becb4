"""How the dashboard's figures stand on the page."""

from typing import Any

import plotly.graph_objects as go
import streamlit as st
from streamlit.elements.lib.grid_container import GridContainer

FORMATS = {"SVG": "svg", "PNG": "png"}


def two_columns() -> GridContainer:
    """Returns a grid of two columns, of one where the page is narrow."""
    return st.grid(2, min_column_width=400, gap="medium")


def plot(key: str, figure: go.Figure, **options: Any) -> None:
    """Shows a figure; its camera saves in the format that the reader chose.

    Args:
        key: of the widget, and the name of the saved file.
        figure: to be shown.
        options: of `st.plotly_chart`.
    """
    chosen = st.session_state.get("dashboard_format") or "SVG"
    st.plotly_chart(
        figure,
        key=key,
        config={
            "displaylogo": False,
            "showSendToCloud": False,
            "toImageButtonOptions": {
                "format": FORMATS[chosen],
                "filename": key.removeprefix("dashboard_"),
                "scale": 1 if chosen == "SVG" else 3,
            },
            "modeBarButtonsToRemove": ["lasso2d", "select2d", "autoScale2d"],
        },
        **options,
    )
