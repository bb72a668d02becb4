"""A hospital's own labelled films scored by a model: what it is worth there, go or not.

A validation is a folder: what was asked for, how far it is, one line for each film
that is done, and at the end the scores as a model has them and a report. It can be
stopped at any moment and goes on with the films that are missing. The model's shipped
threshold is used and stays as it is.
"""

import json
import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

import numpy as np

from cxr import (
    audit,
    data,
    disk,
    documents,
    evaluation,
    inference,
    registry,
    runs,
    scores,
    scoring,
)
from cxr.audit import Entry
from cxr.data import LabelledFilm
from cxr.decoding import DecoderPool
from cxr.errors import DatasetError, ImageError, JobError
from cxr.evaluation import Estimate, Evaluation, UndefinedMetricWarning
from cxr.inference import Model
from cxr.runs import Heartbeat
from cxr.scores import Scores
from cxr.scoring import Outcome

logger = logging.getLogger(__name__)

SPLIT = "local"
VALIDATED = "validate"  # the action in the audit trail
CONFIG, PROGRESS, REPORT = "config.json", "progress.jsonl", "report.json"
LOADING, SCORING, REPORTING, DONE = (
    "loading the model",
    "scoring",
    "reporting",
    "done",
)
LONG_SILENCE = 300.0  # loading a model; intervals of very many films

# What the films of a hospital have to show. The numbers of films are those below which
# a validation says little (Vergouwe et al., J. Clin. Epidemiol. 58 (2005) 475-483;
# Collins et al., Stat. Med. 35 (2016) 214-226); the others are our own choice.
LEAST_OF_A_CLASS = 100
LEAST_SENSITIVITY = 0.90
LEAST_SPECIFICITY = 0.80
LEAST_AUC = 0.95
LARGEST_CALIBRATION_ERROR = 0.10
LARGEST_REFUSED_SHARE = 0.05


@dataclass(frozen=True, kw_only=True)
class Config:
    """What a validation was asked for.

    Attributes:
        data: the labelled folder or manifest.
        model_id: the model.
        model_sha256: of its weights; going on with others is refused.
        limit: the only folder below which films are read; empty for any.
    """

    data: str
    model_id: str
    model_sha256: str
    limit: str = ""


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One thing that the films have to show.

    Attributes:
        name: in a few words.
        sentence: what has to hold.
        bar: the value it is held against.
        value: what the films show; nan where that is undefined.
        passed: whether it holds; what is undefined does not.
    """

    name: str
    sentence: str
    bar: float
    value: float
    passed: bool


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a model is worth on a hospital's films.

    Attributes:
        model_id: the model.
        model_sha256: of its weights.
        created: UTC, ISO 8601.
        data: name of the folder or manifest, without its path.
        fingerprint: SHA-256 over contents, labels and patients.
        films: in the folder, refused ones among them.
        refused: the reason for each film, by name, that could not be scored.
        seen: films that trained, tuned or calibrated the model.
        evaluation: of the scored films at the model's own threshold.
        bars: what had to hold.
        go: whether all of it does.
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


@dataclass(frozen=True, kw_only=True)
class _Line:
    """One film that is done; `stamp` is size and time of the file then."""

    name: str
    stamp: tuple[int, int]
    sha256: str
    logit: float
    probability: float
    pixels: int
    refused: str


def create(
    queue: Path,
    models_dir: Path,
    *,
    source: Path,
    model_id: str,
    limit: Path | None = None,
) -> Path:
    """Returns the new folder of a validation that has not begun.

    Args:
        queue: where validations are; made if need be.
        models_dir: the registry.
        source: labelled folder or manifest.
        model_id: the model to validate.
        limit: the only folder below which films are read; None for any.

    Raises:
        ModelError: there is no such model.
        JobError: the folder can't be written.
    """
    try:
        queue.mkdir(parents=True, exist_ok=True)
        folder = runs.claim(queue)
    except OSError as error:
        raise _unwritable(error) from error
    begin(folder, models_dir, source=source, model_id=model_id, limit=limit)
    return folder


def begin(
    folder: Path,
    models_dir: Path,
    *,
    source: Path,
    model_id: str,
    limit: Path | None = None,
) -> None:
    """Writes into a folder what is asked for; the same again changes nothing.

    Raises:
        ModelError: there is no such model.
        JobError: the folder holds another validation, or can't be written.
    """
    card = registry.read_card(models_dir, model_id)
    wanted = Config(
        data=str(source.resolve()),
        model_id=model_id,
        model_sha256=card.weights_sha256,
        limit=str(limit.resolve()) if limit else "",
    )
    if (folder / CONFIG).exists():
        if read_config(folder) != wanted:
            raise JobError(
                f"{folder.name} holds the validation of another model or other films. "
                "Name another folder.",
                code="other-validation",
            )
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        documents.replace(folder / CONFIG, asdict(wanted))
    except OSError as error:
        raise _unwritable(error) from error


def record_start(records_dir: Path, folder: Path, *, actor: str) -> Entry:
    """Records in the audit trail who has a model validated on which folder of films.

    Raises:
        JobError: the folder holds no validation.
        CxrError: the audit trail can't be written.
    """
    config = read_config(folder)
    return audit.record(
        records_dir,
        VALIDATED,
        actor=actor,
        model_id=config.model_id,
        details={"validation": folder.name, "data": Path(config.data).name},
    )


def command(folder: Path) -> tuple[str, ...]:
    """Returns the command that runs a validation, or goes on with it."""
    return (sys.executable, "-m", "cxr", "validate", "--folder", str(folder))


def run(
    folder: Path, models_dir: Path, *, workers: int = 1, threads: int = 0
) -> Report:
    """Scores the films that are not done yet and returns the report.

    Args:
        folder: of a validation, as `create` or `begin` leave it.
        models_dir: the registry.
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
        return _run(folder, models_dir, workers, threads)


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
        texts = [
            (folder / name).read_text(encoding="utf-8")
            for name in (scores.SCORES, scores.SPLIT)
        ]
        found = scores.parse(texts[0], texts[1], SPLIT)
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise JobError(
            f"{folder.name} has no scores that can be read.", code="no-report"
        ) from error
    if found is None:
        raise JobError(f"{folder.name} has no scored films.", code="no-report")
    return found


