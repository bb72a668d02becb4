"""A model's card: what is recorded of a model, and the rules for it."""

import hashlib
import math
import re
from dataclasses import dataclass
from functools import lru_cache

from cxr.evaluation.calibration import Scaling
from cxr.evaluation.estimates import Estimate
from cxr.evaluation.summary import Evaluation
from cxr.films.tones import StandardTone
from cxr.models.scores import SCORES, SPLIT
from cxr.models.subtypes import SubtypeRecord

CARD = "card.json"
NETWORK = "network.xml"
NETWORK_WEIGHTS = "network.bin"
KERAS_WEIGHTS = "weights.weights.h5"
HISTORY = "history.csv"
GOLDEN = "golden.npz"
SUBTYPES = "subtypes.npz"
NEEDED = (NETWORK, NETWORK_WEIGHTS, GOLDEN, SCORES, SPLIT)
NEEDED_OF_ENSEMBLE = (GOLDEN, SCORES, SPLIT)
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def is_threshold(value: float) -> bool:
    """Returns whether probabilities can be held against a value: it is in `[0, 1]`."""
    return 0 <= value <= 1  # nan is not


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
        _require(is_threshold(self.value), "a threshold from 0 to 1", value=self.value)


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
        if not is_threshold(threshold):
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
class Place:
    """Films of another place that a model learned from too, and its worth there.

    Calibration and threshold are chosen on the films of `DataRecord` alone.

    Attributes:
        name: of the place.
        source: citation.
        licence: of the films.
        population: whose films they are.
        films: number in each split.
        positives: number with pneumonia in each split.
        patients: number in each split.
        auc: on its test films, whose patients trained nothing and chose nothing; None
            where they are of one class.
        sensitivity: at the shipped threshold, likewise; None without pneumonia.
        specificity: likewise; None where all have it.
    """

    name: str
    source: str
    licence: str
    population: str
    films: dict[str, int]
    positives: dict[str, int]
    patients: dict[str, int]
    auc: Estimate | None
    sensitivity: Estimate | None
    specificity: Estimate | None


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
class HeatmapWorth:
    """How faithful a model's heat map is, beside two rankings that know nothing.

    The cells of films above the threshold are replaced by those of a film that is
    taken for normal, in the order of a ranking; the earlier the probability falls, the
    better the ranking (deletion).

    Attributes:
        films: that it was measured on.
        split: which films those are.
        over_random: by how much more of the curve's area the heat map makes the
            probability fall than a random order does, `[-1, 1]`; above 0 is better.
        over_centre: likewise, than going from the middle of the film outwards.

    Reference:
        Petsiuk, Das and Saenko, BMVC 2018 (deletion), arXiv 1806.07421.
    """

    films: int
    split: str
    over_random: Estimate
    over_centre: Estimate


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
        heatmap_worth: how faithful the heat map is; None where it was not measured.
        places: other places whose films it learned from too; none for most models.
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
    heatmap_worth: HeatmapWorth | None = None
    places: tuple[Place, ...] = ()

    @property
    def band(self) -> tuple[float, float]:
        """The edges of the zone without an answer around the shipped threshold."""
        return self.uncertain_band.around(self.threshold.value)

    @property
    def weights_sha256(self) -> str:
        """The hash of the weights that score; of an ensemble, one over all members."""
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


def is_file_name(text: str) -> bool:
    """Returns whether a text may name a file of a model: plain, in no folder."""
    return _FILE_NAME.fullmatch(text) is not None


def _require(condition: bool, expected: str, **received: object) -> None:
    if not condition:
        [(name, value)] = received.items()
        raise ValueError(f"expected {expected}, received {name}={value!r}")


@lru_cache(maxsize=64)
def _shifted(probability: float, logits: float) -> float:
    if logits == 0 or probability in (0, 1):
        return probability
    return _sigmoid(math.log(probability) - math.log1p(-probability) + logits)


def _sigmoid(logit: float) -> float:
    if logit >= 0:
        return 1 / (1 + math.exp(-logit))
    return math.exp(logit) / (1 + math.exp(logit))
