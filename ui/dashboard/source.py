"""What the dashboard is about: a model, its films, and what is worked out of both.

Scores name films and patients, so they stay in the session; the caches that sessions
share hold numbers only.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import streamlit as st
from streamlit.elements.lib.grid_container import GridContainer

from cxr.config import settings
from cxr.errors import CxrError, ModelError
from cxr.evaluation.overview import View
from cxr.evaluation.scores import Scores
from cxr.models import registry
from cxr.models.cards import Card
from cxr.validation.appraisal import Appraisal, Target, Wishes, appraise, targets_for
from ui.dashboard import checks
from ui.dashboard.scored_films import (
    VALIDATION,
    ScoredFilms,
    SplitFilms,
    films_of_model,
    scored_splits,
)

HELD = 3  # sets of scores in a session
NONE = ""


@dataclass(frozen=True, kw_only=True)
class Source:
    """What the page shows.

    Attributes:
        card: of the model.
        films: a split of the model, or those of a local validation.
        scores: of these films, of this session.
        appraisal: worked out of them.
        other: id of the model to compare with, or empty.
        splits: of which the model has scores.
    """

    card: Card
    films: ScoredFilms
    scores: Scores
    appraisal: Appraisal
    other: str
    splits: tuple[str, ...]

    def band(self, threshold: float) -> tuple[float, float]:
        """Returns the edges of the zone without an answer around a threshold."""
        return self.card.uncertain_band.around(min(max(threshold, 0.0), 1.0))

    def view(self, threshold: float, prevalence: float | None) -> View:
        """Returns what a threshold does to the films, with its zone, and here.

        Args:
            threshold: the one that is looked at.
            prevalence: of pneumonia among the reader's patients; None if not stated.
        """
        return self.appraisal.overview.at(
            threshold, band=self.band(threshold), prevalence=prevalence
        )


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
    films = _choose_films(card, grid)
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
        splits=scored_splits(card),
    )


def scores_of(card: Card, films: ScoredFilms) -> Scores:
    """Returns a model's scores of some films, read once a session.

    Raises:
        CxrError: they were changed or are not there.
    """
    held: dict[str, Scores] = st.session_state.setdefault("dashboard_scores", {})
    key = _stamp(card, films)
    if key not in held:
        while len(held) >= HELD:
            held.pop(next(iter(held)))
        held[key] = films.scores()
    return held[key]


def appraisal_of(card: Card, films: ScoredFilms) -> Appraisal:
    """Returns what is worked out of a model's scores of some films.

    Raises:
        CxrError: the scores were changed or are not there.
    """
    pixels, check = checks.film_pixels(card)
    scores, words = scores_of(card, films), films.words()
    return _appraisal(scores, card, pixels, _stamp(card, films), words, check)


def targets_of(
    card: Card, wishes: Wishes, prevalence: float | None
) -> tuple[Target, ...]:
    """Returns the threshold of each wish, from the model's validation films.

    Args:
        card: of the model.
        wishes: the targets that are asked for.
        prevalence: of pneumonia among the reader's patients; None leaves out the
            targets that need it.

    Raises:
        ModelError: the model has no such scores.
    """
    films = SplitFilms(card=card, split=VALIDATION)
    asked = tuple(asdict(wishes).values())
    return _targets(
        scores_of(card, films), wishes, _stamp(card, films), asked, prevalence
    )


def _choose_films(card: Card, grid: GridContainer) -> ScoredFilms:
    films = films_of_model(card)
    key = grid.selectbox(
        "Films",
        list(films),
        format_func=lambda key: films[key].words(),
        key=f"dashboard_films_{card.model_id}",
        persist_state="session",
    )
    return films[key]


@st.cache_resource(max_entries=6, show_spinner="Working out the figures")
def _appraisal(
    _scores: Scores,
    _card: Card,
    _pixels: Mapping[str, float],
    stamp: str,
    films: str,
    check: str,
) -> Appraisal:
    return appraise(_scores, _card, films=films, pixels=_pixels)


@st.cache_data(max_entries=200, show_spinner=False)
def _targets(
    _scores: Scores,
    _wishes: Wishes,
    stamp: str,
    asked: tuple[float, ...],
    prevalence: float | None,
) -> tuple[Target, ...]:
    return targets_for(_scores, _wishes, prevalence=prevalence)


def _stamp(card: Card, films: ScoredFilms) -> str:
    """Returns a text that changes with the scores, the threshold or the calibration."""
    return f"{card.model_id} {films.stamp()} {card.threshold.value} {card.calibration}"


def _active_id() -> str:
    try:
        return registry.active_id(settings().models_dir)
    except CxrError:
        return NONE
