"""Validations as tests begin them."""

from pathlib import Path

from cxr.validation import start


def create(queue: Path, models_dir: Path, source: Path, model_id="tiny-1") -> Path:
    """The folder of a new one, with its records beside it."""
    return start.create(
        queue,
        models_dir,
        start.Asked(source=source, model_id=model_id),
        records_dir=queue / "records",
        actor="A. Reader",
    )


def begin(folder: Path, models_dir: Path, source: Path, **given: object) -> None:
    """Begins one in a folder of its own, with its records beside it."""
    start.begin(
        folder,
        models_dir,
        start.Asked(source=source, model_id="tiny-1", **given),
        records_dir=folder.parent / "records",
        actor="A. Reader",
    )
