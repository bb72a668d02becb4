"""How long the dashboard's numbers take for many scored films, in the server.

    python -m benchmarks.dashboard [--films 100000] [--json]

`first_paint_s` is everything that the page needs before it can show anything: the table
of scores read from the disk with its hash compared, every metric with its interval, the
curves, histograms and subgroups. `slider_ms` is one move of the threshold: counts,
rates, local rates and subgroups, the slowest of fifty. Goals: 3 s and 200 ms. On a busy
machine `first_paint_processor_s` says what it would be on an idle one.

`page_s` is the real page run from end to end in a new session, its figures made and
handed to Streamlit; `page_move_ms` the part of it that a move of the slider runs again,
the slowest of ten.
"""

import argparse
import json
import os
import shutil
import tempfile
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cxr.config import ROOT, settings
from cxr.evaluation import (
    estimates,
    overview,
    subgroups,
    summary,
)
from cxr.evaluation.overview import Overview
from cxr.evaluation.scores import Scores
from cxr.models import (
    cards,
    registry,
    scores,
)

PREVALENCE = 0.2
MOVES = 50
PAGE_MOVES = 10


def main() -> None:
    """Measures both and prints them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--films", type=int, default=100_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measured(Path(folder) / "models", options.films)
        figures |= page(Path(folder))
    if options.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:28} {value:10.3f}")


def measured(models_dir: Path, n_films: int) -> dict[str, float]:
    """Returns seconds for what comes before the first paint, and for one move."""
    card = register(models_dir, n_films)
    started, processor = time.perf_counter(), time.process_time()
    stored = registry.read_scores(models_dir, card, "test")
    read = time.perf_counter()
    seen = prepared(stored)
    ready = time.perf_counter()
    summary.evaluate(
        stored.labels,
        stored.probabilities,
        threshold=card.threshold.value,
        groups=stored.patients,
    )
    evaluated = time.perf_counter()
    seen.at(card.threshold.value, prevalence=PREVALENCE)
    painted = time.perf_counter()
    processor = time.process_time() - processor
    moves = [move(seen, threshold) for threshold in np.linspace(0.01, 0.99, MOVES)]
    return {
        "films": n_films,
        "read_scores_s": read - started,
        "curves_s": ready - read,
        "metrics_s": evaluated - ready,
        "first_paint_s": painted - started,
        "first_paint_processor_s": processor,
        "slider_ms": 1000 * max(moves),
        "slider_median_ms": 1000 * float(np.median(moves)),
    }


def page(root: Path) -> dict[str, float]:
    """Returns seconds for the whole page, run as the server runs it."""
    for name in ("models", "records", "cache", "runs"):
        os.environ[f"CXR_{name.upper()}_DIR"] = str(root / name)
    from streamlit.logger import set_log_level  # noqa: TID251 (it runs the app)
    from streamlit.testing.v1 import AppTest  # noqa: TID251

    set_log_level("ERROR")  # of a server, which is missing here

    moved = timed_part()
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=300).run()
    app.switch_page("pages/2_Dashboard.py")
    first = timed_run(app)
    moved.clear()
    slider = app.slider[0]
    for threshold in np.linspace(0.1, 0.9, PAGE_MOVES):
        app.slider(key=slider.key).set_value(float(threshold))
        timed_run(app)
    return {"page_s": first, "page_move_ms": 1000 * max(moved)}


def timed_part() -> list[float]:
    """Returns where the seconds go that each run of the moving part takes."""
    from ui.dashboard import sections

    seconds: list[float] = []
    show = sections.show_threshold

    def timed(source: Any) -> None:
        started = time.perf_counter()
        show(source)
        seconds.append(time.perf_counter() - started)

    sections.show_threshold = timed
    return seconds


def timed_run(app: Any) -> float:
    """Returns the seconds of one run of the page, which must go well."""
    started = time.perf_counter()
    app.run()
    if app.exception or app.error or not app.metric:
        raise RuntimeError("expected the dashboard, received an error")
    return time.perf_counter() - started


def prepared(stored: Scores) -> Overview:
    """Returns the scored films ready for any threshold, as the page makes them."""
    with np.errstate(over="ignore"):
        uncalibrated = 1 / (1 + np.exp(-stored.logits))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", estimates.UndefinedMetricWarning)
        return overview.overview(
            stored.labels,
            stored.probabilities,
            groups=stored.patients,
            uncalibrated=uncalibrated,
            parts=subgroups.by_subtype(stored.labels, stored.subtypes),
        )


def move(seen: Overview, threshold: float) -> float:
    """Returns the seconds that one move of the threshold takes."""
    started = time.perf_counter()
    band = (float(threshold) / 2, (1 + float(threshold)) / 2)
    seen.at(float(threshold), band=band, prevalence=PREVALENCE)
    seen.films_in_cell("fn", band)
    return time.perf_counter() - started


def register(models_dir: Path, n_films: int) -> cards.Card:
    """Returns the active model's card over made-up scores of so many films."""
    rng = np.random.default_rng(0)
    labels = (rng.random(n_films) < 0.7).astype(np.int64)
    logits = rng.normal(np.where(labels == 1, 2.5, -2.5), 1.6)
    kinds = np.where(rng.random(n_films) < 0.6, "bacterial", "viral")
    sha256 = tuple(f"{i:064x}" for i in range(n_films))
    names = tuple(f"test/film-{i:06d}.jpeg" for i in range(n_films))
    made_up = Scores(
        names=names,
        sha256=sha256,
        patients=tuple(f"patient-{i // 2:06d}" for i in range(n_films)),
        labels=labels,
        logits=logits,
        probabilities=1 / (1 + np.exp(-logits)),
        subtypes=tuple(np.where(labels == 1, kinds, "").tolist()),
    )
    shipped = settings().models_dir
    card = registry.read_card(shipped, registry.active_id(shipped))
    folder = models_dir / card.model_id
    shutil.copytree(shipped / card.model_id, folder)
    scores.write(folder, {"test": made_up})
    scores.write_split(folder, zip(names, sha256, ["test"] * n_films, strict=True))
    card = replace(card, files=registry.file_records(folder))
    registry.write_card(models_dir, card)
    registry.activate(models_dir, card.model_id)
    return card


if __name__ == "__main__":
    main()
