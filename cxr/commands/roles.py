"""`python -m cxr roles`: who may do what, and how a lead changes that."""

from collections.abc import Callable
from typing import Any

import click

from cxr.commands.answers import DONE, json_option, write
from cxr.config import settings
from cxr.names import printable
from cxr.records import actors
from cxr.records.audit import operating_system_user


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def roles(context: click.Context, as_json: bool) -> int:
    """Show who has which role, or grant and revoke one."""
    context.obj = as_json
    return DONE if context.invoked_subcommand else _show(as_json=as_json)


def _change(command: Callable[..., int]) -> click.Command:
    """Makes a command of `roles` that takes a person and a role."""
    for decorate in (
        click.pass_context,
        json_option,
        click.argument("role", metavar="ROLE"),
        click.argument("who", metavar="WHO"),
    ):
        command = decorate(command)
    return roles.command()(command)


@_change
def grant(context: click.Context, who: str, role: str, as_json: bool) -> int:
    """Give somebody a role: reader, lead or trainer.

    WHO is the e-mail address of the login, `system:NAME` for a user of the command
    line, or `local` for the page without a login. The first role is that of a lead.
    """
    where = settings().records_dir
    actors.grant(where, who, role, actor=operating_system_user())
    return _show(as_json=as_json or bool(context.obj))


@_change
def revoke(context: click.Context, who: str, role: str, as_json: bool) -> int:
    """Take a role from somebody; the last lead stays."""
    where = settings().records_dir
    actors.revoke(where, who, role, actor=operating_system_user())
    return _show(as_json=as_json or bool(context.obj))


def _show(*, as_json: bool) -> int:
    where = settings().records_dir
    known = {who: sorted(has) for who, has in sorted(actors.roles(where).items())}
    document: dict[str, Any] = {
        "open": actors.is_open(where),
        "you": operating_system_user(),
        "roles": known,
    }
    write(document if as_json else _in_words(document))
    return DONE


def _in_words(document: dict[str, Any]) -> str:
    lines = [
        f"{printable(who)}: {', '.join(has)}" for who, has in document["roles"].items()
    ]
    if not lines:
        lines = ["Nobody has a role yet."]
    if document["open"]:
        lines.append("Everybody may do everything until a lead is named.")
    return "\n".join([*lines, f"You are {printable(document['you'])}."])
