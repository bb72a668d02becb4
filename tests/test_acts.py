"""Every act as every role, through its function in cxr and through the command line.

What is allowed gets past the question and then ends for want of a model, a film, a
reason or a disk; what is not leaves nothing but its refusal in the audit trail.
"""

import getpass
import io
import math
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from synthetic_films import as_png, chest_phantom
from tiny_model import PoolHere, register_tiny_model

import cxr.training
from cxr.__main__ import main
from cxr.datasets import start as checking
from cxr.errors import CxrError
from cxr.governance import exchange, measurements, promotion, stored_points, trust
from cxr.reading import bulk, scoring
from cxr.records import actors, audit, history, search, soundness
from cxr.records.kept import KeptReading
from cxr.reports import history as table
from cxr.runs import start as training
from cxr.runs.config import config_for
from cxr.validation import alignment
from cxr.validation import start as validation

NOBODY = "nobody"
WHO = (*actors.ROLES, NOBODY)
CARD: Any = SimpleNamespace(model_id="m-1", weights_sha256="0", threshold=None)
NOT_PROPOSED: Any = SimpleNamespace(why_not=("Too few films.",))
MISSING = Path("nowhere")
CONFIG = config_for("quick", data=str(MISSING))
KEPT = KeptReading(
    model_id="m-1",
    model_sha256="0",
    card_sha256="0",
    threshold=0.4,
    threshold_source="shipped",
    answer="refused",
)
TASK = bulk.Task(
    input="nowhere", model_id="m-1", model_sha256="0", lungs_sha256="0", threshold=0.4
)
ASKED = validation.Asked(source=MISSING, model_id="m-1")
NAN = {"sensitivity": math.nan, "specificity": math.nan}

