"""Every page through its real script, with a tiny model; films made in code."""

import io
import json
import logging
import re
import subprocess
import sys
from dataclasses import replace

import pydicom
import pytest
from classify_page import CLASSIFY, HOME, page, terms_of, upload, words
from PIL import Image
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.testing.v1 import AppTest
from synthetic_films import as_dicom, as_jpeg, as_png, chest_phantom
from tiny_model import register_tiny_model

from cxr.config import ROOT
from cxr.evaluation import estimates
from cxr.films.film import read_film
from cxr.governance import promotion
from cxr.models import cards, heatmap, inference, registry
from cxr.models.network import Network
from cxr.reading import meaning, stability, zones
from cxr.reports import document
from ui import frame, wording
from ui.classify import exports, films, trials, uploads, worklist
from ui.classify.terms import case_of, stability_of
from ui.prevalence import PREVALENCE

THRESHOLD = "threshold_tiny-1"
FILM = as_jpeg(chest_phantom(224, 256, seed=1))
BRIGHT = as_png(chest_phantom(256, 256, seed=3) * 0.4 + 140)
DARK = as_png(chest_phantom(256, 256, seed=4) * 0.5)
PAGES = sorted((ROOT / "pages").glob("*.py"))
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
    calls, prepare = [], inference.Model.input

    def counted(model, film):
        calls.append(film.sha256)
        return prepare(model, film)

    monkeypatch.setattr(inference.Model, "input", counted)
    return calls


def strong(figure):
    """A figure with its interval, the figure in bold."""
    value, interval = figure.split(" (")
    return f"**{value}** ({interval}"


class TestFrame:
    @pytest.mark.parametrize("name", [HOME, CLASSIFY])
    def test_is_on_every_page(self, models_dir, name):
        at = page(name)
        text = words(at)
        assert "never a diagnosis" in text
        assert "tiny-1" in text
        helps = " ".join(caption.help or "" for caption in at.caption)
        assert "Synthetic films." in text + helps.replace("\\", "")
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

    @pytest.mark.parametrize("name", [HOME, *(f"pages/{p.name}" for p in PAGES)])
    def test_field_case_13_every_page_says_that_it_is_open_to_the_network(
        self, models_dir, monkeypatch, name
    ):
        monkeypatch.setattr(frame, "exposed", lambda: "Anybody can use this app.")
        assert "Anybody can use this app." in words(page(name))

    @pytest.mark.parametrize("name", [HOME, CLASSIFY])
    def test_names_a_setting_that_cannot_be_used(self, models_dir, monkeypatch, name):
        monkeypatch.setenv("CXR_THREADS", "many")
        assert "CXR_THREADS" in words(page(name))

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

    @pytest.mark.parametrize("name", [HOME, *(f"pages/{p.name}" for p in PAGES)])
    def test_field_case_3_a_card_without_test_figures_takes_no_page_down(
        self, models_dir, name
    ):
        register_tiny_model(models_dir, "tiny-2", metrics={})
        at = page(name)
        assert "Active model **tiny-2** · not tested" in words(at)
        assert {"Home", "Models"} <= {link.label for link in at.page_link}

    @pytest.mark.parametrize("name", [HOME, *(f"pages/{p.name}" for p in PAGES)])
    def test_field_case_3_whatever_the_frame_meets_is_inside_the_boundary(
        self, models_dir, monkeypatch, name
    ):
        def fail():
            raise RuntimeError("CANARY")

        at = page(HOME)
        monkeypatch.setattr(frame, "active_card", fail)
        at.switch_page(name).run() if name != HOME else at.run()
        assert not at.exception
        assert "The active model can't be shown. Error id" in words(at)
        assert "CANARY" not in words(at)
        monkeypatch.setattr(frame, "NOTICE", None)  # not even the title is drawn
        monkeypatch.setattr(frame, "PAGES", None)
        at.run()
        assert not at.exception
        assert "Something went wrong on this page" in words(at)


