"""The session's list in the history: kept as it grows, found again after a reload.

It owns when something of a listed film is kept, and what is said where nothing can be:
films are read on then.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TypeVar

import numpy as np
import streamlit as st

from cxr import documents
from cxr.config import settings
from cxr.errors import CxrError, ImageError
from cxr.models.inference import Model, Prediction
from cxr.reading import keeping
from cxr.reading.cases import Context, Review
from cxr.reading.eligibility import REFUSALS
from cxr.reading.scoring import Reading
from cxr.reading.zones import Evidence
from cxr.records import films as kept_films
from cxr.records import history, search
from cxr.records.kept import KeptCase
from ui import thresholds, wording
from ui.classify.films import (
    LIST,
    FilmList,
    ListedFilm,
    is_new,
    lost,
    remember,
    session_films,
)
from ui.classify.terms import Terms, case_of, terms
from ui.errors import logged
from ui.people import actor

SEVERAL_THRESHOLDS = (
    " They had been read at more than one threshold: the answers here are at yours, "
    "those that were given are in the History."
)
REFUSED = "No score was given to this film."
_Kept = TypeVar("_Kept")


def where_films_go() -> str:
    """Returns in a sentence what of an uploaded film stays, and where."""
    if settings().keep_films:
        return (
            "The history of this server keeps each answer and a copy of the film's "
            "pixels, without name or header."
        )
    return (
        "Films stay in the memory of this session and are never stored; the history "
        "keeps each answer, without the film and without any name."
    )


def listed_films(model: Model) -> FilmList:
    """Returns this session's films; those of the page's address at its beginning."""
    begins = is_new()
    listed = session_films(model)
    if begins:
        _find_again(listed, model)
        if not listed.films and not listed.notice:
            listed.notice = lost()
    remember(listed)
    return listed


def kept(listed: FilmList, film: ListedFilm, model: Model, at: Terms) -> ListedFilm:
    """Keeps the reading of a film that is about to be listed; returns it with its case.

    Args:
        listed: the films of the session.
        film: not listed yet, with its picture.
        model: that read it.
        at: the terms on which it is read.
    """
    where = settings()
    act = partial(keeping.keep, case_of(film, model, at), model, where.records_dir)
    case_id = _tried(
        listed,
        partial(
            act,
            actor=actor(),
            worklist=listed.worklist,
            site=at.site,
            with_film=where.keep_films,
        ),
    )
    return replace(film, case_id=case_id or "")


def keep_review(listed: FilmList, review: Review | None, model: Model) -> None:
    """Keeps the reader's answer to the chosen film; None takes it back."""
    film = listed.films[listed.chosen]
    answer, who = case_of(film, model, terms(model.card)).answer, actor()
    if film.case_id:
        where = settings().records_dir
        act = partial(keeping.review, where, film.case_id, review, actor=who)
        _tried(listed, partial(act, answer=answer))
    listed.set_review(review)


def keep_additions(
    listed: FilmList, key: str, model: Model, *, context: Context | None = None
) -> None:
    """Keeps what was asked of a film after its reading, or is known besides.

    Args:
        listed: the films of the session.
        key: of the film; what was asked of it holds for its copies too.
        model: that read it.
        context: what is known of the patient, if that was added.
    """
    at, who, where = terms(model.card), actor(), settings().records_dir
    for copy in [key] if context else listed.copies(key):
        film = listed.films[copy]
        case = case_of(film, model, at)
        act = partial(keeping.add, where, film.case_id, actor=who, context=context)
        if film.case_id and context:
            _tried(listed, act)
        elif film.case_id:
            held = {"stability": case.stability, "evidence": case.evidence}
            _tried(listed, partial(act, **held))


def take_off(listed: FilmList, *keys_: str) -> None:
    """Takes films off the list for good; what the history keeps of them stays."""
    case_ids = [listed.films[key].case_id for key in keys_]
    for key in keys_:
        listed.remove(key)
    if any(case_ids):
        ids = [case_id for case_id in case_ids if case_id]
        where = settings().records_dir
        _tried(listed, lambda: history.unlist(where, ids, actor=actor()))


def row_of(listed: FilmList, sha256: str) -> str:
    """Returns the row of a film that was found again without its picture, or empty.

    Args:
        listed: the films of the session.
        sha256: of a file that is uploaded.
    """
    if not any(film.found_again for film in listed.films.values()):
        return ""
    where = settings().records_dir
    hashed = _tried(listed, lambda: history.known_as(where, sha256))
    for key, film in listed.films.items():
        if film.found_again == hashed:
            return key
    return ""


