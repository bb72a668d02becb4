"""What a check says of a data folder: figures, classes, images, samples, shortcuts."""

import math
from collections import Counter

import streamlit as st

from cxr.datasets import folders, table
from cxr.datasets import survey as datasets_survey
from cxr.datasets.checks import Check
from cxr.datasets.survey import Summary, samples
from ui.charts import QUIET
from ui.data import charts
from ui.data.charts import CLASS_WORDS, PARTS
from ui.data.thumbnails import show_films
from ui.wording import NOT_MEASURED, escaped

SAMPLES, SEED = 6, 20


def show_data_tiles(check: Check) -> None:
    """Shows the figures of a data folder and the fingerprint that stands for it."""
    survey, summary = check.survey, datasets_survey.summary(check.survey)
    hashes = Counter(film.sha256 for film in survey.films if film.sha256)
    tiles = {
        "Films": f"{summary.films:,}",
        "Patients": f"{summary.patients:,}",
        "Class ratio": ratio(summary.overall_imbalance),
        "Unreadable": f"{summary.unreadable:,}",
        "Exact copies": f"{hashes.total() - len(hashes):,}",
        "Findings": f"{len(check.integrity.findings):,}",
    }
    grid = st.grid(6, min_column_width=120, border=True)
    for label, value in tiles.items():
        with grid.cell():
            st.metric(label, value)
    st.caption(
        "Class ratio: pneumonia films for each normal one. Exact copies: films beyond "
        "the first of each set of equal files."
    )
    if check.left_out:
        st.caption(escaped(folders.in_words(check.left_out)))
    row = st.container(horizontal=True)
    with row.popover(
        f"Fingerprint {survey.fingerprint[:8]}", icon=":material/fingerprint:"
    ):
        st.caption(
            "SHA-256 over contents, labels and patients. A model's card carries the "
            "fingerprint of the data that made it."
        )
        st.code(survey.fingerprint, language=None, wrap_lines=True)
    row.download_button(
        "Table of films (CSV)",
        lambda: table.as_csv(survey),
        file_name=f"films-{survey.fingerprint[:8]}.csv",
        mime="text/csv",
        key="download_films",
        icon=":material/download:",
        on_click="ignore",
    )


def show_classes(check: Check) -> None:
    """Shows the classes and subtypes of each split, and the split of a training."""
    summary = datasets_survey.summary(check.survey)
    grid = st.grid(2, min_column_width=420, gap="large")
    with grid.cell():
        st.markdown("#### As the folder has them")
        _show_balance(summary)
    with grid.cell():
        st.markdown("#### As a training would split them")
        _show_split(check)


def show_samples(check: Check) -> None:
    """Shows films of both classes that stand for the others."""
    for label, name in enumerate(CLASS_WORDS):
        films = samples(check.survey, label, SAMPLES, SEED)
        st.markdown(f"#### {name}")
        if not films:
            st.caption("No readable film of this class.")
        show_films(films, width=140)
    st.caption(
        "The film in the middle of each of six groups of alike films, not the best "
        "ones; the same data always gives the same samples."
    )


def _show_balance(summary: Summary) -> None:
    parts = _parts(summary)
    st.plotly_chart(
        charts.class_balance(parts),
        config=QUIET,
        key="class_balance",
        alt="; ".join(
            f"{split}: " + ", ".join(f"{part} {n:,}" for part, n in counts.items())
            for split, counts in parts.items()
        ),
    )
    by_split = {name: [g for g in summary.groups if g.split == name] for name in parts}
    st.table(
        {
            "Split": [escaped(name) for name in by_split],
            "Normal": [f"{normal.films:,}" for normal, _ in by_split.values()],
            "Pneumonia": [f"{ill.films:,}" for _, ill in by_split.values()],
            "Ratio": [ratio(summary.imbalance[name]) for name in by_split],
        },
        hide_index=True,
        border="horizontal",
    )
    st.caption(
        "Each bar is one split of the folder, cut by class; the cause is what file "
        "names tell. Ratio: pneumonia films for each normal one."
    )


def _parts(summary: Summary) -> dict[str, dict[str, int]]:
    """Returns the films in each of `PARTS`, by split."""
    normal, bacterial, viral, unknown = PARTS
    parts: dict[str, dict[str, int]] = {}
    for group in summary.groups:
        counts = parts.setdefault(group.split, {})
        if group.label == 0:
            counts[normal] = group.films
        else:
            counts[bacterial] = group.subtypes.get("bacterial", 0)
            counts[viral] = group.subtypes.get("viral", 0)
            counts[unknown] = group.films - counts[bacterial] - counts[viral]
    return parts


def _show_split(check: Check) -> None:
    if not check.splits:
        st.warning(
            f"There can be none. {escaped(check.no_splits)}",
            icon=":material/call_split:",
        )
        return
    parts = check.splits.values()
    st.table(
        {
            "Split": [name.capitalize() for name in check.splits],
            "Films": [f"{part.films:,}" for part in parts],
            "Patients": [f"{part.patients:,}" for part in parts],
            "Pneumonia": [
                f"{part.positives / part.films:.1%}" if part.films else NOT_MEASURED
                for part in parts
            ],
        },
        hide_index=True,
        border="horizontal",
    )
    st.caption(
        "No patient is in two splits; byte-equal copies count as one patient. A "
        "training takes all readable films, whatever split the folder has them in."
    )


def ratio(value: float) -> str:
    """Returns how many there are for each one, such as "2.9 : 1"."""
    return f"{value:.2f} : 1" if math.isfinite(value) else NOT_MEASURED
