"""A folder or manifest of labelled films: table, patients, splits, fingerprint.

Three layouts are read: `train|val|test` over `NORMAL|PNEUMONIA`, the two class folders
alone, and a CSV manifest with the columns path and label, and patient, split and place
if known. What lies there and is not taken is counted and named, by its reason. Nothing
is ever moved, renamed or deleted.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from cxr import data_folder, names
from cxr.datasets import manifests
from cxr.datasets.patients import Patients
from cxr.datasets.words import CLASSES, label_of, split_of
from cxr.errors import DatasetError
from cxr.films import kinds

NO_FILM = "no film: another kind of file"
COMPANION = "no film: it came along with other files"
NO_CLASS = "in no folder that names a class"
MOST_EXAMPLES = 5
HOME = "home"  # in a manifest the same as no place
# By label. A lone IM-0001-0001 is no sign: viewers export other films by that name.
_KERMANY_NAMES = (
    re.compile(r"(NORMAL2-)?IM-\d+-\d+(-\d+)*"),
    re.compile(r"person\d+_(bacteria|virus)_\d+(_\d+)?"),
)


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
        joined_from: the patient that its name or manifest gives, where a byte-equal
            copy joined that one with `patient_id`; else empty.
        place: the other place that it comes from, as the manifest names it; empty for
            a film of home, whose films decide about calibration and threshold.
    """

    path: Path
    name: str
    label: int
    patient_id: str
    split: str | None = None
    subtype: str | None = None
    sha256: str = ""
    joined_from: str = ""
    place: str = ""

    @property
    def given_patient(self) -> str:
        """The patient that its name or manifest gives."""
        return self.joined_from or self.patient_id


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """Files of a data folder that were not taken for films of it.

    Attributes:
        reason: why, in a few words.
        files: how many.
        examples: names of the first of them, below the data folder.
    """

    reason: str
    files: int
    examples: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What a data folder or manifest holds.

    Attributes:
        films: sorted by name, still unread.
        left_out: what else lies there, by reason.
    """

    films: tuple[LabelledFilm, ...]
    left_out: tuple[LeftOut, ...]


def in_words(left_out: Sequence[LeftOut]) -> str:
    """Returns what was left out as a sentence; empty where nothing was."""
    parts = []
    for part in left_out:
        examples = ", ".join(map(names.printable, part.examples))
        more = ", ..." if part.files > len(part.examples) else ""
        parts.append(f"{part.files:,} ({part.reason}: {examples}{more})")
    return f"Files left out: {'; '.join(parts)}." if parts else ""


def scan(source: Path, *, limit: Path | None = None) -> list[LabelledFilm]:
    """Returns the films of a data folder or manifest, sorted by name, still unread.

    Args:
        source: the data folder or manifest.
        limit: a folder below which films have to lie, besides the one of the settings,
            whatever a manifest or a link says; None for none.

    Raises:
        DatasetError: as `listing`.
    """
    return list(listing(source, limit=limit).films)


def listing(source: Path, *, limit: Path | None = None) -> Listing:
    """Returns the films of a data folder or manifest, and what was left out.

    Args:
        source: the data folder or manifest.
        limit: a folder below which films have to lie, besides the one of the settings,
            whatever a manifest or a link says; None for none.

    Raises:
        DatasetError: there is nothing there, it has none of the three layouts, or
            something leads out of the data that may be read (code
            `outside-data-folder`).
    """
    data_folder.require_inside(source, limit)
    others: dict[str, list[str]] = defaultdict(list)
    if source.suffix.lower() == ".csv":
        films = _from_manifest(source, limit)
    elif source.is_dir():
        films = list(_from_folders(source, limit, others))
    else:
        raise DatasetError(f"There is no data folder or manifest at {source}.")
    if not films:
        raise DatasetError(
            f"{source} holds no films. Expected the folders NORMAL and PNEUMONIA "
            "(alone or inside train, val and test), or a CSV manifest with the "
            "columns path and label."
        )
    return Listing(
        films=tuple(sorted(films, key=lambda film: film.name)),
        left_out=tuple(
            LeftOut(
                reason=reason, files=len(files), examples=tuple(files[:MOST_EXAMPLES])
            )
            for reason, files in sorted(others.items())
        ),
    )


def patient_of(file_name: str, label: int) -> str:
    """Returns the patient that a file name of the Kermany data set stands for.

    `person12_bacteria_45.jpeg` and `person12_virus_3.jpeg` may or may not be the same
    child, nor are the two series of normal films known to be apart: both are grouped.
    A name of no known form counts as a patient of its own.
    """
    stem = Path(file_name).stem
    if match := re.match(r"person(\d+)_(bacteria|virus)_", stem):
        return f"{CLASSES[label].lower()}-person{int(match[1])}"
    if match := re.match(r"(?:NORMAL2-)?IM-(\d+)-", stem):
        return f"{CLASSES[label].lower()}-im{int(match[1])}"
    return f"{CLASSES[label].lower()}-{stem}"


def patient_by_name(name: str) -> str:
    """Returns the patient that a film's name below its data folder stands for.

    Raises:
        ValueError: no folder of the name says which class the film is of, so its
            patient was given by a manifest.
    """
    *above, file_name = name.split("/")
    place = _place(above)
    if place is None:
        raise ValueError(f"expected a class in the name of a film, received {name=}")
    return patient_of(file_name, place[1])


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
    be a leak. The files are only read.

    Raises:
        DatasetError: a file can't be opened.
    """
    with ThreadPoolExecutor() as threads:
        digests = list(threads.map(_digest, (film.path for film in films)))
    hashed = [replace(f, sha256=d) for f, d in zip(films, digests, strict=True)]
    return join_copies(hashed)


