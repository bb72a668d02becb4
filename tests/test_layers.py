"""The layers: pages and app on ui, ui on cxr, TensorFlow only where training is."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cxr.config import ROOT

TRAINING = {
    "cxr.accelerator",
    "cxr.batches",
    "cxr.callbacks",
    "cxr.checkpoints",
    "cxr.frozen",
    "cxr.networks",
    "cxr.publication",
    "cxr.training",
}
SERVING = {
    "cxr.decoding",
    "cxr.evaluation",
    "cxr.explainability",
    "cxr.inference",
    "cxr.registry",
    "cxr.scoring",
    "cxr.validation",
}
PAGE_LINES = 120


def name_of(path: Path) -> str:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


MODULES = {name_of(path): path for path in sorted((ROOT / "cxr").rglob("*.py"))}
SCRIPTS = [
    *sorted((ROOT / "ui").rglob("*.py")),
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


def test_there_is_something_to_check():
    assert {*TRAINING, *SERVING} < MODULES.keys()


@pytest.mark.parametrize("path", MODULES.values(), ids=MODULES)
def test_the_core_knows_no_user_interface(path):
    assert not packages(imports(path)) & {"streamlit", "ui", "pages", "app"}


@pytest.mark.parametrize("path", EVERYTHING, ids=lambda path: path.name)
def test_imports_are_absolute(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    froms = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert [node.lineno for node in froms if node.level] == []


@pytest.mark.parametrize("path", EVERYTHING, ids=lambda path: path.name)
def test_tensorflow_is_imported_for_training_only(path):
    heavy = packages(imports(path)) & {"tensorflow", "keras"}
    assert not heavy or name_of(path) in TRAINING


def test_nothing_that_the_app_imports_reaches_the_training_side():
    start = set().union(*(imports(path) for path in SCRIPTS))
    assert not reached_from(start | SERVING) & TRAINING


def test_the_ui_knows_no_pages():
    for path in (ROOT / "ui").rglob("*.py"):
        assert not packages(imports(path)) & {"pages", "app"}


def test_only_the_command_line_starts_the_training_side():
    others = MODULES.keys() - TRAINING - {"cxr.__main__"}
    for name in others:
        assert not imports(MODULES[name]) & TRAINING, name
    assert not imports(MODULES["cxr.__main__"], lazy=False) & TRAINING


@pytest.mark.parametrize(
    "path", [p for p in SCRIPTS if p.parent.name != "ui"], ids=lambda path: path.name
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
    loaded = loaded_by("cxr.__main__")
    assert not loaded & {"numpy", "cv2", "openvino", "pandas", "tensorflow"}


def test_a_decoder_loads_only_what_reads_films():
    loaded = loaded_by("cxr.decoding")
    assert not loaded & {"cv2", "openvino", "pandas", "scipy", "pydicom", "tensorflow"}
