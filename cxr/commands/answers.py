"""How a command ends: its answer on stdout, its exit code, and never a traceback.

It owns the contract of every command. With `--json` stdout holds JSON and nothing else;
logs and errors go to stderr. The exit code is 0 for done, 1 for done with refusals,
failed checks or a reader that went away, 2 for wrong use or a named error, 130 for a
stop by the user.
"""

import json
import math
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from cxr import documents
from cxr.config import settings
from cxr.errors import CxrError
from cxr.names import encodable, printable

DONE, DONE_WITH_REFUSALS, FAILED, STOPPED = 0, 1, 2, 130
LONGEST_NAME = 200
_TOO_LONG = re.compile(rf"\S{{{LONGEST_NAME + 1},}}")

_Command = TypeVar("_Command", bound=Callable[..., Any])


def json_option(command: _Command) -> _Command:
    """Adds `--json` to a command, which receives it as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="For programs.")(
        command
    )


def action(
    group: click.Group, name: str
) -> Callable[[Callable[..., Any]], click.Command]:
    """Makes a command of a function that returns its answer and whether all is well.

    The function gets the settings and its own options. Without `--json` the answer is
    JSON as well, over several lines.

    Args:
        group: that the command is one of; its object says whether `--json` was given.
        name: of the command.
    """

    def made(function: Callable[..., tuple[Any, bool]]) -> click.Command:
        @click.pass_context
        def run(context: click.Context, as_json: bool = False, **values: Any) -> int:
            answer, well = function(settings(), **values)
            as_json = as_json or bool(context.obj)
            text = json.dumps(documents.plain(answer), indent=2)
            write(answer if as_json else text)
            return DONE if well else DONE_WITH_REFUSALS

        run.__doc__ = function.__doc__
        run.__click_params__ = getattr(function, "__click_params__", [])  # type: ignore[attr-defined]
        return group.command(name)(json_option(run))

    return made


def background_option(command: _Command) -> _Command:
    """Adds `--background` to a command, which receives it as `background`."""
    return click.option(
        "--background",
        is_flag=True,
        help="Start it, or queue it, as the app does, and return at once.",
    )(command)


def model_option(command: _Command) -> _Command:
    """Adds `--model ID` to a command, None for the active one."""
    return click.option("--model", metavar="ID", help="Instead of the active model.")(
        command
    )


def threshold_option(command: _Command) -> _Command:
    """Adds `--threshold T` to a command, None for the model's own."""
    return click.option(
        "--threshold",
        type=click.FloatRange(0, 1, min_open=True, max_open=True),
        callback=finite,
        metavar="T",
        help="Instead of the model's own; above 0 and below 1.",
    )(command)


def write_started(folder: Path, *, as_json: bool) -> None:
    """Writes where a job is that was started in the background."""
    write({"folder": str(folder)} if as_json else f"Started in {folder}.")


def write(answer: Any) -> None:
    """Writes one answer: a text line by line, all else as one line of JSON.

    A text may hold words out of a file, so its escape codes are spelled out. Names in
    it have to be `printable` already: a line break in one would forge a line.
    """
    if isinstance(answer, str):
        text = printable_lines(answer)
    else:
        text = json.dumps(documents.plain(answer))
    sys.stdout.write(encodable(text, sys.stdout) + "\n")
    sys.stdout.flush()


def note(sentence: str) -> None:
    """Writes a sentence beside the answers, to standard error."""
    shown = printable(sentence)
    sys.stderr.write(encodable(shown, sys.stderr) + "\n")


def wrong_use(message: str) -> CxrError:
    """Returns the error of a command that was called in a way that it doesn't take."""
    return CxrError(message, code="usage")


def finite(
    context: click.Context, parameter: click.Parameter, value: float | None
) -> float | None:
    """Refuses nan and infinity: a range of click lets nan pass."""
    if value is not None and not math.isfinite(value):
        raise click.BadParameter("expected a finite number", context, parameter)
    return value


def run(group: click.Group, arguments: Sequence[str] | None) -> int:
    """Runs a command line and returns its exit code.

    Args:
        group: the commands.
        arguments: the words after `python -m cxr`; None for those of this process.
    """
    try:
        return _ended(
            group.main(arguments, prog_name="python -m cxr", standalone_mode=False)
        )
    except CxrError as error:
        return _failed(f"{printable(error.message)} [{error.code}]")
    except click.UsageError as error:
        usage = f"{error.ctx.get_usage()}\n" if error.ctx else ""
        return _failed(f"{usage}{printable_lines(error.format_message())} [usage]")
    except (KeyboardInterrupt, click.Abort):
        _failed("Stopped.")
        return STOPPED
    except OSError as error:
        name = printable(os.fsdecode(error.filename)) if error.filename else "A file"
        return _failed(f"{name} can't be used: {error.strerror or error}. [system]")
    except Exception as error:  # A fault of ours: where it is, in one line.
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{os.path.basename(place.filename)}:{place.lineno}"
        return _failed(
            f"Something went wrong: {type(error).__name__} at {where}. [fault]"
        )


def printable_lines(text: str) -> str:
    """Returns a message whose lines stay and whose other control characters don't."""
    return "\n".join(printable(line) for line in text.split("\n"))


def _ended(result: object) -> int:
    return result if isinstance(result, int) else DONE


def _failed(sentence: str) -> int:
    # A name that is too long for the disk is too long for a sentence.
    shown = _TOO_LONG.sub(lambda word: f"…{word[0][-LONGEST_NAME:]}", sentence)
    sys.stderr.write(encodable(shown, sys.stderr) + "\n")
    return FAILED
