"""A hospital's own labelled films scored by a model: what it is worth there, go or not.

A validation is a folder: what was asked for, how far it is, a line for each film that
is done, and at the end scores and a report. It can be stopped at any moment and goes on
with the films that are missing. The model's shipped threshold is used and stays.
"""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from cxr import disk, documents
from cxr.config import settings
from cxr.datasets import folders
from cxr.datasets.folders import LabelledFilm, LeftOut
from cxr.errors import JobError
from cxr.evaluation import summary
from cxr.evaluation.estimates import UndefinedMetricWarning
from cxr.evaluation.scores import Scores
from cxr.evaluation.summary import Evaluation
from cxr.films.decoding import DecoderPool
from cxr.governance import trust
from cxr.jobs.heartbeat import Heartbeat
from cxr.jobs.queues import CONFIG
from cxr.models import registry, scores
from cxr.models.cards import Card
from cxr.models.inference import Model
from cxr.names import printable
from cxr.reading import scoring
from cxr.validation import progress
from cxr.validation.bars import Bar, bars_for
from cxr.validation.progress import Line

SPLIT = "local"
REPORT = "report.json"
LOADING, SCORING = "loading the model", "scoring"
REPORTING, DONE = "reporting", "done"
LONGEST_NAME = 80
LONG_SILENCE = 300.0  # loading a model; intervals of very many films


