"""The server's door and its start: headers, room for uploads, imports, exposure."""

import asyncio
import json
import platform
import signal
import subprocess
import sys

import pytest
import uvicorn
from streamlit import config as streamlit_config
from tiny_model import register_tiny_model

from cxr.config import ROOT
from cxr.errors import CxrError
from ui import server
from ui.exposure import exposed

SCOPE = {"type": "http", "method": "PUT", "path": "/_stcore/upload_file/s/f"}


async def answers(scope, receive, send):
    """An app that answers everything."""
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def asked(app, **scope):
    """The status and the headers of an answer."""
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(app({"headers": []} | SCOPE | scope, None, send))
    return sent[0]["status"], {k.decode(): v.decode() for k, v in sent[0]["headers"]}


class TestSafeHeaders:
    def test_no_other_site_may_frame_a_page_or_be_asked_for_anything(self):
        _, headers = asked(server.SafeHeaders(answers), method="GET", path="/")
        policy = headers["content-security-policy"]
        assert "frame-ancestors 'self'" in policy
        assert "default-src 'self'" in policy
        assert "http" not in policy and "*" not in policy
        assert "unsafe-eval" not in policy
        assert headers["x-content-type-options"] == "nosniff"


class TestRoom:
    """Field case 1: the bytes of uploads have a cap for the server."""

    @pytest.fixture
    def held(self, monkeypatch):
        """The bytes that the server holds, of 100 MB."""
        held = [0]
        monkeypatch.setenv("CXR_UPLOAD_MB", "100")
        monkeypatch.setattr(server, "held_bytes", lambda: held[0])
        return held

    @pytest.mark.parametrize(
        ("there", "size", "status"),
        [(0, 49, 204), (51, 49, 204), (52, 49, 413), (100, 1, 413), (0, 101, 413)],
    )
    def test_field_case_1_an_upload_comes_in_only_while_there_is_room(
        self, held, there, size, status
    ):
        held[0] = there * 10**6
        length = str(size * 10**6).encode()
        found, _ = asked(server.Room(answers), headers=[(b"content-length", length)])
        assert found == status

    def test_field_case_1_uploads_under_way_count(self, held):
        inside = []

        async def slow(scope, receive, send):
            inside.append(room.coming)
            if len(inside) == 1:  # a second one comes while this one is under way
                refused = []

                async def keep(message):
                    refused.append(message)

                await room(scope, receive, keep)
                inside.append(refused[0]["status"])
            await answers(scope, receive, send)

        room = server.Room(slow)
        asked(room, headers=[(b"content-length", b"60000000")])
        assert inside == [60_000_000, 413]
        assert room.coming == 0

    def test_an_upload_of_no_stated_size_is_refused(self, held):
        assert asked(server.Room(answers))[0] == 411

    @pytest.mark.parametrize("change", [{"method": "GET"}, {"path": "/Classify"}])
    def test_what_is_no_upload_passes(self, held, change):
        held[0] = 10**9
        assert asked(server.Room(answers), **change)[0] == 204


class TestExposed:
    """Field case 13: who may reach the app is said."""

    @pytest.fixture
    def address(self, monkeypatch):
        def listen(value):
            monkeypatch.setattr(
                "streamlit.get_option",
                lambda name: value if name == "server.address" else None,
            )

        return listen

    @pytest.mark.parametrize("value", ["127.0.0.1", "127.0.0.2", "localhost", "::1"])
    def test_field_case_13_this_machine_alone_is_no_warning(self, address, value):
        address(value)
        assert exposed() == ""

    @pytest.mark.parametrize(
        ("value", "words"),
        [
            (None, "on all interfaces"),
            ("0.0.0.0", "on 0.0.0.0"),
            ("::", "on ::"),
            ("192.168.1.5", "on 192.168.1.5"),
            ("reading.example", "on reading.example"),
        ],
    )
    def test_field_case_13_a_network_without_a_login_is(self, address, value, words):
        address(value)
        assert words in exposed()
        assert "asks for no login" in exposed()

    @pytest.mark.parametrize("login", ["proxy", "oidc"])
    def test_field_case_13_with_a_login_there_is_none(
        self, address, monkeypatch, login
    ):
        address("0.0.0.0")
        monkeypatch.setenv("CXR_LOGIN", login)
        assert exposed() == ""

    def test_the_project_listens_on_this_machine_alone(self):
        assert streamlit_config.get_option("server.address") == "127.0.0.1"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("CXR_LOGIN", "oidc", "it lacks redirect_uri, cookie_secret, client_id"),
        ("CXR_LOGIN_HEADER", "X-User", "only with CXR_LOGIN=proxy"),
    ],
)
def test_a_login_that_can_not_be_asked_for_stops_the_start(
    monkeypatch, name, value, words
):
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit, match=words):
        server.check_settings()


