"""Films on their way in: uploaded, read in batches, listed as their readings come.

The uploader is a letter box: it is emptied as soon as its films are read, so that a
page change loses nothing. The bytes of a film are freed as soon as it is read.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

import streamlit as st
from streamlit.proto.Common_pb2 import FileURLs
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import UploadedFile, UploadedFileRec

from cxr.config import settings
from cxr.errors import CxrError
from cxr.films import display, kinds
from cxr.models.inference import Model
from cxr.reading import samples, scoring
from ui import wording
from ui.classify.films import (
    MOST_BYTES,
    MOST_FILMS,
    FilmList,
    ListedFilm,
    remember,
)
from ui.classify.keeping import kept, row_of, where_films_go
from ui.classify.terms import Terms, terms
from ui.classify.trials import TRIED_AT_ONCE, tried_if_near
from ui.classify.worklist import ordered, row
from ui.errors import logged
from ui.loaders import decoder_pool, lung_network
from ui.people import actor
from ui.samples import WANTED, offer
from ui.wording import WHOLE_NAME, escaped, file_name

ROWS_WHILE_READING = 10
# Every film is shown as it is read; of many, every tenth, so that drawing costs little.
DRAWN_ONE_BY_ONE, DRAWN_EVERY = 40, 10
NAMES_LEFT_OUT = 1000  # more are counted only
# Side by side is more films a second, but takes a second compilation of each network,
# memory and seconds that many sessions would pay; decoding takes longer than either.
FILMS_AT_ONCE = 1
FOLDER = "whole_folder"
SAMPLE = "sample:"  # begins the upload of a sample film
ALONG = "came along with the films and is none"
NO_FILM = "no film by its name and its content"
NO_ROOM = f"the list is full ({MOST_FILMS:,} films or {MOST_BYTES // 10**6} MB)"
STOPPED = "reading was stopped before it"


@dataclass(frozen=True, kw_only=True)
class _Upload:
    """An upload that waits for its reading, by the hash of its bytes."""

    file: UploadedFile
    sha256: str

    def listed(self, reading: scoring.Reading) -> ListedFilm:
        return ListedFilm(
            name=file_name(self.file.name, WHOLE_NAME),
            size=self.file.size,
            sha256=self.sha256,
            reading=reading,
            sample=samples.sample_of(self.sha256) is not None,
        )


def add_films(listed: FilmList, model: Model) -> None:
    """Shows the uploader, beside the films once there are any, and reads new films."""
    place = st.sidebar if listed.open else st.container()
    files = _show_uploader(place, listed) + _wanted_samples(listed)
    if listed.notice:
        place.warning(listed.notice, icon=":material/inventory_2:")
    _show_left_out(place, listed)
    if not files:
        return
    listed.left_out.clear()
    _read(listed, _films_among(listed, files), model)
    for file in files:
        release(file)
    new = {file.file_id for file in files}
    listed.chosen = next((k for k in ordered(listed, model) if k in new), listed.chosen)
    _close(listed)
    st.rerun()


def _show_uploader(
    place: st.delta_generator.DeltaGenerator, listed: FilmList
) -> list[UploadedFile]:
    """Shows one uploader, for files or for a folder, and returns what is in it."""
    folder = bool(st.session_state.get(FOLDER))
    files = place.file_uploader(
        "Add films" if listed.open else "Chest films",
        # Any name: archives send films without an ending. The content says what it is.
        type=None,
        accept_multiple_files="directory" if folder else True,
        key=f"upload_{listed.batch}_{'folder' if folder else 'files'}",
        help="PNG, JPEG, JPEG 2000 or DICOM by any name, up to 50 MB each and "
        f"{MOST_FILMS:,} at a time. {where_films_go()}",
    )
    choices = place.container(
        horizontal=True, vertical_alignment="center", gap="medium"
    )
    choices.toggle(
        "A whole folder",
        key=FOLDER,
        help="A disc or a folder with all that is below it: what can't be a film is "
        "left out, and named.",
        persist_state="session",
        width="content",
    )
    if not any(key.startswith(SAMPLE) for key in listed.films):
        offer(choices, key="try_samples", strong=not listed.open)
    return list(files or [])


def _wanted_samples(listed: FilmList) -> list[UploadedFile]:
    """Returns the sample films as uploads, if the reader asked for them.

    They go the way of every upload. If they are not those that shipped, none is read
    and the list says why.
    """
    if not st.session_state.get(WANTED):
        return []
    try:
        contents = samples.contents()
    except CxrError as error:
        st.session_state[WANTED] = False
        listed.notice = f"{wording.message(error.message)} {logged(error)}"
        return []
    return [
        UploadedFile(
            UploadedFileRec(SAMPLE + s.file, s.file, "image/jpeg", content),
            FileURLs(),
        )
        for s, content in contents.items()
    ]


def _show_left_out(place: st.delta_generator.DeltaGenerator, listed: FilmList) -> None:
    count = len(listed.left_out)
    if not count:
        return
    files = "1 file was" if count == 1 else f"{count:,} files were"
    with place.expander(f"{files} left out", icon=":material/inventory_2:"):
        files_left_out = list(listed.left_out.values())
        reasons = dict.fromkeys(reason for _, reason in files_left_out)
        for reason in reasons:
            names = [name for name, why in files_left_out if why == reason]
            st.markdown(f"**{escaped(reason.capitalize())}**")
            st.markdown("  \n".join(escaped(n) for n in names[:NAMES_LEFT_OUT]))


def release(file: UploadedFile) -> None:
    """Frees an upload's bytes; Streamlit would keep them until the session ends."""
    context = get_script_run_ctx()
    if context is not None:
        uploads = context.uploaded_file_mgr
        if isinstance(uploads, MemoryUploadedFileManager):
            uploads.remove_file(context.session_id, file.file_id)
    file.close()


