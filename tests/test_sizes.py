"""Functions and modules stay small: the house is read from top to bottom."""

import ast
import io
import statistics
import tokenize
from functools import cache

import pytest

from cxr.config import ROOT

FOLDERS = ("cxr", "ui", "pages")
LONGEST_MODULE = 450
LONGEST_BODY, NINE_IN_TEN, MEDIAN = 45, 20, 8
NO_CODE = {
    *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE),
    *(tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER),
}


def modules():
    return sorted(path for name in FOLDERS for path in (ROOT / name).rglob("*.py"))


def code_lines(text):
    """The numbers of the lines that are neither blank nor comments alone."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return {
        line
        for token in tokens
        if token.type not in NO_CODE
        for line in range(token.start[0], token.end[0] + 1)
    }


@cache
def bodies():
    """Lines of code of each function's body, without its docstring, by its place."""
    lengths = {}
    for path in modules():
        text = path.read_text()
        code = code_lines(text)
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            first = body[0].lineno if body else node.end_lineno + 1
            place = f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
            lines = range(first, node.end_lineno + 1)
            lengths[place] = sum(line in code for line in lines)
    return lengths


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_is_short(path):
    assert len(path.read_text().splitlines()) <= LONGEST_MODULE


def test_no_function_is_long():
    assert {k: n for k, n in bodies().items() if n > LONGEST_BODY} == {}


def test_most_functions_are_short():
    lengths = sorted(bodies().values())
    assert statistics.median(lengths) <= MEDIAN
    assert lengths[int(0.9 * len(lengths))] <= NINE_IN_TEN


def test_the_start_of_the_command_line_is_a_page():
    lines = (ROOT / "cxr" / "__main__.py").read_text().splitlines()
    assert len(lines) < 60
