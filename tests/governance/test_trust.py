"""Which model may serve: cards held against the trail and the pins, in one place."""

import hashlib
import sqlite3
from dataclasses import replace

import pytest
from synthetic_films import as_png, chest_phantom
from tiny_model import register_tiny_model

from cxr.__main__ import main
from cxr.config import ROOT
from cxr.errors import CxrError, ModelError
from cxr.governance import exchange, gates, promotion, shipped, trust
from cxr.models import cards, lungs, registry, transfer
from cxr.models.cards import Threshold
from cxr.records import actors, audit


@pytest.fixture
def models_dir(tmp_path):
    register_tiny_model(tmp_path / "models")
    return tmp_path / "models"


@pytest.fixture
def records(tmp_path, models_dir):
    """A trail that knows the model's card."""
    folder = tmp_path / "records"
    promotion.activate(models_dir, folder, "tiny-1", actor="ann")
    return folder


def tampered(models_dir, value=0.985):
    """Moves the threshold on the card, as somebody with an editor would."""
    card = registry.read_card(models_dir, "tiny-1")
    moved = Threshold(value=value, rule="made up", split="validation")
    registry.write_card(models_dir, replace(card, threshold=moved))


def overwrite(records, start=4096, size=300):
    path = records / audit.DATABASE
    with path.open("r+b") as file:
        file.seek(min(start, path.stat().st_size - size))
        file.write(b"\xff" * size)


DAMAGES = {
    "overwritten": overwrite,
    "overwritten header": lambda records: overwrite(records, start=0),
    "truncated": lambda records: (records / audit.DATABASE).write_bytes(
        (records / audit.DATABASE).read_bytes()[:5000]
    ),
    "emptied": lambda records: (records / audit.DATABASE).write_bytes(b""),
    "taken away": lambda records: (records / audit.DATABASE).unlink(),
}


class TestLoad:
    def test_a_model_as_it_was_recorded_is_loaded(self, models_dir, records):
        assert trust.load(models_dir, records).card.model_id == "tiny-1"
        assert trust.load(models_dir, records, "tiny-1").card.model_id == "tiny-1"

    def test_case_4_a_card_changed_after_its_activation_is_not(
        self, models_dir, records
    ):
        tampered(models_dir)
        with pytest.raises(ModelError) as refused:
            trust.load(models_dir, records)
        assert refused.value.code == "changed-card"
        assert "activate by ann" in refused.value.message

    def test_case_4_nor_by_the_command_line(
        self, models_dir, records, tmp_path, monkeypatch, capsys
    ):
        monkeypatch.setenv("CXR_MODELS_DIR", str(models_dir))
        monkeypatch.setenv("CXR_RECORDS_DIR", str(records))
        tampered(models_dir)
        film = tmp_path / "film.png"
        film.write_bytes(as_png(chest_phantom(160, 160)))
        assert main(["classify", str(film), "--json"]) == 2
        out, err = capsys.readouterr()
        assert out == "" and "[changed-card]" in err

    def test_case_4_a_shipped_card_is_pinned_on_a_fresh_install(
        self, models_dir, tmp_path, monkeypatch
    ):
        sha256 = registry.card_sha256(models_dir, "tiny-1")
        monkeypatch.setitem(shipped.CARD_SHA256, "tiny-1", sha256)
        assert trust.load(models_dir, tmp_path / "none")
        tampered(models_dir)
        with pytest.raises(ModelError) as refused:
            trust.load(models_dir, tmp_path / "none")
        assert refused.value.code == "changed-card"
        assert "shipped" in trust.problems(models_dir, tmp_path / "none", "tiny-1")[0]

    def test_case_4_the_pins_are_those_of_the_models_that_ship(self):
        there = {
            path.parent.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in (ROOT / "models").glob(f"*/{cards.CARD}")
        }
        network = there.pop(registry.LUNGS)
        assert there == shipped.CARD_SHA256
        made = lungs.read_card(ROOT / "models").created
        assert shipped.LUNGS_SHA256 == {made: network}

    def test_a_changed_lung_network_does_not_serve(self, models_dir, monkeypatch):
        card = lungs.read_card(models_dir)
        sha256 = registry.card_sha256(models_dir, registry.LUNGS)
        monkeypatch.setitem(shipped.LUNGS_SHA256, card.created, sha256)
        records = models_dir / "none"
        assert trust.load_lungs(models_dir, records).card == card
        lax = replace(card.gate, least_frontal=-9.0)
        lungs.write_card(models_dir / registry.LUNGS, replace(card, gate=lax))
        with pytest.raises(ModelError) as refused:
            trust.load_lungs(models_dir, records)
        assert refused.value.code == "changed-card"
        trust.record_lungs(models_dir, records, actor="lead")
        assert trust.load_lungs(models_dir, records).card.gate == lax

    def test_a_model_that_nobody_recorded_is_loaded(self, models_dir, tmp_path):
        assert trust.load(models_dir, tmp_path / "none")


@pytest.mark.parametrize("damage", DAMAGES)
class TestDamagedTrail:
    def test_case_2_trusts_no_card_the_second_time_either(
        self, models_dir, records, damage
    ):
        DAMAGES[damage](records)
        tampered(models_dir)
        for _ in range(3):
            with pytest.raises(CxrError) as refused:
                trust.load(models_dir, records)
            assert refused.value.code == "records-damaged"
            assert "--acknowledge" in refused.value.message
        assert not list(records.glob("damaged-*"))
        assert any("trail" in problem for problem in audit.verify(records))

    def test_case_2_switches_nothing(self, models_dir, records, damage):
        register_tiny_model(models_dir, "tiny-2")
        registry.activate(models_dir, "tiny-1")
        DAMAGES[damage](records)
        with pytest.raises(CxrError):
            promotion.activate(models_dir, records, "tiny-2", actor="ann")
        assert registry.active_id(models_dir) == "tiny-1"

    def test_case_2_is_open_again_when_a_person_acknowledged_it(
        self, models_dir, records, damage
    ):
        DAMAGES[damage](records)
        trust.acknowledge(models_dir, records, actor="ann", reason="disk fault")
        assert trust.load(models_dir, records)
        tampered(models_dir)
        with pytest.raises(ModelError) as refused:
            trust.load(models_dir, records)
        assert refused.value.code == "changed-card"


