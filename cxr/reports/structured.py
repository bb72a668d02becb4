"""A reading as a DICOM structured report, for an archive or a viewer.

It owns the content of the report: a measurement report (PS3.16, TID 1500) that is
preliminary, partial and unverified, with the probability, the threshold, the answer,
the reader's own answer, and the model that said it. Nothing in it is a finding.
"""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from cxr import __version__
from cxr.errors import ImageError
from cxr.films.film import recorded_warnings
from cxr.models.inference import Model
from cxr.names import printable
from cxr.reading.cases import Case
from cxr.reports.document import NOTICE, SAMPLE

if TYPE_CHECKING:
    from pydicom.dataset import Dataset
    from pydicom.sr.coding import Code

SCHEME = "99CXR"  # our own codes: no standard has words for a threshold
MODEL_PARAMETER = "model SHA-256: "
FILM_COMMENT = "SHA-256 of the film's file: "


def report(
    case: Case, model: Model, source: bytes | None = None, *, time: datetime
) -> bytes:
    """Returns the structured report on one film as a DICOM file.

    With the film's own DICOM file the report belongs to its patient and study and
    refers to its image. Without it the patient is empty, the study is a new one, and
    the film is named by its hash.

    Args:
        case: the film.
        model: that read it.
        source: the film's DICOM file; None for a PNG or JPEG.
        time: when the report is made, with a time zone.

    Raises:
        ImageError: the DICOM file does not say which image it is (code `no-reference`).
        ValueError: the source is another film's file.
    """
    import highdicom

    from cxr.reports import study

    film = study.film_in_study(case.sha256, source)
    with recorded_warnings():  # which would name the patient
        document = highdicom.sr.EnhancedSR(
            evidence=[film],
            content=_content(case, model, film if source else None)[0],
            series_instance_uid=highdicom.UID(),
            series_number=1,
            sop_instance_uid=highdicom.UID(),
            instance_number=1,
            manufacturer=study.MANUFACTURER,
            specific_character_set=study.UTF_8,
        )
        if source is None:  # there is no such image: only a file, named by its hash
            del document.CurrentRequestedProcedureEvidenceSequence
        study.stamp(document, time)
        return study.as_bytes(document)


def _content(case: Case, model: Model, film: "Dataset | None") -> Any:
    from highdicom import sr
    from pydicom.sr.codedict import codes
    from pydicom.sr.coding import Code
    from pydicom.uid import generate_uid

    device = sr.DeviceObserverIdentifyingAttributes(
        uid=generate_uid(entropy_srcs=[model.sha256]),
        name="cxr",
        model_name=model.card.model_id,
    )
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(
            observer_device_context=sr.ObserverContext(codes.DCM.Device, device)
        ),
        procedure_reported=Code("399208008", "SCT", "Plain chest X-ray"),
        imaging_measurements=[_measured(case, model, film)],
    )
    for sentence in _comments(case):
        comment = sr.TextContentItem(
            codes.DCM.Comment, printable(sentence), sr.RelationshipTypeValues.CONTAINS
        )
        content[0].ContentSequence.append(comment)
    return content


def _measured(case: Case, model: Model, film: "Dataset | None") -> Any:
    """Returns the group of measurements and answers of the film (TID 1501)."""
    import highdicom
    from highdicom import sr

    images = None
    if film is not None:
        image = sr.SourceImageForMeasurementGroup(film.SOPClassUID, film.SOPInstanceUID)
        images = [image]
    answers = [("ANSWER", "Answer of the model", case.answer)]
    answers.append(("SOURCE", "Whose threshold", case.threshold_source))
    if case.review is not None:
        answers.append(("REVIEW", "Reader's answer", case.review.opinion))
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(
            highdicom.UID(), f"film {case.sha256[:16]}"
        ),
        algorithm_id=sr.AlgorithmIdentification(
            name=model.card.model_id,
            version=f"cxr {__version__}",
            parameters=[f"{MODEL_PARAMETER}{model.sha256}"],
        ),
        measurements=_measurements(case, model) or None,
        qualitative_evaluations=[
            sr.QualitativeEvaluation(_code(name, words), _code(value.upper(), value))
            for name, words, value in answers
        ],
        source_images=images,
    )


def _measurements(case: Case, model: Model) -> list[Any]:
    """Returns probability, threshold and the zone without an answer; or nothing."""
    from highdicom import sr
    from pydicom.sr.codedict import codes

    result = case.reading.result
    if isinstance(result, ImageError):
        return []
    low, high = model.band(case.threshold)
    values = (
        ("PROBABILITY", "Probability of pneumonia", result.probability),
        ("THRESHOLD", "Threshold", case.threshold),
        ("NO_ANSWER_FROM", "No answer from this probability on", low),
        ("NO_ANSWER_BELOW", "No answer below this probability", high),
    )
    return [
        sr.Measurement(_code(name, words), value, codes.UCUM.NoUnits)
        for name, words, value in values
    ]


def _comments(case: Case) -> tuple[str, ...]:
    result, review = case.reading.result, case.review
    comments = [NOTICE, f"{FILM_COMMENT}{case.sha256}"]
    if case.sample:
        comments.append(SAMPLE)
    if isinstance(result, ImageError):
        comments.append(f"Refused: {result.message} ({result.code})")
    if review is not None and review.reason:
        comments.append(f"The reader's reason: {review.reason}")
    return (*comments, *case.reading.cautions, *case.reading.warnings)


def _code(value: str, meaning: str) -> "Code":
    from pydicom.sr.coding import Code

    return Code(value.replace(" ", "_"), SCHEME, meaning)
