"""The list beside the reading: which film is next, and how far the review has come.

It owns order, filter and rows of the list and the steps from film to film. A page of
`ROWS` rows is drawn, however many films there are.
"""

from collections import Counter
from collections.abc import Callable
from pathlib import PurePath

import streamlit as st

from cxr.errors import ImageError
from cxr.models.inference import Model
from cxr.reading import cases
from cxr.records import kept
from ui import thresholds
from ui.classify import browser, keyboard
from ui.classify.exports import show_export
from ui.classify.films import FilmList, ListedFilm, remember
from ui.classify.keeping import take_off
from ui.classify.own_read import HIDDEN, is_hidden
from ui.classify.terms import stability_of
from ui.reviews import ICONS
from ui.wording import (
    LONGEST_NAME,
    REFUSED,
    VERDICTS,
    escaped,
    probability,
    shortened,
)

ROWS = 50
ALL, NOT_REVIEWED = "All films", "Not reviewed"
FILTERS = {
    ALL: "",
    "Above threshold": kept.ABOVE,
    "Below threshold": kept.BELOW,
    "No answer": cases.NO_ANSWER,
    "Refused": cases.REFUSED,
    NOT_REVIEWED: "",
}
URGENCY, NAME, UPLOAD = "By urgency", "By name", "As uploaded"
SORTS = (URGENCY, NAME, UPLOAD)
FILTER, SORT = "list_filter", "list_sort"
# Two words for each reason; the reading says the whole sentence.
REASONS = {
    "not-opened": "not opened",
    "empty": "empty file",
    "too-large": "too large",
    "not-an-image": "no image",
    "incomplete": "incomplete file",
    "unreadable": "damaged file",
    "too-many-scans": "odd JPEG",
    "too-slow": "too slow",
    "decoder-failed": "not readable",
    "too-many-pixels": "too large",
    "too-small": "too small",
    "too-narrow": "too narrow",
    "multi-frame": "several pictures",
    "colour": "in colour",
    "transparent": "transparent",
    "few-tones": "few tones",
    "blank": "blank picture",
    "narrow-tones": "few tones",
    "half-blank": "half blank",
    "noise": "only noise",
    "not-finite": "odd tones",
    "no-preamble": "no header",
    "no-image": "no image",
    "not-a-film": "no film",
    "transfer-syntax": "odd compression",
    "header": "odd header",
    "bit-depth": "odd depth",
    "lateral-view": "lateral view",
    "other-view": "not frontal",
    "other-body-part": "no chest",
    "sideways": "lies sideways",
    "upside-down": "upside down",
    "inverted": "inverted tones",
    "no-lungs": "no lungs",
    "not-frontal-chest": "no chest",
}


def choose_film(
    listed: FilmList, model: Model, place: st.delta_generator.DeltaGenerator
) -> ListedFilm:
    """Shows the list in a place and returns the chosen film with its picture.

    Args:
        listed: the films of the session; at least one.
        model: that read them.
        place: on the page.
    """
    keys = shown(listed, model)
    if listed.chosen not in listed.films:
        listed.chosen = keys[0]
    with place:
        _show_worklist(listed, keys, model)
    return listed.films[listed.chosen].unpacked()


def _show_worklist(listed: FilmList, keys: list[str], model: Model) -> None:
    """Shows counts, filter, order, rows and steps."""
    if len(listed.films) > 1:
        st.markdown(f"**{counts(listed, model)}**", help=keyboard.HELP)
        _show_choices(listed, model)
        _show_steps(listed, keys)
        _show_rows(listed, keys, model)
    with st.container(horizontal=True, gap="small"):
        if len(listed.films) > 1:
            seen = [key for key in keys if not is_hidden(listed.films[key])]
            show_export(listed, seen, model)
        _show_removal(listed, keys)


def counts(listed: FilmList, model: Model) -> str:
    """Returns how many films there are and how many have which answer, in one line."""
    threshold = thresholds.threshold(model.card)
    films = [film for film in listed.films.values() if not is_hidden(film)]
    answers = Counter(cases.answer(f.reading, model, threshold) for f in films)
    parts = (
        (answers[kept.ABOVE], "above"),
        (answers[kept.BELOW], "below"),
        (answers[cases.NO_ANSWER], "no answer"),
        (answers[cases.REFUSED], "refused"),
        (len(listed.films) - len(films), "not read yet"),
    )
    total = len(listed.films)
    words = [f"{total:,} film{'' if total == 1 else 's'}"]
    return " · ".join(words + [f"{count:,} {word}" for count, word in parts if count])


def ordered(listed: FilmList, model: Model, sort: str = URGENCY) -> list[str]:
    """Returns the uploads in an order of the list.

    The most urgent first is by probability, the refused ones last: above the threshold,
    no answer, below it, wherever the threshold is. A film whose answer does not hold
    counts by the highest probability that a small change gave it.

    Args:
        listed: the films of the session.
        model: that read them.
        sort: one of `SORTS`.
    """
    threshold = thresholds.threshold(model.card)

    def urgency(key: str) -> float:
        film = listed.films[key]
        if isinstance(film.reading.result, ImageError):
            return 1.0
        if is_hidden(film):
            return -1.0  # all of them first, in the order of uploading
        held = stability_of(film, model, threshold)
        if held is not None and held.flips:
            return -held.high
        return -film.reading.result.probability

    if sort == UPLOAD:
        return list(listed.films)
    if sort == NAME:
        return sorted(listed.films, key=lambda key: listed.films[key].name.casefold())
    return sorted(listed.films, key=urgency)


