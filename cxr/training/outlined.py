"""Films with drawn lungs: read, split by patient, and changed at random.

It owns what the lung network learns from; it is the data side of `lungs`."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import keras
import numpy as np
from numpy.typing import NDArray

from cxr.datasets import folders
from cxr.datasets.splits import SPLIT_SEED, split_by_patient
from cxr.errors import DatasetError, ImageError
from cxr.films import preparation
from cxr.films.film import read_film
from cxr.models.lungs import SIZE

logger = logging.getLogger(__name__)
BATCH = 16

Films = NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, eq=False)
class OutlinedFilms:
    """Films with their drawn lungs.

    Attributes:
        names: of the films, below the data folder.
        patients: of each film.
        films: `uint8`, shape `(n, 128, 128)`, as a network sees them.
        masks: `uint8`, same shape, 1 inside the lungs.
    """

    names: tuple[str, ...]
    patients: tuple[str, ...]
    films: Films
    masks: Films


def read_outlined(source: Path, masks: Path) -> dict[str, OutlinedFilms]:
    """Returns the films that have drawn lungs, by split; no patient is in two.

    The splits are those of the classifiers with the same seed, so no network has seen
    a patient whom another one is tested on.

    Args:
        source: the data folder or manifest of the films.
        masks: folder of PNG files named as the films; bright is lung.

    Raises:
        DatasetError: no film has a mask.
    """
    films = folders.at_home(folders.with_hashes(folders.scan(source)))
    parts = split_by_patient(folders.join_copies(films), seed=SPLIT_SEED)
    outlined = {
        name: _outlined(
            [f for f in part if (masks / f"{f.path.stem}.png").is_file()], masks
        )
        for name, part in parts.items()
    }
    if not all(len(part.names) for part in outlined.values()):
        raise DatasetError("There are splits without a film with drawn lungs.")
    return outlined


def _outlined(films: Sequence[folders.LabelledFilm], masks: Path) -> OutlinedFilms:
    pictures, drawn, kept = [], [], []
    for film in films:
        picture = small(film)
        if picture is None:
            continue
        mask = _drawn(masks / f"{film.path.stem}.png")
        pictures.append(picture)
        drawn.append(preparation.resize(mask, SIZE) > 127)
        kept.append(film)
    shape = (len(kept), SIZE, SIZE)
    return OutlinedFilms(
        names=tuple(film.name for film in kept),
        patients=tuple(film.patient_id for film in kept),
        films=np.asarray(pictures, np.uint8).reshape(shape),
        masks=np.asarray(drawn, np.uint8).reshape(shape),
    )


def small(film: folders.LabelledFilm) -> Films | None:
    """Returns a film as the lung network sees it, `uint8`, `(128, 128)`; None for a
    file that is no film, which is logged.
    """
    try:
        pixels = read_film(film.path.read_bytes()).pixels
    except ImageError as error:
        # Named by its content: a file name can be a patient's.
        logger.warning("left out: %s (%s)", film.sha256[:12], error.message)
        return None
    return preparation.network_input(pixels, SIZE)[..., 0].round().astype(np.uint8)


def _drawn(path: Path) -> NDArray[np.float32]:
    """Returns a drawn mask, bright is lung; of one bit, so no film that may be read."""
    # Read here: OpenCV takes no name that isn't UTF-8.
    content = np.frombuffer(path.read_bytes(), np.uint8)
    mask = cv2.imdecode(content, cv2.IMREAD_GRAYSCALE) if content.size else None
    if mask is None:
        raise DatasetError(f"{path.name} is no picture of drawn lungs.")
    return mask.astype(np.float32)


class DrawnFilms(keras.utils.PyDataset):
    """Batches of changed films with their lungs; each epoch draws anew."""

    def __init__(self, part: OutlinedFilms, *, seed: int, calm_from: int) -> None:
        """Takes the films of one split.

        Args:
            part: the films.
            seed: decides order and changes.
            calm_from: the epoch, from 0, after which films are changed half as much.
        """
        super().__init__()
        self._part = part
        self._seed = seed
        self._calm_from = calm_from
        self.begin(0)

    def __len__(self) -> int:
        """Returns the number of whole batches in an epoch."""
        return len(self._part.names) // BATCH

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Returns a batch: films and masks, both `(16, 128, 128, 1)`."""
        rows = self._order[index * BATCH : (index + 1) * BATCH]
        pairs = [
            changed(
                self._part.films[row],
                self._part.masks[row],
                np.random.default_rng([self._seed, self._epoch, int(row)]),
                strength=0.5 if self._epoch >= self._calm_from else 1.0,
            )
            for row in rows
        ]
        films, masks = zip(*pairs, strict=True)
        return np.stack(films)[..., np.newaxis], np.stack(masks)[..., np.newaxis]

    def begin(self, epoch: int) -> None:
        """Takes the order and the changes of this epoch, from 0."""
        self._epoch = epoch
        rng = np.random.default_rng([self._seed, epoch])
        self._order = rng.permutation(len(self._part.names))


