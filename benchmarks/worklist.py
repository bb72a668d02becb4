"""A thousand films through the Classify page: time, memory, and a step in the list.

    python -m benchmarks.worklist DATA [--films N] [--edge PIXELS]
                                  [--pictures FOLDER]

Starts the app with the registered models, puts the films in at once, waits until all
are read, and goes through the list by keyboard. Prints JSON: seconds until all films
are uploaded and until all are read, memory of the server above what it had with the
page open and its model loaded, and milliseconds from a key press to the next film. The
films are the JPEGs below DATA, made as large as asked and with grain of their own each,
as often as it takes. Needs Playwright and Chromium (CXR_CHROMIUM or on the PATH).
"""

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from cxr.config import ROOT

PATIENCE = 600_000  # milliseconds
STEPS = 20
CHOSEN = """() => document.querySelector(
    '.st-key-worklist label:has(input:checked)')?.innerText"""
MOVED = """before => {
    const row = document.querySelector('.st-key-worklist label:has(input:checked)');
    const app = document.querySelector('[data-testid=stApp]');
    return row && row.innerText !== before
        && app.dataset.testScriptState === 'notRunning';
}"""


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--films", type=int, default=1000)
    parser.add_argument("--edge", type=int, default=224)
    parser.add_argument("--pictures", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        films = made_films(options, Path(name))
        server, address = started_app()
        try:
            figures = measured(server, address, films, options.pictures)
        finally:
            server.terminate()
            server.wait(30)
    print(json.dumps(figures, indent=2))


def made_films(options: argparse.Namespace, folder: Path) -> list[Path]:
    """Returns the files of films that differ at least in their grain."""
    originals = sorted(options.data.rglob("*.jpeg"))[: options.films]
    paths = []
    for number in range(options.films):
        with Image.open(originals[number % len(originals)]) as film:
            pixels = film.convert("L").resize((options.edge, options.edge))
        grain = np.random.default_rng(number).normal(0, 1, (options.edge,) * 2)
        noisy = np.clip(pixels + grain, 0, 255).astype(np.uint8)
        paths.append(folder / f"IM-{number:04}-0001.jpeg")
        Image.fromarray(noisy).save(paths[-1], "JPEG", quality=90)
    return paths


def started_app() -> tuple[subprocess.Popen[bytes], str]:
    """Returns the server's process and its address when it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "app.py"]
    server = subprocess.Popen(
        [*command, "--server.port", str(port)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for _ in range(300):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            time.sleep(0.2)
    return server, f"http://127.0.0.1:{port}"


class Memory:
    """The server's memory, watched from another thread."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        """Begins to watch."""
        self.process = psutil.Process(process.pid)
        self.start = self.peak = self.now()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def now(self) -> float:
        """Returns megabytes."""
        return self.process.memory_info().rss / 1e6

    def stop(self) -> None:
        """Ends the watch."""
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._end.wait(0.1):
            self.peak = max(self.peak, self.now())


def measured(
    server: subprocess.Popen[bytes],
    address: str,
    films: list[Path],
    pictures: Path | None,
) -> dict[str, float | str]:
    """Returns the figures of one journey through the page."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CXR_CHROMIUM") or shutil.which("chromium"),
            args=["--no-sandbox", "--disable-gpu"],
        )
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(PATIENCE)
        page.goto(f"{address}/Classify")
        page.locator("input[type=file]").wait_for(state="attached")
        page.wait_for_timeout(1000)
        memory = Memory(server)
        try:
            started = time.perf_counter()
            page.set_input_files("input[type=file]", films)
            page.get_by_text("Reading films").first.wait_for()
            uploaded = time.perf_counter() - started
            page.locator(".st-key-worklist").wait_for()
            counts = page.get_by_text(f"{len(films):,} films").first
            counts.wait_for()
            seconds = time.perf_counter() - started
            page.wait_for_timeout(1000)
            steps = [step(page) for _ in range(STEPS)]
        finally:
            memory.stop()
        if pictures:
            page.screenshot(path=pictures / "worklist.png")
        kept, answers = memory.now(), counts.inner_text()
        browser.close()
    return {
        "films": answers,
        "seconds_until_uploaded": round(uploaded, 1),
        "seconds_until_read": round(seconds, 1),
        "server_mb_at_start": round(memory.start),
        "server_mb_above_start_at_most": round(memory.peak - memory.start),
        "server_mb_above_start_kept": round(kept - memory.start),
        "step_ms_median": round(statistics.median(steps)),
        "step_ms_longest": round(max(steps)),
    }


def step(page: Page) -> float:
    """Returns milliseconds from the key to the next film, with the page at rest."""
    before = page.evaluate(CHOSEN)
    started = time.perf_counter()
    page.keyboard.press("n")
    page.wait_for_function(MOVED, arg=before, polling=10)
    return 1000 * (time.perf_counter() - started)


if __name__ == "__main__":
    main()
