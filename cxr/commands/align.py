"""`python -m cxr align`: a site's own threshold from its films without labels."""

import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cxr.commands import answers
from cxr.commands.answers import DONE, DONE_WITH_REFUSALS, json_option, write
from cxr.commands.ready import ready
from cxr.config import settings

if TYPE_CHECKING:
    from cxr.evaluation.estimates import Estimate
    from cxr.validation.alignment import Alignment

_RANGE = re.compile(r"(\d{1,2}(?:\.\d+)?)-(\d{1,2}(?:\.\d+)?)")


@click.command()
@click.option("--films", type=click.Path(path_type=Path), required=True, metavar="DIR")
@click.option(
    "--share",
    metavar="LOW-HIGH",
    help="How many of 100 of these patients are ill, as a range: 5-20.",
)
@answers.model_option
@click.option(
    "--sign",
    metavar="REASON",
    help="Store the threshold as this site's operating point, for this reason.",
)
@json_option
def align(
    films: Path, share: str | None, model: str | None, sign: str | None, as_json: bool
) -> int:
    """Find where the threshold lies among a site's films, which need no labels.

    Take the films of some weeks as they come, of all patients. With fewer than a
    hundred, or where the films can't say it, nothing is proposed.
    """
    from cxr.datasets import search
    from cxr.records import actors, audit
    from cxr.validation import alignment

    where, limits = settings(), _limits(share)
    actor = audit.operating_system_user()
    if sign is not None:
        # Said now and not after scoring.
        actors.require(where.records_dir, actor, actors.SIGN)
    with ready(model) as reader:
        loaded = reader.model
        found = alignment.align(
            where.models_dir,
            loaded,
            reader.pool,
            search.films_in(films),
            lungs=reader.lungs,
            share=limits,
        )
    document = asdict(found)
    del document["probabilities"]  # as many as there are films
    if sign is not None:
        point = alignment.sign(
            where.records_dir, loaded.card, found, actor=actor, reason=sign
        )
        document["point_id"] = point.point_id
    write(document if as_json else _in_words(found, signed=sign is not None))
    return DONE_WITH_REFUSALS if found.why_not else DONE


def _limits(share: str | None) -> tuple[float, float] | None:
    if share is None:
        return None
    match = _RANGE.fullmatch(share)
    low, high = (float(part) / 100 for part in match.groups()) if match else (1, 0)
    if not 0.005 <= low < high <= 0.995:
        raise answers.wrong_use(
            "The share is a range in percent within 0.5 to 99.5, such as 5-20; it is "
            f"{share!r}."
        )
    return low, high


def _in_words(found: "Alignment", *, signed: bool) -> str:
    fit = found.fit
    lines = [
        f"Films: {fit.films}, left out {sum(found.left_out.values())}",
        f"Share with pneumonia: {_interval(found.share)}",
        f"Scores: {fit.shift:+.2f} logits higher, stretched by {fit.scale:.2f}",
        f"Threshold: shipped {found.shipped:.3f}, here {_interval(found.threshold)}",
        *(
            f"{answer.capitalize()}: {before:.1%} before, {found.after[answer]:.1%} "
            "after"
            for answer, before in found.before.items()
        ),
        *(f"Nothing is proposed. {sentence}" for sentence in found.why_not),
    ]
    if signed:
        lines.append("Stored as this site's operating point; the shipped one stays.")
    return "\n".join(lines)


def _interval(value: "Estimate") -> str:
    return f"{value.value:.3f} ({value.low:.3f} to {value.high:.3f})"
