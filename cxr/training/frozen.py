"""The part of a network that does not learn, run by OpenVINO.

On a processor that is several times as fast as Keras, and most of a fine-tuning step
would otherwise be spent in layers whose weights stay as they are.
"""

import warnings
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

BATCH = 32


def convert(model: keras.Model) -> Any:
    """Returns the model as an OpenVINO graph with the same outputs."""
    from cxr.models.runtime import openvino

    with warnings.catch_warnings():
        # The converter passes the input in a tuple of one, which Keras remarks on.
        warnings.filterwarnings("ignore", message="The structure of `inputs`")
        return openvino.convert_model(model)


class FrozenFeatures:
    """A model with one output; later changes of the model's weights do not reach it."""

    def __init__(self, model: keras.Model) -> None:
        """Converts and compiles the model as it is now, for strict float32."""
        from cxr.models.runtime import openvino

        self._run = openvino.Core().compile_model(
            convert(model), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
        )

    def __call__(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns the features, `float32`, of `n >= 1` inputs `(n, size, size, 1)`."""
        parts = [
            self._run(inputs[start : start + BATCH])[0].copy()
            for start in range(0, len(inputs), BATCH)
        ]
        return np.concatenate(parts)
