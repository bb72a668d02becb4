"""Every page through its real script, with a tiny model; films made in code."""

import json
import logging
import re
import subprocess
import sys
from dataclasses import replace

import pytest
from films import as_dicom, as_jpeg, as_png, chest_phantom
from streamlit.testing.v1 import AppTest
from tiny_model import register_tiny_model

from cxr import evaluation, explainability, inference, promotion, registry
from cxr.config import ROOT
from ui import films, wording

HOME, CLASSIFY = "app.py", "pages/1_Classify.py"
THRESHOLD = "threshold_tiny-1"
FILM = as_jpeg(chest_phantom(224, 256, seed=1))
BRIGHT = as_png(chest_phantom(256, 256, seed=3) * 0.4 + 140)
DARK = as_png(chest_phantom(256, 256, seed=4) * 0.5)
NO_FILM = b"this is a letter, not a film"


@pytest.fixture
def models_dir(tmp_path, monkeypatch):
    folder = tmp_path / "models"
    register_tiny_model(folder, age_years=(1.0, 6.0))
    monkeypatch.setenv("CXR_MODELS_DIR", str(folder))
    return folder


@pytest.fixture
def inferences(monkeypatch):
    """Grows by one with each film that the model reads."""
    calls, predict = [], inference.Model.predict

    def counted(model, film):
        calls.append(film.sha256)
        return predict(model, film)

    monkeypatch.setattr(inference.Model, "predict", counted)
    return calls


def page(name):
    at = AppTest.from_file(str(ROOT / HOME), default_timeout=60).run()
    if name != HOME:
        at.switch_page(name).run()
    assert not at.exception
    return at


def upload(at, **files):
    for name, data in files.items():
        at.file_uploader[0].upload(name.replace("_", "."), data)
    at.run()
    assert not at.exception
    return at


def words(at):
    """The page's words as a reader sees them, without Markdown's escapes."""
    shown = [*at.markdown, *at.caption, *at.error, *at.warning, *at.info]
    return re.sub(r"\\(?=\W)", "", "\n".join(element.value for element in shown))


class TestFrame:
    @pytest.mark.parametrize("name", [HOME, CLASSIFY])
    def test_is_on_every_page(self, models_dir, name):
        at = page(name)
        text = words(at)
        assert "never a diagnosis" in text
        assert "tiny-1" in text
        assert "Synthetic films." in text
        assert {"Home", "Classify"} <= {link.label for link in at.page_link}

    @pytest.mark.parametrize("name", [HOME, CLASSIFY])
    def test_stops_plainly_without_a_model(self, tmp_path, monkeypatch, name):
        monkeypatch.setenv("CXR_MODELS_DIR", str(tmp_path))
        at = page(name)
        (error,) = at.error
        assert "No model is active" in error.value
        assert "python -m cxr models activate ID" in error.value
        assert "Error id" in error.value
        assert not at.file_uploader

    @pytest.mark.parametrize("name", [HOME, CLASSIFY])
    def test_names_a_setting_that_cannot_be_used(self, models_dir, monkeypatch, name):
        monkeypatch.setenv("CXR_THREADS", "many")
        assert "CXR_THREADS" in page(name).error[0].value

    def test_a_card_that_was_changed_since_it_was_promoted_does_not_serve(
        self, models_dir, tmp_path
    ):
        promotion.activate(models_dir, tmp_path / "records", "tiny-1", actor="lead")
        assert not page(CLASSIFY).error
        card = registry.read_card(models_dir, "tiny-1")
        registry.write_card(models_dir, replace(card, heatmap_scale=9.0))
        at = page(CLASSIFY)
        assert "not the one recorded" in at.error[0].value
        assert not at.file_uploader


class TestHome:
    def test_shows_the_cards_own_figures(self, models_dir):
        at = page(HOME)
        card = registry.read_card(models_dir, "tiny-1")
        test = card.metrics["test"]
        shown = {metric.label: metric.value for metric in at.metric}
        assert shown["AUC"] == f"{test.auc.value:.3f}"
        assert shown["Specificity"] == f"{test.specificity.value:.3f}"
        assert f"{test.auc.low:.3f}–{test.auc.high:.3f}" in words(at)
        assert card.limits[0] in words(at)


