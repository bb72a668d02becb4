"""Where the first weights of a network may come from, and whether they can be had."""

import os
import socket
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from functools import lru_cache
from pathlib import Path

from cxr import data_folder
from cxr.config import settings
from cxr.errors import ModelError
from cxr.models import registry
from cxr.runs import architectures

IMAGENET, NONE, MODEL = "imagenet", "none", "model:"
SUFFIX = ".weights.h5"
HOST = "storage.googleapis.com"  # from which Keras fetches
LONGEST_TRY = 2.0  # seconds
ASKED_ANEW = 300.0  # seconds


def model_of(weights: str) -> str:
    """Returns the id of the model whose weights these are.

    Raises:
        ModelError: that is not the id of a model.
    """
    model_id = weights.removeprefix(MODEL)
    if not registry.is_model_id(model_id):
        raise ModelError(
            f"{model_id[:80]!r} is not a model id. Give {MODEL} and the id of a "
            "registered model.",
            code="no-such-model",
        )
    return model_id


def problem(weights: str, architecture: str = architectures.DEFAULT) -> str:
    """Returns why a run can't begin with these backbone weights.

    A file has to lie inside the app's folder of data, if it has one, or be the file
    that the app's settings name (`CXR_BACKBONE_WEIGHTS`). A registered model is looked
    at by `continuation.problem`.

    Args:
        weights: `imagenet`, `none`, `model:ID` or the path of a file.
        architecture: of the run.

    Returns:
        A sentence; empty if nothing is wrong.
    """
    if architecture == architectures.BASELINE or weights == NONE:
        return ""
    if weights.startswith(MODEL):
        return ""
    if weights == IMAGENET:
        return _no_imagenet(architecture)
    return _no_file(weights)


def _no_file(weights: str) -> str:
    if not weights:
        return "Give the path of the file with the backbone weights."
    path = Path(weights)
    named_by_settings = weights == settings().backbone_weights
    if not named_by_settings and not data_folder.is_inside(path):
        return (
            "This app reads files only inside its folder of data; the backbone weights "
            "are outside."
        )
    if not path.is_absolute() or not os.path.isfile(path):
        return "There is no file with backbone weights at this path. Give it in full."
    if not path.name.endswith(SUFFIX):
        return f"{path.name} is not a file of backbone weights ({SUFFIX})."
    return ""


def _no_imagenet(architecture: str) -> str:
    if has_imagenet(architecture) or _answers(int(time.monotonic() / ASKED_ANEW)):
        return ""
    return (
        f"The ImageNet weights of {architecture} are not on this machine, and they "
        "can't be fetched: no connection. Continue from a registered model "
        f"({MODEL}ID), give a file of weights, or begin from random ones (none)."
    )


def has_imagenet(architecture: str) -> bool:
    """Returns whether Keras has fetched the ImageNet weights of a network before."""
    builder = architectures.find(architecture).builder
    name = builder.lower().replace("v2", "v2-") + "_notop.h5"
    home = os.environ.get("KERAS_HOME") or "~/.keras"
    # Keras' second choice is where it puts things if the first can't be written.
    folders = (Path(home).expanduser(), Path(tempfile.gettempdir()) / ".keras")
    return any((folder / "models" / name).is_file() for folder in folders)


def forget_answer() -> None:
    """Lets the next question about a connection be asked anew."""
    _answers.cache_clear()


@lru_cache(maxsize=4)
def _answers(period: int) -> bool:
    """Returns whether a connection can be made; asked once in a while."""
    found: list[bool] = []
    # Looking up a name has no time limit of its own.
    attempt = threading.Thread(
        target=lambda: found.append(_connects()), name="network", daemon=True
    )
    attempt.start()
    attempt.join(LONGEST_TRY)
    return bool(found and found[0])


def _connects() -> bool:
    proxy = urllib.parse.urlsplit(urllib.request.getproxies().get("https", ""))
    try:
        place = (proxy.hostname or HOST, proxy.port or 443)
        socket.create_connection(place, LONGEST_TRY).close()
    except (OSError, ValueError):
        return False
    return True
