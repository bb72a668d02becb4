"""The sections of the Dashboard page, from the threshold to the shortcut audit."""

import plotly.graph_objects as go
import streamlit as st

from cxr.config import settings
from cxr.datasets.shortcuts import ShortcutAudit
from cxr.evaluation.overview import View
from cxr.governance import stored_points
from cxr.models.cards import Card
from cxr.validation import tables
from ui import wording
from ui.charts import ink
from ui.dashboard import checks, figures, local, report, tiles
from ui.dashboard.beside import beside
from ui.dashboard.films import bin_clicked, cell_clicked, chosen_cell, show_films
from ui.dashboard.layout import FORMATS, plot, two_columns
from ui.dashboard.scored_films import SplitFilms
from ui.dashboard.source import Source, appraisal_of
from ui.dashboard.targets import (
    choose,
    offer_to_store,
    show_stored,
    show_targets,
)
from ui.errors import show_errors

PAIRED = (
    *(figures.RATES, figures.PREDICTIVE, figures.ROC),
    *(figures.PRECISION_RECALL, figures.NET_BENEFIT),
)
MISSING = {
    figures.NET_BENEFIT: "These films are of one class, or no prevalence is stated."
}
ONE_CLASS = "These films are of one class."


@st.fragment
def show_threshold(source: Source) -> None:
    """Shows everything that moves with the threshold; redraws nothing else."""
    with show_errors():
        threshold, prevalence = choose(source)
        targets = st.container()
        view = source.view(threshold, prevalence)
        if words := source.films.caution():
            st.info(words, icon=":material/info:")
        local.show_verdict(source)
        other = beside(source)
        tiles.show_tiles(source, view, other)
        with st.container(horizontal=True, vertical_alignment="center"):
            offer_to_store(source, view.point)
            _show_downloads(source, view)
        stored = stored_points.points(settings().records_dir, source.card)
        show_stored(stored)
        drawn = figures.at_threshold(
            source, view, ink=ink(), cell=chosen_cell(), other=other
        )
        _show_matrix_and_films(source, view, drawn)
        other_films = _show_pairs(drawn, alone=len(_other_splits(source)) < 2)
        _show_table(source, view)
        # Both need other films, which may have to be read first: the rest goes ahead.
        with targets:
            show_targets(source, prevalence, stored)
        with other_films:
            _show_other_films(source, view)


def show_calibration(source: Source) -> None:
    """Shows how far the probabilities agree with how many films show pneumonia."""
    whole = source.appraisal.whole
    st.subheader("Calibration", anchor=False)
    plot("reliability", figures.calibration(source.appraisal))
    st.caption(
        f"Calibration error (ECE) {wording.estimate(whole.ece)}, before calibration "
        f"{source.appraisal.uncalibrated_ece:.3f}; Brier score "
        f"{wording.estimate(whole.brier)}. On the dotted line, of the films with a "
        "probability of 0.7 seven in ten show pneumonia."
    )


def show_learning(source: Source) -> None:
    """Shows the learning curves of the run that made the model."""
    st.subheader("Learning curves", anchor=False)
    drawn = figures.learning(source, ink=ink())
    if not drawn:
        st.caption(f"{wording.NOT_MEASURED} This model keeps no history of a run.")
        return
    for name, figure in drawn.items():
        st.caption(f"{name}: training dotted, validation solid")
        plot(f"learning_{name.lower()}", figure, theme=None)
    st.caption(
        "The run that made the model; an upright dotted line is where a stage began."
    )


def show_shortcuts(source: Source) -> None:
    """Shows how well a film's outside alone predicts the label."""
    st.subheader("Shortcut audit", anchor=False)
    audit, drawn = checks.audit(source.card), figures.shortcuts(source)
    if audit is None or drawn is None:
        st.caption(
            f"{wording.NOT_MEASURED} Not measured: check the model's data folder, and "
            "this shows how well file size, dimensions, grey level and sharpness alone "
            "predict the label, beside the network."
        )
        return
    plot("shortcuts", drawn)
    st.caption(
        f"AUC of the label from each figure alone, on {audit.n:,} films of "
        f"{audit.n_patients:,} patients, cross-validated over patients. The network is "
        f"{source.card.model_id} on the {source.appraisal.films}. What a film's "
        "outside tells, a network may have learned instead of disease."
        f"{_on_the_same_films(audit, source.card)}"
    )


def _on_the_same_films(audit: ShortcutAudit, card: Card) -> str:
    if audit.network_id != card.model_id or audit.network is None:
        return ""
    outside = audit.combined_there
    return (
        f" On the same {audit.network_n:,} films, on which it was tested: network "
        f"{wording.estimate(audit.network)}, all of these "
        f"{wording.estimate(outside) if outside else wording.NOT_MEASURED}."
    )


