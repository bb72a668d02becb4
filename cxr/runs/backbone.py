"""Where the first weights of a backbone may come from."""

import os
from pathlib import Path

from cxr import data_folder
from cxr.config import settings

IMAGENET, NONE = "imagenet", "none"
SUFFIX = ".weights.h5"


def problem(weights: str) -> str:
    """Returns why a run in the background can't begin with these backbone weights.

    A file has to lie inside the app's folder of data, if it has one, or be the file
    that the app's settings name (`CXR_BACKBONE_WEIGHTS`).

    Args:
        weights: `imagenet`, `none` or the path of a file.

    Returns:
        A sentence; empty if nothing is wrong.
    """
    if weights in (IMAGENET, NONE):
        return ""
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
