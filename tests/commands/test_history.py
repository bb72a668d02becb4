"""The command history: what was read, found again, exported and deleted."""

import json
import os

import pytest
from command_line import film_of, strict
from kept_readings import overwrite_header, reading

from cxr.config import settings
from cxr.records import audit, events, history, keys, search
from cxr.records.search import Query


@pytest.fixture
def records(models_dir):
    return settings().records_dir


@pytest.fixture
def read(run, tmp_path, records):
    """Two films that were classified: above the threshold, and refused."""
    for name, content in (("a.png", film_of(150)), ("b.png", b"text")):
        (tmp_path / name).write_bytes(content)
        run("classify", tmp_path / name)
    return records


class TestClassify:
    def test_what_is_classified_is_kept_with_who_did_it(self, run, read):
        refused, above = search.cases(read)
        assert above.reader == audit.operating_system_user()
        assert (above.reading.answer, above.reading.threshold_source) == (
            *("above threshold", "shipped"),
        )
        assert (refused.reading.answer, refused.reading.code) == (
            *("refused", "not-an-image"),
        )
        assert above.reading.film != refused.reading.film != ""

    def test_a_threshold_of_ones_own_is_kept_as_that(self, run, read, tmp_path):
        run("classify", tmp_path / "a.png", "--threshold", "0.3")
        kept = search.cases(read, limit=1)[0].reading
        assert (kept.threshold, kept.threshold_source) == (0.3, "reader")

    def test_stability_comes_along(self, run, read, tmp_path):
        run("classify", tmp_path / "a.png", "--stability")
        assert len(search.cases(read, limit=1)[0].stability["probabilities"]) == 9

    def test_without_history_nothing_is_kept(self, run, records, tmp_path):
        (tmp_path / "a.png").write_bytes(film_of(150))
        code, _, err = run("classify", tmp_path / "a.png", "--no-history")
        assert (code, err) == (0, "")
        assert not records.exists()

    def test_films_are_kept_where_the_site_wants_it(
        self, run, records, tmp_path, monkeypatch
    ):
        monkeypatch.setenv("CXR_KEEP_FILMS", "yes")
        (tmp_path / "a.png").write_bytes(film_of(150))
        run("classify", tmp_path / "a.png")
        [case] = search.cases(records)
        assert (records / "films" / f"{case.case_id}.png").is_file()

    def test_case_f4_films_are_read_on_and_it_is_said_once_that_nothing_is_kept(
        self, run, read, tmp_path
    ):
        overwrite_header(read / events.FILE)
        code, out, err = run("classify", *[tmp_path / "a.png"] * 3, "--json")
        assert code == 0 and out.count('"scored"') == 3
        assert err.count("Nothing is kept in the history.") == 1
        assert err.count("\n") == 1 and "damaged" in err


