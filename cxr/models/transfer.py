"""A model as one file, out of a registry and into another.

The archive is a zip of exactly the files on the card, and the card. What comes in is
data from a stranger: it is bounded before it is read, unpacked by our own code into
plain names inside a draft folder, held against the hashes on its card, and only then
loaded, without pickle and in a process of its own with limits of memory and time. The
loading needs that although it runs nothing of the archive: OpenVINO's reader is native
code that was not written for hostile files. What passes is renamed into the registry in
one step, as a candidate.

The hashes show that an archive is whole, not who made it: its card and its stored
scores are its maker's word.
"""

import errno
import io
import json
import math
import os
import shutil
import stat
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path
from typing import IO, BinaryIO

from cxr import disk
from cxr.errors import CxrError, ModelError
from cxr.films import decoding
from cxr.models import cards, registry, soundness
from cxr.models.cards import CARD, Card

MAX_MEMBERS = 32
MAX_BYTES = 1_500_000_000  # twice the network and weights of the largest architecture
MAX_RATIO = 200  # tables of scores shrink to a tenth
MAX_DIRECTORY_BYTES = 64 * 1024  # of the list of members at the end of the archive
SUFFIXES = (".xml", ".bin", ".npz", ".csv", ".h5", ".json")
CHECK_SECONDS = 120.0
CHECK_MEMORY_BYTES = 6 << 30  # address space; most of it is reserved and never used
MAX_ANSWER_BYTES = 10_000
CHUNK = 1 << 20

# Before 1980 a zip has no time; always the same makes equal models equal files.
_TIME = (1980, 1, 1, 0, 0, 0)
_END = struct.Struct("<4s4H2LH")
_END_SIGNATURE = b"PK\x05\x06"
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    ValueError,
    LookupError,
    NotImplementedError,
    RuntimeError,
)


def export_model(models_dir: Path, model_id: str) -> bytes:
    """Returns a registered model as the bytes of a zip archive.

    It holds what the card lists, the names of the films among it.

    Raises:
        ModelError: no such model, one of its files is missing or was changed, or it
            is an ensemble (code `ensemble`).
    """
    card = registry.read_card(models_dir, model_id)
    if card.members:
        ids = " ".join(member.model_id for member in card.members)
        raise ModelError(
            f"{model_id} is an ensemble: its networks are those of its members. Export "
            f"these, and there run `python -m cxr models ensemble {ids}`.",
            code="ensemble",
        )
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:
        for name in sorted(card.files):
            content = registry.read_file(models_dir, card, name)
            file.writestr(zipfile.ZipInfo(name, _TIME), content)
        path = registry.folder_of(models_dir, model_id) / CARD
        file.writestr(zipfile.ZipInfo(CARD, _TIME), path.read_bytes())
    return archive.getvalue()


def export_file(models_dir: Path, model_id: str, path: Path) -> None:
    """Writes a registered model into a new file, whole or not at all.

    Args:
        models_dir: where the registered models are.
        model_id: the model to export.
        path: of the new file.

    Raises:
        ModelError: as `export_model`.
        CxrError: code `file-exists`, `disk-full` or `file-not-written`.
    """
    content = export_model(models_dir, model_id)
    if path.exists():
        raise CxrError(f"{path} is there already: name another.", code="file-exists")
    try:
        with disk.writing(path.parent), disk.whole_file(path) as draft:
            _write(draft, io.BytesIO(content))
    except OSError as error:
        raise CxrError(
            f"{path} can't be written: {error.strerror}.", code="file-not-written"
        ) from error


