"""The one boundary between errors and the page.

A `CxrError` becomes its sentence and what to do next; anything else becomes a plain
sentence. Both get an id that the log repeats. The log gets kinds and places of errors,
never their text, which can hold a file's name or a patient's. The page gets the text
escaped, here and nowhere else: no name in it becomes a link or a picture.
"""

import logging
import secrets
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import streamlit as st

from cxr.errors import CxrError, DatasetError, ImageError, JobError, ModelError
from ui import wording

NEXT_STEPS = {
    ModelError: "No film is read meanwhile. `python -m cxr models verify` shows which "
    "models are sound, `python -m cxr models activate ID` chooses one.",
    ImageError: "Other films are not affected.",
    DatasetError: "Mend the folder and try again.",
    JobError: "Earlier results are unchanged.",
    CxrError: "Mend it and start the app again.",
}
SAYS_WHO_CAN = ("not-allowed", "login", "actor", "role", "last-lead")
UNEXPECTED = (
    "Something went wrong on this page. Reload it; if it comes again, give the error "
    "id to whoever runs this app."
)

logger = logging.getLogger(__name__)


@contextmanager
def show_errors(advice: str | None = None) -> Iterator[None]:
    """Shows what is raised inside as a sentence with an error id, and stops there.

    Streamlit's own ways to stop or rerun a page are no `Exception` and pass.

    Args:
        advice: what to do next, where that is not what it usually is.
    """
    try:
        yield
    except CxrError as error:
        step = _next_step(error) if advice is None else advice
        _stop_with(error, error.message, step)
    except Exception as error:
        _stop_with(error, UNEXPECTED)


def _next_step(error: CxrError) -> str:
    if "`python -m cxr" in error.message or error.code in SAYS_WHO_CAN:
        return ""  # It says itself what to do.
    return next(step for kind, step in NEXT_STEPS.items() if isinstance(error, kind))


def logged(error: Exception) -> str:
    """Logs what kind of error came from where, and returns its id in words."""
    error_id = secrets.token_hex(4)
    code = getattr(error, "code", "unexpected")
    logger.error("error %s: %s, %s", error_id, code, _origin(error))
    return f"Error id {error_id}"


def _stop_with(error: Exception, *sentences: str) -> None:
    shown = " ".join(wording.message(sentence) for sentence in sentences)
    st.error(f"{shown}  \n{logged(error)}", icon=":material/error:")
    st.stop()


def _origin(error: BaseException) -> str:
    """Returns the types of an error and its causes, each with where it was raised."""
    chain: list[str] = []
    current: BaseException | None = error
    while current is not None:
        place = traceback.extract_tb(current.__traceback__)[-1]
        kind = type(current).__name__
        chain.append(f"{kind} in {Path(place.filename).name}:{place.lineno}")
        current = current.__cause__ or current.__context__
    return " from ".join(chain)
