"""Twenty readers at once, and twenty cold starts with two readers each.

    python -m benchmarks.sessions DATA_DIR [--sessions 20] [--starts 20] [--json]

Starts the app on a free port. Each reader is a page of its own in headless Chromium and
classifies three films of `DATA_DIR/originals` and `DATA_DIR/chest_xray`, one after the
other; the scores that pages let them save are held against `python -m cxr classify`.
Then the app is started anew for each pair of first readers, who come at once. Exit code
1 if a score is wrong, a film is not read, or the server or a page names an error. Needs
Playwright and Chromium (CXR_CHROMIUM or on the PATH).
"""

import argparse
import asyncio
import hashlib
import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.async_api import Browser, Page, async_playwright, expect
from playwright.async_api import Error as BrowserError

from cxr.config import ROOT

PATIENCE = 300_000  # milliseconds; twenty readers share the machine
FILMS_EACH = 3
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
FOLDERS = ("runs", "cache", "records")
LOGGED_ERROR = re.compile(r"\berror\b|Traceback|Exception", re.IGNORECASE)
PAGES = ("Classify", "Dashboard")


@dataclass(frozen=True, kw_only=True)
class Server:
    """A running app.

    Attributes:
        address: its own, with the port.
        log: the file that it writes to.
    """

    address: str
    log: Path

    def errors(self) -> list[str]:
        """Returns the lines of the log that name an error."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return [line for line in lines if LOGGED_ERROR.search(line)]


def main() -> int:
    """Runs both parts and prints the figures; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--starts", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = asyncio.run(measured(options))
    if options.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:24} {value}")
    return int(any(figures[name] for name in ("wrong", "unread", "errors")))


async def measured(options: argparse.Namespace) -> dict[str, float]:
    """Returns the figures of both parts."""
    figures: dict[str, float] = {"sessions": options.sessions, "films": 0, "wrong": 0}
    figures |= {"unread": 0, "errors": 0, "seconds": 0.0}
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=os.environ.get("CXR_CHROMIUM") or shutil.which("chromium"),
            args=ARGUMENTS,
        )
        if options.sessions:
            await readers(browser, options, figures)
        figures["cold_starts"] = options.starts
        figures["slowest_first_page"] = 0.0
        for _ in range(options.starts):
            await cold_start(browser, figures)
        await browser.close()
    return figures


async def readers(
    browser: Browser, options: argparse.Namespace, figures: dict[str, float]
) -> None:
    """Lets all readers classify their films at once, and adds up what came of it.

    Args:
        browser: in which each reader opens a page.
        options: of the command line.
        figures: added to.
    """
    paths = films(options.data_dir, options.sessions * FILMS_EACH)
    expected = scores_of(paths)
    shares = [paths[n :: options.sessions] for n in range(options.sessions)]
    with served() as server:
        begun = time.monotonic()
        sessions = [session(browser, server.address, share) for share in shares]
        outcomes = await asyncio.gather(*sessions)
        figures["seconds"] = round(time.monotonic() - begun, 1)
        figures["errors"] += report(server.errors())
    for outcome in outcomes:
        for digest, probability in outcome.items():
            figures["films"] += 1
            figures["unread"] += probability is None
            figures["wrong"] += probability not in (None, expected[digest])


async def session(
    browser: Browser, address: str, paths: list[Path]
) -> dict[str, float | None]:
    """Returns the probability that a reader is given for each film, by its SHA-256.

    Args:
        browser: in which a page is opened.
        address: of the app.
        paths: of the films.
    """
    page = await (await browser.new_context(accept_downloads=True)).new_page()
    page.set_default_timeout(PATIENCE)
    await opened(page, f"{address}/Classify")
    outcome: dict[str, float | None] = {}
    for path in paths:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        await expect(page.locator("input[type=file]")).to_have_count(
            1, timeout=PATIENCE
        )
        await page.set_input_files("input[type=file]", path)
        outcome[digest] = await saved_score(page, digest)
    await page.context.close()
    return outcome


