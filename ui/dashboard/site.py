"""A site's own threshold from its films without labels: asked, read, signed.

It owns the form, what it found before and after, and the signature. The shipped
threshold stays; what is signed is offered beside it.
"""

from pathlib import Path

import plotly.graph_objects as go
import streamlit as st

from cxr.config import settings
from cxr.datasets import search
from cxr.errors import CxrError
from cxr.evaluation.alignment import FEWEST
from cxr.evaluation.calibration import logit
from cxr.governance import reasons
from cxr.models.cards import Card
from cxr.records.actors import SIGN
from cxr.validation import alignment
from cxr.validation.alignment import Alignment
from ui import charts, wording
from ui.loaders import decoder_pool, lung_network, model_of
from ui.people import actor, allowed, say_who_can

FOUND, REFUSED, SIGNED = "site_found", "site_refused", "site_signed"
LOWEST, HIGHEST = 0.5, 99.5  # percent
BINS = 40
HELP = (
    "The films of some weeks as they come, of all patients and not only of the ill: "
    f"{FEWEST} at least. Nothing of them is kept."
)


def show_site_threshold(card: Card) -> None:
    """Shows the form, what was found for this model, and how it is signed.

    Raises:
        CxrError: the model or the lung network can't be loaded.
    """
    st.subheader("A threshold for this site", anchor=False)
    st.markdown(
        "Scores differ from site to site, and the shipped threshold with them. From a "
        "folder of this site's films, without any label, it is found how far the "
        "scores are shifted, how many of the patients are ill, and where the threshold "
        "lies here."
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        folder = st.text_input(
            "Folder of films",
            key="site_folder",
            persist_state="session",
            max_chars=1000,
            icon=":material/folder_open:",
            help=HELP,
        )
        low, high = st.slider(
            "Share with pneumonia, if known (%)",
            LOWEST,
            HIGHEST,
            (LOWEST, HIGHEST),
            0.5,
            key="site_share",
            help="Narrower only where somebody knows it: it decides where the films "
            "can't.",
        )
        asked = st.button(
            "Find the threshold here",
            key="site_start",
            icon=":material/play_arrow:",
            disabled=not folder.strip(),
        )
    if asked:
        _find(card, folder.strip(), (low / 100, high / 100))
    if refused := st.session_state.pop(REFUSED, ""):
        st.warning(wording.escaped(refused), icon=":material/folder_off:")
    found = st.session_state.get(FOUND)
    if found is not None and found.model_id == card.model_id:
        _show(card, found)


def _find(card: Card, folder: str, share: tuple[float, float]) -> None:
    bar = st.progress(0.0, "Reading films")

    def progress(done: int, total: int) -> None:
        bar.progress(done / total, f"Reading films: {done:,} of {total:,}")

    st.session_state.pop(FOUND, None)
    try:
        st.session_state[FOUND] = alignment.align(
            settings().models_dir,
            model_of(card),
            decoder_pool(),
            search.films_in(Path(folder)),
            lungs=lung_network(),
            share=share,
            progress=progress,
        )
    except CxrError as error:
        st.session_state[REFUSED] = error.message
    bar.empty()


def _show(card: Card, found: Alignment) -> None:
    left_out = sum(found.left_out.values())
    tiles = st.grid(3, min_column_width=200, border=True)
    for label, value, note in (
        (
            "Threshold here",
            wording.threshold(found.threshold.value),
            f"{wording.INTERVAL} {wording.interval(found.threshold)}, shipped "
            f"{wording.threshold(found.shipped)}",
        ),
        (
            "Share with pneumonia",
            wording.percent(found.share.value),
            f"{wording.INTERVAL} {wording.percent(found.share.low)} to "
            f"{wording.percent(found.share.high)}",
        ),
        ("Films", f"{found.fit.films:,}", f"{left_out:,} more could not be scored"),
    ):
        with tiles.cell():
            st.metric(label, value)
            st.caption(note)
    for sentence in found.why_not:
        st.warning(f"Nothing is proposed. {sentence}", icon=":material/help:")
    st.plotly_chart(_figure(found), config=charts.STATIC, key="site_scores")
    st.table(
        [
            {
                "Of 1,000 films": answer.capitalize(),
                "At the shipped threshold": f"{1000 * before:,.0f}",
                "At the threshold here": f"{1000 * found.after[answer]:,.0f}",
            }
            for answer, before in found.before.items()
        ],
        border="horizontal",
        hide_index=True,
    )
    st.caption(
        f"Scores here lie {found.fit.shift:+.2f} logits from the model's own, "
        f"stretched by {found.fit.scale:.2f}. The intervals come from a bootstrap over "
        "the films."
    )
    _show_signature(card, found)


def _figure(found: Alignment) -> go.Figure:
    """Returns how the scores lie here, with both thresholds."""
    logits = logit(found.probabilities)
    marks = ((found.shipped, "shipped", "dot"), (found.threshold.value, "here", "dash"))
    films = {
        "type": "histogram",
        "x": logits,
        "nbinsx": BINS,
        "hoverinfo": "skip",
        "marker": {"color": charts.theme_colour("primaryColor")},
    }
    return charts.figure(
        [films],
        height=240,
        showlegend=False,
        xaxis={"title": "score (log odds of the probability)"},
        yaxis={"title": "films"},
        shapes=[
            {
                "type": "line",
                "x0": float(logit(value)),
                "x1": float(logit(value)),
                "y0": 0,
                "y1": 1,
                "yref": "paper",
                "line": {"color": charts.ink(), "dash": dash, "width": 2},
            }
            for value, _, dash in marks
        ],
        annotations=[
            {
                "x": float(logit(value)),
                "y": 1,
                "yref": "paper",
                "text": name,
                "showarrow": False,
                "xanchor": "right" if value == min(m[0] for m in marks) else "left",
                "font": {"color": charts.ink()},
            }
            for value, name, _ in marks
        ],
    )


def _show_signature(card: Card, found: Alignment) -> None:
    if signed := st.session_state.pop(SIGNED, ""):
        st.info(signed, icon=":material/bookmark_added:")
    if found.why_not:
        return
    if not allowed(SIGN):
        say_who_can(SIGN)
        return
    with st.popover("Sign it for this site", icon=":material/bookmark_add:"):
        st.markdown(
            f"Classify then offers **{wording.threshold(found.threshold.value)}** as "
            "this site's operating point, with your name and reason."
        )
        with st.form("site_signature", border=False):
            st.text_area(
                "Reason",
                key="site_reason",
                max_chars=reasons.LONGEST,
                placeholder="Which films, who has looked at this",
            )
            st.form_submit_button(
                "Sign",
                key="site_sign",
                type="primary",
                on_click=_sign,
                args=(card, found),
            )
        if refused := st.session_state.pop("site_sign_refused", ""):
            st.warning(refused, icon=":material/edit_note:")


def _sign(card: Card, found: Alignment) -> None:
    reason = st.session_state.get("site_reason") or ""
    try:
        point = alignment.sign(
            settings().records_dir, card, found, actor=actor(), reason=reason
        )
    except CxrError as error:
        st.session_state["site_sign_refused"] = wording.escaped(error.message)
        return
    st.session_state[SIGNED] = (
        f"Threshold {wording.threshold(point.threshold)} is this site's operating "
        "point. Classify offers it beside the shipped one."
    )
