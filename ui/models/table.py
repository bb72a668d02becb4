"""The models that are there, as a table: what each is worth and whether it is sound."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from cxr.config import Settings, settings
from cxr.errors import ModelError
from cxr.governance import trust
from cxr.models import registry
from cxr.models.cards import Card
from ui import signatures, wording
from ui.loaders import metrics_of
from ui.signatures import Signature

VERIFIED, CHANGED, UNREADABLE = "Verified", "Changed", "Card unreadable"
MOST_ROWS = 10  # in sight at once
ROW_PIXELS = 35
FIGURES = (
    *("Test AUC", "Sensitivity", "Specificity", "No answer", "Of the answered"),
    *("Threshold", "ECE"),
)
AUC_HELP = "On each model's own test patients, with 95 % interval."
RATE_HELP = "On the test patients, at the model's own threshold."
NO_ANSWER_HELP = "Share of the test films in the zone without an answer."
ANSWERED_HELP = "Sensitivity and specificity among the test films with an answer."
ECE_HELP = "Expected calibration error on the test patients."
CHOSEN = "models_chosen"
TABLE = "models_table"
NOTICE = "models_notice"
UNCHANGED = "The model that serves is unchanged."


@dataclass(frozen=True, kw_only=True)
class Registered:
    """One folder of the registry that has a card, sound or not.

    Attributes:
        model_id: name of the folder, fit to be shown.
        card: None if it can't be read.
        problems: sentences on what is wrong with card or files; none if all fit.
        serves: whether it is the active model.
        size: of all files, bytes.
    """

    model_id: str
    card: Card | None
    problems: tuple[str, ...]
    serves: bool
    size: int

    @property
    def state(self) -> str:
        """The state of its files in one or two words."""
        if self.card is None:
            return UNREADABLE
        return CHANGED if self.problems else VERIFIED


def registered_models() -> list[Registered]:
    """Returns every model folder with a card, the newest first, damaged ones last.

    Raises:
        CxrError: the audit trail, which holds the cards' own hashes, can't be read.
    """
    where = settings()
    active = _active_id(where.models_dir)
    folders = [where.models_dir / name for name in registry.names(where.models_dir)]
    registered = [_registered(where, folder, active) for folder in folders]
    return sorted(
        registered,
        key=lambda model: model.card.created if model.card else "",
        reverse=True,
    )


def show_models(models: Sequence[Registered]) -> None:
    """Shows the table of all models; a click on a row chooses its model."""

    def choose() -> None:
        rows = st.session_state[TABLE]["selection"]["rows"]
        if rows and models[rows[0]].card:
            st.session_state[CHOSEN] = models[rows[0]].model_id

    st.dataframe(
        [_row(model) for model in models],
        height=ROW_PIXELS * (min(len(models), MOST_ROWS) + 1) + 3,
        hide_index=True,
        key=TABLE,
        on_select=choose,
        selection_mode="single-row",
        column_config={
            "Model": st.column_config.TextColumn(pinned=True),
            "Test AUC": st.column_config.TextColumn(help=AUC_HELP),
            "Sensitivity": st.column_config.TextColumn(help=RATE_HELP),
            "Specificity": st.column_config.TextColumn(help=RATE_HELP),
            "No answer": st.column_config.TextColumn(help=NO_ANSWER_HELP),
            "Of the answered": st.column_config.TextColumn(help=ANSWERED_HELP),
            "ECE": st.column_config.TextColumn(help=ECE_HELP),
            "MB": st.column_config.NumberColumn(format="%.1f"),
        },
        alt="Registered models with their test figures and the state of their files",
    )
    if lines := [_problem_line(model) for model in models if model.problems]:
        st.warning("  \n".join(lines), icon=":material/report:")


def choose_model(models: Sequence[Registered]) -> Registered | None:
    """Returns the model that the rest of the page is about, at first the newest.

    None if no card can be read.
    """
    readable = {model.model_id: model for model in models if model.card}
    if not readable:
        return None
    if st.session_state.get(CHOSEN) not in readable:
        st.session_state[CHOSEN] = next(iter(readable))
    chosen = st.selectbox(
        "Model",
        list(readable),
        key=CHOSEN,
        persist_state="session",
    )
    return readable[chosen]


def show_no_models() -> None:
    """Says that there is no readable model, and how to add one."""
    st.info(
        "No model can be shown. Train one on the Train page, or import one below.",
        icon=":material/inventory_2:",
    )


def leave_notice(sentence: str, *, chosen: str) -> None:
    """Keeps what was done for the next run of the page, and starts it.

    Args:
        sentence: what was done.
        chosen: the model that the page is about next.
    """
    st.session_state[NOTICE] = sentence, chosen
    st.rerun()


def show_notice() -> None:
    """Shows what was done last, once."""
    sentence, chosen = st.session_state.pop(NOTICE, ("", ""))
    if sentence:
        st.session_state[CHOSEN] = chosen
        st.info(wording.escaped(sentence), icon=":material/task_alt:")


def ensembles_with(model: Registered, models: Sequence[Registered]) -> tuple[str, ...]:
    """Returns the ids of the ensembles that score with a model's network."""
    return tuple(
        other.model_id
        for other in models
        if other.card
        and model.model_id in {member.model_id for member in other.card.members}
    )


