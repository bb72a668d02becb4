"""The Models page through its real script, with tiny models made in code."""

import io
import json
import shutil
import zipfile
from dataclasses import replace

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest
from tiny_model import register_tiny_model

from cxr.config import ROOT
from cxr.errors import ModelError
from cxr.evaluation.estimates import Estimate
from cxr.films.tones import StandardTone
from cxr.governance import gates, promotion, trust
from cxr.models import cards, ensembles, registry, scores, transfer
from cxr.records import actors, audit
from ui.models import exchange, trail
from ui.wording import NOT_MEASURED

HOME, MODELS = "app.py", "pages/5_Models.py"
COMPARE, FILES, TRAIL = "Compare and promote", "Files", "Audit trail"


@pytest.fixture
def records_dir(tmp_path, monkeypatch):
    folder = tmp_path / "records"
    monkeypatch.setenv("CXR_RECORDS_DIR", str(folder))
    return folder


@pytest.fixture
def models_dir(tmp_path, monkeypatch, records_dir):
    """Two tiny models, tiny-2 the newer one and tiny-1 the one that serves."""
    st.cache_data.clear()
    folder = tmp_path / "models"
    register_tiny_model(
        folder, "tiny-2", created="2026-02-02T10:00:00+00:00", population="Newer films."
    )
    register_tiny_model(folder, "tiny-1", created="2026-01-01T10:00:00+00:00")
    monkeypatch.setenv("CXR_MODELS_DIR", str(folder))
    return folder


@pytest.fixture
def open_gates(monkeypatch):
    """Tiny models score too few films too badly; the bars are tested elsewhere."""
    monkeypatch.setattr(gates, "MIN_SENSITIVITY", 0.0)
    monkeypatch.setattr(gates, "MAX_CALIBRATION_ERROR", 1.0)
    for margin in ("SENSITIVITY", "SPECIFICITY", "NO_ANSWER"):
        monkeypatch.setattr(gates, f"{margin}_MARGIN", 1.0)


def page(view="Card", chosen=None):
    at = AppTest.from_file(str(ROOT / HOME), default_timeout=60)
    at.session_state["models_view"] = view
    if chosen:
        at.session_state["models_chosen"] = chosen
    at.switch_page(MODELS).run()
    assert not at.exception
    return at


def words(at):
    kinds = (at.markdown, at.caption, at.error, at.warning, at.info, at.subheader)
    return "\n".join(e.value for kind in kinds for e in kind).replace("\\", "")


def confirmed(at, key):
    """Opens the dialog and confirms; here every run is one of the whole page."""
    at.button(key=key).click().run()
    at.button(key=key).click()
    at.button(key=f"{key}_confirmed").click().run()
    assert not at.exception


def table(at):
    return at.dataframe[0].value.set_index("Model")


def tables(at):
    return "\n".join(t.value.to_string() for t in at.table).replace("\\", "")


def damage(models_dir, model_id, name):
    with (models_dir / model_id / name).open("ab") as file:
        file.write(b"x")


