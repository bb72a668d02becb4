"""Many films through one model: decoded in capped processes, scored in batches.

Each film ends in exactly one outcome, a prediction or a named refusal; a broken film
does not stop the others. The same code scores a folder, a data set and an upload.
"""

import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cxr.decoding import DecoderPool
from cxr.errors import ImageError
from cxr.images import Film
from cxr.inference import BATCH, Model, Prediction
from cxr.refusals import MAX_FILE_BYTES


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one film.

    Attributes:
        result: the prediction, or why there is none.
        sha256: of the file's bytes; empty if it could not be read.
        warnings: sentences about the film that a reader should know.
        seconds: since the outcome before, or since the start; films are scored in
            batches, and the first of a batch has its time.
        pixels: rows times columns of the film; None if it could not be read.
    """

    result: Prediction | ImageError
    sha256: str
    warnings: tuple[str, ...]
    seconds: float
    pixels: int | None = None


@dataclass(frozen=True, kw_only=True)
class _Prepared:
    sha256: str
    warnings: tuple[str, ...]
    network_input: NDArray[np.float32] | None
    error: ImageError | None
    pixels: int | None = None


def contents(paths: Iterable[Path]) -> Iterator[bytes | ImageError]:
    """Yields what is in each file, or the error for one that can't be opened.

    Of a file that is too large no more is read than it takes to refuse it.
    """
    for path in paths:
        try:
            with path.open("rb") as file:
                yield file.read(MAX_FILE_BYTES + 1)
        except OSError:
            yield ImageError(
                "The file can't be opened. Check that it is still there and that it "
                "may be read.",
                code="not-opened",
            )


def score(
    model: Model, pool: DecoderPool, files: Iterable[bytes | ImageError]
) -> Iterator[Outcome]:
    """Yields the outcome of each file, in order; only a batch of inputs is held.

    The first film is scored alone, so that its outcome is there at once.

    Args:
        model: ready to score.
        pool: decodes the files.
        files: the bytes of each, or why there are none, as `contents` has them.
    """
    started = time.perf_counter()
    prepared = (_prepare(model, film) for film in _films(pool, files))
    size = 1
    while batch := list(islice(prepared, size)):
        inputs = [p.network_input for p in batch if p.network_input is not None]
        predictions = model.predict_inputs(inputs)
        for item in batch:
            result = item.error or next(predictions)
            now = time.perf_counter()
            yield Outcome(
                result=result,
                sha256=item.sha256,
                warnings=item.warnings,
                seconds=now - started,
                pixels=item.pixels,
            )
            started = now
        size = BATCH


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


def _prepare(model: Model, film: Film | ImageError) -> _Prepared:
    if isinstance(film, ImageError):
        return _Prepared(sha256="", warnings=(), network_input=None, error=film)
    return _Prepared(
        sha256=film.sha256,
        warnings=film.warnings,
        network_input=model.input(film),
        error=None,
        pixels=film.height * film.width,
    )
