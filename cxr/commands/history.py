"""`python -m cxr history ACTION`: what was read, reviewed and decided."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from cxr.commands import answers
from cxr.commands.answers import DONE, json_option, write
from cxr.config import Settings, settings
from cxr.disk import whole_file
from cxr.errors import CxrError
from cxr.names import printable
from cxr.records import audit

_KINDS = ("csv", "parquet", "manifest")


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def history(context: click.Context, as_json: bool) -> int:
    """List what was read, or do one thing with it."""
    context.obj = as_json
    return context.invoke(show_list) if context.invoked_subcommand is None else DONE


def _action(name: str) -> Callable[[Callable[..., Any]], click.Command]:
    return answers.action(history, name)


def _filters(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options that say which cases are wanted."""
    day = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"])
    for option in (
        click.option("--text", default="", metavar="T", help="Case id, or words."),
        click.option("--since", type=day, help="Read then or later; UTC."),
        click.option("--until", type=day, help="Read before then; UTC."),
        click.option("--answer", "answer", multiple=True, metavar="ANSWER"),
        click.option("--opinion", multiple=True, metavar="OPINION"),
        click.option("--model", default="", metavar="ID"),
        click.option("--reader", default="", metavar="WHO"),
        click.option("--disagreements", is_flag=True, help="Those alone."),
    ):
        command = option(command)
    return command


def _query(values: dict[str, Any]) -> Any:
    from cxr.records.search import Query

    return Query(
        text=values["text"],
        since=_utc(values["since"]),
        until=_utc(values["until"]),
        answers=values["answer"],
        opinions=values["opinion"],
        model_id=values["model"],
        reader=values["reader"],
        disagreement=True if values["disagreements"] else None,
    )


def _require_sight(where: Settings) -> None:
    from cxr.records import search

    search.require_sight(where.records_dir, actor=audit.operating_system_user())


def _utc(time: datetime | None) -> datetime | None:
    return None if time is None else time.replace(tzinfo=UTC)


@history.command("list")
@_filters
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, metavar="N")
@json_option
@click.pass_context
def show_list(context: click.Context, limit: int, as_json: bool, **values: Any) -> None:
    """List cases, the newest first, and how many there are."""
    from cxr.records import search
    from cxr.reports import history as reports

    where, query = settings(), _query(values)
    _require_sight(where)
    found = search.cases(where.records_dir, query, limit=limit)
    counts = search.count(where.records_dir, query)
    if as_json or context.obj:
        listed = [reports.document(where.records_dir, case) for case in found]
        write(
            {
                "cases": listed,
                "count": counts.cases,
                "answers": counts.answers,
                "reviewed": counts.reviewed,
                "disagreements": counts.disagreements,
            }
        )
        return
    for case in found:
        write(_in_words(case))
    write(
        f"{len(found):,} of {counts.cases:,} cases; {counts.reviewed:,} reviewed, "
        f"{counts.disagreements:,} disagreements."
    )


def _in_words(case: Any) -> str:
    reading = case.reading
    score = "" if reading.probability is None else f" {reading.probability:.3f}"
    code = f" ({reading.code})" if reading.code else ""
    review = f", {case.opinion} ({case.reviewer})" if case.opinion else ""
    return printable(
        f"{case.time[:19]} {case.case_id} {reading.answer}{score}{code}, "
        f"{case.reader}{review}"
    )


_case = click.argument("case_id", metavar="CASE")
_reason = click.option("--reason", required=True, metavar="REASON")


@_action("show")
@_case
def show(where: Settings, case_id: str) -> tuple[Any, bool]:
    """Show a case, whole, and all that happened to it."""
    from dataclasses import asdict

    from cxr.records import search
    from cxr.reports import history as reports

    _require_sight(where)
    case = search.case(where.records_dir, case_id)
    happened = search.events_of(where.records_dir, case_id)
    events = [asdict(event) for event in happened]
    return reports.document(where.records_dir, case) | {"events": events}, True


@_action("export")
@_filters
@click.argument("target", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--kind", type=click.Choice(_KINDS), default="csv")
def export(where: Settings, target: Path, kind: str, **values: Any) -> tuple[Any, bool]:
    """Write cases into a new file: CSV, Parquet, or a manifest for a training."""
    from cxr.reports import history as reports

    if target.exists():
        raise CxrError(f"There is a file {target} already.", code="usage")
    with whole_file(target) as draft, draft.open("wb") as file:
        draft.chmod(0o600)
        count = reports.export(
            where.records_dir,
            _query(values),
            file,
            actor=audit.operating_system_user(),
            kind=kind,
        )
    return {"file": str(target), "cases": count}, True


@_action("delete")
@_case
@_reason
def delete(where: Settings, case_id: str, reason: str) -> tuple[Any, bool]:
    """Delete a case and its film; that it was deleted, and why, stays."""
    from cxr.records import history as acts

    acts.delete(
        where.records_dir,
        case_id,
        actor=audit.operating_system_user(),
        reason=reason,
    )
    return {"deleted": case_id}, True


@_action("expire")
@click.option(
    "--days",
    type=click.IntRange(1, 99_999),
    metavar="N",
    help="Instead of CXR_KEEP_DAYS.",
)
def expire(where: Settings, days: int | None) -> tuple[Any, bool]:
    """Delete the cases that are older than the site keeps them."""
    from cxr.records import history as acts

    days = days or where.keep_days
    if days is None:
        raise CxrError(
            "Cases are kept for ever here: set CXR_KEEP_DAYS, or give --days.",
            code="usage",
        )
    count = acts.expire(where.records_dir, days, actor=audit.operating_system_user())
    return {"deleted": count, "days": days}, True


@_action("verify")
def verify(where: Settings) -> tuple[Any, bool]:
    """Say where the history was altered; reads all of it."""
    from cxr.records import soundness

    problems = soundness.verify(where.records_dir)
    return {"problems": problems}, not problems


@_action("check")
@click.option(
    "--set-aside",
    "reason",
    metavar="REASON",
    help="Set a damaged history aside, so that the next reading begins a new one.",
)
@click.option(
    "--rebuild",
    is_flag=True,
    help="Make the rows that cases are searched by anew from the events.",
)
def check(where: Settings, reason: str | None, rebuild: bool) -> tuple[Any, bool]:
    """Say whether readings can be kept now, and mend what can be mended."""
    from cxr.records import soundness

    answer: dict[str, Any] = {}
    actor = audit.operating_system_user()
    if reason is not None:
        answer["set_aside"] = soundness.set_aside(
            where.records_dir, actor=actor, reason=reason
        )
    if rebuild:
        answer["rebuilt"] = soundness.rebuild(where.records_dir, actor=actor)
    trouble = soundness.obstacle(where.records_dir)
    answer["trouble"] = None if trouble is None else trouble.message
    return answer, trouble is None
