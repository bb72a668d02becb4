"""How long a run takes, from what was measured."""

from dataclasses import replace

import pytest

from cxr.datasets.splits import SPLITS
from cxr.runs import estimate
from cxr.runs.config import TrainConfig
from cxr.runs.estimate import Clock, Speeds

CONFIG = TrainConfig(data="films", epochs=6, patience=2, head_epochs=10)
SPEEDS = Speeds(
    device="CPU",
    architecture=CONFIG.architecture,
    unfreeze_from=CONFIG.unfreeze_from,
    batch_size=CONFIG.batch_size,
    seconds={
        "decode": 0.01,
        "features": 0.02,
        "head": 0.0001,
        "lower": 0.005,
        "step": 0.05,
        "validate": 0.02,
        "score": 0.03,
    },
    fixed=40.0,
    films=300,
    measured=1.0,
)


def test_duration_is_the_sum_of_its_parts():
    train, validation = 1000 * SPLITS["train"], 1000 * SPLITS["validation"]
    once = 40 + 0.02 * (train + 2 * validation) + 0.0001 * train * 10
    once += 0.005 * 2 * validation + 0.03 * (1000 - train)
    epoch = 0.05 * train + 0.02 * 2 * validation
    found = estimate.estimate(CONFIG, 1000, SPEEDS, prepared=True)
    assert found.high == pytest.approx(once + 6 * epoch)
    assert found.low == pytest.approx(once + 3 * epoch)
    decoding = estimate.estimate(CONFIG, 1000, SPEEDS, prepared=False)
    assert decoding.high - found.high == pytest.approx(10)


def test_run_that_can_not_stop_early_has_one_duration():
    found = estimate.estimate(replace(CONFIG, patience=6), 1000, SPEEDS, prepared=True)
    assert found.low == found.high


class TestSpeeds:
    def test_nothing_is_known_before_it_was_measured(self, tmp_path):
        assert estimate.find_speeds(tmp_path, CONFIG, "CPU") is None

    @pytest.mark.parametrize(
        "changes",
        [{"architecture": "baseline-cnn"}, {"unfreeze_from": 3}],
    )
    def test_another_run_is_another_speed(self, tmp_path, changes):
        estimate.store(tmp_path, SPEEDS)
        assert estimate.find_speeds(tmp_path, CONFIG, "CPU") == SPEEDS
        assert estimate.find_speeds(tmp_path, replace(CONFIG, **changes), "CPU") is None
        assert estimate.find_speeds(tmp_path, CONFIG, "another") is None

    def test_two_draws_of_each_film_make_an_epoch_twice_as_long(self):
        steps = replace(SPEEDS, seconds={"step": 1.0}, fixed=0.0)
        once, twice = (
            estimate.estimate(replace(CONFIG, consistency=c), 100, steps, prepared=True)
            for c in (0.0, 2.0)
        )
        assert (twice.low, twice.high) == (2 * once.low, 2 * once.high)

    def test_blocks_do_not_matter_to_a_network_without_any(self, tmp_path):
        config = replace(CONFIG, architecture="baseline-cnn", unfreeze_from=3)
        estimate.keep(tmp_path, config, Clock(), device="CPU", films=3)
        other = replace(config, unfreeze_from=5)
        assert estimate.find_speeds(tmp_path, other, "CPU").films == 3

    def test_same_batch_goes_before_another(self, tmp_path):
        estimate.store(tmp_path, SPEEDS)
        estimate.store(tmp_path, replace(SPEEDS, batch_size=8))
        assert estimate.find_speeds(tmp_path, CONFIG, "CPU").batch_size == 32
        other = replace(CONFIG, batch_size=16)
        assert estimate.find_speeds(tmp_path, other, "CPU").batch_size == 8

    def test_newer_measurement_replaces_the_older_and_keeps_what_it_lacks(
        self, tmp_path
    ):
        estimate.store(tmp_path, SPEEDS)
        estimate.store(tmp_path, replace(SPEEDS, seconds={"step": 0.1}, measured=2.0))
        [found] = estimate.read(tmp_path)
        assert found.seconds["step"] == 0.1
        assert found.seconds["decode"] == 0.01
        assert found.measured == 2.0

    @pytest.mark.parametrize("content", ["", "{}", '[{"device": 1}]', "[1]"])
    def test_damaged_file_is_as_good_as_none(self, tmp_path, content):
        (tmp_path / estimate.FILE).write_text(content)
        assert estimate.read(tmp_path) == []
        estimate.store(tmp_path, SPEEDS)
        assert estimate.read(tmp_path) == [SPEEDS]


def test_clock_keeps_apart_what_was_timed_and_the_rest(monkeypatch):
    now = [10.0]
    monkeypatch.setattr(estimate.time, "perf_counter", lambda: now[0])
    clock = Clock()
    now[0] += 3
    with clock.time("score", 4):
        now[0] += 2
    clock.add("score", 4, 2.0)
    now[0] += 2
    assert clock.per_film() == {"score": 0.5}
    assert clock.fixed() == 3
