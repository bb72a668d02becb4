"""A network that begins with a registered model's own weights, its head included."""

import io
import warnings
from pathlib import Path

import keras
import numpy as np

from cxr import documents
from cxr.errors import ModelError
from cxr.films import preparation
from cxr.models import cards, registry
from cxr.models.cards import Card
from cxr.runs import continuation
from cxr.runs.continuation import StartModel

TOLERANCE = 1e-3  # probability; serving may differ as much from training


def take_over(network: keras.Model, models_dir: Path, start: StartModel) -> None:
    """Puts a model's weights into a network, which then gives that model's answers.

    Args:
        network: of `networks.build`, of the model's architecture and scale.
        models_dir: the registry.
        start: what the run goes on from.

    Raises:
        ModelError: the weights are gone, were changed or do not fit, or the network
            does not answer as the model does.
    """
    path = continuation.weights_path(models_dir, start)
    card = registry.read_card(models_dir, start.model_id)
    try:
        with warnings.catch_warnings():
            # Keras warns of parts that it leaves as they were.
            warnings.simplefilter("error", UserWarning)
            network.load_weights(path)
    except (ValueError, KeyError, OSError, UserWarning) as error:
        raise ModelError(
            f"The weights of {start.model_id} do not fit its network, {network.name}."
        ) from error
    if not _difference(network, models_dir, card) <= TOLERANCE:
        raise ModelError(
            f"With the weights of {start.model_id} the network does not answer as that "
            "model does. Training can't go on from it."
        )


def _difference(network: keras.Model, models_dir: Path, card: Card) -> float:
    """Returns how far the network is from the model's golden scores, in probability."""
    content = registry.read_file(models_dir, card, cards.GOLDEN)
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as golden:
            films, expected = golden["films"], golden["probabilities"]
    except documents.DAMAGE as error:
        raise ModelError(f"The golden films of {card.model_id} are damaged.") from error
    inputs = np.stack(
        [
            preparation.network_input(film, card.input_size, card.tone)
            for film in films.astype(np.float32)
        ]
    )
    logits = network.predict(inputs, verbose=0)["logit"][:, 0]
    return float(np.abs(card.calibration.apply(logits) - expected).max())
