"""The command classify: one answer for each film."""

import os
import shutil

import numpy as np
import pytest
from command_line import CLASSIFY_KEYS, film_of, strict
from synthetic_films import as_dicom, as_png, chest_phantom
from tiny_model import PoolHere, register_tiny_model, tiny_probability

from cxr.films.film import read_film
from cxr.models import cards, registry
from cxr.models.lungs import FOLDER
from cxr.reading import stability, zones


class TestClassify:
    def test_a_film_is_one_line_with_all_keys(self, run, tmp_path, models_dir):
        path = tmp_path / "film.png"
        path.write_bytes(film_of(140))
        code, out, _ = run("classify", path, "--json")
        line = strict(out)
        assert code == 0
        assert out.count("\n") == 1
        assert list(line) == CLASSIFY_KEYS
        expected = tiny_probability(read_film(path.read_bytes()).pixels)
        assert line["probability"] == pytest.approx(expected, abs=1e-5)
        card = registry.read_card(models_dir, "tiny-1")
        assert line | {"probability": 0, "seconds": 0} == {
            "file": str(path),
            "status": "scored",
            "code": None,
            "reason": None,
            "eligible": True,
            "probability": 0,
            "answer": "above threshold",
            "threshold": 0.4,
            "model_id": "tiny-1",
            "model_sha256": card.files[cards.NETWORK_WEIGHTS].sha256,
            "warnings": [],
            "seconds": 0,
        }

    @pytest.mark.parametrize(
        ("view", "body_part", "reason"),
        [
            ("LL", None, "lateral-view"),
            ("LAO", None, "other-view"),
            ("PA", "HAND", "other-body-part"),
        ],
    )
    def test_field_case_k_what_the_header_rules_out_gets_no_score(
        self, run, tmp_path, view, body_part, reason
    ):
        path = tmp_path / "film.dcm"
        film = as_dicom(chest_phantom(), view=view, body_part=body_part)
        path.write_bytes(film)
        code, out, _ = run("classify", path, "--json")
        line = strict(out)
        assert (code, line["code"], line["eligible"]) == (1, reason, False)
        assert (line["probability"], line["answer"]) == (None, "refused")

    def test_what_is_no_frontal_chest_film_gets_no_score(self, run, tmp_path):
        white = np.clip(chest_phantom() * 0.1 + 236, 0, 255)
        path = tmp_path / "film.png"
        path.write_bytes(as_png(white))
        code, out, _ = run("classify", path, "--json")
        line = strict(out)
        assert (code, line["code"]) == (1, "not-frontal-chest")
        assert line["eligible"] is False and line["probability"] is None

    @pytest.mark.parametrize(
        ("elements", "words"),
        [
            ({"window": (2048, 16_384)}, "window or scaling does not fit"),
            ({"PatientOrientation": ["R", "H"]}, "turned upright"),
            ({"PresentationLUTShape": "INVERSE"}, "contradicts itself"),
        ],
    )
    def test_field_cases_d_e_and_j_are_warnings(self, run, tmp_path, elements, words):
        path = tmp_path / "film.dcm"
        path.write_bytes(as_dicom(chest_phantom(), **elements))
        code, out, _ = run("classify", path, "--json")
        (told,) = strict(out)["warnings"]
        assert code == 0
        assert words in told

    def test_stability_says_what_became_of_the_answer_under_small_changes(
        self, run, tmp_path
    ):
        (tmp_path / "a.png").write_bytes(film_of(106))
        (tmp_path / "b.png").write_bytes(b"text")
        paths = (tmp_path / "a.png", tmp_path / "b.png")
        code, out, _ = run("classify", *paths, "--stability", "--json")
        scored, refused = (strict(line) for line in out.splitlines())
        assert code == 1
        assert list(scored) == list(refused) == [*CLASSIFY_KEYS, "stability"]
        assert refused["stability"] is None
        found = scored["stability"]
        assert list(found["probabilities"]) == list(stability.CHANGES)
        assert found["changes"] == 9
        assert found["flips"] is (found["same"] < 9)
        assert found["low"] <= scored["probability"] <= found["high"]
        _, text, _ = run("classify", *paths, "--stability")
        assert f"holds in {found['same']} of 9 small changes" in text

    def test_evidence_says_in_which_zone_it_lies(
        self, run, tmp_path, models_dir, monkeypatch
    ):
        card = registry.read_card(models_dir, "tiny-1")
        even = {cover: dict.fromkeys(zones.ZONES, 1.0) for cover in zones.COVERS}
        known = zones.Baseline(
            model_id="tiny-1",
            mean=even,
            spread=even,
            lead=0.0,
            films=9,
            planted=9,
            rule="made up",
            split="validation",
            tested=9,
            named=5,
            right=4,
        )
        measured = zones.Baselines(models={card.weights_sha256: known})
        monkeypatch.setattr(zones, "baselines", lambda: measured)
        (tmp_path / "a.png").write_bytes(film_of(140))
        (tmp_path / "b.png").write_bytes(b"text")
        paths = (tmp_path / "a.png", tmp_path / "b.png")
        code, out, _ = run("classify", *paths, "--evidence", "--json")
        scored, refused = (strict(line) for line in out.splitlines())
        assert code == 1
        assert list(scored) == list(refused) == [*CLASSIFY_KEYS, "evidence"]
        assert refused["evidence"] is None
        found = scored["evidence"]
        assert list(found["heat"]) == list(found["falls"]) == list(zones.ZONES)
        assert found["inside"] == pytest.approx(sum(found["heat"].values()))
        assert found["zone"] in (*zones.ZONES, zones.OUTSIDE)
        _, text, _ = run("classify", *paths, "--evidence")
        assert f"Evidence: {found['zone']} (" in text

    def test_without_the_lung_network_nothing_is_scored(
        self, run, tmp_path, models_dir
    ):
        shutil.rmtree(models_dir / FOLDER, ignore_errors=True)
        path = tmp_path / "a.png"
        path.write_bytes(film_of(140))
        code, out, err = run("classify", path, "--json")
        assert (code, out) == (2, "")
        assert "There is no lung network" in err and "[no-lungs]" in err

    def test_a_refusal_has_code_and_reason_and_no_score(self, run, tmp_path):
        (tmp_path / "a.png").write_bytes(film_of(60))
        (tmp_path / "b.png").write_bytes(b"text")
        (tmp_path / "c.png").write_bytes(film_of(106))
        code, out, _ = run(
            "classify", *(tmp_path / f"{n}.png" for n in "abc"), "--json"
        )
        lines = [strict(line) for line in out.splitlines()]
        assert code == 1
        answers = [line["answer"] for line in lines]
        assert answers == ["below threshold", "refused", "no answer"]
        refused = lines[1]
        assert list(refused) == CLASSIFY_KEYS
        assert refused["status"] == "refused" and refused["code"] == "not-an-image"
        assert refused["reason"].endswith("Use PNG, JPEG or DICOM.")
        assert refused["probability"] is None

    def test_folders_are_walked_in_order_and_only_films_taken(self, run, tmp_path):
        folder = tmp_path / "films"
        (folder / "b").mkdir(parents=True)
        (folder / "x.png").mkdir()
        os.mkfifo(folder / "pipe.png")
        for name in ("c.PNG", "b/2.png", "b/1.png", "notes.txt"):
            (folder / name).write_bytes(film_of(120))
        other = tmp_path / "noname"
        other.write_bytes(film_of(100))
        code, out, _ = run("classify", folder, other, "--json")
        files = [strict(line)["file"] for line in out.splitlines()]
        names = [folder / "b/1.png", folder / "b/2.png", folder / "c.PNG", other]
        assert code == 0
        assert files == [str(name) for name in names]

    @pytest.mark.parametrize("name", ["missing.png", "", "empty"])
    def test_where_there_are_no_films_nothing_is_scored(self, run, tmp_path, name):
        (tmp_path / "films").mkdir()
        (tmp_path / "films" / "empty").mkdir()
        (tmp_path / "film.png").write_bytes(film_of(120))
        code, out, err = run(
            "classify", tmp_path / "film.png", tmp_path / "films" / name, "--json"
        )
        assert (code, out) == (2, "")
        assert err.rstrip().endswith("[dataset]")

    def test_a_file_that_vanishes_is_refused_alone(self, run, tmp_path, monkeypatch):
        for name in "ab":
            (tmp_path / f"{name}.png").write_bytes(film_of(120))
        start = PoolHere.start
        monkeypatch.setattr(
            PoolHere,
            "start",
            lambda pool: (start(pool), (tmp_path / "a.png").unlink()),
        )
        code, out, _ = run("classify", tmp_path / "a.png", tmp_path / "b.png", "--json")
        lines = [strict(line) for line in out.splitlines()]
        assert code == 1
        assert [line["code"] for line in lines] == ["not-opened", None]

    @pytest.mark.parametrize(
        "threshold, answer",
        [("0.001", "above threshold"), ("0.999", "below threshold")],
    )
    def test_the_readers_threshold_decides(self, run, tmp_path, threshold, answer):
        (tmp_path / "film.png").write_bytes(film_of(110))
        path = tmp_path / "film.png"
        _, out, _ = run("classify", path, "--threshold", threshold, "--json")
        line = strict(out)
        assert line["threshold"] == float(threshold)
        assert line["answer"] == answer

    @pytest.mark.parametrize("threshold", ["0", "1", "nan", "-0.5", "2", "inf", "half"])
    def test_a_threshold_that_is_none_is_wrong_use(self, run, threshold):
        code, out, err = run("classify", "film.png", f"--threshold={threshold}")
        assert (code, out) == (2, "")
        assert "--threshold" in err

    def test_another_model_than_the_active_one(self, run, tmp_path, models_dir):
        register_tiny_model(models_dir, "tiny-2")
        (tmp_path / "film.png").write_bytes(film_of(110))
        path = tmp_path / "film.png"
        for arguments, model_id in (([], "tiny-2"), (["--model", "tiny-1"], "tiny-1")):
            _, out, _ = run("classify", path, *arguments, "--json")
            assert strict(out)["model_id"] == model_id

    @pytest.mark.parametrize(
        "model_id, code",
        [("tiny-9", "no-such-model"), ("../tiny-1", "no-such-model"), ("", "no-such")],
    )
    def test_a_model_that_is_not_there_is_a_named_error(
        self, run, tmp_path, model_id, code
    ):
        (tmp_path / "film.png").write_bytes(film_of(110))
        exit_code, out, err = run(
            "classify", tmp_path / "film.png", "--model", model_id
        )
        assert (exit_code, out) == (2, "")
        assert f"[{code}" in err and "Traceback" not in err

    def test_a_damaged_model_scores_nothing(self, run, tmp_path, models_dir):
        (tmp_path / "film.png").write_bytes(film_of(110))
        with (models_dir / "tiny-1" / cards.NETWORK_WEIGHTS).open("r+b") as file:
            file.write(b"\x01")
        code, out, err = run("classify", tmp_path / "film.png", "--json")
        assert (code, out) == (2, "")
        assert "[damaged-model]" in err

    def test_in_words_there_is_a_line_for_each_film(self, run, tmp_path):
        (tmp_path / "a.png").write_bytes(film_of(150))
        (tmp_path / "b.png").write_bytes(b"")
        code, out, _ = run("classify", tmp_path / "a.png", tmp_path / "b.png")
        scored, refused = out.splitlines()
        assert code == 1
        assert (
            "above threshold, probability 0.9" in scored and "threshold 0.400" in scored
        )
        assert refused.endswith("refused, The file is empty. Export the film again.")

    def test_a_network_that_gives_no_number_is_a_refusal_and_never_normal(
        self, run, tmp_path, monkeypatch
    ):
        (tmp_path / "film.png").write_bytes(film_of(60))
        monkeypatch.setattr(
            "cxr.reading.scoring.Model.input",
            lambda model, film: np.full((224, 224, 1), np.nan, np.float32),
        )
        code, out, _ = run("classify", tmp_path / "film.png", "--json")
        line = strict(out)
        assert code == 1
        assert (line["status"], line["code"]) == ("refused", "not-scored")
        assert line["answer"] == "refused" and line["probability"] is None
