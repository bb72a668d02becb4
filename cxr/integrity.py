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
from numpy.typing import NDArray

from cxr import data
from cxr.data import LabelledFilm
from cxr.exploration import Progress, Survey

UNREADABLE = "unreadable"
EXACT = "exact-duplicate"
NEAR = "near-duplicate"
TWO_SPLITS = "patient-in-two-splits"
CONFLICT = "label-conflict"
KINDS = (UNREADABLE, EXACT, NEAR, TWO_SPLITS, CONFLICT)

# Correlation of two 16 x 16 signatures. Measured on the 5,206 distinct films of the
# data set: 400 of them stored again as JPEG of quality 40, at two thirds of the size,
# or with another gamma or contrast all stay above it; turned by 1 degree 99 %, cropped
# by 2 % on each side 33 %. The nearest films of two patients reach 0.988, and the tail
# of their 13 million pairs leaves 0.1 above it. Signatures of 24 and 32 pixels find no
# more at as few false pairs.
NEAR_LIMIT = 0.9925
COMPONENTS = 24
BLOCK = 2048  # films compared at a time with as many others
PAIRS = 100_000  # candidates compared in full at a time
ROUNDING = 1e-3
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


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
    signatures correlate above `NEAR_LIMIT`. Nearly equal films are grouped: each is
    near one other of its group at least.

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
                (as_cell(film), finding.kind, number, as_cell(finding.suggestion))
            )
    return stream.getvalue()


def as_cell(text: str) -> str:
    """Returns text that no spreadsheet takes for a formula and UTF-8 can hold."""
    # A file name that is no UTF-8 comes with lone surrogates.
    text = text.encode("utf-8", "backslashreplace").decode()
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


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
    named = data.join_copies(
        [
            replace(film, patient_id=data.patient_of(film.path.name, film.label))
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
    group = near_groups(survey.signatures[rows], progress=progress)
    members: dict[int, list[int]] = defaultdict(list)
    for row, number in zip(rows.tolist(), group.tolist(), strict=True):
        members[number].append(row)
    return [theirs for theirs in members.values() if len(theirs) > 1]


def near_groups(
    signatures: NDArray[np.uint8], *, progress: Progress | None = None
) -> NDArray[np.int64]:
    """Returns a group number for each film; nearly equal films share one.

    All pairs are compared, in blocks. Correlation is an inner product of unit vectors,
    and for these |x - y|^2 = 2 - 2 x.y; the leading principal components never lengthen
    a difference, so a pair that is too far apart in them is no candidate. Blocks of
    films are in the order of the first component, which ends the search early.

    Args:
        signatures: `uint8`, shape `(n, size, size)`.
        progress: called with the blocks done and all of them.
    """
    group = np.arange(len(signatures), dtype=np.int64)
    if group.size < 2:
        return group
    vectors, usable = _unit_vectors(signatures)
    if usable.sum() < 2:
        return group
    reduced = _components(vectors)
    order = np.flatnonzero(usable)
    order = order[np.argsort(reduced[order, 0], kind="stable")]
    starts = range(0, order.size, BLOCK)
    for done, start in enumerate(starts, start=1):
        for mine, others in _blocks_near(reduced, order, start):
            pairs = _candidates(reduced, mine, others)
            group = _with_near_pairs(vectors, group, pairs)
        if progress:
            progress(done, len(starts))
    return group


def _unit_vectors(
    signatures: NDArray[np.uint8],
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Returns signatures with mean 0 and length 1, and which are not one flat tone."""
    n, height, width = signatures.shape
    vectors = signatures.reshape(n, height * width).astype(np.float32)
    vectors -= vectors.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors /= np.maximum(lengths, 1)
    return vectors, lengths[:, 0] >= 1


def _components(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns the leading principal components and the length of what they leave."""
    centred = vectors - vectors.mean(axis=0)
    _, directions = np.linalg.eigh(centred.T @ centred)
    leading = centred @ directions[:, : -COMPONENTS - 1 : -1]
    rest = (centred**2).sum(axis=1) - (leading**2).sum(axis=1)
    # By the triangle inequality the rest adds at least the difference of its lengths.
    return np.column_stack([leading, np.sqrt(np.maximum(rest, 0))])


def _blocks_near(
    reduced: NDArray[np.float32], order: NDArray[np.int64], start: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    mine = order[start : start + BLOCK]
    reach = reduced[mine[-1], 0] + _radius()
    for other in range(start, order.size, BLOCK):
        others = order[other : other + BLOCK]
        if reduced[others[0], 0] > reach:
            return
        yield mine, others


def _radius() -> float:
    return float(np.sqrt(2 - 2 * NEAR_LIMIT)) + ROUNDING


def _candidates(
    reduced: NDArray[np.float32], mine: NDArray[np.int64], others: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Returns the pairs that the components don't rule out, shape `(pairs, 2)`."""
    a, b = reduced[mine], reduced[others]
    # |a - b|^2 <= r^2 as one product: a.b - |a|^2 / 2 - |b|^2 / 2 >= -r^2 / 2
    half_a, half_b = ((v**2).sum(axis=1, keepdims=True) / 2 for v in (a, b))
    left = np.column_stack([a, -half_a, np.ones_like(half_a)])
    right = np.column_stack([b, np.ones_like(half_b), -half_b])
    close = np.flatnonzero(left @ right.T >= -(_radius() ** 2) / 2)
    i, j = np.divmod(close, len(others))
    pairs = np.column_stack([mine[i], others[j]])
    return pairs[i < j] if mine[0] == others[0] else pairs


def _with_near_pairs(
    vectors: NDArray[np.float32], group: NDArray[np.int64], pairs: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Returns the groups after joining the candidates that are near by all tones."""
    for start in range(0, len(pairs), PAIRS):
        part = pairs[start : start + PAIRS]
        # In a folder of nearly equal films all pairs would be candidates.
        part = part[group[part[:, 0]] != group[part[:, 1]]]
        correlation = (vectors[part[:, 0]] * vectors[part[:, 1]]).sum(axis=1)
        group = _joined(group, part[correlation > NEAR_LIMIT])
    return group


def _joined(group: NDArray[np.int64], pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns the groups after joining those of each pair; the numbers are new."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not len(pairs):
        return group
    n = int(group.max()) + 1
    edges = (np.ones(len(pairs), np.bool_), (group[pairs[:, 0]], group[pairs[:, 1]]))
    _, number = connected_components(coo_array(edges, shape=(n, n)), directed=False)
    return number[group].astype(np.int64)