@pytest.mark.slow
def test_field_case_5_after_the_start_no_page_imports_a_library(tmp_path):
    register_tiny_model(tmp_path / "models")
    script = f"""
import json, os, sys
from streamlit.testing.v1 import AppTest
os.environ["CXR_MODELS_DIR"] = {str(tmp_path / "models")!r}
sys.path.insert(0, "tests")
from synthetic_films import as_png, chest_phantom
from ui import server
server.warm()
before = set(sys.modules)
at = AppTest.from_file("app.py", default_timeout=120).run()
for name in sorted(os.listdir("pages")):
    if name.endswith(".py"):
        at.switch_page("pages/" + name).run()
        if "Classify" in name:
            at.file_uploader[0].upload("film.png", as_png(chest_phantom()))
            at.run()
        assert not at.exception, name
late = ("pandas", "pyarrow", "plotly", "_plotly_utils", "cv2", "openvino", "PIL",
        "scipy", "numpy", "cxr", "ui", "narwhals")
print(json.dumps(sorted(m for m in set(sys.modules) - before
      if m.split(".")[0] in late)))
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
        timeout=240,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert found == [], "\n".join(found)


class TestStop:
    def test_a_stop_waits_for_open_pages_for_some_seconds_only(self, monkeypatch):
        running = uvicorn.Server(uvicorn.Config(answers))
        assert running.config.timeout_graceful_shutdown is None
        monkeypatch.setattr(signal, "getsignal", lambda _: running.handle_exit)
        server.bound_the_stop()
        assert running.config.timeout_graceful_shutdown == server.LAST_WORDS

    def test_another_handler_stays_as_it_is(self, monkeypatch):
        monkeypatch.setattr(signal, "getsignal", lambda _: signal.SIG_DFL)
        server.bound_the_stop()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_memory_of_dropped_arrays_goes_back_to_the_system():
    # What is kept lies above what is dropped, as a page's own values do.
    script = """
import sys
import numpy as np
import psutil
from ui import server
if sys.argv[1] == "returned":
    server.return_memory()
def megabytes():
    return psutil.Process().memory_info().rss / 2**20
np.ones(2_500_000, np.float64)  # the first one teaches glibc to keep the next
before = megabytes()
arrays, kept = [], []
for _ in range(20):
    arrays.append(np.ones(1_250_000, np.float64))
    kept.append(np.ones(50_000, np.float64))
arrays.clear()
print(megabytes() - before)
"""

    def growth(how):
        command = [sys.executable, "-c", script, how]
        done = subprocess.run(command, capture_output=True, cwd=ROOT, check=True)
        return float(done.stdout)

    assert growth("returned") < 20 < growth("kept")


class TestTimeOfKeeping:
    def test_what_is_past_its_time_is_deleted(self, tmp_path, monkeypatch):
        asked = []
        monkeypatch.setattr(
            server.history, "expire_by_setting", lambda *given: asked.append(given)
        )
        server.expire_due()
        assert not asked  # for ever, unless the site says otherwise
        monkeypatch.setenv("CXR_KEEP_DAYS", "30")
        server.expire_due()
        assert asked == [(tmp_path / "records", 30)]

    def test_a_history_that_cannot_be_written_stops_no_server(
        self, monkeypatch, caplog
    ):
        def full(*_):
            raise CxrError("The disk is full.", code="disk-full")

        monkeypatch.setenv("CXR_KEEP_DAYS", "30")
        monkeypatch.setattr(server.history, "expire_by_setting", full)
        server.expire_due()
        assert "disk-full" in caplog.text
