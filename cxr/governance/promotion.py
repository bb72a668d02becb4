"""Which model may serve: gates for a candidate, the switch, and the way back.

A candidate is measured against the model that serves on the same films: those that
were held out from both. What is compared are the scores stored with each model, which
are its maker's word; for a model of a stranger, `python -m cxr evaluate` on films of
your own says more.

The trail is written before the switch. So no model serves that the trail does not know;
a crash in between leaves the old model serving and a row that came to nothing.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cxr.errors import CxrError, ModelError
from cxr.governance import gates, reasons, trust
from cxr.governance.gates import Gate, GateReport
from cxr.models import inference, registry, soundness
from cxr.models.cards import Card
from cxr.records import actors, audit


def promote(
    models_dir: Path,
    records_dir: Path,
    candidate_id: str,
    *,
    actor: str,
    reason: str = "",
) -> Card:
    """Lets a candidate serve if it passes all gates; returns its card.

    A candidate that is worse than the model that serves in its false alarms or in how
    often it gives an answer needs a reason, which goes into the trail.

    Args:
        models_dir: where the registered models are.
        records_dir: where the audit trail is.
        candidate_id: the model that is to serve.
        actor: who decided it, for the trail.
        reason: why a model that is worse is to serve; not needed for another.

    Raises:
        ModelError: code `gates` if one is not passed, `no-reason` if it is worse and
            nobody says why, `already-active`, or as `gates`; the model that served
            before still does.
        CxrError: that person may not (code `not-allowed`), or the audit trail can't be
            written; nothing was changed.
    """
    actors.require(records_dir, actor, actors.PROMOTE)
    if _active_id(models_dir) == candidate_id:
        raise ModelError(f"{candidate_id} serves already.", code="already-active")
    report = gates.gates(models_dir, candidate_id, records_dir=records_dir)
    if report.failed:
        reasons = " ".join(_as_reason(gate) for gate in report.failed)
        raise ModelError(f"{candidate_id} was not promoted. {reasons}", code="gates")
    details: dict[str, Any] = {"gates": {g.name: g.value for g in report.gates}}
    if report.worse:
        details["reason"] = _required_reason(candidate_id, report, reason)
        details["worse"] = [gate.name for gate in report.worse]
    return _switch(
        models_dir,
        records_dir,
        trust.PROMOTED,
        candidate_id,
        actor=actor,
        details=details,
    )


def activate(models_dir: Path, records_dir: Path, model_id: str, *, actor: str) -> Card:
    """Lets a model serve without asking the gates; returns its card.

    It is meant for the first model, and for someone who knows of a reason that the
    gates don't. The trail records that no gate was asked.

    Args:
        models_dir: where the registered models are.
        records_dir: where the audit trail is.
        model_id: the model that is to serve.
        actor: who decided it, for the trail.

    Raises:
        ModelError: the model is damaged, does not give its golden scores, or its card
            is not the recorded one; the model that served before still does.
        CxrError: that person may not (code `not-allowed`), or the audit trail can't be
            written; nothing was changed.
    """
    actors.require(records_dir, actor, actors.ACTIVATE)
    return _checked_switch(
        models_dir, records_dir, trust.ACTIVATED, model_id, actor=actor
    )


def roll_back(models_dir: Path, records_dir: Path, *, actor: str) -> Card:
    """Lets the model serve that did before the one that does; returns its card.

    Args:
        models_dir: where the registered models are.
        records_dir: where the audit trail is.
        actor: who decided it, for the trail.

    Raises:
        ModelError: code `no-earlier-model` if the trail knows none, or as `activate`.
        CxrError: that person may not (code `not-allowed`), or the audit trail can't be
            read or written; nothing was changed.
    """
    actors.require(records_dir, actor, actors.ROLL_BACK)
    model_id = previous_id(models_dir, records_dir)
    if model_id is None:
        raise ModelError(
            "The audit trail knows no model that served before. Promote one instead.",
            code="no-earlier-model",
        )
    return _checked_switch(
        models_dir, records_dir, trust.ROLLED_BACK, model_id, actor=actor
    )


def previous_id(models_dir: Path, records_dir: Path) -> str | None:
    """Returns the model that served before the active one, by the audit trail.

    Rolling back twice goes back two models, not back and forth. None if the trail knows
    no such model.

    Raises:
        CxrError: the audit trail can't be read.
    """
    served: list[str] = []
    for entry in reversed(audit.entries(records_dir, actions=trust.SWITCHES)):
        before = entry.details.get("previous")
        if isinstance(before, str):
            _come_to(served, before)
        if entry.action == trust.ROLLED_BACK:
            del served[-1:]
            _come_to(served, entry.model_id)
        elif served[-1:] != [entry.model_id]:
            served.append(entry.model_id)
    active = _active_id(models_dir)
    if active is None:
        return served[-1] if served else None
    _come_to(served, active)
    return served[-2] if len(served) > 1 else None


def _active_id(models_dir: Path) -> str | None:
    try:
        return registry.active_id(models_dir)
    except ModelError:
        return None


def _required_reason(candidate_id: str, report: GateReport, reason: str) -> str:
    """Returns the reason for a model that is worse, without its surplus spaces."""
    reason = reasons.given(reason)
    if not reason:
        worse = " ".join(_as_reason(gate) for gate in report.worse)
        raise ModelError(
            f"{candidate_id} was not promoted: it is worse than the model that serves, "
            f"or these films can't rule it out. {worse} Give a reason of "
            f"{reasons.SHORTEST} to {reasons.LONGEST} letters to promote it.",
            code="no-reason",
        )
    return reason


def _as_reason(gate: Gate) -> str:
    figures = f" ({gate.value}; bar: {gate.bar})" if gate.value else ""
    return f"{gate.name}{figures}: {gate.sentence}"


def _come_to(served: list[str], model_id: str) -> None:
    """Makes a model the last of those that served, which are listed oldest first.

    What comes after it in the list is dropped: such a switch was recorded and not made.
    A model that is not in the list is added: it was switched to without this package.
    """
    while model_id in served and served[-1] != model_id:
        served.pop()
    if model_id not in served:
        served.append(model_id)


def _checked_switch(
    models_dir: Path, records_dir: Path, action: str, model_id: str, *, actor: str
) -> Card:
    if problems := trust.problems(models_dir, records_dir, model_id):
        raise ModelError(
            f"{model_id} was not activated: {' '.join(problems)}", code="damaged-model"
        )
    soundness.require_measured(models_dir, registry.read_card(models_dir, model_id))
    inference.load(models_dir, model_id)
    return _switch(models_dir, records_dir, action, model_id, actor=actor)


def _switch(
    models_dir: Path,
    records_dir: Path,
    action: str,
    model_id: str,
    *,
    actor: str,
    details: Mapping[str, Any] | None = None,
) -> Card:
    """Records the switch, then makes it; the model is fit to serve."""
    content = {**(details or {}), "previous": _active_id(models_dir)}
    trust.record_card(
        models_dir, records_dir, action, model_id, actor=actor, details=content
    )
    try:
        with registry.writing(models_dir):
            return registry.activate(models_dir, model_id)
    except CxrError as error:
        audit.record(
            records_dir,
            trust.FAILED,
            actor=actor,
            model_id=model_id,
            details={"code": error.code},
        )
        raise
