"""A data folder checked from end to end, and the result kept on disk.

The folder of a check holds `status.json`, the heartbeat of a check that runs, and of
the last whole one `report.json` with the survey that it names. A check that was stopped
goes on where it was, and a second one measures only what has changed: what was measured
is taken over for every file of the same size and time of change.
"""

import hashlib
import json
import math
import os
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from cxr import disk, documents
from cxr.datasets import folders, shortcuts
from cxr.datasets import survey as datasets_survey
from cxr.datasets.folders import LabelledFilm, LeftOut
from cxr.datasets.integrity import KINDS, Finding, Integrity, inspect
from cxr.datasets.shortcuts import ShortcutAudit
from cxr.datasets.splits import SPLIT_SEED, split_by_patient
from cxr.datasets.survey import Measurement, Survey, collect, measure, measurements
from cxr.errors import CxrError, DatasetError
from cxr.evaluation.estimates import Estimate
from cxr.evaluation.scores import Scores
from cxr.jobs.heartbeat import Heartbeat

REPORT, PARTIAL = "report.json", "measured.npz"
BEAT_SECONDS = 1.0
PARTIAL_SECONDS = 60.0
# The longest that a check of very many films says nothing: one figure's prediction.
LONG_SILENCE = 300.0
FORMAT = 2  # of the survey's file; another one is measured anew

LISTING = "listing films"
MEASURING = "measuring films"
COMPARING = "looking for duplicates"
PREDICTING = "predicting the label from plain figures"
DONE = "done"
STAGES = (LISTING, MEASURING, COMPARING, PREDICTING, DONE)

_ARRAYS = (
    "readable",
    "width",
    "height",
    "file_bytes",
    "modified",
    "mean_grey",
    "contrast",
    "sharpness",
    "signatures",
)


@dataclass(frozen=True, kw_only=True)
class SplitCount:
    """One split that training would make.

    Attributes:
        films: how many.
        patients: how many.
        positives: films of pneumonia.
    """

    films: int
    patients: int
    positives: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Check:
    """Everything that is known about a data folder.

    Attributes:
        source: the data folder or manifest, an absolute path.
        created: when, UTC, ISO 8601.
        survey: all films, measured.
        integrity: what is wrong.
        audit: how well plain figures predict the label.
        splits: the patient-grouped split that training would make, by name; empty if
            there can be none.
        no_splits: why not, a sentence; else empty.
        listing: SHA-256 of names, labels, patients, sizes and times of change.
        left_out: what lies there besides films, by reason.
    """

    source: Path
    created: str
    survey: Survey
    integrity: Integrity
    audit: ShortcutAudit
    splits: dict[str, SplitCount]
    no_splits: str
    listing: str
    left_out: tuple[LeftOut, ...] = ()


def folder_for(cache_dir: Path, source: Path) -> Path:
    """Returns where the check of a data folder is kept, whether or not it is there."""
    key = hashlib.sha256(os.fsencode(source.resolve())).hexdigest()[:16]
    return cache_dir / "checks" / key


def run(
    source: Path,
    *,
    folder: Path,
    workers: int,
    scores: Scores | None = None,
    model_id: str = "",
) -> Check:
    """Checks a data folder and returns the result, after writing it to `folder`.

    Args:
        source: the data folder or manifest.
        folder: of this check; created if it is new. What an earlier check left there
            stays whole until this one is.
        workers: processes that decode.
        scores: a model's own scores of its test films, which stand beside the audit;
            None where there is no model.
        model_id: of that model; empty where there is none.

    Raises:
        DatasetError: there are no films.
        CxrError: the folder can't be written.
    """
    source = source.resolve()
    kept = _Folder(folder)
    kept.stage(LISTING)
    listed = folders.listing(source)
    films = list(listed.films)
    listing = _listing(films)
    known = _known(folder, source)

    kept.stage(MEASURING, total=len(films))
    survey = _survey(films, source, kept, known, workers)

    kept.stage(COMPARING)
    findings = inspect(survey, progress=kept.beat)

    kept.stage(PREDICTING)
    audit = shortcuts.audit(survey, scores, model_id, progress=kept.beat)

    splits, no_splits = _splits(survey)
    check = Check(
        source=source,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        survey=survey,
        integrity=findings,
        audit=audit,
        splits=splits,
        no_splits=no_splits,
        listing=listing,
        left_out=listed.left_out,
    )
    kept.finish(check)
    return check


