"""The labelled films of a suite: decoded and reduced once, all in one array."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cxr.datasets import folders, prepared
from cxr.datasets.folders import LabelledFilm
from cxr.datasets.splits import rows_of
from cxr.errors import DatasetError

UNSEEN = ("validation", "test")

Integers = NDArray[np.int64]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class FilmSet:
    """Films and what a suite needs of each, all arrays in one order.

    Attributes:
        pixels: `uint8`, shape `(n, size, size)`.
        labels: 1 for pneumonia, `int64`, shape `(n,)`.
        patients: number of each film's patient, `int64`, shape `(n,)`.
        sha256: of each file; what is drawn for a film depends on it and on a seed.
        names: of each film in its data folder.
        splits: which part of the network's training saw it; empty where none did.
        own_splits: the split that its data folder gives it; empty where it gives none.
        file_bytes: size of each file.
    """

    pixels: NDArray[np.uint8]
    labels: Integers
    patients: Integers
    sha256: tuple[str, ...]
    names: tuple[str, ...]
    splits: tuple[str, ...]
    own_splits: tuple[str, ...]
    file_bytes: Integers

    def __len__(self) -> int:
        """The number of films."""
        return len(self.labels)

    def at(self, rows: ArrayLike) -> "FilmSet":
        """Returns the films at these row numbers or where this mask is set."""
        chosen = np.arange(len(self))[np.asarray(rows)]
        return FilmSet(
            pixels=self.pixels[chosen],
            labels=self.labels[chosen],
            patients=self.patients[chosen],
            sha256=tuple(self.sha256[i] for i in chosen),
            names=tuple(self.names[i] for i in chosen),
            splits=tuple(self.splits[i] for i in chosen),
            own_splits=tuple(self.own_splits[i] for i in chosen),
            file_bytes=self.file_bytes[chosen],
        )

    def in_splits(self, wanted: Sequence[str]) -> NDArray[np.bool_]:
        """Returns which films are of these splits, shape `(n,)`."""
        return np.array([split in wanted for split in self.splits], np.bool_)

    def sample(self, n: int) -> "FilmSet":
        """Returns at most `n` films, chosen by their hashes and nothing else."""
        order = sorted(range(len(self)), key=lambda i: self.sha256[i])
        return self.at(np.array(sorted(order[:n]), np.int64))


def of_arrays(
    pixels: NDArray[np.uint8],
    labels: ArrayLike,
    patients: ArrayLike,
    *,
    file_bytes: ArrayLike | None = None,
    splits: Sequence[str] | None = None,
) -> FilmSet:
    """Returns films that are arrays already; their hash is that of the pixels.

    Args:
        pixels: `uint8`, shape `(n, size, size)`.
        labels: 0 or 1, shape `(n,)`.
        patients: anything that tells patients apart, shape `(n,)`.
        file_bytes: shape `(n,)`; zeros if unknown.
        splits: of each film in the network's training, if known.
    """
    n = len(pixels)
    return FilmSet(
        pixels=pixels,
        labels=np.asarray(labels, np.int64),
        patients=_codes(patients),
        sha256=tuple(hashlib.sha256(film.tobytes()).hexdigest() for film in pixels),
        names=tuple(f"film {i}" for i in range(n)),
        splits=tuple(splits) if splits is not None else ("",) * n,
        own_splits=("",) * n,
        file_bytes=np.zeros(n, np.int64)
        if file_bytes is None
        else np.asarray(file_bytes, np.int64),
    )


def load(
    source: Path,
    split_of: Mapping[str, str],
    *,
    size: int,
    cache_dir: Path,
    progress: Progress = lambda done, total: None,
) -> FilmSet:
    """Returns the readable films of a data folder, of home if any are, each file once.

    Decoding is done once for a folder and a size; a training uses the same array.

    Args:
        source: data folder or manifest.
        split_of: a model's own record, split by SHA-256 of the film; may be empty.
        size: edge in pixels.
        cache_dir: where the array is kept.
        progress: told how many of how many films are decoded.

    Raises:
        DatasetError: as `data.scan`, or not one film can be read.
    """
    films = folders.with_hashes(folders.scan(source))
    stored = prepared.prepare(
        films,
        fingerprint=folders.fingerprint(films),
        size=size,
        cache_dir=cache_dir,
        progress=progress,
    )
    home = folders.at_home(films)
    known = {film.sha256: film for film in home if film.sha256 in stored.rows}
    if not known:
        raise DatasetError(f"Not one film of {source} can be read.")
    chosen = list(known.values())
    pixels = np.stack([stored.pixels[stored.rows[film.sha256]] for film in chosen])
    return film_set(chosen, pixels, split_of)


def choose(films: FilmSet, split: str | None) -> FilmSet:
    """Returns the films of one split.

    Args:
        films: of a data folder.
        split: a split of the folder itself; `held-out` for the films that the model was
            tested on; None for all.

    Raises:
        DatasetError: there are none.
    """
    return films.at(rows_of(split, own=films.own_splits, trained=films.splits))


def film_set(
    films: Sequence[LabelledFilm],
    pixels: NDArray[np.uint8],
    split_of: Mapping[str, str] | None = None,
) -> FilmSet:
    """Returns hashed films of a data folder with their reduced pixels.

    Args:
        films: labelled and hashed.
        pixels: `uint8`, shape `(n, size, size)`, in their order.
        split_of: a model's own record, split by SHA-256; None for none.
    """
    split_of = split_of or {}
    return FilmSet(
        pixels=pixels,
        labels=np.array([film.label for film in films], np.int64),
        patients=_codes([film.patient_id for film in films]),
        sha256=tuple(film.sha256 for film in films),
        names=tuple(film.name for film in films),
        splits=tuple(split_of.get(film.sha256, "") for film in films),
        own_splits=tuple(film.split or "" for film in films),
        file_bytes=np.array([film.path.stat().st_size for film in films], np.int64),
    )


def _codes(patients: ArrayLike) -> Integers:
    return np.unique(np.asarray(patients), return_inverse=True)[1].astype(np.int64)
