"""Learning rate, best weights, what a run says while it goes on."""

from dataclasses import replace
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from small_run import CONFIG

from cxr.jobs import heartbeat
from cxr.runs import estimate, run_folder
from cxr.runs.estimate import Clock
from cxr.runs.run_folder import Run
from cxr.training.callbacks import Beat, KeepBest, Schedule, load_best


def rates(config, steps, at):
    optimizer = keras.optimizers.Adam(0.5)
    callback = Schedule(config, steps)
    callback.set_model(SimpleNamespace(optimizer=optimizer))
    found = []
    for done in at:
        optimizer.iterations.assign(done)
        callback.on_train_batch_begin(0)
        found.append(float(optimizer.learning_rate))
    return found


class TestSchedule:
    CONFIG = replace(CONFIG, learning_rate=0.2, warm_up=4, epochs=2)

    def test_plateau_warms_up_in_equal_steps_and_then_leaves_the_rate(self):
        config = replace(self.CONFIG, schedule="plateau")
        np.testing.assert_allclose(
            rates(config, 10, range(4)), [0.05, 0.1, 0.15, 0.2], rtol=1e-6
        )
        assert rates(config, 10, [4]) == [0.5]

    def test_cosine_falls_to_nothing_at_the_end(self):
        config = replace(self.CONFIG, schedule="cosine")
        found = rates(config, 10, [3, 4, 12, 20])
        np.testing.assert_allclose(found, [0.2, 0.2, 0.1, 0], atol=1e-7)

    def test_resumed_run_has_the_rate_that_it_would_have_had(self):
        config = replace(self.CONFIG, schedule="cosine")
        assert rates(config, 10, [15]) == rates(config, 10, range(16))[-1:]

    def test_cosine_starts_anew_where_films_get_harder(self):
        config = replace(self.CONFIG, schedule="cosine", epochs=5, harder_from=3)
        first = rates(replace(config, epochs=2, harder_from=0), 10, range(20))
        assert rates(config, 10, range(20)) == first
        second = rates(replace(config, epochs=3, harder_from=0), 10, range(30))
        assert rates(config, 10, range(20, 50)) == second
        assert rates(config, 10, [37]) == second[17:18]

    @pytest.mark.parametrize(
        "change", [{"harder_from": 6}, {"harder_from": 0}, {"augmentation": "plain"}]
    )
    def test_cosine_falls_once_where_films_never_get_harder(self, change):
        config = replace(self.CONFIG, schedule="cosine", epochs=5, harder_from=3)
        once = rates(replace(config, harder_from=0), 10, range(50))
        assert rates(replace(config, **change), 10, range(50)) == once

    def test_accumulated_steps_count_once(self):
        config = replace(self.CONFIG, schedule="cosine", accumulate=2)
        assert rates(config, 10, [10])[0] == pytest.approx(0, abs=1e-7)


class Weights:
    """Stands in for a network: its weights are two arrays that count the calls."""

    def __init__(self):
        self.saved = 0

    def get_weights(self):
        self.saved += 1
        return [np.full(2, self.saved), np.zeros((1, 3))]

    def set_weights(self, weights):
        self.weights = weights


class TestKeepBest:
    def test_keeps_only_what_is_better(self, tmp_path):
        network = Weights()
        best = KeepBest(network, tmp_path / "best.npz")
        for loss in (0.5, 0.6, np.nan, 0.5, 0.4):
            best.on_test_end({"loss": loss})
        assert network.saved == 2
        assert best.best == 0.4
        assert [p.name for p in tmp_path.iterdir()] == ["best.npz"]

    def test_weights_of_an_epoch_that_was_cut_off_have_to_be_beaten(self, tmp_path):
        path = tmp_path / "best.npz"
        KeepBest(Weights(), path).on_test_end({"loss": 0.3})
        kept = path.read_bytes()
        resumed = KeepBest(Weights(), path)
        resumed.on_test_end({"loss": 0.31})
        assert path.read_bytes() == kept
        resumed.on_test_end({"loss": 0.29})
        assert path.read_bytes() != kept

    @pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04"])
    def test_damaged_weights_are_replaced(self, tmp_path, content):
        path = tmp_path / "best.npz"
        path.write_bytes(content)
        KeepBest(Weights(), path).on_test_end({"loss": 9.0})
        network = Weights()
        load_best(network, path)
        assert [w.tolist() for w in network.weights] == [[1, 1], [[0, 0, 0]]]


class TestBeat:
    @pytest.fixture
    def time_passes(self, monkeypatch):
        now = [100.0]
        monkeypatch.setattr("cxr.training.callbacks.time.perf_counter", lambda: now[0])
        monkeypatch.setattr(heartbeat, "BEAT_SECONDS", 0.0)

        def wait(seconds):
            now[0] += seconds

        return wait

    def test_time_left_and_speed_come_from_the_steps_after_the_first_two(
        self, tmp_path, time_passes
    ):
        clock, config = Clock(), replace(CONFIG, epochs=2)
        run = Run(tmp_path)
        run.stage(run_folder.FINE_TUNING)
        beat = Beat(run, clock, config=config, steps=5, validation=8, closing=7.0)
        beat.on_epoch_begin(0)
        for batch, seconds in enumerate([30, 20, 2, 2, 2]):
            beat.on_train_batch_begin(batch)
            time_passes(seconds)
            beat.on_train_batch_end(batch)
            status = heartbeat.read_status(tmp_path)
            if batch < 2:
                assert status.seconds_left is None
        assert (status.epoch, status.epochs, status.step) == (1, 2, 5)
        # One epoch of 5 steps, two validations guessed at a third of a step's pace.
        assert status.seconds_left == pytest.approx(5 * 2 + 2 * (2 / 4 * 8 / 3) + 7)
        assert clock.per_film()[estimate.STEP] == pytest.approx(2 / 4)
        beat.on_test_begin()
        time_passes(4)
        beat.on_test_end()
        assert clock.per_film()[estimate.VALIDATE] == pytest.approx(0.5)
        beat.on_epoch_begin(1)
        for batch in range(5):
            time_passes(2)
            beat.on_train_batch_end(batch)
        assert heartbeat.read_status(tmp_path).seconds_left == pytest.approx(4 + 7)
