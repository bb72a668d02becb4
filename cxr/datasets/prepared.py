"""Films decoded and reduced once, in one memory-mapped array for every later run.

An array is keyed by the data's fingerprint, the size and the preparation, and appears
under its name when it is whole. It may be deleted at any time; the next run makes it
again. Only what a run touches is in memory.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cxr import disk, documents
from cxr.datasets.folders import LabelledFilm
from cxr.errors import ImageError
from cxr.films import preparation
from cxr.films.film import read_film

PIXELS, INDEX = "pixels.npy", "index.json"
CHUNK = 256  # films decoded between two words of progress
KEPT = 3  # arrays; the one used longest ago goes first

Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class PreparedFilms:
    """The reduced films of one data folder.

    Attributes:
        pixels: `uint8`, shape `(n, size, size)`, memory-mapped, read-only.
        rows: where each readable file is, by its SHA-256; byte-equal copies share one.
        refused: why a file could not be read, by its SHA-256.
    """

    pixels: NDArray[np.uint8]
    rows: dict[str, int]
    refused: dict[str, str]


def folder_for(cache_dir: Path, fingerprint: str, size: int) -> Path:
    """Returns where the array of these films is or would be.

    Args:
        cache_dir: where arrays are kept.
        fingerprint: of all films of the array.
        size: edge in pixels.
    """
    return cache_dir / "prepared" / f"{fingerprint[:32]}-{size}"


def is_there(cache_dir: Path, fingerprint: str, size: int) -> bool:
    """Returns whether a run on these films needs to decode nothing.

    Args:
        cache_dir: where arrays are kept.
        fingerprint: of all films of the array.
        size: edge in pixels.
    """
    return _read(folder_for(cache_dir, fingerprint, size)) is not None


def prepare(
    films: Sequence[LabelledFilm],
    *,
    fingerprint: str,
    size: int,
    cache_dir: Path,
    progress: Progress = lambda done, total: None,
) -> PreparedFilms:
    """Returns the films' array, which is made first if it is not there or damaged.

    Args:
        films: with their SHA-256.
        fingerprint: of all of them.
        size: edge in pixels.
        cache_dir: where arrays are kept.
        progress: told how many of how many films are decoded.

    Raises:
        CxrError: the disk is full (code `disk-full`).
    """
    folder = folder_for(cache_dir, fingerprint, size)
    if stored := _read(folder):
        os.utime(folder)
        return stored
    with disk.writing(cache_dir):
        folder.parent.mkdir(parents=True, exist_ok=True)
        _sweep(folder.parent)
        _make(films, size, folder, progress)
        _drop_oldest(folder.parent)
    made = _read(folder)
    if made is None:
        raise OSError(f"{folder} can't be read back")
    return made


def _make(
    films: Sequence[LabelledFilm], size: int, folder: Path, progress: Progress
) -> None:
    distinct = list({film.sha256: film for film in films}.values())
    with disk.draft_folder(folder.parent) as draft:
        shape = (len(distinct), size, size)
        pixels = np.lib.format.open_memmap(
            draft / PIXELS, mode="w+", dtype=np.uint8, shape=shape
        )
        disk.reserve(draft / PIXELS, pixels.nbytes)
        rows: dict[str, int] = {}
        refused: dict[str, str] = {}
        for film, loaded in _decoded(distinct, size, progress):
            if isinstance(loaded, str):
                refused[film.sha256] = loaded
            else:
                rows[film.sha256] = len(rows)
                pixels[rows[film.sha256]] = loaded
        pixels.flush()
        del pixels
        index = {
            "rows": rows,
            "refused": refused,
            "preparation": preparation.PREPARATION,
        }
        documents.replace(draft / INDEX, index)
        shutil.rmtree(folder, ignore_errors=True)
        draft.rename(folder)


def _decoded(
    films: Sequence[LabelledFilm], size: int, progress: Progress
) -> Iterator[tuple[LabelledFilm, NDArray[np.uint8] | str]]:
    def load(film: LabelledFilm) -> NDArray[np.uint8] | str:
        try:
            pixels = read_film(film.path.read_bytes()).pixels
        except ImageError as error:
            return error.message
        return np.rint(preparation.resize(pixels, size)).astype(np.uint8)

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as threads:
        done = 0
        for chunk in _chunks(films):
            yield from zip(chunk, threads.map(load, chunk), strict=True)
            done += len(chunk)
            progress(done, len(films))


def _chunks(films: Iterable[LabelledFilm]) -> Iterator[list[LabelledFilm]]:
    waiting = iter(films)
    while chunk := list(islice(waiting, CHUNK)):
        yield chunk


def _read(folder: Path) -> PreparedFilms | None:
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        pixels = np.load(folder / PIXELS, mmap_mode="r", allow_pickle=False)
        if index["preparation"] != preparation.PREPARATION:
            return None
        rows = {str(k): int(v) for k, v in index["rows"].items()}
        if rows and max(rows.values()) >= len(pixels):
            return None
        return PreparedFilms(pixels=pixels, rows=rows, refused=dict(index["refused"]))
    except documents.DAMAGE:
        return None


def _sweep(parent: Path) -> None:
    # What a killed run left; another run that makes one now has touched it lately.
    for draft in parent.glob(f"{disk.DRAFT}*"):
        if disk.age(draft / PIXELS) > 3600:
            shutil.rmtree(draft, ignore_errors=True)


def _drop_oldest(parent: Path) -> None:
    arrays = [path for path in parent.iterdir() if not path.name.startswith(".")]
    for path in sorted(arrays, key=disk.age)[KEPT:]:
        shutil.rmtree(path, ignore_errors=True)
