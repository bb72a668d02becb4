"""Reads the one grey film of a DICOM file, after checking what its header declares.

Only the elements of `HEADER` are read; no other text of a header can leave this module.
Of a patient's id only a digest does, by which two films of one patient are known.
`cxr.films.header` completes what is missing, `cxr.films.greyscale` makes tones of
stored values and `cxr.films.orientation` turns the film upright. Callers use
`cxr.films.film.read_film`, which turns every error raised here into a refusal.
"""

import hashlib
import json
import logging
import re
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.filereader import read_dataset
from pydicom.pixels import get_decoder, pixel_array
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
)

from cxr.films import codecs, scans
from cxr.films.codestream import (
    JPEG,
    JPEG_2000,
    check_against_header,
    codestream,
    single_frame,
)
from cxr.films.greyscale import toned
from cxr.films.header import SAMPLES, SHAPE, complete
from cxr.films.notes import Notes
from cxr.films.orientation import is_lateral, upright
from cxr.films.palette import PALETTE
from cxr.films.refusals import check_dimensions, check_grey, refusal

# Messages of pydicom quote values of the header, which may identify a patient.
logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)

META_START, META_LIMIT = 132, 65_536
ITEM_TAG = b"\xfe\xff\x00\xe0"  # the first of encapsulated pixel data
UNDEFINED_LENGTH = 0xFFFFFFFF

# Compressions that pydicom needs a further package for.
HTJ2K_SYNTAXES = {HTJ2K, HTJ2KLossless, HTJ2KLosslessRPCL}
OWN_SYNTAXES = HTJ2K_SYNTAXES | {
    *(JPEGLossless, JPEGLosslessSV1, JPEGLSLossless, JPEGLSNearLossless)
}

MORE_PIXELS = "one of NumberOfFrames, Rows, Columns and BitsAllocated"
LONGER = (
    "There are more pixels than the header's Rows and Columns say. If the film looks"
    " slanted or cut, its score does not hold."
)

HEADER: list[Any] = [
    *SHAPE,
    *("SOPClassUID", "Modality", "PresentationIntentType", "BurnedInAnnotation"),
    *("BodyPartExamined", "ViewPosition", "PatientAge", "NumberOfFrames"),
    *("PhotometricInterpretation", "PlanarConfiguration", "PixelRepresentation"),
    *("HighBit", "PixelPaddingValue", "PixelPaddingRangeLimit", "PresentationLUTShape"),
    *("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence", "VOILUTSequence"),
    *("WindowCenter", "WindowWidth", "VOILUTFunction", "PatientOrientation"),
    *PALETTE,
]
PATIENT = ["IssuerOfPatientID", "PatientID"]

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
# The defined terms that may leave this module (PS3.3 C.8.1.1 and C.8.11.5). Other text
# of these elements may be anything, a name too, and is only told as "OTHER".
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
    """What a DICOM file says of one film.

    The fields are those of `cxr.films.film.Film`.
    """

    pixels: NDArray[np.float32]
    bits: int
    warnings: tuple[str, ...]
    cautions: tuple[str, ...]
    view_position: str | None
    age_years: float | None
    body_part: str | None
    patient: str = field(repr=False)