class TestHome:
    def test_counts_the_three_answers_on_test_films(self, models_dir):
        at = page(HOME)
        card = registry.read_card(models_dir, "tiny-1")
        scores = registry.read_scores(models_dir, card, "test")
        counted = meaning.answers(scores, card.uncertain_band, card.threshold.value)
        ill, well = counted.ill, counted.well
        rates = [ill["below threshold"], well["above threshold"]]
        rates += [ill["no answer"], well["no answer"]]
        assert [(metric.label, metric.value) for metric in at.metric] == [
            (label, wording.per_thousand(rate)[0])
            for label, rate in zip(
                ("Missed", "False alarms", "No answer", "No answer"), rates, strict=True
            )
        ]
        for rate in rates:
            assert wording.per_thousand(rate)[1] in words(at)
        assert f"{card.metrics['test'].n:,} test films" in (
            at.expander[0].markdown[0].value
        )

    def test_says_once_what_it_is_not_and_what_it_cannot_tell(self, models_dir):
        text = words(page(HOME))
        card = registry.read_card(models_dir, "tiny-1")
        for sentence in (*card.limits, "It is not a medical device"):
            assert text.count(sentence) == 1

    def test_has_one_strong_button_and_it_leads_to_classify(self, models_dir):
        at = page(HOME)
        strong = [b for b in at.button if b.proto.type == "primary"]
        assert [b.label for b in strong] == ["Classify films"]
        strong[0].click().run()
        assert not at.exception
        assert at.file_uploader
        assert not at.session_state["films"].films

    def test_speaks_to_a_clinician(self, models_dir):
        at = page(HOME)
        text = words(at)
        for jargon in ("AUC", "ECE", "logit", "calibration", "squeeze", "Brier"):
            assert jargon.lower() not in text.lower()

    def test_of_a_model_without_test_figures_says_so(self, models_dir):
        register_tiny_model(models_dir, "tiny-2", metrics={})
        at = page(HOME)
        assert "what it is worth is not known" in words(at)
        assert not at.metric


