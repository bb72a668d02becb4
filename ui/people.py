"""Who is at the page, for the audit trail."""

import streamlit as st

LOCAL = "local"


def actor() -> str:
    """Returns the e-mail address of the person logged in, "local" without logins."""
    if not st.user.get("is_logged_in", False):
        return LOCAL
    return str(st.user.get("email") or st.user.get("sub") or LOCAL)
