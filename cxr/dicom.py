"""DICOM bytes to grey pixels: what the header declares, checked before it is believed.

Only the elements of `HEADER` are read; no other text of a header can leave this module.
How stored values become tones is in `cxr.greyscale`. `cxr.images` is the way in: it
makes a refusal of every error raised here.
"""

import logging
import re
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from pydicom.encaps import get_frame
from pydicom.filereader import read_dataset
from pydicom.pixels import get_decoder, pixel_array
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, JPEGExtended12Bit

from cxr.greyscale import toned
from cxr.refusals import check_dimensions, check_grey, refusal

# Its messages quote values of the header, which may be a patient's.
logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)

META_START, META_LIMIT = 132, 65_536

SHAPE = ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "BitsStored")
HEADER: list[Any] = [
    *SHAPE,
    *("SOPClassUID", "Modality", "PresentationIntentType", "BurnedInAnnotation"),
    *("BodyPartExamined", "ViewPosition", "PatientAge", "NumberOfFrames"),
    *("PhotometricInterpretation", "PlanarConfiguration", "PixelRepresentation"),
    *("HighBit", "PixelPaddingValue", "PixelPaddingRangeLimit", "PresentationLUTShape"),
    *("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence", "VOILUTSequence"),
    *("WindowCenter", "WindowWidth", "VOILUTFunction"),
]

FILM_CLASSES = {  # PS3.4 B.5
    "1.2.840.10008.5.1.4.1.1.1",  # Computed Radiography
    "1.2.840.10008.5.1.4.1.1.1.1",  # Digital X-Ray, for presentation
    "1.2.840.10008.5.1.4.1.1.1.1.1",  # Digital X-Ray, for processing
    "1.2.840.10008.5.1.4.1.1.7",  # Secondary Capture
    "1.2.840.10008.5.1.4.1.1.7.2",  # Multi-frame Grayscale Byte Secondary Capture
    "1.2.840.10008.5.1.4.1.1.7.3",  # Multi-frame Grayscale Word Secondary Capture
}
FILM_MODALITIES = {"CR", "DX", "RG"}
UNCLEAR_MODALITIES = {"", "OT", "SC", "DR"}
OTHER_MODALITIES = {
    "CT": "a CT image",
    "MR": "an MR image",
    "US": "an ultrasound image",
    "MG": "a mammogram",
    "NM": "a nuclear medicine image",
    "PT": "a PET image",
    "XA": "an angiogram",
    "RF": "a fluoroscopy image",
    "IO": "a dental film",
    "PX": "a panoramic dental film",
    "ES": "an endoscopy image",
    "SM": "a microscopy image",
    "SEG": "a segmentation",
    "SR": "a report",
    "ECG": "an ECG",
}
SAMPLES = {"MONOCHROME1": 1, "MONOCHROME2": 1} | dict.fromkeys(
    ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"), 3
)

# Terms a reading can use (PS3.3 C.8.1.1 and C.8.11.5); other text may be anything.
VIEWS = set("AP PA LL RL RLD LLD RLO LLO LAO RAO LPO RPO LAT LATERAL OBL".split())
BODY_PARTS = set(
    "ABDOMEN ANKLE ARM BREAST CHEST CHESTABDOMEN CLAVICLE CSPINE ELBOW EXTREMITY FEMUR"
    " FOOT FOREARM HAND HEAD HIP HUMERUS KNEE LEG LSPINE LUNG NECK PELVIS RIB SHOULDER"
    " SKULL SPINE STERNUM THORAX TSPINE WHOLEBODY WRIST".split()
)
DAYS = {"D": 1.0, "W": 7.0, "M": 365.25 / 12, "Y": 365.25}
OLDEST = 90.0  # years; greater ages identify people


@dataclass(frozen=True, kw_only=True)
class GreyImage:
    """What a DICOM file says of one film; the fields are those of `images.Film`."""

    pixels: NDArray[np.float32]
    bits: int
    warnings: tuple[str, ...]
    view_position: str | None
    age_years: float | None
    body_part: str | None


def read(data: bytes) -> GreyImage:
    """Returns the one grey film of a DICOM file (Part 10).

    Args:
        data: the whole file; bytes 128 to 132 are the prefix "DICM".

    Raises:
        ImageError: for what a sound file may hold and a film may not.
        Exception: whatever pydicom raises on a damaged file.
    """
    syntax = _transfer_syntax(data)
    notes: list[str] = []
    # pydicom loses the whole header when the pixel data after it is cut short.
    header = pydicom.dcmread(
        BytesIO(data), specific_tags=HEADER, stop_before_pixels=True
    )
    _check_kind(header, notes)
    _check_shape(header)
    dataset = pydicom.dcmread(BytesIO(data), specific_tags=[*HEADER, "PixelData"])
    _check_pixel_data(dataset, syntax)
    stored = pixel_array(dataset)
    if dataset.SamplesPerPixel == 3:
        pixels = _luma(stored)
    else:
        native = stored.astype(stored.dtype.newbyteorder("="), copy=False)
        pixels = toned(native, dataset, notes)
    return GreyImage(
        pixels=pixels,
        bits=dataset.BitsStored,
        warnings=tuple(notes),
        view_position=_term(dataset.get("ViewPosition"), VIEWS),
        age_years=_age_years(dataset.get("PatientAge")),
        body_part=_term(dataset.get("BodyPartExamined"), BODY_PARTS),
    )


