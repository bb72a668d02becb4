"""Folders and manifests as people have them: kinds F, G and M, and number 7."""

import os

import pytest
from command_line import strict
from synthetic_films import as_dicom, as_jpeg, as_png, chest_phantom

from cxr.__main__ import main
from cxr.datasets import folders
from cxr.datasets.folders import listing, scan
from cxr.errors import DatasetError
from cxr.films import kinds

FILM = as_png(chest_phantom(160, 160))


def put(root, *names, content=FILM):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def names_of(source):
    return {film.name for film in scan(source)}


class TestNames:
    """Kind F: folders by other words, films by other endings."""

    @pytest.mark.parametrize(
        "folder, label, split",
        [
            ("NORMAL", 0, None),
            ("Pneumonia", 1, None),
            ("normal", 0, None),
            ("No Finding", 0, None),
            ("no_pneumonia", 0, None),
            ("Test/PNEUMONIA", 1, "test"),
            ("valid/Normal", 0, "val"),
            ("validation/NORMAL", 0, "val"),
            ("dev/pneumonia", 1, "val"),
            ("Training/NORMAL", 0, "train"),
            ("TRAIN/PNEUMONIA/bacteria", 1, "train"),
        ],
    )
    def test_case_F_folders_say_class_and_split(self, tmp_path, folder, label, split):
        put(tmp_path, f"{folder}/a.png")
        [film] = scan(tmp_path)
        assert (film.label, film.split) == (label, split)
        assert film.name == f"{folder}/a.png"

    def test_case_F_films_of_every_ending_are_read(self, tmp_path):
        dicom = as_dicom(chest_phantom(160, 160))
        put(tmp_path, "NORMAL/a.jfif", "NORMAL/b.JPG", content=as_jpeg(FILM_PIXELS))
        put(tmp_path, "NORMAL/c.dicom", "NORMAL/d.IMA", content=dicom)
        put(tmp_path, "NORMAL/IM000001", "NORMAL/1.2.840.113619.2", content=dicom)
        assert len(scan(tmp_path)) == 6
        assert listing(tmp_path).left_out == ()

    def test_case_F_what_is_left_out_is_counted_and_named(self, tmp_path):
        put(tmp_path, "NORMAL/a.png", "COVID/b.png", "COVID/c.png", "d.png")
        put(tmp_path, "NORMAL/readme.txt", "NORMAL/notes", content=b"notes")
        reasons = {part.reason: part for part in listing(tmp_path).left_out}
        assert set(reasons) == {folders.NO_FILM, folders.NO_CLASS}
        assert reasons[folders.NO_CLASS].files == 3
        assert reasons[folders.NO_CLASS].examples == (
            "COVID/b.png",
            "COVID/c.png",
            "d.png",
        )
        assert reasons[folders.NO_FILM].files == 2
        words = folders.in_words(listing(tmp_path).left_out)
        assert "3 (in no folder that names a class: COVID/b.png" in words

    def test_case_F_commands_say_what_was_left_out(self, tmp_path, monkeypatch, capsys):
        monkeypatch.setenv("CXR_MODELS_DIR", str(tmp_path / "models"))
        for label in folders.CLASSES:
            put(tmp_path / "data", *(f"{label}/{label}{i}.png" for i in range(5)))
        put(tmp_path / "data", "COVID/b.png")
        main(["check", str(tmp_path / "data"), "--json"])
        document = strict(capsys.readouterr().out)
        assert document["left_out"] == [
            {"reason": folders.NO_CLASS, "files": 1, "examples": ["COVID/b.png"]}
        ]
        main(["check", str(tmp_path / "data")])
        assert "left out: 1 files" in capsys.readouterr().out


FILM_PIXELS = chest_phantom(160, 160)


class TestCompanions:
    """Kind G: files that systems leave beside films are no films."""

    def test_case_G_they_are_no_films(self, tmp_path):
        put(tmp_path, "NORMAL/a.jpeg", "PNEUMONIA/b.jpeg")
        put(
            tmp_path,
            "NORMAL/._a.jpeg",
            "NORMAL/.DS_Store",
            "NORMAL/Thumbs.db",
            "__MACOSX/NORMAL/a.jpeg",
            "__MACOSX/NORMAL/._a.jpeg",
            "PNEUMONIA/desktop.ini",
        )
        assert names_of(tmp_path) == {"NORMAL/a.jpeg", "PNEUMONIA/b.jpeg"}
        [part] = listing(tmp_path).left_out
        assert (part.reason, part.files) == (folders.COMPANION, 6)

    @pytest.mark.parametrize("name", ["._x.png", ".hidden", "THUMBS.DB", "__MACOSX"])
    def test_case_G_by_name(self, name):
        assert kinds.is_companion(name)
        assert not kinds.is_companion("film.png")


