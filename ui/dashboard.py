"""The dashboard: what a model is worth, and what every threshold costs."""

import math

import plotly.graph_objects as go
import streamlit as st

from cxr import appraisal_tables, operating_store
from cxr.appraisal import Appraisal
from cxr.config import settings
from cxr.evaluation import Estimate, View
from cxr.registry import Card
from cxr.shortcuts import ShortcutAudit
from ui import (
    dashboard_checks,
    dashboard_films,
    dashboard_report,
    dashboard_threshold,
    figures,
    wording,
)
from ui.dashboard_films import bin_clicked, cell_clicked
from ui.dashboard_layout import FORMATS, plot, two_columns
from ui.dashboard_source import (
    Source,
    appraisal_of,
    caution,
    choose_source,
    history_of,
)
from ui.dashboard_threshold import theme_colour
from ui.errors import show_errors

__all__ = [
    "choose_source",
    "show_calibration",
    "show_learning",
    "show_shortcuts",
    "show_threshold",
]


@st.fragment
def show_threshold(source: Source) -> None:
    """Shows everything that moves with the threshold; redraws nothing else."""
    with show_errors():
        threshold, prevalence = dashboard_threshold.choose(source)
        targets = st.container()
        view = source.appraisal.overview.at(threshold, prevalence=prevalence)
        if words := caution(source.films):
            st.info(words, icon=":material/info:")
        _show_tiles(source.appraisal, view)
        with st.container(horizontal=True, vertical_alignment="center"):
            dashboard_threshold.offer_to_store(source, view.point)
            _show_downloads(source, view)
        stored = operating_store.points(settings().records_dir, source.card)
        dashboard_threshold.show_stored(stored)
        drawn = dashboard_report.moving(source, view, ink=theme_colour("textColor"))
        _show_matrix_and_rates(drawn)
        other_films = _show_pairs(drawn, alone=len(_other_splits(source)) < 2)
        _show_table(source, view)
        dashboard_films.show_films(source, view.point)
        # Both need other films, which may have to be read first: the rest goes ahead.
        with targets:
            dashboard_threshold.show_targets(source, prevalence, stored)
        with other_films:
            _show_other_films(source, view)


def show_calibration(source: Source) -> None:
    """Shows whether the probabilities mean what they say."""
    whole = source.appraisal.whole
    st.subheader("Calibration", anchor=False)
    plot("reliability", dashboard_report.reliability(source.appraisal))
    st.caption(
        f"Calibration error (ECE) {wording.estimate(whole.ece)}, before calibration "
        f"{source.appraisal.uncalibrated_ece:.3f}; Brier score "
        f"{wording.estimate(whole.brier)}. On the dotted line, of the films with a "
        "probability of 0.7 seven in ten show pneumonia."
    )


def show_learning(source: Source) -> None:
    """Shows the learning curves of the run that made the model."""
    st.subheader("Learning curves", anchor=False)
    rows = history_of(source.card)
    if not rows:
        st.caption(f"{wording.NOT_MEASURED} This model keeps no history of a run.")
        return
    plot("learning", figures.learning(rows))
    st.caption("The run that made the model; a dotted line is where a stage began.")


def show_shortcuts(source: Source) -> None:
    """Shows how well a film's outside alone predicts the label."""
    st.subheader("Shortcut audit", anchor=False)
    audit = dashboard_checks.audit(source.card)
    if audit is None:
        st.caption(
            f"{wording.NOT_MEASURED} Not measured: check the model's data folder, and "
            "this shows how well file size, dimensions, grey level and sharpness alone "
            "predict the label, beside the network."
        )
        return
    network = source.appraisal.whole.auc
    features = {**audit.features, "all of these": audit.combined}
    plot("shortcuts", figures.shortcuts(features, network))
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


def _show_tiles(found: Appraisal, view: View) -> None:
    whole, local = found.whole, view.local
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
        f"Measured on {whole.n:,} {found.films}{patients}, {whole.n_positive:,} with "
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
            drawn["Confusion matrix"],
            on_select=lambda: cell_clicked(key),
            selection_mode="points",
        )
        st.caption("Click a cell to see its films below. Hatched cells are errors.")
    with grid.cell():
        st.markdown("##### Rates over the threshold")
        plot("rates", drawn["Rates over the threshold"])
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
    for title in ("ROC", "Precision and recall", "Scores by class", "Net benefit"):
        with grid.cell():
            st.markdown(f"##### {title}")
            if title not in drawn:
                st.caption(f"{wording.NOT_MEASURED} These films are of one class.")
            elif title == "Scores by class":
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
        plot("subgroups", drawn["Subgroups"])
    return grid.cell() if alone else st.container()


def _show_other_films(source: Source, view: View) -> None:
    st.markdown("##### The same threshold on other films")
    points = {source.appraisal.films: (source.appraisal, view.point)}
    for films in _other_splits(source):
        other = appraisal_of(source.card, films)
        points[other.films] = (other, other.overview.curve.at(view.point.threshold))
    rows = appraisal_tables.side_by_side(points)
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
    return [s for s in splits if s in source.splits and s != source.films]


def _show_table(source: Source, view: View) -> None:
    with st.expander("All figures, and how their intervals were made"):
        rows = appraisal_tables.metrics(source.appraisal, view)
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
                lambda: appraisal_tables.metrics_csv(
                    appraisal_tables.metrics(source.appraisal, view)
                ),
            ),
            "Rates at every threshold (CSV)": (
                "thresholds.csv",
                "text/csv",
                lambda: appraisal_tables.thresholds_csv(source.appraisal),
            ),
            "This page (HTML report)": (
                f"dashboard-{source.card.model_id}.html",
                "text/html",
                lambda: dashboard_report.html(source, view),
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
