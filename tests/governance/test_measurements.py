"""What is measured later goes onto the card, which stays the recorded one."""

from dataclasses import replace

import pytest
from tiny_model import register_tiny_model

from cxr.errors import CxrError, ModelError
from cxr.evaluation.answered import three_answers
from cxr.evaluation.estimates import Estimate
from cxr.governance import measurements, shipped, trust
from cxr.models import cards, registry
from cxr.models.cards import HeatmapWorth, UncertainBand
from cxr.records import audit

WORTH = HeatmapWorth(
    films=9,
    split="test",
    over_random=Estimate(value=0.2, low=0.1, high=0.3),
    over_centre=Estimate(value=-0.1, low=-0.2, high=0.1),
)


@pytest.fixture
def models_dir(tmp_path):
    folder = tmp_path / "models"
    register_tiny_model(folder)
    return folder


def put(models_dir, records):
    """Puts the figures on the tiny model's card."""
    return measurements.put_heatmap_worth(
        models_dir, records, "tiny-1", WORTH, actor="anna"
    )


def test_the_card_has_it_and_is_still_trusted(models_dir, tmp_path):
    put(models_dir, tmp_path / "records")
    assert registry.read_card(models_dir, "tiny-1").heatmap_worth == WORTH
    assert trust.load(models_dir, tmp_path / "records").card.heatmap_worth == WORTH
    [entry] = audit.entries(tmp_path / "records", limit=9)
    assert (entry.action, entry.actor) == (trust.MEASURED, "anna")
    assert entry.details["card_sha256"] == registry.card_sha256(models_dir, "tiny-1")


BAND = UncertainBand(below=1.0, above=2.0, rule="chosen anew")


@pytest.fixture
def candidate(models_dir):
    register_tiny_model(models_dir, "tiny-2")
    registry.activate(models_dir, "tiny-1")
    return "tiny-2"


def test_a_candidate_gets_another_band_and_its_figures_follow(
    models_dir, tmp_path, candidate
):
    records = tmp_path / "records"
    before = registry.read_card(models_dir, candidate)
    card = measurements.put_band(models_dir, records, candidate, BAND, actor="anna")
    assert card == registry.read_card(models_dir, candidate)
    assert card.uncertain_band == BAND and card.threshold == before.threshold
    scores = registry.read_scores(models_dir, card, "test")
    shown = three_answers(
        scores.labels,
        scores.probabilities,
        band=BAND.around(0.4),
        groups=scores.patients,
    )
    assert card.metrics["test"].answered == shown
    again = measurements.put_band(
        models_dir, records, candidate, replace(BAND, below=0.0), actor="anna"
    )
    assert again.metrics["test"].answered.no_answer.value < shown.no_answer.value
    assert trust.problems(models_dir, records, candidate) == []
    assert [e.action for e in audit.entries(records)] == [trust.MEASURED] * 2


def test_the_model_that_serves_keeps_its_band(models_dir, tmp_path, candidate):
    with pytest.raises(ModelError, match="serves") as refused:
        measurements.put_band(models_dir, tmp_path, "tiny-1", BAND, actor="anna")
    assert refused.value.code == "already-active"


def test_a_card_that_was_changed_gets_nothing(models_dir, tmp_path):
    put(models_dir, tmp_path / "records")
    path = models_dir / "tiny-1" / cards.CARD
    path.write_text(path.read_text().replace("Tests.", "Anything."))
    with pytest.raises(ModelError, match="changed since"):
        put(models_dir, tmp_path / "records")


def test_what_cannot_be_recorded_is_not_done(models_dir, tmp_path, monkeypatch):
    before = (models_dir / "tiny-1" / cards.CARD).read_bytes()

    def full(*arguments, **options):
        raise CxrError("The disk is full.")

    monkeypatch.setattr(audit, "record", full)
    with pytest.raises(CxrError, match="full"):
        put(models_dir, tmp_path / "records")
    assert (models_dir / "tiny-1" / cards.CARD).read_bytes() == before


def test_a_new_version_may_ship_a_model_with_more_on_its_card(
    models_dir, tmp_path, monkeypatch
):
    records = tmp_path / "records"
    trust.record_card(models_dir, records, trust.ACTIVATED, "tiny-1", actor="anna")
    card = registry.read_card(models_dir, "tiny-1")
    registry.write_card(models_dir, replace(card, heatmap_worth=WORTH))
    with pytest.raises(ModelError, match="changed since"):
        trust.load(models_dir, records)
    sha256 = registry.card_sha256(models_dir, "tiny-1")
    monkeypatch.setitem(shipped.CARD_SHA256, "tiny-1", sha256)
    assert trust.load(models_dir, records).card.heatmap_worth == WORTH
