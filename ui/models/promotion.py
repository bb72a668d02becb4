"""Which model serves: the gates before a promotion, and the way back."""

from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path

import streamlit as st

from cxr.config import settings
from cxr.evaluation.estimates import Estimate
from cxr.evaluation.summary import Evaluation
from cxr.governance import gates, promotion, reasons
from cxr.governance.gates import Gate, GateReport
from cxr.models import registry
from cxr.models.cards import Card
from cxr.records import actors
from ui import wording
from ui.errors import show_errors
from ui.loaders import active_card, metrics_of
from ui.models.table import UNCHANGED, Registered, leave_notice
from ui.people import actor, allowed, say_who_can
from ui.signatures import Signature, model_signature, trail_signature
from ui.wording import NOT_MEASURED, escaped

PASSED = ":material/check_circle: Passed"
WORSE = ":orange[:material/edit_note: Asks for a reason]"
REASON = "promotion_reason"
NOTHING = ("", "—")  # a gate's value where there was nothing to measure
FAILED = ":violet[:material/block: Failed]"


def show_promotion(model: Registered, models: Sequence[Registered]) -> None:
    """Shows what a candidate must pass to serve, promotion and the way back.

    Raises:
        CxrError: the candidate's card is damaged, or the audit trail can't be read.
    """
    active = next((other.model_id for other in models if other.serves), None)
    if model.serves:
        st.markdown(f"**{escaped(model.model_id)}** serves.")
        _show_buttons(model, None)
        return
    report = _report(model.model_id, active)
    st.subheader(f"Gates for {model.model_id}", anchor=False)
    grid = st.grid(3, min_column_width=260, gap="small")
    for gate in report.gates:
        with grid.cell():
            _show_gate(gate)
    _show_buttons(model, report)


def _show_gate(gate: Gate) -> None:
    state = PASSED if gate.passed else WORSE if gate.waivable else FAILED
    lines = [f"{state} · **{escaped(gate.name)}**"]
    if gate.value not in NOTHING:
        lines.append(f"{escaped(gate.value)}; bar: {escaped(gate.bar)}")
    lines.append(f":small[{escaped(gate.sentence)}]")
    st.markdown("  \n".join(lines))


def _show_buttons(model: Registered, report: GateReport | None) -> None:
    where = settings()
    previous = promotion.previous_id(where.models_dir, where.records_dir)
    if not allowed(actors.PROMOTE):
        say_who_can(actors.PROMOTE)
        return
    reason = _ask_reason(report) if report and not report.failed else ""
    with st.container(horizontal=True, vertical_alignment="center"):
        if report and st.button(
            f"Promote {model.model_id}",
            key="promote",
            icon=":material/publish:",
            type="primary",
            disabled=bool(report.failed or (report.worse and not reason)),
        ):
            _confirm_promotion(model.model_id, reason)
        if (
            previous
            and allowed(actors.ROLL_BACK)
            and st.button(
                f"Roll back to {previous}", key="roll_back", icon=":material/history:"
            )
        ):
            _confirm_roll_back(previous)
    if report and report.failed:
        st.caption(
            f"{len(report.failed)} of {len(report.gates)} gates failed: this model "
            "can't be promoted."
        )
    if not previous:
        st.caption("Nothing to roll back to: no other model has served so far.")


def _ask_reason(report: GateReport) -> str:
    """Asks why a model is to serve that may be worse; returns what was typed."""
    if not report.worse:
        return ""
    names = ", ".join(gate.name.lower() for gate in report.worse)
    st.warning(
        f"It is worse than the model that serves, or these films can't rule it out. "
        f"Not passed: {escaped(names)}. It is promoted only with a reason.",
        icon=":material/edit_note:",
    )
    return st.text_area(
        "Why it is to serve all the same",
        key=REASON,
        max_chars=reasons.LONGEST,
        placeholder="What was decided, by whom, on what grounds",
        help="It goes into the audit trail, with what is worse.",
    ).strip()


def _report(model_id: str, active_id: str | None) -> GateReport:
    where = settings()
    names = [name for name in (model_id, active_id) if name]
    changing = (trail_signature(), *map(model_signature, names))
    files = tuple(chain.from_iterable(changing))
    return _gates(files, where.models_dir, where.records_dir, model_id, active_id)


@st.cache_data(max_entries=32, show_spinner="Checking the gates")
def _gates(
    files: Signature,
    models_dir: Path,
    records_dir: Path,
    model_id: str,
    active_id: str | None,
) -> GateReport:
    return gates.gates(models_dir, model_id, records_dir=records_dir)


@st.dialog("Promote this model?", width="medium", icon=":material/publish:")
def _confirm_promotion(model_id: str, reason: str) -> None:
    with show_errors(UNCHANGED):
        where = settings()
        _show_change(model_id)
        st.caption("The gates are checked once more before anything changes.")
        if st.button("Promote", key="promote_confirmed", type="primary"):
            card = promotion.promote(
                where.models_dir,
                where.records_dir,
                model_id,
                actor=actor(),
                reason=reason,
            )
            leave_notice(
                _served(card, "was promoted and serves now"), chosen=card.model_id
            )


@st.dialog("Roll back?", width="medium", icon=":material/history:")
def _confirm_roll_back(previous: str) -> None:
    with show_errors(UNCHANGED):
        where = settings()
        _show_change(previous)
        if st.button("Roll back", key="roll_back_confirmed", type="primary"):
            card = promotion.roll_back(
                where.models_dir, where.records_dir, actor=actor()
            )
            leave_notice(_served(card, "serves again"), chosen=card.model_id)


def _show_change(model_id: str) -> None:
    """Shows what is different for readers once this model serves."""
    models_dir = settings().models_dir
    after = _facts(registry.read_card(models_dir, model_id))
    now = _facts(active_card()) if _has_active(models_dir) else {}
    st.table(
        [
            {
                "": name,
                "Now": now.get(name, NOT_MEASURED),
                "After": value,
            }
            for name, value in after.items()
        ],
        border="horizontal",
        hide_index=True,
        alt="What changes",
    )
    if now and now["Population"] != after["Population"]:
        st.warning(
            "The population changes: films of other patients than now are read by it.",
            icon=":material/groups:",
        )
    st.markdown(
        "Every reader gets it with the next film; films that are open must be "
        "uploaded again. The change goes into the audit trail."
    )


def _has_active(models_dir: Path) -> bool:
    return (models_dir / registry.ACTIVE).is_file()


def _facts(card: Card) -> dict[str, str]:
    test = metrics_of(card).get("test")
    figures = dict.fromkeys(_RATES, NOT_MEASURED)
    if test:
        figures = {name: wording.estimate(of(test)) for name, of in _RATES.items()}
    return {
        "Model": escaped(card.model_id),
        "Threshold": wording.threshold(card.threshold.value),
        "Population": escaped(card.population),
        "Network": escaped(card.architecture),
        **figures,
    }


_RATES: dict[str, Callable[[Evaluation], Estimate]] = {
    "Test sensitivity": lambda test: test.sensitivity,
    "Test specificity": lambda test: test.specificity,
    "Without an answer": lambda test: wording.answered(test, "no_answer"),
    "Sensitivity of the answered": lambda test: wording.answered(test, "sensitivity"),
    "Specificity of the answered": lambda test: wording.answered(test, "specificity"),
}


def _served(card: Card, what: str) -> str:
    return (
        f"{card.model_id} {what}, with threshold "
        f"{wording.threshold(card.threshold.value)}. The change is in the audit trail."
    )
