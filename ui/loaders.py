"""What is loaded once for all sessions: the model, the decoders, the operating curve.

Caches are bounded and keyed by SHA-256. No film and nothing of a patient is ever in
them.
"""

import hashlib
from pathlib import Path

import streamlit as st

from cxr import evaluation, inference, promotion, registry
from cxr.config import settings
from cxr.decoding import DecoderPool
from cxr.evaluation import OperatingCurve
from cxr.inference import Model
from cxr.registry import Card


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
    path = registry.folder_of(where.models_dir, card.model_id) / registry.CARD
    # The card's hash: it holds the network's own, and calibration and threshold.
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    promotion.require_trusted(where.models_dir, where.records_dir, card.model_id)
    return _model(sha256, where.models_dir, card.model_id, where.threads)


def decoder_pool() -> DecoderPool:
    """Returns the decoders that all sessions share."""
    return _pool(settings().decoder_workers)


def validation_curve(card: Card) -> OperatingCurve:
    """Returns the rates at every threshold, on the model's validation films.

    Raises:
        ModelError: the stored scores were changed.
    """
    models_dir = settings().models_dir
    return _curve(card.files[registry.SCORES].sha256, models_dir, card.model_id)


@st.cache_resource(max_entries=2, show_spinner="Loading the model")
def _model(sha256: str, models_dir: Path, model_id: str, threads: int) -> Model:
    return inference.load(models_dir, model_id, threads=threads)


@st.cache_resource(max_entries=1, show_spinner=False, on_release=DecoderPool.close)
def _pool(workers: int) -> DecoderPool:
    return DecoderPool(workers)


@st.cache_resource(max_entries=4, show_spinner=False)
def _curve(sha256: str, models_dir: Path, model_id: str) -> OperatingCurve:
    card = registry.read_card(models_dir, model_id)
    scores = registry.read_scores(models_dir, card, "validation")
    return evaluation.operating_points(
        scores.labels, scores.probabilities, groups=scores.patients
    )
