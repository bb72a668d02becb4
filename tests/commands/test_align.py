"""`align`: words, JSON, exit codes, the range of a share, and the signature."""

import json

import pytest
from command_line import film_of

from cxr.governance import stored_points
from cxr.models import registry


@pytest.fixture
def site(tmp_path):
    """A folder of 12 films without labels."""
    folder = tmp_path / "site"
    folder.mkdir()
    for i in range(12):
        film = film_of(140 if i % 3 == 0 else 80, seed=i)
        (folder / f"{i}.png").write_bytes(film)
    return folder


def test_few_films_get_a_refusal_with_the_number_that_is_needed(run, site):
    code, out, _ = run("align", "--films", site)
    assert code == 1
    assert "Films: 12, left out 0" in out
    assert "Nothing is proposed. Too few films: at least 100" in out
    assert "Threshold: shipped 0.400, here " in out


def test_json_holds_the_fit_and_why_not(run, site):
    code, out, _ = run("align", "--films", site, "--share", "5-60", "--json")
    document = json.loads(out)
    assert code == 1
    assert "too-few-films" in document["fit"]["doubts"]
    assert 0.05 <= document["share"]["value"] <= 0.6
    assert document["left_out"] == {}


@pytest.mark.parametrize("share", ["20", "0-10", "30-10", "a-b", "5-100"])
def test_a_range_that_is_none_is_wrong_use(run, site, share):
    code, out, err = run("align", "--films", site, "--share", share)
    assert (code, out) == (2, "")
    assert "a range in percent" in err


def test_what_is_not_proposed_is_not_stored(run, site, models_dir, tmp_path):
    code, _, err = run("align", "--films", site, "--sign", "films of November")
    assert code == 2 and "[nothing-proposed]" in err
    card = registry.read_card(models_dir, "tiny-1")
    assert stored_points.points(tmp_path / "records", card) == []


def test_a_signed_threshold_is_the_sites(run, site, models_dir, tmp_path, monkeypatch):
    monkeypatch.setattr("cxr.evaluation.alignment.FEWEST", 10)
    monkeypatch.setattr("cxr.evaluation.alignment.WIDEST_SHARE", 1.0)
    monkeypatch.setattr("cxr.evaluation.alignment.FURTHEST", 9.0)
    monkeypatch.setattr("cxr.evaluation.alignment.LEAST_FIT", 0.0)
    code, out, _ = run(
        "align", "--films", site, "--sign", "films of November", "--json"
    )
    document = json.loads(out)
    assert code == 0
    card = registry.read_card(models_dir, "tiny-1")
    [point] = stored_points.points(tmp_path / "records", card)
    assert point.point_id == document["point_id"]
    assert point.threshold == document["threshold"]["value"]
    assert point.reason == "films of November"
