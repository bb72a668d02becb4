"""Everything that is installed with the app has a permissive licence.

What a package says of itself is held against a list; a licence that is not on it is an
exception with its reason. Libraries inside a wheel are not looked at, and the packages
of NVIDIA in requirements-gpu.txt, which are proprietary, only where they are installed.
"""

import re
from importlib.metadata import PackageMetadata, PackageNotFoundError, metadata

import pytest

from cxr.config import ROOT

PERMISSIVE = {
    *("0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "ISC", "MIT"),
    "MIT-0",
    *("MIT-CMU", "PSF-2.0", "Unlicense", "Zlib"),
}
IN_WORDS = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Python Software Foundation License": "PSF-2.0",
}
MPL = "MPL-2.0: used unchanged, and only changes to its own files would have to be open"
EXCEPTIONS = {
    "axe-playwright-python": "its metadata name none: its file says MIT; the axe-core "
    "in it is MPL-2.0, used unchanged and in tests alone",
    "certifi": MPL,
    "fpdf2": "LGPL-3.0: used unchanged, as a package of its own that can be exchanged",
    "pathspec": MPL,
    "tqdm": MPL,
    "namex": "its metadata name none; its repository is Apache-2.0",
}
PINNED = sorted(
    {
        name
        for file in ("requirements.txt", "requirements-dev.txt")
        for name in re.findall(r"(?m)^([\w.-]+)==", (ROOT / file).read_text())
    }
)


def licence_of(package: PackageMetadata) -> str:
    """The SPDX expression, or what stands in its place in older metadata."""
    if expression := package.get("License-Expression"):
        return expression
    classifiers = package.get_all("Classifier") or []
    names = [c.split(" :: ")[-1] for c in classifiers if c.startswith("License :: ")]
    names = names or (package.get("License") or "").splitlines()[:1]
    return " AND ".join(IN_WORDS.get(name, name) for name in names)


def is_permissive(expression: str) -> bool:
    """Whether a choice of the expression holds permissive licences alone."""
    choices = expression.strip("()").split(" OR ")
    return any(set(choice.split(" AND ")) <= PERMISSIVE for choice in choices)


@pytest.mark.parametrize("name", PINNED)
def test_a_pinned_package_is_permissive_or_a_named_exception(name):
    try:
        licence = licence_of(metadata(name))
    except PackageNotFoundError:
        pytest.skip("for another system")
    assert is_permissive(licence) != (name in EXCEPTIONS), licence


def test_most_packages_were_looked_at():
    assert len(PINNED) > 50
    assert set(EXCEPTIONS) <= set(PINNED)


@pytest.mark.parametrize(
    ("expression", "permissive"),
    [
        ("MIT", True),
        ("MIT AND Apache-2.0", True),
        ("MIT AND GPL-3.0-only", False),
        ("GPL-2.0-only OR MIT", True),
        ("LGPL-2.1-or-later", False),
        ("", False),
    ],
)
def test_an_expression_is_read(expression, permissive):
    assert is_permissive(expression) == permissive
