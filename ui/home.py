"""Home: where to begin, and what the active model is worth in a reader's words.

Every number is the card's or counted in the model's stored scores, on the patients that
were held out for its test.
"""

import streamlit as st

from cxr.evaluation.summary import Evaluation
from cxr.models.cards import Card
from cxr.reading import meaning
from cxr.reading.cases import NO_ANSWER
from cxr.records.actors import READ
from cxr.records.kept import ABOVE, BELOW
from ui import samples
from ui.loaders import scores_of_test_films
from ui.people import allowed, say_who_can
from ui.wording import escaped, per_thousand, sentence, threshold

CLASSIFY = "pages/1_Classify.py"
IS_NOT = (
    "It is not a medical device and gives no diagnosis. It never decides, and it looks "
    "for nothing but pneumonia."
)
LOOK = """<style>
.st-key-purpose {max-width: 46rem}
.st-key-purpose > div:first-child p {font-size: 1.35rem; line-height: 1.45}
</style>"""


def show_start() -> None:
    """Shows what the app does in one sentence, and the two ways to begin."""
    st.html(LOOK)
    with st.container(key="purpose"):
        st.markdown(
            "Drop a chest film and see whether a network would call it pneumonia, how "
            "sure it is, and what that rests on; you decide."
        )
        begun = allowed(READ) and _offer_ways()
        st.markdown(IS_NOT)
        if not allowed(READ):
            say_who_can(READ)
    if begun:
        st.switch_page(CLASSIFY)


def _offer_ways() -> bool:
    ways = st.container(horizontal=True, vertical_alignment="center")
    classify = ways.button(
        "Classify films",
        key="classify_films",
        icon=":material/radiology:",
        type="primary",
    )
    sample = samples.offer(ways, key="try_samples_at_home")
    return classify or sample


def show_worth(card: Card) -> None:
    """Shows how many films a model misses, calls in vain, and leaves to the reader."""
    st.subheader("What the model is worth", anchor=False)
    test, scores = card.metrics.get("test"), scores_of_test_films(card)
    if test is None or scores is None:
        st.warning("Its card holds no test figures: what it is worth is not known.")
        return
    counted = meaning.answers(scores, card.uncertain_band, card.threshold.value)
    ill, well = counted.ill, counted.well
    grid = st.grid(2, min_column_width=220, border=True)
    for label, rate, of in (
        ("Missed", ill[BELOW], "films with pneumonia are below the threshold"),
        ("False alarms", well[ABOVE], "films without pneumonia are above it"),
        ("No answer", ill[NO_ANSWER], "films with pneumonia are left to the reader"),
        ("No answer", well[NO_ANSWER], "films without it are left to the reader"),
    ):
        number, limits = per_thousand(rate)
        with grid.cell():
            st.metric(label, number)
            st.caption(f"{of}  \n{limits}")
    st.markdown(f"Learned from: {sentence(card.population)}")
    _show_measurement(card, test)


def show_limits(card: Card) -> None:
    """Shows what a model can't do."""
    st.subheader("What it can't tell", anchor=False)
    st.markdown("\n".join(f"- {escaped(limit)}" for limit in card.limits))


def _show_measurement(card: Card, test: Evaluation) -> None:
    """Shows, on request, on which films the figures were measured, and at what."""
    of_patients = f" of {test.n_patients:,} patients" if test.n_patients else ""
    films = sum(card.data.films.values())
    with st.expander("How was this measured"):
        st.markdown(
            f"On {test.n:,} test films{of_patients}, {test.n_positive:,} with "
            "pneumonia; intervals are for 95 %. The model learned nothing from them, "
            "and the value of the threshold was not chosen on them. They come from the "
            "same source as the films that it learned from, which is the easy case."
        )
        st.markdown(
            "At the shipped threshold, "
            f"{threshold(card.threshold.value)}, chosen on the {card.threshold.split} "
            f"films: {sentence(card.threshold.rule)} There is no answer in the zone "
            f"around it, chosen {sentence(card.uncertain_band.rule)}"
        )
        st.markdown(
            f"{films:,} films in all: {escaped(card.data.name)}, "
            f"{escaped(card.data.licence)}. {sentence(card.data.source)}"
        )
        st.page_link("pages/2_Dashboard.py", label="All figures, on the Dashboard")
        st.page_link("pages/5_Models.py", label="The model's card, on Models")
