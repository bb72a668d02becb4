"""The sample films: which they are, that they are whole, and how they were chosen."""

import io
import shutil
from pathlib import Path

import pytest
from PIL import Image

from benchmarks import samples as making
from cxr.config import ROOT
from cxr.datasets import folders
from cxr.datasets.folders import LabelledFilm
from cxr.errors import CxrError
from cxr.models import registry
from cxr.reading import samples

MODELS = ROOT / "models"
README = (samples.FOLDER / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def copy(tmp_path):
    """The folder of the samples, to be damaged."""
    return Path(shutil.copytree(samples.FOLDER, tmp_path / "samples"))


def test_there_are_six_three_of_each_class_and_nothing_else():
    listed = samples.manifest().samples
    assert len(listed) == len({s.sha256 for s in listed}) == 6
    assert len({s.patient for s in listed}) == 6
    assert sum(s.label == "normal" for s in listed) == 3
    assert {s.label for s in listed} <= {
        *("normal", "pneumonia, bacterial", "pneumonia, viral")
    }
    there = {path.name for path in samples.FOLDER.iterdir()}
    assert there == {samples.MANIFEST, "README.md", *(s.file for s in listed)}


def test_they_are_unchanged_grey_and_small_and_carry_nothing_else():
    for sample, content in samples.contents().items():
        picture = Image.open(io.BytesIO(content))
        assert picture.format == "JPEG" and picture.mode == "L"
        assert max(picture.size) <= making.EDGE, sample.file
        assert not picture.getexif()
        assert set(picture.info) <= {
            *("jfif", "jfif_version", "jfif_unit", "jfif_density")
        }


def test_their_patients_are_those_that_the_shipped_model_was_tested_on():
    manifest = samples.manifest()
    assert manifest.model_id == registry.active_id(MODELS)
    held_out = making.held_out(MODELS / manifest.model_id)
    assert {s.patient for s in manifest.samples} <= held_out
    for sample in manifest.samples:
        label = int(sample.label != "normal")
        assert sample.source.startswith(folders.CLASSES[label])
        assert sample.patient == folders.patient_of(sample.source, label)


def test_no_name_tells_the_label():
    names = [sample.file for sample in samples.manifest().samples]
    assert names == [f"sample-{number}.jpeg" for number in range(1, 7)]


def test_a_film_is_a_sample_by_its_bytes():
    for sample in samples.contents():
        assert samples.sample_of(sample.sha256) == sample
    assert samples.sample_of("ab" * 32) is None


def test_a_tampered_sample_is_refused_by_name(copy):
    film = copy / "sample-3.jpeg"
    content = bytearray(film.read_bytes())
    content[-100] ^= 1
    film.write_bytes(content)
    with pytest.raises(CxrError, match=r"sample-3\.jpeg is not the one") as raised:
        samples.contents(copy)
    assert raised.value.code == "samples"


def test_a_missing_sample_is_refused_by_name(copy):
    (copy / "sample-5.jpeg").unlink()
    with pytest.raises(CxrError, match=r"sample-5\.jpeg can't be opened"):
        samples.contents(copy)


@pytest.mark.parametrize("text", [None, "", "[]", '{"samples": 3}'])
def test_a_damaged_list_is_an_error(copy, text):
    path = copy / samples.MANIFEST
    path.unlink() if text is None else path.write_text(text)
    with pytest.raises(CxrError, match="missing or damaged"):
        samples.contents(copy)


def test_the_attribution_is_the_data_sets_own():
    assert samples.SOURCE == folders.KERMANY.source
    assert samples.LICENCE == folders.KERMANY.licence
    for words in ("10.17632/rscbjbr9sj", samples.LICENCE, "public films of other"):
        assert words in README


def film(name):
    label = int(name.startswith("PNEUMONIA"))
    patient = folders.patient_of(name, label)
    return LabelledFilm(path=Path(name), name=name, label=label, patient_id=patient)


def test_the_rule_takes_three_patients_of_each_class_and_their_first_film():
    normal = [f"NORMAL/IM-{n:04}-000{k}.jpeg" for n in range(9) for k in (2, 1)]
    ill = [f"PNEUMONIA/person{n}_virus_{n}.jpeg" for n in range(9)]
    films = [film(name) for name in normal + ill]
    held_out = {f.patient_id for f in films if f.patient_id != "normal-im4"}
    chosen = making.chosen(films, held_out)
    assert [f.label for f in chosen].count(0) == [f.label for f in chosen].count(1) == 3
    assert len({f.patient_id for f in chosen}) == 6
    assert all(f.name.endswith("-0001.jpeg") for f in chosen if not f.label)
    assert "normal-im4" not in {f.patient_id for f in chosen}
    assert making.chosen(films[::-1], held_out) == chosen
    others = [f for f in films if f not in chosen[:1]]
    without = making.chosen(others, held_out - {chosen[0].patient_id})
    assert set(chosen[1:]) < set(without)  # one more takes the place, none moves


def test_a_patient_with_a_film_in_another_split_is_not_held_out(tmp_path):
    rows = (
        "film,sha256,split",
        "train/NORMAL/IM-0001-0001.jpeg,a,test",
        "train/NORMAL/IM-0001-0002.jpeg,b,train",
        "val/PNEUMONIA/person2_virus_3.jpeg,c,test",
    )
    (tmp_path / "split.csv").write_text("\n".join(rows))
    assert making.held_out(tmp_path) == {"pneumonia-person2"}


@pytest.mark.real_data
def test_the_rule_makes_exactly_these_films_again(data_dir, tmp_path):
    manifest = samples.manifest()
    films = folders.scan(data_dir / "originals")
    held_out = making.held_out(MODELS / manifest.model_id)
    made = [
        making.written(film, number, tmp_path)
        for number, film in enumerate(making.chosen(films, held_out), 1)
    ]
    assert made == list(manifest.samples)
    for sample, content in samples.contents().items():
        assert (tmp_path / sample.file).read_bytes() == content
