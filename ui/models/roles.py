"""Who has which role, and the form by which a lead changes that."""

import streamlit as st

from cxr.config import settings
from cxr.errors import CxrError
from cxr.records import actors
from ui.people import actor, allowed, say_who_can
from ui.wording import escaped

WHO, ROLE = "roles_who", "roles_role"
DONE, REFUSED = "roles_done", "roles_refused"
MAY = {
    actors.READER: "reads films and reviews answers",
    actors.LEAD: "decides which model and threshold serve, validates, gives roles",
    actors.TRAINER: "checks data and trains candidates",
}
MEANS = "  \n".join(f"**{role.capitalize()}** {words}." for role, words in MAY.items())


def show_roles() -> None:
    """Shows who has which role; to a lead the form to grant and revoke one.

    Raises:
        CxrError: the audit trail, which holds the roles, can't be read or is damaged.
    """
    known = actors.roles(settings().records_dir)
    st.markdown(MEANS)
    if known:
        st.dataframe(
            [
                {"Who": who, **{r.capitalize(): r in has for r in actors.ROLES}}
                for who, has in sorted(known.items())
            ],
            hide_index=True,
            height="content",
            alt="Who has which role",
        )
    else:
        st.caption(
            ":material/lock_open: Nobody has a role yet. The first one is given to a "
            "lead; from then on everybody does only what their roles allow."
        )
    if done := st.session_state.pop(DONE, ""):
        st.info(escaped(done), icon=":material/task_alt:")
    if allowed(actors.CHANGE_ROLES):
        _offer_changes(first=not known)
    else:
        say_who_can(actors.CHANGE_ROLES)


def _offer_changes(*, first: bool) -> None:
    """Draws the form; before there is a lead it can do no more than name one."""
    roles = [actors.LEAD] if first else list(actors.ROLES)
    with st.form("roles_form"):
        row = st.grid(2, min_column_width=240, vertical_alignment="bottom")
        row.text_input(
            "Who",
            key=WHO,
            max_chars=200,
            placeholder="ann@hospital.example",
            help="The e-mail address of the login, or the name as the audit trail has "
            "it: `system:NAME` for a user of the command line.",
        )
        row.selectbox("Role", roles, format_func=str.capitalize, key=ROLE)
        with st.container(horizontal=True):
            st.form_submit_button(
                "Grant",
                key="roles_grant",
                icon=":material/person_add:",
                type="primary",
                on_click=_grant,
            )
            if not first:
                st.form_submit_button(
                    "Revoke",
                    key="roles_revoke",
                    icon=":material/person_remove:",
                    on_click=_revoke,
                )
    if refused := st.session_state.pop(REFUSED, ""):
        st.warning(escaped(refused), icon=":material/edit_note:")


def _grant() -> None:
    who, role = st.session_state[WHO], st.session_state[ROLE]
    try:
        actors.grant(settings().records_dir, who, role, actor=actor())
    except CxrError as error:
        st.session_state[REFUSED] = error.message
        return
    _done(f"{who.strip()} has the role {role} now.")


def _revoke() -> None:
    who, role = st.session_state[WHO], st.session_state[ROLE]
    try:
        actors.revoke(settings().records_dir, who, role, actor=actor())
    except CxrError as error:
        st.session_state[REFUSED] = error.message
        return
    _done(f"{who.strip()} does not have the role {role} any more.")


def _done(sentence: str) -> None:
    st.session_state[DONE] = sentence
    st.session_state[WHO] = ""
