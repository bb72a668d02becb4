"""The export menus: a film, or the list, as it is read now, as files.

It owns which files the page offers. Each is made when it is asked for, never before.
"""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Protocol

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from cxr.documents import plain
from cxr.errors import ImageError
from cxr.films import display
from cxr.models.inference import Model
from cxr.reading.cases import Case
from cxr.reports import capture, document, pdf, structured, worklist
from ui import heatmap
from ui.classify.films import FilmList, ListedFilm
from ui.classify.meaning import cost_words
from ui.classify.terms import Terms, case_of, terms


class Maker(Protocol):
    """Makes a file of a list."""

    def __call__(
        self, cases: Sequence[Case], model: Model, *, with_names: bool = False
    ) -> bytes:
        """Returns the file."""


def _list_pdf(
    cases: Sequence[Case], model: Model, *, with_names: bool = False
) -> bytes:
    return pdf.of_list(cases, model, time=datetime.now(UTC), with_names=with_names)


LIST_FILES: tuple[tuple[str, str, str, Maker], ...] = (
    ("List (CSV)", "worklist.csv", "text/csv", worklist.as_csv),
    ("List (JSON)", "worklist.json", "application/json", worklist.as_json),
    ("List (PDF)", "worklist.pdf", "application/pdf", _list_pdf),
)
# The label of a film's file, the stem of its name, its ending, its type.
FILM_FILES = (
    ("Result (JSON)", "result", "json", "application/json"),
    ("Report (PDF)", "report", "pdf", "application/pdf"),
    ("Report (DICOM SR)", "report", "dcm", "application/dicom"),
    ("Heat map (PNG)", "heatmap", "png", "image/png"),
    ("Heat map (DICOM)", "heatmap", "dcm", "application/dicom"),
)
NAMES = (
    "A file name can be a patient's name. Without it a film has its number in this "
    "list and the hash of its file."
)


def show_export(listed: FilmList, keys: list[str], model: Model) -> None:
    """Shows the menu that saves the rows of the list, in their order.

    Args:
        listed: the films of the session.
        keys: the uploads in the list, as filter and order leave them.
        model: that read them.
    """
    films = [listed.films[key] for key in keys]
    at = terms(model.card)
    menu = st.popover("Export", icon=":material/download:")
    with_names = menu.checkbox("With file names", key="export_names", help=NAMES)
    for label, name, mime, make in LIST_FILES:
        menu.download_button(
            label,
            partial(_made, make, films, model, at, with_names),
            file_name=name,
            mime=mime,
            key=f"export_{name}",
            icon=":material/download:",
            on_click="ignore",
            type="tertiary",
        )


def show_film_export(film: ListedFilm, model: Model, at: Terms) -> None:
    """Shows the menu that saves a film that was scored.

    The page keeps no DICOM file, so its DICOM documents stand in a study of their own.

    Args:
        film: listed, with its picture.
        model: that read it.
        at: the terms on which it is read.
    """
    makers = _film_makers(film, model, at, heatmap.look())
    kind = "sample-" if film.sample else ""
    with st.popover("Save this reading", icon=":material/download:"):
        for (label, stem, ending, mime), make in zip(FILM_FILES, makers, strict=True):
            st.download_button(
                label,
                make,
                file_name=f"{kind}{stem}-{film.sha256[:8]}.{ending}",
                mime=mime,
                key=f"save_{stem}_{ending}",
                icon=":material/download:",
                on_click="ignore",
                type="tertiary",
            )


def _film_makers(
    film: ListedFilm, model: Model, at: Terms, look: tuple[float, str]
) -> tuple[Callable[[], bytes], ...]:
    """Returns what makes each of `FILM_FILES`."""
    case = case_of(film, model, at)
    costs = [cost_words(at).replace("**", "")]

    def overlay() -> NDArray[np.uint8]:
        result, picture = film.reading.result, film.reading.picture
        if isinstance(result, ImageError):
            raise result
        heat = heatmap.heat_of(picture, result, model.card)
        return heatmap.overlay(picture, heat, *look)

    def as_json() -> bytes:
        facts = plain(document.result_document(case, model))
        return json.dumps(facts, indent=2, allow_nan=False).encode()

    def as_pdf() -> bytes:
        return pdf.of_film(
            case,
            model,
            time=datetime.now(UTC),
            overlay=overlay(),
            costs=costs,
        )

    def as_report() -> bytes:
        return structured.report(case, model, time=datetime.now(UTC))

    def as_png() -> bytes:
        return display.png(overlay())

    def as_picture() -> bytes:
        return capture.overlay(case, model, overlay(), time=datetime.now(UTC))

    return as_json, as_pdf, as_report, as_png, as_picture


def _made(
    make: Maker,
    films: list[ListedFilm],
    model: Model,
    at: Terms,
    with_names: bool,
) -> bytes:
    listed = [case_of(film, model, at) for film in films]
    return make(listed, model, with_names=with_names)