class TestReading:
    def test_says_probability_decision_costs_population_and_limits(self, models_dir):
        text = words(upload(page(CLASSIFY), film_jpg=FILM))
        assert "Probability of pneumonia **0.09**, below your threshold 0.40." in text
        assert "Below threshold" in text
        assert "holds where 74 of 100 films show pneumonia" in text
        assert "Synthetic films." in text
        assert "It has never seen a real film." in text
        assert "frontal chest film, readable" in text
        assert "no colour, no evidence" not in text

    def test_costs_are_those_of_the_stored_test_scores(self, models_dir):
        at = upload(page(CLASSIFY), film_jpg=FILM)
        at.slider(key=THRESHOLD).set_value(0.8).run()
        card = registry.read_card(models_dir, "tiny-1")
        scores = registry.read_scores(models_dir, card, "test")
        counted = meaning.answers(scores, card.uncertain_band, 0.8)
        missed = counted.ill["below threshold"].through(lambda share: 1000 * share)
        assert f"Of 1,000 with pneumonia {strong(wording.patients(missed))} missed" in (
            words(at)
        )
        ratio = counted.likelihood_ratio("below threshold")
        assert f"Likelihood ratio {strong(wording.ratio(ratio))}" in words(at)

    def test_a_prevalence_is_asked_once_and_never_assumed(self, models_dir):
        at = upload(page(CLASSIFY), film_jpg=FILM, other_png=BRIGHT)
        assert at.number_input(key=PREVALENCE).value is None
        assert "Here (" not in words(at)
        at.number_input(key=PREVALENCE).set_value(20.0).run()
        card = registry.read_card(models_dir, "tiny-1")
        scores = registry.read_scores(models_dir, card, "test")
        counted = meaning.answers(scores, card.uncertain_band, 0.4)
        costs = counted.costs(prevalence=0.2)
        for answer, step in (("above", "next_film"), ("below", "previous_film")):
            ratio = counted.likelihood_ratio(f"{answer} threshold")
            after = wording.probability_estimate(meaning.probability_after(0.2, ratio))
            assert f"Here (20\N{NO-BREAK SPACE}%) {strong(after)}" in words(at)
            assert f"Of 1,000 here: {strong(wording.patients(costs.missed))}" in words(
                at
            )
            at.button(key=step).click().run()

    def test_a_site_may_state_its_prevalence(self, models_dir, monkeypatch):
        monkeypatch.setenv("CXR_PREVALENCE", "8")
        at = upload(page(CLASSIFY), film_jpg=FILM)
        assert at.number_input(key=PREVALENCE).value == 8.0
        assert "Here (8\N{NO-BREAK SPACE}%)" in words(at)

    def test_a_model_without_test_films_has_measured_nothing(self, models_dir):
        card = registry.read_card(models_dir, "tiny-1")
        metrics = {"validation": card.metrics["validation"]}
        register_tiny_model(models_dir, "tiny-2", metrics=metrics)
        at = upload(page(CLASSIFY), film_jpg=FILM)
        assert "Likelihood ratio **\N{EN DASH}**" in words(at)
        assert "was not measured: there are no test films" in words(at)

    def test_a_probability_before_the_film_gives_one_after_it(self, models_dir):
        at = upload(page(CLASSIFY), film_jpg=BRIGHT)
        listed = at.session_state["films"]
        at.number_input(key=f"pretest_{listed.chosen}").set_value(40.0).run()
        context = listed.films[listed.chosen].context
        assert context.pretest_probability == pytest.approx(0.4)
        assert "This patient: 40\N{NO-BREAK SPACE}% before the film" in words(at)

    def test_files_say_what_the_answer_means(self, models_dir):
        at = upload(page(CLASSIFY), film_jpg=FILM)
        listed = at.session_state["films"]
        model = inference.load(models_dir)
        film = listed.films[listed.chosen].unpacked()
        case = case_of(film, model, replace(terms_of(model), prevalence=0.2))
        facts = document.result_document(case, model)
        ratio = facts["likelihood_ratio"]
        assert facts["probability_here"] == pytest.approx(ratio / (ratio + 4))
        assert facts["prevalence"] == 0.2
        assert facts["probability_after_pretest"] is None

    def test_follows_threshold_and_view_without_a_second_inference(
        self, models_dir, inferences
    ):
        at = upload(page(CLASSIFY), film_jpg=FILM)
        at.slider(key=THRESHOLD).set_value(0.01).run()
        assert "Above threshold" in words(at)
        at.slider(key=THRESHOLD).set_value(0.09).run()
        assert "No answer: near the threshold" in words(at)
        at.button_group(key="pane_view").set_value("Heat map").run()
        at.slider(key="opacity").set_value(0.9).run()
        at.selectbox(key="colour_map").set_value("Viridis").run()
        assert not at.exception
        assert len(inferences) == 1

    def test_the_shipped_threshold_is_one_click_away(self, models_dir):
        before = (models_dir / "tiny-1" / cards.CARD).read_bytes()
        at = upload(page(CLASSIFY), film_jpg=FILM)
        assert at.button(key="threshold_shipped").disabled
        at.slider(key=THRESHOLD).set_value(0.9).run()
        at.button(key="threshold_shipped").click().run()
        assert at.slider(key=THRESHOLD).value == 0.4
        assert (models_dir / "tiny-1" / cards.CARD).read_bytes() == before

    @pytest.mark.parametrize(
        ("held", "used"),
        [
            (float("nan"), 0.4),
            (float("inf"), 0.4),
            ("x", 0.4),
            (-3.0, 0.005),
            (7.0, 0.995),
        ],
    )
    def test_a_threshold_off_the_scale_is_put_right(self, models_dir, held, used):
        at = page(CLASSIFY)
        at.session_state[THRESHOLD] = held
        upload(at, film_jpg=FILM)
        assert at.slider(key=THRESHOLD).value == used

    def test_a_shipped_threshold_beyond_the_slider_is_kept(self, models_dir):
        threshold = cards.Threshold(value=0.002, rule="low", split="validation")
        register_tiny_model(models_dir, "tiny-2", threshold=threshold)
        at = upload(page(CLASSIFY), film_jpg=FILM)
        assert at.slider(key="threshold_tiny-2").value == 0.002
        assert "Above threshold" in words(at)

    def test_survives_a_page_change(self, models_dir, inferences):
        at = upload(page(CLASSIFY), film_jpg=FILM)
        at.slider(key=THRESHOLD).set_value(0.05).run()
        at.button_group(key="pane_view").set_value("Heat map").run()
        at.slider(key="opacity").set_value(0.9).run()
        at.switch_page(HOME).run()
        at.switch_page(CLASSIFY).run()
        assert "above your threshold 0.05" in words(at)
        at.button_group(key="pane_view").set_value("Heat map").run()
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
        files = {label for label, *_ in exports.FILM_FILES}
        assert {button.label for button in at.download_button} == files

    def test_every_file_of_a_film_is_what_its_name_says(self, models_dir):
        at = upload(page(CLASSIFY), film_jpg=FILM)
        listed = at.session_state["films"]
        film = listed.films[listed.chosen].unpacked()
        model = inference.load(models_dir)
        makers = exports._film_makers(film, model, terms_of(model), (0.5, "Inferno"))
        as_json, as_pdf, report, png, picture = (make() for make in makers)
        assert json.loads(as_json)["film_sha256"] == film.sha256
        assert as_pdf.startswith(b"%PDF")
        assert pydicom.dcmread(io.BytesIO(report)).Modality == "SR"
        assert read_film(FILM).pixels.shape == Image.open(io.BytesIO(png)).size[::-1]
        overlay = pydicom.dcmread(io.BytesIO(picture))
        assert overlay.Columns == 256 and overlay.Rows > 224  # the notice is below it

    def test_no_heat_map_is_made_before_it_is_asked_for(self, models_dir, monkeypatch):
        made = []
        drawn = heatmap.heatmap

        def counted(*arguments, **options):
            made.append(1)
            return drawn(*arguments, **options)

        monkeypatch.setattr(heatmap, "heatmap", counted)
        at = upload(page(CLASSIFY), film_jpg=FILM)
        assert at.button_group(key="pane_view").value == "Film"
        assert made == []
        at.button_group(key="pane_view").set_value("Heat map").run()
        assert made == [1]
        assert "no colour, no evidence" in words(at)

    def test_an_empty_heat_map_says_so(self, models_dir):
        at = upload(page(CLASSIFY), film_png=DARK)
        at.button_group(key="pane_view").set_value("Heat map").run()
        assert "Heat map: no region raised the score" in words(at)

    def test_the_lungs_can_be_laid_over_the_film(self, models_dir):
        at = upload(page(CLASSIFY), film_jpg=FILM)
        at.button_group(key="pane_view").set_value("Lungs").run()
        assert "The lungs as a small network sees them" in words(at)

    def test_what_is_known_of_the_patient_is_kept_with_the_film(self, models_dir):
        at = upload(page(CLASSIFY), film_jpg=FILM, other_png=BRIGHT)
        listed = at.session_state["films"]
        first = listed.chosen
        at.number_input(key=f"temperature_celsius_{first}").set_value(39.2).run()
        assert listed.films[first].context.temperature_celsius == 39.2
        at.button(key="next_film").click().run()
        assert at.session_state["films"].chosen != first
        second = at.session_state["films"].chosen
        assert at.number_input(key=f"temperature_celsius_{second}").value is None


