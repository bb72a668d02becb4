"""The program `python -m cxr`: its commands and its log."""

import logging
import sys
from collections.abc import Sequence

import click

from cxr import __version__
from cxr.commands import answers
from cxr.commands.align import align
from cxr.commands.classify import classify
from cxr.commands.data import check, download
from cxr.commands.evaluate import evaluate, validate
from cxr.commands.history import history
from cxr.commands.models import models
from cxr.commands.report import report
from cxr.commands.robustness import robustness
from cxr.commands.roles import roles
from cxr.commands.score import score
from cxr.commands.train import measure, train, train_lungs


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(version)s")
def commands() -> None:
    """Decision support for pneumonia on chest X-rays.

    Research and education only, never a diagnosis.
    """


for command in (
    classify,
    score,
    align,
    evaluate,
    validate,
    report,
    check,
    train,
    measure,
    train_lungs,
    robustness,
    models,
    history,
    roles,
    download,
):
    commands.add_command(command)


def run(arguments: Sequence[str] | None) -> int:
    """Runs one command, with the log on standard error, and returns its exit code.

    `arguments` are the words after `python -m cxr`; None for those of this process.
    """
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s"
    )
    return answers.run(commands, arguments)
