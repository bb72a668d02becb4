"""The zones of the lungs, the heat in them, and the zone that is named."""

from dataclasses import replace

import numpy as np
import pytest
from synthetic_films import as_png
from tiny_model import PoolHere, register_tiny_model

from benchmarks import zones as benchmark
from cxr.config import ROOT
from cxr.errors import ImageError, ModelError
from cxr.models import inference
from cxr.models.lungs import Lungs
from cxr.reading import scoring, zones
from cxr.reading.zones import ZONES, Baseline, Baselines


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    models_dir = tmp_path_factory.mktemp("models")
    register_tiny_model(models_dir)
    return inference.load(models_dir)


@pytest.fixture
def lungs():
    """Two rectangles of 60 rows: the right lung at the left edge of the film."""
    right, left = np.zeros((2, 128, 128), bool)
    right[30:90, 20:50] = True
    left[36:96, 78:108] = True
    return Lungs(share=(right | left).astype(np.float32), right=right, left=left)


def baseline(model, lead=1.0):
    same, ones = (
        {cover: dict.fromkeys(ZONES, value) for cover in zones.COVERS}
        for value in (0.0, 1.0)
    )
    return Baseline(
        model_id=model.card.model_id,
        mean=same,
        spread=ones,
        lead=lead,
        films=9,
        planted=9,
        rule="",
        split="",
        tested=0,
        named=0,
        right=0,
    )


@pytest.fixture
def measured(model, monkeypatch):
    """A model with a baseline of nothing, in whose logits the falls then are."""
    known = Baselines(models={model.sha256: baseline(model, lead=0.05)})
    monkeypatch.setattr(zones, "baselines", lambda: known)


def film_of(lungs, zone, *, bright=200, dark=90):
    """An even film without heat around two dark lungs, of which one zone is bright."""
    film = np.full((256, 256), 100, np.float32)
    for name, mask in zones.cut(lungs).items():
        film[mask.repeat(2, axis=0).repeat(2, axis=1)] = (
            bright if name == zone else dark
        )
    # A picture of three grey levels is no film.
    return film + np.random.default_rng(0).normal(0, 6, film.shape).round()


def read(model, film, lungs):
    reading = scoring.read_one(
        model, PoolHere(), as_png(film), picture_edge=1400, lungs=None
    )
    return replace(reading, lungs=lungs)


class TestCut:
    def test_each_lung_is_cut_into_three_parts_of_one_height(self, lungs):
        found = zones.cut(lungs)
        assert tuple(found) == ZONES
        assert sum(found.values()).max() == 1
        np.testing.assert_array_equal(np.any(list(found.values()), axis=0), lungs.both)
        for zone, rows in [
            ("right upper zone", (30, 49)),
            ("right middle zone", (50, 69)),
            ("right lower zone", (70, 89)),
            ("left upper zone", (36, 55)),
            ("left lower zone", (76, 95)),
        ]:
            filled = np.flatnonzero(found[zone].any(axis=1))
            assert (filled[0], filled[-1]) == rows

    def test_a_lung_that_was_not_seen_has_empty_zones(self, lungs):
        none = np.zeros_like(lungs.left)
        found = zones.cut(replace(lungs, left=none))
        assert not any(found[f"left {at} zone"].any() for at in zones.HEIGHTS)
        assert found["right lower zone"].any()


class TestHeat:
    def test_the_shares_are_of_the_positive_heat(self, lungs):
        activation_map = np.zeros((128, 128), np.float32)
        activation_map[75:79, 30:35] = 2.0  # 20 places in the right lower zone
        activation_map[40:44, 80:85] = 1.0  # 20 in the left upper zone
        activation_map[100:104, 10:15] = 1.0  # 20 outside
        activation_map[50:60, 30:40] = -5.0  # speaks against
        heat, inside = zones.heat_by_zone(activation_map, lungs)
        assert heat["right lower zone"] == pytest.approx(0.5)
        assert heat["left upper zone"] == pytest.approx(0.25)
        assert inside == pytest.approx(0.75) == sum(heat.values())

    def test_a_map_of_seven_cells_is_laid_over_the_whole_film(self, lungs):
        activation_map = np.zeros((7, 7), np.float32)
        activation_map[4, 1] = 1.0  # rows 73 to 91, columns 18 to 37, and softly around
        heat, inside = zones.heat_by_zone(activation_map, lungs)
        assert max(heat, key=heat.get) == "right lower zone"
        assert 0.5 < inside < 1

    def test_without_positive_heat_every_share_is_nothing(self, lungs):
        heat, inside = zones.heat_by_zone(-np.ones((7, 7), np.float32), lungs)
        assert inside == 0 == sum(heat.values())


