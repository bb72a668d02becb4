"""Files of strangers, decoded in capped worker processes.

A file can be made to fill the memory, to run for minutes or to end its process. In a
worker it does so alone: the parent refuses that one film, starts a new worker and goes
on. A worker gets the bytes of a file and answers with one JSON line and raw pixels;
nothing it says is ever unpickled or run.

Workers are programs of their own (`python -m cxr.films.decoding`), not forks of the
parent: under Streamlit the parent's main module is a page, which a fork or spawn would
run. Limits of memory and processor time need Linux or macOS; elsewhere only the time
limit holds, and a warning is logged.
"""

import json
import logging
import math
import os
import re
import struct
import subprocess
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import fields
from io import FileIO
from typing import Any, TypeVar, cast

import numpy as np

from cxr.config import ROOT
from cxr.errors import ImageError
from cxr.films.film import Film, read_film
from cxr.films.refusals import check_dimensions, refusal

try:
    import resource
except ImportError:
    resource = None  # type: ignore[assignment]

MEMORY_BYTES = 1 << 30  # address space; a film of 64 million pixels needs 0.8 GB
SECONDS = 15.0
FILMS_PER_WORKER = 200  # whatever a decoder leaks ends with its worker
FILMS_AHEAD = 30  # before that its successor starts, so that nobody waits for it
MAX_HEADER_BYTES = 65_536

LENGTH = struct.Struct(">Q")

KEPT_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "TMP")
HEADER_FIELDS = [field.name for field in fields(Film) if field.name != "pixels"]

_Result = TypeVar("_Result")

logger = logging.getLogger(__name__)


class DecoderPool:
    """Reads films as `cxr.films.film.read_film` does, out of reach of the caller's
    process.

    One pool serves all threads of a process. Workers start with the first film they get
    and end with the pool, or with the process.
    """

    def __init__(
        self,
        workers: int = 1,
        *,
        memory_bytes: int = MEMORY_BYTES,
        seconds: float = SECONDS,
        shared: bool = False,
    ) -> None:
        """Prepares a pool; no process is started yet.

        Args:
            workers: how many films are decoded at the same time.
            memory_bytes: address space of a worker.
            seconds: time for one film, the start of its worker included.
            shared: whether many readers use it: then no `map` takes all workers, so
                that slow films of one reader leave a worker to the others. That takes
                at least two workers.
        """
        least = 2 if shared else 1
        if workers < least:
            raise ValueError(f"expected at least {least} workers, received {workers=}")
        if resource is None:
            logger.warning("No memory limit on this system: decoding is capped in time")
        self.workers = workers
        self._most_for_one = workers - 1 if shared else workers
        self._all = [_Worker(memory_bytes, seconds) for _ in range(workers)]
        self._idle = _Turns(self._all)
        self._end = weakref.finalize(self, _stop_all, self._all)

    def start(self) -> None:
        """Starts a worker now and does not wait for it: the first film will."""
        worker = self._idle.take()
        try:
            worker.ready()
        finally:
            self._idle.give(worker)

    def read(self, data: bytes) -> Film:
        """Returns the film in a file's bytes; waits for a free worker.

        Raises:
            ImageError: as `read_film`, or `too-slow`, or `decoder-failed` when the
                worker died. The next film is not affected.
            ValueError: when the pool is closed.
        """
        if not self._end.alive:
            raise ValueError("expected an open pool, received a closed one")
        worker = self._idle.take()
        try:
            return worker.read(data)
        finally:
            self._idle.give(worker)

    def map(self, datas: Iterable[bytes]) -> Iterator[Film | ImageError]:
        """Yields a film, or the error it was refused with, for each file, in order.

        No more than two files for each worker are taken ahead from `datas`.
        """
        return self.map_to(lambda film: film, datas)

    def map_to(
        self, then: Callable[[Film | ImageError], _Result], datas: Iterable[bytes]
    ) -> Iterator[_Result]:
        """Yields what `then` makes of each film, or of its error, in order.

        `then` is called by the thread that waited for the film, while others are
        decoded; the film is not kept. Files are taken ahead as in `map`.
        """
        pending: deque[Future[_Result]] = deque()
        at_once = self._most_for_one
        threads = ThreadPoolExecutor(at_once, thread_name_prefix="decode")
        try:
            for data in datas:
                pending.append(threads.submit(self._outcome, then, data))
                if len(pending) > 2 * at_once:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            threads.shutdown(cancel_futures=True)

    def _outcome(
        self, then: Callable[[Film | ImageError], _Result], data: bytes
    ) -> _Result:
        film: Film | ImageError
        try:
            film = self.read(data)
        except ImageError as error:
            film = error
        return then(film)

    def close(self) -> None:
        """Ends all workers; a film still being read is refused."""
        self._end()

    def __enter__(self) -> "DecoderPool":
        """Returns the pool itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Closes the pool."""
        self.close()


