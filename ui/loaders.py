"""What is loaded once for all sessions: the models, the decoders, test scores.

Caches are bounded and keyed by SHA-256. No film and nothing of a patient is ever in
them.
"""

import hashlib
from pathlib import Path

import streamlit as st

from cxr.config import settings
from cxr.evaluation.scores import Scores
from cxr.evaluation.summary import Evaluation
from cxr.films.decoding import DecoderPool
from cxr.governance import trust
from cxr.models import cards, inference, lungs, metrics, registry
from cxr.models.cards import Card
from cxr.models.inference import Model
from cxr.models.lungs import LungNetwork
from cxr.models.scores import SCORES
from ui.signatures import Signature, signature


def active_card() -> Card:
    """Returns the card of the model that serves.

    Raises:
        ModelError: none is active, or its card is damaged.
    """
    models_dir = settings().models_dir
    return registry.read_card(models_dir, registry.active_id(models_dir))


def active_model() -> Model:
    """Returns the model that serves, loaded and checked.

    Raises:
        ModelError: none is active, it fails its checks, or its card is not the one
            that was promoted.
        CxrError: the audit trail can't be read.
    """
    return model_of(active_card())


def model_of(card: Card) -> Model:
    """Returns any model of the registry, loaded and checked.

    Raises:
        ModelError: it fails its checks, or its card is not the one recorded.
        CxrError: the audit trail can't be read.
    """
    where = settings()
    path = registry.folder_of(where.models_dir, card.model_id) / cards.CARD
    # The card's hash: it holds the network's own, and calibration and threshold.
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    trust.require_trusted(where.models_dir, where.records_dir, card.model_id)
    return _model(sha256, where.models_dir, card.model_id, where.threads)


def lung_network() -> LungNetwork:
    """Returns the network that says which films may be scored, loaded and checked.

    Raises:
        ModelError: there is none, or it fails its checks.
    """
    where = settings()
    path = where.models_dir / lungs.FOLDER / cards.CARD
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
    return _lungs(sha256, where.models_dir, where.records_dir, where.threads)


def decoder_pool() -> DecoderPool:
    """Returns the decoders that all sessions share."""
    return _pool(settings().decoder_workers)


def scores_of_test_films(card: Card) -> Scores | None:
    """Returns the model's scores of its test films; None where it has none.

    Raises:
        ModelError: the stored scores were changed.
    """
    if "test" not in card.metrics:
        return None
    return _test_scores(card.files[SCORES].sha256, settings().models_dir, card.model_id)


def metrics_of(card: Card) -> dict[str, Evaluation]:
    """Returns a card's figures by split, with the share of films without an answer."""
    models_dir = settings().models_dir
    files = signature(registry.folder_of(models_dir, card.model_id))
    return _metrics(files, models_dir, card)


@st.cache_data(max_entries=64, show_spinner=False)
def _metrics(files: Signature, models_dir: Path, _card: Card) -> dict[str, Evaluation]:
    return metrics.of_card(models_dir, _card)


@st.cache_resource(max_entries=2, show_spinner="Loading the model")
def _model(sha256: str, models_dir: Path, model_id: str, threads: int) -> Model:
    return inference.load(models_dir, model_id, threads=threads)


@st.cache_resource(max_entries=1, show_spinner="Loading the lung network")
def _lungs(
    sha256: str, models_dir: Path, records_dir: Path, threads: int
) -> LungNetwork:
    return trust.load_lungs(models_dir, records_dir, threads=threads)


@st.cache_resource(max_entries=1, show_spinner=False, on_release=DecoderPool.close)
def _pool(workers: int) -> DecoderPool:
    # A second one starts only when two readers have films at the same time.
    return DecoderPool(max(2, workers), shared=True)


@st.cache_resource(max_entries=4, show_spinner=False)
def _test_scores(sha256: str, models_dir: Path, model_id: str) -> Scores:
    card = registry.read_card(models_dir, model_id)
    return registry.read_scores(models_dir, card, "test")
