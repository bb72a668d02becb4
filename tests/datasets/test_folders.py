"""Films of a folder or manifest: patients, splits, fingerprint."""

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cxr.datasets import folders
from cxr.datasets.folders import LabelledFilm
from cxr.datasets.splits import SPLITS, split_by_patient
from cxr.errors import DatasetError


def write(path: Path, content: bytes = b"film") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def film(name: str, label: int, patient: str, sha256: str | None = None):
    return LabelledFilm(
        path=Path(name),
        name=name,
        label=label,
        patient_id=patient,
        sha256=sha256 or f"hash of {name}",
    )


def crowd(n_patients: int = 300, seed: int = 0) -> list[LabelledFilm]:
    """Patients with one to nine films, a quarter of them normal."""
    rng = np.random.default_rng(seed)
    return [
        film(f"{p}-{i}.png", int(p % 4 > 0), f"patient{p}")
        for p in range(n_patients)
        for i in range(1 + min(8, int(rng.geometric(0.4))))
    ]


class TestScan:
    def test_reads_the_classes_within_the_splits(self, tmp_path):
        write(tmp_path / "train/NORMAL/IM-0001-0001.jpeg")
        write(tmp_path / "test/PNEUMONIA/person7_virus_2.jpeg")
        write(tmp_path / "val/PNEUMONIA/person8_bacteria_2.PNG")
        films = folders.scan(tmp_path)
        assert [(f.name, f.label, f.split, f.subtype) for f in films] == [
            ("test/PNEUMONIA/person7_virus_2.jpeg", 1, "test", "viral"),
            ("train/NORMAL/IM-0001-0001.jpeg", 0, "train", None),
            ("val/PNEUMONIA/person8_bacteria_2.PNG", 1, "val", "bacterial"),
        ]

    def test_reads_the_two_classes_alone_and_folders_within(self, tmp_path):
        write(tmp_path / "NORMAL/ward/a.dcm")
        write(tmp_path / "PNEUMONIA/b.jpg")
        films = folders.scan(tmp_path)
        assert [(f.name, f.label, f.split) for f in films] == [
            ("NORMAL/ward/a.dcm", 0, None),
            ("PNEUMONIA/b.jpg", 1, None),
        ]

    def test_leaves_other_files_alone(self, tmp_path):
        write(tmp_path / "NORMAL/a.png")
        write(tmp_path / "NORMAL/notes.txt")
        write(tmp_path / "NORMAL/.DS_Store")
        write(tmp_path / "OTHER/b.png")
        assert [f.name for f in folders.scan(tmp_path)] == ["NORMAL/a.png"]

    def test_reads_a_manifest(self, tmp_path):
        write(tmp_path / "films/a.png")
        write(tmp_path / "films/person3_virus_1.png")
        manifest = tmp_path / "films.csv"
        manifest.write_text(
            "\ufeffpath,label,patient,split\n"
            "films/person3_virus_1.png,pneumonia,P9,train\n"
            "films/a.png,0,,\n",
            encoding="utf-8",
        )
        first, second = folders.scan(manifest)
        assert (first.name, first.label, first.split) == ("films/a.png", 0, None)
        assert first.patient_id == "normal-a"
        assert (second.label, second.patient_id) == (1, "P9")
        assert (second.split, second.subtype) == ("train", "viral")
        assert second.path.read_bytes() == b"film"

    @pytest.mark.parametrize("outside", ["../secret.png", "../nothing.png", "link.png"])
    def test_films_outside_the_limit_are_refused_unseen(self, tmp_path, outside):
        inside = tmp_path / "inside"
        inside.mkdir()
        (tmp_path / "secret.png").write_bytes(b"1")
        (inside / "link.png").symlink_to(tmp_path / "secret.png")
        manifest = inside / "films.csv"
        manifest.write_text(f"path,label\n{outside},1\n")
        with pytest.raises(DatasetError, match="outside the data") as caught:
            folders.scan(manifest, limit=inside)
        assert caught.value.code == "outside-data-folder"

    def test_a_link_out_of_a_folder_is_refused(self, tmp_path):
        folder = tmp_path / "inside" / "NORMAL"
        folder.mkdir(parents=True)
        (tmp_path / "secret.png").write_bytes(b"1")
        (folder / "a.png").symlink_to(tmp_path / "secret.png")
        assert len(folders.scan(tmp_path / "inside")) == 1
        with pytest.raises(DatasetError, match="outside the data"):
            folders.scan(tmp_path / "inside", limit=tmp_path / "inside")

    def test_manifest_needs_only_path_and_label(self, tmp_path):
        write(tmp_path / "a.png")
        manifest = tmp_path / "films.csv"
        manifest.write_text("path,label\na.png,1\n")
        assert [f.label for f in folders.scan(manifest)] == [1]

    @pytest.mark.parametrize(
        "line", ["a.png,ILL", "a.png,", "a.png", "missing.png,NORMAL", ",NORMAL"]
    )
    def test_manifest_names_the_line_that_is_wrong(self, tmp_path, line):
        write(tmp_path / "a.png")
        manifest = tmp_path / "films.csv"
        manifest.write_text(f"path,label\na.png,NORMAL\n{line}\n")
        with pytest.raises(DatasetError, match="Line 3 of films.csv: expected"):
            folders.scan(manifest)

    def test_manifest_without_the_columns_is_refused(self, tmp_path):
        manifest = tmp_path / "films.csv"
        manifest.write_text("file,diagnosis\na.png,NORMAL\n")
        with pytest.raises(DatasetError, match="Line 2"):
            folders.scan(manifest)

    @pytest.mark.parametrize("content", [b"PK\x03\x04\x00rubbish", None])
    def test_unreadable_manifest_is_refused(self, tmp_path, content):
        manifest = tmp_path / "films.csv"
        if content:
            manifest.write_bytes(content)
        with pytest.raises(DatasetError, match="can't be read"):
            folders.scan(manifest)

    def test_missing_folder_is_refused(self, tmp_path):
        with pytest.raises(DatasetError, match="no data folder"):
            folders.scan(tmp_path / "nowhere")

    @pytest.mark.parametrize("other", ["other/a.png", "a.png", "test/a.png"])
    def test_folder_of_another_layout_is_refused(self, tmp_path, other):
        write(tmp_path / other)
        with pytest.raises(DatasetError, match="holds no films"):
            folders.scan(tmp_path)

    def test_empty_manifest_is_refused(self, tmp_path):
        (tmp_path / "films.csv").write_text("path,label\n")
        with pytest.raises(DatasetError, match="holds no films"):
            folders.scan(tmp_path / "films.csv")


