"""A folder or manifest of labelled films: table, patients, splits, fingerprint.

Three layouts are read: `train|val|test` over `NORMAL|PNEUMONIA`, the two class folders
alone, and a CSV manifest with the columns path and label, and patient and split if
known. Nothing is ever moved, renamed or deleted.
"""

import csv
import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cxr.errors import DatasetError

CLASSES = ("NORMAL", "PNEUMONIA")
FOLDER_SPLITS = ("train", "val", "test")
SUFFIXES = (".png", ".jpg", ".jpeg", ".dcm")
# By label. A lone IM-0001-0001 is no sign: viewers export other films by that name.
_KERMANY_NAMES = (
    re.compile(r"(NORMAL2-)?IM-\d+-\d+(-\d+)*"),
    re.compile(r"person\d+_(bacteria|virus)_\d+(_\d+)?"),
)
SPLITS = {"train": 0.68, "validation": 0.12, "calibration": 0.08, "test": 0.12}


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where the films of a data folder come from.

    Attributes:
        name: of the data set.
        source: citation, or what is known.
        licence: of the films.
        population: whose films they are; goes on the card of every model.
        age_years: youngest and oldest patient, the second excluded; None if unknown.
    """

    name: str
    source: str
    licence: str
    population: str
    age_years: tuple[float, float] | None = None


KERMANY = Origin(
    name="Chest X-Ray Images (Pneumonia), training folder",
    source=(
        "Kermany, Zhang, Goldbaum: Labeled Optical Coherence Tomography (OCT) and "
        "Chest X-Ray Images for Classification. Mendeley Data, "
        "doi 10.17632/rscbjbr9sj"
    ),
    licence="CC BY 4.0",
    population=(
        "Children of 1 to 5 years, frontal films, Guangzhou Women and Children's "
        "Medical Center; films of low quality were removed before labelling"
    ),
    age_years=(1.0, 6.0),
)


@dataclass(frozen=True, kw_only=True)
class LabelledFilm:
    """One film of a data set.

    Attributes:
        path: where the file is.
        name: the path below the data folder, with forward slashes; identifies the film.
        label: 1 for PNEUMONIA, 0 for NORMAL.
        patient_id: films of one patient, or of what may be one, share it.
        split: the split that the folder or manifest gives, if any.
        subtype: `bacterial` or `viral` where the file name tells, else None.
        sha256: of the file's bytes; empty until `with_hashes` has read them.
    """

    path: Path
    name: str
    label: int
    patient_id: str
    split: str | None = None
    subtype: str | None = None
    sha256: str = ""


def scan(source: Path, *, limit: Path | None = None) -> list[LabelledFilm]:
    """Returns the films of a data folder or manifest, sorted by name, still unread.

    Args:
        source: the data folder or manifest.
        limit: the only folder below which films may lie, whatever a manifest or a link
            says; None for any.

    Raises:
        DatasetError: there is nothing there, it has none of the three layouts, or a
            film lies outside the limit (code `outside-data-folder`).
    """
    if source.suffix.lower() == ".csv":
        films = list(_from_manifest(source, limit))
    elif source.is_dir():
        films = list(_from_folders(source, limit))
    else:
        raise DatasetError(f"There is no data folder or manifest at {source}.")
    if not films:
        raise DatasetError(
            f"{source} holds no films. Expected the folders NORMAL and PNEUMONIA "
            "(alone or inside train, val and test), or a CSV manifest with the "
            "columns path and label."
        )
    return sorted(films, key=lambda film: film.name)


def patient_of(file_name: str, label: int) -> str:
    """Returns the patient that a file name of the Kermany data set stands for.

    `person12_bacteria_45.jpeg` and `person12_virus_3.jpeg` may or may not be the same
    child, nor are the two series of normal films known to be apart: both are grouped.
    A name that tells nothing is a patient of its own.
    """
    stem = Path(file_name).stem
    if match := re.match(r"person(\d+)_(bacteria|virus)_", stem):
        return f"{CLASSES[label].lower()}-person{int(match[1])}"
    if match := re.match(r"(?:NORMAL2-)?IM-(\d+)-", stem):
        return f"{CLASSES[label].lower()}-im{int(match[1])}"
    return f"{CLASSES[label].lower()}-{stem}"


def origin(films: Sequence[LabelledFilm]) -> Origin:
    """Returns the Kermany data set if all file names are its own, else what is known.

    A population is never guessed for films that came from somewhere else: both classes
    have to be there, each under the names that it has in that data set.
    """
    named = all(_KERMANY_NAMES[f.label].fullmatch(f.path.stem) for f in films)
    if named and {film.label for film in films} == {0, 1}:
        return KERMANY
    return Origin(
        name="local data folder",
        source="not stated",
        licence="not stated",
        population="Not stated: the films of one local data folder",
    )


def with_hashes(films: Sequence[LabelledFilm]) -> list[LabelledFilm]:
    """Returns the films with their SHA-256, byte-equal copies under one patient.

    The same file is filed under two patients in this data set; in two splits it would
    be a leak. Reading is all that is done to the files.

    Raises:
        DatasetError: a file can't be opened.
    """
    with ThreadPoolExecutor() as threads:
        digests = list(threads.map(_digest, (film.path for film in films)))
    hashed = [replace(f, sha256=d) for f, d in zip(films, digests, strict=True)]
    return join_copies(hashed)


def join_copies(films: Sequence[LabelledFilm]) -> list[LabelledFilm]:
    """Returns the hashed films, byte-equal copies under one patient.

    A film without hash is a copy of none.
    """
    root: dict[str, str] = {film.patient_id: film.patient_id for film in films}

    def find(patient: str) -> str:
        while root[patient] != patient:
            patient = root[patient]
        return patient

    first: dict[str, str] = {}
    for film in films:
        if film.sha256:
            other = first.setdefault(film.sha256, film.patient_id)
            low, high = sorted((find(other), find(film.patient_id)))
            root[high] = low
    return [replace(film, patient_id=find(film.patient_id)) for film in films]


def fingerprint(films: Iterable[LabelledFilm]) -> str:
    """Returns the SHA-256 that stands for this data: contents, labels, patients."""
    lines = sorted(f"{f.sha256} {f.label} {f.patient_id}" for f in films)
    # A file name, and a patient made from it, can hold bytes that are no UTF-8.
    text = "\n".join(lines).encode("utf-8", "surrogateescape")
    return hashlib.sha256(text).hexdigest()


def split_by_patient(
    films: Sequence[LabelledFilm], *, seed: int, fractions: dict[str, float] = SPLITS
) -> dict[str, list[LabelledFilm]]:
    """Returns train, validation, calibration and test films, no patient in two.

    Patients with normal films, with pneumonia, and with both are shuffled and dealt out
    apart, by their number of films, so each split gets its fraction of each of the
    three to within one patient. The same films and seed give the same split on every
    machine, whatever the order of `films`.

    Raises:
        DatasetError: a class has too few patients to be in every split.
    """
    patients: dict[str, list[LabelledFilm]] = defaultdict(list)
    for film in films:
        patients[film.patient_id].append(film)
    # A patient who is dealt out whole can't be ill in one split and well in another.
    strata: dict[tuple[int, ...], dict[str, list[LabelledFilm]]] = defaultdict(dict)
    for patient, theirs in patients.items():
        strata[tuple(sorted({film.label for film in theirs}))][patient] = theirs
    for label, name in enumerate(CLASSES):
        found = sum(len(part) for labels, part in strata.items() if label in labels)
        if found < len(fractions):
            raise DatasetError(
                f"{name} has {found} patients; at least {len(fractions)} are needed, "
                "one for each split."
            )
    splits: dict[str, list[LabelledFilm]] = {name: [] for name in fractions}
    for stratum in strata.values():
        for name, dealt in _deal(stratum, fractions, seed).items():
            splits[name] += dealt
    return {name: sorted(part, key=lambda f: f.name) for name, part in splits.items()}


def _from_folders(root: Path, limit: Path | None) -> Iterable[LabelledFilm]:
    for split in (None, *FOLDER_SPLITS):
        for label, name in enumerate(CLASSES):
            folder = root / name if split is None else root / split / name
            for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
                if path.suffix.lower() in SUFFIXES and path.is_file():
                    _require_below(path, limit)
                    yield _film(path, root, label, split)


def _require_below(path: Path, limit: Path | None) -> None:
    if limit is not None and not path.resolve().is_relative_to(limit.resolve()):
        raise DatasetError(
            f"The film {path.name} lies outside the data that this app may read "
            "(CXR_DATA_DIR).",
            code="outside-data-folder",
        )


def _film(path: Path, root: Path, label: int, split: str | None) -> LabelledFilm:
    found = re.search(r"_(bacteria|virus)_", path.name)
    subtypes = {"bacteria": "bacterial", "virus": "viral"}
    return LabelledFilm(
        path=path,
        name=path.relative_to(root).as_posix(),
        label=label,
        patient_id=patient_of(path.name, label),
        split=split,
        subtype=subtypes[found[1]] if found and label else None,
    )


def _from_manifest(manifest: Path, limit: Path | None) -> Iterable[LabelledFilm]:
    try:
        with manifest.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"The manifest {manifest} can't be read.") from error
    for number, row in enumerate(rows, start=2):
        label = (row.get("label") or "").strip().upper()
        label = {"0": CLASSES[0], "1": CLASSES[1]}.get(label, label)
        path = manifest.parent / (row.get("path") or "")
        # Before it is looked at: what is there outside is nobody's business.
        _require_below(path, limit)
        if label not in CLASSES or not path.is_file():
            raise DatasetError(
                f"Line {number} of {manifest.name}: expected an existing path and the "
                f"label NORMAL or PNEUMONIA, received {row.get('path')!r} and "
                f"{row.get('label')!r}."
            )
        film = _film(path, path.parent, CLASSES.index(label), row.get("split") or None)
        yield replace(
            film, name=row["path"], patient_id=row.get("patient") or film.patient_id
        )


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise DatasetError(f"The film {path} can't be opened.") from error


def _deal(
    patients: dict[str, list[LabelledFilm]], fractions: dict[str, float], seed: int
) -> dict[str, list[LabelledFilm]]:
    order = sorted(patients)
    np.random.default_rng(seed).shuffle(order)
    total = sum(map(len, patients.values()))
    dealt: dict[str, list[LabelledFilm]] = {name: [] for name in fractions}
    for patient in order:
        # The split that is furthest behind its share takes the next patient.
        share = {name: len(dealt[name]) / total / fractions[name] for name in fractions}
        dealt[min(share, key=lambda name: share[name])] += patients[patient]
    return dealt
