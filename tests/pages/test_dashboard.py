"""The dashboard by its real script: every number from the scores, none typed in."""

import csv
import io
import json
import re
import time
from dataclasses import replace

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest
from synthetic_films import as_png, chest_phantom
from tiny_model import register_tiny_model

from cxr.config import ROOT
from cxr.datasets import checks
from cxr.errors import JobError
from cxr.evaluation import operating, thresholds
from cxr.evaluation.answered import three_answers
from cxr.governance import stored_points
from cxr.jobs import control, heartbeat
from cxr.models import cards, registry
from cxr.models.scores import SCORES, SPLIT
from cxr.reading import meaning
from cxr.records import audit
from cxr.validation import appraisal
from cxr.validation import start as validation_start
from cxr.validation.local import read_scores
from cxr.validation.start import Asked, create
from ui import wording
from ui.dashboard import figures, report
from ui.dashboard.beside import beside
from ui.dashboard.scored_films import CAUTIONS, LocalFilms, SplitFilms
from ui.dashboard.source import Source
from ui.dashboard.targets import NOT_MET
from ui.prevalence import PREVALENCE

DASHBOARD, CLASSIFY = "pages/2_Dashboard.py", "pages/1_Classify.py"
THRESHOLD = "dashboard_threshold_tiny-1"


@pytest.fixture
def models_dir(tmp_path, monkeypatch):
    folder = tmp_path / "models"
    register_tiny_model(folder)
    for name in ("models", "runs", "cache", "records"):
        monkeypatch.setenv(f"CXR_{name.upper()}_DIR", str(tmp_path / name))
    monkeypatch.delenv("CXR_DATA_DIR", raising=False)
    return folder


def page(name=DASHBOARD):
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120).run()
    at.switch_page(name).run()
    assert not at.exception
    return at


def tiles(at):
    return {metric.label: metric.value for metric in at.metric}


def words(at):
    shown = [*at.markdown, *at.caption, *at.error, *at.warning, *at.info]
    return "\n".join(element.value for element in shown)


def scores_of(models_dir, split="test"):
    card = registry.read_card(models_dir, "tiny-1")
    return registry.read_scores(models_dir, card, split)


def point_at(models_dir, threshold):
    scores = scores_of(models_dir)
    return operating.operating_point(
        scores.labels, scores.probabilities, threshold=threshold, groups=scores.patients
    )


def alter_scores(models_dir, keep=lambda row: True):
    """Makes a film of pneumonia in four a miss, as a retrained model might.

    Of the test films only those that `keep` wants stay.
    """
    path = models_dir / "tiny-1" / SCORES
    rows = list(csv.DictReader(path.read_text().splitlines()))
    for number, row in enumerate(rows):
        if row["label"] == "1" and number % 4 == 1:
            row["logit"], row["probability"] = "-3.0", "0.04742587"
    rows = [row for row in rows if row["split"] != "test" or keep(row)]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(stream.getvalue())
    card = registry.read_card(models_dir, "tiny-1")
    records = registry.file_records(models_dir / "tiny-1")
    registry.write_card(models_dir, replace(card, files=records))


