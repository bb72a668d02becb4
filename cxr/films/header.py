"""What a DICOM header must say for its pixels to be understood.

An element that is missing or misspelt is completed where only one reading is possible;
otherwise the refusal names it. Numbers are read from the text of their elements here,
because pydicom gives up a whole header for one decimal comma.
"""

from typing import Any

import numpy as np
import pydicom
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.multival import MultiValue

from cxr.films.notes import Notes
from cxr.films.refusals import refusal

SHAPE = ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "BitsStored")

SAMPLES = {"MONOCHROME1": 1, "MONOCHROME2": 1, "PALETTE COLOR": 1} | dict.fromkeys(
    ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"), 3
)
OTHER_COLOURS = {"HSV", "ARGB", "CMYK", "YBR_PARTIAL_422", "YBR_PARTIAL_420", "XYB"}

# The shape of the presentation table says which end is bright too (PS3.3 C.8.11.3).
PHOTOMETRIC_OF_SHAPE = {"IDENTITY": "MONOCHROME2", "INVERSE": "MONOCHROME1"}

# Their pixels are unsigned by definition (PS3.3 C.8.11.3 and A.8.3.4, A.8.4.4).
UNSIGNED_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.1.1",  # Digital X-Ray, for presentation
    "1.2.840.10008.5.1.4.1.1.1.1.1",  # Digital X-Ray, for processing
    "1.2.840.10008.5.1.4.1.1.7.2",  # Multi-frame Grayscale Byte Secondary Capture
    "1.2.840.10008.5.1.4.1.1.7.3",  # Multi-frame Grayscale Word Secondary Capture
}


def complete(dataset: pydicom.Dataset, notes: Notes) -> None:
    """Completes the description of the pixels in place (PS3.3 C.7.6.3).

    Without a PixelRepresentation pixels of a class whose pixels may be signed are left
    without one: `cxr.films.stored` decides when it sees them.

    Args:
        dataset: the header, with or without pixels.
        notes: gets a sentence for each element that was missing.

    Raises:
        ImageError: `header`, if an element is missing and can't be told from others.
    """
    _complete_photometric(dataset, notes)
    given = dataset.get("PhotometricInterpretation")
    if "SamplesPerPixel" not in dataset and given in SAMPLES:
        if not _is_cut_before(dataset, "SamplesPerPixel"):
            dataset.SamplesPerPixel = SAMPLES[given]
            notes.warnings.append(_taken("SamplesPerPixel"))
    for keyword in SHAPE:
        if keyword not in dataset and not _is_cut_before(dataset, keyword):
            raise refusal("header", element=keyword)
    in_colour = SAMPLES.get(given) == dataset.get("SamplesPerPixel") == 3
    if in_colour and "PlanarConfiguration" not in dataset:
        if not dataset.file_meta.TransferSyntaxUID.is_compressed:
            raise refusal("header", element="PlanarConfiguration")
        dataset.PlanarConfiguration = 0  # the picture inside says it by itself
    if "PixelRepresentation" not in dataset:
        unsigned = dataset.get("SOPClassUID") in UNSIGNED_CLASSES
        if unsigned or dataset.get("SamplesPerPixel") == 3:
            dataset.PixelRepresentation = 0
            notes.warnings.append(_taken("PixelRepresentation"))


def _complete_photometric(dataset: pydicom.Dataset, notes: Notes) -> None:
    keyword = "PhotometricInterpretation"
    given = word(dataset, keyword)
    if given in SAMPLES:
        dataset.PhotometricInterpretation = given
        return
    if given in OTHER_COLOURS:
        raise refusal("colour")
    if _is_cut_before(dataset, keyword):
        return
    shape = word(dataset, "PresentationLUTShape")
    if given or shape not in PHOTOMETRIC_OF_SHAPE:
        raise refusal("header", element=keyword)
    dataset.PhotometricInterpretation = PHOTOMETRIC_OF_SHAPE[shape]
    notes.warnings.append(_taken(keyword))


def _taken(keyword: str) -> str:
    return f"The header lacks {keyword}; it was told from other elements."


def _is_cut_before(dataset: pydicom.Dataset, keyword: str) -> bool:
    """Returns whether a missing element may have been cut off: none comes after it."""
    tag = tag_for_keyword(keyword)
    return tag is None or all(other < tag for other in dataset.keys())


def word(dataset: pydicom.Dataset, keyword: str) -> str:
    """Returns a coded term in upper case without padding; "" if there is none."""
    value = dataset.get(keyword)
    return "" if value is None else str(value).strip(" \0").upper()


def words(dataset: pydicom.Dataset, keyword: str) -> list[int]:
    """Returns the numbers of an element of type US or SS, as unsigned words.

    Writers mix up the two types, so the sign is left to the caller.

    Raises:
        ImageError: `header`, naming the element, if it holds something else.
    """
    value: Any = dataset.get(keyword)
    if value is None:
        return []
    if isinstance(value, bytes):  # pydicom does not know which type it is
        order = "<u2" if dataset.original_encoding[1] is not False else ">u2"
        value = np.frombuffer(value[: len(value) // 2 * 2], order).tolist()
    many = value if isinstance(value, MultiValue | list) else [value]
    if not all(isinstance(item, int) for item in many):
        raise refusal("header", element=keyword)
    return [int(item) & 0xFFFF for item in many]


def numbers(
    dataset: pydicom.Dataset, keyword: str, *, comma: bool = False
) -> list[float]:
    """Returns the numbers of an element, such as a DS of the header; `[]` for none.

    Args:
        dataset: the header.
        keyword: of the element.
        comma: whether a comma may stand for the decimal point.

    Raises:
        ValueError: if one is no number, such as "2048,5"; "nan" is one.
    """
    if keyword not in dataset:
        return []
    element = dataset.get_item(keyword)
    value: Any = element.value
    if isinstance(element, RawDataElement) and element.VR in (None, "DS", "IS", "LO"):
        value = (value or b"").decode("ascii").strip(" \0")
        value = value.replace(",", ".") if comma else value
        value = value.split("\\") if value else []
    else:
        value = dataset[keyword].value
    many = isinstance(value, MultiValue | list)
    return [float(item) for item in (value if many else [value]) if item is not None]
