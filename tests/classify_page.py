"""The app as its pages' scripts run: a page, films put in, the words on it."""

import re

from streamlit.testing.v1 import AppTest

from cxr.config import ROOT, settings
from cxr.models import registry
from cxr.reading import meaning
from ui.classify.terms import Terms

HOME, CLASSIFY = "app.py", "pages/1_Classify.py"


def page(name):
    """A page through its real script."""
    at = AppTest.from_file(str(ROOT / HOME), default_timeout=60).run()
    if name != HOME:
        at.switch_page(name).run()
    assert not at.exception
    return at


def upload(at, **files):
    """The page after these files were put in; `film_png` stands for `film.png`."""
    for name, data in files.items():
        at.file_uploader[0].upload(name.replace("_", "."), data)
    at.run()
    assert not at.exception
    return at


def words(at):
    """The page's words as a reader sees them, without Markdown's escapes."""
    shown = [*at.markdown, *at.caption, *at.error, *at.warning, *at.info]
    return re.sub(r"\\(?=[\W_])", "", "\n".join(element.value for element in shown))


def terms_of(model):
    """The terms of a session that has changed nothing."""
    scores = registry.read_scores(settings().models_dir, model.card, "test")
    threshold = model.card.threshold.value
    counted = meaning.answers(scores, model.card.uncertain_band, threshold)
    return Terms(
        threshold=threshold,
        source="shipped",
        site="",
        prevalence=None,
        answers=counted,
    )
