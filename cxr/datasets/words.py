"""The words that people use for classes and splits, and what each means here.

It owns the synonyms of folder names and of the cells of a manifest.
"""

CLASSES = ("NORMAL", "PNEUMONIA")
FOLDER_SPLITS = ("train", "val", "test")

_LABELS = {
    "normal": 0,
    "normals": 0,
    "no pneumonia": 0,
    "no finding": 0,
    "negative": 0,
    "pneumonia": 1,
    "pneumonias": 1,
    "positive": 1,
}
_SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}


def label_of(word: str) -> int | None:
    """Returns 0 for normal, 1 for pneumonia, None for a word that names no class."""
    return _LABELS.get(_plain(word))


def split_of(word: str) -> str | None:
    """Returns `train`, `val` or `test`, None for a word that names none of them."""
    return _SPLITS.get(_plain(word))


def _plain(word: str) -> str:
    return " ".join(word.strip().casefold().replace("_", " ").replace("-", " ").split())
