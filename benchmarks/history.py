"""Times the history with many cases: what a page asks first, searches, and keeping one.

    python -m benchmarks.history [--cases 1000000] [--folder DIR] [--seed 1]

Makes a history of so many cases, by the same statements as one reading after the other
but in large transactions that do not wait for the disk, in `--folder` (which is kept
and used again) or in a temporary one. Prints one JSON document: seconds of the first
view (counts and the newest 50 cases) in a process that has just begun, of searches, and
the median and the worst of keeping 200 readings one by one. Ends with 1 where one of
these takes longer than it may.
"""

import argparse
import json
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cxr.config import ROOT
from cxr.records import chain, events, history, keys, search
from cxr.records.database import transaction
from cxr.records.kept import READING, REVIEW, KeptCase, KeptReading, seen
from cxr.records.search import Query

FIRST_VIEW_SECONDS, SEARCH_SECONDS, KEEP_SECONDS = 1.0, 0.5, 0.015
AT_ONCE = 20_000
BEGIN = datetime(2020, 1, 1, tzinfo=UTC)
READERS = [f"reader-{i}@example.org" for i in range(20)]
REASONS = (
    "the opacity is the heart",
    "retrocardiac consolidation was missed",
    "an effusion and no pneumonia",
    "poor inspiration",
)


def main() -> int:
    """Makes, times, prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--view", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.view:
        sys.stdout.write(f"{first_view(options.folder)}\n")
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = options.folder or Path(name) / "records"
        made = make(folder, options.cases, random.Random(options.seed))
        answer = {
            "cases": search.count(folder).cases,
            "megabytes": round((folder / events.FILE).stat().st_size / 1e6),
            "seconds_to_make": round(made, 1),
            "first_view_in_a_new_process": in_a_new_process(folder),
            "first_view": seconds(lambda: first_view(folder)),
            "searches": {k: seconds(run) for k, run in searches(folder).items()},
            "keep": keeping(folder),
        }
    sys.stdout.write(json.dumps(answer, indent=2) + "\n")
    slow = (
        max(answer["first_view_in_a_new_process"], answer["first_view"])
        > FIRST_VIEW_SECONDS
        or max(answer["searches"].values()) > SEARCH_SECONDS
        or answer["keep"]["median"] > KEEP_SECONDS
    )
    return int(slow)


def make(folder: Path, cases: int, rng: random.Random) -> float:
    """Fills a history up to so many cases and returns the seconds that it took."""
    started = time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    events.HISTORY.create(folder)
    keys.secret(folder, first=True)
    with events.HISTORY.opened(folder) as database:
        (there,) = database.execute("SELECT count(*) FROM cases").fetchone()
        database.execute("PRAGMA synchronous = OFF")
        database.execute("PRAGMA cache_size = -400000")
        while there < cases:
            now = min(AT_ONCE, cases - there)
            with transaction(database):
                for i in range(there, there + now):
                    put(database, i, rng)
            there += now
        events.CHAIN.note_head(folder, database)
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return time.perf_counter() - started


def put(database: sqlite3.Connection, number: int, rng: random.Random) -> None:
    """Adds one made-up case, five minutes after the one before; one in ten reviewed."""
    case_id = f"{rng.getrandbits(64):016x}"
    reading = made_up(rng, number)
    actor = rng.choice(READERS)
    when = (BEGIN + timedelta(minutes=5 * number)).isoformat(timespec="milliseconds")
    chain.now = lambda: when
    event = events.append(
        database, READING, case_id, actor, history.content_of(reading)
    )
    case = KeptCase(
        number=event.id, case_id=case_id, time=when, reader=actor, reading=reading
    )
    if rng.random() < 0.1:
        opinion = rng.choice(("agree", "agree", "agree", "disagree", "unsure"))
        said = {
            "opinion": opinion,
            "pneumonia": seen(reading.answer, opinion, None),
            "reason": rng.choice(REASONS) if rng.random() < 0.5 else "",
        }
        events.append(database, REVIEW, case_id, actor, said)
        case = KeptCase(**{**vars(case), **said})
    events.index(database, case)


def made_up(rng: random.Random, number: int) -> KeptReading:
    """Returns a reading like those of a day's work."""
    logit = rng.gauss(-1, 3)
    refused = rng.random() < 0.02
    answer = "above threshold" if logit > 0 else "below threshold"
    answer = "no answer" if abs(logit) < 0.3 else answer
    return KeptReading(
        worklist=f"{number // 40:032x}",
        film=f"{rng.getrandbits(128):032x}",
        patient=f"{rng.randrange(300_000):032x}",
        model_id=f"b0-20{20 + number // 200_000}-01-01-1",
        model_sha256="a" * 64,
        card_sha256="b" * 64,
        threshold=0.17,
        threshold_source="shipped",
        answer="refused" if refused else answer,
        probability=None if refused else 1 / (1 + 2.7183 ** (-logit)),
        logit=None if refused else logit,
        code="not-frontal-chest" if refused else "",
        frontal=rng.gauss(8, 2),
        unlike=rng.gauss(-3, 2),
        brightness=rng.gauss(120, 15),
        contrast=rng.gauss(55, 6),
        cautions=("The film looks unlike the films that the model was made from.",),
        format="DICOM",
        bits=12,
        height=2000,
        width=2000,
    )


