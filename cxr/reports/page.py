"""How a page of HTML is made of a template: every text in it is escaped."""

from pathlib import Path

import jinja2


def templates(folder: Path) -> jinja2.Environment:
    """Returns the templates in a folder; one that lacks a value raises.

    Args:
        folder: of the files.
    """
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
