"""Operating points that a department lead has chosen, beside the shipped one.

Each is a file of its own below `records_dir`, written once and never changed, and an
entry of the audit trail. Only a file that says what the trail says is offered. A point
belongs to one network: it does not pass to another model that was given the same name.
"""

import math
import secrets
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from cxr import documents
from cxr.errors import CxrError
from cxr.governance import reasons
from cxr.models import registry
from cxr.models.cards import Card, is_threshold
from cxr.records import actors, audit
from cxr.records.audit import Entry

FOLDER = "operating-points"
ACTION = "operating point stored"
SHIPPED, SITE, READER = "shipped", "site", "reader"


@dataclass(frozen=True, kw_only=True)
class StoredPoint:
    """A threshold that was chosen, with who chose it and why.

    Attributes:
        point_id: unique.
        time: UTC, ISO 8601.
        actor: who stored it.
        model_id: the model it is for.
        model_sha256: of that model's network.
        threshold: `[0, 1]`.
        shipped: the model's own threshold at that time.
        reason: why, in the actor's words.
        films: which films the choice was looked at on.
        sensitivity: there; None if undefined.
        specificity: there; None if undefined.
    """

    point_id: str
    time: str
    actor: str
    model_id: str
    model_sha256: str
    threshold: float
    shipped: float
    reason: str
    films: str
    sensitivity: float | None
    specificity: float | None

    def __post_init__(self) -> None:
        """Raises ValueError for a threshold that can't serve."""
        if not is_threshold(self.threshold):
            raise ValueError(
                f"expected a threshold from 0 to 1, received {self.threshold=}"
            )


def store(
    records_dir: Path,
    card: Card,
    threshold: float,
    *,
    actor: str,
    reason: str,
    films: str,
    sensitivity: float,
    specificity: float,
) -> StoredPoint:
    """Returns the stored operating point; the shipped one stays as it is.

    Args:
        records_dir: where records are kept.
        card: of the model.
        threshold: `[0, 1]`.
        actor: who stores it.
        reason: why, in a sentence.
        films: which films the choice was looked at on.
        sensitivity: there; nan if undefined.
        specificity: there; nan if undefined.

    Raises:
        CxrError: that person may not (code `not-allowed`), there is no reason, or the
            records can't be written.
        ValueError: the threshold is out of range.
    """
    actors.require(records_dir, actor, actors.STORE)
    reason = reasons.given(reason)
    if not reason:
        raise CxrError(
            f"Give a reason of {reasons.SHORTEST} to {reasons.LONGEST} letters: others "
            "will read with this threshold.",
            code="no-reason",
        )
    point = StoredPoint(
        point_id=secrets.token_hex(6),
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        actor=actor,
        model_id=card.model_id,
        model_sha256=card.weights_sha256,
        threshold=threshold,
        shipped=card.threshold.value,
        reason=reason,
        films=films,
        sensitivity=sensitivity if math.isfinite(sensitivity) else None,
        specificity=specificity if math.isfinite(specificity) else None,
    )
    folder = records_dir / FOLDER / card.model_id
    try:
        # The trail goes first: no point is offered that it does not know.
        _add_to_audit_trail(records_dir, point)
        folder.mkdir(parents=True, exist_ok=True)
        documents.replace(folder / f"{point.point_id}.json", asdict(point))
    except OSError as error:
        raise CxrError(
            f"The operating point was not stored: {error.strerror}.",
            code="records-folder",
        ) from error
    return point


def points(records_dir: Path, card: Card) -> list[StoredPoint]:
    """Returns the operating points of this very network, the newest first.

    A file that is damaged, or that is not as the audit trail has it, is left out.

    Raises:
        CxrError: the audit trail can't be read.
    """
    folder = registry.folder_of(records_dir / FOLDER, card.model_id)
    stored = [_read(path) for path in folder.glob("*.json")]
    mine = [p for p in stored if p and p.model_sha256 == card.weights_sha256]
    if not mine:
        return []
    trail = audit.entries(records_dir, model_id=card.model_id, actions=(ACTION,))
    return [p for entry in trail for p in mine if _is_recorded(p, entry)]


def source(records_dir: Path, card: Card, threshold: float) -> tuple[str, str]:
    """Returns whose threshold a value is, and the id of the site's point if it is that.

    Args:
        records_dir: where records are kept.
        card: of the model.
        threshold: `[0, 1]`.

    Returns:
        `SHIPPED`, `SITE` or `READER`; the id is empty but for the site's.
    """
    if threshold == card.threshold.value:
        return SHIPPED, ""
    stored = points(records_dir, card)
    ids = [point.point_id for point in stored if point.threshold == threshold]
    return (SITE, ids[0]) if ids else (READER, "")


def _add_to_audit_trail(records_dir: Path, point: StoredPoint) -> None:
    audit.record(
        records_dir,
        ACTION,
        actor=point.actor,
        model_id=point.model_id,
        details=_details(point),
    )


def _is_recorded(point: StoredPoint, entry: Entry) -> bool:
    return (entry.actor, entry.model_id, entry.details) == (
        point.actor,
        point.model_id,
        _details(point),
    )


def _details(point: StoredPoint) -> dict[str, object]:
    """Returns what the entry of the trail holds beside its own columns."""
    known = ("actor", "model_id", "time")
    return {k: v for k, v in asdict(point).items() if k not in known}


def _read(path: Path) -> StoredPoint | None:
    try:
        return documents.read(path, StoredPoint)
    except (OSError, ValueError):
        return None