class TestTrials:
    def test_whether_the_answer_holds_is_asked_by_a_click(self, models_dir):
        at = upload(page(CLASSIFY), bright_png=BRIGHT)
        assert "small changes of the film" not in words(at)
        at.button(key="ask_stability").click().run()
        assert not at.exception
        listed = at.session_state["films"]
        film = listed.films[listed.chosen]
        model = inference.load(models_dir)
        assert not stability_of(film, model, 0.4).flips
        assert "The answer holds in all 9 small changes" in words(at)
        facts = document.film_facts(case_of(film, model, terms_of(model)), model)
        assert (facts["stability_same"], facts["stability_changes"]) == (9, 9)

    def test_near_another_answer_it_is_tried_unasked_and_sorts_the_film_up(
        self, models_dir, monkeypatch
    ):
        model = inference.load(models_dir)
        margin = stability.Margin(
            model_id="tiny-1", logits=1.0, films=1, flipping=1, rule="", split=""
        )
        margins = stability.Margins(models={model.sha256: margin})
        monkeypatch.setattr(stability, "margins", lambda: margins)
        # Brighter ground: a gamma below 1 takes the lower film above the threshold.
        near = as_png(chest_phantom(256, 256, seed=3) * 0.4 + 55)
        further = as_png(chest_phantom(256, 256, seed=3) * 0.4 + 58)
        at = upload(page(CLASSIFY), further_png=further, near_png=near)
        listed = at.session_state["films"]
        held = {
            film.name: stability_of(film, model, 0.4) for film in listed.films.values()
        }
        assert all(found is not None and found.flips for found in held.values())
        assert "**The answer does not hold**" in words(at)
        by_worst = sorted(held, key=lambda name: -held[name].high)
        keys = worklist.ordered(listed, model)
        assert [listed.films[key].name for key in keys] == by_worst

    def test_the_zone_of_the_evidence_is_asked_by_a_click(
        self, models_dir, monkeypatch
    ):
        model = inference.load(models_dir)
        same, ones = (
            {cover: dict.fromkeys(zones.ZONES, value) for cover in zones.COVERS}
            for value in (0.0, 1.0)
        )
        measured = zones.Baseline(
            model_id="tiny-1",
            mean=same,
            spread=ones,
            lead=0.0,
            films=9,
            planted=9,
            rule="",
            split="",
            tested=40,
            named=30,
            right=27,
        )
        known = zones.Baselines(models={model.sha256: measured})
        monkeypatch.setattr(zones, "baselines", lambda: known)
        at = upload(page(CLASSIFY), bright_png=BRIGHT)
        at.button(key="ask_zone").click().run()
        assert not at.exception
        listed = at.session_state["films"]
        found = listed.films[listed.chosen].evidence
        assert trials.evidence_words(found) in "".join(m.value for m in at.markdown)
        assert "named in 30, and it was the right one in 27" in (
            trials.evidence_worth(model)
        )

    def test_a_model_that_was_never_tried_names_no_zone(self, models_dir):
        at = upload(page(CLASSIFY), bright_png=BRIGHT)
        assert "ask_zone" not in {button.key for button in at.button}


