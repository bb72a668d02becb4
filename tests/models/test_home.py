"""The films held out from a model, as densities for each kind of place it knows."""

from dataclasses import replace

import numpy as np
import pytest
from tiny_model import register_tiny_model

from cxr.models import home, registry, scores


class TestReference:
    def test_films_of_other_places_are_a_kind_of_their_own(self, tmp_path):
        register_tiny_model(tmp_path, "tiny-1")
        card = registry.read_card(tmp_path, "tiny-1")
        assert home.reference(tmp_path, card).others == ()
        tables = {
            split: registry.read_scores(tmp_path, card, split)
            for split in home.HELD_OUT
        }
        moved = {k: replace(t, logits=t.logits + 3) for k, t in tables.items()}
        folder = registry.folder_of(tmp_path, "tiny-1")
        scores.write(folder, moved, table=scores.PLACES)
        files = registry.file_records(folder)
        registry.write_card(tmp_path, replace(card, files=files))
        card = registry.read_card(tmp_path, "tiny-1")
        known = home.reference(tmp_path, card)
        [other] = known.others
        own, step = known.home, known.home.at[1] - known.home.at[0]
        for at_home, there in ((own.normal, other.normal), (own.ill, other.ill)):
            mean = (at_home * own.at).sum() * step
            assert (there * other.at).sum() * step == pytest.approx(mean + 3, abs=0.1)

    @pytest.mark.parametrize("label", [0, 1])
    def test_other_places_with_one_class_are_no_kind(self, tmp_path, label):
        register_tiny_model(tmp_path, "tiny-1")
        card = registry.read_card(tmp_path, "tiny-1")
        table = registry.read_scores(tmp_path, card, "test")
        folder = registry.folder_of(tmp_path, "tiny-1")
        part = table.rows(np.flatnonzero(table.labels == label))
        scores.write(folder, {"test": part}, table=scores.PLACES)
        files = registry.file_records(folder)
        registry.write_card(tmp_path, replace(card, files=files))
        card = registry.read_card(tmp_path, "tiny-1")
        assert home.reference(tmp_path, card).others == ()