FUNCTIONS = [
    (
        actors.READ,
        lambda m, r, a: scoring.read_for(r, None, None, [], actor=a, lungs=None),
    ),
    (
        actors.READ,
        lambda m, r, a: bulk.score(
            TASK, r / "t.txt", [], None, None, lungs=None, records_dir=r, actor=a
        ),
    ),
    (actors.READ, lambda m, r, a: history.keep(r, KEPT, actor=a)),
    (actors.READ, lambda m, r, a: history.add(r, "0", actor=a)),
    (actors.READ, lambda m, r, a: history.unlist(r, ["0"], actor=a)),
    (actors.REVIEW, lambda m, r, a: history.review(r, "0", "agree", actor=a)),
    (actors.SEE_HISTORY, lambda m, r, a: search.require_sight(r, actor=a)),
    (
        actors.EXPORT_HISTORY,
        lambda m, r, a: table.export(r, search.Query(), io.BytesIO(), actor=a),
    ),
    (actors.DELETE_CASE, lambda m, r, a: history.delete(r, "0", actor=a, reason="")),
    (actors.EXPIRE, lambda m, r, a: history.expire(r, 1, actor=a)),
    (
        actors.ACKNOWLEDGE,
        lambda m, r, a: soundness.set_aside(r, actor=a, reason="seen"),
    ),
    (actors.ACKNOWLEDGE, lambda m, r, a: soundness.rebuild(r, actor=a)),
    (
        actors.STORE,
        lambda m, r, a: stored_points.store(
            r, CARD, 0.4, actor=a, reason="", films="", **NAN
        ),
    ),
    (
        actors.SIGN,
        lambda m, r, a: alignment.sign(r, CARD, NOT_PROPOSED, actor=a, reason=""),
    ),
    (actors.VALIDATE, lambda m, r, a: validation.start(str(MISSING), "m-1", actor=a)),
    (
        actors.VALIDATE,
        lambda m, r, a: validation.create(r / "v", m, ASKED, records_dir=r, actor=a),
    ),
    (
        actors.VALIDATE,
        lambda m, r, a: validation.begin(r / "v", m, ASKED, records_dir=r, actor=a),
    ),
    (actors.VALIDATE, lambda m, r, a: validation.resume(MISSING, actor=a)),
    (actors.VALIDATE, lambda m, r, a: validation.go_on(MISSING, r, actor=a)),
    (actors.STOP_VALIDATION, lambda m, r, a: validation.stop(MISSING, actor=a)),
    (actors.DELETE_VALIDATION, lambda m, r, a: validation.delete(MISSING, actor=a)),
    (actors.PROMOTE, lambda m, r, a: promotion.promote(m, r, "m-1", actor=a)),
    (actors.ACTIVATE, lambda m, r, a: promotion.activate(m, r, "m-1", actor=a)),
    (actors.ROLL_BACK, lambda m, r, a: promotion.roll_back(m, r, actor=a)),
    (actors.IMPORT, lambda m, r, a: exchange.import_model(m, r, io.BytesIO(), actor=a)),
    (actors.EXPORT, lambda m, r, a: exchange.export_bytes(m, r, "m-1", actor=a)),
    (
        actors.EXPORT,
        lambda m, r, a: exchange.export_file(m, r, "m-1", m / "z", actor=a),
    ),
    (actors.JOIN, lambda m, r, a: exchange.join(m, r, ["m-1", "m-2"], actor=a)),
    (
        actors.SET_BAND,
        lambda m, r, a: measurements.put_band(m, r, "m-1", None, actor=a),
    ),
    (
        actors.MEASURE_MODEL,
        lambda m, r, a: measurements.put_heatmap_worth(m, r, "m-1", None, actor=a),
    ),
    (actors.INSTALL_LUNGS, lambda m, r, a: trust.record_lungs(m, r, actor=a)),
    (
        actors.ACKNOWLEDGE,
        lambda m, r, a: trust.acknowledge(m, r, actor=a, reason="seen"),
    ),
    (actors.CHANGE_ROLES, lambda m, r, a: actors.grant(r, "", actors.LEAD, actor=a)),
    (actors.CHANGE_ROLES, lambda m, r, a: actors.revoke(r, "", actors.LEAD, actor=a)),
    (actors.TRAIN, lambda m, r, a: training.start(CONFIG, actor=a)),
    (actors.TRAIN, lambda m, r, a: training.begin(CONFIG, None, actor=a)),
    (actors.TRAIN, lambda m, r, a: training.resume(MISSING, actor=a)),
    (actors.TRAIN, lambda m, r, a: training.require_resumable(MISSING, actor=a)),
    (actors.STOP_TRAINING, lambda m, r, a: training.stop(MISSING, actor=a)),
    (actors.DELETE_RUN, lambda m, r, a: training.delete(MISSING, actor=a)),
    (actors.MEASURE_SPEED, lambda m, r, a: training.measure(CONFIG, actor=a)),
    (
        actors.MEASURE_SPEED,
        lambda m, r, a: training.require_measurable(MISSING, actor=a),
    ),
    (actors.CHECK_DATA, lambda m, r, a: checking.start(MISSING, actor=a)),
    (actors.CHECK_DATA, lambda m, r, a: checking.require(MISSING, actor=a)),
    (actors.CHECK_DATA, lambda m, r, a: checking.stop(MISSING, actor=a)),
]
COMMANDS = [
    (actors.READ, "classify film.png"),
    (actors.READ, "score --input . --output new.csv"),
    (actors.SEE_HISTORY, "history"),
    (actors.SEE_HISTORY, "history show 0"),
    (actors.SEE_HISTORY, "report --period day --to new.html"),
    (actors.EXPORT_HISTORY, "history export new.csv"),
    (actors.DELETE_CASE, "history delete 0 --reason seen"),
    (actors.EXPIRE, "history expire"),
    (actors.ACKNOWLEDGE, "history check --set-aside seen"),
    (actors.ACKNOWLEDGE, "history check --rebuild"),
    (actors.SIGN, "align --films empty --sign because"),
    (actors.VALIDATE, "validate --data empty --model none --folder new"),
    (actors.VALIDATE, "validate --data empty --model none --background"),
    (actors.VALIDATE, "validate --folder begun"),
    (actors.PROMOTE, "models promote none"),
    (actors.ACTIVATE, "models activate none"),
    (actors.ROLL_BACK, "models rollback"),
    (actors.IMPORT, "models import film.png"),
    (actors.EXPORT, "models export none new.zip"),
    (actors.JOIN, "models ensemble none tiny-1"),
    (actors.SET_BAND, "models set-band none --data empty"),
    (actors.MEASURE_MODEL, "robustness --data empty --model none --onto-card"),
    (actors.INSTALL_LUNGS, "train-lungs --data empty --masks empty --run new"),
    (actors.ACKNOWLEDGE, "models audit --acknowledge seen"),
    (actors.CHANGE_ROLES, "roles grant a@x.org boss"),
    (actors.CHANGE_ROLES, "roles revoke a@x.org boss"),
    (actors.TRAIN, "train --data empty"),
    (actors.TRAIN, "train --data empty --background"),
    (actors.TRAIN, "train --run begun --resume"),
    (actors.MEASURE_SPEED, "measure --data empty"),
    (actors.MEASURE_SPEED, "measure --run begun"),
    (actors.CHECK_DATA, "check nowhere"),
    (actors.CHECK_DATA, "check empty --background"),
]
# These are done on the pages alone.
WITHOUT_A_COMMAND = {
    *(actors.STORE, actors.STOP_VALIDATION, actors.DELETE_VALIDATION),
    *(actors.STOP_TRAINING, actors.DELETE_RUN, actors.REVIEW),
}