def bars_for(
    evaluated: Evaluation, *, films: int, refused: int, seen: int
) -> tuple[Bar, ...]:
    """Returns what the films have to show and what they do.

    Args:
        evaluated: of the scored films.
        films: in the folder.
        refused: of these, not scored.
        seen: of the scored ones, known to the model from its making.
    """
    n_negative = evaluated.n - evaluated.n_positive
    return (
        _at_least("pneumonia films", evaluated.n_positive, LEAST_OF_A_CLASS),
        _at_least("normal films", n_negative, LEAST_OF_A_CLASS),
        _at_most("films the model was made from", seen, 0),
        _at_most("refused share", refused / films, LARGEST_REFUSED_SHARE),
        _low("sensitivity", evaluated.sensitivity, LEAST_SENSITIVITY),
        _low("specificity", evaluated.specificity, LEAST_SPECIFICITY),
        _low("AUC", evaluated.auc, LEAST_AUC),
        _at_most("calibration error", evaluated.ece.value, LARGEST_CALIBRATION_ERROR),
    )


def _run(folder: Path, models_dir: Path, workers: int, threads: int) -> Report:
    config = read_config(folder)
    heart = Heartbeat(folder)
    heart.stage(LOADING, patience=LONG_SILENCE)
    limit = Path(config.limit) if config.limit else None
    films = data.scan(Path(config.data), limit=limit)
    model = inference.load(models_dir, config.model_id, threads=threads)
    if model.sha256 != config.model_sha256:
        raise JobError(
            f"The weights of {config.model_id} are not those that this validation "
            "began with. Start a new one.",
            code="other-validation",
        )
    stamps = {film.name: _stamp(film) for film in films}
    lines = {k: v for k, v in _done(folder).items() if v.stamp == stamps.get(k)}
    heart.stage(SCORING, done=len(lines), total=len(films))
    waiting = [film for film in films if film.name not in lines]
    with (
        (folder / PROGRESS).open("a", encoding="utf-8") as progress,
        DecoderPool(workers) as pool,
    ):
        for line in _scored(model, pool, waiting, stamps):
            lines[line.name] = line
            _append(progress, line)
            heart.beat(done=len(lines))
    whole = {"done": len(films), "total": len(films)}
    heart.stage(REPORTING, **whole, patience=LONG_SILENCE)
    report = _report(folder, config, model, films, lines, models_dir)
    documents.replace(folder / REPORT, asdict(report))
    heart.stage(DONE, **whole)
    return report


def _unwritable(error: OSError) -> JobError:
    return JobError(
        f"The folder of the validation can't be written: {error.strerror}.",
        code="validation-folder",
    )


def _stamp(film: LabelledFilm) -> tuple[int, int]:
    try:
        found = film.path.stat()
    except OSError:
        return (0, 0)
    return (found.st_size, found.st_mtime_ns)