def shown(listed: FilmList, model: Model) -> list[str]:
    """Returns the uploads that the filter lets through, in the reader's order.

    The chosen film stays until another one is chosen: a film that is reviewed under
    "Not reviewed" does not go away under the reader's eyes.
    """
    keys = ordered(listed, model, st.session_state.get(SORT) or URGENCY)
    fits = _filter(model)
    return [key for key in keys if key == listed.chosen or fits(listed.films[key])]


def row(film: ListedFilm, model: Model, threshold: float) -> str:
    """Returns a film's line: answer, name, whether a sample, review; as Markdown.

    Of a long name the middle is left out; beside the chosen film it is whole.

    Args:
        film: listed.
        model: that read it.
        threshold: the reader's operating point, `[0, 1]`.
    """
    name = PurePath(film.name).stem if film.sample else film.name
    name = f":small[{escaped(shortened(name, LONGEST_NAME))}]"
    mark = " :gray[:material/science:]" if film.sample else ""
    mark += f" {ICONS[film.review.opinion]}" if film.review else ""
    result = film.reading.result
    if isinstance(result, ImageError):
        reason = REASONS.get(result.code, REFUSED.words.lower())
        return f":{REFUSED.colour}[{REFUSED.icon} {reason}] {name}{mark}"
    if is_hidden(film):
        return f"{HIDDEN} {name}{mark}"
    value = result.probability
    verdict = VERDICTS[model.decide(value, threshold)]
    held = stability_of(film, model, threshold)
    turned = " :violet[:material/swap_vert:]" if held and held.flips else ""
    shown = f":{verdict.colour}[{verdict.icon} **{probability(value)}**]"
    return f"{shown}{turned} {name}{mark}"


def _filter(model: Model) -> Callable[[ListedFilm], bool]:
    """Returns whether a film passes the reader's filter, as a function."""
    choice = st.session_state.get(FILTER) or ALL
    if choice == ALL:
        return lambda film: True
    if choice == NOT_REVIEWED:
        return lambda film: film.review is None
    threshold = thresholds.threshold(model.card)
    return lambda film: (
        not is_hidden(film)
        and (cases.answer(film.reading, model, threshold) == FILTERS[choice])
    )


def _show_choices(listed: FilmList, model: Model) -> None:
    def filtered() -> None:
        fits = _filter(model)
        if not fits(listed.films[listed.chosen]):
            keys = [key for key in shown(listed, model) if key != listed.chosen]
            listed.chosen = keys[0] if keys else listed.chosen

    st.selectbox(
        "Show",
        list(FILTERS),
        label_visibility="collapsed",
        key=FILTER,
        on_change=filtered,
        persist_state="session",
    )
    st.selectbox(
        "Order", SORTS, label_visibility="collapsed", key=SORT, persist_state="session"
    )


def _show_rows(listed: FilmList, keys: list[str], model: Model) -> None:
    """Shows the rows around the chosen film, `ROWS` at a time."""
    threshold = thresholds.threshold(model.card)
    part = keys.index(listed.chosen) // ROWS
    rows = keys[part * ROWS : (part + 1) * ROWS]
    labels = {key: row(listed.films[key], model, threshold) for key in rows}
    # The choice belongs to a film, not to a place in the list.
    st.session_state["chosen_film"] = listed.chosen

    def choose() -> None:
        listed.chosen = st.session_state["chosen_film"]

    with st.container(border=True, key="worklist"):
        st.radio(
            "Films",
            rows,
            format_func=labels.__getitem__,
            key="chosen_film",
            on_change=choose,
            label_visibility="collapsed",
        )
    browser.keep_chosen_in_view(keys.index(listed.chosen))
    if len(keys) > ROWS:
        _show_parts(listed, keys, part)


def _show_parts(listed: FilmList, keys: list[str], part: int) -> None:
    """Shows which part of a long list is drawn, and lets the reader turn to another."""
    st.session_state["list_part"] = part + 1

    def turn() -> None:
        listed.chosen = keys[(st.session_state["list_part"] - 1) * ROWS]

    st.pagination(
        -(-len(keys) // ROWS), key="list_part", on_change=turn, max_visible_pages=5
    )


def _show_steps(listed: FilmList, keys: list[str]) -> None:
    """Shows the buttons to the film before and after, and how far one is."""
    place = keys.index(listed.chosen)

    def go(to: int) -> None:
        listed.chosen = keys[to]

    steps = st.container(horizontal=True, gap="small")
    steps.button(
        "Previous",
        key="previous_film",
        shortcut=keyboard.PREVIOUS,
        disabled=place == 0,
        on_click=go,
        args=(place - 1,),
        width="stretch",
    )
    steps.button(
        "Next",
        key="next_film",
        shortcut=keyboard.NEXT,
        disabled=place == len(keys) - 1,
        on_click=go,
        args=(place + 1,),
        width="stretch",
    )


def _show_removal(listed: FilmList, keys: list[str]) -> None:
    """Shows what takes films off the list; all of them are two clicks away."""
    place = keys.index(listed.chosen)
    rest = keys[place + 1 :] + keys[:place][::-1]

    def remove_one() -> None:
        take_off(listed, listed.chosen)
        listed.chosen = rest[0] if rest else ""
        remember(listed)

    def remove_all() -> None:
        take_off(listed, *listed.films)
        remember(listed)

    several = len(listed.films) > 1
    menu = st.popover("Remove", icon=":material/delete:") if several else st
    menu.button(
        "Remove this film",
        key="remove_film" if several else "remove_films",
        icon=":material/delete:",
        type="tertiary",
        on_click=remove_one,
    )
    if several:
        menu.button(
            f"Remove all {len(listed.films):,} films",
            key="remove_films",
            icon=":material/delete_sweep:",
            type="tertiary",
            on_click=remove_all,
        )
