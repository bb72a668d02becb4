"""`python -m cxr check` and `download`: a data folder looked through, or fetched."""

import math
from collections.abc import Iterator
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
from cxr.records.audit import operating_system_user


@click.command()
@click.argument("source", type=click.Path(path_type=Path), metavar="DIR")
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    help="Where the result is kept, instead of the cache.",
)
@background_option
@json_option
def check(source: Path, folder: Path | None, background: bool, as_json: bool) -> int:
    """Look through a data folder, or a CSV manifest.

    What it holds, what is wrong, and what gives the label away.
    """
    from cxr.datasets import checks, start
    from cxr.models import registry

    if background:
        if folder:
            raise answers.wrong_use("--background keeps the result in the cache.")
        started = start.start(source.resolve(), actor=operating_system_user())
        answers.write_started(started, as_json=as_json)
        return DONE
    where = settings()
    folder = folder or checks.folder_for(where.cache_dir, source)
    start.require(folder, actor=operating_system_user())
    scores, model_id = registry.active_test_scores(where.models_dir)
    checked = checks.run(
        source,
        folder=folder,
        workers=where.decoder_workers,
        scores=scores,
        model_id=model_id,
    )
    document = checks.document(checked)
    write(document if as_json else _check_in_words(document))
    serious = any(finding.serious for finding in checked.integrity.findings)
    return DONE_WITH_REFUSALS if serious else DONE


@click.command()
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Instead of kagglehub's own cache.",
)
@json_option
def download(to: Path | None, as_json: bool) -> int:
    """Fetch the Kaggle data set and say where it is."""
    from cxr.datasets.download import fetch

    folder = fetch(to)
    words = f"The films are in {printable(str(folder))}."
    write({"data": str(folder)} if as_json else words)
    return DONE


def _check_in_words(document: dict[str, Any]) -> str:
    lines = [
        f"{document['films']} films of {document['patients']} patients, "
        f"{document['unreadable']} unreadable",
        f"fingerprint {document['fingerprint']}",
        *_groups_in_words(document),
        *(f"{kind:28} {n}" for kind, n in document["counts"].items()),
        *_findings_in_words(document),
        *(
            f"left out: {part['files']} files, {part['reason']} "
            f"[{', '.join(map(printable, part['examples']))}]"
            for part in document["left_out"]
        ),
        *_splits_in_words(document),
        *_audit_in_words(document["audit"]),
    ]
    return "\n".join(lines)


def _groups_in_words(document: dict[str, Any]) -> Iterator[str]:
    for group in document["groups"]:
        subtypes = "".join(f", {n} {name}" for name, n in group["subtypes"].items())
        yield (
            f"{printable(group['split'])}, {('normal', 'pneumonia')[group['label']]}: "
            f"{group['films']} films of {group['patients']} patients{subtypes}"
        )


def _findings_in_words(document: dict[str, Any]) -> Iterator[str]:
    for finding in document["findings"]:
        films = ", ".join(map(printable, finding["films"]))
        sentence = printable(finding["sentence"])
        yield f"{finding['kind']}: {sentence} [{films}] {finding['suggestion']}"


def _splits_in_words(document: dict[str, Any]) -> Iterator[str]:
    for name, part in document["splits"].items():
        yield (
            f"training would take for {name} {part['films']} films of "
            f"{part['patients']} patients, {part['positives']} with pneumonia"
        )
    if document["no_splits"]:
        reason = printable(document["no_splits"])
        yield f"training can't split these films: {reason}"


def _audit_in_words(audit: dict[str, Any]) -> Iterator[str]:
    yield f"AUC of the label from plain figures alone, {audit['n']} films"
    estimates = audit["features"] | {"all of these": audit["combined"]}
    if audit["network"]:
        n = audit["network_n"]
        estimates[f"all of these, {n} films"] = audit["combined_there"]
        estimates[f"{audit['network_id']}, the same {n} films"] = audit["network"]
    for name, item in estimates.items():
        spread = f"({item['low']:.4f} to {item['high']:.4f})"
        known = math.isfinite(item["value"])
        yield f"{name:40} {item['value']:.4f}  {spread}" if known else f"{name:40} -"