async def saved_score(page: Page, digest: str) -> float | None:
    """Returns the score that the page lets its reader save, once it is of this film."""
    end = time.monotonic() + PATIENCE / 1000
    menu = page.get_by_role("button", name="Save this reading")
    button = page.get_by_role("button", name="Result (JSON)").first
    while time.monotonic() < end:
        try:
            if not await button.is_visible():
                await menu.click(timeout=20_000)
            async with page.expect_download(timeout=20_000) as download:
                await button.click(timeout=20_000)
            path = await (await download.value).path()
            document = json.loads(path.read_text(encoding="utf-8"))
        except BrowserError:
            continue  # the page is being drawn anew
        if document["film_sha256"] == digest:
            return float(document["probability"])
        await page.wait_for_timeout(500)
    return None


async def cold_start(browser: Browser, figures: dict[str, float]) -> None:
    """Starts the app and lets its first two readers come at once."""
    with served() as server:
        begun = time.monotonic()
        pages = [await browser.new_page() for _ in PAGES]
        await asyncio.gather(
            *(
                opened(page, f"{server.address}/{name}")
                for page, name in zip(pages, PAGES, strict=True)
            )
        )
        seconds = round(time.monotonic() - begun, 1)
        figures["slowest_first_page"] = max(figures["slowest_first_page"], seconds)
        for page in pages:
            figures["errors"] += await page.get_by_text("Error id").count()
            await page.close()
        figures["errors"] += report(server.errors())


async def opened(page: Page, address: str) -> None:
    """Opens a page and waits until its script has run."""
    await page.goto(address, wait_until="commit", timeout=PATIENCE)
    shown = page.get_by_text("never a diagnosis").first
    await shown.wait_for(timeout=PATIENCE)
    await expect(page.get_by_test_id("stApp")).to_have_attribute(
        "data-test-script-state", "notRunning", timeout=PATIENCE
    )


@contextmanager
def served() -> Iterator[Server]:
    """Runs the app on a free port, with folders of its own, until the block ends."""
    with tempfile.TemporaryDirectory() as name, socket.socket() as probe:
        folder = Path(name)
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        where = {f"CXR_{name.upper()}_DIR": str(folder / name) for name in FOLDERS}
        command = [sys.executable, "-m", "streamlit", "run", "app.py"]
        with (folder / "log").open("w") as log:
            process = subprocess.Popen(
                [*command, "--server.port", str(port), "--server.headless", "true"],
                cwd=ROOT,
                env=os.environ | where,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            wait_for(port)
            yield Server(address=f"http://127.0.0.1:{port}", log=folder / "log")
        finally:
            process.terminate()
            process.wait(60)


def wait_for(port: int) -> None:
    """Waits until something listens on a port, two minutes at most."""
    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise TimeoutError("the app did not start")


def films(data_dir: Path, number: int) -> list[Path]:
    """Returns so many films, no two alike, a third of them in their original size."""
    large = sorted((data_dir / "originals").rglob("*.jpeg"))
    small = sorted((data_dir / "chest_xray" / "train").rglob("*.jpeg"))
    draws = random.Random(7)
    chosen = draws.sample(large, min(len(large), number // FILMS_EACH))
    return chosen + draws.sample(small, number - len(chosen))


def scores_of(paths: list[Path]) -> dict[str, float]:
    """Returns what the command line scores films with, by their SHA-256."""
    command = [sys.executable, "-m", "cxr", "classify", "--json", *map(str, paths)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    lines = map(json.loads, done.stdout.splitlines())
    return {
        hashlib.sha256(Path(line["file"]).read_bytes()).hexdigest(): line["probability"]
        for line in lines
    }


def report(errors: list[str]) -> int:
    """Writes lines of a log to standard error; returns how many there are."""
    sys.stderr.writelines(f"{line}\n" for line in errors)
    return len(errors)


if __name__ == "__main__":
    sys.exit(main())
