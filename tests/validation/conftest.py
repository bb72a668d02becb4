"""What the tests of validations share."""

from pathlib import Path

import pytest
from tiny_model import register_tiny_model


@pytest.fixture(scope="module")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    models = tmp_path_factory.mktemp("models")
    register_tiny_model(models)
    return models
