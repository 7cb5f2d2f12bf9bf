"""The listener: webhooks come in on loopback, are verified, shown, and handed on as they came.

For developing a shop: `WebhookReceiver` does what counts, this only stands in between.
"""

import asyncio
import signal
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Final, Self
from urllib.parse import SplitResult, urlsplit

import aiohttp
from aiohttp import web
from attrs import frozen

from frame_async.errors import ConfigurationError, WebhookError
from frame_async.models.events import Event
from frame_async.protocol.credentials import is_loopback
from frame_async.webhooks.receiver import LARGEST_BODY, WebhookReceiver

PATIENCE: Final = 30.0
"""Seconds that the target has for its answer; Frame itself may not wait that long."""

_GRACE: Final = 0.5
_OF_CONNECTION: Final = frozenset(
    ("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer")
)
_MADE_ANEW: Final = frozenset(("content-length", "expect", "host", "transfer-encoding", "upgrade"))
_NOT_HANDED_ON: Final = _OF_CONNECTION | _MADE_ANEW
_ADDED: Final = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")


@frozen(kw_only=True)
class Arrival:
    """One webhook that came in, and what became of it."""

    at: float
    """When it came, in seconds since the epoch."""
    event: Event | None
    """What was in it; None when it isn't believed."""
    refusal: str
    """Why it isn't believed; empty when it is."""
    status: int
    """The status that the sender was answered."""
    trouble: str
    """Why the target gave no answer; empty when it did, or when there is no target."""
    seconds: float
    """How long the answer took."""


def check_target(url: str, *, allow_remote: bool) -> str:
    """The URL to hand webhooks on to, unchanged.

    Raises:
        ConfigurationError: not an HTTP(S) URL, or not on this machine and not allowed.
    """
    parts = _split(url)
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError("the target must be a URL of the form http://127.0.0.1:8000/path")
    if "@" in parts.netloc:
        raise ConfigurationError("the target must not have user information")
    if not allow_remote and not is_loopback(parts.hostname):
        raise ConfigurationError(
            "the target must be on this machine, such as 127.0.0.1 or localhost, unless "
            "remote targets are allowed: what comes in may tell of payers"
        )
    return url


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        usable = parts.port != 0 and url.isprintable() and " " not in url
    except ValueError:
        return None
    return parts if usable else None


class Listener:
    """Listens on loopback, notifies of each webhook, and hands it on.

    Use it as ``async with Listener(...) as listener:``. What isn't believed is handed on as well,
    so that you see your own code refuse it. Redirects aren't followed.

    Args:
        receiver: verifies.
        target: where webhooks go; without one they are answered 200, or 400 when they
            aren't believed.
        notify: called with each webhook when it was answered.
        port: to listen on; 0 takes a free one.
    """

    def __init__(
        self,
        receiver: WebhookReceiver,
        target: str | None,
        notify: Callable[[Arrival], None],
        *,
        port: int = 0,
    ) -> None:
        self._receiver = receiver
        self._target = target
        self._notify = notify
        self._port = port
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None

    @property
    def url(self) -> str:
        """Where it listens.

        Raises:
            RuntimeError: it doesn't.
        """
        if self._runner is None:
            raise RuntimeError("the listener is closed")
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=LARGEST_BODY)
        app.router.add_post("/{path:.*}", self._receive)
        # Raw bytes are what is signed: a content coding must not be undone.
        self._runner = web.AppRunner(
            app, access_log=None, auto_decompress=False, shutdown_timeout=_GRACE
        )
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        except OSError:
            await self._runner.cleanup()
            raise
        self._session = aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=PATIENCE),
            auto_decompress=False,
            trust_env=False,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()
        self._runner = self._session = None

    async def _receive(self, request: web.Request) -> web.Response:
        at, began = time.time(), time.monotonic()
        event, trouble = None, ""
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            status, refusal = 413, f"the body is larger than {LARGEST_BODY} bytes"
        else:
            event, refusal = self._judge(body, request)
            status = 400 if refusal else 200
            if self._target is not None:
                status, trouble = await self._forward(self._target, body, request)
        arrival = Arrival(
            at=at,
            event=event,
            refusal=refusal,
            status=status,
            trouble=trouble,
            seconds=time.monotonic() - began,
        )
        self._notify(arrival)
        return web.Response(status=status)

    def _judge(self, body: bytes, request: web.Request) -> tuple[Event | None, str]:
        try:
            return self._receiver.verify(body, request.headers), ""
        except WebhookError as error:
            return None, error.message

    async def _forward(self, target: str, body: bytes, request: web.Request) -> tuple[int, str]:
        """The target's status, or the one that says that it gave none, and why."""
        assert self._session is not None  # noqa: S101  # open while requests come in
        headers = [(n, v) for n, v in request.headers.items() if n.lower() not in _NOT_HANDED_ON]
        try:
            async with self._session.post(
                target,
                data=body,
                headers=headers,
                skip_auto_headers=_ADDED,
                allow_redirects=False,
            ) as answer:
                return answer.status, ""
        except TimeoutError:
            return 504, f"no answer within {PATIENCE:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return 502, f"no answer: {type(error).__name__}"


@contextmanager
def stop_requested() -> Generator[asyncio.Event]:
    """An event that is set on SIGINT (Ctrl-C) or SIGTERM; to be used in the main thread."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(stop.set)

    numbers = (signal.SIGINT, signal.SIGTERM)
    before: list[Any] = [signal.signal(number, on_signal) for number in numbers]
    try:
        yield stop
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
