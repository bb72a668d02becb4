"""The frame of every page: navigation, the standing notice, the active model."""

from pathlib import Path

import streamlit as st

from cxr.errors import CxrError
from cxr.reports import NOTICE
from ui.loaders import active_card
from ui.wording import escaped, estimate

# A file of its own: Streamlit fetches an icon given by name from the internet.
ICON = Path(__file__).with_name("icon.svg")
PAGES = {
    "Home": ("app.py", ":material/home:"),
    "Classify": ("pages/1_Classify.py", ":material/radiology:"),
    "Dashboard": ("pages/2_Dashboard.py", ":material/monitoring:"),
    "Data": ("pages/3_Data.py", ":material/folder_data:"),
    "Train": ("pages/4_Train.py", ":material/model_training:"),
    "Models": ("pages/5_Models.py", ":material/inventory:"),
}


def frame(title: str) -> None:
    """Draws what surrounds a page; every page and `app.py` begin with it."""
    st.set_page_config(
        page_title=f"{title} · cxr",
        page_icon=ICON,
        layout="wide",
        initial_sidebar_state=326,
        menu_items={"About": NOTICE},
    )
    with st.sidebar:
        for label, (page, icon) in PAGES.items():
            st.page_link(page, label=label, icon=icon)
    header = st.grid(2, min_column_width=330, vertical_alignment="bottom")
    with header.cell():
        st.title(title, anchor=False)
        st.caption(f":material/info: {NOTICE}")
    with header.cell():
        _show_active_model()


def _show_active_model() -> None:
    try:
        card = active_card()
    except CxrError:
        st.caption(":material/block: No model is active.")
        return
    auc = estimate(card.metrics["test"].auc)
    st.caption(
        f"Active model **{card.model_id}** · AUC {auc} on its test patients  \n"
        f"Population: {escaped(card.population)}"
    )
