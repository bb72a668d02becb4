"""The models that are there: cards, hashes, which one serves.

A model is a folder `models/<model_id>/` with a card; a folder without a readable card
is no model. `models/active.json` names the one that serves. Nothing in a model folder
is ever executed: the network is read by OpenVINO as data, arrays without pickle.
"""

import csv
import errno
import hashlib
import io
import json
import math
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from cxr import disk, documents, scores
from cxr.errors import CxrError, ModelError
from cxr.evaluation import Evaluation, Scaling
from cxr.scores import SCORES, SPLIT, Scores
from cxr.subtypes import SubtypeRecord
from cxr.tones import StandardTone

CARD = "card.json"
ACTIVE = "active.json"
NETWORK = "network.xml"
NETWORK_WEIGHTS = "network.bin"
KERAS_WEIGHTS = "weights.weights.h5"
HISTORY = "history.csv"
GOLDEN = "golden.npz"
SUBTYPES = "subtypes.npz"
NEEDED = (NETWORK, NETWORK_WEIGHTS, GOLDEN, SCORES, SPLIT)
NEEDED_OF_ENSEMBLE = (GOLDEN, SCORES, SPLIT)

MAX_CARD_CHARACTERS = 1_000_000
DRAFT = ".draft-"  # begins the name of a model folder that is still being written
LEFT_AFTER_SECONDS = 6 * 3600.0
_MODEL_ID = re.compile(r"[a-z0-9][a-z0-9.-]{0,63}")
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# What reading a file raises that is not the document it should be.
_UNREADABLE = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    RecursionError,
)


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """The shipped operating point.

    Attributes:
        value: `[0, 1]`; a film at or above it is positive.
        rule: how it was chosen.
        split: the films it was chosen on.
    """

    value: float
    rule: str
    split: str

    def __post_init__(self) -> None:
        """Raises ValueError for a value that would call every film normal."""
        _require(0 <= self.value <= 1, "a threshold from 0 to 1", value=self.value)


@dataclass(frozen=True, kw_only=True)
class UncertainBand:
    """How far around a threshold a score is uncertain, in logits of probability.

    Attributes:
        below: distance of the lower edge.
        above: distance of the upper edge.
        rule: how both were chosen.
    """

    below: float
    above: float
    rule: str

    def __post_init__(self) -> None:
        """Raises ValueError for edges that are no distances."""
        _require(0 <= self.below < math.inf, "a distance", below=self.below)
        _require(0 <= self.above < math.inf, "a distance", above=self.above)

    def around(self, threshold: float) -> tuple[float, float]:
        """Returns the edges of the band around a threshold, `[0, 1]`.

        The band has its width in logits, so it moves with the threshold and closes at
        0 and 1. A side without width ends at the threshold.

        Raises:
            ValueError: the threshold is not in `[0, 1]`.
        """
        if not 0 <= threshold <= 1:
            raise ValueError(f"expected a value from 0 to 1, received {threshold=}")
        return _shifted(threshold, -self.below), _shifted(threshold, self.above)


@dataclass(frozen=True, kw_only=True)
class DataRecord:
    """What a model was made from.

    Attributes:
        name: of the data set.
        source: citation.
        licence: of the films.
        fingerprint: SHA-256 over contents, labels and patients.
        films: number in each split.
        positives: number with pneumonia in each split.
        patients: number in each split.
    """

    name: str
    source: str
    licence: str
    fingerprint: str
    films: dict[str, int]
    positives: dict[str, int]
    patients: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class Parity:
    """Agreement of the serving network with the trained one on the same films."""

    n: int
    max_probability_difference: float
    tolerance: float


@dataclass(frozen=True, kw_only=True)
class FileRecord:
    """One file of a model folder."""

    sha256: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Member:
    """One model of an ensemble, as it was when the ensemble was made.

    Attributes:
        model_id: in the same registry.
        network: its graph.
        weights: its network's weights.
        calibration: its logit to its probability.
        tone: its standard tone; None for none.
    """

    model_id: str
    network: FileRecord
    weights: FileRecord
    calibration: Scaling
    tone: StandardTone | None = None


