"""`python -m cxr classify`: films and folders of films, one answer each."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click

from cxr.commands import answers
from cxr.commands.answers import DONE, DONE_WITH_REFUSALS, json_option, note, write
from cxr.commands.ready import Ready, ready
from cxr.config import settings
from cxr.errors import DatasetError, ImageError
from cxr.names import printable
from cxr.records import audit


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@answers.model_option
@answers.threshold_option
@click.option(
    "--stability",
    "with_stability",
    is_flag=True,
    help="Also say whether the answer holds when the film is framed or exposed a bit "
    "otherwise.",
)
@click.option(
    "--evidence",
    "with_evidence",
    is_flag=True,
    help="Also say in which zone of which lung the evidence lies.",
)
@click.option(
    "--no-history",
    is_flag=True,
    help="Keep nothing of these films in the history.",
)
@json_option
def classify(
    paths: tuple[Path, ...],
    model: str | None,
    threshold: float | None,
    with_stability: bool,
    with_evidence: bool,
    no_history: bool,
    as_json: bool,
) -> int:
    """Score films and folders of films, one line each; the history keeps each."""
    films = list(_films_at(paths))
    with ready(model) as reader:
        loaded = reader.model
        asked = _Asked(
            threshold=loaded.card.threshold.value if threshold is None else threshold,
            stability=with_stability,
            evidence=with_evidence,
            kept=not no_history,
        )
        refused = 0
        for path, case in _cases(films, reader, asked):
            line = _line(path, case, loaded, asked)
            refused += line["status"] == "refused"
            write(line if as_json else _in_words(line))
    return DONE_WITH_REFUSALS if refused else DONE


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """What is to be done with each film: at which threshold it is read, what more is
    asked of it, and whether it is kept.
    """

    threshold: float
    stability: bool
    evidence: bool
    kept: bool


def _cases(
    films: Sequence[Path], reader: Ready, asked: _Asked
) -> Iterator[tuple[Path, Any]]:
    """Yields each film with its case, which is kept by then."""
    from cxr.films import display
    from cxr.governance import stored_points
    from cxr.reading import keeping, scoring

    where, model = settings(), reader.model
    keeper, who = keeping.Keeper(), audit.operating_system_user()
    source, site = stored_points.source(where.records_dir, model.card, asked.threshold)
    hashes: deque[str] = deque()
    seen = asked.stability or asked.evidence or (asked.kept and where.keep_films)
    readings = scoring.read_for(
        where.records_dir,
        model,
        reader.pool,
        scoring.hashed(scoring.contents(films), hashes),
        actor=who,
        lungs=reader.lungs,
        picture_edge=display.SCREEN_EDGE if seen else None,
    )
    for path, reading in zip(films, readings, strict=True):
        case = _case(hashes.popleft(), reading, model, asked, source)
        if asked.kept:
            keep = partial(keeping.keep, case, model, where.records_dir, actor=who)
            keeper.tried(partial(keep, site=site, with_film=where.keep_films))
            if keeper.trouble and keeper.missed == 1:
                note(f"Nothing is kept in the history. {keeper.trouble.message}")
        yield path, case


def _case(sha256: str, reading: Any, model: Any, asked: _Asked, source: str) -> Any:
    from cxr.reading import cases, samples, stability, zones

    scored = not isinstance(reading.result, ImageError)
    held = lies = None
    if asked.stability and scored:
        held = stability.measure(reading, model, asked.threshold)
    if asked.evidence and scored and reading.lungs is not None:
        lies = zones.evidence(reading, model)
    return cases.Case(
        name="",
        sha256=sha256,
        reading=reading,
        threshold=asked.threshold,
        threshold_source=source,
        answer=cases.answer(reading, model, asked.threshold),
        stability=held,
        evidence=lies,
        sample=samples.sample_of(sha256) is not None,
    )


def _films_at(paths: Sequence[Path]) -> Iterator[Path]:
    from cxr.datasets import search
    from cxr.films import kinds

    for path in paths:
        if path.is_file():
            yield path
            continue
        if not path.is_dir():
            raise DatasetError(f"There is no file or folder {path}.")
        films = sorted(search.films_below(path))
        if not films:
            raise DatasetError(
                f"The folder {path} holds no films (files ending in "
                f"{', '.join(kinds.SUFFIXES)}, or DICOM without an ending)."
            )
        yield from films


def _line(path: Path, case: Any, model: Any, asked: _Asked) -> dict[str, Any]:
    reading, result = case.reading, case.reading.result
    refused = isinstance(result, ImageError)
    line = {
        "file": str(path),
        "status": "refused" if refused else "scored",
        "code": result.code if refused else None,
        "reason": result.message if refused else None,
        "eligible": reading.eligible,
        "probability": None if refused else result.probability,
        "answer": case.answer,
        "threshold": case.threshold,
        "model_id": model.card.model_id,
        "model_sha256": model.sha256,
        "warnings": list(reading.cautions + reading.warnings),
        "seconds": round(reading.seconds, 4),
    }
    if asked.stability:
        line["stability"] = _stability(case.stability)
    if asked.evidence:
        line["evidence"] = None if case.evidence is None else asdict(case.evidence)
    return line


def _stability(held: Any) -> dict[str, Any] | None:
    if held is None:
        return None
    return {**asdict(held), "changes": held.changes, "flips": held.flips}


def _in_words(line: dict[str, Any]) -> str:
    file = printable(line["file"])
    if line["status"] == "refused":
        return f"{file}: refused, {printable(line['reason'])}"
    notes = "".join(f" {printable(warning)}" for warning in line["warnings"])
    return (
        f"{file}: {line['answer']}, probability {line['probability']:.3f}, "
        f"threshold {line['threshold']:.3f}.{_held(line.get('stability'))}"
        f"{_lies(line.get('evidence'))}{notes}"
    )


def _held(stability: dict[str, Any] | None) -> str:
    if stability is None:
        return ""
    return (
        f" The answer holds in {stability['same']} of {stability['changes']} small "
        f"changes (probability {stability['low']:.3f} to {stability['high']:.3f})."
    )


def _lies(evidence: dict[str, Any] | None) -> str:
    if evidence is None:
        return ""
    return (
        f" Evidence: {evidence['zone']} ({evidence['inside']:.0%} of the heat lies in "
        "the lungs)."
    )
