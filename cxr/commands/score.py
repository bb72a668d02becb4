"""`python -m cxr score`: an archive of films into one table, resumable."""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cxr.commands import answers
from cxr.commands.answers import DONE, DONE_WITH_REFUSALS, json_option, write
from cxr.commands.ready import ready
from cxr.config import settings
from cxr.names import printable
from cxr.records.audit import operating_system_user

if TYPE_CHECKING:
    from cxr.reading.bulk import Progress

TOLD_EVERY = 5.0  # seconds

logger = logging.getLogger(__name__)


@click.command()
@click.option(
    "--input", "source", type=click.Path(path_type=Path), required=True, metavar="DIR"
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="The table, .csv or .parquet. It names the films by their paths: keep it like "
    "a patient's record.",
)
@answers.model_option
@answers.threshold_option
@json_option
def score(
    source: Path,
    output: Path,
    model: str | None,
    threshold: float | None,
    as_json: bool,
) -> int:
    """Score an archive: every film below a folder, one row each.

    Stopped in whatever way, the same command goes on where it was.
    """
    from cxr.datasets import search
    from cxr.models import cards
    from cxr.reading import archive_tables, bulk

    archive_tables.require_format(output)
    where, root = settings(), search.allowed_folder(source)
    films = search.films_in(source)
    with ready(model) as reader:
        loaded = reader.model
        task = bulk.Task(
            input=str(root),
            model_id=loaded.card.model_id,
            model_sha256=loaded.sha256,
            lungs_sha256=reader.lungs.card.files[cards.NETWORK_WEIGHTS].sha256,
            threshold=threshold or loaded.card.threshold.value,
        )
        found = bulk.score(
            task,
            output,
            films,
            loaded,
            reader.pool,
            lungs=reader.lungs,
            records_dir=where.records_dir,
            actor=operating_system_user(),
            progress=_teller(),
        )
    document = asdict(found) | {"output": str(output)}
    words = (
        f"{found.films} films: {found.scored} scored, {found.refused} refused, in "
        f"{printable(str(output))}."
    )
    write(document if as_json else words)
    return DONE_WITH_REFUSALS if found.refused else DONE


def _teller() -> "Callable[[Progress], None]":
    """Returns what tells the log how far it is, every few seconds."""
    told = -math.inf

    def tell(now: "Progress") -> None:
        nonlocal told
        if now.done == now.before and now.before:
            logger.info("Goes on: %d of %d films are done.", now.before, now.total)
        elif now.done > now.before and time.monotonic() - told > TOLD_EVERY:
            told = time.monotonic()
            logger.info(
                "%d of %d films, %.1f a second, %s left",
                now.done,
                now.total,
                (now.done - now.before) / now.seconds,
                _time(now.seconds_left),
            )

    return tell


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"
