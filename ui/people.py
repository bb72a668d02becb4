"""Who is at the page and what that person may do: what every page asks.

A button for an act is drawn only where `allowed` says so; elsewhere a sentence says who
can. The act itself asks again.
"""

import streamlit as st

from cxr.config import settings
from cxr.errors import CxrError
from cxr.records import actors
from ui import login
from ui.wording import escaped, message


def actor() -> str:
    """Returns who is at the page, for the audit trail; "local" without logins.

    Raises:
        CxrError: nobody is logged in any more, or under a name that can't be.
    """
    return login.name()


def allowed(act: str) -> bool:
    """Returns whether the person at the page may do something.

    Args:
        act: one of `actors.ACTS`.
    """
    try:
        return actors.may(settings().records_dir, actor(), act)
    except CxrError:
        return False  # `say_who_can` says why.


def end_unless_allowed(act: str) -> None:
    """Ends the page with who can, unless the person at it may do what it is for.

    Args:
        act: one of `actors.ACTS`.

    Raises:
        CxrError: the audit trail, which holds the roles, can't be read or is damaged.
    """
    if not actors.may(settings().records_dir, actor(), act):
        say_who_can(act)
        st.stop()


def say_who_can(act: str) -> None:
    """Shows in place of a button, in a line, who can do what it would do.

    Args:
        act: one of `actors.ACTS`, which the person at the page may not do.
    """
    records_dir = settings().records_dir
    try:
        actors.roles(records_dir)
        said = f"You may not {actors.ACTS[act].words}. "
        said += actors.who_can(records_dir, act)
    except CxrError as error:
        said = error.message
    st.caption(f":material/lock: {message(said)}")


def show_person() -> None:
    """Shows who is at the page with which roles, and the way out.

    Raises:
        CxrError: nobody is logged in any more.
    """
    who = actor()
    try:
        if actors.is_open(settings().records_dir):
            st.caption(":material/lock_open: No login: everybody has all roles.")
            return
        has = actors.roles_of(settings().records_dir, who)
        words = ", ".join(role for role in actors.ROLES if role in has) or "no role"
    except CxrError:
        words = "roles can't be read"
    st.caption(f":material/person: {escaped(who)}  \n{words}")
    login.offer_to_leave()