def import_model(models_dir: Path, content: bytes | BinaryIO) -> Card:
    """Registers the model in an archive as a candidate; returns its card.

    Nothing in the archive is executed. Whatever is refused leaves nothing behind.

    Args:
        models_dir: the registry.
        content: of a zip that `export_model` made, or an open file with it.

    Raises:
        ModelError: code `archive` if it is no such archive or goes beyond the bounds,
            `already-there` if the registry has a model of that id, `unmeasured` if it
            has no figures from test films, `damaged-model`, `golden-score` or another
            of `inference.load` if the model is not fit.
        CxrError: code `disk-full` or `models-read-only`.
    """
    registry.sweep(models_dir)
    file = io.BytesIO(content) if isinstance(content, bytes) else content
    members = _members(file)
    with registry.writing(models_dir), disk.draft_folder(models_dir) as draft:
        card = _unpack(file, members, draft, models_dir)
        if changed := registry.verify(draft, card):
            raise ModelError(
                f"The archive is damaged. {changed[0]}", code="damaged-model"
            )
        soundness.require_measured(draft, card)
        _check_apart(draft, card.model_id)
        target = registry.folder_of(models_dir, card.model_id)
        _rename(draft / card.model_id, target)
    return card


def check(draft: Path, model_id: str) -> dict[str, str]:
    """Loads a model as it would be to serve; returns what is wrong, or nothing."""
    from cxr.models import inference

    try:
        inference.load(draft, model_id, threads=1)
    except ModelError as error:
        return {"code": error.code, "message": error.message}
    return {}


def _refused(why: str) -> ModelError:
    return ModelError(f"This is no model archive: {why}.", code="archive")


def _members(file: BinaryIO) -> dict[str, zipfile.ZipInfo]:
    """Returns the members by name, once the list of them is known to be sound."""
    _check_size(file)
    try:
        with zipfile.ZipFile(file) as archive:
            infos = archive.infolist()
    except _DAMAGE as error:
        raise _refused("it is not a zip file, or a damaged one") from error
    if len(infos) > MAX_MEMBERS:
        raise _refused(f"it has {len(infos)} members, more than {MAX_MEMBERS}")
    for info in infos:
        _check_member(info)
    if sum(info.file_size for info in infos) > MAX_BYTES:
        raise _refused(f"unpacked it is larger than {disk.in_words(MAX_BYTES)}")
    members = {info.filename: info for info in infos}
    # Some file systems take two cases of a letter for one.
    if len({name.lower() for name in members}) < len(infos):
        raise _refused("two members have the same name")
    if CARD not in members:
        raise _refused(f"it has no {CARD}")
    return members


def _check_size(file: BinaryIO) -> None:
    """Checks the counts and sizes at the end of the archive before its list is read.

    A list of millions of members would fill the memory.
    """
    size = file.seek(0, os.SEEK_END)
    if size > MAX_BYTES:
        raise _refused(f"it is larger than {disk.in_words(MAX_BYTES)}")
    file.seek(max(0, size - _END.size))
    end = file.read(_END.size)
    if len(end) < _END.size or not end.startswith(_END_SIGNATURE):
        raise _refused("it is not a zip file, or more follows at its end")
    _, _, _, _, members, directory_size, _, comment = _END.unpack(end)
    # In the form for larger archives these stand at their maximum.
    if members > MAX_MEMBERS or directory_size > MAX_DIRECTORY_BYTES or comment:
        raise _refused(f"it has more than {MAX_MEMBERS} members")
    file.seek(max(0, size - _END.size - 20))
    if size >= _END.size + 20 and file.read(4) == b"PK\x06\x07":
        raise _refused("it is of the kind for large archives")
    file.seek(0)


def _check_member(info: zipfile.ZipInfo) -> None:
    name = info.filename
    if info.orig_filename != name or not cards.is_file_name(name):
        raise _refused(f"{name[:80]!r} is not the name of a model's file")
    if Path(name).suffix not in SUFFIXES:
        raise _refused(f"{name!r} is no kind of file that a model has")
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        raise _refused(f"{name!r} is not a plain file")
    if info.flag_bits & 0x1:
        raise _refused(f"{name!r} is encrypted")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise _refused(f"{name!r} is packed in an unusual way")
    if info.file_size > MAX_RATIO * info.compress_size + CHUNK:
        raise _refused(f"{name!r} would grow to more than {MAX_RATIO} times its size")


