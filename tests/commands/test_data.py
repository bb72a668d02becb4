"""The commands check and download."""

import sys
import types

from command_line import strict


def test_check_finds_what_is_wrong_and_says_so_by_its_exit_code(
    run, films_dir, tmp_path
):
    (films_dir / "test/NORMAL/IM-0007-0001.png").write_bytes(b"no film")
    code, out, _ = run("check", str(films_dir), "--json")
    document = strict(out)
    assert code == 1
    assert (document["films"], document["unreadable"]) == (9, 1)
    assert document["counts"]["unreadable"] == 1
    assert document["findings"][0]["films"] == ["test/NORMAL/IM-0007-0001.png"]
    assert set(document["audit"]["features"]) >= {"file size", "width", "sharpness"}
    assert len(document["fingerprint"]) == 64
    (kept,) = (tmp_path / "cache" / "checks").iterdir()
    assert (kept / "report.json").is_file()


def test_check_in_words_with_a_folder_of_its_own(run, films_dir, tmp_path):
    odd = films_dir / "test/NORMAL/a\x1b[2J.png"
    odd.write_bytes((films_dir / "test/NORMAL/IM-0000-0000.png").read_bytes())
    code, out, _ = run("check", str(films_dir), "--folder", str(tmp_path / "kept"))
    assert code == 1  # the phantoms of both classes are nearly equal
    assert "exact-duplicate" in out and "fingerprint" in out and "\x1b" not in out
    assert (tmp_path / "kept" / "status.json").is_file()


def test_field_cases_a_10_check_of_names_that_are_no_text(run, films_dir, odd_names):
    for name in odd_names:
        (films_dir / name).write_bytes(b"no film")
    code, out, _ = run("check", films_dir, "--json")
    unreadable = [f["films"] for f in strict(out)["findings"] if f["films"]]
    assert code == 1
    assert {name for films in unreadable for name in films} >= set(odd_names)
    code, out, _ = run("check", films_dir)
    assert code == 1
    assert all(line.isprintable() for line in out.splitlines())
    assert "film\\udcff.png" in out and "a\\r\\nb.png" in out


def test_field_case_10_a_split_of_a_manifest_moves_no_cursor(run, films_dir, tmp_path):
    rows = [
        f"{path},{path.parent.name},\x1b[2J"
        for path in sorted(films_dir.rglob("*.png"))
    ]
    manifest = tmp_path / "films.csv"
    manifest.write_text("\n".join(["path,label,split", *rows]))
    _, out, _ = run("check", manifest)
    assert "\\x1b[2J, normal: 4 films" in out
    assert all(line.isprintable() for line in out.splitlines())


def test_check_of_a_folder_that_is_not_there_fails(run, models_dir, tmp_path):
    code, out, err = run("check", str(tmp_path / "none"), "--json")
    assert (code, out) == (2, "") and "no data folder" in err


def test_download_says_where_the_films_are(run, films_dir, monkeypatch):
    (films_dir / "test").rename(films_dir / "train")
    fake = types.ModuleType("kagglehub")
    fake.dataset_download = lambda handle: str(films_dir)
    monkeypatch.setitem(sys.modules, "kagglehub", fake)
    code, out, _ = run("download", "--json")
    assert (code, strict(out)) == (0, {"data": str(films_dir)})


def test_download_without_kagglehub_says_what_to_do(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    code, out, err = run("download")
    assert (code, out) == (2, "") and "pip install kagglehub" in err
