"""The films of one split as a network gets them: shuffled, augmented, weighted."""

from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray

from cxr.datasets.folders import LabelledFilm
from cxr.films import changes, preparation
from cxr.runs.config import PLAIN, STYLE, TrainConfig
from cxr.training.draws import draw, draw_harder, draw_plain
from cxr.training.frozen import FrozenFeatures
from cxr.training.weights import film_weights

HARDER = "harder"
MOST_VALIDATION_FILMS = 4000
# A network that has only seen films takes what shows nothing for pneumonia: detail is
# what it knows normal lungs by. So some pictures show nothing and count as normal, with
# the weight of the film whose place they take.
EMPTY_SHARE = 0.04


@dataclass(frozen=True, kw_only=True)
class PreparedSplit:
    """The readable films of one split, reduced to the network's size.

    Attributes:
        films: in the order of `rows`.
        pixels: `uint8`, shape `(any, size, size)`, the films of all splits; may be
            mapped from a file.
        rows: `int64`, shape `(n,)`, where in `pixels` each film is.
        labels: `float32`, shape `(n,)`, 1 for pneumonia.
    """

    films: tuple[LabelledFilm, ...]
    pixels: NDArray[np.uint8]
    rows: NDArray[np.int64]
    labels: NDArray[np.float32]

    @property
    def places(self) -> list[str]:
        """The place of each film, empty for home."""
        return [film.place for film in self.films]

    def film(self, index: int) -> NDArray[np.float32]:
        """Returns one film, `float32`, shape `(size, size)`, range `[0, 255]`."""
        return self.pixels[self.rows[index]].astype(np.float32)

    def own_pixels(self) -> NDArray[np.uint8]:
        """Returns a copy of this split's films, `uint8`, shape `(n, size, size)`."""
        return self.pixels[self.rows]

    def part(self, chosen: NDArray[np.int64]) -> "PreparedSplit":
        """Returns the split with these films alone."""
        return PreparedSplit(
            films=tuple(self.films[i] for i in chosen),
            pixels=self.pixels,
            rows=self.rows[chosen],
            labels=self.labels[chosen],
        )


class AugmentedFilms(keras.utils.PyDataset):
    """Batches of shuffled, augmented films; the same for a seed, epoch and index.

    With `consistency` a batch has half as many films, each drawn twice, one draw after
    the other.
    """

    def __init__(
        self,
        split: PreparedSplit,
        config: TrainConfig,
        features: FrozenFeatures | None = None,
    ) -> None:
        """Keeps the films and the frozen part that they pass first, if any.

        `epoch` is what the draws depend on; while `fit` runs it is the number of the
        epoch from 1 (`callbacks.DrawAnew`).
        """
        super().__init__()
        self.split = split
        self.config = config
        self.features = features
        self.weights = film_weights(split.labels, split.places)
        self.epoch = 0

    def __len__(self) -> int:
        """Returns the number of whole batches in an epoch."""
        return max(1, len(self.split.films) // self._films_in_a_batch)

    @property
    def _films_in_a_batch(self) -> int:
        return max(1, self.config.batch_size // self.config.draws_of_a_film)

    @property
    def style(self) -> str:
        """How films are changed in this epoch."""
        config = self.config
        if config.is_made_harder and self.epoch >= config.harder_from:
            return HARDER
        return config.augmentation

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], ...]:
        """Returns inputs or their features, labels `(b, 1)` and weights `(b,)`.

        With `consistency` labels are `(b, 2)`, as `consistency.PairedLoss` takes them.
        """
        seed, size = self.config.seed, self._films_in_a_batch
        order = np.random.default_rng([seed, 2, self.epoch]).permutation(
            len(self.split.films)
        )
        chosen = order[index * size : (index + 1) * size]
        if self.config.consistency:
            # Of fewer films than that some come again: devices share whole pairs.
            chosen = np.repeat(np.resize(chosen, size), self.config.draws_of_a_film)
        rng = np.random.default_rng([seed, 3, self.epoch, index])
        style = self.style
        labels = self.split.labels[chosen]
        is_empty = np.zeros(len(chosen), np.bool_)
        if style == HARDER:
            is_empty = rng.random(len(chosen)) < EMPTY_SHARE
        inputs = [
            augmented(self.split, i, rng, style, is_empty=bool(nothing))
            for i, nothing in zip(chosen, is_empty, strict=True)
        ]
        batch = np.stack(inputs)[..., np.newaxis]
        if self.features:
            batch = self.features(batch)
        targets = np.where(is_empty, 0, labels)[:, np.newaxis]
        if self.config.consistency:
            targets = np.column_stack([targets, ~is_empty]).astype(np.float32)
        return batch, targets, self.weights[chosen]


def augmented(
    split: PreparedSplit,
    index: int,
    rng: np.random.Generator,
    style: str,
    *,
    is_empty: bool = False,
) -> NDArray[np.float32]:
    """Returns one film after random changes, prepared as the network gets it.

    Args:
        split: whose film it is, and whose films may lend it their tone curve.
        index: of the film.
        rng: the source of randomness.
        style: `style`, `harder` or `plain`.
        is_empty: whether what the film shows is taken away first.

    Raises:
        ValueError: no such style.
    """
    if style == PLAIN:
        draws = draw_plain(rng)
    elif style == STYLE:
        draws = draw(rng, n_references=len(split.films))
    elif style == HARDER:
        draws = draw_harder(rng, n_references=len(split.films))
    else:
        raise ValueError(
            f"expected {PLAIN}, {STYLE} or {HARDER}, received augmentation={style!r}"
        )
    reference = None if draws.reference is None else split.film(draws.reference)
    film = split.film(index)
    if is_empty:
        film = changes.empty(film, rng)
    return preparation.low_pass(changes.apply(film, draws, reference))


def styled_validation(
    split: PreparedSplit, config: TrainConfig, features: FrozenFeatures | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Returns inputs, labels and weights: each film as it is and once restyled.

    With `features` the inputs are what that frozen part makes of the films.

    Films as they are look like the training films and are soon all classified; the
    copy with one fixed set of draws keeps the validation loss sensitive to shortcuts,
    whichever augmentation the run has. Of a large split `MOST_VALIDATION_FILMS` are
    taken, always the same ones.

    Args:
        split: the validation films.
        config: of the run; its seed decides the draws.
        features: the frozen part of the network; None if all of it learns.
    """
    rng = np.random.default_rng([config.seed, 1])
    if len(split.films) > MOST_VALIDATION_FILMS:
        order = rng.permutation(len(split.films))[:MOST_VALIDATION_FILMS]
        split = split.part(np.sort(order))
    n = len(split.films)
    inputs = [preparation.low_pass(split.film(i)) for i in range(n)]
    inputs += [augmented(split, i, rng, STYLE) for i in range(n)]
    labels = np.tile(split.labels, 2)[:, np.newaxis]
    batch = np.stack(inputs)[..., np.newaxis]
    weights = film_weights(labels, split.places * 2)
    return features(batch) if features else batch, labels, weights
