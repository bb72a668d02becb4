"""What a cached answer depends on: files by size and time of change."""

from contextlib import suppress
from itertools import chain
from pathlib import Path

from cxr.config import settings
from cxr.errors import ModelError
from cxr.models import registry
from cxr.records import audit

Signature = tuple[tuple[str, int, int, int, *tuple[int, ...]], ...]


def signature(*paths: Path) -> Signature:
    """Returns what changes when a file or a folder's file is written: sizes and times.

    The time of the last change of a file's entry can't be set back as the other can.
    """
    stamps = []
    for path in chain.from_iterable(map(_files, paths)):
        with suppress(FileNotFoundError):  # It may be gone since, or not there yet.
            stat = path.stat()
            stamps.append((path.name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns))
    return tuple(stamps)


def model_signature(model_id: str) -> Signature:
    """Returns what changes when a file changes that a model scores with.

    The networks of an ensemble are in the folders of its members.
    """
    models_dir = settings().models_dir
    ids = [model_id]
    with suppress(ModelError):
        card = registry.read_card(models_dir, model_id)
        ids += [member.model_id for member in card.members]
    return signature(*(registry.folder_of(models_dir, name) for name in ids))


def trail_signature() -> Signature:
    """Returns what changes when the audit trail grows or is changed."""
    return audit.signature(settings().records_dir)


def _files(path: Path) -> list[Path]:
    return sorted(path.iterdir()) if path.is_dir() else [path]
