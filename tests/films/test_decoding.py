"""Decoding in workers: the same films, and no way for a file to reach the parent."""

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from synthetic_films import as_dicom, as_jpeg, as_png, chest_phantom

from cxr.config import ROOT
from cxr.errors import ImageError
from cxr.films import decoding
from cxr.films.decoding import DecoderPool
from cxr.films.film import read_film

FILM = chest_phantom(160, 200, seed=9)
JPEG = as_jpeg(FILM)


@pytest.fixture(scope="module")
def pool() -> Iterator[DecoderPool]:
    with DecoderPool() as shared:
        yield shared


@pytest.fixture
def pool_with() -> Iterator[Callable[..., DecoderPool]]:
    """Makes a pool whose worker runs some code in place of `read_film`."""
    pools = []

    def make(body: str, **settings: float) -> DecoderPool:
        pool = DecoderPool(**settings)
        code = "import os, sys, time\nfrom cxr.films import decoding\n"
        code += "original = decoding.read_film\ndef read_film(data):\n"
        code += textwrap.indent(textwrap.dedent(body), "    ")
        code += "\ndecoding.read_film = read_film\ndecoding.serve(1 << 30, 15)\n"
        for worker in pool._all:
            worker._command = [sys.executable, "-c", code]
        pools.append(pool)
        return pool

    yield make
    for pool in pools:
        pool.close()


