"""The films of one session: what is kept of each, and which one is shown.

It owns the session's list. What is kept of a film is its reading with a picture of at
most `display.SCREEN_EDGE` pixels, compressed, in this session's memory alone.
"""

import secrets
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import streamlit as st

from cxr.errors import ImageError
from cxr.films import display
from cxr.models.inference import Model
from cxr.reading.cases import Context, Review
from cxr.reading.keeping import Keeper
from cxr.reading.scoring import Reading
from cxr.reading.zones import Evidence

MOST_FILMS = 1000
# Pictures are kept without loss until they take this much, then as JPEG: a thousand
# films of full size would take a gigabyte otherwise.
LOSSLESS_BYTES = 150_000_000
MOST_BYTES = 600_000_000
COUNT, LIST = "films", "list"  # in the address of the page


@dataclass(frozen=True, kw_only=True)
class ListedFilm:
    """One uploaded film, its reading, and what the reader adds.

    Attributes:
        name: of the file, fit to be shown.
        size: of the file, bytes.
        sha256: of the file's bytes, whether they could be decoded or not.
        reading: what became of it; its picture is empty while it is packed.
        packed: the picture as PNG or JPEG; empty if there is none.
        review: the reader's own answer; None before there is one.
        context: what is known of the patient besides the film.
        changed: the probabilities after small changes of the film, by the change; None
            before they were tried.
        evidence: where in the lungs the evidence lies; None before it was asked.
        sample: whether it is one of the samples that ship.
        case_id: of the film's case in the history; empty if it was not kept.
        found_again: keyed hash of the film, if its reading comes from the history;
            empty for one that was read in this session.
        answer_seen: whether its reader has answered once, and has seen the model's
            answer since.
    """

    name: str
    size: int
    sha256: str
    reading: Reading
    packed: bytes = field(default=b"", repr=False)
    review: Review | None = None
    context: Context = Context()
    changed: dict[str, float] | None = None
    evidence: Evidence | None = None
    sample: bool = False
    case_id: str = ""
    found_again: str = ""
    answer_seen: bool = False

    @property
    def refused(self) -> bool:
        """Whether the film has no score."""
        return isinstance(self.reading.result, ImageError)

    def unpacked(self) -> "ListedFilm":
        """Returns the film with its picture in the reading, as pixels."""
        if not self.packed:
            return self
        picture = display.unpacked(self.packed)
        return replace(self, reading=replace(self.reading, picture=picture))