class TestThreshold:
    def test_starts_at_the_shipped_one_and_assumes_no_prevalence(self, models_dir):
        at = page()
        assert at.slider(key=THRESHOLD).value == 0.4
        assert at.number_input(key=PREVALENCE).value is None
        assert not {"PPV here", "NPV here"} & tiles(at).keys()
        assert "it is never assumed" in words(at)
        assert "or no prevalence is stated" in words(at)
        labels = [button.label for button in at.button]
        assert not any("misses per 1,000" in label for label in labels)
        point = point_at(models_dir, 0.4)
        assert tiles(at)["Sensitivity"] == f"{point.sensitivity.value:.3f}"
        assert "200 test films of 100 patients" in words(at)

    def test_moves_every_number(self, models_dir):
        at = page()
        at.slider(key=THRESHOLD).set_value(0.8)
        at.number_input(key=PREVALENCE).set_value(20.0).run()
        point = point_at(models_dir, 0.8)
        local, shown = point.locally(prevalence=0.2), tiles(at)
        assert shown["Sensitivity"] == f"{point.sensitivity.value:.3f}"
        assert shown["Specificity"] == f"{point.specificity.value:.3f}"
        assert shown["PPV here"] == f"{local.precision.value:.3f}"
        assert shown["NPV here"] == f"{local.npv.value:.3f}"
        card, scores = registry.read_card(models_dir, "tiny-1"), scores_of(models_dir)
        counted = meaning.answers(scores, card.uncertain_band, 0.8)
        costs = counted.costs(prevalence=0.2)
        assert f"**{costs.missed.value:.1f} (" in words(at)
        assert f"**{costs.no_answer.value:.1f} (" in words(at)
        low, high = card.uncertain_band.around(0.8)
        missed = ((scores.labels == 1) & (scores.probabilities < low)).sum()
        assert at.pills[0].options[0] == f"Missed: {missed}"

    def test_shows_the_share_without_an_answer_and_the_rates_of_the_rest(
        self, models_dir
    ):
        at = page()
        at.slider(key=THRESHOLD).set_value(0.7).run()
        card, scores = registry.read_card(models_dir, "tiny-1"), scores_of(models_dir)
        found = three_answers(
            scores.labels, scores.probabilities, band=card.uncertain_band.around(0.7)
        )
        shown = tiles(at)
        assert shown["No answer"] == f"{found.no_answer.value:.3f}"
        assert shown["No answer, normal"] == f"{found.no_answer_well.value:.3f}"
        assert shown["Answered: sensitivity"] == f"{found.sensitivity.value:.3f}"
        assert shown["Answered: specificity"] == f"{found.specificity.value:.3f}"
        low, high = (wording.threshold(edge) for edge in (found.low, found.high))
        assert f"No answer is given from {low} to below {high}" in words(at)

    def test_a_prevalence_of_the_site_holds_here_too(self, models_dir, monkeypatch):
        monkeypatch.setenv("CXR_PREVALENCE", "8")
        at = page()
        assert at.number_input(key=PREVALENCE).value == 8.0
        point = point_at(models_dir, 0.4)
        local = point.locally(prevalence=0.08)
        assert tiles(at)["PPV here"] == f"{local.precision.value:.3f}"

    def test_a_prevalence_stated_on_classify_is_that_of_the_dashboard(self, models_dir):
        at = page()
        at.number_input(key=PREVALENCE).set_value(20.0).run()
        at.switch_page(CLASSIFY).run()
        at.file_uploader[0].upload("film.png", as_png(chest_phantom(224, 224)))
        at.run()
        assert at.number_input(key=PREVALENCE).value == 20.0

    def test_changes_neither_card_nor_classify(self, models_dir):
        before = (models_dir / "tiny-1" / cards.CARD).read_bytes()
        at = page()
        at.slider(key=THRESHOLD).set_value(0.8).run()
        at.switch_page(CLASSIFY).run()
        at.file_uploader[0].upload("film.png", as_png(chest_phantom(224, 224)))
        at.run()
        assert at.slider(key="threshold_tiny-1").value == 0.4
        assert (models_dir / "tiny-1" / cards.CARD).read_bytes() == before

    def test_targets_follow_what_is_asked_for(self, models_dir):
        at = page()
        for asked in (0.9, 0.8):
            at.number_input(key="dashboard_wish_sensitivity").set_value(asked).run()
            assert not at.exception
            scores = scores_of(models_dir, "validation")
            found = thresholds.threshold_for_assured_sensitivity(
                scores.labels,
                scores.probabilities,
                target=asked,
                assured=asked,
                groups=scores.patients,
            )
            met = point_at(models_dir, found).sensitivity.low >= asked
            words = "" if met else f", {NOT_MET}"
            label = f"Sensitivity {100 * asked:g} %{words}: {wording.threshold(found)}"
            assert label in [button.label for button in at.button]

    def test_a_target_that_these_films_do_not_bear_out_says_so(self, models_dir):
        at = page()
        at.number_input(key="dashboard_wish_sensitivity").set_value(1.0).run()
        labels = [button.label for button in at.button]
        assert any(x.startswith(f"Sensitivity 100 %, {NOT_MET}: ") for x in labels)
        assert any(x.startswith("Youden: ") for x in labels)

    def test_goes_to_a_target_found_on_validation_films(self, models_dir):
        at = page()
        wanted = thresholds.threshold_youden(
            *(
                getattr(scores_of(models_dir, "validation"), name)
                for name in ("labels", "probabilities")
            )
        )
        button = next(b for b in at.button if b.label.startswith("Youden"))
        button.click().run()
        assert at.slider(key=THRESHOLD).value == pytest.approx(wanted)
        next(b for b in at.button if b.label.startswith("Shipped")).click().run()
        assert at.slider(key=THRESHOLD).value == 0.4

    @pytest.mark.parametrize("held", [float("nan"), "x", -3.0, 7.0])
    def test_off_the_scale_is_put_right(self, models_dir, held):
        at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120).run()
        at.session_state[THRESHOLD] = held
        at.switch_page(DASHBOARD).run()
        assert not at.exception
        assert 0 < at.slider(key=THRESHOLD).value < 1


