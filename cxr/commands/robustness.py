"""`python -m cxr robustness`: a model under what is not disease."""

import logging
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cxr.commands import answers
from cxr.commands.answers import DONE, DONE_WITH_REFUSALS, json_option, write
from cxr.config import settings
from cxr.records import actors, audit

if TYPE_CHECKING:
    from cxr.robustness.heatmaps import HeatmapReport

logger = logging.getLogger(__name__)


@click.command()
@click.option("--data", type=click.Path(path_type=Path), required=True, metavar="DIR")
@click.option(
    "--split",
    metavar="NAME",
    help="As for evaluate; held-out is the usual choice.",
)
@answers.model_option
@click.option(
    "--suite",
    default="",
    metavar="PARTS",
    help="Some of shifts,markers,strata,style,twins,heatmap; all by default, twins "
    "only with --originals.",
)
@click.option(
    "--originals",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Films of the data folder in their original size, by the same names.",
)
@click.option("--all-twins", is_flag=True, help="Those of training patients too.")
@click.option(
    "--films",
    type=click.IntRange(1),
    metavar="N",
    help="At most so many, chosen by their hashes.",
)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option(
    "--onto-card", is_flag=True, help="Put what the heat map is worth on the card."
)
@json_option
def robustness(
    data: Path,
    split: str | None,
    model: str | None,
    suite: str,
    originals: Path | None,
    all_twins: bool,
    films: int | None,
    seed: int,
    onto_card: bool,
    as_json: bool,
) -> int:
    """Put a model through shifts, markers, strata, style, twins and its heat map.

    The exit code says whether it reaches every bar.
    """
    from cxr.governance import trust
    from cxr.models import registry
    from cxr.robustness import films as film_sets
    from cxr.robustness import subjects, tables, twins
    from cxr.robustness import suite as suites

    where, actor = settings(), audit.operating_system_user()
    if onto_card:
        # Said now and not after an hour of scoring.
        actors.require(where.records_dir, actor, actors.MEASURE_MODEL)
    parts = _parts(tuple(suite.split(",")) if suite else (), suites.SUITES, originals)
    loaded = trust.load(
        where.models_dir, where.records_dir, model, threads=where.threads
    )
    everything = film_sets.load(
        data,
        registry.read_split(where.models_dir, loaded.card),
        size=subjects.SIZE,
        cache_dir=where.cache_dir,
    )
    chosen = film_sets.choose(everything, split)
    pairs = None
    if suites.TWINS in parts and originals is not None:
        pairs = twins.load(originals, everything, size=subjects.SIZE)
    report = suites.run(
        subjects.subject_of(loaded),
        chosen.sample(films) if films else chosen,
        suites=parts,
        everything=everything,
        pairs=pairs,
        all_twins=all_twins,
        seed=seed,
        progress=lambda part, done, of: logger.info("%s %d of %d", part, done, of),
    )
    if onto_card:
        _put_onto_card(report.heatmap, loaded.card.model_id, split or "all films")
    write(asdict(report) if as_json else tables.in_words(report))
    return DONE if report.passed else DONE_WITH_REFUSALS


def _put_onto_card(report: "HeatmapReport | None", model_id: str, split: str) -> None:
    from cxr.governance import measurements
    from cxr.robustness import heatmaps

    if report is None:
        raise answers.wrong_use("The heat map was not measured: nothing for the card.")
    where = settings()
    measurements.put_heatmap_worth(
        where.models_dir,
        where.records_dir,
        model_id,
        heatmaps.worth(report, split),
        actor=audit.operating_system_user(),
    )


def _parts(
    asked: tuple[str, ...], known: tuple[str, ...], originals: Path | None
) -> tuple[str, ...]:
    if unknown := set(asked) - set(known):
        raise answers.wrong_use(
            f"The suite has no part {', '.join(sorted(unknown))}; it has "
            f"{', '.join(known)}."
        )
    if "twins" in asked and originals is None:
        raise answers.wrong_use(
            "Say where the films in original size are: --originals DIR."
        )
    wanted = asked or known
    return tuple(p for p in wanted if p != "twins" or originals is not None)