class TestTable:
    def test_lists_all_models_the_newest_first_with_the_cards_figures(self, models_dir):
        shown = table(page())
        assert list(shown.index) == ["tiny-2", "tiny-1"]
        assert list(shown["Serves"]) == ["", "serves"]
        assert list(shown["Files"]) == ["Verified", "Verified"]
        test = registry.read_card(models_dir, "tiny-1").metrics["test"]
        row = shown.loc["tiny-1"]
        assert row["Test AUC"].startswith(f"{test.auc.value:.3f} ({test.auc.low:.3f}")
        assert row["Sensitivity"] == f"{test.sensitivity.value:.3f}"
        assert row["Threshold"] == "0.40"
        scores = registry.read_scores(
            models_dir, registry.read_card(models_dir, "tiny-1"), "test"
        )
        low, high = registry.read_card(models_dir, "tiny-1").band
        inside = (scores.probabilities >= low) & (scores.probabilities < high)
        assert row["No answer"] == f"{inside.mean():.3f}"
        above = (scores.probabilities >= high)[(scores.labels == 1) & ~inside]
        assert row["Of the answered"].startswith(f"{above.mean():.3f} / ")

    def test_a_changed_file_is_named(self, models_dir):
        page()
        damage(models_dir, "tiny-2", scores.SCORES)
        at = page()
        assert table(at).loc["tiny-2", "Files"] == "Changed"
        assert "The file scores.csv was changed" in words(at)

    def test_a_card_changed_after_its_promotion_is_named(
        self, models_dir, records_dir, open_gates
    ):
        promotion.promote(models_dir, records_dir, "tiny-2", actor="local")
        path = models_dir / "tiny-2" / cards.CARD
        path.write_text(path.read_text().replace("Newer films.", "All the films."))
        at = page()
        assert table(at).loc["tiny-2", "Files"] == "Changed"
        assert "was changed since" in words(at)

    @pytest.mark.parametrize("content", ["", "{}", "[1, 2]", "\x00\xff"])
    def test_an_unreadable_card_is_listed_not_hidden(self, models_dir, content):
        (models_dir / "tiny-2" / cards.CARD).write_text(content)
        at = page()
        assert table(at).loc["tiny-2", "Files"] == "Card unreadable"
        assert table(at).loc["tiny-2", "Test AUC"] == "–"
        assert "The card of model tiny-2 is damaged" in words(at)
        assert at.selectbox(key="models_chosen").options == ["tiny-1"]

    def test_a_card_without_test_figures_shows_dashes(self, models_dir):
        path = models_dir / "tiny-2" / cards.CARD
        card = json.loads(path.read_text())
        del card["metrics"]["test"]
        path.write_text(json.dumps(card))
        shown = table(page(chosen="tiny-2"))
        assert shown.loc["tiny-2", "Test AUC"] == "–"
        assert shown.loc["tiny-2", "Threshold"] == "0.40"

    def test_a_folder_name_is_shown_as_text(self, models_dir):
        name = "<b>[x](http:, y)</b>"
        (models_dir / name.replace("/", "")).mkdir()
        (models_dir / name.replace("/", "") / cards.CARD).write_text("{}")
        at = page()
        assert "<b>" not in at.warning[0].value.replace("\\<b\\>", "")

    def test_drafts_and_folders_without_a_card_are_not_listed(self, models_dir):
        shutil.copytree(models_dir / "tiny-1", models_dir / ".draft-1")
        (models_dir / "pickles").mkdir()
        (models_dir / "pickles" / "model.pkl").write_bytes(b"x")
        assert set(table(page()).index) == {"tiny-1", "tiny-2"}

    def test_thirty_models_fit(self, models_dir):
        for number in range(28):
            name = f"copy-{number:02}"
            shutil.copytree(models_dir / "tiny-1", models_dir / name)
            path = models_dir / name / cards.CARD
            path.write_text(path.read_text().replace('"tiny-1"', f'"{name}"'))
        shown = table(page())
        assert len(shown) == 30
        assert set(shown["Files"]) == {"Verified"}


class TestNothingThere:
    @pytest.mark.parametrize("view", [FILES, TRAIL])
    def test_says_how_a_model_gets_there(
        self, tmp_path, monkeypatch, records_dir, view
    ):
        monkeypatch.setenv("CXR_MODELS_DIR", str(tmp_path / "none"))
        at = page(view)
        assert "No model can be shown" in words(at)
        assert not at.error

    def test_works_without_an_active_model(self, models_dir, open_gates):
        (models_dir / registry.ACTIVE).unlink()
        at = page(COMPARE)
        assert "No model is active" in words(at)
        assert not at.button(key="promote").disabled

    def test_one_model_has_nothing_to_compare_with(self, models_dir):
        shutil.rmtree(models_dir / "tiny-2")
        at = page(COMPARE)
        assert "There is no second model to compare with" in words(at)
        assert "tiny-1 serves" in words(at).replace("*", "")


