"""A film's one way from bytes to its reading.

Bytes are decoded in capped processes, prepared, held against what the models may
judge, and scored in batches. Each film ends in exactly one reading, which holds a
prediction or a named refusal; a broken film does not stop the others. The command line,
the pages and validations all read films here.
"""

import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cxr.errors import ImageError
from cxr.films import display
from cxr.films.decoding import DecoderPool
from cxr.films.film import Film
from cxr.films.refusals import content_of
from cxr.models import lungs as lung_outline
from cxr.models.compiled import BATCH
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
        seconds: since the reading before, or since the start; films are scored in
            batches, and the first of a batch carries the time of the whole batch.
        format: "PNG", "JPEG" or "DICOM"; empty if it could not be decoded.
        bits: bits a pixel had in the file; 0 if it could not be decoded.
        height: rows of the film; 0 if it could not be decoded.
        width: columns of the film; 0 if it could not be decoded.
        picture: the film for the screen, `uint8`, shape `(h, w)`; empty if it could
            not be decoded or no picture was asked for.
        lungs: the two lungs as the lung network sees them; None without that network
            and for a refused film.
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
    picture: NDArray[np.uint8] = field(
        default_factory=lambda: np.empty((0, 0), np.uint8), repr=False, compare=False
    )
    lungs: Lungs | None = field(default=None, repr=False, compare=False)

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


def read_for(
    records_dir: Path,
    model: Model,
    pool: DecoderPool,
    files: Iterable[bytes | ImageError],
    *,
    actor: str,
    lungs: LungNetwork | None,
    picture_edge: int | None = None,
    most_at_once: int = BATCH,
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
    most_at_once: int = BATCH,
) -> Iterator[Reading]:
    """Yields the reading of each file, in order; only a batch of inputs is held.

    The first film is scored alone, so that its reading is there at once.

    Args:
        model: ready to score.
        pool: decodes the files.
        files: the bytes of each, or why there are none, as `contents` has them.
        lungs: says which films may be scored; None scores whatever the headers allow,
            for films that are known to be frontal chest films.
        picture_edge: longest edge in pixels of the picture that each reading keeps
            for the screen; None for no pictures.
        most_at_once: films that are scored together at most, at least 1. Below
            `compiled.BATCH` readings come film by film, and the network is not compiled
            a second time for whole batches.
    """
    started = time.perf_counter()
    prepared = (
        _prepare(model, lungs, film, picture_edge) for film in _films(pool, files)
    )
    size = 1
    while batch := list(islice(prepared, size)):
        for reading in _scored(model, lungs, batch):
            now = time.perf_counter()
            yield replace(reading, seconds=now - started)
            started = now
        size = most_at_once


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
    (reading,) = _scored(model, lungs, [prepared])
    return replace(reading, seconds=time.perf_counter() - started)


def _scored(
    model: Model, lungs: LungNetwork | None, batch: list[_Prepared]
) -> Iterator[Reading]:
    """Yields the reading of each film of a batch, in order."""
    batch = _eligible(lungs, batch)
    inputs = [p.network_input for p in batch if p.network_input is not None]
    predictions = model.predict_inputs(inputs)
    for item in batch:
        if item.network_input is None:
            yield item.reading
        else:
            yield replace(item.reading, result=next(predictions))


def _films(
    pool: DecoderPool, files: Iterable[bytes | ImageError]
) -> Iterator[Film | ImageError]:
    """Yields a film or its error for each file; the pool gets only what was opened."""
    unopened: deque[ImageError | None] = deque()

    def opened() -> Iterator[bytes]:
        for file in files:
            if isinstance(file, ImageError):
                unopened.append(file)
            else:
                unopened.append(None)
                yield file

    for film in pool.map(opened()):
        while error := unopened.popleft():
            yield error
        yield film
    yield from (error for error in unopened if error)


def _prepare(
    model: Model,
    lungs: LungNetwork | None,
    film: Film | ImageError,
    picture_edge: int | None,
) -> _Prepared:
    if isinstance(film, ImageError):
        return _Prepared(reading=Reading(result=film))
    header = eligibility.by_header(film, model.card)
    reading = Reading(
        result=ImageError("This film has not been scored yet.", code="not-scored"),
        sha256=film.sha256,
        cautions=header.cautions,
        warnings=film.warnings,
        format=film.format,
        bits=film.bits,
        height=film.height,
        width=film.width,
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


def _eligible(lungs: LungNetwork | None, batch: list[_Prepared]) -> list[_Prepared]:
    """Returns a batch with what its films show: refused, with cautions, or as it was.

    The lung network is asked once for the whole batch.
    """
    asked = [p.lung_input for p in batch if p.lung_input is not None]
    if lungs is None or not asked:
        return batch
    outputs = lungs(np.stack(asked))
    answers = iter(zip(outputs.share, lungs.likeness(outputs.pooled), strict=True))
    return [
        item
        if item.lung_input is None
        else _judged(lungs.card.gate, item, *next(answers))
        for item in batch
    ]


def _judged(
    gate: GateRecord,
    item: _Prepared,
    share: NDArray[np.float32],
    likeness: Likeness,
) -> _Prepared:
    seen = lung_outline.outline(share)
    judged = eligibility.by_picture(likeness, seen, gate, known_age=item.known_age)
    if judged.refusal:
        # What was taken for lungs in it are none.
        return _Prepared(reading=replace(item.reading, result=judged.refusal))
    cautions = item.reading.cautions + judged.cautions
    return replace(item, reading=replace(item.reading, cautions=cautions, lungs=seen))
