"""Models in and out as one file, and the check of all their files."""

from collections.abc import Sequence

import streamlit as st

from cxr.config import settings
from cxr.governance import exchange, trust
from cxr.records import actors
from ui.models.table import Registered, ensembles_with, leave_notice
from ui.people import actor, allowed, say_who_can
from ui.wording import escaped

BATCH = "models_import_batch"


def show_export(model: Registered, models: Sequence[Registered]) -> None:
    """Shows the button that saves a sound model as one zip file."""
    st.subheader("Export", anchor=False)
    where, who = settings(), actor()
    if model.card and model.card.members:
        names = ", ".join(member.model_id for member in model.card.members)
        st.caption(
            f"{escaped(model.model_id)} is an ensemble: its networks are those of "
            f"{escaped(names)}. Export these, and make the ensemble anew where they "
            "were imported (`python -m cxr models ensemble`)."
        )
        return
    st.markdown(
        f"**{escaped(model.model_id)}** as one file, {model.size / 1e6:.1f} MB: card, "
        "network, weights, scores and golden films."
    )
    if not allowed(actors.EXPORT):
        say_who_can(actors.EXPORT)
        return
    st.download_button(
        "Model (zip)",
        # Only what is really fetched went out, and is recorded.
        lambda: exchange.export_bytes(
            where.models_dir, where.records_dir, model.model_id, actor=who
        ),
        file_name=f"{model.model_id}.zip",
        mime="application/zip",
        key="export",
        icon=":material/download:",
        disabled=bool(model.problems),
    )
    if ensembles := ensembles_with(model, models):
        st.caption(
            f"The ensemble {escaped(', '.join(ensembles))} scores with this model's "
            "network: it can't serve if this folder is removed or changed."
        )
    if model.problems:
        st.caption("A model whose files are not those on its card is not exported.")


def show_import() -> None:
    """Shows the uploader of a zip file and registers what is in it as a candidate.

    Raises:
        ModelError: it is damaged or fails a check; nothing was registered.
        CxrError: the registry or the audit trail can't be written.
    """
    st.subheader("Import", anchor=False)
    if not allowed(actors.IMPORT):
        say_who_can(actors.IMPORT)
        return
    most = int(st.get_option("server.maxUploadSize"))
    batch = st.session_state.setdefault(BATCH, 0)
    upload = st.file_uploader(
        "Exported model",
        type=["zip"],
        key=f"models_import_{batch}",
        help=f"A zip file that this app exported, up to {most} MB; larger ones with "
        "`python -m cxr models import FILE`.",
    )
    st.caption(
        "The file is read as data: its hashes are compared with its card, and nothing "
        "in it is executed. The model becomes a candidate and doesn't serve."
    )
    if upload is None or not st.button("Import", key="import", type="primary"):
        return
    where = settings()
    with st.spinner("Checking the model"):
        card = exchange.import_model(
            where.models_dir, where.records_dir, upload, actor=actor()
        )
    st.session_state[BATCH] = batch + 1
    leave_notice(
        f"{card.model_id} was imported as a candidate; it doesn't serve.",
        chosen=card.model_id,
    )


def show_checks(models: Sequence[Registered]) -> None:
    """Shows the button that hashes every file of every model again."""
    st.subheader("Check all files", anchor=False)
    if not st.button("Verify all hashes", key="verify", icon=":material/fact_check:"):
        st.caption("Reads every file of every model again and compares its SHA-256.")
        return
    where = settings()
    progress = st.progress(0.0, "Comparing hashes")
    rows = []
    for number, model in enumerate(models, 1):
        problems: Sequence[str] = model.problems
        if model.card:
            problems = trust.problems(
                where.models_dir, where.records_dir, model.model_id
            )
        rows.append(
            {
                "Model": escaped(model.model_id),
                "Files": str(len(model.card.files)) if model.card else "–",
                "Result": escaped(" ".join(problems))
                or ":material/check_circle: All as on the card",
            }
        )
        progress.progress(number / len(models), f"Comparing hashes: {number}")
    progress.empty()
    st.table(rows, border="horizontal", hide_index=True, alt="Result for each model")
