"""Export and import: round trip, hostile archives, networks that fail, full disks."""

import io
import json
import stat
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_model import register_tiny_model

from cxr.errors import CxrError, ModelError
from cxr.models import cards, inference, registry, scores, transfer

Members = dict[str, bytes]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    register_tiny_model(tmp_path / "source")
    return tmp_path / "source"


@pytest.fixture
def archive(source: Path) -> bytes:
    return transfer.export_model(source, "tiny-1")


@pytest.fixture
def models_dir(tmp_path: Path) -> Path:
    """A registry of another model, so that there is something to lose."""
    register_tiny_model(tmp_path / "models", "mine-1")
    return tmp_path / "models"


@pytest.fixture
def loads_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spares the process that a network is checked in."""

    def check(draft: Path, model_id: str) -> None:
        if found := transfer.check(draft, model_id):
            raise ModelError(found["message"], code=found["code"])

    monkeypatch.setattr(transfer, "_check_apart", check)


def members_of(archive: bytes) -> Members:
    with zipfile.ZipFile(io.BytesIO(archive)) as file:
        return {name: file.read(name) for name in file.namelist()}


def zipped(members: Members, compression: int = zipfile.ZIP_STORED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", compression) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return made.getvalue()


def with_info(members: Members, change: Callable[[zipfile.ZipInfo], object]) -> bytes:
    """An archive whose golden films have another entry in the list of members."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            if name == cards.GOLDEN:
                change(info)
            file.writestr(info, content)
    return made.getvalue()


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


class TestRoundTrip:
    def test_a_model_arrives_as_it_left(self, source, archive, models_dir):
        card = transfer.import_model(models_dir, archive)
        assert card == registry.read_card(models_dir, "tiny-1")
        assert contents(models_dir / "tiny-1") == contents(source / "tiny-1")
        assert inference.load(models_dir, "tiny-1").card == card
        assert registry.active_id(models_dir) == "mine-1"
        assert {p.name for p in models_dir.iterdir()} == {
            "mine-1",
            "tiny-1",
            registry.LUNGS,
            registry.ACTIVE,
        }

    @pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
    def test_an_open_file_and_a_packed_archive_too(
        self, archive, tmp_path, loads_here, method
    ):
        file = io.BytesIO(zipped(members_of(archive), method))
        assert transfer.import_model(tmp_path / "new", file).model_id == "tiny-1"

    def test_equal_models_are_equal_files(self, source, archive):
        assert transfer.export_model(source, "tiny-1") == archive

    def test_an_archive_holds_what_is_on_the_card_and_the_card(self, source, archive):
        (source / "tiny-1" / "secret.txt").write_text("x")
        members = members_of(transfer.export_model(source, "tiny-1"))
        card = registry.read_card(source, "tiny-1")
        assert members.keys() == {cards.CARD, *card.files}

    def test_a_changed_model_is_not_exported(self, source):
        with (source / "tiny-1" / cards.HISTORY).open("a") as file:
            file.write("x")
        with pytest.raises(ModelError, match="was changed"):
            transfer.export_model(source, "tiny-1")

    def test_a_file_is_written_whole_and_none_is_overwritten(self, source, tmp_path):
        path = tmp_path / "out" / "model.zip"
        with pytest.raises(CxrError) as refused:
            transfer.export_file(source, "tiny-1", path)
        assert refused.value.code == "file-not-written"
        path.parent.mkdir()
        transfer.export_file(source, "tiny-1", path)
        with pytest.raises(CxrError) as refused:
            transfer.export_file(source, "tiny-1", path)
        assert refused.value.code == "file-exists"
        assert [p.name for p in path.parent.iterdir()] == ["model.zip"]
        assert path.read_bytes() == transfer.export_model(source, "tiny-1")

    def test_a_model_that_is_there_is_not_replaced(
        self, archive, models_dir, loads_here
    ):
        transfer.import_model(models_dir, archive)
        before = contents(models_dir)
        with pytest.raises(ModelError) as refused:
            transfer.import_model(models_dir, archive)
        assert refused.value.code == "already-there"
        assert contents(models_dir) == before


def card_with(**changes: object) -> Callable[[Members], bytes]:
    def make(members: Members) -> bytes:
        card = json.loads(members[cards.CARD]) | changes
        return zipped(members | {cards.CARD: json.dumps(card).encode()})

    return make


