"""How unlike its training films a picture is, by the lung network's own features.

It owns the gate: a small layer that tells upright frontal chest films from everything
else, and among them those like the training films from those of other patients. What it
refuses gets no score; what it calls unlike gets a score with a sentence.
"""

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxr import documents
from cxr.errors import ModelError
from cxr.evaluation.estimates import Estimate

ALIKE, UNLIKE = "alike", "unlike"
SIDEWAYS, UPSIDE_DOWN, INVERTED = "sideways", "upside down", "inverted"
SOMETHING_ELSE = "something else"
# The order of the gate's outputs; the first two are upright frontal chest films.
KINDS = (ALIKE, UNLIKE, SIDEWAYS, UPSIDE_DOWN, INVERTED, SOMETHING_ELSE)
FRONTAL = 2
LIMIT = 8.0  # standard deviations; a feature further out says no more

_ARRAYS = ("mean", "spread", "hidden", "hidden_bias", "output", "output_bias")

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class GateRecord:
    """What the gate does on films that it was not fitted on; goes on the card.

    Attributes:
        least_frontal: the lowest logit of "upright frontal chest film" that is scored.
        rule: how that was chosen, in words.
        source: where the films came from that are unlike the training films.
        films: of each kind that it was fitted on.
        false_refusals: share of upright frontal test films that it refuses, by place.
        unlike: share of upright frontal test films that it calls unlike, by place.
        refused: share of other test pictures that it refuses, by what they are.
    """

    least_frontal: float
    rule: str
    source: str
    films: dict[str, int]
    false_refusals: dict[str, Estimate]
    unlike: dict[str, Estimate]
    refused: dict[str, Estimate]


@dataclass(frozen=True, kw_only=True)
class Likeness:
    """What the gate says of one picture.

    Attributes:
        frontal: logit of an upright frontal chest film against anything else.
        unlike: logit, among such films, of other patients than the training films show.
        otherwise: what it most likely is if it is no such film, of `KINDS[2:]`.
    """

    frontal: float
    unlike: float
    otherwise: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Gate:
    """Two layers on the pooled features of the lung network.

    Attributes:
        mean: of each feature over upright frontal films, `(channels,)`.
        spread: its standard deviation, `(channels,)`, above 0.
        hidden: weights, `(channels, units)`.
        hidden_bias: `(units,)`.
        output: weights, `(units, len(KINDS))`.
        output_bias: `(len(KINDS),)`.
    """

    mean: Floats
    spread: Floats
    hidden: Floats
    hidden_bias: Floats
    output: Floats
    output_bias: Floats

    def scores(self, pooled: NDArray[np.floating]) -> Floats:
        """Returns a logit of each kind of `KINDS`, `(n, 6)`, for features `(n, c)`."""
        z = np.clip((pooled - self.mean) / self.spread, -LIMIT, LIMIT)
        hidden = np.maximum(z @ self.hidden + self.hidden_bias, 0)
        return np.asarray(hidden @ self.output + self.output_bias)

    def __call__(self, pooled: NDArray[np.floating]) -> list[Likeness]:
        """Returns what the gate says of each picture, for features `(n, channels)`."""
        scores = self.scores(pooled)
        return [
            Likeness(
                frontal=float(frontal),
                unlike=float(row[1] - row[0]),
                otherwise=KINDS[FRONTAL + int(row[FRONTAL:].argmax())],
            )
            for row, frontal in zip(scores, frontal_logits(scores), strict=True)
        ]

    def to_bytes(self) -> bytes:
        """Returns the gate as the content of an `.npz` file."""
        content = io.BytesIO()
        # Half the size; the files' hashes and golden outputs hold for these values.
        arrays: dict[str, Any] = {
            name: getattr(self, name).astype(np.float32) for name in _ARRAYS
        }
        np.savez_compressed(content, **arrays)
        return content.getvalue()


def frontal_logits(scores: Floats) -> Floats:
    """Returns the logit of an upright frontal film, `(n,)`, for scores `(n, 6)`.

    The log of the summed odds of the first two kinds against those of the others.
    """
    for_it = np.logaddexp.reduce(scores[:, :FRONTAL], axis=1)
    return np.asarray(for_it - np.logaddexp.reduce(scores[:, FRONTAL:], axis=1))


def read(content: bytes) -> Gate:
    """Returns the gate in an `.npz` file.

    Raises:
        ModelError: it holds none, or one for other kinds.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            gate = Gate(**{name: arrays[name].astype(np.float64) for name in _ARRAYS})
            channels, units = gate.hidden.shape
    except documents.DAMAGE as error:
        raise _damaged() from error
    shapes = [getattr(gate, name).shape for name in _ARRAYS]
    whole = [
        *((channels,), (channels,), (channels, units), (units,)),
        *((units, len(KINDS)), (len(KINDS),)),
    ]
    finite = all(np.isfinite(getattr(gate, name)).all() for name in _ARRAYS)
    if shapes != whole or not finite or not (gate.spread > 0).all():
        raise _damaged()
    return gate


def _damaged() -> ModelError:
    return ModelError(
        "The gate of the lung network is damaged. Install this version again.",
        code="damaged-lungs",
    )
