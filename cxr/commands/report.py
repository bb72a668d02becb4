"""`python -m cxr report`: what was read in a day or a week, as HTML or PDF."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from cxr import disk
from cxr.commands import answers
from cxr.commands.answers import DONE, json_option, write
from cxr.config import settings
from cxr.records import audit, search

DAYS = {"day": 1, "week": 7}
KINDS = (".html", ".pdf")


@click.command()
@click.option(
    "--since", type=click.DateTime(["%Y-%m-%d"]), metavar="DATE", help="First day."
)
@click.option(
    "--until", type=click.DateTime(["%Y-%m-%d"]), metavar="DATE", help="Last day."
)
@click.option(
    "--period",
    type=click.Choice([*DAYS]),
    help="Instead of both: the day, or the seven days, before today.",
)
@click.option(
    "--to",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    metavar="FILE",
    help="What to write: FILE.html or FILE.pdf.",
)
@json_option
def report(
    since: datetime | None,
    until: datetime | None,
    period: str | None,
    to: Path,
    as_json: bool,
) -> int:
    """Report what was read in a span of days: a page or a PDF without patient data.

    Days begin at midnight UTC. The report says what was read and refused, what the
    answers were worth by the readers' reviews, and what has moved.
    """
    from cxr.reading import period as spans
    from cxr.reports import monitoring

    if to.suffix.lower() not in KINDS:
        raise answers.wrong_use(f"The report is a file {' or '.join(KINDS)}.")
    begin, end = _span(since, until, period)
    where, now = settings(), datetime.now(UTC)
    search.require_sight(where.records_dir, actor=audit.operating_system_user())
    found = spans.period(where.records_dir, where.models_dir, begin, end)
    if to.suffix.lower() == ".html":
        content = monitoring.html(found, time=now).encode()
    else:
        content = monitoring.pdf(found, time=now)
    with disk.whole_file(to) as draft:
        draft.write_bytes(content)
    facts = {"file": str(to), "films": found.films, "reviewed": found.reviewed}
    write(facts if as_json else f"Films: {found.films:,}. Written to {to}.")
    return DONE


def _span(
    since: datetime | None, until: datetime | None, period: str | None
) -> tuple[datetime, datetime]:
    """Returns the begin of the first day and the end of the last one."""
    if period is not None:
        if since or until:
            raise answers.wrong_use("Give either --period, or --since and --until.")
        today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        return today - timedelta(days=DAYS[period]), today
    if since is None or until is None or until < since:
        raise answers.wrong_use(
            "Give --since and --until, the later one second, or --period day or week."
        )
    first, last = (day.replace(tzinfo=UTC) for day in (since, until))
    return first, last + timedelta(days=1)