def changed(
    film: Films, mask: Films, rng: np.random.Generator, *, strength: float = 1.0
) -> tuple[NDArray[np.float32], Films]:
    """Returns a film and its lungs after one random turn, stretch and change of tone.

    Args:
        film: `uint8`, shape `(size, size)`.
        mask: `uint8`, same shape.
        rng: decides everything.
        strength: of turn, stretch and tone; 1 is as strong as they get.
    """
    size = film.shape[0]
    turn = _random_map(size, rng, strength)
    moved = cv2.warpAffine(
        film.astype(np.float32),
        turn,
        (size, size),
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=float(rng.choice([0.0, float(film.mean())])),
    )
    lungs = cv2.warpAffine(mask, turn, (size, size), flags=cv2.INTER_NEAREST)
    moved = _whitened(moved, lungs, rng)
    low, high = strength * rng.uniform(0, 60), 255 - strength * rng.uniform(0, 65)
    tone = (moved / 255) ** np.exp(rng.normal(0, 0.35 * strength))
    moved = low + tone * (high - low)
    if rng.random() < 0.3:
        moved = cv2.GaussianBlur(moved, (0, 0), rng.uniform(0.3, 1.2))
    if rng.random() < 0.3:
        moved = moved + rng.normal(0, rng.uniform(0, 6), moved.shape)
    return np.clip(moved, 0, 255).astype(np.float32), lungs


def _random_map(
    size: int, rng: np.random.Generator, strength: float
) -> NDArray[np.float64]:
    """Returns a turn by up to 25 degrees, stretched, shifted and at times mirrored."""
    degrees = rng.normal(0, 9) if rng.random() < 0.9 else rng.uniform(-25, 25)
    angle = np.deg2rad(strength * degrees)
    stretch = np.exp(rng.normal(0, 0.15, 2)) * np.exp(rng.normal(-0.05, 0.12))
    stretch **= strength
    if rng.random() < 0.5:
        stretch[0] = -stretch[0]
    turned = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turned = turned @ np.diag(stretch)
    centre = np.array([(size - 1) / 2] * 2)
    shift = rng.normal(0, 0.06 * size * strength, 2)
    return np.column_stack([turned, centre + shift - turned @ centre])


def _whitened(
    film: NDArray[np.float32], lungs: Films, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Returns the film with, at times, an opacity that fills a part of the lungs."""
    if rng.random() < 0.65 or not lungs.any():
        return film
    size = film.shape[0]
    rows, columns = np.nonzero(lungs)
    at = rng.integers(len(rows))
    y, x = np.mgrid[0:size, 0:size]
    radius = rng.uniform(0.08, 0.35, 2) * size
    spot = np.exp(
        -(((y - rows[at]) / radius[0]) ** 2) - ((x - columns[at]) / radius[1]) ** 2
    )
    full = np.percentile(film[lungs > 0], 95) + rng.uniform(0, 40)
    weight = (
        spot
        * rng.uniform(0.3, 1.0)
        * cv2.GaussianBlur(lungs.astype(np.float32), (0, 0), 2.0)
    )
    return film + (full - film) * weight.astype(np.float32)
