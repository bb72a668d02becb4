"""From films to a model that reads, all of it in the browser, as a user would.

    python -m benchmarks.journey DATA [--weights FILE] [--pictures FOLDER]
                                 [--architecture NAME] [--preset NAME]

Starts the app with temporary folders beside a copy of the registered models; chooses
the films, starts a training, watches it, stops it, goes on, waits for its model,
promotes it, reads a film with it, rolls back. Prints what it saw and how long each step
took as JSON. Needs Playwright and Chromium (CXR_CHROMIUM or on the PATH).
"""

import argparse
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from playwright.sync_api import Page, sync_playwright

from cxr.config import ROOT, settings
from cxr.jobs import control

PATIENCE = 120_000  # milliseconds, of a page
LONGEST = 4 * 3600  # seconds, of the training
UPDATES = 3
FOLDERS = ("models", "runs", "cache", "records")


def main() -> None:
    """Makes the journey and prints what it saw."""
    options = arguments()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(settings().models_dir, folder / "models")
        app = App(folder, options)
        try:
            with sync_playwright() as playwright:
                seen = travel(playwright, app, options)
        finally:
            for job in control.list_jobs(folder / "runs"):
                control.stop(job.folder)
                control.wait(job.folder, 30)
            app.server.kill()
            app.server.wait(30)
    print(json.dumps(seen, indent=2))


