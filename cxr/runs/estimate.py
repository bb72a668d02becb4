"""How long a run will take, from speeds measured on this machine and nothing else.

A measurement is a whole run on a small sample (`training.measure`); every finished run
adds its own speeds. Without a measurement there is no estimate.
"""

import json
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from cxr import documents
from cxr.datasets import splits
from cxr.runs import architectures
from cxr.runs.config import TrainConfig

FILE = "speeds.json"
KEPT = 64
VALIDATION_VIEWS = 2  # each validation film as it is and once restyled

DECODE, FEATURES, HEAD, LOWER = "decode", "features", "head", "lower"
STEP, VALIDATE, SCORE = "step", "validate", "score"


@dataclass(frozen=True, kw_only=True)
class Speeds:
    """What one run measured.

    Attributes:
        device: `devices.Device.words`.
        architecture: of the network.
        unfreeze_from: the first block that learnt, 0 for a network without blocks.
        batch_size: films a step.
        seconds: per film of each kind of work.
        fixed: seconds of all else: starting, building, exporting, checking.
        films: of the run that measured.
        measured: seconds since 1970.
    """

    device: str
    architecture: str
    unfreeze_from: int
    batch_size: int
    seconds: dict[str, float]
    fixed: float
    films: int
    measured: float


@dataclass(frozen=True, kw_only=True)
class Duration:
    """How long a run takes, seconds: if it stops early, and if it runs all epochs."""

    low: float
    high: float


@dataclass(kw_only=True)
class Clock:
    """Adds up what each kind of work took in a run, and for how many films."""

    started: float = field(default_factory=lambda: time.perf_counter())
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    films: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    @contextmanager
    def time(self, kind: str, films: int) -> Iterator[None]:
        """Times one piece of work on this many films."""
        begun = time.perf_counter()
        yield
        self.add(kind, films, time.perf_counter() - begun)

    def add(self, kind: str, films: int, seconds: float) -> None:
        """Adds work that was timed elsewhere.

        Args:
            kind: of work.
            films: that it was done on.
            seconds: that it took.
        """
        self.seconds[kind] += seconds
        self.films[kind] += films

    def per_film(self) -> dict[str, float]:
        """Returns the seconds per film of each kind of work that was done."""
        return {k: s / self.films[k] for k, s in self.seconds.items() if self.films[k]}

    def fixed(self) -> float:
        """Returns the seconds so far that were none of these kinds."""
        passed = time.perf_counter() - self.started
        return max(0.0, passed - sum(self.seconds.values()))


def keep(
    cache_dir: Path, config: TrainConfig, clock: Clock, *, device: str, films: int
) -> None:
    """Stores what a run measured.

    Args:
        cache_dir: where speeds are kept.
        config: of the run.
        clock: that added up its times.
        device: what it computed on, in words.
        films: that it had.
    """
    store(
        cache_dir,
        Speeds(
            device=device,
            architecture=config.architecture,
            unfreeze_from=_block(config),
            batch_size=config.batch_size,
            seconds=clock.per_film(),
            fixed=clock.fixed(),
            films=films,
            measured=time.time(),
        ),
    )


def store(cache_dir: Path, speeds: Speeds) -> None:
    """Stores a measurement in place of an older one of the same kind."""
    seconds, others = dict(speeds.seconds), []
    for older in read(cache_dir):
        if _kind(older) != _kind(speeds):
            others.append(older)
        else:
            # A run on films that were prepared before has not measured their decoding.
            seconds = older.seconds | seconds
    cache_dir.mkdir(parents=True, exist_ok=True)
    mine = [replace(speeds, seconds=seconds), *others]
    documents.replace(cache_dir / FILE, [asdict(item) for item in mine[:KEPT]])


def read(cache_dir: Path) -> list[Speeds]:
    """Returns all measurements, the newest first."""
    try:
        content = json.loads((cache_dir / FILE).read_text(encoding="utf-8"))
        return [documents.build(item, Speeds) for item in content]
    except (OSError, ValueError, TypeError):
        return []


def find_speeds(cache_dir: Path, config: TrainConfig, device: str) -> Speeds | None:
    """Returns what was measured on this device for such a run, None if nothing was.

    The batch size may be another one: time per film hardly depends on it.

    Args:
        cache_dir: where speeds are kept.
        config: of the run that is asked about.
        device: that it would compute on, in words.
    """
    wanted = (device, config.architecture, _block(config))
    found = [s for s in read(cache_dir) if _kind(s)[:3] == wanted]
    same_batch = [s for s in found if s.batch_size == config.batch_size]
    return next(iter([*same_batch, *found]), None)


def estimate(
    config: TrainConfig, n_films: int, speeds: Speeds, *, prepared: bool
) -> Duration:
    """Returns how long a run on this many films takes.

    Args:
        config: of the run.
        n_films: of the data folder.
        speeds: measured on this machine for such a run.
        prepared: whether the films have been decoded already.
    """
    n = {name: share * n_films for name, share in splits.SPLITS.items()}
    validation = n["validation"] * VALIDATION_VIEWS
    views = 0 if config.continues else n["train"] * config.head_views
    work = {
        DECODE: 0 if prepared else n_films,
        FEATURES: views + validation if views else 0,
        HEAD: views * config.head_epochs,
        LOWER: validation,
        SCORE: n_films - n["train"],
    }
    once = speeds.fixed + sum(speeds.seconds.get(k, 0) * v for k, v in work.items())
    epoch = (
        speeds.seconds.get(STEP, 0) * n["train"] * config.draws_of_a_film
        + speeds.seconds.get(VALIDATE, 0) * validation
    )
    fewest = min(config.epochs, config.patience + 1)
    return Duration(low=once + fewest * epoch, high=once + config.epochs * epoch)


def _kind(speeds: Speeds) -> tuple[str, str, int, int]:
    return (
        speeds.device,
        speeds.architecture,
        speeds.unfreeze_from,
        speeds.batch_size,
    )


def _block(config: TrainConfig) -> int:
    has_blocks = architectures.find(config.architecture).last_block
    return config.unfreeze_from if has_blocks else 0
