"""The Data page through its real script; folders of films made in code."""

import csv
import io
import re
import shutil
import time
from dataclasses import dataclass

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest
from synthetic_films import as_jpeg, as_png, chest_phantom
from tiny_model import PoolHere, register_tiny_model

from cxr import documents
from cxr.config import ROOT
from cxr.datasets import checks, integrity, shortcuts
from cxr.datasets import survey as datasets_survey
from cxr.datasets.table import as_csv
from cxr.evaluation import estimates
from cxr.jobs import control, heartbeat
from cxr.models import registry
from ui.data import charts, findings, measures
from ui.shortcuts import shortcut_forest

HOME, DATA = "app.py", "pages/3_Data.py"
TAB, FIELD = "data_tab", "data_source"
STRANGE = "<b>x<b> [a](b) :red[c] $d$.png"


def film(seed, opacity=0.0):
    return as_jpeg(chest_phantom(136, 128 + 8 * (seed % 3), seed=seed, opacity=opacity))


def write(folder, name, content):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def make_films(folder, n=6):
    for i in range(n):
        write(folder, f"train/NORMAL/IM-{i + 1:04}-0001.jpeg", film(i))
        cause = ("bacteria", "virus")[i % 2]
        ill = film(100 + i, opacity=0.9)
        write(folder, f"train/PNEUMONIA/person{i + 1}_{cause}_1.jpeg", ill)


@pytest.fixture(scope="module", autouse=True)
def quick_checks():
    """Films are decoded here and ranked by one figure: both take long otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets_survey, "DecoderPool", PoolHere)
        patch.setattr(shortcuts, "out_of_fold", lambda table, *_: table[:, 0])
        yield


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    """A folder with one fault of each kind, and its check, made once."""
    home = tmp_path_factory.mktemp("checked")
    source = home / "data" / "films"
    make_films(source)
    write(source, f"train/NORMAL/{STRANGE}", b"a letter")
    write(source, "test/NORMAL/IM-0900-0001.jpeg", film(0))  # a copy in two splits
    write(source, "train/NORMAL/IM-0901-0001.jpeg", film(101, opacity=0.9))
    write(source, "test/PNEUMONIA/person2_virus_9.jpeg", film(77, opacity=0.9))
    folder = checks.folder_for(home / "cache", source)
    checks.run(source, folder=folder, workers=2)
    return home


@dataclass
class Place:
    """Where the app of one test keeps its things."""

    data: object
    cache: object

    def folder(self, source):
        return checks.folder_for(self.cache, self.data / source)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An app with a model and an empty folder of data."""
    register_tiny_model(tmp_path / "models")
    (tmp_path / "data").mkdir()
    for name in ("models", "data", "cache", "runs", "records"):
        monkeypatch.setenv(f"CXR_{name.upper()}_DIR", str(tmp_path / name))
    monkeypatch.setenv("CXR_DISK_RESERVE_GB", "0")
    return Place(data=tmp_path / "data", cache=tmp_path / "cache")


@pytest.fixture
def films(place, checked, monkeypatch):
    """The same app with the checked folder, which no test changes."""
    monkeypatch.setenv("CXR_DATA_DIR", str(checked / "data"))
    monkeypatch.setenv("CXR_CACHE_DIR", str(checked / "cache"))
    return checked / "data" / "films"


@pytest.fixture
def submitted(monkeypatch):
    """The commands of submitted jobs; none is started."""
    commands = []
    monkeypatch.setattr(control, "submit", lambda _, command: commands.append(command))
    return commands


def check(place, source):
    """Checks a data folder of the app, without a model."""
    models_dir = place.cache / "no-models"
    folder = place.folder(source)
    scores, model_id = registry.active_test_scores(models_dir)
    return checks.run(
        place.data / source,
        folder=folder,
        workers=1,
        scores=scores,
        model_id=model_id,
    )


def opened(source=None, tab=None):
    at = AppTest.from_file(str(ROOT / HOME), default_timeout=60).run()
    at.switch_page(DATA)
    if tab:
        at.session_state[TAB] = tab
    at.run()
    if source is not None:
        at.text_input(key=FIELD).set_value(str(source)).run()
    assert not at.exception
    return at


def words(at):
    shown = [*at.markdown, *at.caption, *at.error, *at.warning, *at.info]
    return "\n".join(element.value for element in shown)


def labels(at):
    return {button.label for button in at.button}


