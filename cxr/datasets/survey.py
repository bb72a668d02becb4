"""What a data folder holds: each film measured once, counted, shown by examples.

A survey reads every file a single time and keeps what the other parts ask for: the
hash and the size for duplicates and fingerprint, plain figures for the shortcut audit,
a tiny picture for near duplicates and examples. Files are decoded in capped processes;
an unreadable one becomes an entry of the survey and does not stop it.
"""

import hashlib
import math
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cxr.datasets import folders, words
from cxr.datasets.folders import LabelledFilm
from cxr.errors import ImageError
from cxr.films import preparation
from cxr.films.decoding import DecoderPool
from cxr.films.film import Film
from cxr.films.refusals import MAX_FILE_BYTES, REFUSALS, content_of

SIGNATURE_SIZE = 16
EXAMPLES_FROM = 2000  # films among which examples are looked for
PORTION = 500


Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What a survey measures on one file.

    Attributes:
        modified: time of the last change, nanoseconds since 1970.
        file_bytes: size of the file.
        sha256: of its bytes, hexadecimal; empty if it could not be opened.
        reason: why it can't be read; empty if it can.
        format: "PNG", "JPEG" or "DICOM"; empty if unreadable.
        width: pixels, 0 if unreadable.
        height: likewise.
        mean_grey: mean grey level, `[0, 255]`, nan if unreadable; so are the next two.
        contrast: standard deviation of the grey levels.
        sharpness: standard deviation of the Laplacian over that of the grey levels.
        signature: `uint8`, shape `(16, 16)`, the film reduced; zeros if unreadable.
    """

    modified: int
    file_bytes: int
    sha256: str = ""
    reason: str = ""
    format: str = ""
    width: int = 0
    height: int = 0
    mean_grey: float = math.nan
    contrast: float = math.nan
    sharpness: float = math.nan
    signature: NDArray[np.uint8] = field(
        default_factory=lambda: np.zeros((SIGNATURE_SIZE,) * 2, np.uint8), repr=False
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Survey:
    """All films of a data folder and what was measured on each, in one order.

    Attributes:
        films: with hashes; byte-equal copies share a patient. Unreadable ones too.
        readable: bool, shape `(n,)`.
        reasons: why, by name of the film, for each unreadable one.
        width: pixels, `int32`, shape `(n,)`; 0 where unreadable.
        height: likewise.
        file_bytes: size of each file, `int64`.
        modified: when each file was last changed, nanoseconds since 1970, `int64`.
        mean_grey: mean grey level, `[0, 255]`, `float32`; nan where unreadable.
        contrast: standard deviation of the grey levels, likewise.
        sharpness: standard deviation of the Laplacian (the four neighbours minus four
            times the pixel) over `contrast`, at the film's own size, likewise. No unit;
            no change of brightness or contrast alters it. After Pech-Pacheco et al.,
            ICPR 2000, 314-317, who use the variance alone.
        formats: "PNG", "JPEG" or "DICOM"; empty where unreadable.
        signatures: the films reduced to 16 x 16, `uint8`, shape `(n, 16, 16)`.
        fingerprint: SHA-256 of contents, labels and patients, as on a model's card.
    """

    films: tuple[LabelledFilm, ...]
    readable: NDArray[np.bool_]
    reasons: dict[str, str]
    width: NDArray[np.int32]
    height: NDArray[np.int32]
    file_bytes: NDArray[np.int64]
    modified: NDArray[np.int64]
    mean_grey: NDArray[np.float32]
    contrast: NDArray[np.float32]
    sharpness: NDArray[np.float32]
    formats: tuple[str, ...]
    signatures: NDArray[np.uint8]
    fingerprint: str

    @property
    def labels(self) -> NDArray[np.int64]:
        """The labels, 1 for pneumonia, shape `(n,)`."""
        return np.array([film.label for film in self.films], np.int64)


@dataclass(frozen=True, kw_only=True)
class Group:
    """The films of one class in one split.

    Attributes:
        split: as the folder or manifest names it; "all" where it names none.
        label: 1 for pneumonia.
        films: how many.
        patients: how many.
        subtypes: films of each subtype that file names tell, such as "bacterial".
    """

    split: str
    label: int
    films: int
    patients: int
    subtypes: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a data folder holds, counted.

    Attributes:
        films: all of them.
        patients: all of them.
        unreadable: films that can't be read; counted in the groups as well.
        groups: normal before pneumonia in each split, also where there are none.
        imbalance: pneumonia films for each normal film, by split; nan or infinite
            where a class is missing.
        overall_imbalance: the same over all films.
    """

    films: int
    patients: int
    unreadable: int
    groups: tuple[Group, ...]
    imbalance: dict[str, float]
    overall_imbalance: float


