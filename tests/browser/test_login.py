"""Login in headless Chromium against an OpenID Connect provider on loopback.

With CXR_SCREENSHOTS set to a folder every step leaves its picture there.
"""

import json
import re
import subprocess
import sys

import pytest
from classify_in_browser import PATIENCE, picture, settled
from playwright.sync_api import expect
from servers import free_port, wait_for
from tiny_model import register_tiny_model

from cxr.records import actors, audit
from ui.wording import WORD_JOINER

pytestmark = pytest.mark.browser

ANN, BOB = "ann@hospital.example", "bob@hospital.example"
SECRETS = """
[auth]
redirect_uri = "http://127.0.0.1:{port}/oauth2callback"
cookie_secret = "only-of-this-test-and-never-of-an-app"
client_id = "cxr"
client_secret = "only-of-this-test"
server_metadata_url = "http://127.0.0.1:%d/.well-known/openid-configuration"
"""


@pytest.fixture
def records(tmp_path, monkeypatch):
    folder = tmp_path / "records"
    monkeypatch.setenv("CXR_RECORDS_DIR", str(folder))
    monkeypatch.setenv("CXR_LOGIN", "oidc")
    return folder


@pytest.fixture
def app(tmp_path, serve, records):
    """Starts a provider, whose logins last so many seconds, and the app."""
    models = tmp_path / "models"
    register_tiny_model(models)
    running = []

    def start(seconds=3600):
        port = free_port()
        command = [sys.executable, "-m", "oidc_provider_mock", "--port", str(port)]
        command += ["--token-max-age", str(seconds)]
        for address in (ANN, BOB):
            claims = {"sub": name_of(address), "email": address, "email_verified": True}
            command += ["--user-claims", json.dumps(claims)]
        running.append(subprocess.Popen(command))
        wait_for(port)
        secrets = tmp_path / "secrets.toml"
        secrets.write_text(SECRETS % port)
        address, _ = serve(models, "--secrets.files", str(secrets))
        return address

    yield start
    for provider in running:
        provider.terminate()
        provider.wait(20)


def name_of(address):
    return address.split("@")[0]


def opened(browser, address, path="", *, width=1440, scheme="light"):
    size = {"width": width, "height": 1000}
    page = browser.new_page(viewport=size, color_scheme=scheme)
    page.set_default_timeout(PATIENCE)
    page.goto(f"{address}/{path}")
    return page


def log_in(page, who):
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("button", name=name_of(who), exact=True).click()
    expect(sidebar(page)).to_contain_text(escaped_address(who), timeout=PATIENCE)
    settled(page)


def escaped_address(who):
    """The address as pages show it: no link, for want of a break before its @."""
    return who.replace("@", f"{WORD_JOINER}@")


def sidebar(page):
    return page.get_by_test_id("stSidebar")


def go_to(page, name):
    sidebar(page).get_by_role("link", name=name).click()
    expect(page).to_have_title(re.compile(f"^{name}"), timeout=PATIENCE)
    settled(page)


def test_login_roles_and_log_out(browser, app, records):
    page = opened(browser, app())
    expect(page.get_by_text("Log in to go on.")).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_role("link", name="Models")).to_have_count(0)
    picture(page, "login-asked")

    log_in(page, ANN)
    expect(sidebar(page)).to_contain_text("no role")
    expect(page.get_by_text("roles grant WHO lead")).to_be_visible()
    expect(page.get_by_role("button", name="Classify films")).to_have_count(0)
    picture(page, "login-no-role")

    actors.grant(records, ANN, actors.LEAD, actor=f"{actors.SYSTEM}root")
    page.reload()
    expect(sidebar(page)).to_contain_text("lead", timeout=PATIENCE)
    go_to(page, "Models")
    page.get_by_role("tab", name="Roles").click()
    page.get_by_label("Who", exact=True).fill(BOB)
    page.get_by_role("combobox", name="Role").click()
    page.get_by_role("option", name="Reader").click()
    picture(page, "roles-form")
    page.get_by_role("button", name="Grant").click()
    expect(page.get_by_text("has the role reader now")).to_be_visible(timeout=PATIENCE)
    settled(page)
    picture(page, "roles-granted")
    assert actors.roles(records) == {ANN: {"lead"}, BOB: {"reader"}}
    assert audit.entries(records, limit=1)[0].actor == ANN

    sidebar(page).get_by_role("button", name="Log out").click()
    page.get_by_role("button").first.click()  # the provider asks whether to
    expect(page.get_by_text("Log in to go on.")).to_be_visible(timeout=PATIENCE)
    page.reload()
    expect(page.get_by_text("Log in to go on.")).to_be_visible(timeout=PATIENCE)

    log_in(page, BOB)
    expect(sidebar(page)).to_contain_text("reader")
    go_to(page, "Models")
    page.get_by_role("tab", name="Roles").click()
    expect(page.get_by_text("You may not grant or revoke a role")).to_be_visible()
    expect(page.get_by_role("button", name="Grant")).to_have_count(0)
    picture(page, "roles-of-a-reader")
    go_to(page, "Train")
    expect(page.get_by_text("You may not train a model")).to_be_visible()
    expect(page.get_by_role("button", name="Start training")).to_have_count(0)
    picture(page, "train-of-a-reader")
    go_to(page, "Classify")
    expect(page.locator("input[type=file]")).to_have_count(1, timeout=PATIENCE)
    picture(page, "classify-of-a-reader")


def test_a_login_that_has_ended_is_asked_for_anew(browser, app, records):
    lasts = 15
    address = app(lasts)
    actors.grant(records, ANN, actors.LEAD, actor=f"{actors.SYSTEM}root")
    page = opened(browser, address, "Models", width=900, scheme="dark")
    log_in(page, ANN)
    picture(page, "login-dark")
    page.wait_for_timeout(1000 * (lasts + 1))
    # The page that was left open, then the same browser from the start.
    sidebar(page).get_by_role("link", name="Models").click()
    expect(page.get_by_text("Your login has ended")).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_text(escaped_address(ANN))).to_have_count(0)
    picture(page, "login-ended")
    page.goto(address)
    expect(page.get_by_text("Your login has ended")).to_be_visible(timeout=PATIENCE)
    log_in(page, ANN)