def created(card: Card) -> str:
    """Returns when a model was made, UTC, to the minute."""
    return card.created[:16].replace("T", " ")


def _problem_line(model: Registered) -> str:
    return (
        f"**{wording.escaped(model.model_id)}** · "
        f"{wording.escaped(' '.join(model.problems))}"
    )


def _active_id(models_dir: Path) -> str | None:
    try:
        return registry.active_id(models_dir)
    except ModelError:
        return None  # The frame says so on every page.


def _registered(where: Settings, folder: Path, active: str | None) -> Registered:
    files = signatures.signature(folder)
    try:
        card = registry.read_card(where.models_dir, folder.name)
        problems = _problems(
            (*signatures.model_signature(folder.name), *signatures.trail_signature()),
            where.models_dir,
            where.records_dir,
            folder.name,
        )
    except ModelError as error:
        card, problems = None, (error.message,)
    return Registered(
        model_id=wording.file_name(folder.name),
        card=card,
        problems=problems,
        serves=folder.name == active,
        size=sum(size for _, size, *_ in files),
    )


@st.cache_data(max_entries=256, show_spinner="Comparing files with their cards")
def _problems(
    files: Signature, models_dir: Path, records_dir: Path, model_id: str
) -> tuple[str, ...]:
    return tuple(trust.problems(models_dir, records_dir, model_id))


def _row(model: Registered) -> dict[str, str | float]:
    card = model.card
    figures = _figures(card) if card else dict.fromkeys(FIGURES, wording.NOT_MEASURED)
    return {
        "Model": model.model_id,
        "Serves": "serves" if model.serves else "",
        "Files": model.state,
        **figures,
        "MB": model.size / 1e6,
        "Architecture": card.architecture if card else wording.NOT_MEASURED,
        "Created": created(card)[:10] if card else wording.NOT_MEASURED,
    }


def _figures(card: Card) -> dict[str, str]:
    shown = dict.fromkeys(FIGURES, wording.NOT_MEASURED)
    shown["Threshold"] = wording.threshold(card.threshold.value)
    if test := metrics_of(card).get("test"):
        shown["Test AUC"] = wording.estimate(test.auc)
        shown["Sensitivity"] = wording.figure(test.sensitivity)
        shown["Specificity"] = wording.figure(test.specificity)
        shown["No answer"] = wording.figure(wording.answered(test, "no_answer"))
        shown["Of the answered"] = " / ".join(
            wording.figure(wording.answered(test, field))
            for field in ("sensitivity", "specificity")
        )
        shown["ECE"] = wording.figure(test.ece)
    return shown
