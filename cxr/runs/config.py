"""What decides a training run: its settings and the presets."""

import math
from dataclasses import dataclass
from typing import Any

from cxr.datasets.splits import SPLIT_SEED
from cxr.errors import ModelError
from cxr.runs import architectures, backbone
from cxr.runs.backbone import MODEL

PLAIN, STYLE = "plain", "style"
SHARES = (
    "averaging",
    "dropout",
    "target_sensitivity",
    "assured_sensitivity",
    "target_under_shift",
    "standard_tone",
)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Everything that decides a run besides the films themselves.

    Attributes:
        data: the data folder or manifest.
        preset: whose settings these are, with the changes made to them.
        architecture: one of `architectures.ARCHITECTURES`.
        backbone_weights: `imagenet`, `none`, a file, or `model:ID` for the weights of
            a registered model, its head included.
        backbone_note: where such a file comes from; goes on the card.
        seed: of the draws and the initial weights.
        split_seed: of the split. Models with the same one are held out from the same
            patients, so they can be compared and joined.
        batch_size: films a step, over all devices.
        accumulate: steps whose gradients are added up before the weights move, where
            memory is too short for a larger batch.
        consistency: by how much two draws of one film are pulled together, weight of
            the squared difference of their probabilities in the loss of fine-tuning; 0
            for one draw of each film. A batch then has half as many films.
        augmentation: `style` randomises how a film was acquired, `plain` is the
            ordinary one.
        harder_from: epoch of fine-tuning, counted from 1, from which on the draws are
            harder and the learning rate starts anew; 0 for none, and without meaning
            for `plain` films.
        head_views: augmented copies of each film that the frozen backbone sees once.
        head_epochs: at most, for the head alone.
        head_learning_rate: Adam's, for the head alone.
        unfreeze_from: first EfficientNet block (2 to 7) that is fine-tuned; 1 for the
            whole network, batch normalisation too.
        epochs: at most, of fine-tuning (of everything for the baseline CNN).
        learning_rate: Adam's, after the warm-up of fine-tuning.
        schedule: `cosine` lets it fall to nothing over `epochs`, `plateau` lowers it
            to 0.3 of itself when the validation loss has not improved for half of
            `patience`.
        warm_up: steps over which that rate is reached; without them the first ones
            throw the pretrained weights off, which frozen batch normalisation can't
            make up for.
        patience: epochs without a better validation loss before the run stops.
        averaging: momentum of the running mean of the weights that is evaluated and
            kept; 0 for none.
        dropout: before the head.
        mixed_precision: on a GPU, compute in 16 bits and keep weights in 32.
        target_sensitivity: of the threshold rule, on the validation split.
        assured_sensitivity: least lower limit of its 95 % interval there.
        target_under_shift: sensitivity on the validation films as they are and after
            shifts of acquisition together, in place of that lower limit; 0 for the
            films as they are alone.
        standard_tone: how far the finished network's films are moved towards the mean
            tone of its training films, `[0, 1]`; 0 for not at all. Training itself
            draws tones at random.
    """

    data: str
    preset: str = "standard"
    architecture: str = architectures.DEFAULT
    backbone_weights: str = "imagenet"
    backbone_note: str = ""
    seed: int = 20261122
    split_seed: int = SPLIT_SEED
    batch_size: int = 32
    accumulate: int = 1
    consistency: float = 0.0
    augmentation: str = STYLE
    harder_from: int = 0
    head_views: int = 1
    head_epochs: int = 40
    head_learning_rate: float = 1e-3
    unfreeze_from: int = 5
    epochs: int = 7
    learning_rate: float = 3e-4
    schedule: str = "cosine"
    warm_up: int = 100
    patience: int = 4
    averaging: float = 0.99
    dropout: float = 0.3
    mixed_precision: bool = True
    target_sensitivity: float = 0.98
    assured_sensitivity: float = 0.97
    target_under_shift: float = 0.0
    standard_tone: float = 0.0

    def __post_init__(self) -> None:
        """Raises ValueError for a number out of its range, before hours go into it."""
        for name in SHARES:
            if not 0 <= (value := getattr(self, name)) <= 1:
                raise ValueError(f"expected {name} from 0 to 1, received {value}")
        for name in ("learning_rate", "head_learning_rate"):
            if not math.isfinite(value := getattr(self, name)):
                raise ValueError(f"expected {name} to be finite, received {value}")
        if not 0 <= self.consistency < math.inf:
            raise ValueError(
                f"expected consistency from 0, received {self.consistency}"
            )
        if self.continues:
            _require_model(self.backbone_weights)

    @property
    def continues(self) -> bool:
        """Whether it goes on from a registered model, whose head is trained already."""
        return self.backbone_weights.startswith(MODEL)

    @property
    def draws_of_a_film(self) -> int:
        """How often each film is drawn in a batch of fine-tuning."""
        return 2 if self.consistency else 1

    @property
    def is_made_harder(self) -> bool:
        """Whether any epoch has harder films."""
        return self.augmentation == STYLE and 0 < self.harder_from <= self.epochs


PRESETS: dict[str, dict[str, Any]] = {
    "quick": {"epochs": 2, "unfreeze_from": 6},
    "standard": {},
    "best": {
        "epochs": 21,
        "harder_from": 12,
        "unfreeze_from": 4,
        # More than there are harder ones: the loss rises there before it falls.
        "patience": 14,
        "target_under_shift": 0.995,
        "standard_tone": 0.5,
    },
}
# What a preset promises; a model's card says what came of it.
PURPOSES = {
    "quick": "Shows that films and machine work. Not a model to read with.",
    "standard": "The upper blocks for a few epochs. What to begin with.",
    "best": "More blocks, three times as long, with harder films in the second half.",
}
BASELINE_PRESET: dict[str, Any] = {
    "averaging": 0.0,
    "epochs": 30,
    "harder_from": 0,
    "learning_rate": 1e-3,
    "schedule": "plateau",
    "patience": 6,
}
# Weights that have learned are moved by a third of what a new head asks for.
CONTINUED_PRESET: dict[str, Any] = {"learning_rate": 1e-4}
CONTINUED_BASELINE: dict[str, Any] = {"learning_rate": 3e-4}


def config_for(preset: str, **changes: Any) -> TrainConfig:
    """Returns a preset's settings with these changes, which go first.

    Raises:
        ValueError: no such preset or architecture, or a setting out of its range.
    """
    if preset not in PRESETS:
        raise ValueError(f"expected one of {', '.join(PRESETS)}, received {preset=}")
    is_baseline = changes.get("architecture") == architectures.BASELINE
    settings = {**PRESETS[preset], **(BASELINE_PRESET if is_baseline else {})}
    if is_baseline and preset == "quick":
        settings["epochs"] = PRESETS["quick"]["epochs"]
    if str(changes.get("backbone_weights", "")).startswith(MODEL):
        settings |= CONTINUED_BASELINE if is_baseline else CONTINUED_PRESET
    return TrainConfig(**{**settings, "data": "", "preset": preset, **changes})


def _require_model(weights: str) -> None:
    try:
        backbone.model_of(weights)
    except ModelError as error:
        raise ValueError(error.message) from error
