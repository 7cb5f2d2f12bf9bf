"""An `aiohttp.ClientSession`, and the evidence of each exchange; all that knows aiohttp.

aiohttp's exceptions carry the Authorization header in their arguments, so none leaves
this module, not even as the context of another: `Http.send` returns an `Exchange`
whatever the network does, and only cancellation passes through.
"""

import asyncio
import os
import ssl
import sys
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from typing import Any, Final
from weakref import WeakSet

import aiohttp
from attrs import frozen
from yarl import URL

from frame_async._version import __version__
from frame_async.engine.bodies import LARGEST_BODY, UnusableBodyError, check_size, decompress
from frame_async.engine.cancellation import was_asked_to_cancel
from frame_async.engine.exchange import Exchange, Head, Trail
from frame_async.engine.system import is_quiet, spelled
from frame_async.engine.tls import default_tls_context, without_key_log
from frame_async.errors import ClientClosedError, EventLoopError
from frame_async.hidden import Hidden
from frame_async.protocol.outcomes import Ending
from frame_async.protocol.redaction import clean_request_id

IDLE_SECONDS: Final = 50.0
"""How long an idle connection is kept: longer than aiohttp's 15 s, since callers may be
sparse, and below the 60 s and more after which servers commonly close one."""

LONGEST_FIELD: Final = 131_072
"""Bytes of one header of an answer. aiohttp refuses 8,190 unless told otherwise, and then
an answer that proves a session would be lost for the length of a header."""
MOST_FIELDS: Final = 2_000
"""Headers of an answer, for the same reason."""

USER_AGENT: Final = (
    f"frame-async/{__version__} Python/{sys.version_info.major}.{sys.version_info.minor} "
    f"aiohttp/{aiohttp.__version__}"
)

_EXACT: Final = 1e9
"""Seconds; aiohttp rounds timeouts above its threshold, which is 5, up to whole seconds."""
_ONE_WRITE: Final = 65_536
"""Bytes; aiohttp hands over a body up to this size without waiting for the connection."""
_REQUEST_ID_HEADERS: Final = ("X-Request-Id", "Request-Id", "X-Amzn-Trace-Id", "CF-Ray")
_AT_ONCE: Final = nullcontext()
_NO_SLOT: Final = "waiting for a connection slot to come free"


class _Body(aiohttp.Payload):
    """The body of one request: notes when it is written, and to which connection.

    aiohttp holds the head back for the first piece of the body, so until then nothing of
    the request has left.
    """

    def __init__(self, body: Hidden[bytes], trail: Trail) -> None:
        super().__init__(body, content_type="application/json")
        self._bytes = body
        self._trail = trail
        self._transport: Any = None

    @property
    def size(self) -> int:
        """Bytes, for Content-Length."""
        return len(self._bytes.reveal())

    @property
    def autoclose(self) -> bool:
        """There is nothing to close."""
        return True

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """As text, for middlewares that sign or log it."""
        return self._bytes.reveal().decode(encoding, errors)

    async def write(self, writer: Any) -> None:
        """Write all of it, and note that the request may arrive from now on."""
        trail, body = self._trail, self._bytes.reveal()
        trail.handed = trail.now()
        trail.times_handed += 1
        try:
            await writer.write(body)
        except aiohttp.ClientConnectionResetError:
            # Raised before the connection takes a byte, unless it had to be waited for.
            trail.unwritten = len(body) <= _ONE_WRITE
            raise
        trail.sent = trail.now()

    def note_connection(self, transport: asyncio.BaseTransport | None, *, reused: bool) -> None:
        """It goes over this connection."""
        self._transport = transport
        self._trail.reused = reused

    def abort(self) -> None:
        """Send no more of it: even a connection that was closed would send what it buffers.

        One that isn't closed had a complete answer. It is in the pool again, and may
        already carry another request.
        """
        transport = self._transport
        if transport is not None and transport.is_closing():
            transport.abort()