class TestCard:
    def test_is_shown_in_full(self, models_dir):
        at = page(chosen="tiny-2")
        card = registry.read_card(models_dir, "tiny-2")
        text = words(at)
        for part in (card.intended_use, card.population, *card.limits, "made up"):
            assert part in text
        assert at.code[0].value == card.data.fingerprint
        rows = tables(at)
        for split in ("Validation", "Test", "Calibration", "Train"):
            assert split in rows
        auc = card.metrics["test"].auc
        assert f"{auc.value:.3f}" in rows
        hashes = set(at.dataframe[1].value["SHA-256"])
        assert hashes == {record.sha256 for record in card.files.values()}

    def test_says_how_far_films_are_moved_towards_the_standard_tone(self, models_dir):
        tone = StandardTone(levels=(0.0, 255.0), share=0.35)
        register_tiny_model(models_dir, "tiny-3", tone=tone)
        assert "35% of the way to the mean grey scale" in words(page(chosen="tiny-3"))
        assert "grey scale" not in words(page(chosen="tiny-2"))

    def test_names_other_places_and_what_the_model_is_worth_there(self, models_dir):
        half = Estimate(value=0.5, low=0.25, high=0.75)
        place = cards.Place(
            name="Seaside",
            source="Nobody, 2026",
            licence="CC0",
            population="Grown-ups.",
            films={"train": 12, "test": 4},
            positives={"train": 0, "test": 0},
            patients={"train": 10, "test": 4},
            auc=None,
            sensitivity=None,
            specificity=half,
        )
        card = registry.read_card(models_dir, "tiny-1")
        registry.write_card(models_dir, replace(card, places=(place,)))
        at = page(chosen="tiny-1")
        assert registry.read_card(models_dir, "tiny-1").places == (place,)
        [row] = [t.value for t in at.table if "Other place" in t.value]
        shown = row.iloc[0].to_dict()
        assert shown["Other place"] == "Seaside"
        assert (shown["Trained on"], shown["Tested on"]) == ("12", "4")
        assert "0.500 (0.250" in shown["Specificity"]
        assert shown["AUC"] == shown["Sensitivity"] == NOT_MEASURED
        assert "Seaside: Grown-ups. Nobody, 2026. Licence: CC0." in words(at)

    def test_text_of_a_card_can_do_nothing_on_the_page(self, models_dir):
        path = models_dir / "tiny-2" / cards.CARD
        evil = "![x](http://example.com/x.png) <script>"
        path.write_text(path.read_text().replace("Newer films.", evil))
        at = page(chosen="tiny-2")
        assert "![x](" not in "\n".join(e.value for e in at.markdown)
        assert "![x](" in words(at)

    def test_of_a_changed_model_has_no_curves(self, models_dir):
        damage(models_dir, "tiny-2", cards.HISTORY)
        at = page(chosen="tiny-2")
        assert "the model's files are not those on its card" in words(at)

    def test_can_be_downloaded(self, models_dir):
        at = page(chosen="tiny-2")
        assert [button.label for button in at.download_button] == ["Card (JSON)"]


class TestComparison:
    def test_is_on_the_same_films_with_both_tests(self, models_dir):
        text = words(page(COMPARE, "tiny-2"))
        assert "same **200 films** of **100 patients**" in text
        assert "Paired test of DeLong (Obuchowski, by patient)" in text
        assert "McNemar, signs of patients" in text

    def test_equal_models_differ_by_nothing(self, models_dir):
        at = page(COMPARE, "tiny-2")
        compared = at.table[-1].value.set_index("")
        assert compared.loc["AUC", "Difference"] == "+0.000 (+0.000 to +0.000)"
        assert "chance alone can explain it (p = 1.000)" in words(at)

    def test_any_two_models_can_be_compared(self, models_dir):
        register_tiny_model(models_dir, "tiny-3")
        registry.activate(models_dir, "tiny-1")
        at = page(COMPARE, "tiny-3")
        at.selectbox(key="models_other").select("tiny-2").run()
        assert not at.exception
        assert set(at.table[-1].value.columns) >= {"tiny\\-3", "tiny\\-2"}

    def test_says_when_the_test_films_differ(self, models_dir):
        assert "test films differ" not in words(page(COMPARE, "tiny-2"))
        folder = models_dir / "tiny-2"
        rows = (folder / scores.SCORES).read_text().splitlines()
        kept = [row for row in rows if not row.startswith("test,f1")]
        (folder / scores.SCORES).write_text("\n".join(kept) + "\n")
        card = json.loads((folder / cards.CARD).read_text())
        records = registry.file_records(folder)
        card["files"] = {name: vars(record) for name, record in records.items()}
        (folder / cards.CARD).write_text(json.dumps(card))
        text = words(page(COMPARE, "tiny-2")).replace("\\", "")
        assert "Their test films differ: tiny-2 on 89 and tiny-1 on 200" in text
        assert "Only the 89 that both were tested on are compared" in text

    def test_without_common_films_says_so(self, models_dir):
        folder = models_dir / "tiny-2"
        path = folder / scores.SPLIT
        path.write_text(path.read_text().replace(",0", ",f"))
        card = json.loads((folder / cards.CARD).read_text())
        records = registry.file_records(folder)
        card["files"] = {name: vars(record) for name, record in records.items()}
        (folder / cards.CARD).write_text(json.dumps(card))
        at = page(COMPARE, "tiny-2")
        assert "were tested on different films" in at.error[0].value
        assert at.button(key="promote").disabled