class TestNames:
    def test_field_case_a_names_that_are_no_text_are_shown(self, place):
        source = place.data / "films"
        make_films(source)
        for split in ("train", "test"):
            write(source, f"{split}/NORMAL/f\udcff.png", film(9))
        write(source, "train/NORMAL/g\udcff.png", b"a letter")
        check(place, source.name)
        for tab in ("Images", "Samples", "Integrity", "Shortcuts"):
            at = opened(source, tab)
            assert not at.error
        at = opened(source, "Integrity")
        for kind in (integrity.UNREADABLE, integrity.EXACT, integrity.TWO_SPLITS):
            at.button_group[0].select(kind).run()
            assert not at.error and not at.exception
        assert "f\\.png" in words(at)
        (place.data / "odd\udcff").mkdir()
        assert not opened(place.data).error


class TestChoosing:
    def test_begins_in_the_folder_of_all_data_and_names_what_is_in_it(self, films):
        shutil.rmtree(films.parent / "other", ignore_errors=True)
        at = opened(films.parent)
        assert "neither `NORMAL` nor `PNEUMONIA`" in words(at)
        assert at.button_group[0].options == ["films"]
        at.button_group[0].select(str(films)).run()
        assert at.text_input(key=FIELD).value == str(films)
        assert {metric.label for metric in at.metric} >= {"Films", "Patients"}

    def test_says_which_layouts_are_read_and_that_nothing_is_changed(self, place):
        text = words(opened())
        assert "Three layouts are read" in text
        assert "no film is moved, changed or deleted" in text
        assert "python -m cxr download" in text

    def test_without_any_folder_says_how_to_get_one(self, place, monkeypatch):
        monkeypatch.delenv("CXR_DATA_DIR")
        at = opened()
        assert at.text_input(key=FIELD).value == ""
        assert "python -m cxr download" in words(at)
        assert not at.error

    @pytest.mark.parametrize("text", ["/etc", "..", "~", "films/../../secret", "link"])
    def test_a_folder_outside_the_data_is_refused(self, place, tmp_path, text):
        make_films(tmp_path / "secret", 1)
        (place.data / "link").symlink_to(tmp_path / "secret")
        at = opened(text)
        assert "outside the data that this app may read" in at.error[0].value
        assert not labels(at)
        assert not at.metric

    @pytest.mark.parametrize(
        "text", ["none", "x" * 5000, "a\0b", "film.png", "<script>", "~nobody/x"]
    )
    def test_what_is_no_data_folder_is_refused_plainly(self, place, text):
        (place.data / "film.png").write_bytes(b"")
        at = opened(text)
        assert "Error id" in at.error[0].value
        assert "wrong on this page" not in at.error[0].value

    def test_without_a_limit_any_folder_is_read_by_its_full_path(
        self, films, monkeypatch
    ):
        monkeypatch.delenv("CXR_DATA_DIR")
        assert opened(films).metric
        assert "Give its full path" in opened("films").error[0].value

    def test_the_choice_survives_a_page_change(self, films):
        at = opened(films)
        at.switch_page(HOME).run()
        at.switch_page(DATA).run()
        assert at.text_input(key=FIELD).value == str(films)


