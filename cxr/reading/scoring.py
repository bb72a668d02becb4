"""A film's one way from bytes to its reading.

Bytes are decoded in capped processes, prepared, held against what the models may
judge, and scored side by side. Each film ends in exactly one reading, which holds a
prediction or a named refusal; a broken film does not stop the others. The command line,
the pages and validations all read films here.
"""

import hashlib
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cxr.errors import ImageError
from cxr.films import display
from cxr.films.decoding import DecoderPool
from cxr.films.film import Film
from cxr.films.refusals import content_of
from cxr.models import lungs as lung_outline
from cxr.models.compiled import processors
from cxr.models.inference import Model, Prediction
from cxr.models.lungs import LungNetwork, Lungs
from cxr.models.novelty import GateRecord, Likeness
from cxr.reading import eligibility
from cxr.records import actors


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What became of one film; the film itself is not kept.

    Attributes:
        result: the prediction, or why there is none.
        sha256: of the file's bytes; empty if it could not be decoded.
        cautions: sentences on why the score may not hold for this film.
        warnings: sentences on what was unusual in the file.
        seconds: since the reading before, or since the start; films are scored side by
            side, so that a film can take longer than that.
        format: "PNG", "JPEG" or "DICOM"; empty if it could not be decoded.
        bits: bits a pixel had in the file; 0 if it could not be decoded.
        height: rows of the film; 0 if it could not be decoded.
        width: columns of the film; 0 if it could not be decoded.
        brightness: mean grey level of the film, `[0, 255]`, bright = dense; None if it
            could not be decoded.
        contrast: standard deviation of its grey levels, likewise.
        picture: the film for the screen, `uint8`, shape `(h, w)`; empty if it could
            not be decoded or no picture was asked for.
        lungs: the two lungs as the lung network sees them; None without that network
            and for a refused film.
        likeness: what the gate says of the film; None where it was not asked.
        patient: digest of the patient's id, as in `Film`; never to be shown or stored.
    """

    result: Prediction | ImageError
    sha256: str = ""
    cautions: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    format: str = ""
    bits: int = 0
    height: int = 0
    width: int = 0
    brightness: float | None = None
    contrast: float | None = None
    picture: NDArray[np.uint8] = field(
        default_factory=lambda: np.empty((0, 0), np.uint8), repr=False, compare=False
    )
    lungs: Lungs | None = field(default=None, repr=False, compare=False)
    likeness: Likeness | None = field(default=None, repr=False, compare=False)
    patient: str = field(default="", repr=False)

    @property
    def eligible(self) -> bool | None:
        """Whether the film may be scored; None if it could not even be read."""
        if not isinstance(self.result, ImageError):
            return True
        return False if self.result.code in eligibility.REFUSALS else None

    @property
    def pixels(self) -> int:
        """Rows times columns of the film; 0 if it could not be decoded."""
        return self.height * self.width


@dataclass(frozen=True, kw_only=True)
class _Prepared:
    """A reading that still waits for its score, and what the networks will see."""

    reading: Reading
    network_input: NDArray[np.float32] | None = None
    lung_input: NDArray[np.float32] | None = None
    known_age: bool = False


def contents(paths: Iterable[Path]) -> Iterator[bytes | ImageError]:
    """Yields what is in each file, or the error for one that can't be opened.

    Of a file that is too large no more is read than it takes to refuse it.
    """
    for path in paths:
        try:
            yield content_of(path)
        except ImageError as error:
            yield error


def hashed(
    files: Iterable[bytes | ImageError], hashes: deque[str]
) -> Iterator[bytes | ImageError]:
    """Yields the files and notes the SHA-256 of each, empty for one not opened.

    A reading has the hash of a film that could be decoded alone.
    """
    for file in files:
        if isinstance(file, ImageError):
            hashes.append("")
        else:
            hashes.append(hashlib.sha256(file).hexdigest())
        yield file


def read_for(
    records_dir: Path,
    model: Model,
    pool: DecoderPool,
    files: Iterable[bytes | ImageError],
    *,
    actor: str,
    lungs: LungNetwork | None,
    picture_edge: int | None = None,
    most_at_once: int | None = None,
) -> Iterator[Reading]:
    """Returns the readings of a person's films; `score` is for measuring a model.

    Args:
        records_dir: of the audit trail, which says who may read.
        model: as in `score`.
        pool: as in `score`.
        files: as in `score`.
        actor: who reads.
        lungs: as in `score`.
        picture_edge: as in `score`.
        most_at_once: as in `score`.

    Raises:
        CxrError: that person may not read (code `not-allowed`).
    """
    actors.require(records_dir, actor, actors.READ)
    return score(
        model,
        pool,
        files,
        lungs=lungs,
        picture_edge=picture_edge,
        most_at_once=most_at_once,
    )


def score(
    model: Model,
    pool: DecoderPool,
    files: Iterable[bytes | ImageError],
    *,
    lungs: LungNetwork | None,
    picture_edge: int | None = None,
    most_at_once: int | None = None,
) -> Iterator[Reading]:
    """Yields the reading of each file, in order; only a few prepared films are held.

    The first film is scored alone, so that its reading is there at once. The others are
    decoded and prepared while those before them are scored, one on each processor.

    Args:
        model: ready to score.
        pool: decodes the files.
        files: the bytes of each, or why there are none, as `contents` has them.
        lungs: says which films may be scored; None scores whatever the headers allow,
            for films that are known to be frontal chest films.
        picture_edge: longest edge in pixels of the picture that each reading keeps
            for the screen; None for no pictures.
        most_at_once: films that are scored at the same time at most; None for one on
            each processor. With 1 the networks are not compiled a second time.
    """
    started = time.perf_counter()
    prepared = _all_prepared(model, pool, files, lungs, picture_edge)
    most = most_at_once or processors()
    for reading in _all_scored(model, lungs, prepared, most):
        now = time.perf_counter()
        yield replace(reading, seconds=now - started)
        started = now


def read_one(
    model: Model,
    pool: DecoderPool,
    content: bytes,
    *,
    lungs: LungNetwork | None,
    picture_edge: int | None = None,
) -> Reading:
    """Returns the reading of one file.

    Args:
        model: ready to score.
        pool: decodes the file.
        content: the whole file.
        lungs: as in `score`.
        picture_edge: as in `score`.
    """
    started = time.perf_counter()
    film: Film | ImageError
    try:
        # Without the threads that `map` starts to read ahead.
        film = pool.read(content)
    except ImageError as error:
        film = error
    prepared = _prepare(model, lungs, film, picture_edge)
    reading = _scored(model, lungs, prepared)
    return replace(reading, seconds=time.perf_counter() - started)


def _all_scored(
    model: Model,
    lungs: LungNetwork | None,
    prepared: Iterator[_Prepared],
    most: int,
) -> Iterator[Reading]:
    """Yields the reading of each film, in order, `most` of them at the same time."""
    for item in islice(prepared, 1 if most > 1 else None):
        yield _scored(model, lungs, item)
    pending: deque[Future[Reading]] = deque()
    threads = ThreadPoolExecutor(most, thread_name_prefix="score")
    try:
        for item in prepared:
            pending.append(threads.submit(_scored, model, lungs, item, beside=True))
            if len(pending) > 2 * most:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        threads.shutdown(cancel_futures=True)


def _scored(
    model: Model, lungs: LungNetwork | None, item: _Prepared, *, beside: bool = False
) -> Reading:
    """Returns the reading of a prepared film; `beside` others on other processors."""
    item = _eligible(lungs, item, beside)
    if item.network_input is None:
        return item.reading
    (result,) = model.predict_inputs([item.network_input], beside=beside)
    return replace(item.reading, result=result)


def _all_prepared(
    model: Model,
    pool: DecoderPool,
    files: Iterable[bytes | ImageError],
    lungs: LungNetwork | None,
    picture_edge: int | None,
) -> Iterator[_Prepared]:
    """Yields each film for the networks; the pool gets only what was opened."""
    unopened: deque[ImageError | None] = deque()

    def opened() -> Iterator[bytes]:
        for file in files:
            if isinstance(file, ImageError):
                unopened.append(file)
            else:
                unopened.append(None)
                yield file

    def prepare(film: Film | ImageError) -> _Prepared:
        return _prepare(model, lungs, film, picture_edge)

    for prepared in pool.map_to(prepare, opened()):
        while error := unopened.popleft():
            yield prepare(error)
        yield prepared
    yield from (prepare(error) for error in unopened if error)


def _prepare(
    model: Model,
    lungs: LungNetwork | None,
    film: Film | ImageError,
    picture_edge: int | None,
) -> _Prepared:
    if isinstance(film, ImageError):
        return _Prepared(reading=Reading(result=film))
    header = eligibility.by_header(film, model.card)
    mean, deviation = cv2.meanStdDev(film.pixels)
    reading = Reading(
        result=ImageError("This film has not been scored yet.", code="not-scored"),
        sha256=film.sha256,
        cautions=header.cautions,
        warnings=film.warnings,
        format=film.format,
        bits=film.bits,
        height=film.height,
        width=film.width,
        brightness=float(mean[0, 0]),
        contrast=float(deviation[0, 0]),
        patient=film.patient,
    )
    if picture_edge is not None:
        picture = display.picture(film.pixels, picture_edge)
        reading = replace(reading, picture=picture)
    if header.refusal:
        return _Prepared(reading=replace(reading, result=header.refusal))
    return _Prepared(
        reading=reading,
        network_input=model.input(film),
        lung_input=None if lungs is None else lungs.prepare(film.pixels),
        known_age=film.age_years is not None,
    )


def _eligible(lungs: LungNetwork | None, item: _Prepared, beside: bool) -> _Prepared:
    """Returns a film by what it shows: refused, with cautions, or as it was."""
    if lungs is None or item.lung_input is None:
        return item
    outputs = lungs(item.lung_input[np.newaxis], beside=beside)
    (likeness,) = lungs.likeness(outputs.pooled)
    return _judged(lungs.card.gate, item, outputs.share[0], likeness)


def _judged(
    gate: GateRecord,
    item: _Prepared,
    share: NDArray[np.float32],
    likeness: Likeness,
) -> _Prepared:
    seen = lung_outline.outline(share)
    judged = eligibility.by_picture(likeness, seen, gate, known_age=item.known_age)
    reading = replace(item.reading, likeness=likeness)
    if judged.refusal:
        # What was taken for lungs in it are none.
        return _Prepared(reading=replace(reading, result=judged.refusal))
    cautions = reading.cautions + judged.cautions
    return replace(item, reading=replace(reading, cautions=cautions, lungs=seen))
