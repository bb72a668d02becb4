"""`python -m cxr evaluate` and `validate`: a model on labelled films."""

import logging
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from cxr.commands import answers
from cxr.commands.answers import (
    DONE,
    DONE_WITH_REFUSALS,
    background_option,
    json_option,
    write,
)
from cxr.config import settings
from cxr.names import printable

_MET = {True: "met", False: "not met"}

logger = logging.getLogger(__name__)


@click.command()
@click.option("--data", type=click.Path(path_type=Path), required=True, metavar="DIR")
@click.option(
    "--split",
    metavar="NAME",
    help="A split of the folder (train, val, test), or held-out: the films of the "
    "patients on whom the model was tested and nothing was chosen.",
)
@answers.model_option
@json_option
def evaluate(data: Path, split: str | None, model: str | None, as_json: bool) -> int:
    """Measure a model on labelled films, at its own threshold."""
    from cxr.datasets import folders, splits
    from cxr.films.decoding import DecoderPool
    from cxr.governance import trust
    from cxr.models import registry
    from cxr.validation import labelled

    where = settings()
    loaded = trust.load(
        where.models_dir, where.records_dir, model, threads=where.threads
    )
    split_of = registry.read_split(where.models_dir, loaded.card)
    listed = folders.listing(data)
    films = splits.choose(listed.films, split, split_of)
    with DecoderPool(where.decoder_workers) as pool:
        validation = labelled.validate(loaded, pool, films, split_of)
    if validation.seen:
        logger.warning(
            "%d of these films trained, tuned or calibrated the model: the figures "
            "are too good.",
            validation.seen,
        )
    if listed.left_out:
        logger.warning("%d files were left out.", sum(p.files for p in listed.left_out))
    if validation.refused:
        logger.warning("%d films were refused.", len(validation.refused))
    # File names can be patients' names: they are in the answer and never in a log.
    document = asdict(validation.evaluation) | {
        "refused": len(validation.refused),
        "refusals": validation.refused,
        "left_out": [asdict(part) for part in listed.left_out],
        "seen_in_training": validation.seen,
        "model_id": loaded.card.model_id,
        "model_sha256": loaded.sha256,
    }
    write(document if as_json else _metrics_in_words(document))
    return DONE_WITH_REFUSALS if validation.refused else DONE


@click.command()
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    metavar="F",
    help="For scores and report; on the same one a stopped validation goes on.",
)
@click.option("--data", type=click.Path(path_type=Path), metavar="DIR")
@answers.model_option
@click.option(
    "--name",
    default="",
    metavar="NAME",
    help="What the validation is to be called; the name of DIR if it isn't said.",
)
@background_option
@json_option
def validate(
    folder: Path | None,
    data: Path | None,
    model: str | None,
    name: str,
    background: bool,
    as_json: bool,
) -> int:
    """Score a hospital's labelled films: go or no-go.

    Started again on the same folder it goes on where it was stopped.
    """
    from cxr.models import registry
    from cxr.records.audit import operating_system_user
    from cxr.validation import local, start

    where = settings()
    if background:
        if folder or data is None:
            raise answers.wrong_use("--background takes --data DIR and no --folder.")
        model_id = model or registry.active_id(where.models_dir)
        source = str(data.resolve())
        who = operating_system_user()
        started = start.start(source, model_id, actor=who, name=name)
        answers.write_started(started, as_json=as_json)
        return DONE
    if folder is None:
        raise answers.wrong_use("Say where scores and report go: --folder F.")
    if data is not None:
        model_id = model or registry.active_id(where.models_dir)
        start.begin(
            folder,
            where.models_dir,
            start.Asked(source=data, model_id=model_id, name=name),
            records_dir=where.records_dir,
            actor=operating_system_user(),
        )
    elif not (folder / local.CONFIG).is_file():
        raise answers.wrong_use("Say which films to score: --data DIR.")
    else:
        start.go_on(folder, where.records_dir, actor=operating_system_user())
    report = local.run(
        folder,
        where.models_dir,
        where.records_dir,
        workers=where.decoder_workers,
        threads=where.threads,
    )
    write(asdict(report) if as_json else _report_in_words(report))
    return DONE if report.go and not report.refused else DONE_WITH_REFUSALS


def _report_in_words(report: Any) -> str:
    lines = [
        f"{report.films} films, {len(report.refused)} refused; model {report.model_id}",
        *(
            f"{_MET[bar.passed]:8} {bar.sentence} {_it_is(bar.value)}"
            for bar in report.bars
        ),
        *_answered_in_words(asdict(report.evaluation.answered)),
        *(f"left out: {part.files} files, {part.reason}" for part in report.left_out),
        "go" if report.go else "no-go",
    ]
    return "\n".join(lines)


def _it_is(value: float) -> str:
    return "It is not defined." if math.isnan(value) else f"It is {value:.4g}."


def _metrics_in_words(document: dict[str, Any]) -> str:
    lines = [
        f"{document['n']} films, {document['n_positive']} with pneumonia, "
        f"{document['refused']} refused; model {document['model_id']}, "
        f"threshold {document['threshold']:.4f}"
    ]
    lines += _estimates_in_words(document)
    lines += _answered_in_words(document["answered"])
    lines.append(f"confusion {document['confusion']}")
    lines += [
        f"refused: {printable(name)}, {printable(why)}"
        for name, why in document["refusals"].items()
    ]
    lines += [
        f"left out: {part['files']} files, {part['reason']}"
        for part in document["left_out"]
    ]
    return "\n".join(lines)


def _answered_in_words(answered: dict[str, Any]) -> list[str]:
    """Returns the share without an answer and the rates among the answered."""
    zone = f"no answer from {answered['low']:.4f} to below {answered['high']:.4f}:"
    named = {
        "no_answer": answered["no_answer"],
        "no_answer_of_normal": answered["no_answer_well"],
        "no_answer_of_pneumonia": answered["no_answer_ill"],
        "sensitivity_of_answered": answered["sensitivity"],
        "specificity_of_answered": answered["specificity"],
    }
    return [zone, *_estimates_in_words(named)]


def _estimates_in_words(named: dict[str, Any]) -> list[str]:
    return [
        f"{name:28} {item['value']:.4f}  ({item['low']:.4f} to {item['high']:.4f})"
        for name, item in named.items()
        if isinstance(item, dict) and set(item) == {"value", "low", "high"}
    ]