class TestEvidence:
    @pytest.mark.parametrize("zone", ZONES)
    def test_the_zone_is_named_whose_cover_takes_the_score(
        self, model, lungs, measured, zone
    ):
        film = film_of(lungs, zone)
        found = zones.evidence(read(model, film, lungs), model)
        assert found.zone == zone
        assert max(found.falls, key=found.falls.get) == zone
        assert found.falls[zone] > 0.1
        assert found.inside > 0.5 > found.area == pytest.approx(60 * 60 / 128**2)

    def test_all_covers_go_through_the_network_in_two_batches(
        self, model, lungs, measured, monkeypatch
    ):
        reading = read(model, film_of(lungs, ZONES[2]), lungs)
        sizes, network = [], model.network

        class Counted:
            size, prepare = network.size, staticmethod(network.prepare)

            def __call__(self, inputs, **options):
                sizes.append(len(inputs))
                return network(inputs, **options)

        monkeypatch.setattr(model, "network", Counted())
        zones.evidence(reading, model)
        # The film and six zones under two covers, and the same in a mirror.
        assert sizes == [13, 13]

    def test_zones_that_are_alike_are_no_single_zone(self, model, lungs, measured):
        found = zones.evidence(read(model, film_of(lungs, "", dark=150), lungs), model)
        assert found.zone == zones.NO_SINGLE_ZONE

    @pytest.mark.parametrize(
        ("activation", "expected"),
        [(-1.0, zones.NO_EVIDENCE), (1.0, zones.OUTSIDE)],
    )
    def test_heat_outside_the_lungs_or_nowhere_is_said(
        self, model, lungs, measured, activation, expected
    ):
        activation_map = np.zeros((7, 7), np.float32)
        activation_map[6, :] = activation  # below both lungs
        reading = read(model, film_of(lungs, ZONES[0]), lungs)
        result = replace(reading.result, activation_map=activation_map)
        found = zones.evidence(replace(reading, result=result), model)
        assert found.zone == expected

    def test_with_one_lung_no_zone_is_named(self, model, lungs, measured):
        one = replace(lungs, left=np.zeros_like(lungs.left))
        reading = read(model, film_of(lungs, ZONES[0]), one)
        found = zones.evidence(reading, model)
        assert found.falls == {}
        assert found.zone in (zones.NO_SINGLE_ZONE, zones.OUTSIDE)

    def test_a_model_that_was_not_measured_says_so(self, model, lungs):
        reading = read(model, film_of(lungs, ZONES[0]), lungs)
        with pytest.raises(ModelError, match="never measured") as error:
            zones.evidence(reading, model)
        assert error.value.code == "no-zones"

    def test_a_reading_without_prediction_picture_or_lungs_is_wrong_use(
        self, model, lungs
    ):
        film = film_of(lungs, ZONES[0])
        bare = scoring.read_one(model, PoolHere(), as_png(film), lungs=None)
        refused = scoring.read_one(
            model, PoolHere(), b"none", picture_edge=1400, lungs=None
        )
        for reading in (read(model, film, None), replace(bare, lungs=lungs), refused):
            with pytest.raises(ValueError, match="a picture and lungs"):
                zones.evidence(reading, model)

    def test_a_covered_film_that_cannot_be_scored_is_an_error(
        self, model, lungs, measured, monkeypatch
    ):
        reading = read(model, film_of(lungs, ZONES[0]), lungs)
        broken = ImageError("This film could not be scored.", code="not-scored")
        monkeypatch.setattr(model, "predict_inputs", lambda inputs: [broken] * 13)
        with pytest.raises(ImageError, match="could not be scored"):
            zones.evidence(reading, model)


class TestLead:
    def test_it_is_the_smallest_from_which_on_enough_are_right(self):
        leads = [(0.1, False), (0.2, True), (0.3, False), (0.4, True), (0.5, True)]
        assert benchmark.chosen_lead(leads) == 0.4  # from 0.2 on 3 of 4 are right

    def test_where_no_lead_is_enough_there_is_none(self):
        with pytest.raises(ValueError, match="mostly right"):
            benchmark.chosen_lead([(0.1, True), (0.2, False)])


@pytest.mark.real_data
def test_named_zones_are_those_of_a_planted_opacity(data_dir):
    models_dir = ROOT / "models"
    model = inference.load(models_dir)
    films = list(benchmark.outlined(models_dir, model, data_dir, "test"))[:40]
    assert len(films) == 40
    planted = benchmark.planted_in(model, films)
    known = zones.baselines().models[model.sha256]
    figures = benchmark.report(planted, known, model)
    assert figures["films"] == 120
    assert figures["named_right"] >= 0.8 * figures["named"], figures
    assert figures["named"] >= 40, figures
    # The heat map's hottest zone alone is wrong far more often.
    by_heat = figures["right_by_heat"] / figures["films"]
    assert figures["named_right"] / figures["named"] > by_heat + 0.2, figures
