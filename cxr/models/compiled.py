"""A graph as OpenVINO runs it on this machine.

It owns how every network here is compiled and called, in strict float32: one film on
all processors, which is soonest done, or many films side by side on one processor each,
which is the most films a second.
"""

import os
import threading
from collections import deque
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

# So many inputs in one call are run side by side: the second compilation, which that
# takes, pays from here on.
MANY = 16

Arrays = dict[str, NDArray[np.float32]]


def processors() -> int:
    """Returns how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class CompiledGraph:
    """A graph with one picture as input; threads may share it.

    Attributes:
        size: edge of its square input in pixels.
    """

    def __init__(self, xml: bytes, weights: bytes, *, threads: int = 0) -> None:
        """Compiles the graph for one film; for films side by side when they come.

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
        self._threads = threads
        self._graph = self._core.read_model(model=xml, weights=weights)
        self.size = int(self._graph.input(0).partial_shape[1].get_length())
        self._graph.reshape([1, self.size, self.size, 1])
        limit = {"INFERENCE_NUM_THREADS": threads} if threads else {}
        self._one = self._compile(limit)
        self._streams: _Streams | None = None
        # A compiled graph answers one call at a time and refuses a second.
        self._lock = threading.Lock()

    def shape(self, output: str) -> list[int]:
        """Returns the shape of an output for one film.

        Raises:
            RuntimeError: there is no such output.
        """
        return [int(edge) for edge in self._one.output(output).shape]

    def __call__(
        self,
        inputs: NDArray[np.float32],
        outputs: tuple[str, ...],
        *,
        beside: bool = False,
    ) -> Arrays:
        """Returns these outputs by name, stacked, for inputs `(n, size, size, 1)`.

        Args:
            inputs: of the films, at least one.
            outputs: names.
            beside: whether other threads call it at the same time: then each film gets
                one processor.
        """
        films = [inputs[i : i + 1] for i in range(len(inputs))]
        if beside or len(films) >= MANY:
            found = self._side_by_side()(films, outputs)
        else:
            with self._lock:
                found = [
                    _copied(self._one(film, share_inputs=True), outputs)
                    for film in films
                ]
        if len(found) == 1:
            return found[0]
        return {name: np.concatenate([one[name] for one in found]) for name in outputs}

    def _side_by_side(self) -> "_Streams":
        with self._lock:
            if self._streams is None:
                count = self._threads or processors()
                settings = {
                    "NUM_STREAMS": count,
                    "INFERENCE_NUM_THREADS": count,
                    # Two graphs would pin their streams to the same processor.
                    "ENABLE_CPU_PINNING": False,
                }
                self._streams = _Streams(self._compile(settings), count)
            return self._streams

    def _compile(self, settings: dict[str, Any]) -> Any:
        return self._core.compile_model(self._graph, "CPU", self._settings | settings)


class _Streams:
    """A compiled graph that runs several films at once, each in a request of its own.

    OpenVINO's own queue of requests can wait for all of them only; here each thread
    waits for its films.
    """

    def __init__(self, compiled: Any, count: int) -> None:
        self._free: SimpleQueue[Any] = SimpleQueue()
        for _ in range(count):
            self._free.put(compiled.create_infer_request())

    def __call__(
        self, films: list[NDArray[np.float32]], outputs: tuple[str, ...]
    ) -> list[Arrays]:
        found: list[Arrays] = []
        running: deque[Any] = deque()
        try:
            for film in films:
                request = self._request(running, found, outputs)
                running.append(request)
                request.start_async(film, share_inputs=True)
            while running:
                self._finish(running, found, outputs)
        finally:
            for request in running:
                request.wait()
                self._free.put(request)
        return found

    def _request(
        self, running: deque[Any], found: list[Arrays], outputs: tuple[str, ...]
    ) -> Any:
        """Returns a free request; who has films running waits for those first.

        Two threads that each wait for the other's requests would wait for ever.
        """
        while running:
            try:
                return self._free.get_nowait()
            except Empty:
                self._finish(running, found, outputs)
        return self._free.get()

    def _finish(
        self, running: deque[Any], found: list[Arrays], outputs: tuple[str, ...]
    ) -> None:
        """Waits for the film that was begun first and keeps what came of it."""
        running[0].wait()
        found.append(_copied(running[0].results, outputs))
        self._free.put(running.popleft())


def _copied(result: Any, outputs: tuple[str, ...]) -> Arrays:
    """Returns these outputs; OpenVINO reuses its buffers at the next call."""
    return {name: result[name].copy() for name in outputs}