class TestReading:
    def test_says_probability_decision_costs_population_and_limits(self, models_dir):
        text = words(upload(page(CLASSIFY), film_jpg=FILM))
        assert "Probability of pneumonia **0.09**, below your threshold 0.40." in text
        assert "Below threshold" in text
        assert "Holds where 74 of 100 films show pneumonia" in text
        assert "Synthetic films." in text
        assert "It has never seen a real film." in text
        assert "does not yet check whether this is a frontal chest film" in text
        assert "no colour, no evidence" in text

    def test_costs_are_those_of_the_stored_validation_scores(self, models_dir):
        at = upload(page(CLASSIFY), film_jpg=FILM)
        at.slider(key=THRESHOLD).set_value(0.8).run()
        card = registry.read_card(models_dir, "tiny-1")
        scores = registry.read_scores(models_dir, card, "validation")
        point = evaluation.operating_point(
            scores.labels, scores.probabilities, threshold=0.8, groups=scores.patients
        )
        found, found_range = wording.per_thousand(point.sensitivity)
        assert f"{found} films with pneumonia were found" in words(at)
        assert f"were found ({found_range})" in words(at)
        assert f"**Specificity {point.specificity.value:.3f}.**" in words(at)

    def test_follows_threshold_and_view_without_a_second_inference(
        self, models_dir, inferences
    ):
        at = upload(page(CLASSIFY), film_jpg=FILM)
        at.slider(key=THRESHOLD).set_value(0.01).run()
        assert "Above threshold" in words(at)
        at.slider(key=THRESHOLD).set_value(0.09).run()
        assert "Uncertain: near the threshold" in words(at)
        at.slider(key="opacity").set_value(0.9).run()
        at.selectbox(key="colour_map").set_value("Viridis").run()
        assert not at.exception
        assert len(inferences) == 1

    def test_the_shipped_threshold_is_one_click_away(self, models_dir):
        before = (models_dir / "tiny-1" / registry.CARD).read_bytes()
        at = upload(page(CLASSIFY), film_jpg=FILM)
        assert at.button(key="threshold_shipped").disabled
        at.slider(key=THRESHOLD).set_value(0.9).run()
        at.button(key="threshold_shipped").click().run()
        assert at.slider(key=THRESHOLD).value == 0.4
        assert (models_dir / "tiny-1" / registry.CARD).read_bytes() == before

    @pytest.mark.parametrize(
        ("held", "used"),
        [
            (float("nan"), 0.4),
            (float("inf"), 0.4),
            ("x", 0.4),
            (-3.0, 0.01),
            (7.0, 0.99),
        ],
    )
    def test_a_threshold_off_the_scale_is_put_right(self, models_dir, held, used):
        at = page(CLASSIFY)
        at.session_state[THRESHOLD] = held
        upload(at, film_jpg=FILM)
        assert at.slider(key=THRESHOLD).value == used

    def test_a_shipped_threshold_beyond_the_slider_is_kept(self, models_dir):
        threshold = registry.Threshold(value=0.002, rule="low", split="validation")
        register_tiny_model(models_dir, "tiny-2", threshold=threshold)
        at = upload(page(CLASSIFY), film_jpg=FILM)
        assert at.slider(key="threshold_tiny-2").value == 0.002
        assert "Above threshold" in words(at)

    def test_survives_a_page_change(self, models_dir, inferences):
        at = upload(page(CLASSIFY), film_jpg=FILM)
        at.slider(key=THRESHOLD).set_value(0.05).run()
        at.slider(key="opacity").set_value(0.9).run()
        at.switch_page(HOME).run()
        at.switch_page(CLASSIFY).run()
        assert "above your threshold 0.05" in words(at)
        assert at.slider(key="opacity").value == 0.9
        assert len(inferences) == 1

    def test_of_another_model_is_not_mixed_with_the_old(self, models_dir):
        at = upload(page(CLASSIFY), film_jpg=FILM)
        register_tiny_model(models_dir, "tiny-2")
        at.run()
        assert "The active model has changed" in words(at)
        assert "Probability of pneumonia" not in words(at)

    def test_can_be_downloaded(self, models_dir):
        at = upload(page(CLASSIFY), film_jpg=FILM)
        labels = [button.label for button in at.download_button]
        assert labels == ["Result (JSON)", "Heat map (PNG)"]

    def test_an_empty_heat_map_says_so(self, models_dir):
        at = upload(page(CLASSIFY), film_png=DARK)
        assert at.image[1].captions == ["Heat map: no region raised the score"]