def _done(folder: Path) -> dict[str, _Line]:
    """Returns the films that are done; a line that was cut off is not."""
    try:
        text = (folder / PROGRESS).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return {}
    found = {}
    for row in text.splitlines():
        try:
            line = documents.parse(row, _Line)
        except ValueError:
            continue
        found[line.name] = line
    return found


def _scored(
    model: Model,
    pool: DecoderPool,
    films: Sequence[LabelledFilm],
    stamps: dict[str, tuple[int, int]],
) -> Iterator[_Line]:
    outcomes = scoring.score(model, pool, scoring.contents(film.path for film in films))
    for film, outcome in zip(films, outcomes, strict=True):
        yield _line(film, outcome, stamps[film.name])


def _line(film: LabelledFilm, outcome: Outcome, stamp: tuple[int, int]) -> _Line:
    line = _Line(
        name=film.name,
        stamp=stamp,
        sha256=outcome.sha256,
        logit=float("nan"),
        probability=float("nan"),
        pixels=outcome.pixels or 0,
        refused="",
    )
    if isinstance(outcome.result, ImageError):
        return replace(line, sha256=_sha256(film), refused=outcome.result.message)
    result = outcome.result
    return replace(line, logit=result.logit, probability=result.probability)


def _sha256(film: LabelledFilm) -> str:
    """Returns the hash of a film that can't be scored, empty if it can't be opened."""
    try:
        return data.with_hashes([film])[0].sha256
    except DatasetError:
        return ""


def _append(progress: TextIO, line: _Line) -> None:
    # On a line of its own, whatever an earlier process was stopped in.
    text = json.dumps(documents.plain(asdict(line)), allow_nan=False)
    progress.write(f"\n{text}" if progress.tell() else text)
    progress.flush()


def _report(
    folder: Path,
    config: Config,
    model: Model,
    films: Sequence[LabelledFilm],
    lines: dict[str, _Line],
    models_dir: Path,
) -> Report:
    known = data.join_copies(
        [replace(film, sha256=lines[film.name].sha256) for film in films]
    )
    refused = {
        film.name: lines[film.name].refused
        for film in known
        if lines[film.name].refused
    }
    found = _as_scores([film for film in known if film.name not in refused], lines)
    scores.write(folder, {SPLIT: found})
    scores.write_split(
        folder, zip(found.names, found.sha256, [SPLIT] * len(found.names), strict=True)
    )
    split_of = registry.read_split(models_dir, model.card)
    seen = sum(split_of.get(sha256, "test") != "test" for sha256 in found.sha256)
    evaluated = _evaluate(found, model.card.threshold.value)
    bars = bars_for(evaluated, films=len(films), refused=len(refused), seen=seen)
    return Report(
        model_id=config.model_id,
        model_sha256=config.model_sha256,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        data=Path(config.data).name,
        fingerprint=data.fingerprint(known),
        films=len(films),
        refused=refused,
        seen=seen,
        evaluation=evaluated,
        bars=bars,
        go=all(bar.passed for bar in bars),
    )


def _as_scores(films: Sequence[LabelledFilm], lines: dict[str, _Line]) -> Scores:
    if not films:
        raise DatasetError("None of these films could be scored.")
    theirs = [lines[film.name] for film in films]
    return Scores(
        names=tuple(film.name for film in films),
        sha256=tuple(film.sha256 for film in films),
        patients=tuple(film.patient_id for film in films),
        labels=np.array([film.label for film in films]),
        logits=np.array([line.logit for line in theirs]),
        probabilities=np.array([line.probability for line in theirs]),
        subtypes=tuple(film.subtype or "" for film in films),
        pixels=np.array([float(line.pixels) for line in theirs]),
    )


def _evaluate(found: Scores, threshold: float) -> Evaluation:
    with warnings.catch_warnings():
        # What is undefined is null in the report and fails its bar.
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        return evaluation.evaluate(
            found.labels,
            found.probabilities,
            threshold=threshold,
            groups=found.patients,
        )


def _at_least(name: str, value: float, bar: float) -> Bar:
    return Bar(
        name=name,
        sentence=f"At least {bar:g} {name}.",
        bar=bar,
        value=value,
        passed=value >= bar,
    )


def _at_most(name: str, value: float, bar: float) -> Bar:
    sentence = f"The {name} is at most {bar:g}." if bar else f"No {name}."
    return Bar(name=name, sentence=sentence, bar=bar, value=value, passed=value <= bar)


def _low(name: str, estimate: Estimate, bar: float) -> Bar:
    return Bar(
        name=name,
        sentence=f"The 95 % interval of the {name} starts at {bar:g} or above.",
        bar=bar,
        value=estimate.low,
        passed=estimate.low >= bar,
    )
