"""One model's card in full, for people. Every number is the card's."""

from collections.abc import Mapping

import streamlit as st

from cxr.config import settings
from cxr.evaluation.calibration import IsotonicScaling, Scaling
from cxr.evaluation.estimates import Estimate
from cxr.models import cards, registry
from cxr.models.cards import Card
from ui import learning_curves, wording
from ui.charts import ink
from ui.models.metrics import show_metrics
from ui.models.table import Registered, created
from ui.wording import NOT_MEASURED, escaped, sentence

SPLITS = ("train", "validation", "calibration", "test")


def show_card(model: Registered) -> None:
    """Shows everything that the card holds, from purpose to files."""
    card = model.card
    if card is None:
        return
    grid = st.grid(2, min_column_width=380, gap="large")
    with grid.cell():
        _show_purpose(card)
    with grid.cell():
        _show_limits(card)
    with grid.cell():
        show_metrics(card)
    with grid.cell():
        _show_operation(card)
        _show_data(card)
    with grid.cell():
        _show_curves(card, sound=not model.problems)
    with grid.cell():
        _show_training(card)
    _show_files(card)
    _show_download(card)


def _show_purpose(card: Card) -> None:
    st.subheader("Made for", anchor=False)
    st.markdown(escaped(card.intended_use))
    st.markdown(f"**Population.** {sentence(card.population)}")
    if card.age_years:
        low, high = card.age_years
        st.markdown(f"**Age.** From {low:g} to below {high:g} years.")
    st.markdown(f"**Network.** {escaped(card.architecture)}, {card.input_size} pixels.")
    if card.tone:
        st.markdown(
            f"**Tone.** Every film is moved {card.tone.share:.0%} of the way to the "
            "mean grey scale of training films before the network reads it."
        )
    for member in card.members:
        st.markdown(
            f"**Member** {escaped(member.model_id)}: calibration by "
            f"{_in_words(member.calibration)}."
        )
    st.caption(f"Start of the backbone: {sentence(card.backbone)}")
    st.caption(
        f"Created {escaped(created(card))} UTC. Licence of the model: "
        f"{escaped(card.licence)}."
    )


def _show_limits(card: Card) -> None:
    st.subheader("What it can't tell", anchor=False)
    st.markdown("\n".join(f"- {escaped(limit)}" for limit in card.limits))


def _show_operation(card: Card) -> None:
    st.subheader("Threshold and calibration", anchor=False)
    threshold = card.threshold
    st.markdown(
        f"**Threshold {wording.threshold(threshold.value)}**, chosen on the "
        f"{escaped(threshold.split)} films: {sentence(threshold.rule)}"
    )
    band, scaling = card.uncertain_band, card.calibration
    st.markdown(
        f"**Uncertain band** from {band.below:.2f} below to {band.above:.2f} above the "
        f"threshold, in logits: {sentence(band.rule)}"
    )
    st.markdown(
        f"**Calibration** by {_in_words(scaling)}, fitted where "
        f"{scaling.prevalence:.1%} of the films show pneumonia. "
        f"{sentence(card.calibration_rule) if card.calibration_rule else ''}"
    )
    if subtypes := card.subtypes:
        st.markdown(
            f"**Bacterial against viral**, a weaker second opinion: AUC "
            f"{wording.estimate(subtypes.auc)} on {subtypes.bacterial:,} bacterial and "
            f"{subtypes.viral:,} viral test films. {sentence(subtypes.rule)}"
        )
    parity = card.parity
    st.markdown(
        f"**Serving equals training** within {parity.max_probability_difference:.1e} "
        f"on {parity.n:,} films (allowed: {parity.tolerance:g})."
    )


def _in_words(scaling: Scaling) -> str:
    if isinstance(scaling, IsotonicScaling):
        return f"isotonic regression, {len(scaling.knots)} knots"
    return (
        f"Platt scaling: slope {scaling.slope:.3f}, intercept {scaling.intercept:.3f}"
    )


