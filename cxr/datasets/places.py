"""What is known of the places whose films a manifest lists: `places.csv` beside it.

It owns that table: a line for each place, `place` as the manifest names it, and name,
source, licence and population where they are known. These go on a model's card.
"""

from collections.abc import Iterable
from pathlib import Path

from cxr.datasets import manifests
from cxr.datasets.folders import Origin
from cxr.names import printable

TABLE = "places.csv"
NOT_STATED = "not stated"
_COLUMNS = {
    "place": ("place", "site", "hospital"),
    "name": ("name",),
    "source": ("source", "citation"),
    "licence": ("licence", "license"),
    "population": ("population", "patients"),
}


def origins(source: Path, places: Iterable[str]) -> dict[str, Origin]:
    """Returns what is known of each place, by the name that the manifest has for it.

    Args:
        source: the data folder or manifest; the table lies beside a manifest.
        places: as the manifest names them; the table may write them in other case.

    Raises:
        DatasetError: the table can't be read, or has no column place.
    """
    stated = {}
    table = source.parent / TABLE
    if places and table.is_file() and table != source:
        for _, cell in manifests.table(table, _COLUMNS, needed=("place",)):
            stated[_plain(cell("place"))] = {c: cell(c) for c in _COLUMNS}
    return {place: _origin(place, stated.get(_plain(place), {})) for place in places}


def unstated(place: str) -> Origin:
    """Returns what is known of a place of which nothing but its name is stated."""
    return _origin(place, {})


def _origin(place: str, stated: dict[str, str]) -> Origin:
    known = {column: printable(cell) for column, cell in stated.items() if cell}
    return Origin(
        name=known.get("name", printable(place)),
        source=known.get("source", NOT_STATED),
        licence=known.get("licence", NOT_STATED),
        population=known.get("population", "Not stated"),
    )


def _plain(place: str) -> str:
    return " ".join(place.casefold().split())