class _Connector(aiohttp.TCPConnector):
    """Connections to one address; hands out none that has something to say.

    On an idle connection the server may have pushed bytes, or closed it, and a stray answer
    must not become that of the next request. Or it answered before it had read all of
    the last request, whose rest would then go before the next one.
    """

    def __init__(self, tls: ssl.SSLContext | bool) -> None:
        super().__init__(  # pyright: ignore[reportUnknownMemberType]  # one of its options' is
            limit=0, ssl=tls, keepalive_timeout=IDLE_SECONDS, timeout_ceil_threshold=_EXACT
        )
        self._used: WeakSet[Any] = WeakSet()
        """The protocols of connections that had a request; uvloop's transports can't be here."""

    async def connect(self, req: aiohttp.ClientRequest, *args: Any, **kwargs: Any) -> Any:
        """A connection that is new, or idle and silent."""
        while True:
            connection = await super().connect(req, *args, **kwargs)
            protocol, transport = connection.protocol, connection.transport
            reused = protocol in self._used
            if not reused or _is_usable(connection):
                break
            connection.close()
            if transport is not None:
                transport.abort()
        self._used.add(protocol)
        if isinstance(req.body, _Body):
            req.body.note_connection(transport, reused=reused)
        return connection

    def abandon(self) -> None:
        """Let go of everything without a word to anyone: its event loop is closed."""
        with suppress(StopIteration):
            next(self.close().__await__())  # on a closed loop there is nothing to wait for
        for protocol in self._used:
            # A closed loop can't run the callback that frees the socket, so run it here.
            free = getattr(protocol.transport, "_call_connection_lost", None)
            if free is not None:
                with suppress(Exception):
                    free(None)


def _is_usable(connection: Any) -> bool:
    """Whether an idle connection has received nothing and has nothing left to send."""
    transport, protocol = connection.transport, connection.protocol
    if transport is None or protocol is None or protocol.should_close:
        return False
    socket = transport.get_extra_info("socket")
    return socket is not None and is_quiet(socket.fileno())


@frozen(eq=False, repr=False)
class _Opened:
    """What is bound to one event loop in one process."""

    loop: asyncio.AbstractEventLoop
    process: int
    gate: asyncio.Semaphore
    connector: _Connector
    session: aiohttp.ClientSession


_of_parents: Final[list[_Opened]] = []


