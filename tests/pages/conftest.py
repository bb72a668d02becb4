"""What every test of a page shares."""

import gc
from collections.abc import Iterator

import pytest
from streamlit.components.v2 import manifest_scanner


@pytest.fixture(autouse=True, scope="session")
def no_foreign_components() -> Iterator[None]:
    """Spares each start of a page the search of all installed packages.

    Streamlit looks there for components of other makers, for 0.4 s; there are none.
    """
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(manifest_scanner, "scan_component_manifests", lambda: [])
        yield


@pytest.fixture(autouse=True, scope="module")
def quick_collections() -> Iterator[None]:
    """Takes what earlier tests imported out of the sight of the garbage collector.

    Streamlit collects garbage after each run of a page. With TensorFlow in the process,
    from tests of training, that takes a second instead of a moment.
    """
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