@dataclass(frozen=True, kw_only=True)
class Card:
    """Everything about a model that isn't weights.

    Attributes:
        model_id: name of the folder.
        created: UTC, ISO 8601.
        architecture: as in `architectures.ARCHITECTURES`.
        input_size: edge in pixels.
        preparation: the pixel contract, equal to `preprocessing.PREPARATION`.
        classes: names of label 0 and label 1.
        backbone: where its first weights came from.
        intended_use: in a sentence.
        population: whose films it was made from.
        age_years: of those patients, from the first to below the second; None when it
            is not known.
        limits: what it can't do.
        calibration: logit to probability. An ensemble's logit is the mean of its
            members' calibrated ones.
        threshold: the shipped operating point.
        uncertain_band: around any threshold.
        heatmap_scale: the activation, in logits, at which a heat map is full; above 0.
        data: what it was made from.
        training: settings and duration of the run.
        metrics: evaluation on each split that was not trained on.
        parity: serving against training.
        versions: of the packages that made it.
        licence: of the model.
        files: every other file of the folder.
        calibration_rule: how the calibration was chosen; empty on older cards, which
            have Platt scaling.
        members: of an ensemble, which has no network of its own; else none.
        tone: towards which films are moved before the network sees them; None where
            it takes them as they are, and for an ensemble, whose members have theirs.
    """

    model_id: str
    created: str
    architecture: str
    input_size: int
    preparation: str
    classes: tuple[str, str]
    backbone: str
    intended_use: str
    population: str
    limits: tuple[str, ...]
    calibration: Scaling
    threshold: Threshold
    uncertain_band: UncertainBand
    heatmap_scale: float
    data: DataRecord
    training: dict[str, object]
    metrics: dict[str, Evaluation]
    parity: Parity
    versions: dict[str, str]
    licence: str
    files: dict[str, FileRecord]
    age_years: tuple[float, float] | None = None
    subtypes: SubtypeRecord | None = None
    calibration_rule: str = ""
    members: tuple[Member, ...] = ()
    tone: StandardTone | None = None

    @property
    def weights_sha256(self) -> str:
        """Stands for the weights that score: one hash, of an ensemble that of all."""
        if not self.members:
            return self.files[NETWORK_WEIGHTS].sha256
        together = " ".join(member.weights.sha256 for member in self.members)
        return hashlib.sha256(together.encode()).hexdigest()

    def __post_init__(self) -> None:
        """Raises ValueError for a card by which no model can serve."""
        _require(
            0 < self.heatmap_scale < math.inf,
            "a scale above 0",
            heatmap_scale=self.heatmap_scale,
        )
        needed = NEEDED_OF_ENSEMBLE if self.members else NEEDED
        missing = [name for name in needed if name not in self.files]
        _require(not missing, "all files of a model", missing=missing)
        odd = [name for name in self.files if not is_file_name(name)]
        _require(not odd, "plain file names", odd=odd)


def cards(models_dir: Path) -> list[Card]:
    """Returns the cards of all models, newest first; unreadable folders are left out.

    `python -m cxr models verify` names what is wrong with those.
    """
    found = []
    for path in models_dir.glob(f"*/{CARD}"):
        try:
            found.append(read_card(models_dir, path.parent.name))
        except ModelError:
            continue
    return sorted(found, key=lambda card: card.created, reverse=True)


def read_card(models_dir: Path, model_id: str) -> Card:
    """Returns the card of one model.

    A figure that is undefined or infinite is null in the file and nan on the card.

    Raises:
        ModelError: no such model, or its card can't be read.
    """
    folder = folder_of(models_dir, model_id)
    # A link could lead out of the registry.
    if folder.is_symlink() or not (folder / CARD).is_file():
        raise ModelError(
            f"There is no model {model_id}. `python -m cxr models` lists those there.",
            code="no-such-model",
        )
    try:
        with (folder / CARD).open(encoding="utf-8") as file:
            card = documents.parse(file.read(MAX_CARD_CHARACTERS), Card)
    except _UNREADABLE as error:
        raise ModelError(
            f"The card of model {model_id} is damaged.", code="damaged-card"
        ) from error
    if card.model_id != model_id:
        raise ModelError(
            f"The folder {model_id} holds the card of {card.model_id}.",
            code="damaged-card",
        )
    return card


def card_sha256(models_dir: Path, model_id: str) -> str:
    """Returns the SHA-256 of the file that is a model's card.

    Raises:
        ModelError: no such model.
    """
    try:
        with _opened(folder_of(models_dir, model_id) / CARD) as file:
            content = file.read(MAX_CARD_CHARACTERS * 4)
    except OSError as error:
        raise ModelError(
            f"The card of model {model_id} can't be read.", code="damaged-card"
        ) from error
    return hashlib.sha256(content).hexdigest()


