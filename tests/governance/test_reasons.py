"""When a text is a reason."""

import pytest

from cxr.governance import reasons


def test_surplus_spaces_go():
    assert reasons.given("  seen \n by   two readers ") == "seen by two readers"


@pytest.mark.parametrize("n", [reasons.SHORTEST, reasons.LONGEST])
def test_the_limits_belong_to_it(n):
    assert reasons.given("x" * n) == "x" * n


@pytest.mark.parametrize("n", [0, reasons.SHORTEST - 1, reasons.LONGEST + 1])
def test_a_text_of_another_length_is_none(n):
    assert reasons.given("x" * n) == ""
    assert reasons.given(" " * 50 + "x" * n) == ""
