"""A secondary capture, read back: the picture whole, the notice below it, derived."""

import io

import numpy as np
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

from cxr.models import inference
from cxr.reports import capture

PICTURE = np.random.default_rng(0).integers(0, 256, (180, 301, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    register_tiny_model(folder)
    return inference.load(folder)


def captured(model, film, source=None, picture=PICTURE):
    case = case_of(model, film, sample=True)
    return capture.overlay(case, model, picture, source, time=NOW)


def test_the_picture_is_whole_and_the_notice_stands_below_it(model):
    document = pydicom.dcmread(io.BytesIO(captured(model, png_film())))
    pixels = document.pixel_array
    assert np.array_equal(pixels[:180], PICTURE)
    strip = pixels[180:]
    assert strip.shape[0] >= 12 and (strip > 128).any()
    assert (strip[:, :2] == 0).all() and (strip[:, -2:] == 0).all()
    assert document.BurnedInAnnotation == "YES"
    assert document.ImageType == ["DERIVED", "SECONDARY"]
    assert "never a diagnosis" in document.SeriesDescription
    assert model.sha256 in document.DerivationDescription
    assert document.ImageComments.startswith("Sample film")
    assert (document.ContentDate, document.ContentTime) == ("20261127", "083000")
    assert document.PatientName == document.PatientID == ""


@pytest.mark.parametrize("width", [60, 1400])
def test_the_notice_fits_any_width(width):
    strip = capture.with_notice(np.zeros((10, width, 3), np.uint8))[10:]
    assert (strip[:, 0] == 0).all() and (strip[:, -1] == 0).all()
    assert (strip > 60).any()


def test_it_belongs_to_the_study_of_its_film(model):
    film = dicom_film()
    document = pydicom.dcmread(io.BytesIO(captured(model, film, film)))
    source = pydicom.dcmread(io.BytesIO(film))
    assert document.StudyInstanceUID == UIDS["StudyInstanceUID"]
    assert document.PatientID == source.PatientID
    (reference,) = document.SourceImageSequence
    assert reference.ReferencedSOPInstanceUID == source.SOPInstanceUID


@pytest.mark.parametrize("elements", ODD_HEADERS)
def test_odd_patients_are_taken_over_in_silence(model, elements):
    film = dicom_film(**elements)
    document = pydicom.dcmread(io.BytesIO(captured(model, film, film)))
    assert document.PatientName == (elements.get("PatientName", "CANARY^NAME") or "")


def test_no_picture_holds_the_name_of_a_file(model):
    film = dicom_film()
    assert b"FILE-CANARY" not in captured(model, film, film)
    assert b"CANARY" not in captured(model, film)


@needs_dciodvfy
def test_dciodvfy_has_no_objection(model, tmp_path):
    film = dicom_film()
    assert errors_of(captured(model, film, film), tmp_path) == []
    assert errors_of(captured(model, png_film()), tmp_path) == []
