"""The frame of every page: navigation, the standing notice, the active model."""

from pathlib import Path

import streamlit as st

from cxr.errors import CxrError
from cxr.reports.document import NOTICE
from ui import login
from ui.errors import logged
from ui.exposure import exposed
from ui.loaders import active_card
from ui.people import show_person
from ui.wording import escaped, estimate

# A file of its own: Streamlit fetches an icon given by name from the internet.
ICON = Path(__file__).with_name("icon.svg")
# What the theme has no setting for. White on the accent of the dark theme is too faint,
# and so is code in small print on its own ground. A link or a choice that the
# keyboard has come to looks like its neighbours.
LOOK = """<style>
[data-testid=stBaseButton-primary] {color: light-dark(#fff, #0f1214)}
[data-testid=stBaseButton-primary]:hover {color: light-dark(#fff, #0f1214)}
[data-testid=stCaptionContainer] code {color: inherit}
:is(button, a, summary):focus-visible,
[data-testid=stSelectbox]:has(:focus-visible) {
  outline: 2px solid light-dark(#2b5f9e, #8dbbf2) !important; outline-offset: 1px}
</style>"""
PAGES = {
    "Home": ("app.py", ":material/home:"),
    "Classify": ("pages/1_Classify.py", ":material/radiology:"),
    "Dashboard": ("pages/2_Dashboard.py", ":material/monitoring:"),
    "Data": ("pages/3_Data.py", ":material/folder_data:"),
    "Train": ("pages/4_Train.py", ":material/model_training:"),
    "Models": ("pages/5_Models.py", ":material/inventory:"),
    "History": ("pages/6_History.py", ":material/history:"),
}


def frame(title: str, *, narrow: bool = False) -> None:
    """Draws what surrounds a page.

    Every page and `app.py` begin with it, inside `ui.errors.show_errors`.

    Args:
        title: of the page.
        narrow: whether the header takes one line, to leave the page to a film.
    """
    st.set_page_config(
        page_title=f"{title} · cxr",
        page_icon=ICON,
        layout="wide",
        initial_sidebar_state=244 if narrow else 326,
        menu_items={"About": NOTICE},
    )
    st.html(LOOK)
    login.require_login(title)
    with st.sidebar:
        for label, (page, icon) in PAGES.items():
            st.page_link(page, label=label, icon=icon)
        show_person()
    if narrow:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"## {title}", width="content")
            st.caption(f":material/info: {NOTICE}", width="content")
        with st.sidebar:
            _show_active_model(brief=True)
    else:
        _show_header(title)
    if exposed():
        st.warning(escaped(exposed()), icon=":material/lock_open:")


def _show_header(title: str) -> None:
    header = st.grid(2, min_column_width=330, vertical_alignment="bottom")
    with header.cell():
        st.title(title, anchor=False)
        st.caption(f":material/info: {NOTICE}")
    with header.cell():
        _show_active_model()


def _show_active_model(*, brief: bool = False) -> None:
    """Shows which model serves; a card that can't be shown takes no page with it.

    The page of the models must stay: there another one is made to serve.

    Args:
        brief: whether its figures are left to other pages, and its population to a
            click.
    """
    population = ""
    try:
        line, population = _active_model(brief)
    except CxrError:
        line = ":material/block: No model is active."
    except Exception as error:
        line = f":material/error: The active model can't be shown. {logged(error)}"
    if population and not brief:
        line += f"  \n{population}"
    st.caption(line, help=population if brief else None)


def _active_model(brief: bool) -> tuple[str, str]:
    card = active_card()
    test = card.metrics.get("test")
    model = f"Active model **{escaped(card.model_id)}**"
    if test is None:
        model += " · not tested"
    elif not brief:
        model += f" · AUC {estimate(test.auc)} on its test patients"
    return model, f"Population: {escaped(card.population)}"