class TestDicom:
    def test_of_a_child_is_read_without_a_caution(self, models_dir):
        at = upload(page(CLASSIFY), film_dcm=as_dicom(chest_phantom()))
        assert "Probability of pneumonia" in words(at)
        assert "DICOM, 256 × 256 pixels, 12 bits" in words(at)
        assert not at.warning

    def test_of_an_adult_or_from_the_side_is_cautioned(self, models_dir):
        film = as_dicom(chest_phantom(), age="061Y", view="LL", body_part="HAND")
        at = upload(page(CLASSIFY), film_dcm=film)
        cautions = " ".join(warning.value for warning in at.warning)
        assert "61 years" in cautions
        assert "lateral view" in cautions
        assert "another part of the body" in cautions

    def test_shows_nothing_of_the_patient(self, models_dir):
        at = upload(page(CLASSIFY), film_dcm=as_dicom(chest_phantom()))
        assert "CANARY" not in words(at)


class TestRefusal:
    @pytest.mark.parametrize(
        "content",
        [
            FILM[:4000],
            NO_FILM,
            b"",
            as_png(chest_phantom(64, 64)),
            b"\x89PNG\r\n\x1a\n",
        ],
        ids=["cut off", "text", "empty", "thumbnail", "header only"],
    )
    def test_has_a_reason_and_the_page_goes_on(self, models_dir, content):
        at = upload(page(CLASSIFY), film_png=content)
        text = words(at)
        assert "Refused" in text
        assert "No score was given" in text
        assert "Probability of pneumonia" not in text
        assert "Below threshold" not in text
        assert not at.download_button
        upload(at, film_jpg=FILM)
        assert "Probability of pneumonia" in words(at)

    def test_of_a_model_that_was_changed_comes_before_any_film(self, models_dir):
        network = models_dir / "tiny-1" / registry.NETWORK
        network.write_bytes(network.read_bytes() + b" ")
        at = page(CLASSIFY)
        assert "SHA-256" in at.error[0].value
        assert "Error id" in at.error[0].value
        assert not at.file_uploader


class TestSeveralFilms:
    def test_forty_are_listed_by_urgency_and_a_broken_one_stops_none(self, models_dir):
        files = {
            f"f{s}_png": as_png(chest_phantom(224, 224, seed=s)) for s in range(37)
        }
        at = upload(page(CLASSIFY), **files, dark_png=DARK, b_png=NO_FILM, a_png=BRIGHT)
        rows = at.radio[0].options
        assert len(rows) == 40
        assert "40 films, 1 refused" in words(at)
        assert rows[0].startswith(":orange[") and rows[0].endswith(r" a\.png")
        assert rows[-2].startswith(":blue[") and rows[-2].endswith(r"dark\.png")
        assert rows[-1].startswith(":violet[") and "Refused" in rows[-1]
        assert "Above threshold" in words(at)

    def test_choosing_one_shows_its_reading(self, models_dir, inferences):
        at = upload(page(CLASSIFY), a_png=BRIGHT, b_png=DARK, c_png=NO_FILM)
        keys = at.session_state["films"].readings
        dark = next(k for k, reading in keys.items() if reading.name == "b.png")
        at.radio[0].set_value(dark).run()
        assert "Below threshold" in words(at)
        at.slider(key=THRESHOLD).set_value(0.01).run()
        assert "**b.png**" in words(at)
        assert len(inferences) == 2

    def test_a_later_film_is_shown_when_it_comes(self, models_dir):
        at = upload(page(CLASSIFY), a_png=BRIGHT)
        upload(at, b_png=DARK)
        assert "**b.png**" in words(at)
        assert "2 films, 0 refused" in words(at)

    def test_the_same_film_twice_is_scored_once(self, models_dir, inferences):
        at = upload(page(CLASSIFY), one_jpg=FILM, two_jpg=FILM)
        assert len(at.radio[0].options) == 2
        assert len(inferences) == 1

    def test_removing_them_empties_the_page(self, models_dir):
        at = upload(page(CLASSIFY), a_png=BRIGHT, b_png=DARK)
        at.button(key="remove_films").click().run()
        assert not at.radio
        assert "Probability of pneumonia" not in words(at)
        assert not at.session_state["films"].readings

    def test_beyond_the_quota_are_left_out_with_a_sentence(
        self, models_dir, monkeypatch
    ):
        monkeypatch.setattr(films, "MOST_FILMS", 2)
        at = upload(page(CLASSIFY), a_png=BRIGHT, b_png=DARK, c_jpg=FILM)
        assert "1 of the films were left out" in words(at)
        assert len(at.radio[0].options) == 2

    def test_beyond_the_bytes_are_left_out_with_a_sentence(
        self, models_dir, monkeypatch
    ):
        monkeypatch.setattr(films, "MOST_BYTES", len(BRIGHT))
        at = upload(page(CLASSIFY), a_png=BRIGHT, b_png=DARK)
        assert "1 of the films were left out" in words(at)
        assert "Above threshold" in words(at)