class TestChecking:
    def test_is_offered_and_starts_the_command(self, place, submitted):
        make_films(place.data / "films", 1)
        at = opened("films")
        at.button(key="data_check").click().run()
        folder, source = place.folder("films"), place.data / "films"
        assert submitted[0][1:] == (
            *("-m", "cxr", "check", str(source)),
            *("--folder", str(folder)),
        )
        assert folder.is_dir()

    def test_that_runs_shows_its_progress_and_is_found_by_a_new_session(
        self, place, monkeypatch
    ):
        make_films(place.data / "films", 1)
        now = time.time()
        status = {"stage": checks.MEASURING, "done": 50, "total": 200, "updated": now}
        self.job(place, monkeypatch, status, state="running", started=now - 10)
        at = opened()
        assert at.text_input(key=FIELD).value == str(place.data / "films")
        line = at.get("progress")[0].proto.text
        assert line == (
            "Stage 2 of 5: reading the films, 50 of 200 films · 5 films/s · "
            "about 30 s left of this stage"
        )
        assert labels(at) == {"Stop"}

    def test_that_waits_says_so(self, place, monkeypatch):
        make_films(place.data / "films", 1)
        self.job(place, monkeypatch, {}, state="queued", position=2)
        at = opened()
        assert "Waits for its turn (place 2)" in at.get("progress")[0].proto.text

    def test_can_be_stopped(self, place, monkeypatch):
        make_films(place.data / "films", 1)
        stopped = []
        self.job(place, monkeypatch, {}, state="running", started=time.time())
        monkeypatch.setattr(control, "stop", stopped.append)
        opened().button(key="data_stop").click().run()
        assert stopped == [place.folder("films")]

    def test_that_hangs_says_so(self, place, monkeypatch):
        make_films(place.data / "films", 1)
        self.job(
            place,
            monkeypatch,
            {},
            state="not responding",
            reason="It has said nothing for 2 minutes.",
        )
        at = opened()
        assert r"nothing for 2 minutes\." in words(at)
        assert labels(at) == {"Stop"}

    def test_that_failed_gives_the_reason_and_can_be_repeated(self, place, monkeypatch):
        make_films(place.data / "films", 1)
        reason = "The disk is full: 3 MB are free."
        self.job(place, monkeypatch, {}, state="failed", reason=reason)
        at = opened()
        assert "The check failed" in words(at)
        assert r"3 MB are free\." in words(at)
        assert labels(at) == {"Check this data"}

    def test_that_was_stopped_can_go_on(self, place, monkeypatch):
        make_films(place.data / "films", 1)
        self.job(place, monkeypatch, {}, state="stopped")
        at = opened()
        assert "The check was stopped" in words(at)
        assert labels(at) == {"Check this data"}

    def test_of_an_empty_folder_ends_with_a_sentence(self, place):
        (place.data / "films" / "NORMAL").mkdir(parents=True)
        at = opened("films")
        at.button(key="data_check").click().run()
        job = control.wait(place.folder("films"), 60)
        assert job.state == "failed"
        at.run()
        assert "holds no films" in words(at)
        assert labels(at) == {"Check this data"}

    def test_that_is_damaged_says_so_and_can_be_repeated(self, place, checked):
        source = place.data / "films"
        shutil.copytree(checked / "data" / "films", source)
        check(place, "films")
        (place.folder("films") / checks.REPORT).write_text("{")
        at = opened("films")
        assert "damaged" in at.error[0].value
        assert labels(at) == {"Check again"}
        assert not at.metric

    def test_of_films_that_changed_since_says_so(self, place, checked):
        source = place.data / "films"
        make_films(source, 4)
        check(place, "films")
        write(source, "train/NORMAL/IM-0700-0001.jpeg", film(7))
        at = opened("films")
        assert "added, removed or changed since this check" in words(at)
        assert labels(at) == {"Check again"}

    @staticmethod
    def job(place, monkeypatch, status, **fields):
        """Makes the check of `films` a job in this state."""
        folder = place.folder("films")
        folder.mkdir(parents=True)
        documents.replace(folder / heartbeat.STATUS, status)
        command = ("python", "-m", "cxr", "check", str(place.data / "films"))
        job = control.Job(
            folder=folder, name=folder.name, command=command, created=0.0, **fields
        )
        monkeypatch.setattr(control, "read", lambda _: job)
        monkeypatch.setattr(control, "list_jobs", lambda _: [job])


