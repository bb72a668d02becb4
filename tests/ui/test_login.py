"""Who somebody is: by an ID token, by a proxy's header, or nobody in particular."""

from types import SimpleNamespace

import pytest

from cxr.config import Settings
from cxr.errors import CxrError
from ui import login

NOW = 1_000_000.0
CLAIMS = {
    "is_logged_in": True,
    "iss": "https://login.example",
    "sub": "a-42",
    "exp": NOW + 60,
    "email": "Ann@X.org",
    "email_verified": True,
}
AUTH = {
    "redirect_uri": "https://reading.example/oauth2callback",
    "cookie_secret": "x" * 32,
    "client_id": "cxr",
    "client_secret": "secret",
    "server_metadata_url": "https://login.example/.well-known/openid-configuration",
}


def refused(code, function, *arguments):
    with pytest.raises(CxrError) as caught:
        function(*arguments)
    assert caught.value.code == code
    return caught.value.message


class TestNameOf:
    def test_is_the_verified_address(self):
        assert login.name_of(CLAIMS, NOW) == "ann@x.org"

    @pytest.mark.parametrize("verified", [False, None, "true", 1])
    def test_an_address_that_nobody_verified_is_nobodys(self, verified):
        claims = CLAIMS | {"email_verified": verified}
        assert login.name_of(claims, NOW) == "https://login.example#a-42"

    def test_without_an_address_it_is_the_subject_of_its_issuer(self):
        claims = {k: v for k, v in CLAIMS.items() if not k.startswith("email")}
        assert login.name_of(claims, NOW) == "https://login.example#a-42"

    @pytest.mark.parametrize("claims", [{}, {"is_logged_in": False}])
    def test_nobody_has_no_name(self, claims):
        assert refused("login", login.name_of, claims, NOW) == login.NOBODY

    @pytest.mark.parametrize("ends", [NOW, NOW - 1, None, "tomorrow"])
    def test_a_token_that_has_ended_or_never_says_when_counts_no_more(self, ends):
        message = refused("login", login.name_of, CLAIMS | {"exp": ends}, NOW)
        assert message == login.ENDED

    @pytest.mark.parametrize("address", ["system:root", "local", "a b@x.org"])
    def test_a_name_of_the_app_itself_is_refused(self, address):
        refused("actor", login.name_of, CLAIMS | {"email": address}, NOW)

    @pytest.mark.parametrize("missing", ["iss", "sub"])
    def test_a_subject_without_issuer_is_nobody(self, missing):
        claims = CLAIMS | {"email_verified": False, missing: ""}
        refused("actor", login.name_of, claims, NOW)


class TestName:
    def come(self, monkeypatch, user, headers=()):
        found = SimpleNamespace(get_all=lambda name: list(headers))
        st = SimpleNamespace(
            user=SimpleNamespace(to_dict=lambda: user),
            context=SimpleNamespace(headers=found),
        )
        monkeypatch.setattr(login, "st", st)

    def test_without_a_login_everybody_is_local(self, monkeypatch):
        self.come(monkeypatch, CLAIMS, ["ann@x.org"])
        assert login.name() == "local"

    def test_a_proxy_that_names_nobody_leaves_everybody_local(self, monkeypatch):
        monkeypatch.setenv("CXR_LOGIN", "proxy")
        self.come(monkeypatch, CLAIMS, ["ann@x.org"])
        assert login.name() == "local"

    def test_by_the_header_that_is_set(self, monkeypatch):
        monkeypatch.setenv("CXR_LOGIN", "proxy")
        monkeypatch.setenv("CXR_LOGIN_HEADER", "X-User")
        self.come(monkeypatch, {}, ["Ann@x.org"])
        assert login.name() == "ann@x.org"

    @pytest.mark.parametrize("headers", [[], [""], [" "], ["ann@x.org", "bob@x.org"]])
    def test_an_empty_or_a_second_header_is_refused(self, monkeypatch, headers):
        monkeypatch.setenv("CXR_LOGIN", "proxy")
        monkeypatch.setenv("CXR_LOGIN_HEADER", "X-User")
        self.come(monkeypatch, CLAIMS, headers)
        assert "CXR_LOGIN_HEADER" in refused("login", login.name)

    def test_with_a_login_no_header_counts(self, monkeypatch):
        monkeypatch.setenv("CXR_LOGIN", "oidc")
        self.come(monkeypatch, {}, ["ann@x.org"])
        refused("login", login.name)


class TestCheck:
    @pytest.mark.parametrize("kind", ["none", "proxy"])
    def test_other_logins_need_no_secrets(self, kind):
        login.check(Settings(login=kind), {})

    def test_whole_secrets_will_do(self):
        login.check(Settings(login="oidc"), AUTH)

    @pytest.mark.parametrize("name", AUTH)
    def test_what_is_missing_is_named(self, name):
        for auth in (AUTH | {name: ""}, {k: v for k, v in AUTH.items() if k != name}):
            message = refused("settings", login.check, Settings(login="oidc"), auth)
            assert message.endswith(f"it lacks {name}.")

    @pytest.mark.parametrize(
        ("name", "value"),
        [("redirect_uri", "https://reading.example/"), ("cookie_secret", "x" * 31)],
    )
    def test_what_can_not_be_used_is_named(self, name, value):
        auth = AUTH | {name: value}
        assert name in refused("settings", login.check, Settings(login="oidc"), auth)
