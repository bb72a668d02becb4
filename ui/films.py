"""The films of one session: uploaded, read once, listed by urgency.

What is kept is the outcome and a picture of at most `PICTURE_EDGE` pixels, in this
session alone. The uploader is a letter box: it is emptied as soon as its films are
read, so that their bytes don't stay in memory and a page change loses nothing.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from streamlit.runtime.uploaded_file_manager import UploadedFile

from cxr import reports
from cxr.errors import ImageError
from cxr.images import Film
from cxr.inference import Model, Prediction
from ui import state
from ui.loaders import decoder_pool
from ui.wording import (
    REFUSED,
    VERDICTS,
    escaped,
    file_name,
    probability,
    shortened,
)

FILE_TYPES = ["png", "jpg", "jpeg", "dcm", "dicom"]
MOST_FILMS, MOST_BYTES = 100, 500_000_000
PICTURE_EDGE = 1400
ROW_NAME = 18  # letters of a name in the list


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One uploaded film and what became of it.

    Attributes:
        name: of the file, fit to be shown.
        size: of the file, bytes.
        sha256: of the file.
        result: the prediction, or why there is none.
        picture: the film for the screen, `uint8`; None if it could not be read.
        facts: format and size in words; empty if it could not be read.
        cautions: sentences on why the score may not hold for this film.
        warnings: sentences on what was unusual in the file.
    """

    name: str
    size: int
    sha256: str
    result: Prediction | ImageError
    picture: NDArray[np.uint8] | None = None
    facts: str = ""
    cautions: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(kw_only=True)
class FilmList:
    """The films of a session, all read by one model.

    Attributes:
        model: id and SHA-256 of the model that read them.
        readings: by upload, in the order of uploading.
        chosen: the upload whose reading is shown.
        batch: number of the uploader; a new one is empty.
        open: whether films have been listed; the uploader moves aside then.
        notice: a sentence on the last upload, or empty.
    """

    model: tuple[str, str]
    readings: dict[str, Reading] = field(default_factory=dict)
    chosen: str = ""
    batch: int = 0
    open: bool = False
    notice: str = ""


def session_films(model: Model) -> FilmList:
    """Returns this session's films; another model starts with none."""
    films = st.session_state.get("films")
    reader = (model.card.model_id, model.sha256)
    if films is None or films.model != reader:
        changed = FilmList(model=reader)
        if films:
            changed.notice = "The active model has changed: upload the films again."
            changed.batch = films.batch + 1
        films = changed
        st.session_state["films"] = films
    return films


def add_films(films: FilmList, model: Model) -> None:
    """Shows the uploader, beside the films once there are any, and reads new films."""
    place = st.sidebar if films.open else st.container()
    uploads = place.file_uploader(
        "Add films" if films.open else "Chest films",
        type=FILE_TYPES,
        accept_multiple_files=True,
        key=f"upload_{films.batch}",
        help="PNG, JPEG or DICOM, up to 50 MB each. Films stay in the memory of this "
        "session and are never stored.",
    )
    if films.notice:
        place.warning(films.notice, icon=":material/inventory_2:")
    if not uploads:
        return
    fitting = _within_quota(films, uploads)
    # A rerun may come at any film; those that are read stay, the others come next.
    for upload, reading in _read(films, fitting, model):
        films.readings[upload.file_id] = reading
    new = [u.file_id for u in fitting]
    films.chosen = next((k for k in ordered(films) if k in new), films.chosen)
    films.notice = _left_out(len(uploads) - len(fitting))
    films.open = bool(films.readings)
    films.batch += 1
    st.rerun()


def choose_film(films: FilmList, model: Model) -> Reading:
    """Lists the films in the sidebar, urgent ones first, and returns the chosen one."""
    keys = ordered(films)
    if films.chosen not in keys:
        films.chosen = keys[0]
    with st.sidebar:
        if len(keys) > 1:
            _show_list(films, keys, model)
        st.button(
            "Remove all films" if len(keys) > 1 else "Remove this film",
            key="remove_films",
            icon=":material/delete:",
            type="tertiary",
            on_click=_remove,
            args=(films,),
        )
    return films.readings[films.chosen]


