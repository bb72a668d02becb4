"""What is done with a validation: begun, resumed, stopped, deleted, and by whom."""

from pathlib import Path

import pytest
from synthetic_films import as_png, chest_phantom
from validations import begin, create

from cxr.datasets import folders
from cxr.errors import CxrError, DatasetError, JobError, ModelError
from cxr.jobs import control
from cxr.records import audit
from cxr.validation import local, start


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hospital")
    for name in folders.CLASSES:
        (root / name).mkdir()
        (root / name / "film.png").write_bytes(as_png(chest_phantom(144, 144)))
    return root


@pytest.fixture
def folder(tmp_path: Path, models_dir: Path, hospital: Path) -> Path:
    return create(tmp_path / "validations", models_dir, hospital)


class TestBegin:
    def test_two_validations_have_two_folders(self, tmp_path, models_dir, hospital):
        made = [create(tmp_path, models_dir, hospital) for _ in range(2)]
        assert len(set(made)) == 2
        config = local.read_config(made[0])
        assert config.model_id == "tiny-1"
        assert Path(config.data) == hospital

    def test_an_unknown_model_is_refused(self, tmp_path, models_dir, hospital):
        with pytest.raises(ModelError, match="no model nobody"):
            create(tmp_path, models_dir, hospital, model_id="nobody")

    def test_the_same_again_changes_nothing_and_another_is_refused(
        self, folder, models_dir, hospital, tmp_path
    ):
        before = (folder / local.CONFIG).read_bytes()
        begin(folder, models_dir, hospital)
        assert (folder / local.CONFIG).read_bytes() == before
        with pytest.raises(JobError, match="another model or other films"):
            begin(folder, models_dir, tmp_path)

    def test_the_trail_says_once_who_began_it(self, folder, models_dir, hospital):
        begin(folder, models_dir, hospital)
        (entry,) = audit.entries(folder.parent / "records")
        assert (entry.actor, entry.action) == ("A. Reader", "validate")
        assert entry.details == {"validation": folder.name, "data": hospital.name}

    def test_without_a_trail_nothing_is_begun(self, tmp_path, models_dir, hospital):
        (tmp_path / "records").write_text("a file")
        with pytest.raises(CxrError):
            create(tmp_path, models_dir, hospital)
        assert [path.name for path in tmp_path.iterdir()] == ["records"]

    def test_the_command_names_the_folder_alone(self, folder):
        assert start.command(folder)[1:] == (
            "-m",
            "cxr",
            "validate",
            "--folder",
            str(folder),
        )


class TestStart:
    @pytest.fixture
    def queue(self, tmp_path, models_dir, hospital, monkeypatch):
        monkeypatch.setenv("CXR_RECORDS_DIR", str(tmp_path / "records"))
        monkeypatch.setenv("CXR_MODELS_DIR", str(models_dir))
        monkeypatch.setenv("CXR_DATA_DIR", str(hospital))
        return tmp_path / "records" / "validations"

    def test_is_recorded_and_then_submitted(self, queue, hospital, monkeypatch):
        calls = []

        def submit(folder, command):
            (entry,) = audit.entries(queue.parent)
            calls.append((folder, command, entry.actor, entry.model_id))

        monkeypatch.setattr(control, "submit", submit)
        folder = start.start(str(hospital), "tiny-1", actor="A. Reader")
        assert folder.parent == queue == local.queue()
        assert calls == [(folder, start.command(folder), "A. Reader", "tiny-1")]
        assert local.read_config(folder).limit == str(hospital)

    def test_that_fails_leaves_no_folder(self, queue, hospital, monkeypatch):
        def submit(folder, command):
            raise JobError("The disk is full.", code="disk-full")

        monkeypatch.setattr(control, "submit", submit)
        with pytest.raises(JobError, match="disk is full"):
            start.start(str(hospital), "tiny-1", actor="A. Reader")
        assert not any(queue.iterdir())

    def test_of_films_outside_the_data_leaves_no_trace(self, queue):
        with pytest.raises(DatasetError, match="outside the data"):
            start.start("/etc", "tiny-1", actor="A. Reader")
        assert not queue.exists()
        assert not audit.entries(queue.parent)


class TestGoingOn:
    @pytest.fixture
    def begun(self, tmp_path, models_dir, hospital, monkeypatch):
        """A validation in the app's own folders, and what was done with its job."""
        done = []
        monkeypatch.setenv("CXR_RECORDS_DIR", str(tmp_path / "records"))
        for act in ("submit", "stop", "delete"):
            monkeypatch.setattr(
                control, act, lambda folder, *_, act=act: done.append((act, folder))
            )
        folder = start.create(
            local.queue(),
            models_dir,
            start.Asked(source=hospital, model_id="tiny-1"),
            records_dir=tmp_path / "records",
            actor="ann",
        )
        return folder, done

    @pytest.mark.parametrize(
        ("act", "done", "row"),
        [
            (start.resume, "submit", "validate"),
            (start.stop, "stop", "stop validation"),
            (start.delete, "delete", "delete validation"),
        ],
    )
    def test_each_act_is_recorded_and_then_done(self, begun, tmp_path, act, done, row):
        folder, acts = begun
        act(folder, actor="bob")
        entry = audit.entries(tmp_path / "records", limit=1)[0]
        assert (entry.actor, entry.action) == ("bob", row)
        assert entry.details["validation"] == folder.name
        assert acts == [(done, folder)]

    @pytest.mark.parametrize("act", [start.stop, start.delete])
    def test_a_full_disk_keeps_nobody_from_ending_it(
        self, begun, monkeypatch, caplog, act
    ):
        folder, acts = begun

        def full(*_, **__):
            raise CxrError("The disk is full.", code="disk-full")

        monkeypatch.setattr(audit, "record", full)
        act(folder, actor="bob")
        assert len(acts) == 1 and "disk-full" in caplog.text

    def test_the_job_itself_goes_on_without_a_row(self, begun, tmp_path, monkeypatch):
        folder, _ = begun
        before = audit.entries(tmp_path / "records")
        monkeypatch.setattr(control, "is_this_process", lambda at: at == folder)
        start.go_on(folder, tmp_path / "records", actor="system:nobody")
        assert audit.entries(tmp_path / "records") == before