def show_trouble(listed: FilmList) -> None:
    """Shows that nothing is being kept, and why, or how much of the list was not."""
    words, keeper = [], listed.keeper
    if keeper.trouble:
        why = wording.message(keeper.trouble.message)
        words.append(f"**Nothing is being kept.** {why}")
    if keeper.missed:
        missed = f"{keeper.missed:,} readings or reviews"
        words.append(f"Of this list {missed} are not kept.")
    if words:
        st.warning(" ".join(words), icon=":material/history_toggle_off:")


def _find_again(listed: FilmList, model: Model) -> None:
    """Lists again what the history has of the list in the page's address.

    Only to the reader whose list it was. The list says what could not be found again.
    """
    worklist = st.query_params.get(LIST, "")
    if not worklist:
        return
    where = settings().records_dir
    known = _tried(listed, lambda: search.worklist(where, worklist))
    mine = [case for case in known or () if case.reader == actor()]
    same = [case for case in mine if case.reading.model_sha256 == model.sha256]
    if not mine:
        return
    if same:
        listed.worklist, listed.open = worklist, True
        for case in same:
            listed.add(case.case_id, _listed(case))
    listed.notice = _found_words(listed, len(mine) - len(same))
    if len(read_at := {case.reading.threshold for case in same}) == 1:
        thresholds.set_threshold(model.card, thresholds.CLASSIFY, *read_at)
    elif same:
        listed.notice += SEVERAL_THRESHOLDS


def _tried(listed: FilmList, act: Callable[[], _Kept]) -> _Kept | None:
    """Returns what an act of the history gives; None where it can't be done."""
    known = listed.keeper.trouble
    done = listed.keeper.tried(act)
    trouble = listed.keeper.trouble
    if trouble and (known is None or known.message != trouble.message):
        logged(trouble)
    return done


def _listed(case: KeptCase) -> ListedFilm:
    """Returns a kept case as it was listed, without what was not kept."""
    where = settings().records_dir
    picture = b""
    with suppress(CxrError):  # It was not kept, or deleted meanwhile.
        picture = kept_films.read(where, case.case_id)
    review = None
    if case.opinion:
        review = Review(
            opinion=case.opinion,
            reason=case.reason,
            pneumonia=case.pneumonia,
            blind=case.blind,
        )
    stability, evidence = case.stability, case.evidence
    return ListedFilm(
        name=f"Case {case.case_id}",
        size=0,
        sha256="",
        reading=_reading(case),
        packed=picture,
        review=review,
        context=Context(**case.context),
        changed=stability["probabilities"] if stability else None,
        evidence=documents.build(evidence, Evidence) if evidence else None,
        sample=case.reading.sample,
        case_id=case.case_id,
        found_again=case.reading.film,
        answer_seen=bool(case.reviewed),
    )


def _reading(case: KeptCase) -> Reading:
    kept = case.reading
    result: Prediction | ImageError
    if kept.probability is None or kept.logit is None:
        result = ImageError(REFUSALS.get(kept.code, REFUSED), code=kept.code)
    else:
        nothing = np.empty((0, 0), np.float32)
        result = Prediction(
            probability=kept.probability,
            activation_map=nothing,
            pooled=nothing[0:0].ravel(),
            model_id=kept.model_id,
            model_sha256=kept.model_sha256,
            logit=kept.logit,
        )
    return Reading(
        result=result,
        cautions=kept.cautions,
        warnings=kept.warnings,
        format=kept.format,
        bits=kept.bits,
        height=kept.height,
        width=kept.width,
    )


def _found_words(listed: FilmList, of_another: int) -> str:
    """Returns how many films were found again, and what is not there of them."""
    films, parts = listed.films.values(), []
    if films:
        count = "1 film was" if len(films) == 1 else f"{len(films):,} films were"
        there = all(film.packed for film in films if not film.refused)
        gone = "Names of files are" if there else "Films and names are"
        parts.append(
            f"{count} found again in the history, with answers and reviews. {gone} not "
            "kept: upload a film again for its heat map."
        )
    if of_another:
        count = "1 film" if of_another == 1 else f"{of_another:,} films"
        parts.append(
            f"{count} of this list had been read by another model: see the History."
        )
    return " ".join(parts)
