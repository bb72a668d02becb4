"""The README and the changelog keep up with the code."""

import re
import runpy

import click
import pytest

from cxr import __version__
from cxr.commands import program
from cxr.config import ROOT
from cxr.runs import config

FLOORS = runpy.run_path(str(ROOT / "tests" / "test_layers.py"))["FLOORS"]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def module_names() -> list[str]:
    """What the map of the README names: modules, and packages as folders."""
    found = [f"cxr/{path.name}" for path in sorted((ROOT / "cxr").glob("*.py"))]
    found += [
        f"cxr/{path.parent.name}/" for path in (ROOT / "cxr").glob("*/__init__.py")
    ]
    found.remove("cxr/__init__.py")
    return found


def commands() -> dict[str, click.Command]:
    return program.commands.commands


def presets() -> list[str]:
    return list(config.PRESETS)


@pytest.mark.parametrize("name", module_names())
def test_the_readme_names_every_module(name):
    assert f"`{name}" in README


@pytest.mark.parametrize("path", sorted((ROOT / "pages").glob("*.py")), ids=str)
def test_the_readme_names_every_page(path):
    assert f"`pages/{path.name}`" in README


@pytest.mark.parametrize("command", commands())
def test_the_readme_names_every_command(command):
    assert f"`python -m cxr {command}" in README


@pytest.mark.parametrize("action", ["show", "activate", "verify", "compare"])
def test_the_readme_names_every_action_on_models(action):
    assert action in commands()["models"].commands
    assert f"`{action}`" in README


@pytest.mark.parametrize("preset", presets())
def test_the_readme_and_the_help_name_every_preset(preset):
    assert re.search(rf"`[^`]*\b{preset}\b[^`]*`", README)
    train = commands()["train"]
    assert preset in train.get_help(click.Context(train))


def test_what_the_readme_maps_is_there():
    named = re.findall(r"`((?:cxr|pages|ui|docs|benchmarks|tests)/[\w./]*)`", README)
    assert named
    missing = [name for name in named if not (ROOT / name).exists()]
    assert missing == []


def test_the_changelog_has_a_dated_entry_for_this_version():
    entry = rf"^## {re.escape(__version__)} \(\d{{4}}-\d{{2}}-\d{{2}}\)$"
    assert re.search(entry, CHANGELOG, re.MULTILINE)


def test_the_architecture_names_every_package_with_what_it_may_import():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d) \| `(\w+)` \| .+ \| (.+) \|$", text, re.MULTILINE)
    floors = {name: (int(floor), below) for floor, name, below in rows}
    for floor, rooms in FLOORS.items():
        for room, allowed in rooms.items():
            named = set(floors[room][1].replace("ground", "").split(", ")) - {""}
            assert (floors[room][0], named) == (floor, allowed), room
