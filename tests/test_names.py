"""The names of files: stored as they are, shown in one line."""

import io
import os

import pytest

from cxr import names


@pytest.mark.parametrize(
    "name", [b"film.png", b"film\xff.png", "Fürst.png".encode(), b"a\r\n\x1b[2J.png"]
)
def test_field_case_a_a_name_comes_back_byte_for_byte(name):
    assert names.encode(os.fsdecode(name)) == name
    assert names.decode(name) == os.fsdecode(name)


@pytest.mark.parametrize(
    "name, shown",
    [
        ("film.png", "film.png"),
        ("Fürst 1.png", "Fürst 1.png"),
        ("a\nb.png", "a\\nb.png"),
        ("\x1b[2Ja.png", "\\x1b[2Ja.png"),
        ("a\u202egnp.exe", "a\\u202egnp.exe"),
        ("a\udcff.png", "a\\udcff.png"),
        ("a\u2028b", "a\\u2028b"),
    ],
)
def test_field_case_10_what_moves_a_cursor_is_spelled_out(name, shown):
    assert names.printable(name) == shown


@pytest.mark.parametrize(
    "encoding, shown", [("ascii", "\\xfc\\udcff"), ("utf-8", "ü\\udcff")]
)
def test_field_case_a_a_stream_gets_what_it_can_encode(encoding, shown):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
    text = names.encodable("ü\udcff", stream)
    assert text == shown
    stream.write(text)