def write_card(models_dir: Path, card: Card) -> None:
    """Writes a card into its folder, replacing an earlier one in one step."""
    documents.replace(folder_of(models_dir, card.model_id) / CARD, asdict(card))


def folder_of(models_dir: Path, model_id: str) -> Path:
    """Returns a model's folder, whether or not it is there.

    Raises:
        ModelError: that is no model id (it could lead out of the registry).
    """
    if not is_model_id(model_id):
        raise ModelError(f"{model_id[:80]!r} is not a model id.", code="no-such-model")
    return models_dir / model_id


def new_id(models_dir: Path, kind: str) -> str:
    """Returns a name for a new model that no other has: kind, day and a number."""
    stem = f"{kind}-{datetime.now(UTC):%Y-%m-%d}"
    taken = {path.name for path in models_dir.iterdir()}
    number = 1
    while f"{stem}-{number}" in taken:
        number += 1
    return f"{stem}-{number}"


def is_model_id(text: str) -> bool:
    """Returns whether a text may name a model: lower case, digits, dots and dashes."""
    return _MODEL_ID.fullmatch(text) is not None


def is_file_name(text: str) -> bool:
    """Returns whether a text may name a file of a model: plain, in no folder."""
    return _FILE_NAME.fullmatch(text) is not None


def active_id(models_dir: Path) -> str:
    """Returns the id of the model that serves.

    Raises:
        ModelError: none is active; nothing may be predicted then.
    """
    try:
        content = json.loads((models_dir / ACTIVE).read_text(encoding="utf-8"))
        return str(content["model_id"])
    except _UNREADABLE as error:
        raise ModelError(
            f"No model is active in {models_dir.name}/. Train one, or activate one "
            "with `python -m cxr models activate ID`.",
            code="no-active-model",
        ) from error


def activate(models_dir: Path, model_id: str) -> Card:
    """Makes a model the one that serves, after its files were verified.

    Whether it also gives its golden scores is for `inference.activate` to find out.

    Raises:
        ModelError: no such model, or a file is not what its card says.
    """
    card = read_card(models_dir, model_id)
    if problems := verify(models_dir, card):
        raise ModelError(
            f"{model_id} was not activated: {problems[0]}", code="damaged-model"
        )
    documents.replace(models_dir / ACTIVE, {"model_id": model_id})
    return card


def verify(models_dir: Path, card: Card) -> list[str]:
    """Returns a sentence for each file that differs from the card, none if all fit.

    The networks of an ensemble's members are among these files.
    """
    folder = folder_of(models_dir, card.model_id)
    files = [(name, folder / name, record) for name, record in card.files.items()]
    for member in card.members:
        theirs = folder_of(models_dir, member.model_id)
        for name, record in (
            (NETWORK, member.network),
            (NETWORK_WEIGHTS, member.weights),
        ):
            files.append((f"{name} of {member.model_id}", theirs / name, record))
    problems = []
    for name, path, record in files:
        try:
            if _record(path) != record:
                problems.append(f"The file {name} was changed (its SHA-256 differs).")
        except OSError:
            problems.append(f"The file {name} is missing.")
    return problems


def read_file(models_dir: Path, card: Card, name: str) -> bytes:
    """Returns the bytes of one of the model's files, after comparing their hash.

    Raises:
        ModelError: the file is missing, not on the card, or was changed.
    """
    if name not in card.files:
        raise _damaged(card, f"The card lists no {name}.")
    return _read(folder_of(models_dir, card.model_id) / name, card.files[name], card)


def read_member(models_dir: Path, card: Card, member: Member) -> tuple[bytes, bytes]:
    """Returns graph and weights of one member of an ensemble, hashes compared.

    Raises:
        ModelError: a file is missing or is not that of the ensemble's making.
    """
    folder = folder_of(models_dir, member.model_id)
    return (
        _read(folder / NETWORK, member.network, card),
        _read(folder / NETWORK_WEIGHTS, member.weights, card),
    )


