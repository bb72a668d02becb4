"""A training that goes on from a registered model: from which, and what binds it.

The run keeps in its own folder what it has to know of that model, the films behind it
above all: so it can go on when the model is gone, and deals patients the same.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

from cxr import disk, documents
from cxr.datasets import lineage
from cxr.datasets.lineage import EarlierFilm
from cxr.errors import JobError, ModelError
from cxr.models import cards, registry
from cxr.models.cards import Card
from cxr.models.scores import SPLIT
from cxr.runs import backbone
from cxr.runs.backbone import MODEL

START, START_FILMS = "start.json", "start_split.csv"


@dataclass(frozen=True, kw_only=True)
class StartModel:
    """The model that a run goes on from, as it was when the run began.

    Attributes:
        model_id: in the registry.
        card_sha256: of the file that is its card.
        weights_sha256: of its Keras weights.
        imagenet_scale: whether its graph scales films as Keras' ImageNet weights ask.
        made_from: its films, their licence and population, in words.
    """

    model_id: str
    card_sha256: str
    weights_sha256: str
    imagenet_scale: bool
    made_from: str


def words(model_id: str) -> str:
    """Returns in a sentence or two what it means to go on from a model."""
    return (
        f"Training goes on from {model_id}, its head included. Its patients stay in "
        "the split that they were in, renamed copies of films too, so none that it "
        "learned from is tested on."
    )


def problem(models_dir: Path, weights: str, architecture: str) -> str:
    """Returns why a run of this network can't begin with these weights of a model.

    Args:
        models_dir: the registry.
        weights: `model:ID`; anything else is no matter of this.
        architecture: of the run.

    Returns:
        A sentence; empty if nothing is wrong.
    """
    if not weights.startswith(MODEL):
        return ""
    try:
        card = registry.read_card(models_dir, backbone.model_of(weights))
        _require_weights(models_dir, card)
        films_of(models_dir, card)
    except ModelError as error:
        return error.message
    if card.architecture != architecture:
        return (
            f"{card.model_id} is a {card.architecture}: a {architecture} can't go on "
            "from its weights."
        )
    return ""


def films_of(models_dir: Path, card: Card) -> tuple[EarlierFilm, ...]:
    """Returns the films behind a model, those of models that it went on from too.

    Raises:
        ModelError: its table was changed, or doesn't tell whose films they are.
    """
    try:
        return lineage.parse(registry.read_file(models_dir, card, SPLIT))
    except ValueError as error:
        raise ModelError(
            f"Training can't go on from {card.model_id}: its table of films does not "
            "tell which patients it learned from, so they could be tested on.",
            code="no-patients",
        ) from error


def keep(folder: Path, models_dir: Path, weights: str) -> StartModel | None:
    """Writes into a run's folder what it goes on from, once, and returns it.

    Args:
        folder: of the run.
        models_dir: the registry.
        weights: of its settings; where they are not a model's, nothing is kept.

    Returns:
        What the run was begun with, even if the model has changed since; None where
        the run starts from no model.

    Raises:
        ModelError: the model can't be gone on from.
        JobError: what the run kept is damaged.
    """
    if not weights.startswith(MODEL):
        return None
    if not (folder / START).is_file():
        card = registry.read_card(models_dir, backbone.model_of(weights))
        _require_weights(models_dir, card)
        films_of(models_dir, card)
        with disk.whole_file(folder / START_FILMS) as draft:
            draft.write_bytes(registry.read_file(models_dir, card, SPLIT))
        documents.replace(folder / START, asdict(_start(models_dir, card)))
    try:
        return documents.read(folder / START, StartModel)
    except documents.DAMAGE as error:
        raise _damaged(folder) from error


def kept_films(folder: Path) -> tuple[EarlierFilm, ...]:
    """Returns the films behind the model that a run goes on from, as it kept them.

    Raises:
        JobError: they can't be read.
    """
    try:
        return lineage.parse((folder / START_FILMS).read_bytes())
    except (OSError, ValueError) as error:
        raise _damaged(folder) from error


def weights_path(models_dir: Path, start: StartModel) -> Path:
    """Returns the file of the weights, after comparing its hash.

    Raises:
        ModelError: it is gone, or is not that which the run began with.
    """
    card = registry.read_card(models_dir, start.model_id)
    if _recorded(card) != start.weights_sha256:
        raise ModelError(
            f"{start.model_id} is not the model any more that this run began with. "
            "Start a new run."
        )
    registry.read_file(models_dir, card, cards.KERAS_WEIGHTS)
    return registry.folder_of(models_dir, start.model_id) / cards.KERAS_WEIGHTS


def _start(models_dir: Path, card: Card) -> StartModel:
    scaled = card.training.get("backbone_weights") == backbone.IMAGENET
    data = card.data
    return StartModel(
        model_id=card.model_id,
        card_sha256=registry.card_sha256(models_dir, card.model_id),
        weights_sha256=_recorded(card),
        imagenet_scale=bool(card.training.get("imagenet_scale", scaled)),
        made_from=f"{data.name} ({data.licence}; {card.population})",
    )


def _require_weights(models_dir: Path, card: Card) -> None:
    path = registry.folder_of(models_dir, card.model_id) / cards.KERAS_WEIGHTS
    if cards.KERAS_WEIGHTS not in card.files or not path.is_file():
        raise ModelError(
            f"Training can't go on from {card.model_id}: it has no weights of its own "
            f"({cards.KERAS_WEIGHTS}).",
            code="no-weights",
        )


def _recorded(card: Card) -> str:
    record = card.files.get(cards.KERAS_WEIGHTS)
    return record.sha256 if record else ""


def _damaged(folder: Path) -> JobError:
    return JobError(
        f"What {folder.name} goes on from can't be read any more. Start a new run."
    )
