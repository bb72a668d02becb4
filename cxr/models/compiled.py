"""A graph as OpenVINO runs it on this machine.

It owns how every network here is compiled and called: in strict float32, for one film
at once and for whole batches when they first come, by one thread at a time.
"""

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

BATCH = 16


class CompiledGraph:
    """A graph with one picture as input; threads may share it.

    Attributes:
        size: edge of its square input in pixels.
    """

    def __init__(self, xml: bytes, weights: bytes, *, threads: int = 0) -> None:
        """Compiles the graph for one film; for batches when they first come.

        Args:
            xml: OpenVINO's description of the graph.
            weights: its constants.
            threads: processor threads, 0 for all.

        Raises:
            RuntimeError: OpenVINO can't read or compile it.
            IndexError: it has no input.
        """
        from cxr.models.runtime import openvino

        self._core = openvino.Core()
        # By default OpenVINO computes in bfloat16 where the processor can: other
        # machines would give other scores.
        self._settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32"}
        if threads:
            self._settings["INFERENCE_NUM_THREADS"] = threads
        self._graph = self._core.read_model(model=xml, weights=weights)
        self.size = int(self._graph.input(0).partial_shape[1].get_length())
        self._one = self._compile(1)
        self._many: Any = None
        # A compiled graph answers one call at a time and refuses a second.
        self._lock = threading.Lock()

    def shape(self, output: str) -> list[int]:
        """Returns the shape of an output for one film.

        Raises:
            RuntimeError: there is no such output.
        """
        return [int(edge) for edge in self._one.output(output).shape]

    def __call__(
        self, inputs: NDArray[np.float32], outputs: tuple[str, ...]
    ) -> dict[str, NDArray[np.float32]]:
        """Returns these outputs by name, stacked, for inputs `(n, size, size, 1)`.

        What does not fill a batch is run one by one: filling it up would take longer.
        """
        whole = len(inputs) // BATCH * BATCH
        parts: dict[str, list[NDArray[np.float32]]] = {name: [] for name in outputs}
        with self._lock:
            if whole and self._many is None:
                self._many = self._compile(BATCH)
            start = 0
            while start < len(inputs):
                step, run = (BATCH, self._many) if start < whole else (1, self._one)
                result = run(inputs[start : start + step], share_inputs=True)
                for name in outputs:
                    # OpenVINO reuses its buffers at the next call.
                    parts[name].append(result[name].copy())
                start += step
        return {
            name: found[0] if len(found) == 1 else np.concatenate(found)
            for name, found in parts.items()
        }

    def _compile(self, batch: int) -> Any:
        graph = self._graph.clone()
        graph.reshape([batch, self.size, self.size, 1])
        return self._core.compile_model(graph, "CPU", self._settings)