def survey(
    films: Sequence[LabelledFilm],
    *,
    workers: int,
    progress: Progress | None = None,
    known: Mapping[str, Measurement] | None = None,
) -> Survey:
    """Returns what each film is; every file is read and decoded once.

    Args:
        films: of a data folder, as `data.scan` lists them.
        workers: processes that decode.
        progress: called with the films done and all of them.
        known: earlier measurements by name of the film; those of a file whose size and
            time of change are the same are taken over.
    """
    measured = []
    for measurement in measure(films, workers=workers, known=known or {}):
        measured.append(measurement)
        if progress:
            progress(len(measured), len(films))
    return collect(films, measured)


def measure(
    films: Sequence[LabelledFilm], *, workers: int, known: Mapping[str, Measurement]
) -> Iterator[Measurement]:
    """Yields the measurement of each film, in order; few films are held at a time.

    Args:
        films: of one data folder.
        workers: how many films are decoded at the same time.
        known: earlier measurements by name of the film; one whose file still has the
            same time and size is not made again.
    """
    with DecoderPool(workers) as pool:
        # In portions: known films would otherwise all be looked at before the first
        # unknown one comes out of the pool.
        for start in range(0, len(films), PORTION):
            yield from _portion(pool, films[start : start + PORTION], known)


def collect(films: Sequence[LabelledFilm], measured: Sequence[Measurement]) -> Survey:
    """Returns the survey of films that were measured one by one, in the same order."""
    hashed = folders.join_copies(
        [replace(f, sha256=m.sha256) for f, m in zip(films, measured, strict=True)]
    )
    size = (len(films), SIGNATURE_SIZE, SIGNATURE_SIZE)
    signatures = [m.signature for m in measured] or np.empty(size)
    return Survey(
        films=tuple(hashed),
        readable=np.array([not m.reason for m in measured], np.bool_),
        reasons={
            film.name: m.reason
            for film, m in zip(films, measured, strict=True)
            if m.reason
        },
        width=np.array([m.width for m in measured], np.int32),
        height=np.array([m.height for m in measured], np.int32),
        file_bytes=np.array([m.file_bytes for m in measured], np.int64),
        modified=np.array([m.modified for m in measured], np.int64),
        mean_grey=np.array([m.mean_grey for m in measured], np.float32),
        contrast=np.array([m.contrast for m in measured], np.float32),
        sharpness=np.array([m.sharpness for m in measured], np.float32),
        formats=tuple(m.format for m in measured),
        signatures=np.asarray(signatures, np.uint8),
        fingerprint=folders.fingerprint(hashed),
    )


def measurements(survey: Survey) -> Iterator[Measurement]:
    """Yields the measurement of each film of a survey, to be taken over by the next."""
    for i, film in enumerate(survey.films):
        yield Measurement(
            modified=int(survey.modified[i]),
            file_bytes=int(survey.file_bytes[i]),
            sha256=film.sha256,
            reason=survey.reasons.get(film.name, ""),
            format=survey.formats[i],
            width=int(survey.width[i]),
            height=int(survey.height[i]),
            mean_grey=float(survey.mean_grey[i]),
            contrast=float(survey.contrast[i]),
            sharpness=float(survey.sharpness[i]),
            signature=survey.signatures[i],
        )


def summary(survey: Survey) -> Summary:
    """Returns how many films, patients and subtypes there are, by split and class."""
    splits: dict[str, list[LabelledFilm]] = {}
    for film in survey.films:
        splits.setdefault(film.split or "all", []).append(film)
    order = {name: place for place, name in enumerate(words.FOLDER_SPLITS)}
    names = sorted(splits, key=lambda name: (order.get(name, len(order)), name))
    return Summary(
        films=len(survey.films),
        patients=len({film.patient_id for film in survey.films}),
        unreadable=len(survey.reasons),
        groups=tuple(
            _group(name, label, splits[name])
            for name in names
            for label in range(len(folders.CLASSES))
        ),
        imbalance={name: _imbalance(splits[name]) for name in names},
        overall_imbalance=_imbalance(survey.films),
    )


def samples(
    survey: Survey, label: int, n: int, seed: int = 0
) -> tuple[LabelledFilm, ...]:
    """Returns up to `n` readable films that stand for a class, sorted by name.

    The reduced films are cut into `n` equal parts along their first principal component
    and the most typical of each part is taken. Of large folders 2,000 films are drawn
    first; the same seed draws the same.

    Args:
        survey: of a data folder.
        label: 0 for normal, 1 for pneumonia.
        n: the most films to return.
        seed: of the draw from a large folder.
    """
    generator = np.random.default_rng(seed)
    rows = np.flatnonzero(survey.readable & (survey.labels == label))
    if rows.size > EXAMPLES_FROM:
        rows = np.sort(generator.choice(rows, EXAMPLES_FROM, replace=False))
    if rows.size > n:
        rows = rows[_typical(survey.signatures[rows], n)]
    return tuple(sorted((survey.films[i] for i in rows), key=lambda film: film.name))


