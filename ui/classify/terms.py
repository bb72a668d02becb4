"""The terms on which this session reads films, and a film as a case on them.

It owns what is asked once for all films: the threshold, and the share of pneumonia
among the reader's patients, which is empty until somebody states it.
"""

from dataclasses import dataclass

import streamlit as st

from cxr.config import settings
from cxr.errors import ImageError
from cxr.governance import stored_points
from cxr.models.cards import Card
from cxr.models.inference import Model
from cxr.reading import cases, meaning, stability
from cxr.reading.cases import Case
from cxr.reading.meaning import Answers
from cxr.reading.stability import Stability
from ui import prevalence, thresholds, wording
from ui.classify.films import ListedFilm
from ui.loaders import scores_of_test_films


@dataclass(frozen=True, kw_only=True)
class Terms:
    """On what terms films are read.

    Attributes:
        threshold: the reader's, `[0, 1]`.
        source: whose that is: "shipped", "site" or "reader".
        site: id of the site's operating point; empty if the threshold is none.
        prevalence: share of pneumonia here, `(0, 1)`; None until it is stated.
        answers: how often each answer is given to test films at this threshold; None
            for a model without test films.
    """

    threshold: float
    source: str
    site: str
    prevalence: float | None
    answers: Answers | None


def terms(card: Card) -> Terms:
    """Returns the terms of this session for a model, as they are now."""
    threshold, scores = thresholds.threshold(card), scores_of_test_films(card)
    counted = None
    if scores is not None:
        counted = meaning.answers(scores, card.uncertain_band, threshold)
    records_dir = settings().records_dir
    source, site = stored_points.source(records_dir, card, threshold)
    return Terms(
        threshold=threshold,
        source=source,
        site=site,
        prevalence=prevalence.stated(),
        answers=counted,
    )


def ask_prevalence() -> None:
    """Asks for the share of pneumonia among the reader's patients."""
    share = prevalence.stated()
    label = "Prevalence" if share is None else f"At {wording.percent(share)}"
    with st.popover(label, type="tertiary", icon=":material/groups:"):
        prevalence.ask("Patients with pneumonia, of 100")


def stability_of(film: ListedFilm, model: Model, threshold: float) -> Stability | None:
    """Returns whether a film's answer holds; None before its changes were tried.

    Args:
        film: listed.
        model: that read it.
        threshold: the reader's, `[0, 1]`.
    """
    result = film.reading.result
    if isinstance(result, ImageError) or film.changed is None:
        return None
    return stability.judged(result.probability, film.changed, model, threshold)


def case_of(film: ListedFilm, model: Model, at: Terms) -> Case:
    """Returns the film as a case; the picture is as it is in the film.

    Args:
        film: listed.
        model: that read it.
        at: the terms on which it is read.
    """
    answer = cases.answer(film.reading, model, at.threshold)
    ratio = None
    if at.answers is not None and answer != cases.REFUSED:
        ratio = at.answers.likelihood_ratio(answer)
    return Case(
        name=film.name,
        sha256=film.sha256,
        reading=film.reading,
        threshold=at.threshold,
        threshold_source=at.source,
        answer=answer,
        review=film.review,
        context=film.context,
        sample=film.sample,
        prevalence=at.prevalence,
        likelihood_ratio=ratio,
        stability=stability_of(film, model, at.threshold),
        evidence=film.evidence,
    )