@pytest.fixture(scope="module")
def registered(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    register_tiny_model(folder)  # with its lungs
    return folder


@pytest.fixture
def records(tmp_path, monkeypatch) -> Path:
    """The trail of a place where each role is one person's; a disk with no room."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CXR_DISK_RESERVE_GB", "99999")
    monkeypatch.setenv("CXR_KEEP_DAYS", "30")
    for name in ("records", "runs", "cache"):
        monkeypatch.setenv(f"CXR_{name.upper()}_DIR", str(tmp_path / name))
    folder, lead = tmp_path / "records", f"{actors.SYSTEM}{actors.LEAD}"
    for role in (actors.LEAD, actors.READER, actors.TRAINER):
        actors.grant(folder, f"{actors.SYSTEM}{role}", role, actor=lead)
    return folder


def left_behind(root: Path, records: Path) -> dict[str, bytes]:
    """Every file but the audit trail's own."""
    own = {records / name for name in (audit.DATABASE, audit.HEAD)}
    own |= {records / f"{audit.DATABASE}{end}" for end in ("-wal", "-shm")}
    files = (path for path in root.rglob("*") if path.is_file() and path not in own)
    return {str(path): path.read_bytes() for path in files}


def refusals(records: Path) -> list[tuple[str, str]]:
    rows = audit.entries(records, actions=[actors.REFUSED])
    return [(row.actor, row.details["act"]) for row in rows]


def test_no_act_is_forgotten():
    functions, commands = {act for act, _ in FUNCTIONS}, {act for act, _ in COMMANDS}
    assert functions == set(actors.ACTS)
    assert commands | WITHOUT_A_COMMAND == functions


@pytest.mark.parametrize("role", WHO)
@pytest.mark.parametrize("number", range(len(FUNCTIONS)))
def test_its_function(number, role, records, tmp_path):
    act, function = FUNCTIONS[number]
    who, models = f"{actors.SYSTEM}{role}", tmp_path / "models"
    rows, files = audit.entries(records), left_behind(tmp_path, records)
    code = "done"
    try:
        function(models, records, who)
    except CxrError as error:
        code = error.code
    if role in actors.ACTS[act].roles:
        assert code != "not-allowed" and not refusals(records)
        return
    assert code == "not-allowed"
    assert refusals(records) == [(who, act)]
    assert audit.entries(records)[1:] == rows
    assert left_behind(tmp_path, records) == files


@pytest.fixture
def place(records, registered, tmp_path, monkeypatch) -> Path:
    """What the commands name: a film, an empty folder, one that was begun."""

    def nothing_to_learn_from(*_, **__):
        raise CxrError("There are no films.", code="no-films")

    monkeypatch.setenv("CXR_MODELS_DIR", str(registered))
    monkeypatch.setattr("cxr.films.decoding.DecoderPool", PoolHere)
    lungs = SimpleNamespace(train=nothing_to_learn_from)
    monkeypatch.setitem(sys.modules, "cxr.training.lungs", lungs)
    monkeypatch.setattr(cxr.training, "lungs", lungs, raising=False)
    (tmp_path / "film.png").write_bytes(as_png(chest_phantom(160, 160)))
    (tmp_path / "empty").mkdir()
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "config.json").write_text("{}")
    return tmp_path


@pytest.mark.parametrize("role", WHO)
@pytest.mark.parametrize(("act", "line"), COMMANDS, ids=[line for _, line in COMMANDS])
def test_its_command(act, line, role, place, records, monkeypatch, capsys):
    monkeypatch.setattr(getpass, "getuser", lambda: role)
    rows, files = audit.entries(records), left_behind(place, records)
    code = main(line.split())
    said = capsys.readouterr().err
    if role in actors.ACTS[act].roles:
        assert "[not-allowed]" not in said and "[usage]" not in said
        assert "[fault]" not in said and not refusals(records)
        return
    assert code == 2 and said.endswith("[not-allowed]\n")
    assert refusals(records) == [(f"{actors.SYSTEM}{role}", act)]
    assert audit.entries(records)[1:] == rows
    assert left_behind(place, records) == files
