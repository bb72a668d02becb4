"""The site's own threshold on the Dashboard: asked, refused, found, signed."""

import numpy as np
import pytest
from classify_page import CLASSIFY, page, upload, words
from command_line import film_of
from tiny_model import register_tiny_model

from cxr.evaluation import alignment as fitting
from cxr.governance import stored_points
from cxr.models import registry

DASHBOARD = "pages/2_Dashboard.py"


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A registry and a folder of 20 films without labels."""
    for name in ("models", "runs", "cache", "records"):
        monkeypatch.setenv(f"CXR_{name.upper()}_DIR", str(tmp_path / name))
    register_tiny_model(tmp_path / "models")
    folder = tmp_path / "site"
    folder.mkdir()
    rng = np.random.default_rng(3)
    for i in range(20):
        film = film_of(rng.normal(140 if i % 4 == 0 else 80, 10), seed=i)
        (folder / f"{i}.png").write_bytes(film)
    return folder


def find(folder):
    """The Dashboard after a search in a folder."""
    at = page(DASHBOARD)
    at.text_input(key="site_folder").set_value(str(folder)).run()
    at.button(key="site_start").click().run(timeout=120)
    assert not at.exception
    return at


def test_few_films_get_the_number_that_is_needed_and_no_signature(site):
    at = find(site)
    assert "Nothing is proposed. Too few films: at least 100" in words(at)
    assert {m.label: m.value for m in at.metric}["Films"] == "20"
    assert "site_sign" not in {button.key for button in at.button}


def test_a_folder_that_is_none_is_named(site, tmp_path):
    at = find(tmp_path / "nowhere")
    assert "There is no folder" in words(at)


def test_a_folder_outside_the_data_is_not_read(site, tmp_path, monkeypatch):
    monkeypatch.setenv("CXR_DATA_DIR", str(tmp_path / "data"))
    at = find(site)
    assert "lies outside the data that this app may read" in words(at)


def test_a_signed_threshold_is_offered_in_classify(site, tmp_path, monkeypatch):
    for name, value in (
        ("FEWEST", 10),
        ("WIDEST_SHARE", 1.0),
        ("FURTHEST", 9.0),
        ("LEAST_FIT", 0.0),
    ):
        monkeypatch.setattr(fitting, name, value)
    at = find(site)
    at.text_area(key="site_reason").set_value("short")
    at.button(key="site_sign").click().run()
    assert "Give a reason" in words(at)
    at.text_area(key="site_reason").set_value("films of November, seen by two")
    at.button(key="site_sign").click().run()
    assert "is this site's operating point" in words(at)
    card = registry.read_card(tmp_path / "models", "tiny-1")
    [point] = stored_points.points(tmp_path / "records", card)
    assert point.reason == "films of November, seen by two"
    at = upload(page(CLASSIFY), film_png=film_of(110))
    at.button(key=f"threshold_{point.point_id}").click().run()
    assert at.session_state["threshold_tiny-1"] == point.threshold
