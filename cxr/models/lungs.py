"""The lungs of a film: their outline, by a small network, and the shape of it.

It owns the lung network as OpenVINO runs it, its card, and the geometry of two lungs.
The network never touches a score. One call of it says where the lungs are and gives the
features by which the gate (`novelty`) tells whether a picture may be scored at all.
"""

import hashlib
import io
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cxr import documents
from cxr.errors import ModelError
from cxr.evaluation.estimates import Estimate
from cxr.films import preparation
from cxr.models import cards, novelty, registry
from cxr.models.cards import FileRecord
from cxr.models.compiled import CompiledGraph
from cxr.models.novelty import Gate, GateRecord, Likeness

FOLDER = registry.LUNGS  # beside the models
GATE = "gate.npz"
OUTPUTS = ("lungs", "pooled")
SIZE = 128
GOLDEN_TOLERANCE = 1e-2  # share of lung at a place; other processors add otherwise
SMALLEST_PART = 0.01  # of the film; smaller parts are no lung

Share = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class LungCard:
    """What the lung network says of itself.

    Attributes:
        created: when, UTC, ISO 8601.
        size: edge of its square input in pixels.
        preparation: the steps before it, as a classifier's card names them.
        source: where its films and outlines come from, with the licence.
        films: how many, by split.
        patients: how many, by split.
        dice: mean Dice coefficient of a film with its 95 % interval, by split; the
            interval resamples patients.
        parameters: numbers that it learned.
        training: the settings it was trained with.
        gate: what its gate refuses, and refuses wrongly.
        files: hash and size of each of its files, by name.
    """

    created: str
    size: int
    preparation: str
    source: str
    films: dict[str, int]
    patients: dict[str, int]
    dice: dict[str, Estimate]
    parameters: int
    training: dict[str, Any]
    gate: GateRecord
    files: dict[str, FileRecord]


@dataclass(frozen=True, kw_only=True, eq=False)
class LungOutputs:
    """What the lung network says of some films.

    Attributes:
        share: how much each place is lung, `float32`, `(n, 128, 128)`, in `[0, 1]`.
        pooled: its features of each film, `float32`, `(n, channels)`.
    """

    share: Share
    pooled: NDArray[np.float32]


