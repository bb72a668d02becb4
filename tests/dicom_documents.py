"""What the tests of DICOM documents share: cases, and the check by `dciodvfy`."""

import hashlib
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import generate_uid
from synthetic_films import as_dicom, as_png, chest_phantom
from tiny_model import PoolHere

from cxr.models.inference import Model
from cxr.reading import cases, scoring
from cxr.reading.cases import Case

NOW = datetime(2026, 11, 27, 8, 30, tzinfo=UTC)
UIDS = {"StudyInstanceUID": generate_uid(), "SeriesInstanceUID": generate_uid()}
DCIODVFY = shutil.which("dciodvfy")
needs_dciodvfy = pytest.mark.skipif(
    DCIODVFY is None, reason="dciodvfy (Debian's dicom3tools) is not installed"
)
ODD_HEADERS: list[dict[str, Any]] = [
    {"PatientName": None, "PatientID": None},
    {"PatientSex": "X", "StudyDate": ""},
    {"PatientName": "JaneDoe", "StudyID": " 7 "},
    {"SpecificCharacterSet": "ISO_IR 100", "PatientName": "M\u00fcller^J\u00f6rg"},
]


def dicom_film(**elements: Any) -> bytes:
    return as_dicom(chest_phantom(224, 224), **(UIDS | elements))


def png_film() -> bytes:
    return as_png(chest_phantom(224, 224))


def case_of(model: Model, content: bytes, **changes: Any) -> Case:
    reading = scoring.read_one(model, PoolHere(), content, lungs=None, picture_edge=200)
    values = {
        "name": "FILE-CANARY.dcm",
        "sha256": hashlib.sha256(content).hexdigest(),
        "reading": reading,
        "threshold": 0.4,
        "threshold_source": "shipped",
        "answer": cases.answer(reading, model, 0.4),
    }
    return Case(**(values | changes))


def errors_of(document: bytes, folder: Path) -> list[str]:
    """The errors that `dciodvfy` finds; it must have known what the file is."""
    path = folder / "document.dcm"
    path.write_bytes(document)
    done = subprocess.run(
        [str(DCIODVFY), str(path)], capture_output=True, text=True, timeout=60
    )
    lines = done.stderr.splitlines()
    assert {"EnhancedSR", "SCImage"} & {*lines}
    return [line for line in lines if line.startswith(("Error", "Abort"))]