def _films_among(listed: FilmList, files: list[UploadedFile]) -> list[UploadedFile]:
    """Returns what can be a film and is not listed yet; the rest is left out by name.

    What somebody picked by hand is read whatever its name is; of a folder only what
    can be a film.
    """
    folder = bool(st.session_state.get(FOLDER))
    films = []
    for file in files:
        if file.file_id in listed.films:
            continue  # read before a rerun
        parts = PurePosixPath(file.name.replace("\\", "/")).parts
        if any(map(kinds.is_companion, parts)):
            _leave_out(listed, file, ALONG)
        elif folder and not kinds.content_can_be_film(parts[-1], file.getvalue()):
            _leave_out(listed, file, NO_FILM)
        else:
            films.append(file)
    return films


def _leave_out(listed: FilmList, file: UploadedFile, reason: str) -> None:
    listed.left_out[file.file_id] = (file_name(file.name), reason)


def _close(listed: FilmList) -> None:
    """Empties the uploader after its films."""
    st.session_state[WANTED] = False
    listed.notice = ""
    remember(listed)
    listed.open = bool(listed.films)
    listed.batch += 1


def _read(listed: FilmList, files: list[UploadedFile], model: Model) -> None:
    """Lists the reading of each upload and shows them as they come.

    A rerun may stop this at any film: what is listed stays, the others come next.
    """
    total = len(files)
    remember(listed, total)
    progress, rows = st.progress(0.0, "Reading films"), st.empty()
    _show_stop(listed, files)
    at = terms(model.card)
    new: list[str] = []
    batch = listed.batch
    for upload, reading in _readings(listed, files, model):
        _end_if_stopped(listed, batch)
        if listed.full:
            break
        key = upload.file.file_id
        _list(listed, key, upload.listed(reading), model, at)
        release(upload.file)
        new.append(key)
        if len(new) > DRAWN_ONE_BY_ONE and len(new) % DRAWN_EVERY:
            continue
        progress.progress(len(new) / total, f"Reading films: {len(new)} of {total}")
        if total > 1:
            read = set(new)
            urgent = [key for key in ordered(listed, model) if key in read]
            lines = [row(listed.films[key], model, at.threshold) for key in urgent]
            rows.markdown("  \n".join(lines[:ROWS_WHILE_READING]))
    for file in files:
        if file.file_id not in listed.films:
            _leave_out(listed, file, NO_ROOM)


def _list(
    listed: FilmList, key: str, film: ListedFilm, model: Model, at: Terms
) -> None:
    """Lists and keeps a film; one that was found again gets its picture back."""
    if again := row_of(listed, film.sha256):
        listed.exchange(again, key, film)
        return
    if len(listed.films) < TRIED_AT_ONCE:
        film = tried_if_near(film, model, at.threshold)
    # First kept, then listed: a click in between ends this run, and what is listed is
    # not read again.
    listed.add(key, kept(listed, film, model, at))


def _end_if_stopped(listed: FilmList, batch: int) -> None:
    """Ends this run of the page if its batch was closed.

    A click starts the page anew in another thread, while this one is still at a film.
    """
    if listed.batch != batch:
        st.stop()


def _show_stop(listed: FilmList, files: list[UploadedFile]) -> None:
    """Shows the button that ends the reading of many films; it names those left out."""
    if len(files) < 2:
        return

    def stop() -> None:
        listed.left_out.clear()
        _close(listed)
        for file in files:
            if file.file_id not in listed.films:
                _leave_out(listed, file, STOPPED)
                release(file)

    st.button("Stop reading", key="stop_reading", icon=":material/stop:", on_click=stop)


def _readings(
    listed: FilmList, files: list[UploadedFile], model: Model
) -> Iterator[tuple[_Upload, scoring.Reading]]:
    """Yields each upload with its reading; copies of one film are scored once."""
    known = {f.sha256: key for key, f in listed.films.items() if not f.refused}
    firsts: dict[str, _Upload] = {}
    copies = []
    for file in files:
        upload = _Upload(file=file, sha256=hashlib.sha256(file.getvalue()).hexdigest())
        if upload.sha256 in known or upload.sha256 in firsts:
            copies.append(upload)
        else:
            firsts[upload.sha256] = upload
    batch = listed.batch

    def content(upload: _Upload) -> bytes:
        _end_if_stopped(listed, batch)
        return upload.file.getvalue()

    contents = map(content, firsts.values())
    readings = scoring.read_for(
        settings().records_dir,
        model,
        decoder_pool(),
        contents,
        actor=actor(),
        lungs=lung_network(),
        picture_edge=display.SCREEN_EDGE,
        most_at_once=FILMS_AT_ONCE,
    )
    for upload, reading in zip(firsts.values(), readings, strict=True):
        known[upload.sha256] = upload.file.file_id
        yield upload, reading
    for upload in copies:
        yield upload, listed.films[known[upload.sha256]].unpacked().reading