class TestHistory:
    def test_the_list_is_one_document_or_a_line_a_case(self, run, read):
        code, out, _ = run("history", "list", "--json")
        document = strict(out)
        assert code == 0
        assert (document["count"], document["reviewed"]) == (2, 0)
        assert document["answers"] == {"above threshold": 1, "refused": 1}
        refused, above = document["cases"]
        assert refused["reading"]["code"] == "not-an-image"
        assert above["film_kept"] is False
        code, out, _ = run("history")
        first, second, last = out.splitlines()
        assert code == 0 and "refused (not-an-image)" in first
        assert above["case_id"] in second
        assert last == "2 of 2 cases; 0 reviewed, 0 disagreements."

    @pytest.mark.parametrize(
        ("options", "count"),
        [
            (["--answer", "refused"], 1),
            (["--answer", "refused", "--answer", "above threshold"], 2),
            (["--since", "2020-01-01"], 2),
            (["--until", "2020-01-01"], 0),
            (["--model", "tiny-1"], 2),
            (["--reader", "nobody"], 0),
            (["--text", "heart"], 0),
            (["--disagreements"], 0),
            (["--opinion", "agree"], 0),
        ],
    )
    def test_filters_leave_what_they_name(self, run, read, options, count):
        _, out, _ = run("history", "list", *options, "--json")
        assert strict(out)["count"] == count

    def test_an_empty_history_is_listed_too(self, run, records):
        code, out, _ = run("history", "list", "--json")
        assert (code, strict(out)["cases"]) == (0, [])

    def test_a_case_is_shown_with_all_that_happened(self, run, read):
        case_id = search.cases(read)[-1].case_id
        history.review(read, case_id, "unsure", actor="bob", reason="Dim.")
        code, out, _ = run("history", "show", case_id, "--json")
        document = strict(out)
        assert code == 0
        assert (document["opinion"], document["reason"]) == ("unsure", "Dim.")
        kinds = [event["kind"] for event in document["events"]]
        assert kinds == ["reading", "review"]
        code, _, err = run("history", "show", "0" * 16)
        assert (code, "[no-case]" in err) == (2, True)

    @pytest.mark.parametrize("kind", ["csv", "parquet", "manifest"])
    def test_cases_are_exported_into_a_new_file(self, run, read, tmp_path, kind):
        target = tmp_path / "out"
        code, out, _ = run("history", "export", target, "--kind", kind, "--json")
        cases = {"manifest": 0}.get(kind, 2)
        assert (code, strict(out)) == (0, {"file": str(target), "cases": cases})
        assert target.stat().st_mode & 0o077 == 0
        content = target.read_bytes()
        code, _, err = run("history", "export", target)
        assert (code, target.read_bytes()) == (2, content)
        assert "already" in err

    def test_a_case_is_deleted_with_a_reason(self, run, read):
        case_id = search.cases(read)[0].case_id
        code, _, err = run("history", "delete", case_id)
        assert (code, "--reason" in err) == (2, True)
        code, out, _ = run("history", "delete", case_id, "--reason", "asked", "--json")
        assert (code, strict(out)) == (0, {"deleted": case_id})
        assert len(search.cases(read)) == 1

    def test_old_cases_go_after_the_days_that_the_site_says(
        self, run, read, monkeypatch
    ):
        code, _, err = run("history", "expire")
        assert (code, "CXR_KEEP_DAYS" in err) == (2, True)
        monkeypatch.setenv("CXR_KEEP_DAYS", "30")
        code, out, _ = run("history", "expire", "--json")
        assert (code, strict(out)) == (0, {"deleted": 0, "days": 30})

    def test_an_altered_history_is_verified_with_1(self, run, read):
        code, out, _ = run("history", "verify", "--json")
        assert (code, strict(out)) == (0, {"problems": []})
        (read / events.HEAD).unlink()
        code, out, _ = run("history", "verify", "--json")
        assert (code, len(strict(out)["problems"])) == (1, 1)

    def test_a_damaged_history_is_checked_and_set_aside(self, run, read):
        code, out, _ = run("history", "check", "--json")
        assert (code, strict(out)) == (0, {"trouble": None})
        overwrite_header(read / events.FILE)
        code, out, _ = run("history", "check", "--json")
        assert (code, "damaged" in strict(out)["trouble"]) == (1, True)
        code, out, _ = run("history", "check", "--set-aside", "disk fault", "--json")
        document = strict(out)
        assert (code, document["trouble"]) == (0, None)
        assert document["set_aside"][0].endswith(events.FILE)

    def test_rows_to_search_by_are_made_anew(self, run, read):
        code, out, _ = run("history", "check", "--rebuild", "--json")
        assert (code, strict(out)["rebuilt"]) == (0, 2)


def test_without_json_an_answer_is_json_over_several_lines(run, read):
    _, out, _ = run("history", "verify")
    assert json.loads(out) == {"problems": []} and out.count("\n") > 1


def test_case_f3_a_lost_secret_is_named_with_what_to_do(run, read):
    os.unlink(read / keys.KEY)
    code, out, _ = run("history", "check", "--json")
    assert code == 1 and keys.KEY in strict(out)["trouble"]
    history_before = len(search.cases(read, Query()))
    with pytest.raises(Exception, match=keys.KEY):
        history.keep(read, reading(), actor="ann")
    assert len(search.cases(read)) == history_before
