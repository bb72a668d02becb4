"""The patient and study that a DICOM document about a film belongs to.

It owns what is taken over of a film's own header (its UIDs, patient and study, nothing
else), and what stands there where a film has none. `cxr.reports.structured` and
`cxr.reports.capture` share it; both import it late, with the libraries they need.
"""

import hashlib
import io
from datetime import UTC, datetime

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import UID, SecondaryCaptureImageStorage, generate_uid

from cxr.errors import ImageError
from cxr.films.film import recorded_warnings

MANUFACTURER = "cxr"
UTF_8 = "ISO_IR 192"  # PS3.3 C.12.1.1.2
DESCRIPTION = "Research only. Supports a decision, never a diagnosis."
REFERENCE = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
# PS3.3 C.7.1.1 and C.7.2.1, type 2: there, even where nobody knows the value.
PATIENT_AND_STUDY = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyID"),
    *("StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName"),
)

SEXES = ("M", "F", "O")  # PS3.3 C.7.1.1


def film_in_study(sha256: str, source: bytes | None) -> Dataset:
    """Returns the film as DICOM refers to it: its UIDs, patient and study.

    Without a DICOM file these are an empty patient and a study that follows from the
    film's hash alone, so that all documents about one film are in one study.

    Args:
        sha256: of the film's file.
        source: the film's DICOM file; None for a PNG or JPEG.

    Raises:
        ImageError: the DICOM file does not say which image it is (code `no-reference`).
        ValueError: the file is another film's: its report would name another patient.
    """
    if source is None:
        return _film_without_study(sha256)
    if hashlib.sha256(source).hexdigest() != sha256:
        raise ValueError("expected the file of this film, received another one")
    try:
        with recorded_warnings():  # which would name the patient
            film = _taken_over(source)
    except Exception as error:  # a stranger's header may hold anything
        raise _no_reference() from error
    if not all(film[keyword].value.is_valid for keyword in REFERENCE):
        raise _no_reference()
    return film


def stamp(document: Dataset, time: datetime) -> None:
    """Sets the dates of a new document to one moment, in UTC, and says what it is.

    Args:
        document: any that highdicom made.
        time: with a time zone.
    """
    moment = time.astimezone(UTC)
    date, clock = moment.strftime("%Y%m%d"), moment.strftime("%H%M%S")
    for keyword in ("InstanceCreation", "Content", "Series"):
        setattr(document, f"{keyword}Date", date)
        setattr(document, f"{keyword}Time", clock)
    for equipment in document.get("ContributingEquipmentSequence", []):
        equipment.ContributionDateTime = date + clock
    document.TimezoneOffsetFromUTC = "+0000"
    document.SeriesDescription = DESCRIPTION


def as_bytes(document: Dataset) -> bytes:
    """Returns the document as a DICOM file."""
    stream = io.BytesIO()
    document.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def reference(film: Dataset) -> Dataset:
    """Returns the item that refers to a film."""
    item = Dataset()
    item.ReferencedSOPClassUID = film.SOPClassUID
    item.ReferencedSOPInstanceUID = film.SOPInstanceUID
    return item


def _taken_over(source: bytes) -> Dataset:
    header = pydicom.dcmread(io.BytesIO(source), stop_before_pixels=True)
    film = Dataset()
    for keyword in PATIENT_AND_STUDY:
        setattr(film, keyword, _single(header.get(keyword)))
    for keyword in REFERENCE:
        setattr(film, keyword, UID(str(header.get(keyword) or "")))
    if film.PatientSex not in SEXES:
        film.PatientSex = ""
    return film


def _film_without_study(sha256: str) -> Dataset:
    film = Dataset()
    for keyword in PATIENT_AND_STUDY:
        setattr(film, keyword, "")
    for keyword in REFERENCE[:3]:
        setattr(film, keyword, generate_uid(entropy_srcs=[keyword, sha256]))
    film.SOPClassUID = SecondaryCaptureImageStorage
    return film


def _single(value: object) -> str:
    return "" if value is None else str(value)


def _no_reference() -> ImageError:
    return ImageError(
        "The film's DICOM header does not say which patient, study and image this is, "
        "or not as the standard demands, so no DICOM document can refer to it. Save "
        "the reading as PDF instead.",
        code="no-reference",
    )