class LungNetwork:
    """The lung network in strict float32, with its gate; threads may share it.

    Attributes:
        card: of this network.
    """

    def __init__(
        self,
        xml: bytes,
        weights: bytes,
        card: LungCard,
        gate: Gate,
        *,
        threads: int = 0,
    ) -> None:
        """Compiles the network for one film; for films side by side when they come.

        Args:
            xml: OpenVINO's description of the graph.
            weights: its constants.
            card: of this network.
            gate: fitted to its features.
            threads: processor threads, 0 for all.

        Raises:
            ModelError: OpenVINO can't read or compile it.
        """
        self.card = card
        self._gate = gate
        try:
            self._graph = CompiledGraph(xml, weights, threads=threads)
        except (RuntimeError, IndexError) as error:
            raise _damaged("The network of the lungs can't be read.") from error

    def prepare(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns the input `(128, 128, 1)` for a film's pixels `(height, width)`."""
        return preparation.network_input(pixels, SIZE)

    def likeness(self, pooled: NDArray[np.float32]) -> list[Likeness]:
        """Returns what the gate says of each film, for its features `(n, channels)`."""
        return self._gate(pooled)

    def __call__(
        self, inputs: NDArray[np.float32], *, beside: bool = False
    ) -> LungOutputs:
        """Returns lungs and features for inputs `(n, 128, 128, 1)`, `n` above 0.

        `beside` says that other threads call it at the same time (`CompiledGraph`).
        """
        found = self._graph(inputs, OUTPUTS, beside=beside)
        share = 1 / (1 + np.exp(-found["lungs"][..., 0]))
        return LungOutputs(
            share=share.astype(np.float32, copy=False), pooled=found["pooled"]
        )


def load(models_dir: Path, *, threads: int = 0) -> LungNetwork:
    """Returns the lung network of a registry, after its hashes and golden outputs.

    Raises:
        ModelError: it is not there, was changed, or gives other outputs here.
    """
    folder = models_dir / FOLDER
    card = read_card(models_dir)
    files = {name: _bytes(folder / name, record) for name, record in card.files.items()}
    try:
        network = LungNetwork(
            files[cards.NETWORK],
            files[cards.NETWORK_WEIGHTS],
            card,
            novelty.read(files[GATE]),
            threads=threads,
        )
        with np.load(io.BytesIO(files[cards.GOLDEN]), allow_pickle=False) as golden:
            films, expected = golden["films"], golden["lungs"]
    except documents.DAMAGE as error:
        raise _damaged("A file of the lung network is missing or damaged.") from error
    given = network(films[..., np.newaxis].astype(np.float32))
    if not np.abs(given.share - expected).max() <= GOLDEN_TOLERANCE:
        raise ModelError(
            "The lung network does not give its golden outlines on this machine.",
            code="golden-score",
        )
    return network


def read_card(models_dir: Path) -> LungCard:
    """Returns the card of the lung network.

    Raises:
        ModelError: there is none, or it can't be read.
    """
    try:
        return documents.read(models_dir / FOLDER / cards.CARD, LungCard)
    except FileNotFoundError as error:
        raise ModelError(
            "There is no lung network in the models folder.", code="no-lungs"
        ) from error
    except (OSError, ValueError) as error:
        raise _damaged("The card of the lung network can't be read.") from error


def write_card(folder: Path, card: LungCard) -> None:
    """Writes the card of a lung network into its folder."""
    documents.replace(folder / cards.CARD, asdict(card))


@dataclass(frozen=True, kw_only=True, eq=False)
class Lungs:
    """The two lungs of a film.

    Right and left are the patient's: the right lung stands at the left edge of a film
    that is shown as usual.

    Attributes:
        share: how much each place is lung, `float32`, `(128, 128)`, in `[0, 1]`.
        right: `bool`, same shape; empty where no such lung was seen.
        left: likewise.
    """

    share: Share
    right: Mask
    left: Mask

    @property
    def both(self) -> Mask:
        """Where either lung is."""
        return self.right | self.left


def outline(share: Share) -> Lungs:
    """Returns the two lungs in a network's output for one film.

    The two largest parts count; the one further left on the film is the right lung. A
    single part is the lung of the half that holds its centre.

    Args:
        share: `float32`, `(128, 128)`, in `[0, 1]`.
    """
    called = (share > 0.5).astype(np.uint8)
    _, labels, stats, centres = cv2.connectedComponentsWithStats(called)
    sizes = stats[1:, cv2.CC_STAT_AREA]
    order = 1 + np.argsort(-sizes, kind="stable")
    parts = [
        i for i in order[:2] if stats[i, cv2.CC_STAT_AREA] >= SMALLEST_PART * SIZE**2
    ]
    parts.sort(key=lambda i: centres[i][0])
    empty = np.zeros(share.shape, np.bool_)
    if len(parts) == 2:
        right, left = (labels == i for i in parts)
    elif parts and centres[parts[0]][0] < SIZE / 2:
        right, left = labels == parts[0], empty
    else:
        right, left = empty, labels == parts[0] if parts else empty
    return Lungs(share=share, right=right, left=left)


def _bytes(path: Path, record: FileRecord) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _damaged(
            f"The file {path.name} of the lung network is missing."
        ) from error
    if hashlib.sha256(content).hexdigest() != record.sha256:
        raise _damaged(f"The file {path.name} of the lung network was changed.")
    return content


def _damaged(what: str) -> ModelError:
    return ModelError(f"{what} Install this version again.", code="damaged-lungs")