class TestOperatingPoint:
    def test_is_stored_with_a_reason_and_offered_in_classify(
        self, models_dir, tmp_path
    ):
        at = page()
        at.slider(key=THRESHOLD).set_value(0.25).run()
        at.text_area(key="dashboard_reason").set_value("Decided by the department.")
        at.button(key="dashboard_store").click().run()
        assert "Operating point 0.25 stored for tiny-1" in words(at)
        card = registry.read_card(models_dir, "tiny-1")
        (stored,) = stored_points.points(tmp_path / "records", card)
        assert (stored.threshold, stored.films) == (0.25, "test films")
        assert stored.sensitivity == point_at(models_dir, 0.25).sensitivity.value

        at.switch_page(CLASSIFY).run()
        at.file_uploader[0].upload("film.png", as_png(chest_phantom(224, 224)))
        at.run()
        assert at.slider(key="threshold_tiny-1").value == 0.4
        at.button(key=f"threshold_{stored.point_id}").click().run()
        assert at.slider(key="threshold_tiny-1").value == 0.25

    @pytest.mark.parametrize("value", [0.0007, 0.005, 0.0312, 0.995, 0.9993])
    def test_is_used_exactly_as_it_was_stored(self, models_dir, tmp_path, value):
        card = registry.read_card(models_dir, "tiny-1")
        stored = stored_points.store(
            tmp_path / "records",
            card,
            value,
            actor="a lead",
            reason="Decided by the department.",
            films="test films",
            sensitivity=0.9,
            specificity=0.9,
        )
        at = page()
        next(b for b in at.button if b.label.startswith("Stored: ")).click().run()
        assert at.slider(key=THRESHOLD).value == value
        at.slider(key=THRESHOLD).set_value(0.5).run()
        assert at.slider(key=THRESHOLD).value == 0.5

        at.switch_page(CLASSIFY).run()
        at.file_uploader[0].upload("film.png", as_png(chest_phantom(224, 224)))
        at.run()
        at.button(key=f"threshold_{stored.point_id}").click().run()
        assert not at.exception
        assert at.slider(key="threshold_tiny-1").value == value
        assert f"threshold_{stored.point_id}" in [
            b.key for b in at.button if b.disabled
        ]
        at.run()
        assert at.slider(key="threshold_tiny-1").value == value
        at.switch_page(DASHBOARD).run()
        at.switch_page(CLASSIFY).run()
        assert at.session_state["threshold_tiny-1"] == value

    def test_is_not_stored_without_a_reason(self, models_dir, tmp_path):
        at = page()
        at.button(key="dashboard_store").click().run()
        assert "Give a reason" in words(at)
        assert not (tmp_path / "records").exists()