@pytest.mark.parametrize(
    "first, second, label, same",
    [
        ("person12_bacteria_45.jpeg", "person12_virus_3.jpeg", 1, True),
        ("person12_bacteria_45.jpeg", "person13_bacteria_45.jpeg", 1, False),
        ("IM-0115-0001.jpeg", "NORMAL2-IM-0115-0001-0002.jpeg", 0, True),
        ("IM-0115-0001.jpeg", "IM-0116-0001.jpeg", 0, False),
        ("a.png", "b.png", 0, False),
    ],
)
def test_patient_follows_from_the_file_name(first, second, label, same):
    assert (
        folders.patient_of(first, label) == folders.patient_of(second, label)
    ) is same


def test_numbers_of_the_two_classes_are_different_patients():
    assert folders.patient_of("IM-0012-1.png", 0) != folders.patient_of(
        "person12_virus_1", 1
    )


class TestOrigin:
    def test_is_the_public_data_set_if_both_classes_bear_its_names(self):
        films = [
            film("IM-0001-0001.jpeg", 0, "a"),
            film("person1_virus_6.jpeg", 1, "b"),
        ]
        assert folders.origin(films) == folders.KERMANY

    @pytest.mark.parametrize(
        "films",
        [
            [film("IM-0001-0001.jpeg", 0, "a"), film("IM-0002-0001.jpeg", 1, "b")],
            [film("IM-0001-0001.jpeg", 0, "a")],
            [film("IM-0001-0001.jpeg", 0, "a"), film("scan.jpeg", 1, "b")],
        ],
    )
    def test_is_not_guessed_for_other_films(self, films):
        assert folders.origin(films).population.startswith("Not stated")


