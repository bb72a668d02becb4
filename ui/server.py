"""What stands between the network and the pages: the server's start and its door.

Before the first page is served, everything that a page needs is imported. At the door
every answer gets headers that keep other sites out, and an upload comes in only while
there is room for its bytes: each session has its quota, and all of them share one cap.
"""

import asyncio
import ctypes
import gc
import importlib
import logging
import pkgutil
import platform
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import plotly.graph_objects as go
import uvicorn
from PIL import Image
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.runtime import get_instance
from streamlit.runtime.stats import CacheStat
from streamlit.starlette import App

from cxr.config import settings
from cxr.errors import CxrError
from cxr.records import history
from ui import login
from ui.exposure import exposed

UPLOADS = "/_stcore/upload_file/"
EXPIRES_EVERY = 24 * 3600  # seconds
LAST_WORDS = 5  # seconds that a stop waits for open pages
# Names of mallopt(3) and what the server sets them to.
M_MMAP_THRESHOLD, LARGE = -3, 2**20
M_ARENA_MAX, ARENAS = -8, 2
# Libraries that import their own parts when those are first used. Two threads inside
# such an import can see a module that is half there.
PACKAGES = (
    "ui",
    "plotly.graph_objs.bar",
    "plotly.graph_objs.layout",
    "plotly.graph_objs.scatter",
    "plotly.graph_objs.scattergl",
)
MODULES = (
    "PIL.ImageSequence",
    "cxr.models.runtime",
    "narwhals._interchange.dataframe",
    "pandas",
    "plotly.graph_objects",
    "plotly.io",
    "plotly.tools",
    "pyarrow.pandas_compat",
    "pyarrow.vendored.version",
)
# Streamlit draws with styles in the page, and its charts make pictures from blobs.
CONTENT_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "worker-src 'self' blob:",
        "connect-src 'self' ws: wss: data: blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'self'",
    )
)
HEADERS = {
    "Content-Security-Policy": CONTENT_POLICY,
    "X-Frame-Options": "SAMEORIGIN",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}

FULL = (
    "The server holds as many films as it may. Wait until others are read, or upload "
    "fewer at a time."
)
logger = logging.getLogger(__name__)


@asynccontextmanager
async def lifespan(_: App) -> AsyncIterator[None]:
    """Runs around the life of the server; no page is served before it yields."""
    return_memory()
    warm()
    bound_the_stop()
    if exposed():
        logger.warning(exposed())
    daily = asyncio.create_task(_expire_daily())
    yield
    daily.cancel()


async def _expire_daily() -> None:
    while True:
        await asyncio.to_thread(expire_due)
        await asyncio.sleep(EXPIRES_EVERY)


def expire_due() -> None:
    """Deletes what the history has kept for as long as the site lets it."""
    where = settings()
    if where.keep_days is None:
        return
    try:
        count = history.expire_by_setting(where.records_dir, where.keep_days)
    except CxrError as error:
        logger.warning("What is past its time was not deleted: %s", error.code)
        return
    if count:
        logger.info("%d cases were past their time and are deleted", count)


def check_settings() -> None:
    """Ends the program, before it serves anything, where a setting can't be used.

    Raises:
        SystemExit: with a sentence that names it.
    """
    try:
        login.check(settings(), login.secrets())
    except CxrError as error:
        raise SystemExit(error.message) from error


def return_memory() -> None:
    """Makes glibc hand back a film's memory as soon as the film is dropped.

    Each run of a page is a thread, to which glibc gives a heap of its own, and after
    the first large array it takes the next ones from those heaps, which then keep
    them: a server grew by 4 MB a film. Other C libraries are left alone.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, LARGE)
        libc.mallopt(M_ARENA_MAX, ARENAS)


def bound_the_stop() -> None:
    """Lets a stop wait for open pages for `LAST_WORDS` seconds only.

    A page that was just opening could hold up a stop for ever. Streamlit has no setting
    for it, but what handles the signal is a method of the server that has one.
    """
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    if isinstance(server, uvicorn.Server):
        server.config.timeout_graceful_shutdown = LAST_WORDS


def warm() -> None:
    """Imports what any page needs, in this thread alone."""
    for name in PACKAGES:
        package = importlib.import_module(name)
        for module in pkgutil.walk_packages(package.__path__, f"{name}."):
            importlib.import_module(module.name)
    for name in MODULES:
        importlib.import_module(name)
    Image.init()  # every format that Pillow knows
    go.Figure().to_json()  # Plotly's encoder
    # Streamlit collects garbage after each run of a page. What is loaded by now stays,
    # and looking through all of it each time would cost a reader a tenth of a second.
    gc.collect()
    gc.freeze()


class SafeHeaders:
    """Adds `HEADERS` to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        """Keeps what answers."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers as the app does, with the headers."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = [(k.lower().encode(), v.encode()) for k, v in HEADERS.items()]
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        await self.app(scope, receive, with_headers)


class Room:
    """Refuses an upload that the memory for uploads has no room for.

    Bytes count from their announcement until they are read or removed. The setting is
    `CXR_UPLOAD_MB`; it holds for all sessions together.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Keeps what takes uploads."""
        self.app = app
        self.coming = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lets an upload in, or answers 413 (too large) or 411 (of no stated size)."""
        if scope["type"] != "http" or scope["method"] != "PUT":
            await self.app(scope, receive, send)
            return
        if UPLOADS not in scope["path"]:
            await self.app(scope, receive, send)
            return
        length = dict(scope["headers"]).get(b"content-length", b"")
        if not length.isdigit():
            await PlainTextResponse("No size is stated.", 411)(scope, receive, send)
            return
        size = int(length)
        if held_bytes() + self.coming + size > settings().upload_mb * 10**6:
            logger.warning("An upload was refused: the memory for uploads is full")
            await PlainTextResponse(FULL, 413)(scope, receive, send)
            return
        self.coming += size
        try:
            await self.app(scope, receive, send)
        finally:
            self.coming -= size


MIDDLEWARE = [Middleware(SafeHeaders), Middleware(Room)]


def held_bytes() -> int:
    """Returns how many bytes of uploads the server holds, over all sessions."""
    families = get_instance().uploaded_file_mgr.get_stats().values()
    stats = [stat for family in families for stat in family]
    return sum(stat.byte_length for stat in stats if isinstance(stat, CacheStat))
