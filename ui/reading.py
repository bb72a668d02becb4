"""One reading, in the order in which it should be understood."""

import json

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from cxr import reports
from cxr.documents import plain
from cxr.errors import ImageError
from cxr.inference import UNCERTAIN, Model, Prediction
from cxr.registry import Card
from ui import charts, heatmap, state, wording
from ui.errors import show_errors
from ui.films import Reading
from ui.loaders import validation_curve


def show_reading(reading: Reading, model: Model) -> None:
    """Shows eligibility, decision, scale, costs, heat map, limits, in this order."""
    if isinstance(reading.result, ImageError):
        _show_refusal(reading, reading.result)
        return
    _show_eligibility(reading)
    grid = st.grid(3, min_column_width=270, gap="medium")
    with grid.cell():
        _show_decision(reading.result, model)
    with grid.cell():
        _show_scale(reading.result.probability, model)
    with grid.cell():
        _show_costs(model.card)
    _show_pictures(reading, reading.result, model)
    _show_limits(reading.result, model)


def _show_refusal(reading: Reading, error: ImageError) -> None:
    st.markdown(
        f"### :{wording.REFUSED.colour}[{wording.REFUSED.icon} {wording.REFUSED.words}]"
    )
    st.markdown(
        f"**{wording.escaped(reading.name)}** · {wording.escaped(error.message)}"
    )
    st.caption(f"No score was given to this film. Reason code: {error.code}.")


def _show_eligibility(reading: Reading) -> None:
    for caution in reading.cautions:
        st.warning(wording.escaped(caution), icon=":material/warning:")
    st.caption(
        f"**{wording.escaped(reading.name)}** · {reading.facts} · readable. The app "
        "does not yet check whether this is a frontal chest film of a child: please "
        "look."
    )
    for warning in reading.warnings:
        st.caption(f":material/info: {wording.escaped(warning)}")


def _show_decision(prediction: Prediction, model: Model) -> None:
    threshold, value = state.threshold(model.card), prediction.probability
    decision = model.decide(value, threshold)
    verdict = wording.VERDICTS[decision]
    side = "above" if value >= threshold else "below"
    st.markdown(f"### :{verdict.colour}[{verdict.icon} {verdict.words}]")
    st.markdown(
        f"Probability of pneumonia **{wording.probability(value, threshold)}**, "
        f"{side} your threshold {wording.threshold(threshold)}."
    )
    if decision == UNCERTAIN:
        low, high = model.band(threshold)
        st.markdown(
            f"It lies in the uncertain band from {wording.probability(low)} to "
            f"{wording.probability(high)}, where the model gives no answer: read the "
            "film without it."
        )
    if prediction.spread is not None:
        st.caption(
            f"The {len(model.card.members)} models of this ensemble lie "
            f"{prediction.spread:.2f} apart, in logits (standard deviation)."
        )
    _show_second_opinion(prediction, model.card)
    share = 100 * model.card.calibration.prevalence
    st.caption(
        f"Holds where {share:.0f} of 100 films show pneumonia, as among the films that "
        "it was calibrated on. Where fewer do, it is lower."
    )


def _show_second_opinion(prediction: Prediction, card: Card) -> None:
    if prediction.subtypes is None or card.subtypes is None:
        return
    parts = ", ".join(
        f"{name} {wording.probability(share)}"
        for name, share in prediction.subtypes.items()
    )
    st.caption(
        f"Second opinion, weaker: {parts}. Bacterial against viral has an AUC of "
        f"{wording.estimate(card.subtypes.auc)} on {card.subtypes.bacterial:,} and "
        f"{card.subtypes.viral:,} test films; it never changes the first answer."
    )