class TestHashes:
    def test_byte_equal_copies_are_one_patient(self, tmp_path):
        films = [
            LabelledFilm(path=write(tmp_path / n, c), name=n, label=1, patient_id=p)
            for n, c, p in (
                ("a", b"1", "p1"),
                ("b", b"2", "p1"),
                ("c", b"2", "p2"),
                ("d", b"3", "p2"),
                ("e", b"3", "p0"),
                ("f", b"4", "p5"),
            )
        ]
        hashed = folders.with_hashes(films)
        assert [f.patient_id for f in hashed] == ["p0"] * 5 + ["p5"]
        assert hashed[1].sha256 == hashed[2].sha256 != hashed[0].sha256
        shuffled = folders.with_hashes(films[::-1])
        assert [f.patient_id for f in shuffled] == ["p5"] + ["p0"] * 5

    def test_file_that_is_gone_is_a_named_error(self, tmp_path):
        gone = LabelledFilm(path=tmp_path / "x", name="x", label=0, patient_id="p")
        with pytest.raises(DatasetError, match="can't be opened"):
            folders.with_hashes([gone])


class TestFingerprint:
    FILMS = [film("a", 0, "p", "1"), film("b", 1, "q", "2")]

    def test_does_not_depend_on_order_or_place(self):
        moved = [replace(f, name="x", path=Path("y")) for f in self.FILMS[::-1]]
        assert folders.fingerprint(moved) == folders.fingerprint(self.FILMS)
        assert len(folders.fingerprint(moved)) == 64

    @pytest.mark.parametrize(
        "change", [{"sha256": "3"}, {"label": 0}, {"patient_id": "p"}]
    )
    def test_changes_with_content_label_and_patient(self, change):
        changed = [self.FILMS[0], replace(self.FILMS[1], **change)]
        assert folders.fingerprint(changed) != folders.fingerprint(self.FILMS)

    def test_changes_with_a_film_more_or_less(self):
        assert folders.fingerprint(self.FILMS[:1]) != folders.fingerprint(self.FILMS)


class TestSplit:
    def test_no_patient_is_in_two_splits_and_no_film_is_lost(self):
        films = crowd()
        splits = split_by_patient(films, seed=1)
        patients = [{f.patient_id for f in part} for part in splits.values()]
        assert sum(map(len, patients)) == len(set.union(*patients)) == 300
        names = [f.name for part in splits.values() for f in part]
        assert sorted(names) == sorted(f.name for f in films)

    def test_patient_with_both_labels_stays_whole(self):
        films = crowd(200)
        films += [film(f"{f.name}-well", 0, f.patient_id) for f in films if f.label]
        splits = split_by_patient(films, seed=1)
        patients = [{f.patient_id for f in part} for part in splits.values()]
        assert sum(map(len, patients)) == len(set.union(*patients)) == 200

    @pytest.mark.parametrize("label", [0, 1])
    def test_each_class_is_dealt_out_by_the_fractions(self, label):
        films = crowd()
        n = sum(f.label == label for f in films)
        for name, part in split_by_patient(films, seed=2).items():
            share = sum(f.label == label for f in part) / n
            assert share == pytest.approx(SPLITS[name], abs=9 / n)

    def test_is_the_same_for_a_seed_whatever_the_order(self):
        films = crowd()
        shuffled = random.Random(0).sample(films, len(films))
        assert split_by_patient(films, seed=3) == split_by_patient(shuffled, seed=3)

    def test_is_another_one_for_another_seed(self):
        first, second = (split_by_patient(crowd(), seed=s) for s in (3, 4))
        assert first["test"] != second["test"]

    def test_does_not_follow_the_file_names(self):
        films = crowd()
        renamed = [replace(f, name=f"z{i:04d}") for i, f in enumerate(films)]
        patients = [
            {f.patient_id for f in split_by_patient(part, seed=5)["test"]}
            for part in (films, renamed)
        ]
        assert patients[0] == patients[1]

    @pytest.mark.parametrize("label", [0, 1])
    def test_class_with_too_few_patients_is_refused(self, label):
        films = [f for f in crowd() if f.label != label]
        films += [film(f"few{i}", label, f"few{i % 3}") for i in range(30)]
        with pytest.raises(
            DatasetError, match=f"{folders.CLASSES[label]} has 3 patients"
        ):
            split_by_patient(films, seed=1)


def at(place: str, films: list[LabelledFilm]) -> list[LabelledFilm]:
    """The films under other names, as those of other patients of another place."""
    return [
        replace(
            f, name=f"{place}/{f.name}", place=place, patient_id=place + f.patient_id
        )
        for f in films
    ]


