"""A trained network turned into the served one, and held against it."""

from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from cxr import disk
from cxr.errors import ModelError
from cxr.evaluation.calibration import Scaling
from cxr.films.tones import StandardTone
from cxr.models import cards
from cxr.models.cards import Parity
from cxr.models.network import Network
from cxr.training import frozen, networks
from cxr.training.batches import PreparedSplit

PARITY_TOLERANCE = 1e-3  # probability
PARITY_FILMS = 256
GRAPH_BYTES = 4_000_000  # more than a graph and the tables beside it ever take


def export(
    network: keras.Model, folder: Path, tone: StandardTone | None = None
) -> Network:
    """Writes the network for serving and its Keras weights; returns the served one.

    Both are stored as float32: halving them would move scores by about 1e-3.

    Args:
        network: with the outputs of `networks.build`.
        folder: of the model, which exists.
        tone: that films are moved towards before the network reads them; None for none.

    Raises:
        OSError: the disk has too little space for both.
    """
    from cxr.models.runtime import openvino

    size = sum(weights.nbytes for weights in network.get_weights())
    disk.require(folder, 2 * size + GRAPH_BYTES)
    graph = frozen.convert(networks.serving(network))
    openvino.save_model(graph, folder / cards.NETWORK, compress_to_fp16=False)
    network.save_weights(folder / cards.KERAS_WEIGHTS)
    return Network(
        (folder / cards.NETWORK).read_bytes(),
        (folder / cards.NETWORK_WEIGHTS).read_bytes(),
        tone=tone,
    )


def check_parity(
    network: keras.Model,
    served: Network,
    split: PreparedSplit,
    calibration: Scaling,
) -> Parity:
    """Returns how far serving is from training, in probability.

    Args:
        network: as it was trained.
        served: the same, exported.
        split: whose films both score, `PARITY_FILMS` at most.
        calibration: that turns logits into probabilities.

    Raises:
        ModelError: farther than `PARITY_TOLERANCE` on any film.
    """
    every = max(1, len(split.films) // PARITY_FILMS)
    inputs = network_inputs(served, split.pixels[split.rows[::every][:PARITY_FILMS]])
    trained = network.predict(inputs, batch_size=32, verbose=0)["logit"][:, 0]
    difference = np.abs(
        calibration.apply(trained) - calibration.apply(served(inputs).logits)
    )
    largest = float(difference.max())
    if not largest <= PARITY_TOLERANCE:
        raise ModelError(
            f"The exported network differs from the trained one by {largest:.2g} in "
            f"probability; at most {PARITY_TOLERANCE} is allowed. Not registered.",
            code="parity",
        )
    return Parity(
        n=len(inputs),
        max_probability_difference=largest,
        tolerance=PARITY_TOLERANCE,
    )


def golden_films(size: int, n: int = 4) -> NDArray[np.uint8]:
    """Returns made-up films, `uint8`, shape `(n, size, size)`: bright field, two dark
    lungs, and in some a bright patch. They only have to score the same for ever.
    """
    rows, columns = np.mgrid[0:size, 0:size] / size
    films = []
    for number in range(n):
        rng = np.random.default_rng([7, number])
        film = 150 + 60 * np.cos(3 * (columns - 0.5)) - 40 * np.abs(rows - 0.5)
        for centre in (0.3, 0.7):
            lung = ((columns - centre) / 0.15) ** 2 + ((rows - 0.45) / 0.3) ** 2
            film -= 110 * np.exp(-(lung**2))
        row, column = rng.uniform(0.3, 0.6), rng.uniform(0.25, 0.75)
        spot = ((columns - column) / 0.1) ** 2 + ((rows - row) / 0.1) ** 2
        film += number * 25 * np.exp(-spot)
        films.append(np.clip(film, 0, 255).astype(np.uint8))
    return np.stack(films)


def network_inputs(served: Network, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Returns films of 8 bits as the served network takes them."""
    return np.stack([served.prepare(film) for film in pixels.astype(np.float32)])


def write_golden(folder: Path, served: Network, calibration: Scaling) -> None:
    """Writes films and the probabilities that the served network must give them.

    Args:
        folder: of the model, which exists.
        served: the network as it was exported.
        calibration: that turns its logits into probabilities.
    """
    films = golden_films(served.size)
    logits = served(network_inputs(served, films)).logits
    np.savez_compressed(
        folder / cards.GOLDEN,
        films=films,
        probabilities=calibration.apply(logits),
    )