def ordered(films: FilmList) -> list[str]:
    """Returns the uploads, the most probable first and the refused ones last.

    That is above the threshold, uncertain, below it, wherever the threshold is.
    """

    def urgency(key: str) -> float:
        result = films.readings[key].result
        return 1.0 if isinstance(result, ImageError) else -result.probability

    return sorted(films.readings, key=urgency)


def _within_quota(films: FilmList, uploads: list[UploadedFile]) -> list[UploadedFile]:
    held = {k: r.size for k, r in films.readings.items()}
    fitting = []
    for upload in uploads:
        sizes = held | {upload.file_id: upload.size}
        if len(sizes) <= MOST_FILMS and sum(sizes.values()) <= MOST_BYTES:
            held = sizes
            fitting.append(upload)
    return fitting


def _left_out(count: int) -> str:
    if not count:
        return ""
    return (
        f"{count} of the films were left out: a session holds {MOST_FILMS} films and "
        f"{MOST_BYTES // 10**6} MB. Remove the films and upload those again."
    )


def _read(
    films: FilmList, uploads: list[UploadedFile], model: Model
) -> Iterator[tuple[UploadedFile, Reading]]:
    """Yields the reading of each upload that has none; copies are not read again."""
    todo = [u for u in uploads if u.file_id not in films.readings]
    progress = st.progress(0.0, "Reading films")
    for number, upload in enumerate(todo, 1):
        name = file_name(upload.name)
        sha256 = hashlib.sha256(upload.getbuffer()).hexdigest()
        scored = (r for r in films.readings.values() if r.picture is not None)
        same = next((r for r in scored if r.sha256 == sha256), None)
        if same:
            yield upload, replace(same, name=name)
        else:
            yield upload, _reading(upload, name, sha256, model)
        progress.progress(number / len(todo), f"Reading films: {number} of {len(todo)}")


def _reading(upload: UploadedFile, name: str, sha256: str, model: Model) -> Reading:
    try:
        film = decoder_pool().read(upload.getvalue())
        result = model.predict(film)
    except ImageError as error:
        return Reading(name=name, size=upload.size, sha256=sha256, result=error)
    return Reading(
        name=name,
        size=upload.size,
        sha256=sha256,
        result=result,
        picture=reports.picture(film.pixels, PICTURE_EDGE),
        facts=_facts(film),
        cautions=reports.cautions(film, model.card),
        warnings=film.warnings,
    )


def _facts(film: Film) -> str:
    return f"{film.format}, {film.width:,} × {film.height:,} pixels, {film.bits} bits"


def _show_list(films: FilmList, keys: list[str], model: Model) -> None:
    refused = sum(isinstance(r.result, ImageError) for r in films.readings.values())
    threshold = state.threshold(model.card)
    # The choice belongs to a film, not to a place in the list.
    st.session_state["chosen_film"] = films.chosen

    def choose() -> None:
        films.chosen = st.session_state["chosen_film"]

    st.markdown(f"{len(keys)} films, {refused} refused")
    with st.container(height=min(20 + 34 * len(keys), 420)):
        st.radio(
            "Films, the most urgent first",
            keys,
            format_func=lambda key: _row(films.readings[key], model, threshold),
            key="chosen_film",
            on_change=choose,
            label_visibility="collapsed",
        )


def _row(reading: Reading, model: Model, threshold: float) -> str:
    name = escaped(shortened(reading.name, ROW_NAME))
    if isinstance(reading.result, ImageError):
        return f":{REFUSED.colour}[{REFUSED.icon} {REFUSED.words}] {name}"
    value = reading.result.probability
    verdict = VERDICTS[model.decide(value, threshold)]
    return f":{verdict.colour}[{verdict.icon} **{probability(value)}**] {name}"


def _remove(films: FilmList) -> None:
    films.readings.clear()
    films.open, films.notice = False, ""