def _show_scale(value: float, model: Model) -> None:
    threshold = state.threshold(model.card)
    low, high = band = model.band(threshold)
    figure = charts.probability_scale(
        value,
        threshold=threshold,
        band=band,
        decision=model.decide(value, threshold),
        ink=st.get_option(f"theme.{st.context.theme.type or 'dark'}.textColor"),
    )
    words = (
        f"Probability {wording.probability(value)}, "
        f"threshold {wording.threshold(threshold)}, uncertain from "
        f"{wording.probability(low)} to {wording.probability(high)}"
    )
    st.plotly_chart(figure, config=charts.STATIC, key="probability_scale", alt=words)
    state.threshold_slider(model.card)


def _show_costs(card: Card) -> None:
    curve = validation_curve(card)
    point = curve.at(state.threshold(card))
    alarm_rate = point.specificity.through(lambda share: 1 - share)
    found, found_range = wording.per_thousand(point.sensitivity)
    alarms, alarms_range = wording.per_thousand(alarm_rate)
    st.markdown(
        f"**Sensitivity {wording.figure(point.sensitivity)}.** At this threshold "
        f"{found} films with pneumonia were found ({found_range})."
    )
    st.markdown(
        f"**Specificity {wording.figure(point.specificity)}.** {alarms} films without "
        f"pneumonia were above it too: false alarms ({alarms_range})."
    )
    st.caption(
        f"On {curve.n_positive + curve.n_negative:,} validation films, "
        f"{curve.n_positive:,} with pneumonia. The shipped threshold, "
        f"{wording.threshold(card.threshold.value)}, was chosen on the "
        f"{card.threshold.split} films: {wording.sentence(card.threshold.rule)}"
    )


@st.fragment
def _show_pictures(reading: Reading, prediction: Prediction, model: Model) -> None:
    """Shows film and heat map; its controls redraw this part of the page alone."""
    film = reading.picture
    if film is None:
        return
    with show_errors():
        pictures = st.grid(2, min_column_width=320, gap="small")
        controls = st.grid(4, min_column_width=170, vertical_alignment="bottom")
        opacity, colours = heatmap.choose_look(controls)
        heat = heatmap.heat_of(film, prediction, model.card)
        overlay = heatmap.overlay(film, heat, opacity, colours)
        pictures.image(film, caption="Film", width="stretch", alt="The film")
        pictures.image(
            overlay, caption=heatmap.caption(heat), width="stretch", alt="The heat map"
        )
        _show_downloads(controls, reading, prediction, model, overlay)
        st.caption(heatmap.MEANING)


def _show_downloads(
    place: st.delta_generator.DeltaGenerator,
    reading: Reading,
    prediction: Prediction,
    model: Model,
    overlay: NDArray[np.uint8],
) -> None:
    """Shows the buttons that save the reading, under names made from its hash."""
    document = reports.result_document(
        prediction,
        model,
        film_sha256=reading.sha256,
        threshold=state.threshold(model.card),
        warnings=reading.cautions + reading.warnings,
    )
    place.download_button(
        "Result (JSON)",
        json.dumps(plain(document), indent=2),
        file_name=f"result-{reading.sha256[:8]}.json",
        mime="application/json",
        key="download_json",
        icon=":material/download:",
        on_click="ignore",
        width="stretch",
    )
    place.download_button(
        "Heat map (PNG)",
        lambda: reports.png(overlay),
        file_name=f"heatmap-{reading.sha256[:8]}.png",
        mime="image/png",
        key="download_png",
        icon=":material/download:",
        on_click="ignore",
        width="stretch",
    )


def _show_limits(prediction: Prediction, model: Model) -> None:
    card = model.card
    grid = st.grid(2, min_column_width=320, gap="medium")
    with grid.cell():
        st.markdown("#### What this can't tell")
        st.markdown("\n".join(f"- {wording.escaped(limit)}" for limit in card.limits))
    with grid.cell():
        st.markdown("#### The model")
        st.markdown(f"**{card.model_id}**. {wording.sentence(card.population)}")
        st.markdown(wording.escaped(card.intended_use))
        st.caption(f"Network SHA-256 {prediction.model_sha256[:16]}…")
