"""How a person comes in: by OpenID Connect, by a proxy's header, or without a login.

It owns who somebody is. That is asked for anew at each act: a click on a page that was
left open is no longer anybody's once the login has ended.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st
from streamlit.errors import StreamlitSecretNotFoundError

from cxr.config import Settings, settings
from cxr.errors import CxrError
from cxr.records import actors
from cxr.reports.document import NOTICE

NEEDED = (
    *("redirect_uri", "cookie_secret", "client_id", "client_secret"),
    "server_metadata_url",
)
CALLBACK = "/oauth2callback"
SHORTEST_SECRET = 32  # letters
ENDED = "Your login has ended. Log in again to go on."
NOBODY = "Log in to go on."


def check(where: Settings, auth: Mapping[str, Any]) -> None:
    """Makes sure, before the first page is served, that people can log in as it is set.

    Args:
        where: the settings.
        auth: the section `[auth]` of Streamlit's secrets; empty if there is none.

    Raises:
        CxrError: something is missing or can't be used (code `settings`).
    """
    if where.login != "oidc":
        return
    if missing := [name for name in NEEDED if not auth.get(name)]:
        raise CxrError(
            "CXR_LOGIN=oidc needs the section [auth] in .streamlit/secrets.toml; it "
            f"lacks {', '.join(missing)}.",
            code="settings",
        )
    if not str(auth["redirect_uri"]).endswith(CALLBACK):
        raise CxrError(
            "The redirect_uri in .streamlit/secrets.toml must be this app's address "
            f"and end in {CALLBACK}.",
            code="settings",
        )
    if len(str(auth["cookie_secret"])) < SHORTEST_SECRET:
        raise CxrError(
            "The cookie_secret in .streamlit/secrets.toml must have at least "
            f"{SHORTEST_SECRET} random letters: who guesses it is anybody.",
            code="settings",
        )


def secrets() -> Mapping[str, Any]:
    """Returns the section `[auth]` of Streamlit's secrets; empty if there is none."""
    try:
        section = st.secrets.get("auth", {})
    except StreamlitSecretNotFoundError:
        return {}
    return section if isinstance(section, Mapping) else {}


def name() -> str:
    """Returns who is at the page, as roles and the audit trail know that person.

    Raises:
        CxrError: nobody has logged in, the login has ended, or the proxy names nobody
            (code `login`); or the name is one that no person may have (code `actor`).
    """
    where = settings()
    if where.login == "oidc":
        return name_of(st.user.to_dict(), time.time())
    if where.login_header:
        return _name_in(st.context.headers.get_all(where.login_header))
    return actors.LOCAL


def name_of(claims: Mapping[str, Any], now: float) -> str:
    """Returns the name of a person by the claims of the ID token (OpenID Connect Core).

    That is the e-mail address where the provider has verified it. Else it is the
    subject with its issuer, which together are unique and never given to another
    person (section 5.7).

    Args:
        claims: of the token; `is_logged_in` besides.
        now: seconds since 1970; `exp` is the time from which the token counts no more.

    Raises:
        CxrError: as `name`.
    """
    if not claims.get("is_logged_in"):
        raise CxrError(NOBODY, code="login")
    ends = claims.get("exp")
    if not isinstance(ends, int | float) or now >= ends:
        raise CxrError(ENDED, code="login")
    if claims.get("email_verified") is True and claims.get("email"):
        return actors.person(str(claims["email"]))
    issuer, subject = claims.get("iss"), claims.get("sub")
    return actors.person(f"{issuer}#{subject}" if issuer and subject else "")


def require_login(title: str) -> None:
    """Ends the page with the button to log in unless somebody has; else does nothing.

    Args:
        title: of the page.

    Raises:
        CxrError: the proxy names nobody, or a name that no person may have.
    """
    try:
        name()
    except CxrError as error:
        if error.code != "login" or settings().login != "oidc":
            raise
        st.title(title, anchor=False)
        st.caption(f":material/info: {NOTICE}")
        st.markdown(error.message)
        st.button(
            "Log in",
            key="login",
            icon=":material/login:",
            type="primary",
            on_click=st.login,
        )
        st.stop()


def offer_to_leave() -> None:
    """Shows the button to log out where the app itself asks for the login."""
    if settings().login == "oidc":
        st.button(
            "Log out",
            key="logout",
            icon=":material/logout:",
            type="tertiary",
            on_click=st.logout,
        )


def _name_in(values: Sequence[str]) -> str:
    # Two of them: one is not the proxy's.
    if len(values) != 1 or not values[0].strip():
        raise CxrError(
            "The proxy in front of this app does not say who you are. Whoever runs the "
            "app has to set CXR_LOGIN_HEADER to the header that the proxy sends.",
            code="login",
        )
    return actors.person(values[0])