class TestPromotion:
    def test_is_refused_while_a_gate_fails(self, models_dir, open_gates, monkeypatch):
        monkeypatch.setattr(gates, "MIN_SENSITIVITY", 1.1)
        at = page(COMPARE, "tiny-2")
        assert at.button(key="promote").disabled
        assert "Failed" in words(at)
        assert "1 of 12 gates failed" in words(at)

    def test_of_the_first_model_shows_no_bar_where_nothing_is_compared(
        self, models_dir, open_gates
    ):
        (models_dir / registry.ACTIVE).unlink()
        at = page(COMPARE, "tiny-2")
        shown = [m.value for m in at.markdown if "Passed" in m.value]
        assert any("; bar: " in words for words in shown)
        assert not any(
            line.startswith("; bar:") for words in shown for line in words.split("\n")
        )

    def test_of_a_worse_one_asks_for_a_reason_and_records_it(
        self, models_dir, records_dir, open_gates, monkeypatch
    ):
        monkeypatch.setattr(gates, "NO_ANSWER_MARGIN", -1.0)
        at = page(COMPARE, "tiny-2")
        assert at.button(key="promote").disabled
        assert "Asks for a reason" in words(at) and "Failed" not in words(at)
        assert "answers on normal films, answers on pneumonia films" in words(at)
        reason = "The department wants fewer false alarms."
        at.text_area(key="promotion_reason").set_value(reason).run()
        confirmed(at, "promote")
        assert registry.active_id(models_dir) == "tiny-2"
        [entry] = audit.entries(records_dir)
        assert entry.details["reason"] == reason

    def test_of_a_worse_one_says_that_a_reason_is_too_short(
        self, models_dir, open_gates, monkeypatch
    ):
        monkeypatch.setattr(gates, "SPECIFICITY_MARGIN", -1.0)
        at = page(COMPARE, "tiny-2")
        at.text_area(key="promotion_reason").set_value("so be it").run()
        confirmed(at, "promote")
        assert "Give a reason of 10 to 500 letters" in words(at)
        assert registry.active_id(models_dir) == "tiny-1"

    def test_asks_first_and_names_what_changes(self, models_dir, open_gates):
        at = page(COMPARE, "tiny-2")
        at.button(key="promote").click().run()
        assert not at.exception
        assert "Synthetic films." in tables(at)
        assert "Newer films." in tables(at)
        assert "The population changes" in words(at)
        assert registry.active_id(models_dir) == "tiny-1"

    def test_makes_the_candidate_serve_and_is_recorded(
        self, models_dir, records_dir, open_gates
    ):
        at = page(COMPARE, "tiny-2")
        confirmed(at, "promote")
        assert registry.active_id(models_dir) == "tiny-2"
        assert "tiny-2 was promoted and serves now" in words(at)
        assert table(at).loc["tiny-2", "Serves"] == "serves"
        (entry,) = audit.entries(records_dir)
        assert (entry.action, entry.actor) == (trust.PROMOTED, actors.LOCAL)

    def test_can_be_rolled_back(self, models_dir, records_dir, open_gates):
        promotion.promote(models_dir, records_dir, "tiny-2", actor="local")
        at = page(COMPARE)
        confirmed(at, "roll_back")
        assert registry.active_id(models_dir) == "tiny-1"
        assert "tiny-1 serves again" in words(at)
        assert audit.entries(records_dir)[0].action == trust.ROLLED_BACK

    def test_is_closed_once_a_file_was_changed(self, models_dir, open_gates):
        at = page(COMPARE, "tiny-2")
        damage(models_dir, "tiny-2", cards.NETWORK_WEIGHTS)
        at.run()
        assert at.button(key="promote").disabled
        assert "The file network.bin was changed" in words(at)

    def test_says_why_it_was_refused_at_the_last_moment(
        self, models_dir, open_gates, monkeypatch
    ):
        def refuse(*args, **kwargs):
            raise ModelError("tiny-2 was not promoted. Films changed.", code="gates")

        monkeypatch.setattr(promotion, "promote", refuse)
        at = page(COMPARE, "tiny-2")
        confirmed(at, "promote")
        assert "tiny-2 was not promoted. Films changed." in words(at)
        assert "No film is read" not in at.error[0].value
        assert registry.active_id(models_dir) == "tiny-1"


