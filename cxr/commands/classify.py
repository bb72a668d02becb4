"""`python -m cxr classify`: films and folders of films, one answer each."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from cxr.commands import answers
from cxr.commands.answers import DONE, DONE_WITH_REFUSALS, json_option, write
from cxr.config import settings
from cxr.errors import DatasetError, ImageError
from cxr.names import printable
from cxr.records.audit import operating_system_user


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--model", metavar="ID", help="Instead of the active model.")
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    callback=answers.finite,
    metavar="T",
    help="Instead of the model's own; above 0 and below 1.",
)
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
@json_option
def classify(
    paths: tuple[Path, ...],
    model: str | None,
    threshold: float | None,
    with_stability: bool,
    with_evidence: bool,
    as_json: bool,
) -> int:
    """Score films and folders of films, one line each."""
    from cxr.films import display
    from cxr.films.decoding import DecoderPool
    from cxr.governance import trust
    from cxr.reading import scoring

    where = settings()
    films = list(_films_at(paths))
    with DecoderPool(where.decoder_workers) as pool:
        pool.start()
        loaded = trust.load(
            where.models_dir, where.records_dir, model, threads=where.threads
        )
        network = trust.load_lungs(
            where.models_dir, where.records_dir, threads=where.threads
        )
        if threshold is None:
            threshold = loaded.card.threshold.value
        refused = 0
        files = scoring.contents(films)
        edge = display.SCREEN_EDGE if with_stability or with_evidence else None
        readings = scoring.read_for(
            where.records_dir,
            loaded,
            pool,
            files,
            actor=operating_system_user(),
            lungs=network,
            picture_edge=edge,
        )
        for path, reading in zip(films, readings, strict=True):
            line = _line(path, reading, loaded, threshold)
            if with_stability:
                line["stability"] = _stability(reading, loaded, threshold)
            if with_evidence:
                line["evidence"] = _evidence(reading, loaded)
            refused += line["status"] == "refused"
            write(line if as_json else _in_words(line))
    return DONE_WITH_REFUSALS if refused else DONE


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


def _line(path: Path, reading: Any, model: Any, threshold: float) -> dict[str, Any]:
    from cxr.reading import cases

    result = reading.result
    refused = isinstance(result, ImageError)
    return {
        "file": str(path),
        "status": "refused" if refused else "scored",
        "code": result.code if refused else None,
        "reason": result.message if refused else None,
        "eligible": reading.eligible,
        "probability": None if refused else result.probability,
        "answer": cases.answer(reading, model, threshold),
        "threshold": threshold,
        "model_id": model.card.model_id,
        "model_sha256": model.sha256,
        "warnings": list(reading.cautions + reading.warnings),
        "seconds": round(reading.seconds, 4),
    }


def _stability(reading: Any, model: Any, threshold: float) -> dict[str, Any] | None:
    from cxr.reading import stability

    if isinstance(reading.result, ImageError):
        return None
    found = stability.measure(reading, model, threshold)
    return {**asdict(found), "changes": found.changes, "flips": found.flips}


def _evidence(reading: Any, model: Any) -> dict[str, Any] | None:
    from cxr.reading import zones

    if isinstance(reading.result, ImageError) or reading.lungs is None:
        return None
    return asdict(zones.evidence(reading, model))


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