class TestResult:
    def test_shows_the_figures_of_the_check(self, films):
        at = opened(films)
        shown = {metric.label: metric.value for metric in at.metric}
        assert shown == {
            "Films": "16",
            "Patients": "13",
            "Class ratio": "0.78 : 1",
            "Unreadable": "1",
            "Exact copies": "2",
            "Findings": shown["Findings"],
        }
        found = checks.read(checks.folder_for(films.parents[1] / "cache", films))
        assert shown["Findings"] == str(len(found.integrity.findings))
        assert found.survey.fingerprint in [code.value for code in at.code]

    def test_classes_and_the_split_of_a_training(self, films):
        at = opened(films)
        balance, split = (table.value for table in at.table)
        assert balance.iloc[0].tolist() == ["train", "8", "6", "0.75 : 1"]
        assert balance.iloc[1].tolist() == ["test", "1", "1", "1.00 : 1"]
        assert split.iloc[:, 0].tolist() == [
            *("Train", "Validation", "Calibration", "Test")
        ]
        assert "No patient is in two splits" in words(at)

    def test_too_few_patients_for_a_split_are_named(self, place, checked):
        source = place.data / "films"
        make_films(source, 2)
        check(place, "films")
        at = opened("films")
        assert "has 2 patients" in words(at)

    @pytest.mark.parametrize("tab", ["Classes and splits", "Images", "Samples"])
    def test_films_none_of_which_can_be_read_are_an_answer_too(self, place, tab):
        write(place.data / "films", "NORMAL/a.png", b"a letter")
        write(place.data / "films", "PNEUMONIA/b.png", b"another")
        check(place, "films")
        at = opened("films", tab=tab)
        assert not at.error
        assert {m.label: m.value for m in at.metric}["Unreadable"] == "2"

    def test_images_are_drawn_by_class(self, films):
        at = opened(films, tab="Images")
        assert len(at.get("plotly_chart")) == 4
        assert "Width and height" in words(at)

    def test_of_many_images_a_sample_is_drawn_and_its_size_said(
        self, films, monkeypatch
    ):
        monkeypatch.setattr(measures, "MOST_POINTS", 5)
        assert "5 of 15 films, drawn at random" in words(opened(films, tab="Images"))

    def test_samples_of_both_classes_are_pictures_with_escaped_names(self, films):
        at = opened(films, tab="Samples")
        assert len(at.image) >= 10
        assert re.search(r"IM\\-0\d\d\d\\-0001\\.jpeg", words(at))

    def test_every_kind_of_finding_has_its_count_and_meaning(self, films):
        at = opened(films, tab="Integrity")
        table = at.table[0].value
        assert table.iloc[:, 0].tolist() == [
            name for name, _ in findings.KINDS.values()
        ]
        assert all(int(n) >= 1 for n in table.iloc[[0, 1, 3, 4], 1])
        assert "Nothing is moved, changed or deleted" in words(at)
        assert "Repair plan (CSV)" in {b.label for b in at.download_button}

    def test_an_unreadable_film_is_named_as_text_with_its_reason(self, films):
        text = words(opened(films, tab="Integrity"))
        assert "The film can't be read" in text
        assert r"\<b\>x\<b\> \[a\]\(b\)" in text
        assert "<b>" not in text.replace(r"\<b\>", "")

    def test_a_chosen_kind_lists_its_films_side_by_side(self, films):
        at = opened(films, tab="Integrity")
        at.button_group[0].select("label-conflict").run()
        assert not at.exception
        assert "opposite labels" in words(at)
        assert len(at.image) >= 2

    def test_findings_are_paged(self, films, monkeypatch):
        monkeypatch.setattr(findings, "PER_PAGE", 1)
        at = opened(films, tab="Integrity")
        at.button_group[0].select("exact-duplicate").run()
        assert len(at.image) == 2

    def test_shortcuts_say_how_to_read_them_and_that_no_network_was_measured(
        self, films
    ):
        text = words(opened(films, tab="Shortcuts"))
        assert "to the right of 0.5" in text
        assert "The network was not measured on these films" in text

    def test_a_film_outside_the_data_is_not_shown(
        self, place, checked, tmp_path, monkeypatch
    ):
        make_films(tmp_path / "secret", 4)
        rows = [
            f"../secret/train/{name}/{path.name},{name}"
            for name in ("NORMAL", "PNEUMONIA")
            for path in sorted((tmp_path / "secret" / "train" / name).iterdir())
        ]
        manifest = place.data / "films.csv"
        manifest.write_text("\n".join(["path,label", *rows]))
        with monkeypatch.context() as before:
            before.delenv("CXR_DATA_DIR")  # The limit came after the check.
            check(place, "films.csv")
        at = opened("films.csv", tab="Samples")
        assert not at.image
        assert "lies outside the data" in words(at)

    def test_a_film_that_is_gone_says_so(self, place, checked):
        source = place.data / "films"
        make_films(source, 1)
        write(source, "train/NORMAL/IM-0002-0001.jpeg", film(55))
        check(place, "films")
        (source / "train/NORMAL/IM-0002-0001.jpeg").unlink()
        at = opened("films", tab="Samples")
        assert "can't be opened" in words(at)


class TestTableOfFilms:
    def test_has_a_row_for_each_film_and_no_formula(self, place, checked):
        source = place.data / "films"
        make_films(source, 4)
        write(source, "=1+1/NORMAL/x.png", b"")
        write(source, "train/NORMAL/@sum.png", as_png(chest_phantom(136, 150)))
        rows = "\n".join(
            f"{path.relative_to(source)},{path.parent.name},=p{i}"
            for i, path in enumerate(sorted(source.rglob("*.*")))
        )
        (source / "films.csv").write_text(f"path,label,patient\n{rows}\n")
        survey = check(place, "films/films.csv").survey
        table = list(csv.DictReader(io.StringIO(as_csv(survey))))
        assert len(table) == len(survey.films)
        assert table[0]["film"].startswith("'=1+1")
        assert table[0]["width"] == "" and table[0]["unreadable"]
        assert table[0]["patient"].startswith("'=p")
        assert table[-1]["width"] and not table[-1]["unreadable"]


class TestCharts:
    def test_an_undefined_auc_has_no_dot_and_does_not_break_the_chart(self):
        nothing = estimates.UNDEFINED
        figure = shortcut_forest({"width": nothing})
        assert figure.layout.xaxis.range[0] <= 0.5
        assert np.isnan(figure.data[0].x[0])

    def test_a_class_without_films_is_left_out_of_a_histogram(self):
        shares = [np.array([0.5, 0.5]), np.array([])]
        figure = charts.histogram(np.array([0.0, 1.0, 2.0]), shares, "kB")
        assert [trace.name for trace in figure.data] == ["Normal"]
