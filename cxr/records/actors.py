"""Who may do what: the acts, the role that each takes, and who has which role.

It owns the table of acts and the rules on roles. Roles are no file: they are what the
rows of the audit trail come to, of which each was sealed when a lead granted or revoked
one. A trail that does not hold gives nobody a role.

Until somebody is named lead, an app that no login tells people apart for is open:
everybody has all roles. With such a login nobody has one until whoever runs the app has
named a lead on the command line, whose user may do everything until then.
"""

import logging
import unicodedata
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from cxr.config import settings
from cxr.errors import CxrError
from cxr.names import printable
from cxr.records import audit
from cxr.records.audit import Entry
from cxr.records.chain import MAX_NAME_CHARACTERS

READER, LEAD, TRAINER = "reader", "lead", "trainer"
ROLES = (READER, LEAD, TRAINER)
LOCAL = "local"  # whoever is at the page of an app without a login
SYSTEM = audit.SYSTEM
GRANTED, REVOKED, REFUSED = "role granted", "role revoked", "refused"
KEPT = "roles"  # in the row that begins a new trail: roles by name
MOST_NAMED = 3  # people whom a refusal names
CHANGES = (GRANTED, REVOKED, audit.RESTARTED)

logger = logging.getLogger(__name__)

Roles = Mapping[str, frozenset[str]]


@dataclass(frozen=True, kw_only=True)
class Act:
    """Something that takes a role.

    Attributes:
        roles: any one of them is enough.
        words: what is done, after "may not".
    """

    roles: tuple[str, ...]
    words: str


def _act(role: str, words: str, *others: str) -> Act:
    return Act(roles=(role, *others), words=words)


READ, REVIEW = "read", "review"
SEE_HISTORY, EXPORT_HISTORY = "see history", "export history"
DELETE_CASE, EXPIRE = "delete case", "expire"
STORE, SIGN = "store operating point", "sign alignment"
VALIDATE, STOP_VALIDATION = "validate", "stop validation"
DELETE_VALIDATION = "delete validation"
PROMOTE, ACTIVATE, ROLL_BACK = "promote", "activate", "roll back"
IMPORT, EXPORT, JOIN = "import", "export", "join"
SET_BAND, MEASURE_MODEL = "set band", "measure model"
INSTALL_LUNGS, ACKNOWLEDGE = "install lungs", "acknowledge damage"
CHANGE_ROLES = "change roles"
TRAIN, STOP_TRAINING, DELETE_RUN = "train", "stop training", "delete run"
MEASURE_SPEED, CHECK_DATA = "measure speed", "check data"

ACTS: Mapping[str, Act] = {
    READ: _act(READER, "read films"),
    REVIEW: _act(READER, "review a film"),
    SEE_HISTORY: _act(READER, "see what was read", LEAD),
    EXPORT_HISTORY: _act(LEAD, "export what was read"),
    DELETE_CASE: _act(LEAD, "delete a case"),
    EXPIRE: _act(LEAD, "delete cases that are past their time"),
    STORE: _act(LEAD, "store an operating point"),
    SIGN: _act(LEAD, "sign a threshold for this site"),
    VALIDATE: _act(LEAD, "validate a model on local films"),
    STOP_VALIDATION: _act(LEAD, "stop a validation"),
    DELETE_VALIDATION: _act(LEAD, "delete a validation"),
    PROMOTE: _act(LEAD, "promote a model"),
    ACTIVATE: _act(LEAD, "let a model serve without the gates"),
    ROLL_BACK: _act(LEAD, "roll back to an earlier model"),
    IMPORT: _act(LEAD, "import a model"),
    EXPORT: _act(LEAD, "export a model"),
    JOIN: _act(LEAD, "join models"),
    SET_BAND: _act(LEAD, "change a zone without an answer"),
    MEASURE_MODEL: _act(LEAD, "change the figures on a model's card"),
    INSTALL_LUNGS: _act(LEAD, "exchange the lung network"),
    ACKNOWLEDGE: _act(LEAD, "acknowledge a damaged audit trail"),
    CHANGE_ROLES: _act(LEAD, "grant or revoke a role"),
    TRAIN: _act(TRAINER, "train a model"),
    STOP_TRAINING: _act(TRAINER, "stop a training"),
    DELETE_RUN: _act(TRAINER, "delete a run"),
    MEASURE_SPEED: _act(TRAINER, "measure this machine"),
    CHECK_DATA: _act(TRAINER, "check a data folder"),
}


