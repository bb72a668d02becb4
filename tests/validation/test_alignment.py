"""From a site's unlabelled films to a threshold that a lead signs, or to why not."""

from dataclasses import replace

import numpy as np
import pytest
from command_line import film_of
from tiny_model import PoolHere, register_tiny_model, tiny_probability

from cxr.errors import CxrError
from cxr.evaluation import alignment as fitting
from cxr.films.film import read_film
from cxr.models import home, inference, lungs, registry
from cxr.records import audit
from cxr.validation import alignment


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A registry, its model, and a folder of 110 films, ten of which are none."""
    folder = tmp_path_factory.mktemp("site")
    register_tiny_model(folder / "models")
    films = folder / "films"
    films.mkdir()
    rng = np.random.default_rng(8)
    for i in range(100):
        # The tiny model's logit is the brightness: a fifth of the films is ill.
        brightness = rng.normal(140 if i % 5 == 0 else 80, 12)
        (films / f"{i:03}.png").write_bytes(film_of(brightness, seed=i))
    for i in range(100, 110):
        (films / f"{i}.png").write_bytes(b"a letter")
    return folder / "models", inference.load(folder / "models"), films


@pytest.fixture(scope="module")
def found(served):
    models_dir, model, films = served
    return alignment.align(
        models_dir,
        model,
        PoolHere(),
        sorted(films.iterdir()),
        lungs=lungs.load(models_dir),
    )


class TestAlign:
    def test_counts_what_was_left_out_by_its_reason(self, found):
        assert found.left_out == {"not-an-image": 10}
        assert found.fit.films == 100

    def test_fits_the_calibrated_logits_of_the_films(self, served, found):
        models_dir, model, films = served
        known = home.reference(models_dir, model.card)
        logits = []
        for path in sorted(films.iterdir())[:100]:
            p = tiny_probability(read_film(path.read_bytes()).pixels)
            logits.append(np.log(p / (1 - p)))
        again = fitting.fit(known, logits, threshold=np.log(0.4 / 0.6))
        assert found.fit.threshold.value == pytest.approx(
            again.threshold.value, abs=1e-3
        )
        assert 0 < found.threshold.low < found.threshold.value < found.threshold.high

    def test_answers_add_up_before_and_after(self, found):
        for shares in (found.before, found.after):
            assert sum(shares.values()) == pytest.approx(1)
            assert set(shares) == {"above threshold", "no answer", "below threshold"}

    def test_few_films_say_what_is_needed(self, served):
        models_dir, model, films = served
        few = alignment.align(
            models_dir,
            model,
            PoolHere(),
            sorted(films.iterdir())[:20],
            lungs=lungs.load(models_dir),
        )
        assert any("at least 100" in sentence for sentence in few.why_not)

    def test_without_any_film_there_is_an_error(self, served):
        models_dir, model, films = served
        with pytest.raises(CxrError) as refused:
            alignment.align(
                models_dir,
                model,
                PoolHere(),
                sorted(films.iterdir())[100:],
                lungs=lungs.load(models_dir),
            )
        assert refused.value.code == "no-films"


class TestSign:
    def test_makes_it_a_stored_point_and_keeps_the_shipped_one(
        self, served, found, tmp_path
    ):
        models_dir, model, _ = served
        sure = replace(found, why_not=())
        before = registry.card_sha256(models_dir, "tiny-1")
        point = alignment.sign(
            tmp_path, model.card, sure, actor="anna", reason="films of November"
        )
        assert point.threshold == found.threshold.value
        assert "100 films of this site without labels" in point.films
        assert (point.sensitivity, point.specificity) == (None, None)
        assert registry.card_sha256(models_dir, "tiny-1") == before
        [entry] = audit.entries(tmp_path, limit=9)
        assert entry.actor == "anna"

    def test_what_is_not_proposed_can_not_be_signed(self, served, found, tmp_path):
        doubtful = replace(found, why_not=("Too few films.",))
        with pytest.raises(CxrError) as refused:
            alignment.sign(
                tmp_path, served[1].card, doubtful, actor="anna", reason="all the same"
            )
        assert refused.value.code == "nothing-proposed"
        assert not audit.entries(tmp_path, limit=9)