def added(name: str) -> Callable[[Members], bytes]:
    return lambda members: zipped(members | {name: b"x"})


def listed(name: str) -> Callable[[Members], bytes]:
    """A member that is on the card too."""

    def make(members: Members) -> bytes:
        card = json.loads(members[cards.CARD])
        card["files"][name] = {"sha256": "0" * 64, "size": 1}
        changed = {cards.CARD: json.dumps(card).encode()}
        return zipped(members | changed | {name: b"x"})

    return make


def without(name: str) -> Callable[[Members], bytes]:
    return lambda members: zipped({k: v for k, v in members.items() if k != name})


def twice(members: Members) -> bytes:
    made = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(made, "w") as file:
        warnings.simplefilter("ignore")
        for name, content in [*members.items(), (scores.SCORES, b"x")]:
            file.writestr(name, content)
    return made.getvalue()


def linked(members: Members) -> bytes:
    def change(info: zipfile.ZipInfo) -> None:
        info.external_attr = (stat.S_IFLNK | 0o777) << 16

    return with_info(members, change)


def bomb(members: Members) -> bytes:
    zeros = {cards.GOLDEN: bytes(300_000_000)}
    return zipped(members | zeros, zipfile.ZIP_DEFLATED)


def encrypted(members: Members) -> bytes:
    made = bytearray(zipped(members))
    entry = made.index(b"PK\x01\x02")
    made[entry + 8] |= 1
    return bytes(made)


def many_promised(members: Members) -> bytes:
    made = bytearray(zipped(members))
    struct.pack_into("<L", made, len(made) - 10, 1_000_000_000)
    return bytes(made)


def zip64(members: Members) -> bytes:
    made = zipped(members)
    return made[:-22] + b"PK\x06\x07" + bytes(16) + made[-22:]


def flipped(members: Members) -> bytes:
    made = bytearray(zipped(members))
    made[made.index(members[cards.NETWORK_WEIGHTS]) + 3] ^= 1
    return bytes(made)


def swapped(members: Members) -> bytes:
    content = bytearray(members[scores.SCORES])
    content[-5] ^= 1
    return zipped(members | {scores.SCORES: bytes(content)})


HOSTILE = {
    "empty": (lambda members: b"", "archive"),
    "text": (lambda members: b"text" * 99, "archive"),
    "pickle": (lambda members: b"\x80\x04\x95" + b"." * 99, "archive"),
    "cut": (lambda members: zipped(members)[:-30], "archive"),
    "more follows": (lambda members: zipped(members) + b"x", "archive"),
    "no members": (lambda members: zipped({}), "archive"),
    "no card": (without(cards.CARD), "archive"),
    "no network": (without(cards.NETWORK), "archive"),
    "a stranger": (added("other.csv"), "archive"),
    "up": (added("../evil.csv"), "archive"),
    "absolute": (added("/tmp/evil.csv"), "archive"),
    "nested": (added("sub/evil.csv"), "archive"),
    "backslash": (added("sub\\evil.csv"), "archive"),
    "folder": (added("sub/"), "archive"),
    "hidden": (added(".evil.csv"), "archive"),
    "long name": (added("x" * 60_000 + ".csv"), "archive"),
    "pickle inside": (listed("model.pkl"), "archive"),
    "program inside": (listed("run.py"), "archive"),
    "card on card": (listed("CARD.json"), "archive"),
    "twice": (twice, "archive"),
    "link": (linked, "archive"),
    "bomb": (bomb, "archive"),
    "encrypted": (encrypted, "archive"),
    "long list": (many_promised, "archive"),
    "zip64": (zip64, "archive"),
    "many": (lambda m: zipped({f"{i}.csv": b"" for i in range(99)}), "archive"),
    "bzip2": (lambda members: zipped(members, zipfile.ZIP_BZIP2), "archive"),
    "flipped bit": (flipped, "archive"),
    "changed table": (swapped, "damaged-model"),
    "id leads out": (card_with(model_id="../evil"), "archive"),
    "id is no text": (card_with(model_id=["x"]), "archive"),
    "id of a draft": (card_with(model_id=".draft-1"), "archive"),
    "odd card": (card_with(surprise=1), "damaged-card"),
    "other size": (card_with(input_size=512), "damaged-model"),
    "other classes": (card_with(classes=["PNEUMONIA", "NORMAL"]), "other-classes"),
    "other pixels": (card_with(preparation="another"), "other-preparation"),
    "other calibration": (
        card_with(calibration={"slope": 3.0, "intercept": 1.0, "prevalence": 0.7}),
        "golden-score",
    ),
}