def read(data: bytes) -> GreyImage:
    """Returns the one grey film of a DICOM file (Part 10).

    Args:
        data: the whole file; bytes 128 to 132 are the prefix "DICM".

    Raises:
        ImageError: for what a sound file may hold and a film may not.
        Exception: whatever pydicom raises on a damaged file.
    """
    syntax = _transfer_syntax(data)
    notes = Notes()
    # pydicom loses the whole header when the pixel data after it is cut short.
    header = pydicom.dcmread(
        BytesIO(data), specific_tags=[*HEADER, *PATIENT], stop_before_pixels=True
    )
    patient = _patient(header)
    _check_kind(header, notes)
    complete(header, notes)
    _check_shape(header)
    dataset = pydicom.dcmread(BytesIO(data), specific_tags=[*HEADER, "PixelData"])
    complete(dataset, Notes())
    _check_pixel_data(dataset, syntax, notes)
    grey = _grey(dataset, notes)
    view = _term(dataset.get("ViewPosition"), VIEWS)
    if view is None and is_lateral(dataset):
        view = "LATERAL"
    return GreyImage(
        pixels=upright(grey, dataset, notes),
        bits=dataset.BitsStored,
        warnings=tuple(notes.warnings),
        cautions=tuple(notes.cautions),
        view_position=view,
        age_years=_age_years(dataset.get("PatientAge")),
        body_part=_term(dataset.get("BodyPartExamined"), BODY_PARTS),
        patient=patient,
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


def _check_kind(dataset: pydicom.Dataset, notes: Notes) -> None:
    """Refuses a file that is not a radiograph; warns if the header does not say."""
    sop_class = UID(dataset.get("SOPClassUID") or "")
    modality = str(dataset.get("Modality") or "").strip()
    if sop_class not in FILM_CLASSES and sop_class.name != sop_class:
        raise refusal(
            "not-a-film", kind=f"{sop_class.name.removesuffix(' Storage')} data"
        )
    if modality in UNCLEAR_MODALITIES:
        notes.warnings.append(
            "The DICOM header does not say that this is a radiograph."
        )
    elif modality not in FILM_MODALITIES:
        kind = OTHER_MODALITIES.get(modality, "something of another kind")
        raise refusal("not-a-film", kind=kind)
    if dataset.get("BurnedInAnnotation") == "YES":
        notes.warnings.append("Text that may name the patient is burned into the film.")
    if dataset.get("PresentationIntentType") == "FOR PROCESSING":
        notes.warnings.append("This is raw detector data, not a film made for reading.")


def _check_shape(dataset: pydicom.Dataset) -> None:
    """Checks the declared shape before any pixel is decoded."""
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


def _check_pixel_data(dataset: pydicom.Dataset, syntax: UID, notes: Notes) -> None:
    """Checks that the pixels are those of one film and that there is a decoder."""
    if "PixelData" not in dataset:
        raise refusal("incomplete")
    length = getattr(dataset.get_item("PixelData"), "length", 0)
    element = dataset["PixelData"]
    value = element.value or b""
    encapsulated = value[:4] == ITEM_TAG
    if syntax.is_compressed:
        if not encapsulated and len(value) >= _native_length(dataset):
            raise refusal("header", element="TransferSyntaxUID")
        _check_compressed(dataset, value, syntax, notes)
        return
    if length == UNDEFINED_LENGTH:
        if encapsulated:
            raise refusal("header", element="TransferSyntaxUID")
        # PS3.5 A.4 allows it for encapsulated data alone, but all pixels may be there.
        length, element.is_undefined_length = 0, False
    needed = _native_length(dataset)
    if len(value) < max(needed, length):
        raise refusal("incomplete")
    if len(value) >= 2 * needed:
        raise refusal("header", element=MORE_PIXELS)
    if len(value) >= needed + needed // dataset.Rows:
        notes.cautions.append(LONGER)


def _native_length(dataset: pydicom.Dataset) -> int:
    """Returns how many bytes the film has without compression."""
    halved = dataset.PhotometricInterpretation == "YBR_FULL_422"  # two of six samples
    samples = 2 if halved else dataset.SamplesPerPixel
    return int(dataset.Rows * dataset.Columns * samples * dataset.BitsAllocated // 8)


def _check_compressed(
    dataset: pydicom.Dataset, value: bytes, syntax: UID, notes: Notes
) -> None:
    if syntax not in OWN_SYNTAXES and not _has_decoder(syntax):
        raise refusal("transfer-syntax", syntax=syntax.name)
    frame = single_frame(value)
    if "RLE" not in syntax.name:
        inner = codestream(frame)
        check_against_header(inner, dataset)
        if inner.kind in codecs.KINDS:
            _store_native(dataset, codecs.decoded(frame, inner))
            return
        if syntax in HTJ2K_SYNTAXES and inner.kind == JPEG_2000:
            dataset.file_meta.TransferSyntaxUID = JPEG2000  # Pillow decodes both
        elif syntax in OWN_SYNTAXES:
            raise refusal("header", element="TransferSyntaxUID")
        if inner.kind == JPEG:
            notes.cautions.extend(scans.check(frame).cautions)
    dataset["PixelData"].value = encapsulate([frame])


def _has_decoder(syntax: UID) -> bool:
    try:
        return bool(get_decoder(syntax).is_available)
    except NotImplementedError:
        return False


def _store_native(dataset: pydicom.Dataset, pixels: NDArray[Any]) -> None:
    """Puts decoded pixels in the place of compressed ones."""
    element = dataset["PixelData"]
    element.is_undefined_length = False
    element.VR = "OB" if pixels.dtype.itemsize == 1 else "OW"
    value = pixels.astype(pixels.dtype.newbyteorder("<"), copy=False).tobytes()
    element.value = value + bytes(len(value) % 2)
    dataset.BitsAllocated = 8 * pixels.dtype.itemsize
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    if pixels.ndim == 3:
        dataset.PlanarConfiguration = 0


def _grey(dataset: pydicom.Dataset, notes: Notes) -> NDArray[np.float32]:
    """Returns the tones of the film as it is stored, `[0, 255]`."""
    cells = _cells(dataset)
    if cells.ndim == 2:
        return toned(cells, dataset, notes)
    if dataset.PhotometricInterpretation == "RGB":
        _check_planes(cells, dataset)
    return _luma(cells)


def _cells(dataset: pydicom.Dataset) -> NDArray[Any]:
    """Returns the decoded pixels in native byte order, all their bits as in the file.

    The shape is `(height, width)`, or `(height, width, 3)` for a film in RGB.
    """
    # The decoder wants a sign; that only names the type here, not the values.
    unsigned = "PixelRepresentation" not in dataset
    if unsigned:
        dataset.PixelRepresentation = 0
    cells = pixel_array(dataset, correct_unused_bits=False)
    if unsigned:
        del dataset.PixelRepresentation
    return cells.astype(cells.dtype.newbyteorder("="), copy=False)


def _check_planes(samples: NDArray[np.uint8], dataset: pydicom.Dataset) -> None:
    """Refuses a grey film whose channels are equal in the other arrangement alone.

    One after the other or pixel by pixel (PlanarConfiguration): taken the wrong way, a
    grey film is its own picture three times side by side, and grey too.
    """
    if dataset.file_meta.TransferSyntaxUID.is_compressed:
        return
    flat = samples if dataset.PlanarConfiguration == 0 else samples.transpose(2, 0, 1)
    other = (3, -1) if dataset.PlanarConfiguration == 0 else (-1, 3)
    planes = np.ascontiguousarray(flat).reshape(other)
    planes = planes if other[0] == 3 else planes.T
    as_declared = (samples == samples[..., :1]).all()
    if not as_declared and (planes == planes[:1]).all():
        raise refusal("header", element="PlanarConfiguration")


def _luma(samples: NDArray[np.uint8]) -> NDArray[np.float32]:
    check_grey(samples[::2, ::2])
    return np.asarray(Image.fromarray(samples).convert("L")).astype(np.float32)


def _term(value: object, known: set[str]) -> str | None:
    """Returns a defined term, "OTHER" for other text, or `None` for no text."""
    text = str(value or "").strip().upper()
    if not text:
        return None
    return text if text in known else "OTHER"


def _patient(header: pydicom.Dataset) -> str:
    """Returns the SHA-256 of patient id and issuer (PS3.3 C.7.1.1); "" without an id.

    The bytes are taken as they are in the file: to make text of them can fail.
    """
    issuer, own = (_padding_off(header.get_item(keyword)) for keyword in PATIENT)
    if not own:
        return ""
    return hashlib.sha256(json.dumps([issuer, own]).encode()).hexdigest()


def _padding_off(element: Any) -> str:
    value = getattr(element, "value", None)
    text = value.decode("latin-1") if isinstance(value, bytes) else str(value or "")
    return text.strip(" \0")


def _age_years(value: object) -> float | None:
    """Returns years from an age string such as "018M" (PS3.5 6.2, AS)."""
    match = re.fullmatch(r"(\d{3})([DWMY])", str(value or "").strip())
    if match is None:
        return None
    years = int(match[1]) * DAYS[match[2]] / DAYS["Y"]
    return min(years, OLDEST)
