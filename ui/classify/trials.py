"""What more is asked of a reading: does its answer hold, where does its evidence lie.

It owns when these trials are made and how they are said. The first is made unasked
where the score lies near another answer; both wait for a click otherwise.
"""

from dataclasses import replace

import streamlit as st

from cxr.errors import ImageError
from cxr.models.inference import Model
from cxr.reading import stability, zones
from cxr.reading.stability import Stability
from cxr.reading.zones import Evidence
from ui import wording
from ui.classify.films import FilmList, ListedFilm
from ui.classify.keeping import keep_additions
from ui.classify.terms import Terms, stability_of

# Nine more calls of the network a film: of a list beyond this, a film that is near
# another answer waits until it is opened.
TRIED_AT_ONCE = 100


def tried_if_near(film: ListedFilm, model: Model, at: float) -> ListedFilm:
    """Returns the film with its small changes tried, if it lies near another answer.

    Args:
        film: with its picture; one that was tried comes back as it is.
        model: that read it.
        at: the reader's threshold, `[0, 1]`.
    """
    result = film.reading.result
    if isinstance(result, ImageError) or film.changed is not None:
        return film
    if film.reading.picture.size and stability.near(result.probability, model, at):
        return replace(film, changed=_changes(film, model))
    return film


def show_trials(listed: FilmList, film: ListedFilm, model: Model, at: Terms) -> None:
    """Shows what the trials of a film say, or the buttons that ask for them.

    Args:
        listed: the films of the session.
        film: the chosen one, with its picture and a score.
        model: that read it.
        at: the terms on which it is read.
    """
    tried = tried_if_near(film, model, at.threshold)
    if tried.changed is not None and tried is not film:
        listed.set_changed(listed.chosen, tried.changed)
        keep_additions(listed, listed.chosen, model)
    kept = listed.films[listed.chosen]
    found = stability_of(kept, model, at.threshold)
    if found is not None:
        st.markdown(stability_words(found))
    if kept.evidence is not None:
        st.markdown(evidence_words(kept.evidence), help=evidence_worth(model))
    with st.container(horizontal=True, gap="small"):
        if found is None:
            st.button(
                "Does the answer hold?",
                key="ask_stability",
                icon=":material/model_training:",
                type="tertiary",
                help="Nine small changes of the film (turned, cropped, brighter, "
                "darker, blurred), scored anew.",
                on_click=_try_changes,
                args=(listed, film, model),
            )
        if kept.evidence is None and _can_say_where(film, model):
            st.button(
                "In which zone?",
                key="ask_zone",
                icon=":material/grid_view:",
                type="tertiary",
                help="Each zone of the lungs is covered in turn. "
                + evidence_worth(model),
                on_click=_ask_zone,
                args=(listed, film, model),
            )


def stability_words(found: Stability) -> str:
    """Returns whether the answer holds, as Markdown."""
    span = f"{wording.probability(found.low)} to {wording.probability(found.high)}"
    if not found.flips:
        return (
            f":material/check: The answer holds in all {found.changes} small changes "
            f"of the film ({span})."
        )
    turned = found.changes - found.same
    return (
        f":violet[:material/swap_vert: **The answer does not hold**]: {turned} of "
        f"{found.changes} small changes of the film give another ({span})."
    )


def evidence_words(found: Evidence) -> str:
    """Returns where in the lungs the evidence lies, as Markdown."""
    zone = {
        zones.NO_EVIDENCE: "Nothing in the film raised the score.",
        zones.NO_SINGLE_ZONE: "The evidence lies in **no single zone** of the lungs.",
        zones.OUTSIDE: "The heat lies **outside the lungs**: look at the film.",
    }
    return zone.get(found.zone, f"The evidence lies in the **{found.zone}**.")


def evidence_worth(model: Model) -> str:
    """Returns how often a named zone was right, in a sentence."""
    measured = zones.baselines().models[model.sha256]
    return (
        f"Of {measured.tested} test films with an opacity planted in one zone a zone "
        f"was named in {measured.named}, and it was the right one in {measured.right}."
    )


def _can_say_where(film: ListedFilm, model: Model) -> bool:
    return film.reading.lungs is not None and (model.sha256 in zones.baselines().models)


def _changes(film: ListedFilm, model: Model) -> dict[str, float]:
    return stability.probabilities(film.reading.picture.astype("float32"), model)


def _try_changes(listed: FilmList, film: ListedFilm, model: Model) -> None:
    listed.set_changed(listed.chosen, _changes(film, model))
    keep_additions(listed, listed.chosen, model)


def _ask_zone(listed: FilmList, film: ListedFilm, model: Model) -> None:
    listed.set_evidence(listed.chosen, zones.evidence(film.reading, model))
    keep_additions(listed, listed.chosen, model)
