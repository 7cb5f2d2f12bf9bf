"""The session manager: owns one aiohttp session, and is the only one that knows aiohttp.

aiohttp's exceptions carry the Authorization header in their arguments, so none leaves
this module, not even as the context of another: `HttpSession.post` returns an
`Exchange` whatever the network does, and only cancellation passes through.

`_Body`, `_Request` and `_Connector` are aiohttp's own points of extension. They gather
the evidence, for less than a third of what its tracing costs, and keep stray answers
from the next request.
"""

import asyncio
import os
import ssl
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any, Final

import aiohttp
from aiohttp import hdrs
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest, ConnectionKey
from aiohttp.connector import Connection
from attrs import frozen
from yarl import URL

from frame_async._version import __version__
from frame_async.errors import ClientClosedError, EventLoopError
from frame_async.hidden import Hidden
from frame_async.protocol.outcomes import Ending
from frame_async.protocol.redaction import clean_request_id
from frame_async.transport.bodies import LARGEST_BODY, UnusableBodyError, decompressed
from frame_async.transport.exchange import Exchange, Head, Trail
from frame_async.transport.gate import Gate
from frame_async.transport.system import is_readable, spelled, was_asked_to_cancel
from frame_async.transport.tls import make_tls_context, without_key_log

IDLE_SECONDS: Final = 50.0
"""How long an idle connection is kept: longer than aiohttp's 15 s, since callers may be
sparse, and below the 60 s and more after which servers commonly close one."""

USER_AGENT: Final = (
    f"frame-async/{__version__} Python/{sys.version_info.major}.{sys.version_info.minor} "
    f"aiohttp/{aiohttp.__version__}"
)

_REQUEST_ID_HEADERS: Final = ("X-Request-Id", "Request-Id", "X-Amzn-Trace-Id", "CF-Ray")
_NEVER: Final = 1e9  # aiohttp rounds timeouts above this up to whole seconds; its default is 5
_HARDLY: Final = 0.001
"""Seconds of waiting at the gate that an attempt's time limit doesn't count."""


@lru_cache(maxsize=16)
def _limits(total: float, connect: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=total, sock_connect=connect, ceil_threshold=_NEVER)


class _StaleConnectionError(Exception):
    """A connection received something before the request was written to it."""


class _Body(aiohttp.BytesPayload):
    """A request body that carries the trail of its exchange down through aiohttp."""

    def __init__(self, data: bytes, trail: Trail) -> None:
        # Past BytesPayload's own, which warns of bodies over 1 MiB: they are whole in memory
        # anyway, and must be one bytes object for `_never_written` to hold.
        super(aiohttp.BytesPayload, self).__init__(data, content_type="application/json")
        self._size = len(data)
        self.trail = trail


class _Request(ClientRequest):
    """Notes the moment from which the request may arrive."""

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        if not isinstance(self.body, _Body):
            return await super().send(conn)
        trail = self.body.trail
        trail.handed = trail.now()
        response = await super().send(conn)
        trail.sent = trail.now()
        return response

    async def write_bytes(
        self, writer: Any, conn: Connection, content_length: int | None = None
    ) -> None:
        """Write head and body in one piece, unless the connection spoke before it was asked."""
        if conn.protocol is not None and conn.protocol.should_close:
            conn.protocol.set_exception(_StaleConnectionError())
            return
        await super().write_bytes(writer, conn, content_length)


class _Connector(aiohttp.TCPConnector):
    """Notes for whom it opens connections, and hands out none that has something to say.

    On an idle connection the server may have pushed bytes, or closed it; aiohttp 3.14.5
    would give a stray answer to the next request.
    """

    async def _get(self, key: ConnectionKey, traces: list[Any]) -> Connection | None:
        while (connection := await super()._get(key, traces)) is not None:
            if not _has_spoken(connection.protocol):
                return connection
            connection.close()
        return None

    async def _create_connection(
        self, req: ClientRequest, traces: list[Any], timeout: aiohttp.ClientTimeout
    ) -> ResponseHandler:
        if isinstance(req.body, _Body):
            req.body.trail.fresh = True
        return await super()._create_connection(req, traces, timeout)

    def abandon(self) -> None:
        """Let go of everything without a word to anyone: its event loop is closed."""
        transports = [proto.transport for conns in self._conns.values() for proto, _ in conns]
        self._close()
        for transport in transports:
            # A closed loop can't run the callback that frees the socket, so run it here.
            if (lost := getattr(transport, "_call_connection_lost", None)) is not None:
                with suppress(Exception):
                    lost(None)


def _has_spoken(protocol: ResponseHandler | None) -> bool:
    """Whether an idle connection has received anything: bytes, its end, or an error."""
    if protocol is None or protocol.transport is None or protocol.should_close:
        return True
    socket = protocol.transport.get_extra_info("socket")
    return socket is None or is_readable(socket.fileno())


