"""The film with its heat map as a DICOM picture (secondary capture).

It owns how an overlay leaves as DICOM: marked as derived, with the notice burned in
below the film, where it hides nothing.
"""

from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from cxr.films.film import recorded_warnings
from cxr.models.inference import Model
from cxr.reading.cases import Case
from cxr.reports.document import NOTICE, SAMPLE

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

STRIP = 1 / 18  # of the picture's width: the height of the strip with the notice
WIDEST = 0.94  # of the picture's width: the notice


def overlay(
    case: Case,
    model: Model,
    picture: NDArray[np.uint8],
    source: bytes | None = None,
    *,
    time: datetime,
) -> bytes:
    """Returns a picture of the film as a DICOM secondary capture.

    With the film's own DICOM file the picture belongs to its patient and study and
    refers to its image; else the patient is empty and the study a new one.

    Args:
        case: the film.
        model: that read it.
        picture: the film with its heat map, `uint8`, `(h, w, 3)` in RGB.
        source: the film's DICOM file; None for a PNG or JPEG.
        time: when the picture is made, with a time zone.

    Raises:
        ImageError: the DICOM file does not say which image it is (code `no-reference`).
        ValueError: the source is another film's file.
    """
    import highdicom

    from cxr.reports import study

    film = study.film_in_study(case.sha256, source)
    with recorded_warnings():  # which would name the patient
        document = highdicom.sc.SCImage(
            pixel_array=with_notice(picture),
            photometric_interpretation="RGB",
            bits_allocated=8,
            coordinate_system="PATIENT",
            patient_orientation=("L", "F"),
            study_instance_uid=film.StudyInstanceUID,
            series_instance_uid=highdicom.UID(),
            series_number=2,
            sop_instance_uid=highdicom.UID(),
            instance_number=1,
            manufacturer=study.MANUFACTURER,
            specific_character_set=study.UTF_8,
        )
        for keyword in study.PATIENT_AND_STUDY:
            setattr(document, keyword, film[keyword].value)
        _describe(document, case, model)
        if source is not None:
            document.SourceImageSequence = [study.reference(film)]
        study.stamp(document, time)
        return study.as_bytes(document)


def _describe(document: "Dataset", case: Case, model: Model) -> None:
    """Says what the picture is, and nothing that nobody has checked."""
    document.PatientOrientation = None
    document.BodyPartExamined = "CHEST"
    del document.DateOfSecondaryCapture, document.TimeOfSecondaryCapture
    document.ImageType = ["DERIVED", "SECONDARY"]
    document.BurnedInAnnotation = "YES"
    document.ManufacturerModelName = model.card.model_id
    document.DerivationDescription = (
        f"Heat map of model {model.card.model_id} (SHA-256 {model.sha256}) over the "
        f"film (SHA-256 {case.sha256}). {NOTICE}"
    )
    if case.sample:
        document.ImageComments = SAMPLE


def with_notice(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Returns the picture with the notice in a black strip below it.

    Args:
        picture: `uint8`, `(h, w, 3)`.
    """
    height, width = max(12, round(picture.shape[1] * STRIP)), picture.shape[1]
    strip = Image.new("RGB", (width, height))
    font: Any = ImageFont.load_default(100)
    size = min(WIDEST * width / font.getlength(NOTICE) * 100, 0.6 * height)
    ImageDraw.Draw(strip).text(
        (width / 2, height / 2),
        NOTICE,
        fill=(235, 235, 235),
        font=ImageFont.load_default(size),
        anchor="mm",
    )
    return np.concatenate([picture, np.asarray(strip)])
