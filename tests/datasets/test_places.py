"""What is known of other places: the table beside a manifest."""

import pytest

from cxr.datasets import places
from cxr.errors import DatasetError


@pytest.fixture
def manifest(tmp_path):
    return tmp_path / "films.csv"


def test_without_a_table_a_place_has_its_name_alone(manifest):
    known = places.origins(manifest, {"St. Mary"})
    assert known == {"St. Mary": places.unstated("St. Mary")}
    origin = known["St. Mary"]
    assert (origin.name, origin.licence, origin.source) == (
        "St. Mary",
        "not stated",
        "not stated",
    )
    assert origin.population == "Not stated"


def test_a_table_states_what_is_known(manifest):
    manifest.with_name("places.csv").write_text(
        "place;name;licence;population\nnih;NIH ChestX-ray14;CC0;Adults, Bethesda\n"
        "mary;;;\n"
    )
    known = places.origins(manifest, ["NIH", "mary", "other"])
    nih = known["NIH"]
    assert (nih.name, nih.licence) == ("NIH ChestX-ray14", "CC0")
    assert (nih.population, nih.source) == ("Adults, Bethesda", "not stated")
    assert known["mary"] == places.unstated("mary")
    assert known["other"] == places.unstated("other")


def test_a_table_of_another_kind_is_named(manifest):
    manifest.with_name("places.csv").write_text("name,licence\na,b\n")
    with pytest.raises(DatasetError, match=r"places\.csv has no column place\."):
        places.origins(manifest, ["a"])
    # Nobody asks for it where all films are of home.
    assert places.origins(manifest, []) == {}


def test_a_manifest_of_that_name_is_no_table(manifest):
    manifest = manifest.with_name("places.csv")
    manifest.write_text("path,label\na.png,0\n")
    assert places.origins(manifest, ["x"]) == {"x": places.unstated("x")}


def test_odd_letters_are_printed_as_such(manifest):
    assert places.unstated("a\udcff").name == "a\\udcff"