class TestManifests:
    """Kind M: tables as spreadsheets write them."""

    ROWS = (
        ("path", "label", "split"),
        ("a.png", "NORMAL", "valid"),
        ("b.png", "1", ""),
    )

    def written(self, root, separator=",", encoding="utf-8", first="", rows=ROWS):
        put(root, "a.png", "b.png")
        text = "\n".join(separator.join(row) for row in rows)
        (root / "films.csv").write_bytes(f"{first}{text}\n".encode(encoding))
        return root / "films.csv"

    @pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
    def test_case_M_separators_and_encodings(self, tmp_path, separator, encoding):
        films = scan(self.written(tmp_path, separator, encoding))
        assert [(f.name, f.label, f.split) for f in films] == [
            ("a.png", 0, "val"),
            ("b.png", 1, None),
        ]

    @pytest.mark.parametrize("first", ["sep=;\n", '"sep=;"\n', "SEP=;\r\n"])
    def test_case_M_the_line_of_excel(self, tmp_path, first):
        assert len(scan(self.written(tmp_path, ";", first=first))) == 2

    def test_case_M_a_header_in_other_words(self, tmp_path):
        rows = (("Filename", " LABEL ", "Patient_ID"), ("a.png", "normal", "p1"))
        [film] = scan(self.written(tmp_path, rows=rows))
        assert (film.name, film.label, film.patient_id) == ("a.png", 0, "p1")

    def test_case_M_missing_columns_are_named(self, tmp_path):
        rows = (("bild", "befund"), ("a.png", "normal"))
        with pytest.raises(DatasetError, match="no columns path and label") as raised:
            scan(self.written(tmp_path, rows=rows))
        assert "bild, befund" in raised.value.message

    def test_case_M_the_line_of_a_wrong_row_is_the_line_in_the_file(self, tmp_path):
        rows = (*self.ROWS, ("c.png", "NORMAL", ""))
        with pytest.raises(DatasetError, match="Line 5"):
            scan(self.written(tmp_path, ";", first="sep=;\n", rows=rows))

    def test_case_A_a_name_that_is_not_utf8(self, tmp_path):
        name = os.fsdecode(b"f\xff.png")
        put(tmp_path, name)
        (tmp_path / "films.csv").write_bytes(b"path,label\nf\xff.png,NORMAL\n")
        [film] = scan(tmp_path / "films.csv")
        assert film.name == name


class TestFolderLimit:
    """Number 7: nothing leads out of the data that may be read."""

    @pytest.fixture
    def data(self, tmp_path, monkeypatch):
        put(tmp_path, "data/NORMAL/a.png", "data/PNEUMONIA/b.png")
        put(tmp_path, "secret/NORMAL/s.png", "secret/PNEUMONIA/t.png")
        monkeypatch.setenv("CXR_DATA_DIR", str(tmp_path / "data"))
        return tmp_path / "data"

    def test_case_7_what_is_inside_is_read(self, data):
        assert len(scan(data)) == 2

    def test_case_7_another_folder_is_not(self, data):
        for outside in ("secret", "not-there", "data/../secret"):
            with pytest.raises(DatasetError) as refused:
                scan(data.parent / outside)
            assert refused.value.code == "outside-data-folder"

    @pytest.mark.parametrize("target", ["secret/NORMAL/s.png", "secret/NORMAL/no.png"])
    def test_case_7_a_manifest_leads_nowhere_and_tells_nothing(self, data, target):
        for path in (f"../{target}", str(data.parent / target)):
            (data / "films.csv").write_text(f"path,label\n{path},NORMAL\n")
            with pytest.raises(DatasetError) as refused:
                scan(data / "films.csv")
            assert refused.value.code == "outside-data-folder"

    def test_case_7_a_linked_film_is_not_read(self, data):
        (data / "NORMAL" / "s.png").symlink_to(data.parent / "secret/NORMAL/s.png")
        with pytest.raises(DatasetError) as refused:
            scan(data)
        assert refused.value.code == "outside-data-folder"

    def test_case_7_nor_a_linked_folder(self, data):
        (data / "train").symlink_to(data.parent / "secret")
        with pytest.raises(DatasetError) as refused:
            scan(data)
        assert refused.value.code == "outside-data-folder"

    @pytest.mark.parametrize("command", ["check", "evaluate", "train", "validate"])
    def test_case_7_no_command_leaves_it(
        self, data, command, tmp_path, monkeypatch, capsys
    ):
        from tiny_model import register_tiny_model

        register_tiny_model(tmp_path / "models")
        monkeypatch.setenv("CXR_MODELS_DIR", str(tmp_path / "models"))
        manifest = data / "films.csv"
        manifest.write_text("path,label\n../secret/NORMAL/s.png,NORMAL\n")
        arguments = {
            "check": ["check", manifest],
            "evaluate": ["evaluate", "--data", manifest],
            "train": ["train", "--data", manifest, "--run", tmp_path / "run"],
            "validate": ["validate", "--data", manifest, "--folder", tmp_path / "v"],
        }[command]
        assert main([*map(str, arguments), "--json"]) == 2
        assert "[outside-data-folder]" in capsys.readouterr().err