class TestPlaces:
    @pytest.mark.parametrize("column", ["place", "Site", "HOSPITAL", "source"])
    def test_a_manifest_names_them_and_home_is_what_it_leaves_empty(
        self, tmp_path, column
    ):
        for name in "abc":
            write(tmp_path / f"{name}.png")
        manifest = tmp_path / "films.csv"
        manifest.write_text(
            f"path,label,{column}\na.png,0,\nb.png,1, Home \nc.png,1, St.  Mary \n"
        )
        assert [f.place for f in folders.scan(manifest)] == ["", "", "St. Mary"]

    def test_a_manifest_of_one_place_alone_is_of_home(self, tmp_path):
        write(tmp_path / "a.png")
        write(tmp_path / "b.png")
        manifest = tmp_path / "films.csv"
        manifest.write_text("path,label,site\na.png,0,ward\nb.png,1,ward\n")
        assert {f.place for f in folders.scan(manifest)} == {""}

    def test_a_place_is_part_of_the_fingerprint_and_no_place_is_not(self):
        films = [film("a", 0, "1", "x"), film("b", 1, "2", "y")]
        moved = [films[0], replace(films[1], place="there")]
        assert folders.fingerprint(moved) != folders.fingerprint(films)

    @pytest.mark.parametrize("seed", range(8))
    def test_films_of_other_places_move_no_patient_of_home(self, seed):
        rng = np.random.default_rng(seed)
        home = crowd(int(rng.integers(30, 200)), seed=seed)
        others = at("A", crowd(int(rng.integers(1, 200)), seed=seed + 50))
        others += at("0", crowd(int(rng.integers(1, 40)), seed=seed + 90))
        for i in range(5):
            known = home[int(rng.integers(len(home)))]
            others += at("A", [film(f"copy{i}", 1, f"0{i}", known.sha256)])
            others.append(replace(known, name=f"{i}", sha256=f"{i}", place="A"))
        alone = split_by_patient(folders.join_copies(home), seed=seed)
        joined = folders.join_copies(home + others)
        together = split_by_patient(joined, seed=seed)
        for name, part in together.items():
            assert [f for f in part if not f.place] == alone[name]
        patients = [{f.patient_id for f in part} for part in together.values()]
        assert sum(map(len, patients)) == len(set.union(*patients))
        assert sum(map(len, together.values())) == len(home + others)

    @pytest.mark.parametrize("label", [0, 1])
    def test_each_place_is_dealt_out_by_the_fractions(self, label):
        there = at("there", crowd(200, seed=3))
        n = sum(f.label == label for f in there)
        for name, part in split_by_patient(crowd() + there, seed=2).items():
            share = sum(f.label == label and bool(f.place) for f in part) / n
            assert share == pytest.approx(SPLITS[name], abs=9 / n)

    def test_a_patient_of_home_and_elsewhere_is_in_the_split_of_home(self):
        home = crowd()
        there = [replace(f, name=f"x{f.name}", place="there") for f in home]
        splits = split_by_patient(home + there, seed=4)
        for part in splits.values():
            assert {f.patient_id for f in part if f.place} == {
                f.patient_id for f in part if not f.place
            }

    def test_a_place_of_one_patient_and_one_class_is_no_obstacle(self):
        alone = at("there", [film("a", 1, "p"), film("b", 1, "p")])
        splits = split_by_patient(crowd() + alone, seed=1)
        assert [sum(bool(f.place) for f in part) for part in splits.values()] == [
            2,
            0,
            0,
            0,
        ]

    def test_without_a_film_of_home_nothing_is_dealt(self):
        films = at("A", crowd(40)) + at("B", crowd(40, seed=1))
        with pytest.raises(DatasetError, match=r"of another place \(A, B\)\. Leave"):
            split_by_patient(films, seed=1)

    def test_home_alone_is_what_a_measurement_asks_for(self):
        home, there = crowd(8), at("A", crowd(8))
        assert folders.at_home(home + there) == home
        assert {f.place for f in folders.at_home(there)} == {""}

    def test_home_needs_its_own_patients_of_a_class(self):
        films = [f for f in crowd() if f.label] + at("A", crowd())
        with pytest.raises(DatasetError, match="NORMAL has 0 patients"):
            split_by_patient(films, seed=1)