def require(records_dir: Path, actor: str, act: str) -> None:
    """Makes sure that somebody may do something; each act of `cxr` begins with it.

    A refusal goes into the audit trail, where that can be written.

    Args:
        records_dir: of the audit trail.
        actor: who is about to do it.
        act: one of `ACTS`.

    Raises:
        CxrError: that person has no role for it (code `not-allowed`), or the trail,
            which says so, can't be read or does not hold (code `records-damaged`).
    """
    if may(records_dir, actor, act):
        return
    try:
        audit.record(records_dir, REFUSED, actor=actor, details={"act": act})
    except CxrError as error:
        logger.warning("A refusal was not recorded: %s", error.code)
    raise CxrError(
        f"{printable(actor)} may not {ACTS[act].words}. {who_can(records_dir, act)}",
        code="not-allowed",
    )


def may(records_dir: Path, actor: str, act: str) -> bool:
    """Returns whether somebody has a role for an act.

    Args:
        records_dir: of the audit trail.
        actor: who would do it.
        act: one of `ACTS`.

    Raises:
        CxrError: the trail can't be read or does not hold. Only damage may be
            acknowledged then, by whom its rows still name as lead.
    """
    if act == ACKNOWLEDGE:
        known = readable_roles(records_dir)
        return bool(_of(actor, known) & {*ACTS[act].roles})
    return bool(roles_of(records_dir, actor) & {*ACTS[act].roles})


def who_can(records_dir: Path, act: str) -> str:
    """Returns in one sentence which role an act takes, and who has it.

    Raises:
        CxrError: the trail can't be read or does not hold.
    """
    known = readable_roles(records_dir)
    if not known:
        return (
            "No roles are given yet: whoever runs this app names the first lead with "
            "`python -m cxr roles grant WHO lead`."
        )
    wanted = ACTS[act].roles
    names = [who for who, has in known.items() if has & {*wanted}]
    role = f"That takes the role {' or '.join(wanted)}"
    if not names:
        return f"{role}, which nobody has: ask {_any_of(_leads(known))} for it."
    return f"{role}: ask {_any_of(names)}."


def roles_of(records_dir: Path, actor: str) -> frozenset[str]:
    """Returns the roles that somebody has; without a login and a lead, all of them.

    Raises:
        CxrError: the trail can't be read or does not hold.
    """
    return _of(actor, roles(records_dir))


def is_open(records_dir: Path) -> bool:
    """Returns whether everybody may do everything: no known people, no lead named.

    Raises:
        CxrError: the trail can't be read or does not hold.
    """
    return not settings().knows_people and not roles(records_dir)


def roles(records_dir: Path) -> Roles:
    """Returns who has which roles by the audit trail; empty before a first lead.

    Args:
        records_dir: of the audit trail.

    Raises:
        CxrError: the trail can't be read, or does not hold (code `records-damaged`).
    """
    return _roles(records_dir, audit.signature(records_dir))


def readable_roles(records_dir: Path) -> Roles:
    """Returns the roles by the rows that can be read, though the trail may not hold.

    For whoever looks at a damaged trail; everybody else asks `roles`.
    """
    with suppress(CxrError):
        return fold(audit.entries(records_dir, actions=CHANGES))
    return {}


def fold(entries: Sequence[Entry]) -> Roles:
    """Returns the roles that rows of the trail come to.

    The rules are kept here, whatever two people did at the same moment: the first role
    is that of a lead, after that only a lead's row counts, and the last lead stays.

    Args:
        entries: rows of `CHANGES`, the newest first.
    """
    known: dict[str, frozenset[str]] = {}
    for entry in reversed(entries):
        if entry.action == audit.RESTARTED:
            known = _kept(entry)
            continue
        who, role = str(entry.details.get("who")), str(entry.details.get("role"))
        begins = not known and (entry.action, role) == (GRANTED, LEAD)
        if role not in ROLES or not (begins or LEAD in known.get(entry.actor, ())):
            continue
        if entry.action == GRANTED:
            known[who] = known.get(who, frozenset()) | {role}
        elif role != LEAD or _leads(known) != [who]:
            known[who] = known.get(who, frozenset()) - {role}
    return {who: has for who, has in known.items() if has}