class TestNothingIsTypedIn:
    def test_every_tile_follows_the_scores(self, models_dir):
        before = tiles(page())
        alter_scores(models_dir)
        after = tiles(page())
        assert before.keys() == after.keys()
        moved = {label for label in before if before[label] != after[label]}
        assert moved >= {
            *("Sensitivity", "No answer", "Answered: sensitivity", "AUC"),
            "Calibration error",
        }
        point = point_at(models_dir, 0.4)
        assert after["Sensitivity"] == f"{point.sensitivity.value:.3f}"

    def test_every_figure_follows_the_scores(self, models_dir):
        card = registry.read_card(models_dir, "tiny-1")

        def drawn():
            found = appraisal.appraise(
                scores_of(models_dir), card, films="test films", pixels={}
            )
            source = Source(
                card=card,
                films=SplitFilms(card=card, split="test"),
                scores=scores_of(models_dir),
                appraisal=found,
                other="",
                splits=("test", "validation"),
            )
            view = source.view(0.4, 0.2)
            shown = figures.at_threshold(source, view, ink="#000000")
            shown["Calibration"] = figures.calibration(found)
            return {title: figure.to_json() for title, figure in shown.items()}

        before = drawn()
        alter_scores(models_dir)
        card = registry.read_card(models_dir, "tiny-1")
        after = drawn()
        assert len(before) == 9
        assert [title for title in before if before[title] == after[title]] == []

    def test_films_of_one_class_show_dashes_and_never_nan(self, models_dir):
        alter_scores(models_dir, keep=lambda row: row["label"] == "0")
        at = page()
        assert tiles(at)["Sensitivity"] == tiles(at)["AUC"] == "–"
        assert tiles(at)["Specificity"] != "–"
        at.number_input(key=PREVALENCE).set_value(20.0).run()
        assert "**–** missed" in words(at)
        assert not re.search(r"\bnan\b", words(at))

    def test_scores_that_were_changed_behind_the_card_stop_the_page(self, models_dir):
        path = models_dir / "tiny-1" / SCORES
        path.write_text(path.read_text().replace("test,", "tost,"))
        at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120).run()
        at.switch_page(DASHBOARD).run()
        assert "SHA-256" in at.error[0].value.replace("\\", "")
        assert not at.metric


class TestFilms:
    def test_of_a_chosen_cell_stay_while_the_threshold_moves(self, models_dir):
        at = page()
        at.pills[0].set_value("ni").run()
        at.slider(key=THRESHOLD).set_value(0.6).run()
        assert at.pills[0].value == "ni"
        card, scores = registry.read_card(models_dir, "tiny-1"), scores_of(models_dir)
        low, high = card.uncertain_band.around(0.6)
        inside = (scores.probabilities >= low) & (scores.probabilities < high)
        n = int((inside & (scores.labels == 1)).sum())
        assert f"**{n} film" in words(at)
        assert "pneumonia, in the zone without an answer around the threshold" in (
            words(at)
        )

    def test_of_a_cell_are_listed_the_most_wrong_first(self, models_dir):
        at = page()
        at.pills[0].set_value("fn").run()
        scores, found = scores_of(models_dir), at.dataframe
        table = next(t.value for t in found if "film" in t.value.columns)
        low = registry.read_card(models_dir, "tiny-1").band[0]
        missed = np.flatnonzero((scores.labels == 1) & (scores.probabilities < low))
        worst = missed[np.argsort(scores.probabilities[missed])]
        assert list(table["film"]) == [scores.names[i] for i in worst]
        assert f"**{missed.size} film" in words(at)
        assert "Name the folder of the films" in words(at)

    def test_are_shown_only_if_they_are_the_scored_ones(self, models_dir, tmp_path):
        folder = tmp_path / "films"
        folder.mkdir()
        at = page()
        at.pills[0].set_value("fn").run()
        at.text_input(key="dashboard_folder_own").set_value(str(folder)).run()
        assert "is not below this folder" in words(at)

    def test_outside_the_data_folder_are_not_looked_for(
        self, models_dir, tmp_path, monkeypatch
    ):
        (tmp_path / "data").mkdir()
        monkeypatch.setenv("CXR_DATA_DIR", str(tmp_path / "data"))
        at = page()
        at.pills[0].set_value("fn").run()
        at.text_input(key="dashboard_folder_own").set_value(str(tmp_path)).run()
        assert "outside the data that this app may read" in at.error[0].value


