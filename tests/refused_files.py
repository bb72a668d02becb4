"""How a file that is no film is met: refused by name, or read whole."""

import numpy as np
import pytest

from cxr.errors import ImageError
from cxr.films.film import read_film
from cxr.films.refusals import REFUSALS


def refused(data: bytes) -> ImageError:
    """The error with which a file is refused."""
    with pytest.raises(ImageError) as caught:
        read_film(data)
    assert caught.value.code in REFUSALS
    return caught.value


def replaced(data: bytes, old: bytes, new: bytes) -> bytes:
    """A file with the one occurrence of some bytes replaced."""
    assert data.count(old) == 1
    return data.replace(old, new)


def assert_whole_or_refused(data: bytes) -> None:
    """Makes sure that a file is a film of grey levels in range, or refused by name."""
    try:
        film = read_film(data)
    except ImageError as error:
        assert error.code in REFUSALS
    else:
        assert np.isfinite(film.pixels).all()
        assert 0 <= film.pixels.min() and film.pixels.max() <= 255