def read_scores(models_dir: Path, card: Card, split: str) -> Scores:
    """Returns the model's stored scores of one split, in the order of the file.

    Raises:
        ModelError: the file was changed or has no such split.
    """
    tables = [read_file(models_dir, card, name) for name in (SCORES, SPLIT)]
    try:
        found = scores.parse(tables[0].decode(), tables[1].decode(), split)
    except (*_UNREADABLE, csv.Error) as error:
        raise _damaged(card, f"The file {SCORES} can't be understood.") from error
    if found is None:
        raise ModelError(f"Model {card.model_id} has no scores of the split {split}.")
    return found


def read_split(models_dir: Path, card: Card) -> Mapping[str, str]:
    """Returns the split of each film that made the model, by the film's SHA-256.

    Raises:
        ModelError: the file was changed or is no such table.
    """
    try:
        return {r["sha256"]: r["split"] for r in _table(models_dir, card, SPLIT)}
    except KeyError as error:
        raise _damaged(card, f"The file {SPLIT} can't be understood.") from error


def file_records(folder: Path) -> dict[str, FileRecord]:
    """Returns hash and size of every file in a model folder but the card, by name."""
    return {
        path.name: _record(path)
        for path in sorted(folder.iterdir())
        if path.name != CARD and path.is_file()
    }


@contextmanager
def writing(models_dir: Path) -> Iterator[None]:
    """Names what keeps a registry from being written.

    Raises:
        CxrError: the disk is full (code `disk-full`), or this user may not write there
            (code `models-read-only`).
    """
    try:
        with disk.writing(models_dir):
            yield
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        raise CxrError(
            f"The folder {models_dir.name}/ is read-only for this user. No model can "
            "be added, and which one serves can't be changed.",
            code="models-read-only",
        ) from error


def sweep(models_dir: Path, *, older_than: float = LEFT_AFTER_SECONDS) -> list[str]:
    """Removes what a killed publication, import or switch left; returns the names.

    Only drafts are removed, which are no models, and only those that nobody has
    written to for a while: another process may be at work on one.

    Args:
        models_dir: the registry.
        older_than: seconds since the last change.
    """
    swept = []
    for draft in (*models_dir.glob(f"{DRAFT}*"), *models_dir.glob(".*.draft")):
        if _quiet_seconds(draft) <= older_than:
            continue
        # One that can't be removed is no reason not to start.
        with suppress(OSError):
            if draft.is_dir() and not draft.is_symlink():
                shutil.rmtree(draft)
            else:
                draft.unlink()
            swept.append(draft.name)
    return swept


def _quiet_seconds(draft: Path) -> float:
    if draft.is_symlink():
        return math.inf
    return min(disk.age(path) for path in (draft, *draft.rglob("*")))


def _require(condition: bool, expected: str, **received: object) -> None:
    if not condition:
        [(name, value)] = received.items()
        raise ValueError(f"expected {expected}, received {name}={value!r}")


def _shifted(probability: float, logits: float) -> float:
    if logits == 0 or probability in (0, 1):
        return probability
    return _sigmoid(math.log(probability) - math.log1p(-probability) + logits)


def _sigmoid(logit: float) -> float:
    if logit >= 0:
        return 1 / (1 + math.exp(-logit))
    return math.exp(logit) / (1 + math.exp(logit))


def _damaged(card: Card, what: str) -> ModelError:
    return ModelError(
        f"Model {card.model_id} doesn't serve. {what}", code="damaged-model"
    )


def _read(path: Path, record: FileRecord, card: Card) -> bytes:
    of = "" if path.parent.name == card.model_id else f" of {path.parent.name}"
    try:
        with _opened(path) as file:
            # One byte more than it should have is enough to see that it was changed.
            content = file.read(record.size + 1)
    except OSError as error:
        raise _damaged(card, f"The file {path.name}{of} can't be read.") from error
    if hashlib.sha256(content).hexdigest() != record.sha256:
        raise _damaged(
            card, f"The file {path.name}{of} was changed (its SHA-256 differs)."
        )
    return content


def _opened(path: Path) -> io.BufferedReader:
    # A pipe or device would be read for ever.
    if not path.is_file():
        raise FileNotFoundError(path.name)
    return path.open("rb")


def _record(path: Path) -> FileRecord:
    with _opened(path) as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return FileRecord(sha256=digest, size=path.stat().st_size)


def _table(models_dir: Path, card: Card, name: str) -> list[dict[str, str]]:
    try:
        text = read_file(models_dir, card, name).decode()
        return list(csv.DictReader(io.StringIO(text, newline="")))
    except (ValueError, csv.Error) as error:
        raise _damaged(card, f"The file {name} can't be understood.") from error