class TestDicom:
    def test_of_a_child_is_read_without_a_caution(self, models_dir):
        at = upload(page(CLASSIFY), film_dcm=as_dicom(chest_phantom()))
        assert "Probability of pneumonia" in words(at)
        assert "DICOM, 256 × 256 pixels, 12 bits" in words(at)
        assert not at.warning

    def test_tones_and_a_turned_film_are_cautions_too(self, models_dir):
        film = as_dicom(
            chest_phantom(), window=(2048, 16_384), PatientOrientation=["R", "H"]
        )
        at = upload(page(CLASSIFY), film_dcm=film)
        cautions = " ".join(warning.value for warning in at.warning)
        assert "window or scaling does not fit" in cautions
        assert "turned upright" in cautions

    def test_of_an_adult_is_scored_under_a_sentence(self, models_dir):
        at = upload(page(CLASSIFY), film_dcm=as_dicom(chest_phantom(), age="061Y"))
        (caution,) = at.warning
        assert "61 years" in caution.value
        assert "Probability of pneumonia" in words(at)

    @pytest.mark.parametrize(
        ("header", "reason"),
        [({"view": "LL"}, "lateral view"), ({"body_part": "HAND"}, "another part")],
    )
    def test_of_anything_else_gets_no_score(self, models_dir, header, reason):
        at = upload(page(CLASSIFY), film_dcm=as_dicom(chest_phantom(), **header))
        assert reason in words(at) and "No score was given" in words(at)
        assert "Probability of pneumonia" not in words(at)
        assert len(at.image) == 1  # the film itself is shown

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
        network = models_dir / "tiny-1" / cards.NETWORK
        network.write_bytes(network.read_bytes() + b" ")
        at = page(CLASSIFY)
        assert "SHA-256" in words(at)
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
        assert re.search(r"40 films · .*below · 1 refused", words(at))
        assert rows[0].startswith(":orange[") and rows[0].endswith(r"[a\.png]")
        assert rows[-2].startswith(":blue[") and rows[-2].endswith(r"dark\.png]")
        assert rows[-1].startswith(":violet[") and "no image" in rows[-1]
        assert "Above threshold" in words(at)

    def test_are_scored_and_listed_as_they_come(self, models_dir, monkeypatch):
        sizes, shown, network = [], [], Network.__call__

        def counted(self, inputs, *, beside):
            sizes.append((len(inputs), beside))
            return network(self, inputs, beside=beside)

        at = page(CLASSIFY)
        monkeypatch.setattr(Network, "__call__", counted)
        monkeypatch.setattr(
            uploads, "row", lambda film, *_: shown.append(film.name) or film.name
        )
        upload(at, **{f"f{i}_png": as_png(chest_phantom(seed=i)) for i in range(20)})
        assert sizes == [(1, False)] * 20
        assert shown[0] == "f0.png"
        assert set(shown[1:3]) == {"f0.png", "f1.png"}
        assert len(at.radio[0].options) == 20

    def test_choosing_one_shows_its_reading(self, models_dir, inferences):
        at = upload(page(CLASSIFY), a_png=BRIGHT, b_png=DARK, c_png=NO_FILM)
        keys = at.session_state["films"].films
        dark = next(k for k, film in keys.items() if film.name == "b.png")
        at.radio[0].set_value(dark).run()
        assert "Below threshold" in words(at)
        at.slider(key=THRESHOLD).set_value(0.01).run()
        assert "**b.png**" in words(at)
        assert len(inferences) == 2

    def test_a_later_film_is_shown_when_it_comes(self, models_dir):
        at = upload(page(CLASSIFY), a_png=BRIGHT)
        upload(at, b_png=DARK)
        assert "**b.png**" in words(at)
        assert "2 films · 1 above · 1 below" in words(at)

    def test_the_same_film_twice_is_scored_once(self, models_dir, inferences):
        at = upload(page(CLASSIFY), one_jpg=FILM, two_jpg=FILM)
        assert len(at.radio[0].options) == 2
        assert len(inferences) == 1

    def test_field_case_1_the_bytes_of_a_film_are_freed_once_it_is_read(
        self, models_dir, monkeypatch
    ):
        freed, remove = [], MemoryUploadedFileManager.remove_file

        def spied(manager, session_id, file_id):
            held = manager.get_files(session_id, [file_id])
            freed.extend(file.name for file in held)
            remove(manager, session_id, file_id)
            assert not manager.get_files(session_id, [file_id])

        monkeypatch.setattr(MemoryUploadedFileManager, "remove_file", spied)
        monkeypatch.setattr(films, "MOST_FILMS", 3)
        files = {"a_png": BRIGHT, "b_png": BRIGHT, "c_png": NO_FILM, "d_png": DARK}
        at = upload(page(CLASSIFY), **files)
        assert sorted(freed) == ["a.png", "b.png", "c.png", "d.png"]
        assert len(at.radio[0].options) == 3

    def test_field_case_12_a_list_that_is_lost_with_the_server_is_said(
        self, models_dir
    ):
        at = upload(page(CLASSIFY), a_png=BRIGHT, b_png=DARK)
        assert at.query_params["films"] == "2"
        del at.query_params["list"]  # an address without a list in the history
        del at.session_state["films"]  # a new session at that address
        at.run()
        assert "The films that were listed here (2) are gone" in words(at)
        upload(at, a_png=BRIGHT)
        assert "are gone" not in words(at)
        at.button(key="remove_films").click().run()
        assert "films" not in at.query_params
        assert "are gone" not in words(at)

    def test_field_case_12_a_strange_address_says_nothing(self, models_dir):
        at = page(CLASSIFY)
        del at.session_state["films"]
        at.query_params["films"] = "<b>"
        at.run()
        assert not at.warning
        assert not at.exception

    def test_removing_them_empties_the_page(self, models_dir):
        at = upload(page(CLASSIFY), a_png=BRIGHT, b_png=DARK)
        at.button(key="remove_films").click().run()
        assert not at.radio
        assert "Probability of pneumonia" not in words(at)
        assert not at.session_state["films"].films

    def test_beyond_the_quota_are_left_out_with_a_sentence(
        self, models_dir, monkeypatch
    ):
        monkeypatch.setattr(films, "MOST_FILMS", 2)
        at = upload(page(CLASSIFY), a_png=BRIGHT, b_png=DARK, c_jpg=FILM)
        assert "1 file was left out" in at.sidebar.expander[0].label
        assert "c.jpg" in words(at)
        assert len(at.radio[0].options) == 2

    def test_beyond_the_bytes_are_left_out_with_a_sentence(
        self, models_dir, monkeypatch
    ):
        monkeypatch.setattr(films, "MOST_BYTES", len(BRIGHT) // 2)
        at = upload(page(CLASSIFY), a_png=BRIGHT, b_png=DARK)
        assert "1 file was left out" in at.sidebar.expander[0].label
        assert "Above threshold" in words(at)


class TestPrivacy:
    def test_no_file_name_reaches_the_log(self, models_dir, monkeypatch, caplog):
        def fail(*_, **__):
            raise RuntimeError("/secret/CANARY.jpg")

        with caplog.at_level(logging.DEBUG):
            at = upload(page(CLASSIFY), CANARYJANE_png=NO_FILM, CANARY2_jpg=FILM)
            monkeypatch.setattr(heatmap, "heatmap", fail)
            at.button_group(key="pane_view").set_value("Heat map").run()
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


class TestErrors:
    """Field case 6: an error message can carry a name that somebody else chose."""

    HOSTILE = (
        "www.x.example",
        "https://x.example/a",
        "jane@x.example",
        "![a](http://x.example/a.png)",
        "[a](http://x.example)",
        "<img src=http://x.example/a.png>",
        ":red[a] :material/bolt: $x$ ~~a~~ **a** _a_",
        "`a` ``![a](http://x.example/a.png)`` `",
        "a\n\n# ![a](http://x.example/a.png)",
    )

    @pytest.mark.parametrize("name", HOSTILE)
    def test_field_case_6_a_name_in_an_error_is_only_text(self, name):
        def script(name):
            from cxr.errors import DatasetError
            from ui.errors import show_errors

            with show_errors("Run `python -m cxr check`."):
                raise DatasetError(f"There is no folder {name}.")

        at = AppTest.from_function(script, args=(name,)).run()
        shown = at.error[0].value
        assert "`python -m cxr check`" in shown
        outside = re.sub(r"(?<!\\)`[^`]*`", "", shown)
        bare = re.sub(r"\\[^\w\s]|\\_", "", outside)
        assert not re.search(r"[\[\]()<>*_$~!:`#]", bare), bare
        text = re.sub(r"\\(?=\W)", "", outside)
        assert not re.search(r"www\.|https?://|\w@\w", text)
        assert shown.count("\n") == 1  # before the error's id alone

    def test_field_case_6_a_name_in_an_error_reads_as_it_is(self):
        shown = wording.message("There is no film jane@x.example at www.x.example.")
        read = re.sub(r"\\(?=\W)", "", shown).replace(wording.WORD_JOINER, "")
        assert read == "There is no film jane@x.example at www.x.example."


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
        nothing = estimates.Estimate(
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


class TestNames:
    """Kind N: what a film is, its content says and not its name."""

    @pytest.mark.parametrize("name", ["IM000001", "film.jfif", "film.IMA", "x.dicom"])
    def test_case_N_a_film_of_any_name_is_read(self, models_dir, name):
        data = (
            FILM if name == "film.jfif" else as_dicom(chest_phantom(224, 224, seed=1))
        )
        at = page(CLASSIFY)
        at.file_uploader[0].upload(name, data)
        at.run()
        assert not at.exception and not at.error
        assert "threshold" in words(at)
        assert not at.file_uploader[0].proto.type