def arguments() -> argparse.Namespace:
    """Returns the command line's arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", type=Path, help="of the backbone")
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--architecture", default="efficientnet-b0")
    parser.add_argument("--preset", default="quick")
    return parser.parse_args()


class App:
    """The app on a free port, with folders of its own; it can be killed and return."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        """Starts it."""
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        where = {f"CXR_{name.upper()}_DIR": str(folder / name) for name in FOLDERS}
        where["CXR_DATA_DIR"] = str(options.data.resolve())
        if options.weights:
            where["CXR_BACKBONE_WEIGHTS"] = str(options.weights.resolve())
        self.environment = os.environ | where
        self.server = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        """Returns the server's process when it answers."""
        command = [sys.executable, "-m", "streamlit", "run", "app.py"]
        server = subprocess.Popen(
            [*command, "--server.port", str(self.port)],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(300):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                break
            except OSError:
                time.sleep(0.2)
        return server

    def kill_and_restart(self) -> None:
        """Ends it as a crash does (SIGKILL), and starts it again."""
        self.server.kill()
        self.server.wait(30)
        self.server = self.start()


def travel(playwright: Any, app: App, options: argparse.Namespace) -> dict[str, Any]:
    """Takes every step; returns what was seen, and seconds by step."""
    browser = playwright.chromium.launch(
        executable_path=os.environ.get("CXR_CHROMIUM") or shutil.which("chromium"),
        args=["--no-sandbox", "--disable-gpu"],
    )
    page = browser.new_page(viewport={"width": 1440, "height": 1400})
    page.set_default_timeout(PATIENCE)
    steps = Steps(page, options.pictures)

    page.goto(f"{app.address}/Train")
    steps.seen["films"] = choose(page, options)
    steps.done("chosen")

    page.get_by_role("button", name="Start training").click()
    steps.seen["updates"] = watch(page, UPDATES)
    steps.done("watched")

    page.locator(".st-key-train_stop button:visible").click()
    page.get_by_role("button", name="Resume").wait_for()
    [job] = control.list_jobs(app.folder / "runs")
    steps.seen["stopped"] = job.state
    steps.seen["processes_left_by_stop"] = processes_of(job.folder)
    steps.done("stopped")

    page.get_by_role("button", name="Resume").click()
    page.locator(".st-key-train_stop button:visible").wait_for()
    steps.done("resumed")

    app.kill_and_restart()
    steps.seen["running_without_the_app"] = processes_of(job.folder) > 0
    page.goto(f"{app.address}/Train")
    page.locator(".st-key-train_stop button:visible").click()
    page.get_by_role("button", name="Resume").wait_for()
    steps.seen["processes_left_by_stop_after_restart"] = processes_of(job.folder)
    page.get_by_role("button", name="Resume").click()
    page.locator(".st-key-train_stop button:visible").wait_for()
    steps.done("app-killed-and-restarted")

    made = page.get_by_role("button", name=re.compile("^Open .* on the Models page"))
    made.wait_for(timeout=1000 * LONGEST)
    model_id = re.search("Open (.*) on the", made.inner_text())[1]  # type: ignore[index]
    steps.seen["model"] = model_id
    steps.done("trained")

    made.click()
    steps.seen["promoted"] = promote(page, model_id)
    steps.done("promoted")
    if steps.seen["promoted"]:
        steps.seen["reading"] = classify(page, app.address, options.data)
        steps.done("classified")
        page.goto(f"{app.address}/Models")
        steps.seen["rolled_back"] = roll_back(page)
        steps.done("rolled-back")
    browser.close()
    return {**steps.seen, "seconds": steps.seconds}


def processes_of(folder: Path) -> int:
    """Returns how many processes name the folder of a run, the supervisor included."""
    commands = (process.info["cmdline"] for process in psutil.process_iter(["cmdline"]))
    return sum(str(folder) in " ".join(words or ()) for words in commands)


class Steps:
    """Takes the time and a picture of each step."""

    def __init__(self, page: Page, pictures: Path | None) -> None:
        """Begins to take time."""
        self.page, self.pictures = page, pictures
        self.seen: dict[str, Any] = {}
        self.seconds: dict[str, float] = {}
        self.begun = time.monotonic()
        if pictures:
            pictures.mkdir(parents=True, exist_ok=True)

    def done(self, step: str) -> None:
        """Ends a step."""
        self.seconds[step] = round(time.monotonic() - self.begun, 1)
        if self.pictures:
            name = f"{len(self.seconds)}-{step}.png"
            self.page.screenshot(path=self.pictures / name, full_page=True)
        self.begun = time.monotonic()


def choose(page: Page, options: argparse.Namespace) -> str:
    """Chooses films, preset and architecture; returns what is said of the films."""
    films = page.get_by_text(re.compile(r"[\d,]+ films, [\d,]+ with")).first
    films.wait_for()
    page.get_by_role("radio", name=options.preset.capitalize()).click()
    page.get_by_text(f"made with “{options.preset}”").wait_for()
    page.get_by_role("combobox", name="Architecture").click()
    page.get_by_role("option", name=re.compile(f"^{options.architecture},")).click()
    page.wait_for_timeout(3000)
    return films.inner_text()


def watch(page: Page, count: int) -> list[str]:
    """Returns this many different states that the page showed without being asked."""
    seen: list[str] = []
    progress = page.get_by_test_id("stProgress")
    until = time.monotonic() + LONGEST
    while len(seen) < count and time.monotonic() < until:
        for text in progress.all_inner_texts():
            if text.strip() and text not in seen:
                seen.append(text)
        page.wait_for_timeout(1000)
    return seen


def promote(page: Page, model_id: str) -> bool:
    """Promotes the model if its gates let it; returns whether they did."""
    page.get_by_role("tab", name="Compare and promote").click()
    button = page.get_by_role("button", name=f"Promote {model_id}")
    button.wait_for()
    if button.is_disabled():
        return False
    button.click()
    page.get_by_role("dialog").get_by_role("button", name="Promote").click()
    page.get_by_text("was promoted and serves now").wait_for()
    return True


def classify(page: Page, address: str, films: Path) -> str:
    """Returns what the model that serves says of the first film of pneumonia."""
    page.goto(f"{address}/Classify")
    page.locator("input[type=file]").wait_for(state="attached")
    film = sorted(films.rglob("PNEUMONIA/*.*"))[0]
    page.set_input_files("input[type=file]", film)
    said = page.get_by_text(
        re.compile("Probability of pneumonia .*(above|below)")
    ).first
    said.wait_for()
    return said.inner_text()


def roll_back(page: Page) -> str:
    """Goes back to the model before; returns what the page says."""
    page.get_by_role("tab", name="Compare and promote").click()
    page.get_by_role("button", name=re.compile("^Roll back to")).click()
    page.get_by_role("dialog").get_by_role("button", name="Roll back").click()
    said = page.get_by_text(re.compile("serves again")).first
    said.wait_for()
    return said.inner_text()


if __name__ == "__main__":
    main()
