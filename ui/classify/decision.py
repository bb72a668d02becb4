"""The answer to a film: above, below, or none; its probability on a labelled scale."""

import streamlit as st

from cxr.models.cards import Card
from cxr.models.inference import UNCERTAIN, Model, Prediction
from ui import charts, thresholds, wording


def show_decision(prediction: Prediction, model: Model) -> None:
    """Shows the answer, the probability beside the threshold, and the scale."""
    threshold, value = thresholds.threshold(model.card), prediction.probability
    decision = model.decide(value, threshold)
    verdict = wording.VERDICTS[decision]
    st.markdown(f"### :{verdict.colour}[{verdict.icon} {verdict.words}]")
    side = "above" if value >= threshold else "below"
    words = (
        f"Probability of pneumonia **{wording.probability(value, threshold)}**, "
        f"{side} your threshold {wording.threshold(threshold)}"
    )
    doubt = ", in the zone without an answer: read the film without it"
    st.markdown(f"{words}{doubt if decision == UNCERTAIN else ''}.")
    _show_scale(value, threshold, model)


def show_second_opinion(prediction: Prediction, card: Card) -> None:
    """Shows what else the model says, behind a click: it is weaker."""
    parts = []
    if prediction.subtypes is not None and card.subtypes is not None:
        shares = ", ".join(
            f"{name} {wording.probability(share)}"
            for name, share in prediction.subtypes.items()
        )
        parts.append(
            f"{shares}. Of two films with pneumonia, one bacterial and one viral, it "
            f"tells which is which in {100 * card.subtypes.auc.value:.0f} of 100 pairs "
            "(50 would be chance). It never changes the first answer."
        )
    if prediction.spread is not None:
        parts.append(
            f"The {len(card.members)} models that answer here together lie "
            f"{prediction.spread:.2f} apart on the scale of their scores; 0 is of one "
            "mind."
        )
    if parts:
        with st.expander("Second opinion, weaker"):
            for part in parts:
                st.markdown(part)


def _show_scale(value: float, threshold: float, model: Model) -> None:
    low, high = band = model.band(threshold)
    figure = charts.probability_scale(
        value,
        threshold=threshold,
        band=band,
        decision=model.decide(value, threshold),
        ink=charts.ink(),
    )
    words = (
        f"Probability {wording.probability(value)}, "
        f"threshold {wording.threshold(threshold)}, no answer from "
        f"{wording.probability(low)} to {wording.probability(high)}"
    )
    st.plotly_chart(figure, config=charts.STATIC, key="probability_scale", alt=words)
