"""Pictures of films: one file a case, whole, and none that no case claims."""

import os
import time

import pytest

from cxr.records import films

PNG = b"\x89PNG\r\n\x1a\n and pixels"


def test_a_picture_comes_back_and_goes(tmp_path):
    films.store(tmp_path, "ab12", PNG)
    assert films.read(tmp_path, "ab12") == PNG
    assert films.path_of(tmp_path, "ab12").stat().st_mode & 0o777 == 0o600
    films.remove(tmp_path, "ab12")
    films.remove(tmp_path, "ab12")
    assert not films.is_kept(tmp_path, "ab12")


@pytest.mark.parametrize("case_id", ["", "../audit", "a/b", "a.b", "ä"])
def test_what_is_no_id_leads_nowhere(tmp_path, case_id):
    with pytest.raises(ValueError, match="expected the id of a case"):
        films.path_of(tmp_path, case_id)


def test_only_a_png_file_is_kept(tmp_path):
    with pytest.raises(ValueError, match="expected a PNG"):
        films.store(tmp_path, "ab12", b"\xff\xd8\xff")
    assert list(tmp_path.rglob("*.png")) == []


def test_what_no_case_claims_is_swept_once_it_is_old(tmp_path):
    for case_id in ("known", "stray", "fresh"):
        films.store(tmp_path, case_id, PNG)
    draft = tmp_path / films.FOLDER / ".x.png.0123.draft"
    draft.write_bytes(PNG)
    old = time.time() - 7200
    for path in (tmp_path / films.FOLDER).iterdir():
        if path.stem != "fresh":
            os.utime(path, (old, old))
    films.sweep(tmp_path, lambda case_id: case_id == "known")
    left = sorted(path.name for path in (tmp_path / films.FOLDER).iterdir())
    assert left == ["fresh.png", "known.png"]
    films.sweep(tmp_path / "none", lambda case_id: False)
