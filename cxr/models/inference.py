"""A model folder and films to predictions, by OpenVINO; TensorFlow is never imported.

A model is loaded only if its files have the hashes on its card, its pixel contract is
this package's, and it still gives its golden scores. A score that isn't finite is an
error, never a reading.
"""

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cxr import documents
from cxr.errors import ImageError, ModelError
from cxr.films import preparation
from cxr.films.film import Film
from cxr.models import cards, registry
from cxr.models.cards import Card
from cxr.models.network import Ensemble, Network
from cxr.models.subtypes import CLASSES, SubtypeHead, read

BATCH = 64  # inputs that are held at once
GOLDEN_TOLERANCE = 1e-3  # probability; other processors add in another order

PNEUMONIA, NORMAL, UNCERTAIN = "PNEUMONIA", "NORMAL", "UNCERTAIN"


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a model says about one film.

    Attributes:
        probability: calibrated, `[0, 1]`, at the prevalence of the calibration films.
        activation_map: `float32`, shape `(h, w)`, each position's share of the logit.
        pooled: `float32`, shape `(channels,)`, the features behind the score.
        model_id: the model that said it.
        model_sha256: of its network's weights.
        subtypes: the second opinion, probability by class (`subtypes.CLASSES`); None
            from a model that has none.
        logit: before the calibration of the card.
        spread: of an ensemble, how far its members are apart, in logits; else None.
    """

    probability: float
    activation_map: NDArray[np.float32]
    pooled: NDArray[np.float32]
    model_id: str
    model_sha256: str
    logit: float
    subtypes: dict[str, float] | None = None
    spread: float | None = None


class Model:
    """A registered model, ready to read films."""

    def __init__(
        self,
        card: Card,
        network: Network | Ensemble,
        second_opinion: SubtypeHead | None = None,
        *,
        card_sha256: str = "",
    ) -> None:
        """Keeps them; `load` is how a model is got.

        `card_sha256` is of the file that the card was read from.
        """
        self.card = card
        self.network = network
        self.second_opinion = second_opinion
        self.sha256 = card.weights_sha256
        self.card_sha256 = card_sha256

    def predict(self, film: Film) -> Prediction:
        """Returns the prediction for one film.

        Raises:
            ImageError: the score is not a finite number (code `not-scored`).
        """
        prediction = next(self.predict_inputs([self.input(film)]))
        if isinstance(prediction, ImageError):
            raise prediction
        return prediction

    def predict_inputs(
        self, inputs: Iterable[NDArray[np.float32]], *, beside: bool = False
    ) -> Iterator[Prediction | ImageError]:
        """Yields a prediction for each prepared input, in order, batch by batch.

        A film whose score is not finite yields the error in its place. `beside` says
        that other threads ask at the same time: each film then gets one processor.
        """
        batch: list[NDArray[np.float32]] = []
        for item in inputs:
            batch.append(item)
            if len(batch) == BATCH:
                yield from self._predict_batch(np.stack(batch), beside)
                batch = []
        if batch:
            yield from self._predict_batch(np.stack(batch), beside)

    def input(self, film: Film) -> NDArray[np.float32]:
        """Returns the network's input for a film, by the pixel contract."""
        return self.network.prepare(film.pixels)

    def decide(self, probability: float, threshold: float) -> str:
        """Returns `PNEUMONIA`, `NORMAL`, or `UNCERTAIN` within the band.

        Args:
            probability: of the film, `[0, 1]`.
            threshold: the reader's operating point, `[0, 1]`.

        Raises:
            ValueError: one of them is not in this range; what is not a number would
                pass for a low probability.
        """
        if not 0 <= probability <= 1:
            raise ValueError(f"expected a value from 0 to 1, received {probability=}")
        low, high = self.band(threshold)
        if low <= probability < high:
            return UNCERTAIN
        return PNEUMONIA if probability >= high else NORMAL

    def band(self, threshold: float) -> tuple[float, float]:
        """Returns the edges of the uncertain band around a threshold, `[0, 1]`.

        Raises:
            ValueError: the threshold is not in `[0, 1]`.
        """
        return self.card.uncertain_band.around(threshold)

    def _predict_batch(
        self, inputs: NDArray[np.float32], beside: bool
    ) -> Iterator[Prediction | ImageError]:
        outputs = self.network(inputs, beside=beside)
        # Several films in one batch stay apart: a NaN in one does not reach another.
        each = tuple(range(1, inputs.ndim))
        finite = np.isfinite(outputs.logits) & np.isfinite(inputs).all(axis=each)
        logits = np.where(finite, outputs.logits, 0).astype(np.float64)
        probabilities = self.card.calibration.apply(logits)
        for i, probability in enumerate(probabilities):
            if not finite[i]:
                yield ImageError("This film could not be scored.", code="not-scored")
                continue
            yield Prediction(
                probability=float(probability),
                activation_map=outputs.activation_maps[i],
                pooled=outputs.pooled[i],
                model_id=self.card.model_id,
                model_sha256=self.sha256,
                logit=float(logits[i]),
                subtypes=self._subtypes(float(probability), outputs.pooled[i]),
                spread=None if outputs.spread is None else float(outputs.spread[i]),
            )

    def _subtypes(
        self, probability: float, pooled: NDArray[np.float32]
    ) -> dict[str, float] | None:
        if self.second_opinion is None:
            return None
        share = float(self.second_opinion.bacterial_share(pooled))
        parts = (1 - probability, probability * share, probability * (1 - share))
        return dict(zip(CLASSES, parts, strict=True))


