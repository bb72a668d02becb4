"""What a file says of its patient, planted wherever it can stand, comes out nowhere.

Films with canaries in tags, EXIF, PNG text and file names are read by the command line
with real decoders, whole and damaged, and kept with their pictures. Then every byte of
every file that was written is searched, and so is the log.
"""

import hashlib
import io
import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pydicom
import pytest
from PIL import Image, PngImagePlugin
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from synthetic_films import as_dicom, chest_phantom, parsed, written
from tiny_model import register_tiny_model

from cxr.config import ROOT
from cxr.films.film import read_film
from cxr.records import films, search
from cxr.records.search import Query
from cxr.reports import history as reports

NAME, NUMBER, BORN = "QUAXNAME", "QUAX4711ID", "18791103"
PLACE, HOUSE, WORDS = "QUAXGPS", "QUAXHOSPITAL", "QUAXWORDS"
CANARIES = (NAME, NUMBER, BORN, PLACE, HOUSE, WORDS)
GPS, GPS_LATITUDE, GPS_DATUM = 0x8825, 0x0002, 0x0012


def dicom() -> bytes:
    dataset = parsed(
        as_dicom(
            chest_phantom(),
            PatientName=NAME,
            PatientID=NUMBER,
            IssuerOfPatientID=HOUSE,
            PatientBirthDate=BORN,
            InstitutionName=HOUSE,
            InstitutionAddress=PLACE,
            ReferringPhysicianName=NAME,
            StudyDescription=WORDS,
            AccessionNumber=NUMBER,
            StationName=HOUSE,
            PatientComments=WORDS,
            OtherPatientIDs=NUMBER,
        )
    )
    other = Dataset()
    other.PatientID = NUMBER
    dataset.OtherPatientIDsSequence = Sequence([other])
    dataset.add(pydicom.DataElement(0x00091010, "LO", WORDS))  # a private element
    return written(dataset)


def png() -> bytes:
    notes = PngImagePlugin.PngInfo()
    notes.add_text("Author", NAME)
    notes.add_itxt("Comment", WORDS)
    notes.add_text("Patient", NUMBER, zip=True)
    stream = io.BytesIO()
    image = Image.fromarray(chest_phantom().astype("uint8"))
    image.save(stream, "PNG", pnginfo=notes, exif=_exif())
    return stream.getvalue()


def jpeg() -> bytes:
    stream = io.BytesIO()
    image = Image.fromarray(chest_phantom().astype("uint8"))
    image.save(stream, "JPEG", exif=_exif(), comment=WORDS.encode())
    return stream.getvalue()


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x010E], exif[0x013B], exif[0x8298] = WORDS, NAME, HOUSE
    exif.get_ifd(GPS)[GPS_LATITUDE] = (47.0, 22.0, 18.79)
    exif.get_ifd(GPS)[GPS_DATUM] = PLACE
    return exif


def damaged(content: bytes) -> dict[str, bytes]:
    """A file as it is, cut short, and with numbers that are text."""
    return {
        "whole": content,
        "cut": content[:-200],
        "odd": content.replace(b"DX", b"QU").replace(b"004Y", NAME[:4].encode()),
    }


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path | bytes]:
    """All of them read and kept; the folders that were written, and the log."""
    place = tmp_path_factory.mktemp("canaries")
    register_tiny_model(place / "models")
    incoming = place / "in" / f"{NAME}_{NUMBER}"
    incoming.mkdir(parents=True)
    for kind, content in (("dcm", dicom()), ("png", png()), ("jpg", jpeg())):
        for state, data in damaged(content).items():
            (incoming / f"{NAME}-{BORN}-{state}.{kind}").write_bytes(data)
    written_to = {name: place / name for name in ("records", "cache", "runs", "tmp")}
    written_to["tmp"].mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "cxr", "classify", str(place / "in"), "--stability"],
        cwd=ROOT,
        env={
            **os.environ,
            "CXR_MODELS_DIR": str(place / "models"),
            "CXR_RECORDS_DIR": str(written_to["records"]),
            "CXR_CACHE_DIR": str(written_to["cache"]),
            "CXR_RUNS_DIR": str(written_to["runs"]),
            "CXR_KEEP_FILMS": "yes",
            "TMPDIR": str(written_to["tmp"]),
        },
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == 1, done.stderr  # some were refused
    return {**written_to, "log": done.stderr}


def bytes_written(place: Path) -> bytes:
    files = [path for path in sorted(place.rglob("*")) if path.is_file()]
    return b"".join(path.read_bytes() for path in files)


def named_in(content: bytes) -> list[str]:
    """The canaries in a content, as text of one or two bytes a letter, in any case."""
    low = content.lower()
    return [
        canary
        for canary in CANARIES
        if canary.lower().encode() in low or canary.lower().encode("utf-16-le") in low
    ]


def test_the_search_finds_what_is_there():
    assert named_in(dicom()) == [NAME, NUMBER, BORN, PLACE, HOUSE, WORDS]
    assert named_in(jpeg()) == [NAME, PLACE, HOUSE, WORDS]
    assert named_in(NAME.encode("utf-16")) == [NAME]


def test_case_i1_no_file_that_was_written_names_a_patient(read):
    for name in ("records", "cache", "runs", "tmp"):
        assert named_in(bytes_written(read[name])) == [], name
    assert len(search.cases(read["records"])) == 9


def test_case_i1_the_log_names_no_patient(read):
    assert named_in(read["log"]) == []


def test_case_i1_digests_of_film_and_patient_are_kept_under_the_secret_alone(read):
    content = bytes_written(read["records"])
    assert (patient := read_film(dicom()).patient)
    for digest in (
        patient,
        hashlib.sha256(NUMBER.encode()).hexdigest(),
        hashlib.sha256(dicom()).hexdigest(),
        hashlib.sha256(png()).hexdigest(),
    ):
        assert digest[:16].encode() not in content
        assert bytes.fromhex(digest)[:8] not in content


@pytest.mark.parametrize("kind", [reports.CSV, reports.PARQUET, reports.MANIFEST])
def test_case_i1_no_export_names_a_patient(read, kind):
    target = io.BytesIO()
    reports.export(read["records"], Query(), target, actor="ann", kind=kind)
    content = target.getvalue()
    assert named_in(content) == []
    if kind == reports.PARQUET:
        from pyarrow import parquet

        rows = parquet.read_table(io.BytesIO(content)).to_pylist()
        assert named_in(json.dumps(rows).encode()) == []


def test_case_i1_no_case_shown_names_a_patient(read):
    for case in search.cases(read["records"]):
        shown = reports.document(read["records"], case)
        events = search.events_of(read["records"], case.case_id)
        assert named_in(json.dumps(shown).encode()) == []
        assert named_in(repr((case, events)).encode()) == []


def test_case_i2_a_kept_film_has_neither_gps_nor_thumbnail(read):
    kept = sorted((read["records"] / films.FOLDER).iterdir())
    assert kept
    for path in kept:
        content, place, chunks = path.read_bytes(), 8, set()
        while place < len(content):
            length, kind = struct.unpack_from(">I4s", content, place)
            chunks.add(kind)
            place += length + 12
        assert chunks == {b"IHDR", b"IDAT", b"IEND"}
        with Image.open(path) as image:
            assert image.mode == "L" and image.info == {}
