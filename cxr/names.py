"""The names of files: stored without loss, and shown without control characters.

A name is bytes, and need be no text. Python reads the bytes that are no UTF-8 as lone
surrogates (PEP 383), which no text file, table or stream takes as they are. Whatever is
stored with a name in it is encoded and decoded here, so that the name read back is the
name of the file.
"""

from typing import TextIO

ENCODING, ERRORS = "utf-8", "surrogateescape"


def encode(text: str) -> bytes:
    """Returns a text with names in it as bytes: those of a name are the file's own."""
    return text.encode(ENCODING, ERRORS)


def decode(content: bytes) -> str:
    """Returns the text with names in it that `encode` made bytes of."""
    return content.decode(ENCODING, ERRORS)


def printable(name: str) -> str:
    """Returns a name without what moves a cursor, turns text or can't be printed.

    Such characters are spelled out. A name with a line break would forge a line of an
    answer.
    """
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in name
    )


def encodable(text: str, stream: TextIO) -> str:
    """Returns a text that a stream can write: what it can't encode is spelled out."""
    encoding = stream.encoding or ENCODING
    return text.encode(encoding, "backslashreplace").decode(encoding)
