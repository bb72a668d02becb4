"""A model folder and films to predictions, by OpenVINO; TensorFlow is never imported.

A model is loaded only if its files have the hashes on its card, its pixel contract is
this package's, and it still gives its golden scores. A score that isn't finite is an
error, never a reading.
"""

import io
import threading
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxr import preprocessing, registry, subtypes
from cxr.errors import ImageError, ModelError
from cxr.evaluation import Scaling
from cxr.images import Film
from cxr.registry import Card
from cxr.subtypes import SubtypeHead
from cxr.tones import StandardTone

GOLDEN_TOLERANCE = 1e-3  # probability; other processors add in another order
BATCH = 16

PNEUMONIA, NORMAL, UNCERTAIN = "PNEUMONIA", "NORMAL", "UNCERTAIN"
OUTPUTS = ("logit", "activation_map", "pooled")

# What NumPy raises on a file of arrays that is none.
_UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    KeyError,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """What a network says about a batch of inputs.

    Attributes:
        logits: `float32`, shape `(n,)`, not calibrated.
        activation_maps: `float32`, shape `(n, h, w)`, each position's share of the
            logit.
        pooled: `float32`, shape `(n, channels)`.
        spread: of an ensemble, how far its members are apart: the standard deviation
            of their calibrated logits, `float32`, shape `(n,)`; else None.
    """

    logits: NDArray[np.float32]
    activation_maps: NDArray[np.float32]
    pooled: NDArray[np.float32]
    spread: NDArray[np.float32] | None = None


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


