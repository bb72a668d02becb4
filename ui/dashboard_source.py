"""What the dashboard is about: a model, its films, and what is worked out of both.

Scores name films and patients, so they stay in the session; the caches that sessions
share hold numbers only.
"""

import csv
import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import streamlit as st

from cxr import appraisal, registry
from cxr.appraisal import Appraisal, Wishes
from cxr.config import settings
from cxr.errors import CxrError, ModelError
from cxr.registry import Card
from cxr.scores import Scores
from ui import dashboard_checks, dashboard_local

VALIDATION = "validation"
CAUTIONS = {
    VALIDATION: "The shipped threshold and the targets were chosen on these films: "
    "they look better here than they will on others.",
    "calibration": "The calibration was fitted to these films: it looks better here "
    "than it will on others.",
}
WORDS = {
    "test": "test films",
    "validation": "validation films",
    "calibration": "calibration films",
}
HELD = 3  # sets of scores in a session
NONE = ""


@dataclass(frozen=True, kw_only=True)
class Source:
    """What the page shows.

    Attributes:
        card: of the model.
        films: a split of the model or the id of a local validation.
        scores: of these films, of this session.
        appraisal: worked out of them.
        other: id of the model to compare with, or empty.
        splits: of which the model has scores.
    """

    card: Card
    films: str
    scores: Scores
    appraisal: Appraisal
    other: str
    splits: tuple[str, ...]


def choose_source() -> Source:
    """Shows the choice of model, films and second model; returns what it is about.

    Raises:
        ModelError: there is no model, or its scores were changed.
    """
    cards = registry.cards(settings().models_dir)
    if not cards:
        raise ModelError(
            "There is no model yet. Train one, or put one into the models folder.",
            code="no-such-model",
        )
    active = _active_id()
    ids = sorted((c.model_id for c in cards), key=lambda name: name != active)
    by_id = {card.model_id: card for card in cards}
    grid = st.grid(3, min_column_width=240, vertical_alignment="bottom")
    model_id = grid.selectbox(
        "Model",
        ids,
        format_func=lambda name: f"{name} (active)" if name == active else name,
        key="dashboard_model",
        persist_state="session",
    )
    card = by_id[model_id]
    splits = _scored_splits(
        card.files[registry.SCORES].sha256, settings().models_dir, card
    )
    films = grid.selectbox(
        "Films",
        [*splits, *_local(card)],
        format_func=_films_in_words,
        key=f"dashboard_films_{model_id}",
        persist_state="session",
    )
    other = grid.selectbox(
        "Compare with",
        [NONE, *(name for name in ids if name != model_id)],
        format_func=lambda name: name or "no other model",
        key=f"dashboard_other_{model_id}",
        persist_state="session",
    )
    return Source(
        card=card,
        films=films,
        scores=scores_of(card, films),
        appraisal=appraisal_of(card, films),
        other=other,
        splits=splits,
    )


def caution(films: str) -> str:
    """Returns why these films flatter the model, in a sentence; empty if they don't."""
    if dashboard_local.is_local(films):
        return dashboard_local.caution(films)
    return CAUTIONS.get(films, "")


def scores_of(card: Card, films: str) -> Scores:
    """Returns the stored scores of some films, read once a session.

    Raises:
        ModelError: they were changed or are not there.
    """
    held: dict[tuple[str, str], Scores] = st.session_state.setdefault(
        "dashboard_scores", {}
    )
    key = (_hash(card, films), films)
    if key not in held:
        while len(held) >= HELD:
            held.pop(next(iter(held)))
        held[key] = (
            dashboard_local.scores(films)
            if dashboard_local.is_local(films)
            else registry.read_scores(settings().models_dir, card, films)
        )
    return held[key]


def appraisal_of(card: Card, films: str) -> Appraisal:
    """Returns what is worked out of a model's scores of some films."""
    pixels, stamp = dashboard_checks.film_pixels(card)
    return _appraisal(
        scores_of(card, films), card, pixels, _hash(card, films), films, stamp
    )


def targets_of(card: Card, wishes: Wishes, prevalence: float) -> dict[str, float]:
    """Returns the threshold of each wish, from the model's validation films.

    Raises:
        ModelError: the model has no such scores.
    """
    scores = scores_of(card, VALIDATION)
    asked = tuple(asdict(wishes).values())
    return _targets(scores, wishes, _hash(card, VALIDATION), asked, prevalence)


def history_of(card: Card) -> list[dict[str, str]]:
    """Returns the epochs of the run that made a model, none if it kept none.

    Raises:
        ModelError: the file was changed.
    """
    if registry.HISTORY not in card.files:
        return []
    content = registry.read_file(settings().models_dir, card, registry.HISTORY)
    return list(csv.DictReader(io.StringIO(content.decode("utf-8", "replace"))))


@st.cache_data(max_entries=50, show_spinner=False)
def _scored_splits(sha256: str, models_dir: Path, _card: Card) -> tuple[str, ...]:
    return appraisal.scored_splits(models_dir, _card)


@st.cache_resource(max_entries=6, show_spinner="Working out the figures")
def _appraisal(
    _scores: Scores,
    _card: Card,
    _pixels: Mapping[str, float],
    sha256: str,
    films: str,
    stamp: str,
) -> Appraisal:
    return appraisal.appraise(
        _scores, _card, films=_films_in_words(films), pixels=_pixels
    )


@st.cache_data(max_entries=200, show_spinner=False)
def _targets(
    _scores: Scores,
    _wishes: Wishes,
    sha256: str,
    asked: tuple[float, ...],
    prevalence: float,
) -> dict[str, float]:
    return appraisal.thresholds_for(_scores, _wishes, prevalence=prevalence)


def _hash(card: Card, films: str) -> str:
    """Stands for the scores and for what of the card is shown with them."""
    if dashboard_local.is_local(films):
        scores = dashboard_local.stamp(films)
    else:
        scores = card.files[registry.SCORES].sha256
    return f"{card.model_id} {scores} {card.threshold.value} {card.calibration}"


def _local(card: Card) -> list[str]:
    return dashboard_local.of_model(card)


def _films_in_words(films: str) -> str:
    if dashboard_local.is_local(films):
        return f"films of local validation {dashboard_local.name_of(films)}"
    return WORDS.get(films, f"{films} films")


def _active_id() -> str:
    try:
        return registry.active_id(settings().models_dir)
    except CxrError:
        return NONE