def first_view(folder: Path) -> float:
    """Returns the seconds of what the page shows first."""
    started = time.perf_counter()
    search.count(folder)
    search.cases(folder)
    return time.perf_counter() - started


def in_a_new_process(folder: Path) -> float:
    """Returns the seconds of the first view in a process that has just begun."""
    command = [sys.executable, "-m", "benchmarks.history", "--view", "--folder"]
    done = subprocess.run(
        [*command, str(folder)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return round(float(done.stdout), 3)


def searches(folder: Path) -> dict[str, Callable[[], object]]:
    """Returns searches as a reader makes them, by what is searched for."""
    newest = search.cases(folder, limit=1)[0]
    middle = BEGIN + (datetime.fromisoformat(newest.time) - BEGIN) / 2
    queries = {
        "case id": Query(text=newest.case_id[:8]),
        "words of a reason": Query(text="missed consolidation"),
        "words that nobody wrote": Query(text="pneumothorax"),
        "disagreements": Query(disagreement=True),
        "reviewed unsure": Query(opinions=("unsure",)),
        "refused": Query(answers=("refused",)),
        "one reader": Query(reader=READERS[3]),
        "one model": Query(model_id=newest.reading.model_id),
        "a month in the middle": Query(since=middle, until=middle + timedelta(days=30)),
        "before the middle, one reader, above": Query(
            until=middle, reader=READERS[3], answers=("above threshold",)
        ),
        "one patient": Query(patient=newest.reading.patient),
        "not a sample": Query(sample=False),
    }
    found: dict[str, Callable[[], object]] = {}
    for name, query in queries.items():
        found[name] = lambda query=query: search.cases(folder, query)
        found[f"{name}, counted"] = lambda query=query: search.count(folder, query)
    found["one list"] = lambda: search.worklist(folder, newest.reading.worklist)
    cursor = (middle.isoformat(timespec="milliseconds"), 1 << 60)
    found["a page in the middle"] = lambda: search.cases(folder, before=cursor)
    return found


def keeping(folder: Path) -> dict[str, float]:
    """Returns the seconds of keeping a reading, one after the other."""
    rng = random.Random(7)
    took = [
        seconds(lambda: history.keep(folder, made_up(rng, 0), actor="ann"))
        for _ in range(200)
    ]
    return {"median": statistics.median(took), "worst": max(took)}


def seconds(run: Callable[[], object]) -> float:
    """Returns how long a call took."""
    started = time.perf_counter()
    run()
    return round(time.perf_counter() - started, 4)


if __name__ == "__main__":
    sys.exit(main())