@dataclass(kw_only=True)
class FilmList:
    """The films of a session, all read by one model.

    Attributes:
        model: id and SHA-256 of the model that read them.
        films: by upload, in the order of uploading.
        chosen: the upload whose reading is shown.
        batch: number of the uploader; a new one is empty.
        open: whether films have been listed; the uploader moves aside then.
        notice: a sentence on the last upload, or empty.
        left_out: name and reason of each file of the last upload that is not listed,
            by upload.
        kept_bytes: what the pictures of all films take.
        worklist: random id of the list, by which the history finds it again.
        keeper: what the history did not keep of the list, and why.
    """

    model: tuple[str, str]
    films: dict[str, ListedFilm] = field(default_factory=dict)
    chosen: str = ""
    batch: int = 0
    open: bool = False
    notice: str = ""
    left_out: dict[str, tuple[str, str]] = field(default_factory=dict)
    kept_bytes: int = 0
    worklist: str = field(default_factory=lambda: secrets.token_hex(16))
    keeper: Keeper = field(default_factory=Keeper)

    @property
    def full(self) -> bool:
        """Whether no more films fit."""
        return len(self.films) >= MOST_FILMS or self.kept_bytes >= MOST_BYTES

    def add(self, key: str, film: ListedFilm) -> None:
        """Lists a film under its upload, with its picture packed; once."""
        if key in self.films:
            return
        packed = film.packed
        if film.reading.picture.size:
            lossless = self.kept_bytes < LOSSLESS_BYTES
            packed = display.packed(film.reading.picture, lossless=lossless)
        bare = replace(film.reading, picture=np.empty((0, 0), np.uint8))
        self.films[key] = replace(film, reading=bare, packed=packed)
        self.kept_bytes += len(packed)
        self.left_out.pop(key, None)

    def exchange(self, old_key: str, key: str, film: ListedFilm) -> None:
        """Lists an upload in the place of one that was found again without its picture.

        What readers added to that one, and its case, stay.
        """
        old, order = self.films[old_key], list(self.films)
        self.kept_bytes -= len(self.films.pop(old_key).packed)
        known = replace(
            film,
            review=old.review,
            context=old.context,
            case_id=old.case_id,
            changed=old.changed,
            evidence=old.evidence,
            answer_seen=old.answer_seen,
        )
        self.add(key, known)
        names = (key if name == old_key else name for name in order)
        self.films = {name: self.films[name] for name in names}
        if self.chosen == old_key:
            self.chosen = key

    def set_review(self, review: Review | None) -> None:
        """Keeps the reader's answer to the chosen film; None takes it back."""
        film = self.films[self.chosen]
        self.films[self.chosen] = replace(film, review=review, answer_seen=True)

    def set_context(self, context: Context) -> None:
        """Keeps what is known of the patient of the chosen film."""
        film = self.films[self.chosen]
        self.films[self.chosen] = replace(film, context=context)

    def set_changed(self, key: str, found: dict[str, float]) -> None:
        """Keeps what small changes of a film gave, with each of its copies."""
        self._keep(key, changed=found)

    def set_evidence(self, key: str, found: Evidence) -> None:
        """Keeps where the evidence of a film lies, with each of its copies."""
        self._keep(key, evidence=found)

    def copies(self, key: str) -> list[str]:
        """Returns the rows of a film and of its copies: files of the same bytes."""
        sha256 = self.films[key].sha256
        if not sha256:
            return [key]  # Of a film that was found again nobody knows the bytes.
        return [k for k, film in self.films.items() if film.sha256 == sha256]

    def remove(self, key: str) -> None:
        """Takes one film off the list; the list of the last one is empty again."""
        self.kept_bytes -= len(self.films.pop(key).packed)
        if not self.films:
            self.clear()

    def clear(self) -> None:
        """Takes all films off the list."""
        self.films.clear()
        self.chosen, self.kept_bytes = "", 0
        self.open, self.notice = False, ""
        self.left_out.clear()
        self.worklist = secrets.token_hex(16)
        self.keeper = Keeper()

    def _keep(self, key: str, **found: Any) -> None:
        for copy in self.copies(key):
            self.films[copy] = replace(self.films[copy], **found)


def session_films(model: Model) -> FilmList:
    """Returns this session's films; another model starts with none."""
    listed = st.session_state.get("films")
    reader = (model.card.model_id, model.sha256)
    if listed is None or listed.model != reader:
        changed = FilmList(model=reader)
        if listed:
            changed.notice = "The active model has changed: upload the films again."
            changed.batch = listed.batch + 1
        listed = changed
        st.session_state["films"] = listed
    return listed


def is_new() -> bool:
    """Returns whether this session has listed nothing yet and knows of no list."""
    return "films" not in st.session_state


def remember(listed: FilmList, coming: int = 0) -> None:
    """Notes in the page's address which list this is and how many films it has.

    The address outlives the session: a page whose server was started again finds its
    list in the history, or can say that films are gone. The list's id is random.
    """
    count = len(listed.films) + coming
    if count:
        st.query_params[COUNT] = str(count)
        st.query_params[LIST] = listed.worklist
    else:
        st.query_params.pop(COUNT, None)
        st.query_params.pop(LIST, None)


def lost() -> str:
    """Returns that films are gone of which the page's address still knows, or empty."""
    count = st.query_params.get(COUNT, "")
    if not count.isdecimal():
        return ""
    return (
        f"The films that were listed here ({int(count)}) are gone: the page was loaded "
        "again, or the server started again. The history did not keep them: upload "
        "them again."
    )
