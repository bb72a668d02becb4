"""What was measured on the films of a check, by class, and what it gives away."""

import math

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from cxr.datasets.checks import Check
from cxr.datasets.shortcuts import ShortcutAudit
from cxr.evaluation.estimates import UNDEFINED
from ui.charts import QUIET
from ui.data import charts
from ui.data.charts import CLASS_WORDS
from ui.shortcuts import shortcut_forest
from ui.wording import escaped, estimate

MOST_POINTS, SEED = 5_000, 20
MOST_BINS = 40
ENDS = (0.5, 99.5)  # percentiles between which a histogram is drawn
TOGETHER = "all together"


def show_images(check: Check) -> None:
    """Shows the sizes and tones of the films by class."""
    survey = check.survey
    chosen = np.flatnonzero(survey.readable)
    if not chosen.size:
        st.info("No film could be read.", icon=":material/broken_image:")
        return
    labels = survey.labels
    grid = st.grid(2, min_column_width=420, gap="large")
    with grid.cell():
        _show_sizes(survey.width, survey.height, labels, chosen)
    measures: dict[str, tuple[NDArray, str]] = {
        "Mean grey": (survey.mean_grey, "grey level, 0 to 255"),
        "Sharpness": (survey.sharpness, "edges over contrast, no unit"),
        "File size": (survey.file_bytes / 1000, "kB"),
    }
    for name, (values, unit) in measures.items():
        with grid.cell():
            _show_histogram(name, values[chosen], labels[chosen], unit)
    st.caption(
        "Shares of each class's readable films. One film in 200 lies beyond either end "
        "of a histogram."
    )


def show_shortcuts(check: Check) -> None:
    """Shows how far measures that are no disease give the label away."""
    audit = check.audit
    rows = audit.features | {TOGETHER: audit.combined}
    network = f"network, {audit.network_n:,} films"
    if audit.network is not None:
        there = f"{TOGETHER}, {audit.network_n:,} films"
        rows |= {there: audit.combined_there or UNDEFINED, network: audit.network}
    st.markdown(
        "The further a measure lies to the right of 0.5, the better it tells pneumonia "
        "from normal without looking at the lungs: a network can learn it instead of "
        "the disease, and would then fail where films are taken in another way."
    )
    st.plotly_chart(
        shortcut_forest(rows, network),
        config=QUIET,
        key="shortcuts",
        alt="; ".join(f"{name} AUC {estimate(value)}" for name, value in rows.items()),
    )
    st.caption(
        f"AUC with its 95 % interval on {audit.n:,} films of {audit.n_patients:,} "
        "patients. Each film was predicted from the measure by trees that had seen no "
        f"film of its patient. {_network_words(audit)}"
    )


def _network_words(audit: ShortcutAudit) -> str:
    if not audit.network_id:
        return "The network was not measured on these films: no model is active."
    name = escaped(audit.network_id)
    if audit.network is None:
        return f"The network {name} was not measured on these films."
    return f"The network is {name}, on the films here that its test held out."


def _show_sizes(
    width: NDArray[np.int32],
    height: NDArray[np.int32],
    labels: NDArray[np.int64],
    chosen: NDArray[np.intp],
) -> None:
    st.markdown("#### Width and height")
    sizes = np.unique(np.stack([width[chosen], height[chosen]]), axis=1)
    if sizes.shape[1] == 1:
        st.metric("All films", f"{sizes[0, 0]:,} × {sizes[1, 0]:,} pixels")
        st.caption("One size for all: width and height give nothing away.")
        return
    shown = chosen
    if chosen.size > MOST_POINTS:
        draw = np.random.default_rng(SEED)
        shown = draw.choice(chosen, MOST_POINTS, replace=False)
    st.plotly_chart(
        charts.sizes(width[shown], height[shown], labels[shown]),
        config=QUIET,
        key="sizes",
        alt=f"Widths from {sizes[0].min():,} to {sizes[0].max():,} pixels, "
        f"heights from {sizes[1].min():,} to {sizes[1].max():,}",
    )
    if chosen.size > MOST_POINTS:
        st.caption(f"{MOST_POINTS:,} of {chosen.size:,} films, drawn at random.")


def _show_histogram(
    name: str, values: NDArray[np.float64], labels: NDArray[np.int64], unit: str
) -> None:
    st.markdown(f"#### {name}")
    low, high = np.percentile(values, ENDS)
    inside = (values >= low) & (values <= high)
    bins = min(MOST_BINS, math.ceil(2 * values.size ** (1 / 3)))  # Rice's rule
    edges = np.histogram_bin_edges(values[inside], bins)
    shares = []
    for label in (0, 1):
        counts, _ = np.histogram(values[inside & (labels == label)], edges)
        shares.append(counts / max((labels == label).sum(), 1))
    st.plotly_chart(
        charts.histogram(edges, shares, unit),
        config=QUIET,
        key=f"histogram_{name}",
        alt=f"{name} by class, medians "
        + " and ".join(
            f"{word} {np.median(values[labels == label]):,.4g}"
            for label, word in enumerate(CLASS_WORDS)
            if (labels == label).any()
        ),
    )