def read(folder: Path) -> Check | None:
    """Returns the last whole check in a folder; None if there is none.

    Raises:
        DatasetError: what is there is damaged.
    """
    for last in (False, True):
        if not (folder / REPORT).is_file():
            return None
        try:
            return _read(folder)
        except documents.DAMAGE as error:
            # A check that ends at this moment replaces the survey under the report.
            if last:
                raise DatasetError(
                    "The stored check of this data folder is damaged. Check the data "
                    "again.",
                    code="damaged-check",
                ) from error
    return None


def why_no_splits(cache_dir: Path, source: Path) -> str:
    """Returns why training can't split these films; empty if no check says so."""
    report = folder_for(cache_dir, source) / REPORT
    try:
        return str(json.loads(report.read_text(encoding="utf-8"))["no_splits"])
    except documents.DAMAGE:
        return ""


def stale(check: Check) -> bool:
    """Returns whether films were added, removed or changed since the check.

    A changed label or patient of a manifest counts; so does a source that is gone.
    """
    try:
        return _listing(folders.scan(check.source)) != check.listing
    except (DatasetError, OSError):
        return True


def document(check: Check) -> dict[str, Any]:
    """Returns the check without the figures of single films, for JSON."""
    summary = asdict(datasets_survey.summary(check.survey))
    return {
        "source": str(check.source),
        "created": check.created,
        "fingerprint": check.survey.fingerprint,
        **summary,
        "counts": check.integrity.counts,
        "findings": [asdict(finding) for finding in check.integrity.findings],
        "audit": asdict(check.audit),
        "splits": {name: asdict(part) for name, part in check.splits.items()},
        "no_splits": check.no_splits,
        "left_out": [asdict(part) for part in check.left_out],
    }


