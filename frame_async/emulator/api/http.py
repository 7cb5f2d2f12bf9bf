"""The edge to aiohttp: connections that answer whatever comes in, and answers on the wire.

What aiohttp itself says about a request that it can't parse repeats the offending
header line, to the client and to the log. That line may hold an API key.
"""

import asyncio
import logging
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from http import HTTPStatus
from typing import Any, cast

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import SERVER_SOFTWARE, HttpVersion11

from frame_async.emulator.faults.retry_after import imf_fixdate
from frame_async.emulator.state.randomness import new_id

from .answers import ApiAnswer, error_answer
from .envelopes import enveloped

if sys.platform != "win32":
    import resource

_LOGGER = logging.getLogger("frame_async.emulator")

HEAD_PATIENCE = 10.0
"""Seconds for the head of a request to arrive."""

_IDLE_PATIENCE = 75.0
"""Seconds for the next head to begin on a connection that stays."""

MOST_CONNECTIONS = 4_000
"""Connections at a time, or fewer where the process may open fewer files."""

_SETTINGS: Mapping[str, Any] = {
    "access_log": None,
    "auto_decompress": False,  # a content coding is refused instead
    "lingering_time": 2.0,  # seconds to read off a body that nobody waited for
}

_UNREADABLE = error_answer(400, "invalid_request_error", "This is not readable as HTTP.")
_FAILED = error_answer(500, "api_error", "The emulator failed; its log says how.")


class ClientConnection(web.RequestHandler):
    """One connection of a client, which is ended when a head doesn't arrive in time."""

    __slots__ = ("_acceptor", "_answering", "_idle", "_timer")

    def __init__(self, acceptor: "Acceptor", loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(acceptor, loop=loop, **_SETTINGS)
        self._acceptor = acceptor
        self._answering = False
        self._idle = False
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the first head, and make room if there are too many connections."""
        super().connection_made(transport)
        self._acceptor.admit(self)
        self._wait(HEAD_PATIENCE)

    def data_received(self, data: bytes) -> None:
        """Wait for the rest of a head, unless it is a body's turn."""
        super().data_received(data)
        if not self._answering and self._idle:
            self._wait(HEAD_PATIENCE)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Wait for nothing more."""
        self.begin()
        super().connection_lost(exc)

    def begin(self) -> None:
        """A head has arrived."""
        self._answering = True
        self._acceptor.waiting.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def finish(self) -> None:
        """Its answer has been made."""
        self._answering = False
        if self.transport is not None:
            self._wait(_IDLE_PATIENCE)

    def end(self) -> None:
        """End it, without an answer."""
        if self.transport is not None:
            self.transport.abort()

    def _wait(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._idle = seconds == _IDLE_PATIENCE
        self._acceptor.waiting[self] = None
        self._timer = asyncio.get_running_loop().call_later(seconds, self.end)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what never became a request, or what the app failed on."""
        del request, message  # they repeat what came in
        answer = enveloped(_answer_to(status, exc), self._acceptor.envelope)
        response = to_response(answer, new_id())
        response.force_close()
        return response

    def log_exception(self, *args: object, **kw: object) -> None:
        """Log that a connection broke off, and not why: aiohttp's reasons repeat what came in."""
        del args, kw
        _LOGGER.debug("a connection broke off")


class Acceptor(web.Server):
    """Makes a `ClientConnection` for each client; pass it to ``loop.create_server``."""

    def __init__(
        self,
        handle: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        envelope: str = "standard",
    ) -> None:
        async def timed(request: web.BaseRequest) -> web.StreamResponse:
            connection = cast("ClientConnection", request.protocol)
            connection.begin()
            try:
                return await handle(request)
            finally:
                connection.finish()

        super().__init__(timed)
        self.envelope = envelope
        """What errors come in."""
        self.waiting: dict[ClientConnection, None] = {}
        """Connections on which no request is being answered, longest first."""
        self._most = _most_connections()

    def __call__(self) -> ClientConnection:
        """Return the protocol of a new connection."""
        return ClientConnection(self, asyncio.get_running_loop())

    def admit(self, connection: ClientConnection) -> None:
        """Keep the number of connections in bounds: one that waits goes, or else the new one."""
        if len(self.connections) > self._most:
            next(iter(self.waiting), connection).end()

    async def end(self, grace: float) -> None:
        """Close all connections: idle ones at once, busy ones after 2 * `grace` seconds."""
        await _turns()
        transports = [connection.transport for connection in self.connections]
        self.pre_shutdown()
        await self.shutdown(grace)
        for transport in transports:
            if transport is not None:
                transport.abort()  # one whose client does not read would stay otherwise
        await _turns()


def _most_connections() -> int:
    """As many as leave descriptors for files and webhooks."""
    if sys.platform == "win32":
        return MOST_CONNECTIONS
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if allowed == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    return max(8, min(MOST_CONNECTIONS, allowed - 64))


def _answer_to(status: int, exc: BaseException | None) -> ApiAnswer:
    if status == 400:
        return _UNREADABLE
    if not isinstance(exc, ConnectionError):  # a client that left is no failure
        _LOGGER.error("the emulator failed on a request", exc_info=exc)
    return _FAILED


async def _turns() -> None:
    """Let the loop finish what it has begun: asyncio sets up and tears down in two turns."""
    for _ in range(3):
        await asyncio.sleep(0)


_WITH_BODIES = frozenset({200, 201, 400, 401, 404, 405, 409, 422, 429})


def serialized(answer: ApiAnswer, request_id: str) -> bytes:
    """Write an answer as it goes over the wire."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in answer.fields()])
    head = (
        f"HTTP/1.1 {answer.status} {phrase_of(answer.status)}\r\n{lines}"
        f"X-Request-Id: {request_id}\r\nContent-Length: {len(answer.body)}\r\n"
        f"Date: {_date(int(time.time()))}\r\nServer: {SERVER_SOFTWARE}\r\n\r\n"
    )
    return head.encode("latin-1") + answer.body


def to_response(answer: ApiAnswer, request_id: str) -> web.Response:
    """Make aiohttp's response of an answer."""
    response = web.Response(status=answer.status, body=answer.body)
    for name, value in answer.fields():
        response.headers.add(name, value)
    response.headers["X-Request-Id"] = request_id
    return response


def usual_response(
    request: web.BaseRequest, answer: ApiAnswer, request_id: str
) -> web.StreamResponse:
    """Make the response of an answer that goes out whole."""
    plain = request.version == HttpVersion11 and request.keep_alive and request.method == "POST"
    if plain and answer.status in _WITH_BODIES:
        return _Ready(serialized(answer, request_id))
    return to_response(answer, request_id)


class _Ready(web.StreamResponse):
    """A response that is bytes already, on a connection that stays.

    aiohttp's own costs 60 microseconds more, a fifth of all that a session costs.
    """

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self._content = content
        self._request: web.BaseRequest | None = None

    @property
    def keep_alive(self) -> bool | None:
        """Whether the connection stays: it does."""
        return True

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send everything."""
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client has left")
        transport.write(self._content)
        self._request = request
        return request.writer

    async def write_eof(self, data: bytes = b"") -> None:
        """Wait until a slow client has taken enough of it."""
        del data
        if self._request is not None:
            await self._request.writer.drain()


@lru_cache(maxsize=2)
def _date(now: int) -> str:
    return imf_fixdate(now)


@lru_cache
def phrase_of(status: int) -> str:
    """Return the words that go with a status code."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:  # one that nobody assigned
        return "Unknown"
