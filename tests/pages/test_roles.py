"""What each role finds on each page: no button for what it may not do."""

import pytest
from streamlit.testing.v1 import AppTest
from synthetic_films import as_png, chest_phantom
from tiny_model import register_tiny_model

from cxr.config import ROOT
from cxr.datasets import folders
from cxr.records import actors, audit
from ui import session

HOME, CLASSIFY = "app.py", "pages/1_Classify.py"
DASHBOARD, DATA = "pages/2_Dashboard.py", "pages/3_Data.py"
TRAIN, MODELS = "pages/4_Train.py", "pages/5_Models.py"
PAGES = (HOME, CLASSIFY, DASHBOARD, DATA, TRAIN, MODELS)
READER, LEAD, TRAINER = actors.ROLES
# Where, in which view of Models, which widget, and whose it is.
OFFERED = [
    (HOME, "", "Classify films", READER),
    (HOME, "", "Try sample films", READER),
    (CLASSIFY, "", "Chest films", READER),
    (DASHBOARD, "", "Store 0.40", LEAD),
    (DASHBOARD, "", "Validate tiny-1", LEAD),
    (DATA, "", "Check this data", TRAINER),
    (TRAIN, "", "Start training", TRAINER),
    (MODELS, "Compare and promote", "Promote tiny-2", LEAD),
    (MODELS, "Files", "Model (zip)", LEAD),
    (MODELS, "Files", "Exported model", LEAD),
    (MODELS, "Roles", "Grant", LEAD),
    (MODELS, "Roles", "Revoke", LEAD),
]
VIEWS = list(dict.fromkeys((page, view) for page, view, *_ in OFFERED))
KINDS = ("button", "download_button", "file_uploader")


@pytest.fixture(scope="module")
def registered(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    register_tiny_model(folder, "tiny-2")
    register_tiny_model(folder, "tiny-1")
    return folder


@pytest.fixture
def records(registered, tmp_path, monkeypatch):
    monkeypatch.setenv("CXR_MODELS_DIR", str(registered))
    for name in ("records", "runs", "cache"):
        monkeypatch.setenv(f"CXR_{name.upper()}_DIR", str(tmp_path / name))
    return tmp_path / "records"


@pytest.fixture
def data(tmp_path):
    for name in folders.CLASSES:
        (tmp_path / "films" / name).mkdir(parents=True)
        film = tmp_path / "films" / name / "film.png"
        film.write_bytes(as_png(chest_phantom(144, 144)))
    return tmp_path / "films"


def shown(path, view="", data="", chosen="tiny-2"):
    at = AppTest.from_file(str(ROOT / HOME), default_timeout=120)
    at.session_state["models_view"] = view or "Card"
    at.session_state["models_chosen"] = chosen
    at.session_state[session.SOURCE] = str(data)
    if path != HOME:
        at.switch_page(path)
    at.run()
    assert not at.exception
    return at


def offered(at):
    labels = [e.proto.label for kind in KINDS for e in at.get(kind)]
    return {label for label in labels if label}


def words(at):
    return " ".join(element.value for element in [*at.markdown, *at.caption])


@pytest.mark.parametrize("role", [*actors.ROLES, None])
@pytest.mark.parametrize(("page", "view"), VIEWS)
def test_what_a_role_may_not_do_is_no_button(page, view, role, records, data):
    actors.grant(records, "system:root", LEAD, actor="system:root")
    if role:
        actors.grant(records, actors.LOCAL, role, actor="system:root")
    at = shown(page, view, data)
    here = [(label, whose) for p, v, label, whose in OFFERED if (p, v) == (page, view)]
    for label, whose in here:
        assert (label in offered(at)) == (whose == role), label
    refused = any(whose != role for _, whose in here)
    assert ("You may not " in words(at)) == refused
    assert f"{actors.LOCAL}  \n{role or 'no role'}" in words(at)
    assert not audit.entries(records, actions=[actors.REFUSED])


def test_without_a_login_and_a_lead_everything_is_offered(records, data):
    for page, view in VIEWS:
        at = shown(page, view, data)
        here = {label for p, v, label, _ in OFFERED if (p, v) == (page, view)}
        # The first role is a lead's: there is none to revoke.
        assert here - {"Revoke"} <= offered(at)
        assert "No login: everybody has all roles" in words(at)


@pytest.mark.parametrize("page", PAGES)
def test_with_a_login_every_page_asks_for_it_first(page, records, monkeypatch):
    monkeypatch.setenv("CXR_LOGIN", "oidc")
    at = shown(page)
    assert offered(at) == {"Log in"}
    assert not at.get("page_link") and not at.selectbox and not at.get("tab")


@pytest.mark.parametrize("page", PAGES)
def test_a_proxy_that_names_nobody_gets_no_page(page, records, monkeypatch):
    monkeypatch.setenv("CXR_LOGIN", "proxy")
    monkeypatch.setenv("CXR_LOGIN_HEADER", "X-User")
    at = shown(page)
    assert "does not say who you are" in at.error[0].value
    assert not offered(at) and not at.get("page_link")


class TestForm:
    def test_names_the_first_lead_and_then_the_others(self, records):
        at = shown(MODELS, "Roles")
        at.text_input(key="roles_who").set_value("local")
        at.button(key="roles_grant").click().run()
        assert actors.roles(records) == {"local": {LEAD}}
        at.text_input(key="roles_who").set_value(" Bob@X.org")
        at.selectbox(key="roles_role").set_value(TRAINER)
        at.button(key="roles_grant").click().run()
        assert actors.roles(records)["bob@x.org"] == {TRAINER}
        assert "has the role trainer now" in at.info[0].value

    def test_says_why_a_change_was_refused(self, records):
        actors.grant(records, "local", LEAD, actor="local")
        at = shown(MODELS, "Roles")
        at.text_input(key="roles_who").set_value("local")
        at.selectbox(key="roles_role").set_value(LEAD)
        at.button(key="roles_revoke").click().run()
        assert "is the last lead" in at.warning[0].value
        assert actors.roles(records) == {"local": {LEAD}}
