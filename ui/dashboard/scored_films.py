"""The films that the dashboard can be about: a split's or a local validation's.

Both kinds answer the same questions, so that no other module asks which one it has.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import streamlit as st

from cxr.config import settings
from cxr.errors import JobError
from cxr.evaluation.scores import Scores
from cxr.models import registry
from cxr.models.cards import Card
from cxr.models.scores import SCORES
from cxr.validation import appraisal, local
from cxr.validation.local import Report
from ui import wording
from ui.dashboard import checks

VALIDATION = "validation"
CAUTIONS = {
    VALIDATION: "The shipped threshold and the targets were chosen on these films: "
    "they look better here than they will on others.",
    "calibration": "The calibration was fitted to these films: it looks better here "
    "than it will on others.",
}


class ScoredFilms(Protocol):
    """Films with known answers that a model has scored."""

    @property
    def key(self) -> str:
        """Their name in the choice of films; no two sets of films share one."""

    @property
    def data_key(self) -> str:
        """Name of the data set that they belong to; all splits of a model share it."""

    def words(self) -> str:
        """Returns which films these are, to be read after a number."""

    def caution(self) -> str:
        """Returns in a sentence why they flatter the model; empty if they don't."""

    def scores(self) -> Scores:
        """Returns the stored scores.

        Raises:
            CxrError: they were changed or are not there.
        """

    def stamp(self) -> str:
        """Returns a text that changes when the stored scores change.

        Raises:
            CxrError: they are not there.
        """

    def folder(self) -> Path | None:
        """Returns where the films were; None if that is not known."""

    def report(self) -> Report | None:
        """Returns the report of a local validation; None for a split."""


@dataclass(frozen=True, kw_only=True)
class SplitFilms:
    """The films of a split of the data that a model was made from.

    Attributes:
        card: of the model.
        split: `test`, `validation` or `calibration`.
    """

    card: Card
    split: str

    @property
    def key(self) -> str:
        """The name of the split."""
        return self.split

    @property
    def data_key(self) -> str:
        """The same for all splits."""
        return "own"

    def words(self) -> str:
        """Returns "test films" and the like."""
        return f"{self.split} films"

    def caution(self) -> str:
        """Returns what of the model was chosen on these films; empty for test films."""
        return CAUTIONS.get(self.split, "")

    def scores(self) -> Scores:
        """Returns the scores that the model keeps.

        Raises:
            ModelError: they were changed.
        """
        return registry.read_scores(settings().models_dir, self.card, self.split)

    def stamp(self) -> str:
        """Returns the SHA-256 of the model's scores and the name of the split."""
        return f"{self.split} {self.card.files[SCORES].sha256}"

    def folder(self) -> Path | None:
        """Returns where the films were checked last, else the folder of all data."""
        return checks.source(self.card) or settings().data_dir

    def report(self) -> None:
        """Returns None: the model's own films were held against no bars."""


@dataclass(frozen=True, kw_only=True)
class LocalFilms:
    """The films of a finished local validation.

    Attributes:
        name: of its folder below `cxr.validation.local.queue()`.
    """

    name: str

    @property
    def key(self) -> str:
        """The name, told apart from that of a split."""
        return f"local:{self.name}"

    @property
    def data_key(self) -> str:
        """The same as `key`: each validation has a folder of its own."""
        return self.key

    def words(self) -> str:
        """Returns which validation they are of, as text that can do nothing.

        Two of one name differ by the time at which they were made, UTC.
        """
        try:
            report = self.report()
        except JobError:
            return f"films of local validation {wording.file_name(self.name)}"
        made = report.created[:16].replace("T", " ")
        return f"films of {wording.file_name(report.title)}, validated {made}"

    def caution(self) -> str:
        """Returns how many of them the model has seen before; empty if none."""
        try:
            seen = self.report().seen
        except JobError:
            return ""
        if not seen:
            return ""
        return (
            f"{seen:,} of these films trained, tuned or calibrated the model: they "
            "look better than films that it has never seen."
        )

    def scores(self) -> Scores:
        """Returns the scores that the validation left.

        Raises:
            JobError: they can't be read.
        """
        return local.read_scores(self._place)

    def stamp(self) -> str:
        """Returns size and time of the file of scores.

        Raises:
            JobError: it is gone.
        """
        try:
            status = (self._place / SCORES).stat()
        except OSError as error:
            raise JobError("The scores of this validation are gone.") from error
        return f"{self.key} {status.st_size} {status.st_mtime_ns}"

    def folder(self) -> Path | None:
        """Returns the folder that was validated; None if the job does not say."""
        try:
            source = Path(local.read_config(self._place).data)
        except JobError:
            return None
        return source.parent if source.suffix.lower() == ".csv" else source

    def report(self) -> Report:
        """Returns the report of the validation.

        Raises:
            JobError: it can't be read.
        """
        return local.read_report(self._place)

    @property
    def _place(self) -> Path:
        return local.queue() / self.name


def scored_splits(card: Card) -> tuple[str, ...]:
    """Returns the splits that a model has scores of, the test films first.

    Raises:
        ModelError: its scores were changed.
    """
    return _scored_splits(card.files[SCORES].sha256, settings().models_dir, card)


def films_of_model(card: Card) -> dict[str, ScoredFilms]:
    """Returns all films that a model has scores of, by key, its test films first.

    Raises:
        ModelError: its scores were changed.
    """
    films: list[ScoredFilms] = [
        *(SplitFilms(card=card, split=split) for split in scored_splits(card)),
        *(LocalFilms(name=name) for name in local_reports(card)),
    ]
    return {chosen.key: chosen for chosen in films}


def local_reports(card: Card) -> Mapping[str, Report]:
    """Returns the finished validations of this very network, newest first, by name."""
    reports = {}
    for path in local.queue().glob(f"*/{local.REPORT}"):
        try:
            report = _read_report(path.parent, path.stat().st_mtime_ns)
        except (JobError, OSError):
            continue
        mine = (card.model_id, card.weights_sha256)
        if (report.model_id, report.model_sha256) == mine:
            reports[path.parent.name] = report
    return dict(sorted(reports.items(), key=lambda item: item[1].created, reverse=True))


@st.cache_data(max_entries=50, show_spinner=False)
def _scored_splits(sha256: str, models_dir: Path, _card: Card) -> tuple[str, ...]:
    return appraisal.scored_splits(models_dir, _card)


@st.cache_data(max_entries=50, show_spinner=False)
def _read_report(folder: Path, stamp: int) -> Report:
    return local.read_report(folder)
