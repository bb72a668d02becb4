"""How a command ends: printable names, exit codes, no traceback."""

import io
import os
import signal
import subprocess
import sys
import zipfile

import click
import pytest
from command_line import film_of, run_apart, strict
from tiny_model import register_tiny_model

from cxr.commands import answers
from cxr.config import ROOT
from cxr.models import transfer


def started(models_dir, *options, films):
    """Returns a process that classifies, in a group of its own as under a terminal."""
    return subprocess.Popen(
        [sys.executable, *options, "-m", "cxr", "classify", *map(str, films)],
        cwd=ROOT,
        env={**os.environ, "CXR_MODELS_DIR": str(models_dir)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def ended_with(error):
    @click.group(invoke_without_command=True)
    def group() -> None:
        raise error

    return answers.run(group, [])


class TestNames:
    def test_field_case_10_a_line_break_forges_no_line(self, run, tmp_path):
        forged = tmp_path / "x.png: NORMAL, probability 0.001.\nother.png"
        forged.write_bytes(film_of(150))
        code, out, _ = run("classify", forged)
        assert code == 0
        assert len(out.splitlines()) == 1
        code, out, _ = run("classify", forged, "--json")
        assert strict(out)["file"] == str(forged)

    @pytest.mark.parametrize("encoding", ["ascii", "utf-8", "latin-1"])
    def test_field_case_a_a_process_ends_its_list_whatever_its_encoding(
        self, models_dir, tmp_path, monkeypatch, encoding
    ):
        for name in (b"a.png", b"b\xff.png", "ü.png".encode()):
            with open(os.path.join(os.fsencode(tmp_path), name), "wb") as file:
                file.write(film_of(150))
        monkeypatch.setenv("PYTHONIOENCODING", f"{encoding}:strict")
        process = started(models_dir, films=[tmp_path])
        out, err = process.communicate(timeout=60)
        first, second, third = out.decode(encoding).splitlines()
        assert (process.returncode, err) == (0, b"")
        assert "a.png: above threshold" in first
        assert "b\\udcff.png: above threshold" in second
        assert third.split("/")[-1].startswith(("ü.png:", "\\xfc.png:"))

    @pytest.mark.parametrize("encoding", ["ascii", "utf-8", "latin-1"])
    def test_field_case_a_a_stream_gets_what_it_can_encode(self, encoding, monkeypatch):
        raw = io.BytesIO()
        stream = io.TextIOWrapper(raw, encoding=encoding, errors="strict")
        monkeypatch.setattr(sys, "stdout", stream)
        answers.write("ü\udcff.png")
        assert raw.getvalue().decode(encoding).endswith("\\udcff.png\n")

    def test_field_case_a_a_name_that_is_not_utf8_stops_no_list(self, run, tmp_path):
        folder = tmp_path / "films"
        folder.mkdir()
        for name in (b"a.png", b"b\xff.png", b"c.png"):
            path = os.path.join(os.fsencode(folder), name)
            with open(path, "wb") as file:
                file.write(film_of(150))
        code, out, _ = run("classify", folder)
        assert code == 0
        first, second, third = out.splitlines()
        assert second.split(":")[0].endswith("b\\udcff.png")


class TestEnds:
    def test_field_case_13_a_stop_is_a_stop(self, capsys):
        assert ended_with(KeyboardInterrupt()) == 130
        assert capsys.readouterr().err.strip() == "Stopped."

    def test_field_case_13_a_fault_is_one_line(self, capsys):
        assert ended_with(ZeroDivisionError("secret")) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("Something went wrong: ZeroDivisionError at ")
        assert "secret" not in err and "Traceback" not in err

    def test_field_case_13_a_system_error_is_named(self, capsys):
        error = PermissionError(13, "Permission denied", "some\nwhere")
        assert ended_with(error) == 2
        err = capsys.readouterr().err
        assert err == "some\\nwhere can't be used: Permission denied. [system]\n"

    @pytest.mark.parametrize("below", ["", "below"])
    def test_field_case_13_a_records_folder_that_is_a_file(
        self, run, tmp_path, monkeypatch, models_dir, films_dir, below
    ):
        register_tiny_model(models_dir, "tiny-2")
        before = sorted(models_dir.iterdir())
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("CXR_RECORDS_DIR", str(tmp_path / "file" / below))
        code, out, err = run("models", "audit", "--json")
        (problem,) = strict(out)["problems"]
        assert code == 1 and "is no folder" in problem
        zipped = tmp_path / "model.zip"
        validation = ("--data", films_dir, "--folder", tmp_path / "new")
        for arguments in (
            ("models", "activate", "tiny-1"),
            ("models", "rollback"),
            ("models", "ensemble", "tiny-1", "tiny-2"),
            ("models", "export", "tiny-1", zipped),
            ("validate", *validation),
        ):
            code, out, err = run(*arguments)
            assert (code, out) == (2, ""), arguments
            assert err.endswith("[records-folder]\n"), arguments
        # What can't be recorded is not done.
        assert sorted(models_dir.iterdir()) == before
        assert not zipped.exists()

    @pytest.mark.parametrize("name", ["x" * 5000, "y" * 300])
    def test_field_case_13_a_folder_name_that_is_too_long(
        self, run, tmp_path, films_dir, name
    ):
        for arguments in (
            ("check", name),
            ("check", films_dir, "--folder", tmp_path / name),
            ("classify", name),
            ("evaluate", "--data", name),
            ("validate", "--folder", tmp_path / name, "--data", films_dir),
            ("train", "--data", name),
            ("train", "--resume", "--run", tmp_path / name),
            ("models", "export", "tiny-1", tmp_path / name),
            ("models", "import", name),
            ("models", "show", name),
        ):
            code, out, err = run(*arguments)
            assert (code, out) == (2, ""), arguments
            last = err.splitlines()[-1]
            assert "Traceback" not in err and last.endswith("]"), arguments
            assert len(last) < 400, arguments

    def test_field_case_13_a_model_called_active_json(self, run, models_dir, tmp_path):
        register_tiny_model(tmp_path / "elsewhere", "tiny-3")
        zipped = tmp_path / "model.zip"
        with (
            zipfile.ZipFile(zipped, "w") as target,
            zipfile.ZipFile(
                io.BytesIO(transfer.export_model(tmp_path / "elsewhere", "tiny-3"))
            ) as source,
        ):
            for name in source.namelist():
                content = source.read(name).replace(b"tiny-3", b"active.json")
                target.writestr(name.replace("tiny-3", "active.json"), content)
        (models_dir / "active.json").unlink()  # None serves yet.
        before = sorted(models_dir.iterdir())
        for arguments in (
            ("models", "import", zipped),
            ("models", "show", "active.json"),
            ("models", "activate", "active.json"),
            ("models", "promote", "active.json"),
        ):
            code, out, err = run(*arguments)
            assert (code, out) == (2, ""), arguments
            assert "Traceback" not in err and "[fault]" not in err, arguments
        assert sorted(models_dir.iterdir()) == before
        assert run("models", "activate", "tiny-1")[0] == 0

    def test_field_case_13_nobody_reads_on(self, models_dir, tmp_path):
        films = tmp_path / "films"
        films.mkdir()
        for i in range(4):
            (films / f"{i}.png").write_bytes(film_of(150, seed=i))
        command = [sys.executable, "-m", "cxr", "classify", str(films)]
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "CXR_MODELS_DIR": str(models_dir)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        process.stdout.close()
        _, err = process.communicate(timeout=60)
        assert process.returncode == 1
        assert b"Traceback" not in err and b"Exception ignored" not in err

    @pytest.mark.parametrize("place", ["click.types", "numpy.linalg"])
    def test_field_case_13_ctrl_c_ends_a_command_that_still_loads(
        self, models_dir, place
    ):
        process = started(models_dir, "-X", "importtime", films=[ROOT / "README.md"])
        for line in process.stderr:  # A line for each module that is loaded.
            if place.encode() in line:
                break
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 130 and out == b""
        assert err.endswith(b"\nStopped.\n") and b"Traceback" not in err

    def test_field_case_13_ctrl_c_ends_a_command_and_its_workers(
        self, models_dir, tmp_path
    ):
        film = tmp_path / "film.png"
        film.write_bytes(film_of(150))
        process = started(models_dir, films=[film] * 4000)
        assert b"above threshold" in process.stdout.readline()
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (130, b"\nStopped.\n")

    def test_help_is_of_the_action(self, models_dir):
        done = run_apart("models", "promote", "--help", models_dir=models_dir)
        assert done.returncode == 0
        assert "passes the gates" in done.stdout and "ID" in done.stdout