class Http:
    """Sends requests to one host; opens its connections when first used.

    `limit` bounds the exchanges in flight; the others wait at a gate of our own, because
    aiohttp's queue can't be told apart from sending when a timeout ends it.
    """

    def __init__(
        self,
        base_url: str,
        key: Hidden[str],
        *,
        limit: int,
        connect_timeout: float,
        tls: ssl.SSLContext | None,
    ) -> None:
        self._base_url = base_url
        self._key = key
        self._limit = limit
        self._connect_timeout = connect_timeout
        self._tls: ssl.SSLContext | bool = True  # to loopback, where it isn't used
        if base_url.startswith("https:"):
            self._tls = default_tls_context() if tls is None else without_key_log(tls)
        self._urls: dict[str, URL] = {}
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

    async def send(
        self, method: str, path: str, body: Hidden[bytes], key: str, timeout: float, trail: Trail
    ) -> Exchange:
        """One exchange of at most `timeout` seconds; never raises for what the network does.

        `key` is the idempotency key, checked. `trail` is written to on the way, so that it
        tells how far the request came even when cancellation passes through.
        """
        opened = self._opened
        if opened is None:
            return trail.end(Ending.SESSION_CLOSED)
        if not await self._admit(opened.gate, timeout, trail):
            return trail.end(Ending.TIMED_OUT, _NO_SLOT if timeout > 0 else "")
        payload = _Body(body, trail)
        try:
            content = await self._converse(
                opened.session, method, path, payload, key, timeout, trail
            )
        except asyncio.CancelledError as cancelled:
            if was_asked_to_cancel():
                # A traceback shows variables: without the frames below, which hold what
                # was sent and what was answered.
                raise cancelled.with_traceback(None) from None
            ending, detail = Ending.FAILED, "cancelled by nobody"  # aiohttp, when it closes
        except Exception as error:  # noqa: BLE001  # whatever it is, it is evidence
            ending, detail = _ending(error)
        else:
            return trail.end(Ending.COMPLETE, body=content)
        finally:
            opened.gate.release()
            payload.abort()
        ending = Ending.SESSION_CLOSED if self.closed else ending
        return trail.end(ending, detail, bytes(trail.body))

    async def _admit(self, gate: asyncio.Semaphore, timeout: float, trail: Trail) -> bool:
        """Wait for one of the connection slots; False when the time is over."""
        try:
            async with asyncio.timeout(timeout) if gate.locked() else _AT_ONCE:
                await gate.acquire()
        except TimeoutError:
            return False
        trail.admitted = trail.now()
        if trail.admitted - trail.began < timeout:
            return True
        gate.release()
        trail.admitted = None
        return False

    async def _converse(
        self,
        session: aiohttp.ClientSession,
        method: str,
        path: str,
        payload: _Body,
        key: str,
        timeout: float,
        trail: Trail,
    ) -> bytes:
        """Send one request, and read its answer to the end; the body, decompressed."""
        response = await session.request(
            method,
            self._url(path),
            data=payload,
            headers={"Idempotency-Key": key},
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(
                total=timeout - (trail.now() - trail.began),
                sock_connect=self._connect_timeout,
                ceil_threshold=_EXACT,
            ),
        )
        try:
            trail.answered = trail.now()
            trail.head = _head(response, self._key)
            content, body = response.content, trail.body
            while not content.at_eof():
                body += await content.read(LARGEST_BODY + 1 - len(body))
                check_size(body)
            trail.read = trail.now()
        except BaseException:
            response.close()
            raise
        if trail.sent is None:
            # Answered before it was asked in full: the rest would go before the next request.
            response.close()
        return decompress(bytes(body), trail.head.encoding)

    def _url(self, path: str) -> URL:
        if path not in self._urls:
            self._urls[path] = URL(self._base_url + path, encoded=True)
        return self._urls[path]

    def _open(self, loop: asyncio.AbstractEventLoop, process: int) -> _Opened:
        connector = _Connector(self._tls)
        session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            max_line_size=LONGEST_FIELD,
            max_field_size=LONGEST_FIELD,
            max_headers=MOST_FIELDS,
            headers={
                "Authorization": f"Bearer {self._key.reveal()}",
                "Accept": "application/json",
                "Accept-Encoding": "identity",
                "User-Agent": USER_AGENT,
            },
        )
        return _Opened(loop, process, asyncio.Semaphore(self._limit), connector, session)


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
        opened.session.detach()
        opened.connector.abandon()
    else:
        raise EventLoopError(
            "this client is open on another event loop; make one FrameClient per event loop, "
            "or close this one there first"
        )


def _head(response: aiohttp.ClientResponse, key: Hidden[str]) -> Head:
    headers = response.headers
    return Head(
        response.status,
        retry_after=tuple(headers.getall("Retry-After", ())),
        date=headers.get("Date"),
        request_id=_request_id(headers, key),
        encoding=headers.get("Content-Encoding", ""),
    )


def _request_id(headers: Mapping[str, str], key: Hidden[str]) -> str | None:
    for name in _REQUEST_ID_HEADERS:
        if name in headers and (found := clean_request_id(headers[name], key.reveal())):
            return found
    return None


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
    (aiohttp.ClientResponseError, Ending.GARBLED, ""),
    (OSError, Ending.DISCONNECTED, None),
)


def _ending(error: Exception) -> tuple[Ending, str]:
    """How an exchange ended, in words; what that proves is judged elsewhere."""
    if isinstance(error, UnusableBodyError):
        return Ending.UNUSABLE, str(error)
    for cls, ending, detail in _ENDINGS:
        if isinstance(error, cls):
            return ending, spelled(error) if detail is None else detail
    return Ending.FAILED, type(error).__name__
