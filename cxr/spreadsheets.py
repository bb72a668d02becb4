"""The one safe way into a table that a spreadsheet opens."""

# With their full-width forms, which some spreadsheets take for the same.
FORMULA_STARTS = (*"=+-@\t\r\n", *"\uff1d\uff0b\uff0d\uff20")


def as_cell(text: str) -> str:
    """Returns text that no spreadsheet takes for a formula and UTF-8 can hold."""
    # A file name that is no UTF-8 comes with lone surrogates.
    text = text.encode("utf-8", "backslashreplace").decode()
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text