def _transfer_syntax(data: bytes) -> UID:
    """Returns how the file is encoded, from its meta header alone.

    A deflated file must be known before the rest is touched: reading as much as its
    header inflates all of it, and half a megabyte can hold half a gigabyte.
    """
    meta = read_dataset(
        BytesIO(data[META_START : META_START + META_LIMIT]),
        is_implicit_VR=False,
        is_little_endian=True,
        stop_when=lambda tag, vr, length: tag.group != 2,
    )
    if not meta:
        raise refusal("no-image")
    syntax = UID(meta.get("TransferSyntaxUID") or "")
    if not syntax.is_transfer_syntax or syntax.is_private:
        raise refusal("transfer-syntax", syntax="not named, or not known")
    if syntax == DeflatedExplicitVRLittleEndian:
        raise refusal("transfer-syntax", syntax=syntax.name)
    return syntax


def _check_kind(dataset: pydicom.Dataset, notes: list[str]) -> None:
    """Refuses what is not a radiograph; notes what may not be."""
    sop_class = UID(dataset.get("SOPClassUID") or "")
    modality = str(dataset.get("Modality") or "").strip()
    if sop_class not in FILM_CLASSES and sop_class.name != sop_class:
        raise refusal(
            "not-a-film", kind=f"{sop_class.name.removesuffix(' Storage')} data"
        )
    if modality in UNCLEAR_MODALITIES:
        notes.append("The DICOM header does not say that this is a radiograph.")
    elif modality not in FILM_MODALITIES:
        kind = OTHER_MODALITIES.get(modality, "something of another kind")
        raise refusal("not-a-film", kind=kind)
    if dataset.get("BurnedInAnnotation") == "YES":
        notes.append("Text that may name the patient is burned into the film.")
    if dataset.get("PresentationIntentType") == "FOR PROCESSING":
        notes.append("This is raw detector data, not a film made for reading.")


def _check_shape(dataset: pydicom.Dataset) -> None:
    """Checks the declared shape; nothing of the pixels has been decoded yet."""
    given = [keyword for keyword in SHAPE if keyword in dataset]
    if len(given) < len(SHAPE):
        promised = dataset.file_meta.get("MediaStorageSOPClassUID") in FILM_CLASSES
        raise refusal("incomplete" if given or promised else "no-image")
    # Another type than US has room for sizes that overflow a decoder.
    if any(dataset[keyword].VR != "US" for keyword in SHAPE):
        raise refusal("unreadable")
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames != 1:
        raise refusal("multi-frame", frames=frames)
    check_dimensions(dataset.Rows, dataset.Columns)
    allocated, bits = dataset.BitsAllocated, dataset.BitsStored
    if allocated not in (8, 16) or not 8 <= bits <= allocated:
        raise refusal("bit-depth", bits=bits)
    samples = SAMPLES.get(dataset.PhotometricInterpretation)
    if samples != dataset.SamplesPerPixel or (samples == 3 and allocated == 16):
        raise refusal("colour")


def _check_pixel_data(dataset: pydicom.Dataset, syntax: UID) -> None:
    """Checks that all pixels are there and that a decoder for them is."""
    if "PixelData" not in dataset:
        raise refusal("incomplete")
    element = dataset.get_item("PixelData")
    value = element.value or b""
    if syntax.is_compressed:
        _check_compressed(dataset, value, syntax)
        return
    halved = dataset.PhotometricInterpretation == "YBR_FULL_422"  # two of six samples
    samples = 2 if halved else dataset.SamplesPerPixel
    needed = dataset.Rows * dataset.Columns * samples * dataset.BitsAllocated // 8
    if len(value) < max(needed, getattr(element, "length", 0)):
        raise refusal("incomplete")


def _check_compressed(dataset: pydicom.Dataset, value: bytes, syntax: UID) -> None:
    twelve_bit_jpeg = syntax == JPEGExtended12Bit and dataset.BitsStored > 8
    if twelve_bit_jpeg or not get_decoder(syntax).is_available:
        raise refusal("transfer-syntax", syntax=syntax.name)
    if not syntax.is_encapsulated or "RLE" in syntax.name:
        return
    # The picture inside has a header of its own, which the decoder believes.
    frame = get_frame(value, 0, number_of_frames=1)
    with Image.open(BytesIO(frame), formats=("JPEG", "JPEG2000")) as inner:
        check_dimensions(inner.height, inner.width)
        if inner.size != (dataset.Columns, dataset.Rows):
            raise refusal("unreadable")


def _luma(samples: NDArray[np.uint8]) -> NDArray[np.float32]:
    check_grey(samples[::2, ::2])
    return np.asarray(Image.fromarray(samples).convert("L")).astype(np.float32)


def _term(value: object, known: set[str]) -> str | None:
    """Returns a defined term, "OTHER" for other text, or `None` for no text."""
    text = str(value or "").strip().upper()
    if not text:
        return None
    return text if text in known else "OTHER"


def _age_years(value: object) -> float | None:
    """Returns years from an age string such as "018M" (PS3.5 6.2, AS)."""
    match = re.fullmatch(r"(\d{3})([DWMY])", str(value or "").strip())
    if match is None:
        return None
    years = int(match[1]) * DAYS[match[2]] / DAYS["Y"]
    return min(years, OLDEST)