class TestChoices:
    def test_other_films_of_the_model(self, models_dir):
        at = page()
        at.selectbox(key="dashboard_films_tiny-1").set_value("validation").run()
        assert not at.exception
        assert "200 validation films" in words(at)
        assert "targets were chosen on these films" in at.info[0].value

    def test_two_models_on_the_same_films(self, models_dir):
        register_tiny_model(models_dir, "tiny-2")
        at = page()
        at.selectbox(key="dashboard_other_tiny-2").set_value("tiny-1").run()
        assert "200 films that both were tested on" in words(at)
        assert re.search(r"tiny-1 \*\*0\.\d+ \(0\.\d+.[01]\.\d+\)\*\*", words(at))
        assert "tiny-1 is measured on the same films" in words(at)
        at.selectbox(key="dashboard_films_tiny-2").set_value("validation").run()
        assert "200 films that both were tested on" in words(at)
        assert "tiny-1 is measured on the same films" not in words(at)

    def test_curves_of_both_models_lie_over_each_other(self, models_dir):
        card = register_tiny_model(models_dir, "tiny-2")
        scores = scores_of(models_dir)
        source = source_of(card, scores, films="test", other="tiny-1")
        view, other = source.view(0.4, None), beside(source)
        drawn = figures.at_threshold(source, view, ink="#000000", other=other)
        for title in (figures.ROC, figures.PRECISION_RECALL):
            names = [trace.name for trace in drawn[title].data if trace.name]
            assert names[:2] == ["tiny-2", "tiny-1"]
        alone = figures.at_threshold(source, view, ink="#000000")
        assert "tiny-1" not in [trace.name for trace in alone[figures.ROC].data]

    def test_without_a_model_the_page_stops_plainly(self, tmp_path, monkeypatch):
        monkeypatch.setenv("CXR_MODELS_DIR", str(tmp_path))
        at = page()
        assert "There is no model yet" in at.error[0].value

    def test_what_was_not_measured_is_a_dash(self, models_dir):
        assert "– Not measured: check the model's data folder" in words(page())


def source_of(card, scores, *, films, other):
    return Source(
        card=card,
        films=SplitFilms(card=card, split=films),
        scores=scores,
        appraisal=appraisal.appraise(scores, card, films=f"{films} films", pixels={}),
        other=other,
        splits=("test", "validation"),
    )


class TestScoredFilms:
    def test_of_a_split_are_those_that_the_model_keeps(self, models_dir):
        card = registry.read_card(models_dir, "tiny-1")
        films = SplitFilms(card=card, split="test")
        assert films.scores().names == scores_of(models_dir).names
        assert (films.key, films.words(), films.caution()) == ("test", "test films", "")
        assert films.report() is None and films.folder() is None
        other = SplitFilms(card=card, split="validation")
        assert films.stamp() != other.stamp() and films.data_key == other.data_key
        alter_scores(models_dir)
        changed = registry.read_card(models_dir, "tiny-1")
        assert films.stamp() != SplitFilms(card=changed, split="test").stamp()

    def test_of_a_validation_that_is_gone_are_named_as_gone(self, models_dir):
        films = LocalFilms(name="gone")
        with pytest.raises(JobError, match="are gone"):
            films.stamp()
        assert films.caution() == "" and films.folder() is None
        assert films.data_key == films.key == "local:gone"


class TestReport:
    def test_is_one_file_with_every_figure_and_no_film(self, models_dir, monkeypatch):
        card = registry.read_card(models_dir, "tiny-1")
        limits = ("<script>alert(1)</script>",)
        card = replace(card, limits=limits)
        source = source_of(card, scores_of(models_dir), films="test", other="")
        view = source.view(0.4, 0.2)
        text = report.html(source, view)
        assert text.count("Plotly.newPlot(") >= 9
        assert not re.search("<(script|link|img)[^>]+(src|href)=.https?:", text)
        assert limits[0] not in text and "&lt;script&gt;alert(1)" in text
        assert "f1.png" not in text
        assert f"{view.point.sensitivity.value:.4g}" in text
        assert "Content-Security-Policy" in text
        assert "on the same films" not in text

    def test_holds_the_comparison_that_the_page_shows(self, models_dir):
        card = register_tiny_model(models_dir, "tiny-2")
        source = source_of(
            card, scores_of(models_dir), films="validation", other="tiny-1"
        )
        view = source.view(0.4, 0.2)
        text = report.html(source, view)
        assert "<h2>tiny-2 and tiny-1 on the same films</h2>" in text
        assert "200 films that both were tested on" in text
        assert CAUTIONS["validation"] in text