@frozen
class _Opened:
    """What is bound to one event loop in one process."""

    loop: asyncio.AbstractEventLoop
    process: int
    gate: Gate
    session: aiohttp.ClientSession
    connector: _Connector


class HttpSession:
    """Posts bodies to one address; opens its connections when first used.

    `limit` bounds the exchanges in flight; the others wait at a gate of our own, because
    aiohttp's queue can't be told apart from sending when a timeout ends it.
    """

    def __init__(
        self,
        url: str,
        key: Hidden[str],
        *,
        limit: int,
        connect_timeout: float,
        tls: ssl.SSLContext | None,
    ) -> None:
        self._url = URL(url, encoded=True)
        self._key = key
        self._limit = limit
        self._connect_timeout = connect_timeout
        self._tls = tls
        self._opened: _Opened | None = None
        self.closed = False

    def open(self) -> None:
        """Make sure that it is open on the running event loop, in this process.

        Raises:
            ClientClosedError: it was closed before.
            EventLoopError: it is open on another event loop.
        """
        if self.closed:
            raise ClientClosedError(
                "the client is closed; create sessions inside its `async with` block, "
                "or make a new FrameClient"
            )
        loop, process = asyncio.get_running_loop(), os.getpid()
        opened = self._opened
        if opened is None or opened.loop is not loop or opened.process != process:
            if opened is not None:
                _leave_behind(opened, process)
            self._opened = self._open(loop, process)

    async def aclose(self) -> None:
        """Close all connections; calling it again does nothing.

        Raises:
            EventLoopError: it is open on another event loop; nothing was closed.
        """
        opened = self._opened
        if opened is not None:
            if opened.loop is not asyncio.get_running_loop() or opened.process != os.getpid():
                _leave_behind(opened, os.getpid())
            else:
                self.closed = True  # before the first await: exchanges in flight ask for it
                await opened.session.close()
        self.closed = True
        self._opened = None

    async def post(
        self, body: Hidden[bytes], headers: Mapping[str, str], timeout: float, trail: Trail
    ) -> Exchange:
        """One exchange of at most `timeout` seconds; never raises for what the network does.

        `trail` is written to on the way, so that it tells how far the request came even
        when cancellation passes through.
        """
        opened = self._opened
        if opened is None:
            return trail.end(Ending.SESSION_CLOSED)
        if not await opened.gate.enter(timeout):
            return trail.end(Ending.TIMED_OUT, "waiting for a connection slot to come free")
        try:
            trail.admitted = trail.now()
            waited = trail.admitted - trail.began
            # As a rule the same number, so that aiohttp's object can be kept.
            left = timeout if waited < _HARDLY else timeout - waited
            if left <= 0:  # to aiohttp, 0 means for ever
                return trail.end(Ending.TIMED_OUT)
            return await self._exchange(opened.session, body, headers, trail, left)
        finally:
            opened.gate.leave()

    def _open(self, loop: asyncio.AbstractEventLoop, process: int) -> _Opened:
        connector = _Connector(
            limit=0,
            ssl=self._tls_context(),
            keepalive_timeout=IDLE_SECONDS,
            timeout_ceil_threshold=_NEVER,
        )
        session = aiohttp.ClientSession(
            connector=connector,
            headers={
                hdrs.AUTHORIZATION: f"Bearer {self._key.reveal()}",
                hdrs.ACCEPT: "application/json",
                hdrs.ACCEPT_ENCODING: "identity",
                hdrs.CONTENT_TYPE: "application/json",
                hdrs.USER_AGENT: USER_AGENT,
            },
            cookie_jar=aiohttp.DummyCookieJar(),
            request_class=_Request,
            auto_decompress=False,
            trust_env=False,
        )
        return _Opened(loop, process, Gate(self._limit), session, connector)

    def _tls_context(self) -> ssl.SSLContext | bool:
        if self._url.scheme == "http":
            return True  # to loopback; loading the system's authorities takes a while
        return make_tls_context() if self._tls is None else without_key_log(self._tls)

    async def _exchange(
        self,
        session: aiohttp.ClientSession,
        body: Hidden[bytes],
        headers: Mapping[str, str],
        trail: Trail,
        timeout: float,
    ) -> Exchange:
        response: aiohttp.ClientResponse | None = None
        chunks: list[bytes] = []
        try:
            response = await session.request(
                "POST",
                self._url,
                data=_Body(body.reveal(), trail),
                headers=headers,
                allow_redirects=False,
                timeout=_limits(timeout, self._connect_timeout),
            )
            trail.answered = trail.now()
            trail.head = _head(response, self._key)
            await _read(response.content, chunks)
            trail.read = trail.now()
            content = decompressed(b"".join(chunks), response.headers)
        except asyncio.CancelledError as cancelled:
            if was_asked_to_cancel():
                # Without the frames of aiohttp, whose variables hold the API key.
                raise cancelled.with_traceback(None) from None
            ending, detail = Ending.FAILED, "cancelled by nobody"  # aiohttp, when it closes
        except Exception as error:  # noqa: BLE001  # whatever it is, it is evidence
            ending, detail = _ending(error, trail)
        else:
            return trail.end(Ending.COMPLETE, body=content)
        finally:
            if response is not None:
                chunks += _unread(response.content)
                response.release()
        ending = Ending.SESSION_CLOSED if self.closed else ending
        return trail.end(ending, detail, b"".join(chunks)[:LARGEST_BODY])


