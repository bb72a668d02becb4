"""The sections of the Dashboard page, from the threshold to the shortcut audit."""

import math

import plotly.graph_objects as go
import streamlit as st

from cxr.config import settings
from cxr.datasets.shortcuts import ShortcutAudit
from cxr.evaluation.estimates import Estimate
from cxr.evaluation.overview import View
from cxr.governance import stored_points
from cxr.models.cards import Card
from cxr.validation import tables
from cxr.validation.appraisal import Appraisal
from ui import wording
from ui.charts import ink
from ui.dashboard import checks, figures, report
from ui.dashboard.films import bin_clicked, cell_clicked, show_films
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

PAIRED = (figures.ROC, figures.PRECISION_RECALL, figures.SCORES, figures.NET_BENEFIT)


@st.fragment
def show_threshold(source: Source) -> None:
    """Shows everything that moves with the threshold; redraws nothing else."""
    with show_errors():
        threshold, prevalence = choose(source)
        targets = st.container()
        view = source.appraisal.overview.at(threshold, prevalence=prevalence)
        if words := source.films.caution():
            st.info(words, icon=":material/info:")
        _show_tiles(source.appraisal, view)
        with st.container(horizontal=True, vertical_alignment="center"):
            offer_to_store(source, view.point)
            _show_downloads(source, view)
        stored = stored_points.points(settings().records_dir, source.card)
        show_stored(stored)
        drawn = figures.at_threshold(source, view, ink=ink())
        _show_matrix_and_rates(drawn)
        other_films = _show_pairs(drawn, alone=len(_other_splits(source)) < 2)
        _show_table(source, view)
        show_films(source, view.point)
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


def _show_tiles(shown: Appraisal, view: View) -> None:
    whole, local = shown.whole, view.local
    shipped = whole.locally(prevalence=local.prevalence)
    tiles: dict[str, tuple[Estimate, Estimate | None]] = {
        "Sensitivity": (view.point.sensitivity, whole.sensitivity),
        "Specificity": (view.point.specificity, whole.specificity),
        "PPV here": (local.precision, shipped.precision),
        "NPV here": (local.npv, shipped.npv),
        "AUC": (whole.auc, None),
        "Calibration error": (whole.ece, None),
    }
    grid = st.grid(6, min_column_width=140, border=True, gap="small")
    for label, (value, before) in tiles.items():
        with grid.cell():
            st.metric(
                label,
                wording.figure(value),
                _change(value, before),
                delta_color="off",
                delta_arrow="off",
            )
            st.caption(f"{wording.INTERVAL} {wording.interval(value)}")
    misses, alarms = (
        wording.count(e) for e in (local.misses_per_1000, local.false_alarms_per_1000)
    )
    st.markdown(
        f"Of 1,000 patients here, {100 * local.prevalence:.0f} % of them ill: "
        f"**{misses}** misses and **{alarms}** false alarms at threshold "
        f"**{wording.threshold(view.point.threshold)}**."
    )
    patients = f" of {whole.n_patients:,} patients" if whole.n_patients else ""
    st.caption(
        f"Measured on {whole.n:,} {shown.films}{patients}, {whole.n_positive:,} with "
        "pneumonia. Tags: change against the shipped threshold. PPV and NPV are at "
        "the local prevalence; AUC and calibration error depend on no threshold."
    )


def _change(value: Estimate, before: Estimate | None) -> str | None:
    if before is None:
        return None
    difference = value.value - before.value
    if math.isnan(difference):
        return wording.NOT_MEASURED
    return f"{difference:+.3f}"


def _show_matrix_and_rates(drawn: dict[str, go.Figure]) -> None:
    grid = two_columns()
    with grid.cell():
        st.markdown("##### Confusion matrix")
        key = "dashboard_matrix"
        plot(
            key,
            drawn[figures.CONFUSION],
            on_select=lambda: cell_clicked(key),
            selection_mode="points",
        )
        st.caption("Click a cell to see its films below. Hatched cells are errors.")
    with grid.cell():
        st.markdown("##### Rates over the threshold")
        plot("rates", drawn[figures.RATES])
        st.caption(
            "Solid amber line: your threshold; dotted: shipped; violet: uncertain "
            "band. PPV, NPV and F1 at the local prevalence."
        )


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
            if title not in drawn:
                st.caption(f"{wording.NOT_MEASURED} These films are of one class.")
            elif title == figures.SCORES:
                key = "dashboard_scores_chart"
                plot(
                    key,
                    drawn[title],
                    on_select=lambda key=key: bin_clicked(key),
                    selection_mode="points",
                )
                st.caption("Click a bar to see its films below.")
            else:
                plot(title.split()[0].lower(), drawn[title])
    with grid.cell():
        st.markdown("##### Subgroups")
        plot("subgroups", drawn[figures.SUBGROUPS])
    return grid.cell() if alone else st.container()


def _show_other_films(source: Source, view: View) -> None:
    st.markdown("##### The same threshold on other films")
    points = {source.appraisal.films: (source.appraisal, view.point)}
    for split in _other_splits(source):
        other = appraisal_of(source.card, SplitFilms(card=source.card, split=split))
        points[other.films] = (other, other.overview.curve.at(view.point.threshold))
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
        column_config={name: st.column_config.TextColumn(width=134) for name in points},
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