class TestLocalValidation:
    @pytest.fixture
    def hospital(self, tmp_path):
        folder = tmp_path / "hospital"
        for label, name in enumerate(("NORMAL", "PNEUMONIA")):
            (folder / name).mkdir(parents=True)
            for seed in range(4):
                film = chest_phantom(224, 224, seed=seed) * 0.4 + (140 if label else 0)
                (folder / name / f"{name}-{seed}.png").write_bytes(as_png(film))
        return folder

    @pytest.fixture
    def queue(self, tmp_path):
        return tmp_path / "records" / "validations"

    def started(self, hospital):
        at = page()
        at.text_input(key="dashboard_local_folder").set_value(str(hospital)).run()
        at.text_input(key="dashboard_local_name").set_value("Winter films").run()
        at.button(key="dashboard_local_start").click().run()
        return at

    def test_runs_in_the_background_and_gets_the_same_page(
        self, models_dir, hospital, queue
    ):
        at = self.started(hospital)
        assert not at.exception
        (job,) = control.list_jobs(queue)
        assert control.wait(job.folder, 120).state == control.DONE
        at = page()
        assert "**No-go**" in words(at) and "8 films, 0 refused" in words(at)
        at.button(key=f"dashboard_local_show_{job.name}").click().run()
        assert not at.exception
        assert "8 films of Winter films, validated 20" in words(at)
        assert "**Winter films** · :orange[" in words(at)
        assert "not met], at the shipped threshold" in words(at)
        assert re.search(r"Without an answer 0\.\d+ \(.*among the others", words(at))
        assert at.slider(key=THRESHOLD).value == 0.4
        source = Source(
            card=registry.read_card(models_dir, "tiny-1"),
            films=LocalFilms(name=job.name),
            scores=read_scores(job.folder),
            appraisal=self.appraised(models_dir, job),
            other="",
            splits=("test", "validation"),
        )
        view = source.view(0.4, 0.5)
        text = report.html(source, view)
        assert "Local validation: no-go" in text
        assert "At least 100 pneumonia films." in text
        at.pills[0].set_value("tn").run()
        folder = at.text_input(key=f"dashboard_folder_local:{job.name}").value
        assert folder == str(hospital)
        assert at.image[1].captions[0].startswith("Heat map: ")
        (entry,) = audit.entries(queue.parent)
        assert (entry.action, entry.model_id) == ("validate", "tiny-1")

    def test_that_runs_shows_its_progress_and_can_be_stopped(
        self, models_dir, hospital, queue, monkeypatch
    ):
        held, stopped = self.job(models_dir, hospital, queue, monkeypatch), []
        status = {"stage": "scoring", "updated": time.time(), "done": 2, "total": 8}
        (held.folder / heartbeat.STATUS).write_text(json.dumps(status))
        monkeypatch.setattr(control, "stop", stopped.append)
        at = page()
        line = at.get("progress")[0].proto.text
        assert line.startswith("Stage 2 of 3: scoring, 2 of 8 films")
        assert "**hospital**" in words(at)
        at.button(key=f"dashboard_local_stop_{held.name}").click().run()
        assert stopped == [held.folder]

    @pytest.mark.parametrize("state", ["stopped", "failed", "lost"])
    def test_that_has_not_ended_well_is_resumed_or_deleted(
        self, models_dir, hospital, queue, monkeypatch, state
    ):
        held = self.job(
            models_dir, hospital, queue, monkeypatch, state=state, reason="It ended."
        )
        done = []
        monkeypatch.setattr(control, "submit", lambda *given: done.append(given))
        monkeypatch.setattr(control, "delete", done.append)
        at = page()
        assert f"hospital: {state}. It ended" in words(at)
        at.button(key=f"dashboard_local_resume_{held.name}").click().run()
        at.button(key=f"dashboard_local_delete_{held.name}").click().run()
        command = validation_start.command(held.folder)
        assert done == [(held.folder, command), held.folder]

    @pytest.mark.parametrize("text", ["/nowhere", "x", "a\0b", "*films*"])
    def test_what_is_no_folder_is_refused_and_leaves_nothing(
        self, models_dir, queue, text
    ):
        at = self.started(text)
        assert at.warning and not at.exception
        assert not queue.exists()

    def test_outside_the_data_folder_is_refused(
        self, models_dir, hospital, queue, tmp_path, monkeypatch
    ):
        (tmp_path / "data").mkdir()
        monkeypatch.setenv("CXR_DATA_DIR", str(tmp_path / "data"))
        at = self.started(hospital)
        assert "outside the data that this app may read" in at.warning[0].value
        assert not queue.exists()

    def appraised(self, models_dir, job):
        return appraisal.appraise(
            read_scores(job.folder),
            registry.read_card(models_dir, "tiny-1"),
            films="films of a hospital",
            pixels={},
        )

    def job(self, models_dir, hospital, queue, monkeypatch, **changes):
        folder = create(
            queue,
            models_dir,
            Asked(source=hospital, model_id="tiny-1"),
            records_dir=queue.parent,
            actor="A. Reader",
        )
        facts = {
            "state": "running",
            "command": ("python",),
            "created": 0.0,
            "started": 0.0,
        }
        held = control.Job(folder=folder, name=folder.name, **facts | changes)
        monkeypatch.setattr(control, "list_jobs", lambda found: [held])
        return held


