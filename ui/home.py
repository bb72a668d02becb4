"""What a model's card says, for readers. Every number is the card's."""

import streamlit as st

from cxr.models.cards import Card
from ui.wording import INTERVAL, escaped, figure, interval, sentence, threshold


def show_model_tiles(card: Card) -> None:
    """Shows a model's figures on the patients that were held out for its test."""
    st.subheader(f"Active model {escaped(card.model_id)}", anchor=False)
    test = card.metrics.get("test")
    if test is None:
        st.warning("Its card holds no test figures: what it is worth is not known.")
        return
    tiles = {
        "AUC": test.auc,
        "Sensitivity": test.sensitivity,
        "Specificity": test.specificity,
        "Calibration error": test.ece,
    }
    grid = st.grid(4, min_column_width=190, border=True)
    for label, estimate in tiles.items():
        with grid.cell():
            st.metric(label, figure(estimate))
            st.caption(f"{INTERVAL} {interval(estimate)}")
    patients = f" of {test.n_patients:,} patients" if test.n_patients else ""
    st.caption(
        f"Measured on {test.n:,} test films{patients}, {test.n_positive:,} with "
        "pneumonia, held out from training, from every choice and from calibration. "
        "Sensitivity and specificity are those at the shipped threshold, "
        f"{threshold(card.threshold.value)}, chosen on the {card.threshold.split} "
        f"films: {sentence(card.threshold.rule)} Calibration error (ECE) is how far "
        "the probabilities are, on average, from the shares of ill patients."
    )


def show_purpose(card: Card) -> None:
    """Shows what a model is for and what it was made from."""
    st.subheader("Made for", anchor=False)
    st.markdown(escaped(card.intended_use))
    st.markdown(f"**Population.** {sentence(card.population)}")
    films, patients = sum(card.data.films.values()), sum(card.data.patients.values())
    st.markdown(
        f"**Films.** {films:,} of {patients:,} patients. "
        f"{escaped(card.data.name)}, {escaped(card.data.licence)}."
    )
    st.caption(escaped(card.data.source))
    st.markdown(f"**Network.** {escaped(card.architecture)}. {sentence(card.backbone)}")


def show_limits(card: Card) -> None:
    """Shows what a model can't do."""
    st.subheader("What it can't tell", anchor=False)
    st.markdown("\n".join(f"- {escaped(limit)}" for limit in card.limits))
