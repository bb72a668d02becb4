"""The command line as a whole: version, streams, exit codes."""

import importlib
from pathlib import Path

import click
import pytest
from command_line import film_of, run_apart, strict

import cxr.commands
import cxr.training
from cxr.commands import program


class TestProgram:
    def test_every_command_that_is_written_can_be_called(self):
        folder = Path(cxr.commands.__path__[0])
        written = set()
        for path in folder.glob("*.py"):
            module = importlib.import_module(f"cxr.commands.{path.stem}")
            written |= {
                command.name
                for command in vars(module).values()
                if isinstance(command, click.Command)
            }
        actions = {
            action
            for name in ("models", "history", "roles")
            for action in program.commands.commands[name].commands
        }
        called = set(program.commands.commands)
        assert written == called | actions | {program.commands.name}

    def test_the_version(self, run):
        assert run("--version") == (0, f"{cxr.__version__}\n", "")

    @pytest.mark.parametrize("arguments", [[], ["fly"], ["models", "delete"]])
    def test_what_is_no_command_is_wrong_use(self, run, arguments):
        code, out, err = run(*arguments)
        assert (code, out) == (2, "")
        assert "usage" in err.lower()

    def test_a_setting_that_can_not_be_used_is_a_named_error(self, run, monkeypatch):
        monkeypatch.setenv("CXR_THREADS", "many")
        code, out, err = run("models", "--json")
        assert (code, out) == (2, "")
        assert "CXR_THREADS" in err and "[settings]" in err

    def test_a_process_classifies_and_prints_nothing_but_json(
        self, models_dir, tmp_path
    ):
        films = tmp_path / "films"
        films.mkdir()
        (films / "1.png").write_bytes(film_of(150))
        (films / "2.png").write_bytes(film_of(150)[:-30])
        (films / "3.png").write_bytes(film_of(60))
        done = run_apart("classify", films, "--json", models_dir=models_dir)
        lines = [strict(line) for line in done.stdout.splitlines()]
        assert done.returncode == 1
        assert [(line["answer"], line["code"]) for line in lines] == [
            ("above threshold", None),
            ("refused", "incomplete"),
            ("below threshold", None),
        ]
        assert done.stderr == ""

    def test_a_process_evaluates_and_logs_to_the_other_stream(
        self, models_dir, films_dir
    ):
        (films_dir / "test" / "NORMAL" / "odd.png").write_bytes(b"text")
        done = run_apart(
            "evaluate", "--data", films_dir, "--json", models_dir=models_dir
        )
        assert done.returncode == 1
        assert strict(done.stdout)["refused"] == 1
        assert done.stderr.endswith(" 1 films were refused.\n")

    def test_a_process_that_fails_says_why_and_shows_no_traceback(self, tmp_path):
        done = run_apart("models", "show", "x", models_dir=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("There is no model x.")
        assert "Traceback" not in done.stderr