def refused(pool: DecoderPool, data: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        pool.read(data)
    return caught.value.code


def process_ids(pool: DecoderPool) -> list[int]:
    return [worker._process.pid for worker in pool._all if worker._process]


def is_running(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


class TestRead:
    @pytest.mark.parametrize(
        "data",
        [
            as_png(FILM),
            as_png(FILM, bits=16),
            JPEG,
            as_jpeg(FILM, mode="RGB", orientation=6),
            as_dicom(FILM),
            as_dicom(FILM, bits_stored=8, window=[(100, 180), (5, 9)], age="011M"),
            as_dicom(FILM, photometric="MONOCHROME1", window=None, view=None),
        ],
        ids=["png", "png-16", "jpeg", "turned", "dicom", "dicom-8", "dicom-1"],
    )
    def test_gives_exactly_what_read_film_gives(self, pool, data):
        film, expected = pool.read(data), read_film(data)
        assert film == expected
        np.testing.assert_array_equal(film.pixels, expected.pixels)
        assert film.pixels.dtype == np.float32 and not film.pixels.flags.writeable

    @pytest.mark.parametrize(
        "data", [b"", b"x" * 200, JPEG[:-9], as_dicom(FILM)[:-9], as_dicom(FILM * 0)]
    )
    def test_refuses_with_the_same_words(self, pool, data):
        with pytest.raises(ImageError) as here:
            read_film(data)
        with pytest.raises(ImageError) as there:
            pool.read(data)
        assert there.value.code == here.value.code
        assert there.value.message == here.value.message

    def test_a_refusal_costs_no_worker(self, pool):
        before = process_ids(pool)
        refused(pool, b"x")
        pool.read(JPEG)
        assert process_ids(pool) == before or not before

    def test_threads_share_a_pool(self, pool):
        films = [chest_phantom(150, 150, seed) for seed in range(12)]
        with ThreadPoolExecutor(6) as threads:
            read = list(threads.map(lambda film: pool.read(as_png(film)), films))
        for film, expected in zip(read, films, strict=True):
            np.testing.assert_array_equal(film.pixels, expected)


class TestMap:
    def test_keeps_the_order_and_yields_refusals(self):
        films = [chest_phantom(150, 150, seed) for seed in range(9)]
        files = [as_png(film) for film in films]
        files[4] = b"no film"
        with DecoderPool(2) as pool:
            outcomes = list(pool.map(files))
        assert isinstance(outcomes[4], ImageError)
        for place in (0, 1, 2, 3, 5, 6, 7, 8):
            np.testing.assert_array_equal(outcomes[place].pixels, films[place])

    def test_takes_few_files_ahead(self, pool):
        taken = []

        def files() -> Iterator[bytes]:
            for place in range(50):
                taken.append(place)
                yield JPEG

        outcomes = pool.map(files())
        next(outcomes)
        assert len(taken) <= 3
        outcomes.close()
        assert pool.read(JPEG).bits == 8

    def test_of_nothing_is_nothing(self, pool):
        assert list(pool.map([])) == []


class TestFaults:
    def test_worker_killed_between_films_costs_nothing(self, pool):
        pool.read(JPEG)
        os.kill(process_ids(pool)[0], 9)
        time.sleep(0.05)
        assert pool.read(JPEG).bits == 8

    @pytest.mark.parametrize(
        "fault",
        [
            "os.kill(os.getpid(), 9)",
            "os.abort()",
            "raise SystemExit",
            "raise MemoryError",
            "raise type('PanicException', (BaseException,), {})",
            "return bytearray(4 << 30)",
            "os.write(4, bytes(99)); time.sleep(9)",
            "os.write(4, b'\\xff' * 9999); time.sleep(9)",
            "os.write(4, bytes(7) + b'\\x02[]'); time.sleep(9)",
            "os.write(4, bytes(7) + b'\\x02{}'); time.sleep(9)",
            "os.write(4, bytes(7) + b'\\x02\\xff\\xfe'); time.sleep(9)",
        ],
    )
    def test_fault_costs_one_film_and_the_pool_goes_on(self, pool_with, fault):
        pool = pool_with(f"if data[:5] == b'fault': {fault}\nreturn original(data)")
        assert pool.read(JPEG).bits == 8
        assert refused(pool, b"fault") == "decoder-failed"
        assert pool.read(JPEG).bits == 8

    def test_hanging_worker_is_ended_in_time(self, pool_with):
        body = "if data == b'hang': time.sleep(60)\nreturn original(data)"
        pool = pool_with(body, seconds=1.0)
        pool.read(JPEG)
        hanging = process_ids(pool)[0]
        start = time.perf_counter()
        assert refused(pool, b"hang") == "too-slow"
        assert time.perf_counter() - start < 1.6
        assert not is_running(hanging)
        assert pool.read(JPEG).bits == 8

    def test_worker_that_does_not_listen_is_ended_in_time(self, pool_with):
        pool = pool_with("return original(data)", seconds=0.5)
        pool._all[0]._command = [sys.executable, "-c", "import time; time.sleep(60)"]
        assert refused(pool, bytes(5_000_000)) == "too-slow"

    def test_fault_in_a_batch_costs_one_film(self, pool_with):
        body = "if data == b'fault': os.abort()\nreturn original(data)"
        pool = pool_with(body, workers=2)
        outcomes = list(pool.map([JPEG, b"fault", JPEG, JPEG]))
        assert [isinstance(outcome, ImageError) for outcome in outcomes] == [
            False,
            True,
            False,
            False,
        ]

    def test_what_a_library_prints_does_not_disturb(self, pool_with):
        pool = pool_with("os.write(1, b'hello'); print(1)\nreturn original(data)")
        assert pool.read(JPEG).bits == 8

    def test_memory_is_capped(self):
        with DecoderPool(memory_bytes=200 << 20) as small:
            large = as_png(np.tile(FILM, (40, 30)), compress_level=1)
            assert refused(small, large) == "decoder-failed"
            assert small.read(JPEG).bits == 8

    def test_secrets_of_the_environment_stay(self, pool_with, monkeypatch):
        monkeypatch.setenv("CXR_SECRET", "canary")
        pool = pool_with("raise decoding.ImageError(repr(dict(os.environ)))")
        with pytest.raises(ImageError) as caught:
            pool.read(JPEG)
        assert "canary" not in caught.value.message


class TestLife:
    def test_no_worker_before_the_first_film(self):
        with DecoderPool(3) as pool:
            assert process_ids(pool) == []
            pool.read(JPEG)
            assert len(process_ids(pool)) == 1

    def test_started_worker_reads_the_first_film(self):
        with DecoderPool() as pool:
            pool.start()
            started = process_ids(pool)
            pool.read(JPEG)
            assert process_ids(pool) == started != []

    def test_worker_is_replaced_after_its_share(self, monkeypatch):
        monkeypatch.setattr(decoding, "FILMS_PER_WORKER", 4)
        monkeypatch.setattr(decoding, "FILMS_AHEAD", 2)
        with DecoderPool() as pool:
            seen = []
            for _ in range(9):
                pool.read(JPEG)
                seen += process_ids(pool)
        assert [seen.count(process_id) for process_id in dict.fromkeys(seen)] == [
            4,
            4,
            1,
        ]
        assert not any(is_running(process_id) for process_id in seen)

    def test_close_ends_the_workers_and_the_pool(self):
        pool = DecoderPool()
        pool.read(JPEG)
        worker = process_ids(pool)[0]
        pool.close()
        pool.close()
        assert not is_running(worker)
        with pytest.raises(ValueError, match="open pool"):
            pool.read(JPEG)

    def test_forgotten_pool_ends_its_workers(self):
        pool = DecoderPool()
        pool.read(JPEG)
        worker = process_ids(pool)[0]
        del pool
        assert not is_running(worker)

    def test_workers_end_with_a_killed_parent(self, tmp_path):
        film = tmp_path / "film"
        film.write_bytes(JPEG)
        code = f"""
            import os, pathlib
            from cxr.films.decoding import DecoderPool
            pool = DecoderPool()
            pool.read(pathlib.Path({str(film)!r}).read_bytes())
            print(pool._all[0]._process.pid, flush=True)
            os.kill(os.getpid(), 9)
        """
        command = [sys.executable, "-c", textwrap.dedent(code)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        worker = int(done.stdout)
        deadline = time.monotonic() + 3
        while is_running(worker) and not is_zombie(worker):
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def test_without_limits_a_warning_is_logged(self, monkeypatch, caplog):
        monkeypatch.setattr(decoding, "resource", None)
        DecoderPool()
        assert "No memory limit" in caplog.text

    @pytest.mark.parametrize("workers", [0, -1])
    def test_needs_a_worker(self, workers):
        with pytest.raises(ValueError, match=f"workers={workers}"):
            DecoderPool(workers)


def is_zombie(process_id: int) -> bool:
    """Whether a process has ended and only waits to be collected by its parent."""
    status = Path(f"/proc/{process_id}/stat")
    return status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] == "Z"


class TestFairShare:
    """Case 11: one reader's slow films hold up no other reader."""

    SLOW_SECONDS = 0.4

    @pytest.fixture
    def slow_pool(self, pool_with):
        body = f"""
        if data.startswith(b"slow"):
            time.sleep({self.SLOW_SECONDS})
            raise ValueError("no film")
        return original(data)
        """
        pool = pool_with(body, workers=2, shared=True)
        pool.read(JPEG)  # Its start is not what is measured.
        return pool

    def test_case_11_a_film_waits_for_none_of_another_reader(self, slow_pool):
        def many_slow_films():
            return [type(r).__name__ for r in slow_pool.map([b"slow"] * 12)]

        with ThreadPoolExecutor(1) as threads:
            others = threads.submit(many_slow_films)
            time.sleep(self.SLOW_SECONDS / 2)
            waited = []
            for _ in range(5):
                start = time.perf_counter()
                [film] = slow_pool.map([JPEG])
                waited.append(time.perf_counter() - start)
                assert film.width == FILM.shape[1]
            assert not others.done()
            assert others.result() == ["ImageError"] * 12
        # The first one includes the start of the second worker.
        assert max(waited) < 2 and max(waited[1:]) < self.SLOW_SECONDS

    def test_case_11_three_readers_take_turns(self, slow_pool):
        ends = []

        def read(name, films):
            for _ in slow_pool.map(films):
                ends.append(name)

        with ThreadPoolExecutor(3) as threads:
            for name in ("a", "b", "c"):
                threads.submit(read, name, [b"slow"] * 4)
        # Nobody is done with the third film before all are done with their first.
        assert {"a", "b", "c"} == set(ends[:6])

    def test_a_pool_that_is_shared_has_a_worker_to_spare(self):
        with pytest.raises(ValueError, match="at least 2 workers"):
            DecoderPool(1, shared=True)
