"""`python -m cxr models ACTION`: the registry on the command line."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from cxr.commands import answers
from cxr.commands.answers import DONE, json_option
from cxr.config import Settings
from cxr.errors import CxrError, ModelError
from cxr.records import actors, audit


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def models(context: click.Context, as_json: bool) -> int:
    """List models, or do one thing with them."""
    context.obj = as_json
    return context.invoke(show_list) if context.invoked_subcommand is None else DONE


def _action(name: str) -> Callable[[Callable[..., Any]], click.Command]:
    return answers.action(models, name)


_model = click.argument("model_id", metavar="ID")


@_action("list")
def show_list(where: Settings) -> tuple[Any, bool]:
    """List the models, the newest first, and which one serves."""
    from cxr.models import registry

    try:
        active: str | None = registry.active_id(where.models_dir)
    except ModelError:
        active = None
    listed = [
        {
            "model_id": card.model_id,
            "architecture": card.architecture,
            "created": card.created,
            "threshold": card.threshold.value,
            "test_auc": asdict(card.metrics["test"].auc)
            if "test" in card.metrics
            else None,
        }
        for card in registry.cards(where.models_dir)
    ]
    return {"active": active, "models": listed}, True


@_action("show")
@_model
def show(where: Settings, model_id: str) -> tuple[Any, bool]:
    """Show a card, whole."""
    from cxr.models import registry

    return asdict(registry.read_card(where.models_dir, model_id)), True


@_action("verify")
def verify(where: Settings) -> tuple[Any, bool]:
    """Hold each model against its card, the trail and its golden scores."""
    from cxr.governance import trust
    from cxr.models import inference, registry

    problems = {}
    for name in registry.names(where.models_dir):
        try:
            problems[name] = trust.problems(where.models_dir, where.records_dir, name)
            if not problems[name]:
                inference.load(where.models_dir, name)
        except CxrError as error:
            problems[name] = [error.message]
    try:
        trust.load_lungs(where.models_dir, where.records_dir)
        problems[registry.LUNGS] = []
    except CxrError as error:
        problems[registry.LUNGS] = [error.message]
    return problems, not any(problems.values())


@_action("compare")
@click.argument("first", metavar="ID")
@click.argument("second", metavar="ID")
def compare(where: Settings, first: str, second: str) -> tuple[Any, bool]:
    """Compare two models on the films held out from both."""
    from cxr.governance import comparison

    return asdict(comparison.compare(where.models_dir, first, second)), True


@_action("ensemble")
@click.argument("ids", nargs=-1, required=True, metavar="ID ID ...")
def ensemble(where: Settings, ids: tuple[str, ...]) -> tuple[Any, bool]:
    """Register an ensemble of two or more models as a candidate."""
    from cxr.governance import exchange

    if len(ids) < 2:
        raise click.UsageError("An ensemble takes at least two models.")
    model_id = exchange.join(
        where.models_dir, where.records_dir, ids, actor=audit.operating_system_user()
    )
    return {"model_id": model_id}, True


@_action("activate")
@_model
def activate(where: Settings, model_id: str) -> tuple[Any, bool]:
    """Let a model serve without asking the gates."""
    from cxr.governance import promotion

    card = promotion.activate(
        where.models_dir,
        where.records_dir,
        model_id,
        actor=audit.operating_system_user(),
    )
    return {"active": card.model_id}, True


@_action("promote")
@_model
@click.option(
    "--reason",
    default="",
    metavar="REASON",
    help="Why a model is to serve that is worse than the one that does, in its false "
    "alarms or in how often it gives an answer. It goes into the audit trail.",
)
def promote(where: Settings, model_id: str, reason: str) -> tuple[Any, bool]:
    """Let a model serve if it passes the gates."""
    from cxr.governance import promotion

    card = promotion.promote(
        where.models_dir,
        where.records_dir,
        model_id,
        actor=audit.operating_system_user(),
        reason=reason,
    )
    return {"active": card.model_id}, True


@_action("set-band")
@_model
@click.option("--data", type=click.Path(path_type=Path), required=True, metavar="DIR")
def set_band(where: Settings, model_id: str, data: Path) -> tuple[Any, bool]:
    """Choose a candidate's zone without an answer anew, on its validation films."""
    from cxr.governance import measurements, trust
    from cxr.models import registry
    from cxr.robustness import films, operating, subjects

    actor = audit.operating_system_user()
    # Said now and not after scoring.
    actors.require(where.records_dir, actor, actors.SET_BAND)
    model = trust.load(
        where.models_dir, where.records_dir, model_id, threads=where.threads
    )
    everything = films.load(
        data,
        registry.read_split(where.models_dir, model.card),
        size=subjects.SIZE,
        cache_dir=where.cache_dir,
    )
    scores = registry.read_scores(where.models_dir, model.card, "validation")
    validation = frozenset(scores.sha256)
    card = measurements.put_band(
        where.models_dir,
        where.records_dir,
        model_id,
        operating.band_of(model, everything, validation),
        actor=actor,
    )
    return {
        "model_id": model_id,
        "band": card.band,
        "rule": card.uncertain_band.rule,
        "test": asdict(card.metrics["test"])["answered"],
    }, True


@_action("rollback")
def roll_back(where: Settings) -> tuple[Any, bool]:
    """Let the model serve that did before."""
    from cxr.governance import promotion

    card = promotion.roll_back(
        where.models_dir, where.records_dir, actor=audit.operating_system_user()
    )
    return {"active": card.model_id}, True


@_action("export")
@_model
@click.argument("target", metavar="FILE", type=click.Path(path_type=Path))
def export(where: Settings, model_id: str, target: Path) -> tuple[Any, bool]:
    """Write a model into a new zip file."""
    from cxr.governance import exchange

    entry = exchange.export_file(
        where.models_dir,
        where.records_dir,
        model_id,
        target,
        actor=audit.operating_system_user(),
    )
    return {"model_id": model_id, "file": str(target), "time": entry.time}, True


@_action("import")
@click.argument("source", metavar="FILE", type=click.Path(path_type=Path))
def import_(where: Settings, source: Path) -> tuple[Any, bool]:
    """Register the model in a zip file as a candidate."""
    from cxr.governance import exchange

    try:
        with source.open("rb") as file:
            card = exchange.import_model(
                where.models_dir,
                where.records_dir,
                file,
                actor=audit.operating_system_user(),
            )
    except FileNotFoundError as error:
        raise CxrError(f"There is no file {source}.", code="usage") from error
    return {"model_id": card.model_id}, True


@_action("audit")
@click.option(
    "--acknowledge",
    "reason",
    metavar="REASON",
    help="Set a damaged trail aside and begin a new one, which keeps your reason and "
    "the hashes of all cards as they are now.",
)
def show_audit(where: Settings, reason: str | None) -> tuple[Any, bool]:
    """Show the whole trail, the newest row first, and where its chain is broken."""
    if reason is not None:
        from cxr.governance import trust

        actor = audit.operating_system_user()
        trust.acknowledge(
            where.models_dir, where.records_dir, actor=actor, reason=reason
        )
    problems = audit.verify(where.records_dir)
    try:
        rows = [asdict(entry) for entry in audit.entries(where.records_dir)]
    except CxrError:
        rows = []  # The problems say that it can't be read.
    return {"problems": problems, "entries": rows}, not problems