class _Turns:
    """The free workers, each given to who has waited longest.

    A queue would let a reader with many films take its worker back before another one,
    who waits for it, wakes up.
    """

    def __init__(self, workers: Iterable["_Worker"]) -> None:
        self._free = list(workers)
        self._waiting: deque[Future[_Worker]] = deque()
        self._lock = threading.Lock()

    def take(self) -> "_Worker":
        with self._lock:
            # Last in, first out: few films use few workers.
            if self._free:
                return self._free.pop()
            turn: Future[_Worker] = Future()
            self._waiting.append(turn)
        return turn.result()

    def give(self, worker: "_Worker") -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set_result(worker)
            else:
                self._free.append(worker)


class _Worker:
    """One worker process, replaced when it dies, hangs or has read its share."""

    def __init__(self, memory_bytes: int, seconds: float) -> None:
        self._seconds = seconds
        self._command = [sys.executable, "-m", "cxr.films.decoding"]
        self._command += [str(memory_bytes), str(math.ceil(seconds) + 1)]
        self._process: subprocess.Popen[bytes] | None = None
        self._successor: subprocess.Popen[bytes] | None = None
        self._films = 0

    def read(self, data: bytes) -> Film:
        process = self.ready()
        late = threading.Event()

        def expire() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(self._seconds, expire)
        timer.daemon = True
        timer.start()
        try:
            return self._ask(process, data)
        except (OSError, EOFError, ValueError, TypeError, KeyError) as error:
            # The pipe broke, or the answer is none that a sound worker gives.
            self.stop()
            if late.is_set():
                raise refusal("too-slow", seconds=self._seconds) from error
            raise refusal("decoder-failed") from error
        finally:
            timer.cancel()
            timer.join()  # a kill that has begun must not hit the next film

    def ready(self) -> "subprocess.Popen[bytes]":
        """Returns a living process that may read one more film."""
        if self._films == FILMS_PER_WORKER - FILMS_AHEAD:
            self._successor = self._successor or self._started()
        process = self._process
        if process and process.poll() is None and self._films < FILMS_PER_WORKER:
            return process
        successor, self._successor = self._successor, None
        self.stop()
        if successor is None or successor.poll() is not None:
            _end(successor)
            successor = self._started()
        self._process = successor
        return successor

    def _started(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            cwd=ROOT,
            env=worker_environment(),
        )

    def _ask(self, process: "subprocess.Popen[bytes]", data: bytes) -> Film:
        """Sends one file and returns the film of the answer."""
        request, reply = cast(FileIO, process.stdin), cast(FileIO, process.stdout)
        self._films += 1
        _send(request, LENGTH.pack(len(data)), data)
        header = _received_header(reply)
        if "code" in header:
            raise ImageError(str(header["message"]), code=str(header["code"]))
        height, width = int(header["height"]), int(header["width"])
        check_dimensions(height, width)
        pixels = np.empty((height, width), _wire_type(header))
        _receive(reply, pixels.data.cast("B"))
        return _film(header, pixels)

    def stop(self) -> None:
        """Ends the processes; nothing that they hold is needed."""
        ended = self._process, self._successor
        self._process, self._successor, self._films = None, None, 0
        for process in ended:
            _end(process)


def _end(process: "subprocess.Popen[bytes] | None") -> None:
    if process is None:
        return
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def _stop_all(workers: list[_Worker]) -> None:
    for worker in workers:
        worker.stop()