class TestCheckedData:
    @pytest.fixture
    def films(self, tmp_path, models_dir):
        """Films that were checked, and the card of a model made from them."""
        folder = tmp_path / "films"
        for label, name in enumerate(("NORMAL", "PNEUMONIA")):
            (folder / name).mkdir(parents=True)
            for i in range(12):
                side = 150 + 10 * (i % 3) + 40 * label
                film = as_png(chest_phantom(side, side, seed=i + 20 * label))
                (folder / name / f"person{i + 20 * label}-1.png").write_bytes(film)
        found = checks.run(
            folder,
            folder=checks.folder_for(tmp_path / "cache", folder),
            workers=1,
        )
        card = registry.read_card(models_dir, "tiny-1")
        data = replace(card.data, fingerprint=found.survey.fingerprint)
        self.rename_a_miss(models_dir, card, found.survey.films[0])
        files = registry.file_records(models_dir / "tiny-1")
        registry.write_card(models_dir, replace(card, data=data, files=files))
        return folder

    def rename_a_miss(self, models_dir, card, film):
        """Lets the worst miss of the model be one of the films that are there."""
        scores = scores_of(models_dir)
        worst = np.where(scores.labels == 1, scores.probabilities, 1).argmin()
        folder = models_dir / "tiny-1"
        old, name = scores.names[worst], film.name
        for table in (SCORES, SPLIT):
            text = (folder / table).read_text()
            text = text.replace(f"test,{old},", f"test,{name},")
            text = text.replace(
                f"{old},{scores.sha256[worst]},test", f"{name},{film.sha256},test"
            )
            (folder / table).write_text(text)

    def test_the_shortcut_audit_stands_beside_the_network(self, films):
        text = words(page())
        assert "on 24 films of 24 patients" in text
        assert "not measured: check" not in text.lower()

    def test_a_film_of_a_cell_is_shown_with_its_heat_map_unasked(self, films):
        at = page()
        at.pills[0].set_value("fn").run()
        assert not at.exception and not at.error
        folder = at.text_input(key="dashboard_folder_own").value
        assert folder == str(films)
        assert at.image[0].captions == ["Film"]
        assert at.image[1].captions[0].startswith("Heat map: ")
        assert at.slider(key="opacity").value == 0.5
        at.slider(key="opacity").set_value(0.8).run()
        assert not at.exception

    def test_other_films_do_not_count(self, films, models_dir):
        card = registry.read_card(models_dir, "tiny-1")
        other = replace(card.data, fingerprint="0" * 64)
        registry.write_card(models_dir, replace(card, data=other))
        assert "Not measured: check the model's data folder" in words(page())
