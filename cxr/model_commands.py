"""`python -m cxr models ACTION`: the registry on the command line.

An action takes the settings and its arguments, all text, and returns its answer as JSON
knows it and whether all was well. What is heavy is imported only by the action that
needs it.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cxr import audit
from cxr.config import Settings
from cxr.errors import CxrError, ModelError

Answer = tuple[dict[str, Any], bool]


@dataclass(frozen=True, kw_only=True)
class Action:
    """One action.

    Attributes:
        run: does it.
        takes: the names of its arguments.
        more: whether the last of them may be repeated.
    """

    run: Callable[..., Answer]
    takes: tuple[str, ...] = ()
    more: bool = False

    def accepts(self, arguments: Sequence[str]) -> bool:
        """Returns whether the number of arguments is right."""
        extra = len(arguments) - len(self.takes)
        return extra == 0 or (self.more and extra > 0)


def show_list(where: Settings) -> Answer:
    """Lists the models, the newest first, and which one serves."""
    from cxr import registry

    try:
        active: str | None = registry.active_id(where.models_dir)
    except ModelError:
        active = None
    found = [
        {
            "model_id": card.model_id,
            "architecture": card.architecture,
            "created": card.created,
            "threshold": card.threshold.value,
            "test_auc": asdict(card.metrics["test"].auc)
            if "test" in card.metrics
            else None,
        }
        for card in registry.cards(where.models_dir)
    ]
    return {"active": active, "models": found}, True


def show(where: Settings, model_id: str) -> Answer:
    """Shows a card, whole."""
    from cxr import registry

    return asdict(registry.read_card(where.models_dir, model_id)), True


def verify(where: Settings) -> Answer:
    """Holds each model against its card, the trail and its golden scores."""
    from cxr import inference, promotion, registry

    found = {}
    for path in sorted(where.models_dir.glob(f"*/{registry.CARD}")):
        name = path.parent.name
        try:
            found[name] = promotion.problems(where.models_dir, where.records_dir, name)
            if not found[name]:
                inference.load(where.models_dir, name)
        except CxrError as error:
            found[name] = [error.message]
    return found, not any(found.values())


def compare(where: Settings, first: str, second: str) -> Answer:
    """Compares two models on the films held out from both."""
    from cxr import validation

    return asdict(validation.compare(where.models_dir, first, second)), True


def ensemble(where: Settings, *ids: str) -> Answer:
    """Registers an ensemble of models as a candidate."""
    from cxr import ensembles, promotion

    model_id = ensembles.create(where.models_dir, ids)
    promotion.record_card(
        where.models_dir,
        where.records_dir,
        promotion.JOINED,
        model_id,
        actor=_actor(),
        details={"members": list(ids)},
    )
    return {"model_id": model_id}, True


def activate(where: Settings, model_id: str) -> Answer:
    """Lets a model serve without asking the gates."""
    from cxr import promotion

    card = promotion.activate(
        where.models_dir, where.records_dir, model_id, actor=_actor()
    )
    return {"active": card.model_id}, True


def promote(where: Settings, model_id: str) -> Answer:
    """Lets a model serve if it passes the gates."""
    from cxr import promotion

    card = promotion.promote(
        where.models_dir, where.records_dir, model_id, actor=_actor()
    )
    return {"active": card.model_id}, True


def roll_back(where: Settings) -> Answer:
    """Lets the model serve that did before."""
    from cxr import promotion

    card = promotion.roll_back(where.models_dir, where.records_dir, actor=_actor())
    return {"active": card.model_id}, True


def export(where: Settings, model_id: str, target: str) -> Answer:
    """Writes a model into a new zip file."""
    from cxr import promotion, transfer

    path = Path(target)
    transfer.export_file(where.models_dir, model_id, path)
    entry = promotion.record_card(
        where.models_dir,
        where.records_dir,
        promotion.EXPORTED,
        model_id,
        actor=_actor(),
    )
    return {"model_id": model_id, "file": str(path), "time": entry.time}, True


def import_(where: Settings, source: str) -> Answer:
    """Registers the model in a zip file as a candidate."""
    from cxr import promotion, transfer

    try:
        with Path(source).open("rb") as file:
            card = transfer.import_model(where.models_dir, file)
    except FileNotFoundError as error:
        raise CxrError(f"There is no file {source}.", code="usage") from error
    promotion.record_card(
        where.models_dir,
        where.records_dir,
        promotion.IMPORTED,
        card.model_id,
        actor=_actor(),
    )
    return {"model_id": card.model_id}, True


def show_audit(where: Settings) -> Answer:
    """Shows the whole trail, the newest row first, and where its chain is broken."""
    problems = audit.verify(where.records_dir)
    rows = [asdict(entry) for entry in audit.entries(where.records_dir)]
    return {"problems": problems, "entries": rows}, not problems


ACTIONS = {
    "list": Action(run=show_list),
    "show": Action(run=show, takes=("ID",)),
    "verify": Action(run=verify),
    "compare": Action(run=compare, takes=("ID", "ID")),
    "ensemble": Action(run=ensemble, takes=("ID", "ID"), more=True),
    "promote": Action(run=promote, takes=("ID",)),
    "rollback": Action(run=roll_back),
    "activate": Action(run=activate, takes=("ID",)),
    "export": Action(run=export, takes=("ID", "FILE")),
    "import": Action(run=import_, takes=("FILE",)),
    "audit": Action(run=show_audit),
}


def _actor() -> str:
    return audit.operating_system_user()