@dataclass(frozen=True, kw_only=True)
class Config:
    """What a validation was asked for.

    Attributes:
        data: the labelled folder or manifest.
        model_id: the model.
        model_sha256: of its weights; going on with others is refused.
        limit: the only folder below which films are read; empty for any.
        name: what whoever began it calls it; empty for the name of the films' folder.
    """

    data: str
    model_id: str
    model_sha256: str
    limit: str = ""
    name: str = ""

    @property
    def title(self) -> str:
        """The name that it goes by, in letters."""
        return printable(self.name or Path(self.data).name)


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a model is worth on a hospital's films.

    Attributes:
        model_id: the model.
        model_sha256: of its weights.
        created: UTC, ISO 8601.
        data: name of the folder or manifest, without its path, in letters.
        fingerprint: SHA-256 over contents, labels and patients.
        films: in the folder, refused ones among them.
        refused: the reason for each film, by name, that could not be scored.
        seen: films that trained, tuned or calibrated the model.
        evaluation: of the scored films at the model's own threshold.
        bars: what had to hold.
        go: whether all of it does.
        left_out: what lies in the folder besides films, by reason.
        name: what the validation goes by; empty in reports of before it had one.
    """

    model_id: str
    model_sha256: str
    created: str
    data: str
    fingerprint: str
    films: int
    refused: dict[str, str]
    seen: int
    evaluation: Evaluation
    bars: tuple[Bar, ...]
    go: bool
    left_out: tuple[LeftOut, ...] = ()
    name: str = ""

    @property
    def title(self) -> str:
        """The name that it goes by, in letters."""
        return self.name or self.data


def queue() -> Path:
    """Returns the folder of all validations that were started in the background."""
    return settings().records_dir / "validations"


def run(
    folder: Path,
    models_dir: Path,
    records_dir: Path,
    *,
    workers: int = 1,
    threads: int = 0,
) -> Report:
    """Scores the films that are not done yet and returns the report.

    Args:
        folder: of a validation, as `create` or `begin` leave it.
        models_dir: the registry.
        records_dir: of the audit trail, by which the model's card is trusted.
        workers: processes that decode films.
        threads: processor threads for one inference, 0 for all.

    Raises:
        JobError: the folder holds no validation, or the model is not the same any more.
        DatasetError: the films are gone, one lies outside the limit, or not one could
            be scored.
        ModelError: the model may not serve.
        CxrError: the disk is full (code `disk-full`).
    """
    with disk.writing(folder):
        return _run(folder, models_dir, records_dir, workers, threads)


def read_config(folder: Path) -> Config:
    """Returns what a validation was asked for.

    Raises:
        JobError: the folder holds no validation.
    """
    try:
        return documents.read(folder / CONFIG, Config)
    except (OSError, ValueError) as error:
        raise JobError(
            f"{folder.name} holds no validation of a model.", code="no-validation"
        ) from error


def read_report(folder: Path) -> Report:
    """Returns the report of a validation that is done.

    Raises:
        JobError: there is none yet, or it can't be read.
    """
    try:
        return documents.read(folder / REPORT, Report)
    except (OSError, ValueError) as error:
        raise JobError(
            f"{folder.name} has no report that can be read.", code="no-report"
        ) from error


def read_scores(folder: Path) -> Scores:
    """Returns the scored films of a validation that is done, as a model's are.

    Raises:
        JobError: there are none yet, or they can't be read.
    """
    try:
        tables = [
            (folder / name).read_bytes() for name in (scores.SCORES, scores.SPLIT)
        ]
        stored = scores.parse(tables[0], tables[1], SPLIT)
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise JobError(
            f"{folder.name} has no scores that can be read.", code="no-report"
        ) from error
    if stored is None:
        raise JobError(f"{folder.name} has no scored films.", code="no-report")
    return stored


def _run(
    folder: Path, models_dir: Path, records_dir: Path, workers: int, threads: int
) -> Report:
    config = read_config(folder)
    heart = Heartbeat(folder)
    heart.stage(LOADING, patience=LONG_SILENCE)
    limit = Path(config.limit) if config.limit else None
    listed = folders.listing(Path(config.data), limit=limit)
    films = listed.films
    model = trust.load(models_dir, records_dir, config.model_id, threads=threads)
    if model.sha256 != config.model_sha256:
        raise JobError(
            f"The weights of {config.model_id} are not those that this validation "
            "began with. Start a new one.",
            code="other-validation",
        )
    stamps = {film.name: progress.stamp(film) for film in films}
    lines = {k: v for k, v in progress.read(folder).items() if v.stamp == stamps.get(k)}
    heart.stage(SCORING, done=len(lines), total=len(films))
    waiting = [film for film in films if film.name not in lines]
    with (
        (folder / progress.PROGRESS).open("a", encoding="utf-8") as file,
        DecoderPool(workers) as pool,
    ):
        for line in _scored(model, pool, waiting, stamps):
            lines[line.name] = line
            progress.append(file, line)
            heart.beat(done=len(lines))
    total = len(films)
    heart.stage(REPORTING, done=total, total=total, patience=LONG_SILENCE)
    report = _report(folder, config, model, films, lines, models_dir)
    report = replace(report, left_out=listed.left_out)
    documents.replace(folder / REPORT, asdict(report))
    heart.stage(DONE, done=total, total=total)
    return report


def _scored(
    model: Model,
    pool: DecoderPool,
    films: Sequence[LabelledFilm],
    stamps: dict[str, tuple[int, int]],
) -> Iterator[Line]:
    files = scoring.contents(film.path for film in films)
    readings = scoring.score(model, pool, files, lungs=None)
    for film, reading in zip(films, readings, strict=True):
        yield progress.line_of(film, reading, stamps[film.name])


def _report(
    folder: Path,
    config: Config,
    model: Model,
    films: Sequence[LabelledFilm],
    lines: dict[str, Line],
    models_dir: Path,
) -> Report:
    known = folders.join_copies(
        [replace(film, sha256=lines[film.name].sha256) for film in films]
    )
    reasons = {film.name: lines[film.name].refused for film in known}
    refused = {name: reason for name, reason in reasons.items() if reason}
    done = [film for film in known if film.name not in refused]
    scored = progress.as_scores(done, lines)
    scores.write(folder, {SPLIT: scored})
    rows = zip(scored.names, scored.sha256, [SPLIT] * len(done), strict=True)
    scores.write_split(folder, rows)
    split_of = registry.read_split(models_dir, model.card)
    seen = sum(split_of.get(sha256, "test") != "test" for sha256 in scored.sha256)
    evaluated = _evaluate(scored, model.card)
    bars = bars_for(evaluated, films=len(films), refused=len(refused), seen=seen)
    return Report(
        model_id=config.model_id,
        model_sha256=config.model_sha256,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        data=printable(Path(config.data).name),
        name=config.title,
        fingerprint=folders.fingerprint(known),
        films=len(films),
        refused=refused,
        seen=seen,
        evaluation=evaluated,
        bars=bars,
        go=all(bar.passed for bar in bars),
    )


def _evaluate(scored: Scores, card: Card) -> Evaluation:
    with warnings.catch_warnings():
        # What is undefined is null in the report and fails its bar.
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        return summary.evaluate(
            scored.labels,
            scored.probabilities,
            threshold=card.threshold.value,
            band=card.band,
            groups=scored.patients,
        )