def _leave_behind(opened: _Opened, process: int) -> None:
    """Let go of what another event loop or the parent process opened.

    Raises:
        EventLoopError: that loop is still there, and may be using it.
    """
    if opened.process != process:
        # The parent is using these connections: not a byte may be sent, so not even
        # closed, and kept for ever lest the garbage collector does it.
        _of_parents.append(opened)
    elif opened.loop.is_closed():
        opened.connector.abandon()
    else:
        raise EventLoopError(
            "this client is open on another event loop; make one FrameClient per event loop, "
            "or close this one there first"
        )


_of_parents: Final[list[_Opened]] = []


def _head(response: aiohttp.ClientResponse, key: Hidden[str]) -> Head:
    headers = response.headers
    return Head(
        response.status,
        tuple(headers.getall(hdrs.RETRY_AFTER, ())),
        headers.get(hdrs.DATE),
        _request_id(headers, key),
    )


def _request_id(headers: Mapping[str, str], key: Hidden[str]) -> str | None:
    for name in _REQUEST_ID_HEADERS:
        if name in headers and (found := clean_request_id(headers[name], key.reveal())):
            return found
    return None


async def _read(content: aiohttp.StreamReader, chunks: list[bytes]) -> None:
    """Read a body to its end into `chunks`, which have what came even if the end doesn't."""
    left = LARGEST_BODY
    while chunk := await content.read(left + 1):
        chunks.append(chunk)
        left -= len(chunk)
        if left < 0:
            raise UnusableBodyError("it is larger than 1 MiB")


def _unread(content: aiohttp.StreamReader) -> list[bytes]:
    """What had arrived of a body before the connection broke; a broken reader keeps it back."""
    return list(getattr(content, "_buffer", ()))


# First match counts. A detail of None stands for the operating system's own words.
_ENDINGS: Final[tuple[tuple[type[Exception], Ending, str | None], ...]] = (
    (TimeoutError, Ending.TIMED_OUT, ""),
    (aiohttp.ClientConnectorCertificateError, Ending.BAD_CERTIFICATE, ""),
    (aiohttp.ServerFingerprintMismatch, Ending.BAD_CERTIFICATE, ""),
    (aiohttp.ClientConnectorDNSError, Ending.NO_CONNECTION, "the host name can't be resolved"),
    (aiohttp.ClientConnectorSSLError, Ending.NO_CONNECTION, "the TLS handshake failed"),
    (aiohttp.ClientConnectorError, Ending.NO_CONNECTION, None),
    (aiohttp.ClientPayloadError, Ending.DISCONNECTED, "in the middle of the answer"),
    (aiohttp.ServerDisconnectedError, Ending.DISCONNECTED, ""),
    (OSError, Ending.DISCONNECTED, None),
    (aiohttp.ClientResponseError, Ending.GARBLED, ""),
)


def _ending(error: Exception, trail: Trail) -> tuple[Ending, str]:
    """How an exchange ended, in words; what that proves is judged elsewhere."""
    if _never_written(error, trail):
        return Ending.NEVER_WRITTEN, ""
    if isinstance(error, UnusableBodyError):
        return Ending.UNUSABLE, str(error)
    for cls, ending, detail in _ENDINGS:
        if isinstance(error, cls):
            return ending, spelled(error) if detail is None else detail
    return Ending.FAILED, type(error).__name__


def _never_written(error: Exception, trail: Trail) -> bool:
    """The three ways that prove it, although a connection had the request.

    aiohttp checks header values, then the connection, before it writes head and body in
    one piece (measured with aiohttp 3.14.5; the body must be one bytes object).
    """
    if isinstance(error, _StaleConnectionError):
        return True
    if isinstance(error, aiohttp.ClientOSError) and error.errno is None:
        return isinstance(error.__cause__, aiohttp.ClientConnectionResetError)
    return isinstance(error, ValueError) and trail.handed is not None and trail.sent is None
