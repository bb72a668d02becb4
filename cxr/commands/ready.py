"""What a command needs to read films: a model, the lung network, decoders."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cxr.config import settings

if TYPE_CHECKING:
    from cxr.films.decoding import DecoderPool
    from cxr.models.inference import Model
    from cxr.models.lungs import LungNetwork


@dataclass(frozen=True, kw_only=True)
class Ready:
    """What reads films, loaded and checked.

    Attributes:
        model: that gives the answers.
        lungs: says which films may be scored.
        pool: decodes them.
    """

    model: "Model"
    lungs: "LungNetwork"
    pool: "DecoderPool"


@contextmanager
def ready(model_id: str | None) -> Iterator[Ready]:
    """Yields what reads films; its decoders start while the networks are loaded.

    Args:
        model_id: of the model; None for the active one.

    Raises:
        ModelError: a model may not serve.
        CxrError: the audit trail, by which their cards are trusted, can't be read.
    """
    from cxr.films.decoding import DecoderPool
    from cxr.governance import trust

    where = settings()
    places, threads = (where.models_dir, where.records_dir), where.threads
    with DecoderPool(where.decoder_workers) as pool:
        pool.start()
        yield Ready(
            model=trust.load(*places, model_id, threads=threads),
            lungs=trust.load_lungs(*places, threads=threads),
            pool=pool,
        )