def load(models_dir: Path, model_id: str | None = None, *, threads: int = 0) -> Model:
    """Returns a model of the registry, the active one by default.

    Args:
        models_dir: the registry.
        model_id: which one, None for the active one.
        threads: processor threads for one inference, 0 for all.

    Raises:
        ModelError: there is none, a file was changed, the pixel contract is another
            version's, the network is not the card's, or the golden scores differ.
    """
    if model_id is None:
        model_id = registry.active_id(models_dir)
    card = registry.read_card(models_dir, model_id)
    if card.preparation != preparation.PREPARATION:
        raise ModelError(
            f"Model {card.model_id} was trained on films prepared in another way "
            f"({card.preparation}); this version prepares them by "
            f"{preparation.PREPARATION}.",
            code="other-preparation",
        )
    if card.classes != (NORMAL, PNEUMONIA):
        raise ModelError(
            f"Model {card.model_id} does not score pneumonia against normal but "
            f"{' against '.join(reversed(card.classes))}.",
            code="other-classes",
        )
    network = _network(models_dir, card, threads)
    if card.input_size != network.size:
        raise ModelError(
            f"The network of model {card.model_id} takes films of {network.size} "
            f"pixels, not of {card.input_size} as its card says.",
            code="damaged-model",
        )
    second_opinion = None
    if card.subtypes is not None and isinstance(network, Network):
        second_opinion = read(
            registry.read_file(models_dir, card, cards.SUBTYPES), network.channels
        )
    sha256 = registry.card_sha256(models_dir, card.model_id)
    model = Model(card, network, second_opinion, card_sha256=sha256)
    _check_golden(model, registry.read_file(models_dir, card, cards.GOLDEN))
    return model


def activate(models_dir: Path, model_id: str) -> Card:
    """Makes a model the one that serves, once it loads and gives its golden scores.

    Raises:
        ModelError: as `load`, or another of its files was changed; the model that
            served before still does.
    """
    load(models_dir, model_id)
    return registry.activate(models_dir, model_id)


def _network(models_dir: Path, card: Card, threads: int) -> Network | Ensemble:
    if not card.members:
        return Network(
            registry.read_file(models_dir, card, cards.NETWORK),
            registry.read_file(models_dir, card, cards.NETWORK_WEIGHTS),
            threads=threads,
            tone=card.tone,
        )
    return Ensemble(
        [
            (
                Network(
                    *registry.read_member(models_dir, card, m),
                    threads=threads,
                    tone=m.tone,
                ),
                m.calibration,
            )
            for m in card.members
        ]
    )


def _check_golden(model: Model, content: bytes) -> None:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as golden:
            films, expected = golden["films"], golden["probabilities"]
        agrees = len(films) == len(expected) > 0 and all(
            _gives(model, film, probability)
            for film, probability in zip(films, expected, strict=True)
        )
    except documents.DAMAGE as error:
        raise ModelError(
            f"The golden scores of model {model.card.model_id} can't be read. It "
            "doesn't serve.",
            code="damaged-model",
        ) from error
    if not agrees:
        raise ModelError(
            f"Model {model.card.model_id} does not give its golden scores on this "
            "machine. It doesn't serve.",
            code="golden-score",
        )


def _gives(model: Model, film: NDArray[np.uint8], probability: float) -> bool:
    inputs = model.network.prepare(film.astype(np.float32))
    scored = next(model.predict_inputs([inputs]))
    if isinstance(scored, ImageError):
        return False
    # Not "greater than": a nan agrees with nothing.
    return bool(abs(scored.probability - probability) <= GOLDEN_TOLERANCE)