def grant(records_dir: Path, who: str, role: str, *, actor: str) -> Entry:
    """Gives somebody a role and returns the row that says so.

    Args:
        records_dir: of the audit trail.
        who: an e-mail address, `system:NAME`, `local`, or what a login calls a person.
        role: one of `ROLES`; the first that is granted is `lead`.
        actor: who grants it, a lead.

    Raises:
        CxrError: `not-allowed`, `actor` for an impossible name, `role` for an unknown
            role, one that this person has, or a first that is not lead; or the trail
            can't be read or written.
    """
    require(records_dir, actor, CHANGE_ROLES)
    who, known = named(who), roles(records_dir)
    _check_role(role)
    if not known and role != LEAD:
        raise CxrError("Name a lead first, who grants the other roles.", code="role")
    if role in known.get(who, ()):
        raise CxrError(f"{who} has the role {role} already.", code="role")
    return _change(records_dir, GRANTED, who, role, actor)


def revoke(records_dir: Path, who: str, role: str, *, actor: str) -> Entry:
    """Takes a role from somebody and returns the row that says so.

    Args:
        records_dir: of the audit trail.
        who: as it was granted.
        role: one of `ROLES`.
        actor: who revokes it, a lead.

    Raises:
        CxrError: `not-allowed`, `role` for one that this person does not have,
            `last-lead`; or the trail can't be read or written.
    """
    require(records_dir, actor, CHANGE_ROLES)
    who, known = named(who), roles(records_dir)
    _check_role(role)
    if role not in known.get(who, ()):
        raise CxrError(f"{who} does not have the role {role}.", code="role")
    if role == LEAD and _leads(known) == [who]:
        raise _last_lead(who)
    return _change(records_dir, REVOKED, who, role, actor)


def named(name: str) -> str:
    """Returns a name as roles know it: without spaces around, e-mail in small letters.

    Raises:
        CxrError: it is empty, longer than the trail keeps, or can't be shown as it is
            (code `actor`).
    """
    name = unicodedata.normalize("NFC", name).strip()
    if "@" in name and "://" not in name:
        name = name.lower()
    fits = 0 < len(name) <= MAX_NAME_CHARACTERS
    if not fits or printable(name) != name or any(c.isspace() for c in name):
        raise CxrError(
            "A person's name is an e-mail address or an account's name, without "
            f"spaces, of at most {MAX_NAME_CHARACTERS} letters.",
            code="actor",
        )
    return name


def person(name: str) -> str:
    """Returns the name of somebody who came through a login, fit for the trail.

    Raises:
        CxrError: no login may bring such a name: it is none, or that of the machine's
            own users or of an app without a login (code `actor`).
    """
    name = named(name)
    if name.lower() == LOCAL or name.lower().startswith(SYSTEM):
        raise CxrError(
            f"Nobody may log in as {name}: that name is this app's own.", code="actor"
        )
    return name


@lru_cache(maxsize=8)
def _roles(records_dir: Path, signature: audit.Signature) -> Roles:
    audit.require_sound(records_dir)
    return fold(audit.entries(records_dir, actions=CHANGES))


def _of(actor: str, known: Roles) -> frozenset[str]:
    if known:
        return known.get(actor, frozenset())
    at_machine = actor.startswith(SYSTEM)
    everything = at_machine or not settings().knows_people
    return frozenset(ROLES) if everything else frozenset()


def _any_of(people: Sequence[str]) -> str:
    shown = [printable(name) for name in sorted(people)[:MOST_NAMED]]
    if more := len(people) - len(shown):
        shown.append(f"{more} more")
    *first, last = shown
    return f"{', '.join(first)} or {last}" if first else last


def _leads(known: Roles) -> list[str]:
    return [who for who, has in known.items() if LEAD in has]


def _kept(entry: Entry) -> dict[str, frozenset[str]]:
    """Returns the roles for which whoever acknowledged a damaged trail vouched."""
    kept = entry.details.get(KEPT)
    if not isinstance(kept, dict):
        return {}
    return {
        str(who): frozenset(has) & {*ROLES}
        for who, has in kept.items()
        if isinstance(has, list)
    }


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise CxrError(
            f"There is no role {printable(role)}; there are {', '.join(ROLES)}.",
            code="role",
        )


def _last_lead(who: str) -> CxrError:
    return CxrError(
        f"{who} is the last lead: make somebody else lead first.", code="last-lead"
    )


def _change(records_dir: Path, action: str, who: str, role: str, actor: str) -> Entry:
    entry = audit.record(
        records_dir, action, actor=actor, details={"who": who, "role": role}
    )
    has = role in roles(records_dir).get(who, ())
    if has != (action == GRANTED):
        # Another change came first, and by the rules this one counts for nothing.
        raise CxrError(
            "Roles were changed by somebody else meanwhile. Look at them and try "
            "again.",
            code="role",
        )
    return entry