def picture(path: Path, edge: int, pool: DecoderPool) -> NDArray[np.uint8]:
    """Returns a film for display, `uint8`, its longer side `edge` pixels or less.

    Args:
        path: the film's file.
        edge: the longest side of the picture, in pixels.
        pool: decodes the film.

    Raises:
        ImageError: the film can't be opened or read.
    """
    pixels = pool.read(content_of(path)).pixels
    height, width = pixels.shape
    scale = min(1.0, edge / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    reduced = Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR)
    return np.rint(np.asarray(reduced)).clip(0, 255).astype(np.uint8)


def _portion(
    pool: DecoderPool,
    films: Sequence[LabelledFilm],
    known: Mapping[str, Measurement],
) -> Iterator[Measurement]:
    opened: deque[Measurement] = deque()

    def contents() -> Iterator[bytes]:
        for film in films:
            measurement, content = _opened(film, known.get(film.name))
            opened.append(measurement)
            if content is not None:
                yield content

    for decoded in pool.map(contents()):
        while _settled(opened[0]):
            yield opened.popleft()
        yield _measured(opened.popleft(), decoded)
    yield from opened


def _settled(measurement: Measurement) -> bool:
    """Whether there is nothing to decode: known already, or not to be opened."""
    return bool(measurement.reason or measurement.format)


def _opened(
    film: LabelledFilm, known: Measurement | None
) -> tuple[Measurement, bytes | None]:
    """Returns what is known of a file before decoding, and its bytes if it needs it."""
    try:
        with film.path.open("rb") as file:
            stamp = _stamp(film.path)
            if known and (known.modified, known.file_bytes) == stamp:
                return known, None
            content = file.read(MAX_FILE_BYTES + 1)
            sha256 = hashlib.sha256(content)
            while more := file.read(MAX_FILE_BYTES):
                sha256.update(more)
    except OSError:
        return Measurement(
            modified=0, file_bytes=0, reason=REFUSALS["not-opened"]
        ), None
    measurement = Measurement(
        modified=stamp[0], file_bytes=stamp[1], sha256=sha256.hexdigest()
    )
    if len(content) > MAX_FILE_BYTES:
        return replace(measurement, reason=REFUSALS["too-large"]), None
    return measurement, content


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size


def sharpness(pixels: NDArray[np.float32]) -> float:
    """Returns the deviation of a film's Laplacian over that of its grey levels.

    nan of a flat film. `pixels` is `float32`, shape `(height, width)`.
    """
    deviation = float(cv2.meanStdDev(pixels)[1][0, 0])
    _, edges = cv2.meanStdDev(cv2.Laplacian(pixels, cv2.CV_32F, ksize=1))
    return float(edges[0, 0]) / deviation if deviation else math.nan


def _measured(measurement: Measurement, decoded: Film | ImageError) -> Measurement:
    if isinstance(decoded, ImageError):
        return replace(measurement, reason=decoded.message)
    pixels = decoded.pixels
    mean, deviation = (float(value[0, 0]) for value in cv2.meanStdDev(pixels))
    reduced = preparation.resize(pixels, SIGNATURE_SIZE)
    return replace(
        measurement,
        format=decoded.format,
        width=decoded.width,
        height=decoded.height,
        mean_grey=mean,
        contrast=deviation,
        sharpness=sharpness(pixels),
        signature=np.rint(reduced).clip(0, 255).astype(np.uint8),
    )


def _group(split: str, label: int, films: Sequence[LabelledFilm]) -> Group:
    chosen = [film for film in films if film.label == label]
    subtypes = Counter(film.subtype for film in chosen if film.subtype)
    return Group(
        split=split,
        label=label,
        films=len(chosen),
        patients=len({film.patient_id for film in chosen}),
        subtypes=dict(sorted(subtypes.items())),
    )


def _imbalance(films: Sequence[LabelledFilm]) -> float:
    positive = sum(film.label for film in films)
    normal = len(films) - positive
    if normal:
        return positive / normal
    return math.inf if positive else math.nan


def _typical(signatures: NDArray[np.uint8], n: int) -> list[int]:
    """Returns the row of one film for each of `n` equal parts, nearest to its mean.

    The parts are cut along the direction in which the films differ most.
    """
    points = signatures.reshape(len(signatures), -1).astype(np.float32)
    centred = points - points.mean(axis=0)
    _, directions = np.linalg.eigh(centred.T @ centred)
    order = np.argsort(centred @ directions[:, -1], kind="stable")
    chosen = []
    for part in np.array_split(order, n):
        distance = np.linalg.norm(points[part] - points[part].mean(axis=0), axis=1)
        chosen.append(int(part[distance.argmin()]))
    return chosen