def join_copies(films: Sequence[LabelledFilm]) -> list[LabelledFilm]:
    """Returns the hashed films, byte-equal copies under one patient.

    A film without a hash counts as no copy of another. Of a patient of home and one of
    another place the one of home stays.
    """
    whose = Patients({film.patient_id for film in films if not film.place})
    for film in films:
        whose.note(film.sha256, film.patient_id)
    return [_joined(film, whose.find(film.patient_id)) for film in films]


def _joined(film: LabelledFilm, patient: str) -> LabelledFilm:
    if patient == film.patient_id:
        return film
    return replace(film, patient_id=patient, joined_from=film.given_patient)


def fingerprint(films: Iterable[LabelledFilm]) -> str:
    """Returns the SHA-256 that stands for this data: contents, labels, patients.

    Films of other places have these in it too.
    """
    lines = sorted(
        f"{f.sha256} {f.label} {f.patient_id}{f' {f.place}' if f.place else ''}"
        for f in films
    )
    # A patient can be made from a file name.
    return hashlib.sha256(names.encode("\n".join(lines))).hexdigest()


def at_home(films: Sequence[LabelledFilm]) -> list[LabelledFilm]:
    """Returns the films of home; all of them, as if they were, where none is."""
    home = [film for film in films if not film.place]
    return home or [replace(film, place="") for film in films]


def _from_folders(
    root: Path, limit: Path | None, others: dict[str, list[str]]
) -> Iterator[LabelledFilm]:
    """Yields the films below a folder; adds what is left out to `others`."""
    for path, companion in _files(root):
        name = path.relative_to(root).as_posix()
        place = _place(path.relative_to(root).parts[:-1])
        if companion:
            others[COMPANION].append(name)
        elif not data_folder.is_inside(path, limit) and place is not None:
            data_folder.require_inside(path, limit)
        elif not data_folder.is_inside(path, limit) or not kinds.can_be_film(path):
            others[NO_FILM].append(name)
        elif place is None:
            others[NO_CLASS].append(name)
        else:
            split, label = place
            yield _film(path, root, label, split)


def _files(
    folder: Path, depth: int = 0, companion: bool = False
) -> Iterator[tuple[Path, bool]]:
    """Yields each file below a folder, and whether it only accompanies films.

    Linked folders are followed where classes and splits are, and not below.
    """
    for path in sorted(folder.iterdir()):
        along = companion or kinds.is_companion(path.name)
        if path.is_dir():
            if depth < 2 or not path.is_symlink():
                yield from _files(path, depth + 1, along)
        elif path.is_file():
            yield path, along


def _place(folders: Sequence[str]) -> tuple[str | None, int] | None:
    """Returns split and label by the folders above a file, None where they say none."""
    if folders and (label := label_of(folders[0])) is not None:
        return None, label
    if len(folders) > 1 and (split := split_of(folders[0])):
        label = label_of(folders[1])
        return None if label is None else (split, label)
    return None


def _film(path: Path, root: Path, label: int, split: str | None) -> LabelledFilm:
    match = re.search(r"_(bacteria|virus)_", path.name)
    subtypes = {"bacteria": "bacterial", "virus": "viral"}
    return LabelledFilm(
        path=path,
        name=path.relative_to(root).as_posix(),
        label=label,
        patient_id=patient_of(path.name, label),
        split=split,
        subtype=subtypes[match[1]] if match and label else None,
    )


def _from_manifest(manifest: Path, limit: Path | None) -> list[LabelledFilm]:
    films = list(_listed(manifest, limit))
    if len({film.place for film in films}) == 1:
        # All of one place: that one is home, whatever its name.
        films = [replace(film, place="") for film in films]
    return films


def _listed(manifest: Path, limit: Path | None) -> Iterator[LabelledFilm]:
    for row in manifests.rows(manifest):
        path = manifest.parent / row.path
        # Before it is looked at: what is there outside is nobody's business.
        data_folder.require_inside(path, limit)
        label = {"0": 0, "1": 1}.get(row.label, label_of(row.label))
        if label is None or not path.is_file():
            raise DatasetError(
                f"Line {row.line} of {manifest.name}: expected an existing path and "
                "the label NORMAL or PNEUMONIA, received "
                f"{row.path!r} and {row.label!r}."
            )
        split = split_of(row.split) or row.split or None
        film = _film(path, path.parent, label, split)
        place = " ".join(row.place.split())
        yield replace(
            film,
            name=row.path,
            patient_id=row.patient or film.patient_id,
            place="" if place.casefold() == HOME else place,
        )


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise DatasetError(f"The film {path} can't be opened.") from error