def _show_matrix_and_films(
    source: Source, view: View, drawn: dict[str, go.Figure]
) -> None:
    """Shows what can be clicked on the left, the films behind it on the right."""
    grid = two_columns()
    with grid.cell():
        st.markdown("##### Answers")
        key = "dashboard_matrix"
        plot(
            key,
            drawn[figures.CONFUSION],
            on_select=lambda: cell_clicked(key),
            selection_mode="points",
        )
        st.caption(
            f"No answer is given from {wording.threshold(view.answers.low)} to below "
            f"{wording.threshold(view.answers.high)}. Hatched cells are errors. Click "
            "a cell or a bar to see its films."
        )
        st.markdown(f"##### {figures.SCORES}")
        bars = "dashboard_scores_chart"
        plot(
            bars,
            drawn[figures.SCORES],
            on_select=lambda: bin_clicked(bars),
            selection_mode="points",
        )
        st.caption(
            "Solid amber line: your threshold; dotted: shipped; violet: the zone "
            "without an answer."
        )
    with grid.cell():
        show_films(source, view)


def _show_pairs(
    drawn: dict[str, go.Figure], *, alone: bool
) -> st.delta_generator.DeltaGenerator:
    """Shows the figures two by two; returns the place beside the last, or below it.

    Args:
        drawn: the figures.
        alone: whether what comes there is narrow enough to stand beside a figure.
    """
    grid = two_columns()
    for title in PAIRED:
        with grid.cell():
            st.markdown(f"##### {title}")
            if title in drawn:
                plot(title.split()[0].lower(), drawn[title])
            else:
                missing = MISSING.get(title, ONE_CLASS)
                st.caption(f"{wording.NOT_MEASURED} {missing}")
    with grid.cell():
        st.markdown("##### Subgroups")
        plot("subgroups", drawn[figures.SUBGROUPS])
    return grid.cell() if alone else st.container()


def _show_other_films(source: Source, view: View) -> None:
    st.markdown("##### The same threshold on other films")
    points = {source.appraisal.films: (source.appraisal, view)}
    for split in _other_splits(source):
        other = appraisal_of(source.card, SplitFilms(card=source.card, split=split))
        band = (view.answers.low, view.answers.high)
        there = other.overview.at(view.point.threshold, band=band)
        points[other.films] = (other, there)
    rows = tables.side_by_side(points)
    st.dataframe(
        [
            {
                "metric": row.metric,
                **{name: wording.estimate(row.values[name]) for name in points},
            }
            for row in rows
        ],
        hide_index=True,
        height="content",
        column_config={
            "metric": st.column_config.TextColumn(width=190),
            **{name: st.column_config.TextColumn(width=134) for name in points},
        },
    )
    apart = [row.metric for row in rows if row.apart]
    overlap = (
        f"The intervals have nothing in common for: {', '.join(apart)}."
        if apart
        else "All intervals overlap."
    )
    st.caption(
        f"{overlap} The shipped threshold and the targets were chosen on the "
        "validation films: they look better there than they will on others."
    )


def _other_splits(source: Source) -> list[str]:
    splits = ("validation", "test")
    return [s for s in splits if s in source.splits and s != source.films.key]


def _show_table(source: Source, view: View) -> None:
    with st.expander("All figures, and how their intervals were made"):
        rows = tables.metrics(source.appraisal, view)
        st.dataframe(
            rows,
            hide_index=True,
            height="content",
            column_config={
                name: st.column_config.NumberColumn(format="%.4f")
                for name in ("value", "low", "high", "shipped")
            },
        )


def _show_downloads(source: Source, view: View) -> None:
    with st.popover("Downloads", icon=":material/download:"):
        st.segmented_control(
            "Figures, by the camera above each",
            list(FORMATS),
            default="SVG",
            required=True,
            key="dashboard_format",
        )
        downloads = {
            "Figures at this threshold (CSV)": (
                "metrics.csv",
                "text/csv",
                lambda: tables.metrics_csv(tables.metrics(source.appraisal, view)),
            ),
            "Rates at every threshold (CSV)": (
                "thresholds.csv",
                "text/csv",
                lambda: tables.thresholds_csv(source.appraisal),
            ),
            "This page (HTML report)": (
                f"dashboard-{source.card.model_id}.html",
                "text/html",
                lambda: report.html(source, view),
            ),
        }
        for label, (name, mime, content) in downloads.items():
            st.download_button(
                label,
                content,
                file_name=name,
                mime=mime,
                key=f"dashboard_download_{name.split('-')[0]}",
                icon=":material/download:",
                on_click="ignore",
                width="stretch",
            )
