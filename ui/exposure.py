"""Whether others can reach the app without a login, in one sentence."""

import ipaddress

import streamlit as st

from cxr.config import settings


def exposed() -> str:
    """Returns a warning if others can reach the app without a login, else nothing.

    Without `server.address` Streamlit listens on all interfaces.
    """
    address = st.get_option("server.address")
    if settings().login != "none" or _is_this_machine_only(address):
        return ""
    where = f"on {address}" if address else "on all interfaces of this machine"
    return (
        f"Anybody on the network can use this app: it listens {where} and asks for no "
        'login. Start it with server.address = "127.0.0.1", or with a login of its own '
        "(CXR_LOGIN=oidc) or of a proxy in front of it (CXR_LOGIN=proxy)."
    )


def _is_this_machine_only(address: str | None) -> bool:
    if address is None:
        return False
    if address == "localhost" or address.startswith("unix://"):
        return True
    try:
        return ipaddress.ip_address(address.strip("[]")).is_loopback
    except ValueError:
        return False