class TestRolesOfADamagedTrail:
    @pytest.fixture
    def led(self, records):
        """Ann leads and Bob reads by a trail one row of which was changed."""
        actors.grant(records, "ann", actors.LEAD, actor="system:root")
        actors.grant(records, "bob", actors.READER, actor="ann")
        with sqlite3.connect(records / audit.DATABASE) as database:
            database.execute("DROP TRIGGER no_update")
            database.execute("UPDATE entries SET time = '' WHERE id = 1")
        return records

    def test_a_lead_of_before_acknowledges_it_and_roles_go_on(self, models_dir, led):
        trust.acknowledge(models_dir, led, actor="ann", reason="disk fault")
        assert actors.roles(led) == {"ann": {"lead"}, "bob": {"reader"}}

    @pytest.mark.parametrize("who", ["bob", "system:root", "local"])
    def test_nobody_else_does(self, models_dir, led, who):
        with pytest.raises(CxrError) as refused:
            trust.acknowledge(models_dir, led, actor=who, reason="disk fault")
        assert refused.value.code == "not-allowed"
        assert audit.verify(led)

    def test_roles_that_can_not_be_read_begin_anew(self, models_dir, led):
        for path in led.glob(f"{audit.DATABASE}*"):
            path.unlink()
        (led / audit.DATABASE).write_bytes(b"no database")
        trust.acknowledge(models_dir, led, actor="system:root", reason="disk fault")
        assert actors.roles(led) == {} and actors.is_open(led)


def test_case_2_a_changed_row_closes_the_trail(models_dir, records):
    with sqlite3.connect(records / audit.DATABASE) as database:
        database.execute("DROP TRIGGER no_update")
        database.execute("UPDATE entries SET actor = 'bob' WHERE id = 1")
    with pytest.raises(CxrError) as refused:
        trust.load(models_dir, records)
    assert refused.value.code == "records-damaged"
    assert "Row 1 was altered" in refused.value.message


def test_case_2_the_command_line_acknowledges(models_dir, records, monkeypatch, capsys):
    monkeypatch.setenv("CXR_MODELS_DIR", str(models_dir))
    monkeypatch.setenv("CXR_RECORDS_DIR", str(records))
    overwrite(records)
    assert main(["models", "audit", "--json"]) == 1
    assert main(["models", "audit", "--acknowledge", "disk fault", "--json"]) == 0
    capsys.readouterr()
    [entry] = audit.entries(records)
    assert entry.details["reason"] == "disk fault"
    assert set(entry.details["cards"]) == {"tiny-1", "lungs"}
    assert main(["models", "audit", "--acknowledge", "again"]) == 2
    assert "[records-sound]" in capsys.readouterr().err


class TestUnmeasured:
    """Case 3: a card without test metrics, or with scores that are no numbers."""

    @pytest.fixture
    def without_metrics(self, tmp_path):
        folder = tmp_path / "other"
        register_tiny_model(folder, "bare-1", metrics={})
        return folder

    def test_case_3_a_card_without_test_metrics_is_not_imported(
        self, models_dir, without_metrics, records, tmp_path
    ):
        path = tmp_path / "bare.zip"
        path.write_bytes(transfer.export_model(without_metrics, "bare-1"))
        with path.open("rb") as file, pytest.raises(ModelError) as refused:
            exchange.import_model(models_dir, records, file, actor="ann")
        assert refused.value.code == "unmeasured"
        assert not (models_dir / "bare-1").exists()

    def test_case_3_nor_does_it_serve(self, without_metrics, tmp_path):
        records = tmp_path / "records"
        report = gates.gates(without_metrics, "bare-1")
        [gate] = [gate for gate in report.gates if "Measured" in gate.name]
        assert not gate.passed and "no metrics of test films" in gate.sentence
        for act in (promotion.activate, promotion.promote):
            with pytest.raises(ModelError):
                act(without_metrics, records, "bare-1", actor="ann")

    @pytest.mark.parametrize("bad", ["nan", "inf", ""])
    def test_case_3_scores_that_are_no_numbers_do_not_serve(
        self, models_dir, tmp_path, bad
    ):
        folder = models_dir / "tiny-1"
        rows = (folder / "scores.csv").read_text().splitlines()
        rows[-1] = ",".join([*rows[-1].split(",")[:-1], bad])
        (folder / "scores.csv").write_text("\n".join(rows) + "\n")
        card = registry.read_card(models_dir, "tiny-1")
        files = registry.file_records(folder)
        registry.write_card(models_dir, replace(card, files=files))
        with pytest.raises(ModelError):
            promotion.activate(models_dir, tmp_path / "records", "tiny-1", actor="ann")
        assert not gates.gates(models_dir, "tiny-1").passed

    @pytest.mark.parametrize("value", [0.0, 1.0])
    def test_case_3_a_threshold_that_is_none_does_not_serve(
        self, models_dir, tmp_path, value
    ):
        tampered(models_dir, value)
        with pytest.raises(ModelError):
            promotion.activate(models_dir, tmp_path / "records", "tiny-1", actor="ann")
