"""Home, and the server of all pages.

Streamlit imports this file to start the server and runs it, as `__main__`, for Home.
"""

import streamlit as st
from streamlit.starlette import App

from ui import server
from ui.errors import show_errors
from ui.frame import frame
from ui.home import show_limits, show_start, show_worth
from ui.loaders import active_card
from ui.samples import show_source


def home() -> None:
    """Shows what this is and is not, where to begin, what the model is worth."""
    with show_errors():
        frame("Pneumonia on chest X-rays", narrow=True)

        card = active_card()
        show_start()
        columns = st.grid(2, min_column_width=320, gap="large")
        with columns.cell():
            show_worth(card)
        with columns.cell():
            show_limits(card)
        show_source()


if __name__ == "__main__":
    home()
else:
    server.check_settings()
    app = App(__file__, lifespan=server.lifespan, middleware=server.MIDDLEWARE)