def _show_data(card: Card) -> None:
    st.subheader("Films it was made from", anchor=False)
    data = card.data
    st.markdown(f"{escaped(data.name)}, {escaped(data.licence)}")
    st.caption(escaped(data.source))
    names = [*SPLITS, *(name for name in data.films if name not in SPLITS)]
    st.table(
        [
            {
                "Split": escaped(name.capitalize()),
                "Films": _count(data.films, name),
                "With pneumonia": _count(data.positives, name),
                "Patients": _count(data.patients, name),
            }
            for name in names
            if name in data.films
        ],
        border="horizontal",
        hide_index=True,
        alt="Films and patients in each split",
    )
    if card.places:
        _show_places(card)
    st.caption("Fingerprint of the data (SHA-256)")
    st.code(data.fingerprint, language=None, wrap_lines=True)


def _show_places(card: Card) -> None:
    st.table(
        [
            {
                "Other place": escaped(place.name),
                "Trained on": _count(place.films, "train"),
                "Tested on": _count(place.films, "test"),
                "AUC": _figure(place.auc),
                "Sensitivity": _figure(place.sensitivity),
                "Specificity": _figure(place.specificity),
            }
            for place in card.places
        ],
        border="horizontal",
        hide_index=True,
        alt="Films of other places, and what the model is worth on those held out",
    )
    for place in card.places:
        whose = sentence(place.population)
        st.caption(
            f"{escaped(place.name)}: {whose} {sentence(place.source)} Licence: "
            f"{escaped(place.licence)}."
        )


def _figure(estimate: Estimate | None) -> str:
    return NOT_MEASURED if estimate is None else wording.estimate(estimate)


def _count(counts: Mapping[str, int], name: str) -> str:
    return f"{counts[name]:,}" if name in counts else NOT_MEASURED


def _show_curves(card: Card, *, sound: bool) -> None:
    st.subheader("How it learned", anchor=False)
    if card.members:
        st.caption("An ensemble has no run of its own: see the cards of its members.")
        return
    if not sound or cards.HISTORY not in card.files:
        st.caption("Not shown: the model's files are not those on its card.")
        return
    epochs = learning_curves.epochs_of(card)
    if len(epochs) < 2:
        st.caption("Too few epochs are recorded for a curve.")
        return
    for title, figure in learning_curves.loss_and_auc(epochs, ink=ink()).items():
        words = f"{title} on training and validation films over {len(epochs)} epochs"
        st.caption(f"{title}: training dotted, validation solid")
        st.plotly_chart(
            figure,
            config=learning_curves.CONFIG,
            key=f"curve_{title}",
            theme=None,
            alt=words,
        )


def _show_training(card: Card) -> None:
    st.subheader("How it was trained", anchor=False)
    settings_shown = {k: v for k, v in card.training.items() if k != "seconds"}
    seconds = card.training.get("seconds")
    if isinstance(seconds, int | float):
        st.markdown(f"Took **{wording.duration(seconds)}**.")
    st.table(
        [
            {
                "Setting": name.replace("_", " "),
                "Value": escaped(_setting(value)) or NOT_MEASURED,
            }
            for name, value in settings_shown.items()
        ],
        border="horizontal",
        hide_index=True,
        alt="Settings of the training run",
    )
    versions = ", ".join(f"{name} {value}" for name, value in card.versions.items())
    st.caption(f"Made with {escaped(versions)}.")


def _setting(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _show_files(card: Card) -> None:
    st.subheader("Files", anchor=False)
    st.dataframe(
        [
            {"File": name, "Bytes": record.size, "SHA-256": record.sha256}
            for name, record in card.files.items()
        ],
        hide_index=True,
        column_config={
            "Bytes": st.column_config.NumberColumn(format="localized"),
            "SHA-256": st.column_config.TextColumn(width="large"),
        },
        alt="Files with size in bytes and SHA-256",
    )


def _show_download(card: Card) -> None:
    path = registry.folder_of(settings().models_dir, card.model_id) / cards.CARD
    st.download_button(
        "Card (JSON)",
        path.read_bytes(),
        file_name=f"{card.model_id}-card.json",
        mime="application/json",
        key="download_card",
        icon=":material/download:",
        on_click="ignore",
    )
