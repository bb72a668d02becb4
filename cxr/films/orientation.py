"""Turns a DICOM film upright where its header says how the patient lies in it.

PatientOrientation (PS3.3 C.7.6.1.1.1) has two values: the direction in the patient in
which rows run to the right, and the one in which columns run down. For a frontal film
as it is read they are left and feet, `L\\F`.
"""

from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from cxr.films.notes import Notes

Pixels = NDArray[np.float32]

OPPOSITES = {"L": "R", "R": "L", "A": "P", "P": "A", "H": "F", "F": "H"}
TURNED = "The film was turned upright, because the header says that it {how}."
MIRRORED = (
    "The header says that the patient's right is on the right of the film. Check"
    " which side is which."
)
UNCLEAR = (
    "The header's orientation of the patient can't be understood. The film is read as"
    " it is stored: check that it is upright."
)


def upright(pixels: Pixels, dataset: pydicom.Dataset, notes: Notes) -> Pixels:
    """Returns a film with the head at the top, as far as the header says where it is.

    Films are turned and never mirrored, so letters on them stay readable.

    Args:
        pixels: `float32`, shape `(height, width)`.
        dataset: the header.
        notes: gets a sentence if the film was turned, if it is mirrored, or if its
            orientation in the header can't be understood.

    Returns:
        The same pixels; height and width change places if the film lay on its side.
    """
    directions = _directions(dataset)
    if directions is None:
        return pixels
    rows, columns = directions
    if len({rows, columns} & {"H", "F"}) != 1:
        notes.cautions.append(UNCLEAR)
        return pixels
    if columns == "H":
        notes.cautions.append(TURNED.format(how="is upside down"))
        pixels, rows = np.rot90(pixels, 2), OPPOSITES[rows]
    elif rows in ("H", "F"):
        notes.cautions.append(TURNED.format(how="lies on its side"))
        pixels = np.rot90(pixels, 1 if rows == "H" else -1)
        rows = columns if rows == "H" else OPPOSITES[columns]
    if rows == "R":
        notes.cautions.append(MIRRORED)
    return np.ascontiguousarray(pixels)


def is_lateral(dataset: pydicom.Dataset) -> bool:
    """Returns whether the header's orientation shows the patient from the side."""
    return bool({"A", "P"} & set(_directions(dataset) or ()))


def _directions(dataset: pydicom.Dataset) -> tuple[str, str] | None:
    """Returns the main direction of rows and of columns, or `None` if not given.

    A value such as "LF" leans from its first letter a little towards the second. "?"
    stands for a value that is not a direction.
    """
    value: Any = dataset.get("PatientOrientation")
    given = [value] if isinstance(value, str) else list(value or ())
    words = [str(word).strip().upper() for word in given]
    if not any(words):
        return None
    known = len(words) == 2 and all(words) and set("".join(words)) <= set(OPPOSITES)
    return (words[0][0], words[1][0]) if known else ("?", "?")
