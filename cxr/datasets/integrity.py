"""What is wrong in a data folder: found and named, never mended by itself.

Unreadable films, equal and nearly equal films, patients in two splits, contradicting
labels. A report and a plan come out; nothing is moved, renamed or deleted.
"""

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cxr import spreadsheets
from cxr.datasets import folders, near_copies
from cxr.datasets.folders import LabelledFilm
from cxr.datasets.survey import Progress, Survey

UNREADABLE = "unreadable"
EXACT = "exact-duplicate"
NEAR = "near-duplicate"
TWO_SPLITS = "patient-in-two-splits"
CONFLICT = "label-conflict"
KINDS = (UNREADABLE, EXACT, NEAR, TWO_SPLITS, CONFLICT)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is wrong, or may be.

    Attributes:
        kind: one of `KINDS`.
        films: names of the films concerned, sorted.
        sentence: what was found.
        suggestion: what to do about it.
        serious: whether it spoils a training or its test: unreadable films,
            contradicting labels, and whatever reaches across two splits.
    """

    kind: str
    films: tuple[str, ...]
    sentence: str
    suggestion: str
    serious: bool = False


@dataclass(frozen=True, kw_only=True)
class Integrity:
    """All findings of a data folder.

    Attributes:
        findings: in the order of `KINDS`, then by name of the first film.
        counts: findings of each kind, 0 included.
    """

    findings: tuple[Finding, ...]
    counts: dict[str, int]


def inspect(survey: Survey, *, progress: Progress | None = None) -> Integrity:
    """Returns what is wrong with the films of a survey.

    Films are equal when their files are, byte for byte, and nearly equal when their
    signatures correlate above `NEAR_LIMIT`. Nearly equal films are grouped; each film
    of a group is near at least one other.

    Args:
        survey: of the data folder.
        progress: called with the parts of the search for near duplicates that are done
            and all of them.
    """
    films = survey.films
    copies = _copies(survey)
    near = _near_groups(survey, progress)
    found = [
        *_unreadable(survey),
        *(_duplicate(EXACT, films, rows) for rows in copies),
        *(_duplicate(NEAR, films, rows) for rows in near),
        *_two_splits(films),
        *_conflicts(films, copies, near),
    ]
    counts = Counter(finding.kind for finding in found)
    return Integrity(
        findings=tuple(found), counts={kind: counts[kind] for kind in KINDS}
    )


def repair_plan(integrity: Integrity) -> str:
    """Returns a CSV table, one row for each film of each finding; UTF-8 can hold it.

    Columns: film, kind, group (number of the finding), suggestion. A cell that a
    spreadsheet would take for a formula begins with an apostrophe.
    """
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("film", "kind", "group", "suggestion"))
    for number, finding in enumerate(integrity.findings, start=1):
        for film in finding.films:
            writer.writerow(
                (
                    spreadsheets.as_cell(film),
                    finding.kind,
                    number,
                    spreadsheets.as_cell(finding.suggestion),
                )
            )
    return stream.getvalue()


def _unreadable(survey: Survey) -> Iterator[Finding]:
    for name, reason in sorted(survey.reasons.items()):
        yield Finding(
            kind=UNREADABLE,
            films=(name,),
            sentence=f"The film can't be read: {reason}",
            suggestion="Export it again, or leave it out; training leaves it out.",
            serious=True,
        )


def _copies(survey: Survey) -> list[list[int]]:
    """Returns the rows of each set of byte-equal files, in order of their first."""
    rows: dict[str, list[int]] = defaultdict(list)
    for row, film in enumerate(survey.films):
        if film.sha256:
            rows[film.sha256].append(row)
    return [group for group in rows.values() if len(group) > 1]


def _duplicate(
    kind: str, films: Sequence[LabelledFilm], rows: Sequence[int]
) -> Finding:
    concerned = [films[row] for row in rows]
    splits = {film.split for film in concerned}
    patients = {film.patient_id for film in concerned}
    equal = "equal, byte for byte" if kind == EXACT else "nearly equal"
    across = " They are in different splits." if len(splits) > 1 else ""
    return Finding(
        kind=kind,
        films=tuple(sorted(film.name for film in concerned)),
        sentence=f"{len(rows)} films are {equal}.{across}",
        suggestion=_duplicate_suggestion(kind, len(splits) > 1, len(patients) > 1),
        serious=len(splits) > 1,
    )


def _duplicate_suggestion(kind: str, across: bool, strangers: bool) -> str:
    if across:
        return "Keep one of them, or put all into one split; a test would be too good."
    if kind == EXACT:
        return "Keep one of them. Until then training counts them as one patient."
    if strangers:
        return (
            "Look at them. If they are one film, give them one patient in a manifest, "
            "or keep one."
        )
    return "Nothing has to be done: they are of one patient, who stays in one split."


def _two_splits(films: Sequence[LabelledFilm]) -> Iterator[Finding]:
    listed = _patients_of_a_manifest(films)
    for patient, theirs in sorted(_by_patient(films).items()):
        splits = sorted({film.split for film in theirs if film.split})
        if len(splits) < 2:
            continue
        known = "" if patient in listed else ", as far as file names tell,"
        yield Finding(
            kind=TWO_SPLITS,
            films=tuple(sorted(film.name for film in theirs)),
            sentence=f"{len(theirs)} films of what is{known} one patient are in the "
            f"splits {' and '.join(splits)}.",
            suggestion="Put them into one split, or use the split by patient that "
            "training makes.",
            serious=True,
        )


def _conflicts(
    films: Sequence[LabelledFilm],
    copies: Iterable[Sequence[int]],
    near: Iterable[Sequence[int]],
) -> Iterator[Finding]:
    for equal, groups in (("Equal", copies), ("Nearly equal", near)):
        for rows in groups:
            concerned = [films[row] for row in rows]
            if len({film.label for film in concerned}) > 1:
                yield _conflict(
                    concerned,
                    f"{equal} films have opposite labels.",
                    "Ask whoever labelled them, and correct one or leave both out.",
                )
    listed = _patients_of_a_manifest(films)
    for patient, theirs in sorted(_by_patient(films).items()):
        if patient in listed and len({film.label for film in theirs}) > 1:
            yield _conflict(
                theirs,
                "A patient has both labels.",
                "Check the labels and the dates: a patient can be well on one day and "
                "ill on another. Then nothing has to be done.",
            )


def _conflict(films: Sequence[LabelledFilm], sentence: str, suggestion: str) -> Finding:
    return Finding(
        kind=CONFLICT,
        films=tuple(sorted(film.name for film in films)),
        sentence=sentence,
        suggestion=suggestion,
        serious=True,
    )


def _by_patient(
    films: Sequence[LabelledFilm],
) -> dict[str, list[LabelledFilm]]:
    patients: dict[str, list[LabelledFilm]] = defaultdict(list)
    for film in films:
        patients[film.patient_id].append(film)
    return patients


def _patients_of_a_manifest(films: Sequence[LabelledFilm]) -> set[str]:
    """Returns the patients whom the file names alone would not give."""
    named = folders.join_copies(
        [
            replace(film, patient_id=folders.patient_of(film.path.name, film.label))
            for film in films
        ]
    )
    return {
        film.patient_id
        for film, other in zip(films, named, strict=True)
        if film.patient_id != other.patient_id
    }


def _near_groups(survey: Survey, progress: Progress | None) -> list[list[int]]:
    """Returns the rows of each group of nearly equal films, one row for equal files."""
    first: dict[str, int] = {}
    for row, film in enumerate(survey.films):
        if survey.readable[row]:
            first.setdefault(film.sha256, row)
    rows = np.array(list(first.values()), np.int64)
    group = near_copies.near_groups(survey.signatures[rows], progress=progress)
    members: dict[int, list[int]] = defaultdict(list)
    for row, number in zip(rows.tolist(), group.tolist(), strict=True):
        members[number].append(row)
    return [theirs for theirs in members.values() if len(theirs) > 1]
