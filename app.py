"""Home, and the server of all pages.

Streamlit imports this file to start the server and runs it, as `__main__`, for Home.
"""

import streamlit as st
from streamlit.starlette import App

from ui import server
from ui.errors import show_errors
from ui.frame import frame
from ui.home import show_limits, show_model_tiles, show_purpose
from ui.loaders import active_card


def home() -> None:
    """Shows what this is and is not, the active model, where to go."""
    with show_errors():
        frame("Pneumonia on chest X-rays")

        st.markdown(
            "Drop a chest film and see whether a network would call it pneumonia, how "
            "sure it is, which region made it say so, and what the chosen threshold "
            "misses. It stands beside a reader who decides. It never decides, and it "
            "is not a medical device."
        )
        st.page_link(
            "pages/1_Classify.py", label="Classify films", icon=":material/radiology:"
        )

        card = active_card()
        show_model_tiles(card)
        columns = st.grid(2, min_column_width=320, gap="large")
        with columns.cell():
            show_purpose(card)
        with columns.cell():
            show_limits(card)


if __name__ == "__main__":
    home()
else:
    app = App(__file__, lifespan=server.lifespan, middleware=server.MIDDLEWARE)
