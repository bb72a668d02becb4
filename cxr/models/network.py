"""A network as OpenVINO runs it: films in, outputs and heat maps out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cxr.errors import ModelError
from cxr.evaluation.calibration import Scaling
from cxr.films import preparation
from cxr.films.tones import StandardTone
from cxr.models.compiled import CompiledGraph

OUTPUTS = ("logit", "activation_map", "pooled")


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
        """Compiles the network for one film; for films side by side when they come.

        Args:
            xml: OpenVINO's description of the graph.
            weights: its constants.
            threads: processor threads, 0 for all.
            tone: of the model's card.

        Raises:
            ModelError: OpenVINO can't read or compile it, or it is no such network.
        """
        try:
            self._graph = CompiledGraph(xml, weights, threads=threads)
            shapes = [self._graph.shape(name) for name in OUTPUTS]
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
        self.size = self._graph.size
        self.channels = shapes[2][1]
        self.tone = tone

    def prepare(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns the input `(size, size, 1)` for a film's pixels `(height, width)`."""
        return preparation.network_input(pixels, self.size, self.tone)

    def __call__(self, inputs: NDArray[np.float32], *, beside: bool = False) -> Outputs:
        """Returns the outputs for inputs of shape `(n, size, size, 1)`, `n` above 0.

        `beside` says that other threads call it at the same time (`CompiledGraph`).
        """
        found = self._graph(inputs, OUTPUTS, beside=beside)
        return Outputs(
            logits=found["logit"][:, 0],
            activation_maps=found["activation_map"],
            pooled=found["pooled"],
        )


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
            preparation.network_input(pixels, size, tone) for size, tone in self._kinds
        ]
        return np.concatenate([item.ravel() for item in inputs])

    def __call__(self, inputs: NDArray[np.float32], *, beside: bool = False) -> Outputs:
        """Returns the outputs for inputs of `prepare`, stacked, at least one."""
        ends = np.cumsum([size**2 for size, _ in self._kinds])[:-1]
        parts = np.split(inputs, ends, axis=1)
        of_kind = {
            (size, tone): np.ascontiguousarray(part).reshape(-1, size, size, 1)
            for (size, tone), part in zip(self._kinds, parts, strict=True)
        }
        outputs = [
            (net(of_kind[net.size, net.tone], beside=beside), scaling)
            for net, scaling in self._members
        ]
        logits = np.stack([scaling.scaled(o.logits) for o, scaling in outputs])
        maps = [scaling.slope * o.activation_maps for o, scaling in outputs]
        return Outputs(
            logits=logits.mean(axis=0).astype(np.float32),
            activation_maps=_mean_map(maps),
            pooled=np.concatenate([o.pooled for o, _ in outputs], axis=1),
            spread=logits.std(axis=0, ddof=min(1, len(outputs) - 1)).astype(np.float32),
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
