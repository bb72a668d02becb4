"""The films behind a number: a list, the film, its heat map side by side.

Films are never stored: they are read from the folder that the reader names, and only a
file whose SHA-256 is that of the scored film is shown. The session keeps the last few.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from cxr.datasets.search import FilmIndex
from cxr.errors import ImageError
from cxr.evaluation.overview import CELLS, View
from cxr.models.cards import Card
from cxr.reading import scoring
from cxr.reports import document
from cxr.validation import tables
from ui import heatmap, wording
from ui.dashboard import counts
from ui.dashboard.source import Source
from ui.loaders import decoder_pool, model_of

CHOSEN, CELL = "dashboard_chosen", "dashboard_cell"
CELL_NAMES = {
    "fn": "Missed",
    "fp": "False alarms",
    "ni": "No answer, pneumonia",
    "nw": "No answer, normal",
    "tp": "Found",
    "tn": "Right below",
}
SIDES = {0: "below", 1: "in the zone without an answer around", 2: "above"}
PICTURE_EDGE = 900
HELD = 16  # pictures in a session
LISTED, ROWS = 500, 5  # films in the list, and in sight at once


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A film found again, and where its score came from.

    Attributes:
        film: for the screen, `uint8`, shape `(h, w)`.
        heat: of the same shape, `float32`, range `[0, 1]`.
    """

    film: NDArray[np.uint8]
    heat: NDArray[np.float32]


def cell_clicked(key: str) -> None:
    """Takes a click on the confusion matrix for the choice of films.

    A choice stays until another is made: a new figure has no selection of its own.
    """
    if cell := _custom(st.session_state[key]["selection"]["points"]):
        st.session_state[CHOSEN] = ("cell", str(cell))
        st.session_state[CELL] = str(cell)


def bin_clicked(key: str) -> None:
    """Takes a click on the scores for the choice of films."""
    if chosen := _custom(st.session_state[key]["selection"]["points"]):
        st.session_state[CHOSEN] = ("bin", int(chosen[0]), int(chosen[1]))
        st.session_state[CELL] = None


def chosen_cell() -> str | None:
    """Returns the cell of the matrix whose films are shown, if one is."""
    chosen = st.session_state.get(CHOSEN)
    return chosen[1] if chosen and chosen[0] == "cell" else None


def show_films(source: Source, view: View) -> None:
    """Shows the films of the chosen cell or bin, the most wrong first."""
    st.markdown("##### The films behind a number")
    st.pills(
        "Click a cell of the matrix, a bar of the scores, or choose here",
        list(CELL_NAMES),
        format_func=lambda cell: f"{CELL_NAMES[cell]}: {counts.in_cell(view, cell):,}",
        key=CELL,
        on_change=_pill_chosen,
    )
    chosen = st.session_state.get(CHOSEN)
    if not chosen:
        return
    rows, words = _rows(source, view, chosen)
    if not rows.size:
        st.markdown(f"No films: {words}.")
        return
    shown = rows[:LISTED]
    first = f" The first {LISTED} are listed." if rows.size > LISTED else ""
    noun = "film" if rows.size == 1 else "films"
    st.markdown(f"**{rows.size:,} {noun}**: {words}, the most wrong first.{first}")
    number = _list(source, shown, chosen)
    _show_picture(source, int(shown[number]))
    st.download_button(
        "All of them (CSV)",
        lambda: tables.films_csv(source.scores, rows),
        file_name="films.csv",
        mime="text/csv",
        key="dashboard_films_csv",
        icon=":material/download:",
        on_click="ignore",
    )


def _custom(points: list[dict[str, Any]]) -> Any:
    return points[0].get("customdata") if points else None


def _pill_chosen() -> None:
    cell = st.session_state[CELL]
    st.session_state[CHOSEN] = ("cell", cell) if cell else None


