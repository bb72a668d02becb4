"""The house: five floors of packages in cxr, a folder for each page in ui, four rules.

1. A package of cxr imports only from floors below its own, and of those what the table
   allows.
2. TensorFlow is imported in `training` alone, and `training` by `commands` alone.
3. A page's folder in ui imports the flat part of ui and cxr, never another page.
4. Streamlit is never imported in cxr, and neither training nor commands in ui.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cxr.config import ROOT

SERVING = {
    "cxr.films.decoding",
    "cxr.evaluation",
    "cxr.models.heatmap",
    "cxr.models.inference",
    "cxr.models.registry",
    "cxr.reading.scoring",
    "cxr.validation.labelled",
}
PAGE_LINES = 120

GROUND = {
    "data_folder",
    "config",
    "disk",
    "documents",
    "errors",
    "names",
    "spreadsheets",
}
FLOORS: dict[int, dict[str, set[str]]] = {
    1: {"films": set(), "evaluation": set(), "jobs": set(), "records": set()},
    2: {
        "models": {"films", "evaluation"},
        "datasets": {"films", "evaluation", "jobs", "records"},
    },
    3: {
        "governance": {"models", "records", "evaluation"},
        "reading": {"films", "models", "evaluation", "records"},
        "runs": {"jobs", "datasets", "models", "records"},
        "robustness": {"films", "models", "datasets", "evaluation"},
    },
    4: {
        "validation": {
            *("governance", "reading", "models", "datasets", "jobs"),
            *("records", "evaluation", "films"),
        },
        "reports": {"reading", "models", "records", "films", "evaluation"},
        "training": {
            *("runs", "robustness", "models", "datasets"),
            *("evaluation", "films", "jobs"),
        },
    },
}
FLOOR_OF = {package: floor for floor in FLOORS for package in FLOORS[floor]}
COMMANDS = "commands"  # the top floor: it may import everything below


def name_of(path: Path) -> str:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


MODULES = {name_of(path): path for path in sorted((ROOT / "cxr").rglob("*.py"))}
TRAINING = {name for name in MODULES if name.startswith("cxr.training.")}
UI = sorted((ROOT / "ui").rglob("*.py"))
SCRIPTS = [
    *UI,
    *sorted((ROOT / "pages").glob("*.py")),
    *sorted(ROOT.glob("app.py")),
]
EVERYTHING = [*MODULES.values(), *SCRIPTS]


def imports(path: Path, *, lazy: bool = True) -> set[str]:
    """What a file imports, by full name; without `lazy` only what importing it loads.

    `from package import name` counts as both the package and `package.name`.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found: set[str] = set()
    for node in ast.walk(tree) if lazy else at_import(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
            found.add(str(node.module))
    return found


def at_import(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from at_import(child)


def packages(names: set[str]) -> set[str]:
    return {name.split(".")[0] for name in names}


def reached_from(start: set[str]) -> set[str]:
    """The cxr modules that these names reach, through functions too."""
    reached: set[str] = set()
    waiting = [name for name in start if name in MODULES]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += [n for n in imports(MODULES[name]) if n in MODULES]
    return reached


def room_of(module: str) -> str:
    """The package of a module of cxr; empty for a file of the ground."""
    parts = module.split(".")
    housed = len(parts) > 1 and parts[1] in {*FLOOR_OF, COMMANDS}
    return parts[1] if housed else ""


def page_of(module: str) -> str:
    """The folder of a module of ui; empty for its flat part."""
    parts = module.split(".")
    return parts[1] if len(parts) > 2 and parts[0] == "ui" else ""


def rooms_imported(path: Path) -> set[str]:
    """The packages of cxr that a file imports, but for its own."""
    names = {name for name in imports(path) if packages({name}) == {"cxr"}}
    return {room_of(name) for name in names} - {"", room_of(name_of(path))}


def breaks_the_table(path: Path) -> set[str]:
    """What a file of cxr imports that its floor does not allow."""
    room = room_of(name_of(path))
    if room == COMMANDS or name_of(path) == "cxr.__main__":
        return set()
    if not room:
        return rooms_imported(path) if name_of(path)[4:] in GROUND else set()
    return rooms_imported(path) - FLOORS[FLOOR_OF[room]][room]


def breaks_the_training_rule(path: Path) -> set[str]:
    """TensorFlow outside `training`, or `training` outside `commands`."""
    room = room_of(name_of(path))
    heavy = packages(imports(path)) & {"tensorflow", "keras"}
    found = heavy if room != "training" else set()
    return found | (rooms_imported(path) & {"training"} if room != COMMANDS else set())


def breaks_the_page_rule(path: Path) -> set[str]:
    """What a page's folder imports from another one, or the flat part from any."""
    mine = page_of(name_of(path))
    names = {n for n in imports(path) if packages({n}) == {"ui"}}
    modules = {n for n in names if (ROOT / f"{n.replace('.', '/')}.py").is_file()}
    return {n for n in modules if page_of(n) not in ("", mine)}


def breaks_the_interface_rule(path: Path) -> set[str]:
    """Streamlit in cxr, or training and commands in ui."""
    if name_of(path).split(".")[0] == "cxr":
        return packages(imports(path)) & {"streamlit", "ui", "pages", "app"}
    return rooms_imported(path) & {"training", COMMANDS}


def test_each_floor_stands_on_those_below():
    for floor, rooms in FLOORS.items():
        for room, allowed in rooms.items():
            assert all(FLOOR_OF[below] < floor for below in allowed), room


@pytest.mark.parametrize("path", [*MODULES.values()], ids=[*MODULES])
def test_a_package_imports_only_from_floors_below(path):
    assert breaks_the_table(path) == set()


@pytest.mark.parametrize("path", UI, ids=name_of)
def test_a_page_of_ui_imports_no_other_page(path):
    assert breaks_the_page_rule(path) == set()


@pytest.mark.parametrize("path", EVERYTHING, ids=name_of)
def test_streamlit_stays_out_of_cxr_and_training_out_of_ui(path):
    assert breaks_the_interface_rule(path) == set()


def test_a_package_loads_nothing_by_itself():
    for path in MODULES.values():
        if path.name == "__init__.py" and path.parent.name != "cxr":
            body = ast.parse(path.read_text(encoding="utf-8")).body
            assert [type(node) for node in body] == [ast.Expr], path


def test_there_is_something_to_check():
    assert {*TRAINING, *SERVING} < MODULES.keys()


@pytest.mark.parametrize("path", [*MODULES.values()], ids=[*MODULES])
def test_the_core_knows_no_user_interface(path):
    assert not packages(imports(path)) & {"streamlit", "ui", "pages", "app"}


@pytest.mark.parametrize("path", EVERYTHING, ids=name_of)
def test_imports_are_absolute(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    froms = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert [node.lineno for node in froms if node.level] == []


@pytest.mark.parametrize("path", EVERYTHING, ids=name_of)
def test_tensorflow_is_imported_for_training_only(path):
    heavy = packages(imports(path)) & {"tensorflow", "keras"}
    assert not heavy or name_of(path) in TRAINING


def test_nothing_that_the_app_imports_reaches_the_training_side():
    start = set().union(*(imports(path) for path in SCRIPTS))
    assert not reached_from(start | SERVING) & TRAINING


def test_the_ui_knows_no_pages():
    for path in (ROOT / "ui").rglob("*.py"):
        assert not packages(imports(path)) & {"pages", "app"}


@pytest.mark.parametrize("path", EVERYTHING, ids=name_of)
def test_only_commands_start_the_training_side_and_late(path):
    assert breaks_the_training_rule(path) == set()
    if room_of(name_of(path)) == COMMANDS:
        assert not imports(path, lazy=False) & TRAINING


def test_few_files_lie_flat():
    flat = {path.stem for path in (ROOT / "cxr").glob("*.py")}
    assert flat - {"__init__", "__main__"} <= GROUND
    pages = {path.name for path in (ROOT / "ui").iterdir() if path.is_dir()}
    assert pages - {"__pycache__"} == {
        "classify",
        "dashboard",
        "data",
        "train",
        "models",
        "history",
    }


@pytest.mark.parametrize(
    "path", [path for path in SCRIPTS if path not in UI], ids=name_of
)
def test_a_page_is_an_article(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) < PAGE_LINES


def loaded_by(*names: str) -> set[str]:
    """The modules that a new process has after importing these."""
    code = f"import sys, {', '.join(names)}; print(*sorted(sys.modules), sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return set(done.stdout.split())


def test_a_process_that_serves_has_no_tensorflow():
    loaded = loaded_by(*sorted(SERVING))
    assert loaded >= SERVING
    unwanted = {"tensorflow", "keras", "streamlit", "torch", "sklearn", *TRAINING}
    assert not loaded & unwanted


def test_the_command_line_loads_little_until_it_knows_the_command():
    loaded = loaded_by("cxr.__main__", "cxr.commands.program")
    assert not loaded & {"numpy", "cv2", "openvino", "pandas", "tensorflow"}


def test_a_decoder_loads_only_what_reads_films():
    loaded = loaded_by("cxr.films.decoding")
    assert not loaded & {"cv2", "openvino", "pandas", "scipy", "pydicom", "tensorflow"}


PLANTED = {
    "upwards": (breaks_the_table, "cxr/films/x.py", "from cxr.models import cards"),
    "sideways": (breaks_the_table, "cxr/films/x.py", "import cxr.jobs.control"),
    "from the ground": (breaks_the_table, "cxr/disk.py", "from cxr.films import film"),
    "not in the table": (breaks_the_table, "cxr/runs/x.py", "import cxr.films.film"),
    "keras": (breaks_the_training_rule, "cxr/models/x.py", "    import keras"),
    "training": (
        breaks_the_training_rule,
        "cxr/runs/x.py",
        "import cxr.training.train",
    ),
    "another page": (breaks_the_page_rule, "ui/data/x.py", "from ui.train import runs"),
    "flat to a page": (
        breaks_the_page_rule,
        "ui/x.py",
        "from ui.train.runs import took",
    ),
    "streamlit": (breaks_the_interface_rule, "cxr/jobs/x.py", "import streamlit as st"),
    "commands": (breaks_the_interface_rule, "ui/x.py", "from cxr.commands import data"),
}


@pytest.mark.parametrize("case", PLANTED)
def test_a_planted_import_is_noticed(case, tmp_path, monkeypatch):
    rule, where, line = PLANTED[case]
    path = tmp_path / "planted.py"
    path.write_text(f"def late():\n    {line.strip()}\n", encoding="utf-8")
    monkeypatch.setitem(globals(), "name_of", lambda _: where[:-3].replace("/", "."))
    assert rule(path)
    path.write_text("def late():\n    import json\n", encoding="utf-8")
    assert not rule(path)