def _unpack(
    file: BinaryIO, members: dict[str, zipfile.ZipInfo], draft: Path, models_dir: Path
) -> Card:
    """Unpacks into `draft/<model id>/`, so that the draft is a registry of its own."""
    try:
        with zipfile.ZipFile(file) as archive:
            content = _card_content(archive, members[CARD])
            model_id = _model_id(content)
            _check_absent(models_dir, model_id)
            folder = draft / model_id
            folder.mkdir()
            _write(folder / CARD, io.BytesIO(content))
            card = registry.read_card(draft, model_id)
            if card.members:
                raise _refused("it is an ensemble, without the networks of its members")
            _check_listed(card, members)
            _check_space(models_dir, sum(r.size for r in card.files.values()))
            for name in card.files:
                with archive.open(members[name]) as member:
                    _write(folder / name, member)
    except _DAMAGE as error:
        raise _refused("it is damaged") from error
    return card


def _card_content(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    if info.file_size > registry.MAX_CARD_CHARACTERS:
        raise _refused("its card is too long")
    return archive.read(info)


def _model_id(content: bytes) -> str:
    model_id = json.loads(content)["model_id"]
    if not isinstance(model_id, str) or not registry.is_model_id(model_id):
        raise _refused(f"{str(model_id)[:80]!r} is not a model id")
    return model_id


def _check_absent(models_dir: Path, model_id: str) -> None:
    if os.path.lexists(registry.folder_of(models_dir, model_id)):
        raise _already_there(model_id)


def _already_there(model_id: str) -> ModelError:
    return ModelError(
        f"The registry holds {model_id} already. Nothing was changed.",
        code="already-there",
    )


def _check_listed(card: Card, members: dict[str, zipfile.ZipInfo]) -> None:
    """Raises ModelError unless the members are the files on the card, and the card."""
    if CARD in card.files:
        raise _refused("its card lists itself")
    if odd := sorted(members.keys() ^ {CARD, *card.files}):
        raise _refused(f"card and members differ in {odd[0]!r}")
    for name, record in card.files.items():
        if members[name].file_size != record.size:
            raise _refused(f"{name!r} is not of the size on the card")


def _check_space(models_dir: Path, size: int) -> None:
    if disk.free(models_dir) < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _write(path: Path, source: IO[bytes]) -> None:
    with path.open("xb") as file:
        shutil.copyfileobj(source, file, CHUNK)
        file.flush()
        os.fsync(file.fileno())


def _check_apart(draft: Path, model_id: str) -> None:
    """Loads the model in a process of its own, which a hostile file may end.

    Raises:
        ModelError: it can't be loaded, or its process came to no end or a bad one.
    """
    command = [
        sys.executable,
        "-m",
        "cxr.models.transfer",
        str(draft.resolve()),
        model_id,
    ]
    command += [str(CHECK_MEMORY_BYTES), str(math.ceil(CHECK_SECONDS))]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=decoding.ROOT,
            env=decoding.worker_environment(),
            timeout=CHECK_SECONDS,
            check=False,
        )
        answer = json.loads(done.stdout[:MAX_ANSWER_BYTES])
        words = {str(key): str(value) for key, value in answer.items()}
    except subprocess.TimeoutExpired as error:
        raise _unfit("Loading it took too long") from error
    except (ValueError, AttributeError, RecursionError) as error:
        raise _unfit("Loading it ended its process") from error
    if words:
        raise ModelError(words.get("message", ""), code=words.get("code"))


def _unfit(what: str) -> ModelError:
    return ModelError(
        f"{what}; the network file is damaged or was made to do harm.",
        code="damaged-model",
    )


def _rename(source: Path, target: Path) -> None:
    try:
        source.rename(target)
    except OSError as error:
        # Another import of the same model was first.
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        raise _already_there(target.name) from error


def serve(draft: Path, model_id: str, memory_bytes: int, seconds: int) -> None:
    """Writes what `check` returns to standard output as one JSON line.

    Args:
        draft: the folder of the model as it was unpacked.
        model_id: the name it is to have.
        memory_bytes: address space of this process from now on.
        seconds: processor time of this process from now on.
    """
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints must not get into the answer
    decoding.limit_memory(memory_bytes)
    decoding.limit_time(seconds)
    with answers:
        json.dump(check(draft, model_id), answers)


if __name__ == "__main__":
    serve(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
