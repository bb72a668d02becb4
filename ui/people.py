"""Who is at the page, for the audit trail."""

import streamlit as st

LOCAL = "local"


def actor() -> str:
    """Returns the address of who is logged in, or "local" where nobody has to."""
    if not st.user.get("is_logged_in", False):
        return LOCAL
    return str(st.user.get("email") or st.user.get("sub") or LOCAL)