def worker_environment() -> dict[str, str]:
    """Returns the environment of a capped process, without the parent's secrets."""
    kept = {name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ}
    # Each thread of a numerical library would reserve address space.
    return kept | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def _film(header: dict[str, Any], pixels: np.ndarray) -> Film:
    """Returns the film of a worker's answer."""
    values = {name: header[name] for name in HEADER_FIELDS}
    for name in ("warnings", "cautions"):
        values[name] = tuple(str(sentence) for sentence in header[name])
    # Text of a header must not come out of a worker, whatever became of it.
    if not re.fullmatch("([0-9a-f]{64})?", header["patient"]):
        raise ValueError
    pixels = pixels.astype(np.float32, copy=False)
    pixels.setflags(write=False)
    return Film(pixels=pixels, **values)


def _wire_type(header: dict[str, Any]) -> str:
    """Returns the type in which pixels travel: whole levels need a byte each."""
    return "u1" if header["bits"] == 8 and header["format"] != "DICOM" else "<f4"


def _send(pipe: FileIO, *parts: bytes | memoryview) -> None:
    for part in parts:
        rest = memoryview(part)
        while rest:
            rest = rest[pipe.write(rest) :]


def _receive(pipe: FileIO, buffer: memoryview) -> None:
    """Fills a buffer from a pipe; raises EOFError when the other end is gone."""
    while buffer:
        count = pipe.readinto(buffer)
        if not count:
            raise EOFError
        buffer = buffer[count:]


def _received(pipe: FileIO, length: int) -> bytearray:
    buffer = bytearray(length)
    _receive(pipe, memoryview(buffer))
    return buffer


def _received_header(pipe: FileIO) -> dict[str, Any]:
    (length,) = LENGTH.unpack(_received(pipe, LENGTH.size))
    if length > MAX_HEADER_BYTES:
        raise ValueError
    header = json.loads(_received(pipe, length))
    if not isinstance(header, dict):
        raise TypeError
    return header


def serve(memory_bytes: int, seconds: int) -> None:
    """Answers files on standard input until it ends; the life of a worker.

    Only an `ImageError` is answered. Any other failure, such as lost memory or a panic
    of a compiled decoder (no `Exception`), ends the process: its memory may be damaged,
    and the next film would be read with it.

    Args:
        memory_bytes: address space of this process from now on.
        seconds: processor time for each film.
    """
    requests = os.fdopen(os.dup(0), "rb", buffering=0)
    replies = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what a library prints must not get between the answers
    limit_memory(memory_bytes)
    while True:
        try:
            (length,) = LENGTH.unpack(_received(requests, LENGTH.size))
            data = bytes(_received(requests, length))
        except EOFError:
            return
        limit_time(seconds)
        try:
            _answer(replies, read_film(data))
        except ImageError as error:
            _answer_error(replies, error)


def limit_memory(memory_bytes: int) -> None:
    """Gives this process so much address space from now on, and no core dump."""
    if resource is None:
        return
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    except (OSError, ValueError):
        # macOS refuses a limit below what the process has mapped already.
        logger.warning("The memory limit was refused: decoding is capped in time")


def limit_time(seconds: int) -> None:
    """Gives the process some seconds from now; a backstop if the parent is gone."""
    if resource is None:
        return
    usage = resource.getrusage(resource.RUSAGE_SELF)
    used = math.ceil(usage.ru_utime + usage.ru_stime)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (used + seconds, hard))


def _answer(pipe: FileIO, film: Film) -> None:
    header = {name: getattr(film, name) for name in HEADER_FIELDS}
    pixels = np.ascontiguousarray(film.pixels, _wire_type(header))
    header |= {"height": film.height, "width": film.width}
    _answer_header(pipe, header)
    _send(pipe, pixels.data.cast("B"))


def _answer_error(pipe: FileIO, error: ImageError) -> None:
    _answer_header(pipe, {"code": error.code, "message": error.message})


def _answer_header(pipe: FileIO, header: dict[str, Any]) -> None:
    line = json.dumps(header).encode()
    _send(pipe, LENGTH.pack(len(line)), line)


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]))
