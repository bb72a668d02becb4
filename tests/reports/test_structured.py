"""A structured report, read back: its film's patient, measurements, no finding."""

import io

import highdicom
import pydicom
import pytest
from dicom_documents import (
    NOW,
    ODD_HEADERS,
    UIDS,
    case_of,
    dicom_film,
    errors_of,
    needs_dciodvfy,
    png_film,
)
from tiny_model import register_tiny_model

from cxr.errors import ImageError
from cxr.models import inference
from cxr.reading.cases import Review
from cxr.records import kept
from cxr.reports import structured
from cxr.reports.document import NOTICE, SAMPLE

REASON = "\u738b says: base hidden\n\udcff"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    register_tiny_model(folder)
    return inference.load(folder)


@pytest.fixture(scope="module")
def film():
    return dicom_film()


@pytest.fixture(scope="module")
def case(model, film):
    return case_of(
        model, film, review=Review(opinion=kept.DISAGREE, reason=REASON), sample=True
    )


def read(content):
    document = pydicom.dcmread(io.BytesIO(content))
    return highdicom.sr.EnhancedSR.from_dataset(document)


def group_of(document):
    """The one measurement group of a report."""
    report = highdicom.sr.MeasurementReport.from_sequence([document])
    (group,) = report.get_image_measurement_groups()
    return group


def comments(document):
    items = [item for item in document.ContentSequence if item.ValueType == "TEXT"]
    names = [item.ConceptNameCodeSequence[0].CodeMeaning for item in items]
    return [
        item.TextValue
        for item, name in zip(items, names, strict=True)
        if name == "Comment"
    ]


def test_the_report_holds_what_was_measured_and_by_what(case, model, film):
    document = read(structured.report(case, model, film, time=NOW))
    group = group_of(document)
    measured = {m.name.value: m for m in group.get_measurements()}
    low, high = model.band(0.4)
    assert {name: m.value for name, m in measured.items()} == pytest.approx(
        {
            "PROBABILITY": case.reading.result.probability,
            "THRESHOLD": 0.4,
            "NO_ANSWER_FROM": low,
            "NO_ANSWER_BELOW": high,
        }
    )
    assert {m.unit.meaning for m in measured.values()} == {"no units"}
    answers = {
        e.name.value: e.value.meaning for e in group.get_qualitative_evaluations()
    }
    assert answers == {
        "ANSWER": kept.BELOW,
        "SOURCE": "shipped",
        "REVIEW": kept.DISAGREE,
    }
    text = str(document)
    assert "tiny-1" in text
    values = [item.get("TextValue") for item in group[0].ContentSequence]
    assert f"{structured.MODEL_PARAMETER}{model.sha256}" in values
    assert group.finding_type is None


def test_nothing_in_it_is_final(case, model, film):
    document = read(structured.report(case, model, film, time=NOW))
    assert document.PreliminaryFlag == "PRELIMINARY"
    assert document.VerificationFlag == "UNVERIFIED"
    assert document.CompletionFlag == "PARTIAL"
    assert "never a diagnosis" in document.SeriesDescription
    assert (document.ContentDate, document.ContentTime) == ("20261127", "083000")
    said = comments(document)
    assert said[0] == NOTICE
    assert f"{structured.FILM_COMMENT}{case.sha256}" in said
    assert SAMPLE in said
    assert "The reader's reason: \u738b says: base hidden\\n\\udcff" in said


def test_it_belongs_to_the_patient_and_study_of_its_film(case, model, film):
    document = read(structured.report(case, model, film, time=NOW))
    source = pydicom.dcmread(io.BytesIO(film))
    assert document.StudyInstanceUID == UIDS["StudyInstanceUID"]
    assert document.SeriesInstanceUID != UIDS["SeriesInstanceUID"]
    assert document.PatientName == source.PatientName
    assert document.PatientID == source.PatientID
    (image,) = group_of(document).source_images
    assert image.referenced_sop_instance_uid == source.SOPInstanceUID
    (evidence,) = document.CurrentRequestedProcedureEvidenceSequence
    (series,) = evidence.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == UIDS["SeriesInstanceUID"]


def test_without_a_dicom_film_it_stands_alone(model):
    case = case_of(model, png_film())
    first, second = (read(structured.report(case, model, time=NOW)) for _ in range(2))
    assert first.PatientName == first.PatientID == ""
    assert first.StudyInstanceUID == second.StudyInstanceUID
    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert "CurrentRequestedProcedureEvidenceSequence" not in first
    assert group_of(first).source_images in ([], None)
    assert f"{structured.FILM_COMMENT}{case.sha256}" in comments(first)


def test_a_refused_film_has_no_measurement_but_its_reason(model):
    document = read(structured.report(case_of(model, b"a letter"), model, time=NOW))
    group = group_of(document)
    assert group.get_measurements() == []
    assert any("not-an-image" in comment for comment in comments(document))


def test_no_report_holds_the_name_of_a_file(case, model, film):
    assert b"FILE-CANARY" not in structured.report(case, model, film, time=NOW)
    assert b"CANARY" not in structured.report(case, model, time=NOW)


def test_another_film_cannot_give_its_patient(case, model):
    with pytest.raises(ValueError, match="another one"):
        structured.report(case, model, dicom_film(PatientID="8"), time=NOW)


@pytest.mark.parametrize(
    "elements",
    [
        {"StudyInstanceUID": None},
        {"SeriesInstanceUID": ""},
        {"StudyInstanceUID": "not.a.uid"},
    ],
)
def test_a_header_that_names_no_study_is_a_named_error(model, elements):
    film = pydicom.dcmread(io.BytesIO(dicom_film()))
    stream = io.BytesIO()
    for keyword, value in elements.items():
        del film[keyword]
        if value is not None:
            film.add(pydicom.DataElement(keyword, "UI", value, validation_mode=0))
    film.save_as(stream)
    content = stream.getvalue()
    with pytest.raises(ImageError) as caught:
        structured.report(case_of(model, content), model, content, time=NOW)
    assert caught.value.code == "no-reference"


@pytest.mark.parametrize("elements", ODD_HEADERS)
def test_odd_patients_are_taken_over_in_silence(model, elements):
    film = dicom_film(**elements)
    document = read(structured.report(case_of(model, film), model, film, time=NOW))
    assert document.PatientName == (elements.get("PatientName", "CANARY^NAME") or "")


@needs_dciodvfy
def test_dciodvfy_has_no_objection(case, model, film, tmp_path):
    for content in (
        structured.report(case, model, film, time=NOW),
        structured.report(case_of(model, png_film()), model, time=NOW),
        structured.report(case_of(model, b"a letter"), model, time=NOW),
    ):
        assert errors_of(content, tmp_path) == []