def _rows(source: Source, view: View, chosen: tuple) -> tuple[NDArray[np.int64], str]:
    overview = source.appraisal.overview
    if chosen[0] == "cell":
        cell, band = chosen[1], (view.answers.low, view.answers.high)
        column, of_ill = CELLS.index(cell) % 3, CELLS.index(cell) >= 3
        kind = "pneumonia" if of_ill else "normal"
        words = (
            f"{kind}, {SIDES[column]} the threshold "
            f"{wording.threshold(view.point.threshold)}"
        )
        return overview.films_in_cell(cell, band), words
    _, number, label = chosen
    low, high = overview.histogram.edges[number : number + 2]
    kind = "pneumonia" if label else "normal"
    words = f"{kind}, with a probability from {low:.3f} to {high:.3f}"
    return overview.films_in_bin(number, label), words


def _list(source: Source, rows: NDArray[np.int64], chosen: tuple) -> int:
    scores = source.scores
    table = [
        {
            "film": wording.file_name(scores.names[i]),
            "probability": float(scores.probabilities[i]),
            "kind": scores.subtypes[i]
            or ("pneumonia" if scores.labels[i] else "normal"),
        }
        for i in rows
    ]
    event = st.dataframe(
        table,
        hide_index=True,
        height=min(38 + 35 * len(table), 38 + 35 * ROWS),
        column_config={
            "film": st.column_config.TextColumn(width=210),
            "probability": st.column_config.NumberColumn(format="%.4f"),
        },
        key="dashboard_list_" + "_".join(map(str, chosen)),
        on_select="rerun",
        selection_mode="single-row",
        selection_default={"selection": {"rows": [0]}},
    )
    picked = event["selection"]["rows"]
    return picked[0] if picked and picked[0] < len(table) else 0


def _show_picture(source: Source, row: int) -> None:
    scores, card = source.scores, source.card
    name, value = scores.names[row], float(scores.probabilities[row])
    st.markdown(
        f"**{wording.escaped(wording.file_name(name))}** · patient "
        f"{wording.escaped(wording.file_name(scores.patients[row]))} · probability "
        f"{wording.probability(value)} · labelled "
        f"{card.classes[int(scores.labels[row])].lower()}"
    )
    index = _index(source)
    if index is None:
        return
    picture = _picture(card, index, name, scores.sha256[row])
    if isinstance(picture, str):
        st.info(picture, icon=":material/image_not_supported:")
        return
    pictures = st.grid(2, min_column_width=180, gap="small")
    controls = st.grid(2, min_column_width=180, vertical_alignment="bottom")
    overlay = heatmap.overlay(
        picture.film, picture.heat, *heatmap.choose_look(controls)
    )
    pictures.image(picture.film, caption="Film", width="stretch", alt="The film")
    pictures.image(
        overlay,
        caption=heatmap.caption(picture.heat),
        width="stretch",
        alt="The heat map",
    )
    st.caption(f"{heatmap.MEANING} {document.heatmap_worth(source.card)}")


def _index(source: Source) -> FilmIndex | None:
    known = source.films.folder()
    folder = st.text_input(
        "Folder with these films",
        value=str(known) if known else "",
        key=f"dashboard_folder_{source.films.data_key}",
        persist_state="session",
        help="Films are found by name and shown only if their SHA-256 is that of the "
        "scored film. Nothing is copied.",
    ).strip()
    if not folder:
        st.caption("Name the folder of the films to see them with their heat maps.")
        return None
    listed, index = st.session_state.get("dashboard_index", ("", None))
    if listed != folder:
        index = FilmIndex(Path(folder))
        st.session_state["dashboard_index"] = (folder, index)
    return index


def _picture(card: Card, index: FilmIndex, name: str, sha256: str) -> Picture | str:
    held = st.session_state.setdefault("dashboard_pictures", {})
    key = (card.model_id, card.weights_sha256, sha256)
    if key not in held:
        content = index.find(name, sha256)
        if content is None:
            return "The film that was scored is not below this folder."
        while len(held) >= HELD:
            held.pop(next(iter(held)))
        held[key] = _read(card, content)
    return held[key]


def _read(card: Card, content: bytes) -> Picture | str:
    reading = scoring.read_one(
        model_of(card),
        decoder_pool(),
        content,
        lungs=None,  # films with a label: they were scored before
        picture_edge=PICTURE_EDGE,
    )
    if isinstance(reading.result, ImageError):
        return reading.result.message
    heat = heatmap.heat_of(reading.picture, reading.result, card)
    return Picture(film=reading.picture, heat=heat)
