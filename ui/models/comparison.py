"""Two registered models on the films that were held out from both."""

from collections.abc import Sequence

import streamlit as st

from cxr.governance.comparison import SideBySide
from ui import side_by_side, wording
from ui.charts import QUIET
from ui.models.metrics import whole
from ui.models.table import Registered
from ui.reliability import reliability_diagram
from ui.wording import escaped


def choose_other(models: Sequence[Registered], chosen: Registered) -> Registered | None:
    """Returns the model to compare with, at first the active one; None if alone."""
    others = {
        model.model_id: model
        for model in models
        if model.card and model.model_id != chosen.model_id
    }
    if not others:
        st.info("There is no second model to compare with.", icon=":material/rule:")
        return None
    serving = [name for name, model in others.items() if model.serves]
    names = list(dict.fromkeys([*serving, *others]))
    if st.session_state.get("models_other") not in others:
        st.session_state["models_other"] = names[0]
    name = st.selectbox(
        "Compare with",
        names,
        key="models_other",
        persist_state="session",
    )
    return others[name]


def show_comparison(first: Registered, second: Registered) -> None:
    """Shows both models' figures on the same films, their difference and the tests.

    Raises:
        ModelError: a file of one of them was changed.
        CxrError: the two were not tested on common films.
    """
    both = side_by_side.of_models(first.model_id, second.model_id)
    _show_basis(both)
    _show_table(both)
    grid = st.grid(2, min_column_width=380, gap="large")
    with grid.cell():
        st.markdown(f"**Ranking.** {escaped(side_by_side.ranking(both))}")
        st.markdown(f"**Decisions.** {escaped(side_by_side.decisions(both))}")
    with grid.cell():
        _show_reliability(both)


def _show_basis(both: SideBySide) -> None:
    evaluations = both.comparison.evaluations
    patients = next(iter(evaluations.values())).n_patients
    films = f"**{both.comparison.films:,} films**"
    if patients:
        films += f" of **{patients:,} patients**"
    thresholds = " and ".join(
        f"{wording.threshold(evaluated.threshold)} ({escaped(name)})"
        for name, evaluated in evaluations.items()
    )
    st.markdown(
        f"Both on the same {films}, held out from both, each at its own threshold: "
        f"{thresholds}."
    )
    if differ := side_by_side.test_films_differ(both):
        st.caption(f":material/warning: {escaped(differ)}")


def _show_table(both: SideBySide) -> None:
    names = list(both.comparison.evaluations)
    st.table(
        [
            {
                "": row["metric"],
                **{escaped(name): whole(row[name]) for name in names},
                "Difference": row["difference"],
            }
            for row in side_by_side.rows(both)
        ],
        border="horizontal",
        hide_index=True,
        alt="Metrics of both models on the same films, and their difference",
    )
    st.caption(side_by_side.INTERVALS)


def _show_reliability(both: SideBySide) -> None:
    first, second = both.comparison.evaluations
    st.caption(
        "Calibration: share of films with pneumonia against the mean probability, "
        f"{escaped(first)} filled circles, {escaped(second)} open squares, larger for "
        "more films, 95 % intervals; on the dotted line both are equal."
    )
    errors = "; ".join(
        f"{name}: ECE {wording.estimate(evaluated.ece)}"
        for name, evaluated in both.comparison.evaluations.items()
    )
    st.plotly_chart(
        reliability_diagram(both.curves),
        config=QUIET,
        key="reliability",
        alt=f"Calibration. {errors}",
    )
    st.markdown(escaped(errors))