class TestPrivacy:
    def test_no_file_name_reaches_the_log(self, models_dir, monkeypatch, caplog):
        def fail(*_, **__):
            raise RuntimeError("/secret/CANARY.jpg")

        with caplog.at_level(logging.DEBUG):
            at = upload(page(CLASSIFY), CANARYJANE_png=NO_FILM, CANARY2_jpg=FILM)
            monkeypatch.setattr(explainability, "heatmap", fail)
            at.run()
        assert "Error id" in at.error[0].value
        assert "CANARY" not in at.error[0].value
        error_id = at.error[0].value.split()[-1]
        assert f"error {error_id}: unexpected, RuntimeError" in caplog.text
        assert "CANARY" not in caplog.text

    @pytest.mark.parametrize(
        ("name", "shown"),
        [
            ("a/b\\..\\film.png", "film.png"),
            ("gnp\u202e.film\x00\n.png", "gnp.film.png"),
            ("x" * 5000 + ".png", "x" * 38 + "…xxxxx.png"),
            ("\u200f", "unnamed"),
            ("日本.png", "日本.png"),
        ],
    )
    def test_a_file_name_is_bare_and_short(self, name, shown):
        assert wording.file_name(name) == shown

    def test_a_file_name_is_text_in_markdown(self, models_dir):
        at = page(CLASSIFY)
        at.file_uploader[0].upload("<img src=x>[a](b)*:red[c]$.png", BRIGHT)
        at.run()
        shown = r"\<img src\=x\>\[a\]\(b\)\*\:red\[c\]\$\.png"
        assert any(shown in element.value for element in (*at.markdown, *at.caption))

    def test_a_card_is_text_in_markdown(self, models_dir):
        planted = "![x](https://example.org/x.png) <b>"
        register_tiny_model(models_dir, "tiny-2", population=planted, limits=(planted,))
        for name in (HOME, CLASSIFY):
            at = page(name)
            if name == CLASSIFY:
                at = upload(at, film_png=BRIGHT)
            shown = "\n".join(e.value for e in (*at.markdown, *at.caption))
            assert r"\!\[x\]\(https" in shown
            assert "![x]" not in shown and "<b>" not in shown


class TestWording:
    @pytest.mark.parametrize(
        ("value", "beside", "text"),
        [
            (0.83, 0.31, "0.83"),
            (0.0, None, "< 0.01"),
            (0.004, 0.4, "< 0.01"),
            (1.0, 0.4, "> 0.99"),
            (0.9999, None, "> 0.99"),
            (0.1278, 0.128, "0.1278"),
            (0.1304, 0.128, "0.13"),
            (0.3999, 0.4, "0.3999"),
            (0.4, 0.4, "0.40"),
        ],
    )
    def test_a_probability_is_on_its_side_of_the_threshold(self, value, beside, text):
        assert wording.probability(value, beside) == text

    @pytest.mark.parametrize(("value", "text"), [(0.4, "0.40"), (0.1284, "0.128")])
    def test_a_threshold_has_two_or_three_decimals(self, value, text):
        assert wording.threshold(value) == text

    def test_what_is_not_measured_is_a_dash(self):
        nothing = evaluation.Estimate(
            value=float("nan"), low=float("nan"), high=float("nan")
        )
        assert wording.figure(nothing) == wording.estimate(nothing) == "–"
        assert wording.per_thousand(nothing)[0] == "– of 1,000"


def test_the_app_process_never_imports_tensorflow(models_dir, tmp_path):
    (tmp_path / "film.jpg").write_bytes(FILM)
    script = f"""
import json, sys
from pathlib import Path
from streamlit.testing.v1 import AppTest
at = AppTest.from_file({str(ROOT / HOME)!r}, default_timeout=60).run()
at.switch_page({CLASSIFY!r}).run()
at.file_uploader[0].upload("film.jpg", Path({str(tmp_path)!r}, "film.jpg").read_bytes())
at.run()
shown = " ".join(m.value for m in at.markdown)
unwanted = ("tensorflow", "keras", "openvino_telemetry")
loaded = [name for name in unwanted if sys.modules.get(name)]
print(json.dumps({{"read": "Probability of pneumonia" in shown, "loaded": loaded}}))
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
        timeout=120,
    )
    assert json.loads(done.stdout) == {"read": True, "loaded": []}