class _Folder:
    """The folder of one check, as the check itself writes it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._heartbeat = Heartbeat(folder, every=BEAT_SECONDS)
        with _writing(folder):
            folder.mkdir(parents=True, exist_ok=True)

    def stage(self, stage: str, *, done: int = 0, total: int = 0) -> None:
        with _writing(self.folder):
            self._heartbeat.stage(stage, done=done, total=total, patience=LONG_SILENCE)

    def beat(self, done: int, total: int) -> None:
        """Says that the check lives and how far it is, at most every second."""
        with _writing(self.folder):
            self._heartbeat.beat(done=done, total=total)

    def keep(self, survey: Survey, source: Path, name: str) -> None:
        with _writing(self.folder):
            _save(self.folder / name, survey, source)

    def finish(self, check: Check) -> None:
        """Writes the survey, then the report that names it: only then does it count."""
        name = f"survey-{uuid.uuid4().hex}.npz"
        self.keep(check.survey, check.source, name)
        report = document(check) | {"survey_file": name, "listing": check.listing}
        with _writing(self.folder):
            documents.replace(self.folder / REPORT, report)
            for path in (self.folder / PARTIAL, *self.folder.glob("survey-*.npz")):
                if path.name != name:
                    path.unlink(missing_ok=True)
        self.stage(DONE, done=len(check.survey.films), total=len(check.survey.films))


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        with disk.writing(folder):
            yield
    except OSError as error:
        raise CxrError(
            "The check can't be written to the folder for cached data: "
            f"{error.strerror}. Set CXR_CACHE_DIR to a folder that can be written.",
            code="cache-folder",
        ) from error


def _listing(films: Sequence[LabelledFilm]) -> str:
    """Returns the SHA-256 that changes when a film is added, removed or changed."""
    digest = hashlib.sha256()
    for film in films:
        try:
            status = film.path.stat()
            stamp = [status.st_size, status.st_mtime_ns]
        except OSError:
            stamp = []
        given = [film.name, film.label, film.patient_id, film.split, film.place]
        line = [*given, *stamp]
        digest.update(json.dumps(line).encode() + b"\n")
    return digest.hexdigest()


def _known(folder: Path, source: Path) -> dict[str, Measurement]:
    """Returns the earlier measurements by name; a film that failed is tried again."""
    known: dict[str, Measurement] = {}
    for path in (*sorted(folder.glob("survey-*.npz")), folder / PARTIAL):
        try:
            earlier, its_source = _load(path)
        except documents.DAMAGE:
            continue  # It will be measured again.
        if its_source == source:
            known |= {
                film.name: measurement
                for film, measurement in zip(
                    earlier.films, measurements(earlier), strict=True
                )
                if not measurement.reason
            }
    return known


def _survey(
    films: Sequence[LabelledFilm],
    source: Path,
    kept: _Folder,
    known: dict[str, Measurement],
    workers: int,
) -> Survey:
    measured: list[Measurement] = []
    kept_at = time.monotonic()
    for measurement in measure(films, workers=workers, known=known):
        measured.append(measurement)
        kept.beat(len(measured), len(films))
        if time.monotonic() - kept_at > PARTIAL_SECONDS:
            part = collect(films[: len(measured)], measured)
            kept.keep(part, source, PARTIAL)
            kept_at = time.monotonic()
    return collect(films, measured)


def _splits(survey: Survey) -> tuple[dict[str, SplitCount], str]:
    films = [f for f, ok in zip(survey.films, survey.readable, strict=True) if ok]
    try:
        parts = split_by_patient(films, seed=SPLIT_SEED)
    except DatasetError as error:
        return {}, error.message
    return {
        name: SplitCount(
            films=len(part),
            patients=len({film.patient_id for film in part}),
            positives=sum(film.label for film in part),
        )
        for name, part in parts.items()
    }, ""


def _save(path: Path, survey: Survey, source: Path) -> None:
    """Writes a survey in one step; nothing in it is ever unpickled."""
    text = {
        "format": FORMAT,
        "source": str(source),
        "fingerprint": survey.fingerprint,
        "reasons": survey.reasons,
        "formats": survey.formats,
        "films": [
            [f.name, f.label, f.patient_id, f.split, f.subtype, f.sha256, f.place]
            for f in survey.films
        ],
    }
    arrays = {name: getattr(survey, name) for name in _ARRAYS}
    arrays["text"] = np.frombuffer(json.dumps(text).encode(), np.uint8)
    with disk.whole_file(path) as draft, draft.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def _load(path: Path) -> tuple[Survey, Path]:
    """Returns a stored survey and its source; raises one of `documents.DAMAGE`."""
    # Opened here: of a damaged archive NumPy would leave the file open.
    with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
        text = json.loads(stored["text"].tobytes())
        arrays = {name: stored[name] for name in _ARRAYS}
    n = len(text["films"])
    if text["format"] != FORMAT or any(len(array) != n for array in arrays.values()):
        raise ValueError(f"expected {n} films in format {FORMAT}")
    source = Path(text["source"])
    base = source.parent if source.suffix.lower() == ".csv" else source
    films = tuple(
        LabelledFilm(
            path=base / name,
            name=name,
            label=label,
            patient_id=patient,
            split=split,
            subtype=subtype,
            sha256=sha256,
            place=place,
        )
        for name, label, patient, split, subtype, sha256, place in text["films"]
    )
    survey = Survey(
        films=films,
        reasons=text["reasons"],
        formats=tuple(text["formats"]),
        fingerprint=text["fingerprint"],
        **arrays,
    )
    return survey, source


def _read(folder: Path) -> Check:
    report = json.loads((folder / REPORT).read_text(encoding="utf-8"))
    survey, source = _load(folder / Path(report["survey_file"]).name)
    if survey.fingerprint != report["fingerprint"]:
        raise ValueError("expected the survey of this report")
    return Check(
        source=source,
        created=str(report["created"]),
        survey=survey,
        integrity=_integrity(report),
        audit=_audit(report["audit"]),
        splits={name: SplitCount(**part) for name, part in report["splits"].items()},
        no_splits=str(report["no_splits"]),
        listing=str(report["listing"]),
        left_out=tuple(
            documents.build(LeftOut, part) for part in report.get("left_out", ())
        ),
    )


def _integrity(report: dict[str, Any]) -> Integrity:
    findings = tuple(
        Finding(**(finding | {"films": tuple(finding["films"])}))
        for finding in report["findings"]
    )
    counts = {kind: int(report["counts"][kind]) for kind in KINDS}
    return Integrity(findings=findings, counts=counts)


def _audit(stored: dict[str, Any]) -> ShortcutAudit:
    features = {name: _estimate(e) for name, e in stored["features"].items()}
    estimates = {
        name: None if stored[name] is None else _estimate(stored[name])
        for name in ("combined", "network", "combined_there")
    }
    return ShortcutAudit(**(stored | estimates | {"features": features}))


def _estimate(stored: dict[str, float | None]) -> Estimate:
    # JSON knows no nan; it is null in the file.
    values = {k: math.nan if v is None else float(v) for k, v in stored.items()}
    return Estimate(**values)
