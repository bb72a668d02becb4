"""What the tests of reading share."""

import pytest
from tiny_model import register_tiny_model


@pytest.fixture(scope="module")
def models_dir(tmp_path_factory):
    """A registry with the tiny model and its lungs, for the tests of a module."""
    folder = tmp_path_factory.mktemp("models")
    register_tiny_model(folder)
    return folder
