"""The sample films that ship: which they are, whose, and whether they are unchanged.

They are public films of other children, by the SHA-256 of their bytes. A film is a
sample wherever it comes from, if its bytes are those of a sample.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cxr import documents
from cxr.config import ROOT
from cxr.errors import CxrError

FOLDER = ROOT / "samples"
MANIFEST = "manifest.json"
SOURCE = (
    "Kermany, Zhang, Goldbaum: Labeled Optical Coherence Tomography (OCT) and "
    "Chest X-Ray Images for Classification. Mendeley Data, doi 10.17632/rscbjbr9sj"
)
LICENCE = "CC BY 4.0"
CHANGE = "reduced and made grey"


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One sample film.

    Attributes:
        file: its name in the folder; it does not tell the label.
        sha256: of its bytes.
        label: what the data set calls it, such as "pneumonia, viral".
        patient: films of one patient, or of what may be one, share it.
        source: the film of the data set that it was made of, by its path there.
    """

    file: str
    sha256: str
    label: str
    patient: str
    source: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What is in the folder.

    Attributes:
        model_id: the model on whose test patients the films were chosen.
        samples: in the order in which they are offered.
    """

    model_id: str
    samples: tuple[Sample, ...]


def manifest(folder: Path = FOLDER) -> Manifest:
    """Returns what the folder of the samples says that it holds.

    Args:
        folder: of the samples.

    Raises:
        CxrError: it can't be read (code `samples`).
    """
    try:
        return documents.read(folder / MANIFEST, Manifest)
    except (OSError, ValueError) as error:
        raise CxrError(
            f"The list of the sample films, {folder.name}/{MANIFEST}, is missing or "
            "damaged. No sample film is read.",
            code="samples",
        ) from error


def contents(folder: Path = FOLDER) -> dict[Sample, bytes]:
    """Returns each sample with the bytes of its file, all of them or none.

    Args:
        folder: of the samples.

    Raises:
        CxrError: a file is missing, or its bytes are not those that shipped (code
            `samples`); the sentence names it.
    """
    return {s: _content(s, folder) for s in manifest(folder).samples}


def sample_of(sha256: str) -> Sample | None:
    """Returns the shipped sample with such bytes; None if there is none.

    Args:
        sha256: of a film's bytes.
    """
    return _by_sha256().get(sha256)


def _content(sample: Sample, folder: Path) -> bytes:
    try:
        content = (folder / sample.file).read_bytes()
    except OSError as error:
        raise CxrError(
            f"The sample film {sample.file} can't be opened. No sample film is read.",
            code="samples",
        ) from error
    if hashlib.sha256(content).hexdigest() != sample.sha256:
        raise CxrError(
            f"The sample film {sample.file} is not the one that ships: its SHA-256 is "
            "another one. No sample film is read.",
            code="samples",
        )
    return content


@cache
def _by_sha256() -> dict[str, Sample]:
    try:
        return {sample.sha256: sample for sample in manifest().samples}
    except CxrError:
        # No film can be told to be a sample then, and none is offered as one.
        return {}