class TestHostile:
    @pytest.mark.parametrize(("make", "code"), HOSTILE.values(), ids=HOSTILE)
    def test_it_is_refused_and_leaves_nothing(
        self, archive, tmp_path, models_dir, loads_here, make, code
    ):
        before = contents(tmp_path)
        with pytest.raises(ModelError) as refused:
            transfer.import_model(models_dir, make(members_of(archive)))
        assert refused.value.code == code
        assert len(refused.value.message) < 300
        assert contents(tmp_path) == before
        assert list(models_dir.glob(".*")) == []

    def test_an_archive_beyond_all_bounds_is_not_read(
        self, archive, models_dir, monkeypatch
    ):
        monkeypatch.setattr(transfer, "MAX_BYTES", len(archive) - 1)
        with pytest.raises(ModelError, match="larger than"):
            transfer.import_model(models_dir, archive)


class TestApart:
    def test_a_network_that_can_not_be_read_is_refused_there(self, source, models_dir):
        (source / "tiny-1" / cards.NETWORK).write_text("<net>" * 100)
        card = json.loads((source / "tiny-1" / cards.CARD).read_text())
        files = registry.file_records(source / "tiny-1")
        record = files[cards.NETWORK]
        card["files"][cards.NETWORK] = {"sha256": record.sha256, "size": record.size}
        (source / "tiny-1" / cards.CARD).write_text(json.dumps(card))
        archive = transfer.export_model(source, "tiny-1")
        with pytest.raises(ModelError) as refused:
            transfer.import_model(models_dir, archive)
        assert refused.value.code == "damaged-model"
        assert not (models_dir / "tiny-1").exists()
        assert list(models_dir.glob(".*")) == []

    def test_a_process_that_dies_is_a_refusal(self, archive, models_dir, monkeypatch):
        # OpenVINO can't even be loaded in so little.
        monkeypatch.setattr(transfer, "CHECK_MEMORY_BYTES", 100_000_000)
        with pytest.raises(ModelError, match="ended its process") as refused:
            transfer.import_model(models_dir, archive)
        assert refused.value.code == "damaged-model"
        assert not (models_dir / "tiny-1").exists()

    def test_a_process_that_does_not_end_is_a_refusal(
        self, archive, models_dir, monkeypatch
    ):
        monkeypatch.setattr(transfer, "CHECK_SECONDS", 0.01)
        with pytest.raises(ModelError, match="too long"):
            transfer.import_model(models_dir, archive)
        assert list(models_dir.glob(".*")) == []


class TestDisk:
    @pytest.mark.parametrize("nth", range(1, 9))
    @pytest.mark.parametrize(
        ("number", "code"), [(28, "disk-full"), (30, "models-read-only")]
    )
    def test_a_write_that_fails_is_named_and_leaves_nothing(
        self, archive, models_dir, loads_here, monkeypatch, nth, number, code
    ):
        before, calls = contents(models_dir), []
        real = transfer._write

        def write(path: Path, source: io.BytesIO) -> None:
            calls.append(path)
            if len(calls) == nth:
                path.write_bytes(b"half")
                raise OSError(number, "no")
            real(path, source)

        with monkeypatch.context() as patched:
            patched.setattr(transfer, "_write", write)
            if nth > len(members_of(archive)):
                transfer.import_model(models_dir, archive)
                return
            with pytest.raises(CxrError) as refused:
                transfer.import_model(models_dir, archive)
        assert refused.value.code == code
        assert contents(models_dir) == before
        # Once there is space again it works, without a new start.
        assert transfer.import_model(models_dir, archive).model_id == "tiny-1"

    def test_too_little_space_is_seen_before_it_is_used(
        self, archive, models_dir, monkeypatch
    ):
        monkeypatch.setattr(transfer.disk, "free", lambda folder: 1000)
        with pytest.raises(CxrError) as refused:
            transfer.import_model(models_dir, archive)
        assert refused.value.code == "disk-full"
        assert not (models_dir / "tiny-1").exists()
