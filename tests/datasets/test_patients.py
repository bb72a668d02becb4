"""Patients with a film in common are one, over any number of steps."""

from cxr.datasets.patients import Patients


def test_those_with_a_film_in_common_are_one_over_several_steps():
    whose = Patients()
    for sha256, patient in (("1", "d"), ("1", "c"), ("2", "c"), ("2", "b"), ("3", "e")):
        whose.note(sha256, patient)
    assert {whose.find(patient) for patient in "bcd"} == {"b"}
    assert whose.find("e") == "e"


def test_a_film_without_a_hash_joins_nobody():
    whose = Patients()
    whose.note("", "a")
    whose.note("", "b")
    assert whose.find("b") == "b"


def test_a_preferred_name_stays():
    whose = Patients({"z"})
    whose.join("a", "z")
    assert whose.find("a") == "z"