class TestExchange:
    def test_an_export_is_recorded_with_its_card_when_it_is_fetched(
        self, models_dir, records_dir, monkeypatch
    ):
        offered = []
        monkeypatch.setattr(
            exchange.st,
            "download_button",
            lambda label, data, **_: offered.append(data),
        )
        page(FILES, "tiny-2")
        assert not audit.entries(records_dir)
        content = offered[0]()
        (entry,) = audit.entries(records_dir)
        assert (entry.action, entry.model_id) == ("export", "tiny-2")
        assert entry.details["card_sha256"] == registry.card_sha256(
            models_dir, "tiny-2"
        )
        assert transfer.import_model(models_dir.parent / "other", content)

    def test_a_changed_model_is_not_exported(self, models_dir):
        damage(models_dir, "tiny-2", scores.SCORES)
        at = page(FILES, "tiny-2")
        assert at.download_button[0].disabled

    def test_an_exported_model_comes_back_as_a_candidate(self, models_dir, records_dir):
        content = transfer.export_model(models_dir, "tiny-2")
        shutil.rmtree(models_dir / "tiny-2")
        at = imported(content)
        assert not at.error
        assert "tiny-2 was imported as a candidate" in words(at)
        assert table(at).loc["tiny-2", "Files"] == "Verified"
        assert registry.active_id(models_dir) == "tiny-1"
        assert audit.entries(records_dir)[0].action == trust.IMPORTED

    @pytest.mark.parametrize("content", [b"no zip", b"", "empty zip", "there already"])
    def test_anything_else_is_refused_in_a_sentence(self, models_dir, content):
        if content == "empty zip":
            file = io.BytesIO()
            zipfile.ZipFile(file, "w").close()
            content = file.getvalue()
        if content == "there already":
            content = transfer.export_model(models_dir, "tiny-2")
        at = imported(content)
        assert len(at.error) == 1
        assert "Something went wrong" not in at.error[0].value
        assert set(table(at).index) == {"tiny-1", "tiny-2"}

    def test_all_hashes_are_compared_again_on_demand(self, models_dir):
        at = page(FILES)
        at.button(key="verify").click().run()
        assert tables(at).count("All as on the card") == 2
        damage(models_dir, "tiny-2", cards.NETWORK)
        at.button(key="verify").click().run()
        assert "network.xml was changed" in tables(at)


class TestEnsemble:
    @pytest.fixture
    def ensemble(self, models_dir):
        st.cache_resource.clear()
        return ensembles.create(models_dir, ["tiny-1", "tiny-2"])

    def test_its_card_names_the_members_and_no_run(self, ensemble):
        text = words(page("Card", ensemble))
        assert "**Member** tiny-1" in text and "**Member** tiny-2" in text
        assert "An ensemble has no run of its own" in text

    def test_its_gates_are_shown(self, ensemble):
        at = page(COMPARE, ensemble)
        assert f"Gates for {ensemble}" in words(at)
        assert "Files unchanged" in words(at)

    def test_it_is_not_exported_and_says_what_to_do(self, ensemble):
        at = page(FILES, ensemble)
        assert "is an ensemble: its networks are those of" in words(at)
        assert not at.get("download_button")

    def test_a_member_says_what_hangs_on_it(self, ensemble):
        assert "scores with this model's network" in words(page(FILES, "tiny-1"))

    def test_without_a_member_it_is_changed(self, ensemble, models_dir):
        page()
        (models_dir / "tiny-1" / cards.NETWORK).unlink()
        rows = table(page())
        assert rows.loc[ensemble, "Files"] == "Changed"


def imported(content):
    at = page(FILES)
    at.file_uploader[0].upload("model.zip", content, "application/zip")
    at.run()
    at.button(key="import").click().run()
    assert not at.exception
    return at


class TestAuditTrail:
    def test_is_empty_at_first(self, models_dir):
        assert "Nothing is recorded yet" in words(page(TRAIL))

    def test_shows_who_did_what_and_that_the_chain_holds(self, models_dir, records_dir):
        audit.record(records_dir, "export", actor="=1+1", model_id="tiny-1")
        at = page(TRAIL)
        row = at.dataframe[1].value.iloc[0]
        assert (row["Who"], row["Did"], row["Model"]) == ("=1+1", "export", "tiny-1")
        assert "chain of entries is intact" in words(at)

    def test_names_the_place_where_the_chain_is_broken(self, models_dir, records_dir):
        for number in range(3):
            audit.record(records_dir, "export", actor=f"a{number}")
        path = records_dir / audit.DATABASE
        forge(path)
        at = page(TRAIL)
        assert "Row 2 was altered" in words(at)
        assert "chain of entries is intact" not in words(at)

    @pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
    def test_its_csv_holds_no_formula(self, start):
        text = trail.as_csv([{"No.": 1, "Who": f"{start}cmd|x"}]).decode()
        assert f"'{start}cmd" in text


def forge(path):
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(path)) as database:
        database.execute("DROP TRIGGER no_update")
        database.execute("UPDATE entries SET actor = 'x' WHERE id = 2")
        database.commit()