class Network:
    """A network that OpenVINO runs in strict float32; threads may share it.

    Attributes:
        size: edge of its square input in pixels.
        channels: number of its pooled features.
        tone: towards which films are moved first; None for none.
    """

    def __init__(
        self,
        xml: bytes,
        weights: bytes,
        *,
        threads: int = 0,
        tone: StandardTone | None = None,
    ) -> None:
        """Compiles the network for one film; for batches when they first come.

        Args:
            xml: OpenVINO's description of the graph.
            weights: its constants.
            threads: processor threads, 0 for all.
            tone: of the model's card.

        Raises:
            ModelError: OpenVINO can't read or compile it, or it is no such network.
        """
        from cxr.runtime import openvino

        core = openvino.Core()
        # By default OpenVINO computes in bfloat16 where the processor can: other
        # machines would give other scores.
        self._settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32"}
        if threads:
            self._settings["INFERENCE_NUM_THREADS"] = threads
        try:
            self._graph = core.read_model(model=xml, weights=weights)
            size = self._graph.input(0).partial_shape[1].get_length()
            self._one = self._compile(core, 1, size)
            shapes = [self._one.output(name).shape for name in OUTPUTS]
        except (RuntimeError, IndexError) as error:
            raise ModelError(
                "The network file can't be read; it is damaged or was made for another "
                "version.",
                code="damaged-model",
            ) from error
        if [len(shape) for shape in shapes] != [2, 3, 2] or shapes[0][1] != 1:
            raise ModelError(
                "The network does not give one score and one map for a film.",
                code="damaged-model",
            )
        self._core = core
        self._many: Any = None
        # A compiled network answers one call at a time and refuses a second.
        self._lock = threading.Lock()
        self.size = size
        self.channels = int(shapes[2][1])
        self.tone = tone

    def prepare(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns the input `(size, size, 1)` for a film's pixels `(height, width)`."""
        return preprocessing.network_input(pixels, self.size, self.tone)

    def __call__(self, inputs: NDArray[np.float32]) -> Outputs:
        """Returns the outputs for inputs of shape `(n, size, size, 1)`, `n` above 0.

        What does not fill a batch is scored one by one: filling it up would take
        longer.
        """
        whole = len(inputs) // BATCH * BATCH
        with self._lock:
            if whole and self._many is None:
                self._many = self._compile(self._core, BATCH, self.size)
            parts = [
                _outputs(self._many(inputs[i : i + BATCH], share_inputs=True))
                for i in range(0, whole, BATCH)
            ]
            parts += [
                _outputs(self._one(inputs[i : i + 1], share_inputs=True))
                for i in range(whole, len(inputs))
            ]
        return _joined(parts)

    def _compile(self, core: Any, batch: int, size: int) -> Any:
        graph = self._graph.clone()
        graph.reshape([batch, size, size, 1])
        return core.compile_model(graph, "CPU", self._settings)


class Ensemble:
    """Several networks that score as one; threads may share it.

    The logit is the mean of the members' calibrated logits. The activation map is the
    mean of theirs, each times the slope of its calibration, so that it stays each
    position's share of the logit (nearly, where a calibration is isotonic); a smaller
    map is enlarged to the largest.

    Attributes:
        size: edge of the largest member's input in pixels.

    Reference:
        Lakshminarayanan et al., NeurIPS 2017 (deep ensembles; spread as uncertainty).
    """

    def __init__(self, members: Sequence[tuple[Network, Scaling]]) -> None:
        """Keeps each network with its own calibration; at least one."""
        self._members = tuple(members)
        kinds = dict.fromkeys((network.size, network.tone) for network, _ in members)
        self._kinds = tuple(kinds)
        self.size = max(size for size, _ in kinds)

    def prepare(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns the inputs of all sizes and tones that members take, in one flat
        array.
        """
        inputs = [
            preprocessing.network_input(pixels, size, tone)
            for size, tone in self._kinds
        ]
        return np.concatenate([item.ravel() for item in inputs])

    def __call__(self, inputs: NDArray[np.float32]) -> Outputs:
        """Returns the outputs for inputs of `prepare`, stacked, at least one."""
        ends = np.cumsum([size**2 for size, _ in self._kinds])[:-1]
        parts = np.split(inputs, ends, axis=1)
        of_kind = {
            (size, tone): np.ascontiguousarray(part).reshape(-1, size, size, 1)
            for (size, tone), part in zip(self._kinds, parts, strict=True)
        }
        found = [
            (net(of_kind[net.size, net.tone]), scaling)
            for net, scaling in self._members
        ]
        logits = np.stack([scaling.scaled(o.logits) for o, scaling in found])
        maps = [scaling.slope * o.activation_maps for o, scaling in found]
        return Outputs(
            logits=logits.mean(axis=0).astype(np.float32),
            activation_maps=_mean_map(maps),
            pooled=np.concatenate([o.pooled for o, _ in found], axis=1),
            spread=logits.std(axis=0, ddof=min(1, len(found) - 1)).astype(np.float32),
        )


class Model:
    """A registered model, ready to read films."""

    def __init__(
        self,
        card: Card,
        network: Network | Ensemble,
        second_opinion: SubtypeHead | None = None,
    ) -> None:
        """Keeps them; `load` is how a model is got."""
        self.card = card
        self.network = network
        self.second_opinion = second_opinion
        self.sha256 = card.weights_sha256

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
        self, inputs: Iterable[NDArray[np.float32]]
    ) -> Iterator[Prediction | ImageError]:
        """Yields a prediction for each prepared input, in order, batch by batch.

        A film whose score is not finite yields the error in its place.
        """
        batch: list[NDArray[np.float32]] = []
        for item in inputs:
            batch.append(item)
            if len(batch) == BATCH:
                yield from self._predict_batch(np.stack(batch))
                batch = []
        if batch:
            yield from self._predict_batch(np.stack(batch))

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
        self, inputs: NDArray[np.float32]
    ) -> Iterator[Prediction | ImageError]:
        outputs = self.network(inputs)
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
        return dict(zip(subtypes.CLASSES, parts, strict=True))


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
    if card.preparation != preprocessing.PREPARATION:
        raise ModelError(
            f"Model {card.model_id} was trained on films prepared in another way "
            f"({card.preparation}); this version prepares them by "
            f"{preprocessing.PREPARATION}.",
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
        second_opinion = subtypes.read(
            registry.read_file(models_dir, card, registry.SUBTYPES), network.channels
        )
    model = Model(card, network, second_opinion)
    _check_golden(model, registry.read_file(models_dir, card, registry.GOLDEN))
    return model


def activate(models_dir: Path, model_id: str) -> Card:
    """Makes a model the one that serves, after it has shown that it can.

    Raises:
        ModelError: as `load`, or another of its files was changed; the model that
            served before still does.
    """
    load(models_dir, model_id)
    return registry.activate(models_dir, model_id)


def _network(models_dir: Path, card: Card, threads: int) -> Network | Ensemble:
    if not card.members:
        return Network(
            registry.read_file(models_dir, card, registry.NETWORK),
            registry.read_file(models_dir, card, registry.NETWORK_WEIGHTS),
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
    except _UNREADABLE as error:
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


def _outputs(result: Any) -> Outputs:
    # OpenVINO reuses its buffers at the next call.
    return Outputs(
        logits=result["logit"][:, 0].copy(),
        activation_maps=result["activation_map"].copy(),
        pooled=result["pooled"].copy(),
    )


def _mean_map(maps: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    height, width = np.max([one.shape[1:] for one in maps], axis=0)
    same = [
        one
        if one.shape[1:] == (height, width)
        else np.stack([_enlarged(film, int(height), int(width)) for film in one])
        for one in maps
    ]
    return np.stack(same).mean(axis=0).astype(np.float32)


def _enlarged(
    activation_map: NDArray[np.float32], height: int, width: int
) -> NDArray[np.float32]:
    import cv2

    return np.asarray(
        cv2.resize(activation_map, (width, height), interpolation=cv2.INTER_LINEAR)
    )


def _joined(parts: list[Outputs]) -> Outputs:
    if len(parts) == 1:
        return parts[0]
    return Outputs(
        logits=np.concatenate([p.logits for p in parts]),
        activation_maps=np.concatenate([p.activation_maps for p in parts]),
        pooled=np.concatenate([p.pooled for p in parts]),
    )
