"""An `aiohttp.ClientSession`, and the evidence of each exchange.

aiohttp's exceptions carry the Authorization header in their arguments, so none leaves
this module, not even as the context of another: `Http.send` returns an `Exchange`
whatever the network does, and only cancellation passes through.
"""

import asyncio
import os
import select
import ssl
import sys
from functools import lru_cache
from typing import Any, Final

import aiohttp
from yarl import URL

from frame_async.engine import guards
from frame_async.engine.bodies import (
    GZIP,
    LARGEST_BODY,
    UnusableBodyError,
    decompress,
    read_roughly,
    salvage,
)
from frame_async.engine.cancellation import was_asked_to_cancel
from frame_async.engine.endings import ending_of
from frame_async.engine.exchange import Course, Exchange
from frame_async.engine.opened import Opened, leave_behind
from frame_async.engine.operation import Operation
from frame_async.engine.sessions import EXACT, HttpSettings
from frame_async.errors import ClientClosedError
from frame_async.protocol.outcomes import Ending
from frame_async.protocol.redaction import clean_request_id

IDLE_SECONDS: Final = 50.0
"""How long an idle connection is kept: longer than aiohttp's 15 s, since callers may be
sparse, and below the 60 s and more after which servers commonly close one."""

_ONE_WRITE: Final = 65_536
"""Bytes; aiohttp hands over a body up to this size without waiting for the connection."""
_HAS_POLL: Final = hasattr(select, "poll")
"""It takes descriptors above 1023, but Windows has only select()."""
_REQUEST_ID_HEADERS: Final = ("X-Request-Id", "Request-Id", "X-Amzn-Trace-Id", "CF-Ray")
_HTTP: Final = b"HTTP/"
_KEPT: Final = 16_384
"""Bytes of an answer; one that creates a session takes about 1,000."""
_NO_SLOT: Final = "waiting for a connection slot to come free"


class Http:
    """Sends requests to one host; opens its connections when first used.

    `limit` bounds the exchanges in flight; the others wait at a gate of our own, because
    aiohttp's queue can't be told apart from sending when a timeout ends it.
    """

    def __init__(self, settings: HttpSettings) -> None:
        self._settings = settings
        self._base_url = settings.base_url
        self._key = settings.key
        self._headers = settings.headers_of_each()
        self._options = settings.for_each_request()
        self._body_of = RequestBody if settings.session is None else ReplaceableBody
        self._opened: Opened | None = None
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
        given = self._settings.session
        if given is not None and given.closed:
            raise ClientClosedError("the aiohttp.ClientSession given as http is closed")
        opened, loop, process = self._opened, asyncio.get_running_loop(), os.getpid()
        if opened is None or opened.loop is not loop or opened.process != process:
            if opened is not None:
                leave_behind(opened, process)
            gate = asyncio.Semaphore(self._settings.limit)
            session = self._make_session() if given is None else given
            if guards.on_open is not None:
                guards.on_open(session.connector, self._base_url, self._key)
            self._opened = Opened(loop, process, gate, session, ours=given is None)

    def _make_session(self) -> aiohttp.ClientSession:
        return self._settings.make_session(Connector(self._settings.tls_used))

    def leave_others(self) -> None:
        """Let go of what another event loop or the parent process opened.

        Raises:
            EventLoopError: that loop is still there, and may be using it.
        """
        if self._opened is not None and not self._opened.is_here():
            leave_behind(self._opened, os.getpid())
            self._opened = None

    async def aclose(self) -> None:
        """Close all connections; calling it again does nothing.

        Raises:
            EventLoopError: it is open on another event loop; nothing was closed.
        """
        self.leave_others()
        self.closed = True  # before the first await: exchanges in flight ask for it
        opened, self._opened = self._opened, None
        if opened is not None:
            await opened.aclose()

    async def send(
        self, operation: Operation[Any, Any], course: Course, timeout: float, exchange: Exchange
    ) -> Exchange:
        """Make one exchange of at most `timeout` seconds; never raises for the network's faults.

        `exchange` is written to on the way, so that it tells how far the request came even
        when cancellation passes through.
        """
        opened = self._opened
        if opened is None:
            return exchange.end(Ending.SESSION_CLOSED)
        body = self._body_of(course, exchange)
        try:
            # Not aiohttp's own limit, which swallows a cancellation that meets it.
            async with asyncio.timeout(timeout):
                await opened.gate.acquire()
                exchange.admitted = exchange.now()
                if exchange.admitted - exchange.began >= timeout:
                    return exchange.end(Ending.TIMED_OUT, _NO_SLOT if timeout > 0 else "")
                await self._converse(opened.session, operation, course, body)
                return exchange.end(Ending.COMPLETE)
        except asyncio.CancelledError as cancelled:
            if was_asked_to_cancel():
                # A traceback shows variables: without the frames below, which hold what
                # was answered.
                raise cancelled.with_traceback(None) from None
            ending, detail = Ending.FAILED, "cancelled by nobody"  # aiohttp, when it closes
        except Exception as error:  # noqa: BLE001  # whatever it is, it is evidence
            ending, detail = ending_of(error)
            if ending is Ending.NO_CONNECTION:
                detail = "; ".join(filter(None, (detail, self._settings.hint())))
            detail = detail if exchange.admitted is not None else _NO_SLOT
        finally:
            if exchange.admitted is not None:
                opened.gate.release()
            body.finish()
        if exchange.status is None and not _HTTP.startswith(body.answer[: len(_HTTP)]):
            ending, detail = Ending.GARBLED, ""
        if self.closed or opened.session.closed:
            ending = Ending.SESSION_CLOSED
        return exchange.end(ending, detail)

    async def _converse(
        self,
        session: aiohttp.ClientSession,
        operation: Operation[Any, Any],
        course: Course,
        body: "RequestBody",
    ) -> None:
        """Send one request, and read its answer to the end."""
        exchange = body.exchange
        response = await session.request(
            operation.method,
            _url(self._base_url, operation.path),
            data=body,
            headers={**self._headers, "Idempotency-Key": course.key, **exchange.trace},
            **self._options,
        )
        content, received = response.content, exchange.received
        try:
            exchange.answered = exchange.now()
            self._read_head(response, exchange)
            while not content.at_eof():
                received += await content.read(LARGEST_BODY + 1 - len(received))
                if len(received) > LARGEST_BODY:
                    raise UnusableBodyError("it is larger than 1 MiB")  # noqa: TRY301
            exchange.read = exchange.now()
        except BaseException:
            response.close()
            raise
        if exchange.sent is None:
            # Answered before it was asked in full: the rest would go before the next request.
            response.close()
        packed = exchange.encoding or received.startswith(GZIP)
        exchange.body = (
            decompress(bytes(received), exchange.encoding) if packed else bytes(received)
        )

    def _read_head(self, response: aiohttp.ClientResponse, exchange: Exchange) -> None:
        headers = response.headers
        exchange.status = response.status
        exchange.retry_after = tuple(headers.getall("Retry-After", ()))
        exchange.date = headers.get("Date")
        exchange.encoding = headers.get("Content-Encoding", "")
        for name in _REQUEST_ID_HEADERS:
            if name in headers and not exchange.request_id:
                exchange.request_id = clean_request_id(headers[name], self._key.reveal())


class RequestBody(aiohttp.Payload):
    """The body of one request: notes when it is written, and to which connection.

    aiohttp holds the head back for the first piece of the body, so until then nothing of
    the request has left.
    """

    def __init__(self, course: Course, exchange: Exchange) -> None:
        super().__init__(course, content_type="application/json")
        self._course = course
        self.exchange = exchange
        self.transport: Any = None
        """What it goes over; noted by our `Connector`."""
        self.answer = bytearray()
        """How the answer begins, as it came; kept by the next."""
        self.wire: AnswerStart | None = None

    @property
    def size(self) -> int:
        """Bytes, for Content-Length."""
        return len(self._course.body)

    @property
    def autoclose(self) -> bool:
        """There is nothing to close."""
        return True

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """As text, for middlewares that sign or log it."""
        return self._course.body.decode(encoding, errors)

    def __deepcopy__(self, memo: object) -> bytes:
        """What mocks and recorders keep of it: they copy it, and can't copy a connection."""
        return self._course.body

    async def write(self, writer: Any) -> None:
        """Write all of it, and note that the request may arrive from now on."""
        exchange, body = self.exchange, self._course.body
        exchange.handed = exchange.now()
        exchange.times_handed += 1
        try:
            await writer.write(body)
        except aiohttp.ClientConnectionResetError:
            # Raised before the connection takes a byte, unless it had to be waited for.
            exchange.unwritten = len(body) <= _ONE_WRITE
            raise
        exchange.sent = exchange.now()

    def finish(self) -> None:
        """Send no more of it, and note what came of an answer that aiohttp didn't hand out.

        Even a connection that was closed would send what it buffers. One that isn't closed had
        a complete answer. It is in the pool again, and may already carry another request.
        """
        transport, exchange = self.transport, self.exchange
        if transport is not None and transport.is_closing():
            transport.abort()
        if self.wire is not None and self.wire.kept is self.answer:
            self.wire.kept = self.wire.strays
        if exchange.status is None:
            exchange.status, exchange.body = read_roughly(bytes(self.answer))
        elif not exchange.body:
            exchange.body = salvage(bytes(exchange.received), exchange.encoding)


class ReplaceableBody(RequestBody):
    """The same on a session of the user's own, whose middlewares may send another body instead.

    aiohttp closes this one then, and otherwise when the request is answered or has failed. What
    is written of another body isn't seen, so from then on the request may arrive.
    """

    def __init__(self, course: Course, exchange: Exchange) -> None:
        super().__init__(course, exchange)
        self._handled = sys.exc_info()[1]

    async def close(self) -> None:
        """Note that it was replaced, unless a failure is being handled."""
        if self.exchange.handed is None and sys.exc_info()[1] is self._handled:
            self.exchange.handed = self.exchange.now()


class AnswerStart(asyncio.Protocol):
    """Between a connection and aiohttp: keeps how an answer begins, and passes everything on.

    aiohttp hands out no answer of which it refuses a single byte, and none whose head broke off;
    with its parser written in Python, bytes that aren't HTTP are to it as if nothing had come.
    """

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol
        self.strays = bytearray()
        """What came while no exchange was going on."""
        self.kept = self.strays
        """Of the exchange that goes on."""

    def data_received(self, data: bytes) -> None:
        """Keep what is the start, and pass it on."""
        if (room := _KEPT - len(self.kept)) > 0:
            self.kept += data[:room]
        self._protocol.data_received(data)

    def eof_received(self) -> bool | None:
        """Pass it on."""
        return bool(self._protocol.eof_received())

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass it on."""
        self._protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        """Pass it on."""
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """Pass it on."""
        self._protocol.resume_writing()


class Connector(aiohttp.TCPConnector):
    """Connections to one address; hands out none that has something to say.

    On an idle connection the server may have pushed bytes, or closed it, and a stray answer
    must not become that of the next request. Or it answered before it had read all of
    the last request, whose rest would then go before the next one.
    """

    def __init__(self, tls: ssl.SSLContext | bool, limit: int = 0) -> None:
        super().__init__(  # pyright: ignore[reportUnknownMemberType]  # one of its options' is
            limit=limit, ssl=tls, keepalive_timeout=IDLE_SECONDS, timeout_ceil_threshold=EXACT
        )

    async def connect(self, req: aiohttp.ClientRequest, *args: Any, **kwargs: Any) -> Any:
        """A connection that is new, or idle and silent."""
        while True:
            connection = await super().connect(req, *args, **kwargs)
            protocol, transport = connection.protocol, connection.transport
            answer = None if transport is None else transport.get_protocol()
            reused = isinstance(answer, AnswerStart)
            if not isinstance(answer, AnswerStart) or (
                not answer.strays and _is_usable(connection)
            ):
                break
            connection.close()
            if transport is not None:
                transport.abort()
        if not reused and transport is not None:
            answer = AnswerStart(protocol)
            transport.set_protocol(answer)
        if isinstance(req.body, RequestBody) and isinstance(answer, AnswerStart):
            req.body.wire, req.body.answer = answer, bytearray()
            answer.kept = req.body.answer
            req.body.transport, req.body.exchange.reused = transport, reused
        return connection


def _is_usable(connection: Any) -> bool:
    """Whether an idle connection has received nothing, no bytes, end or error, and takes bytes."""
    transport, protocol = connection.transport, connection.protocol
    if transport is None or protocol is None or protocol.should_close:
        return False
    socket = transport.get_extra_info("socket")
    if socket is None:
        return False
    if not _HAS_POLL:
        readable, writable, _ = select.select([socket], [socket], [], 0)
        return bool(writable and not readable)
    poll = select.poll()
    poll.register(socket, select.POLLIN | select.POLLOUT)
    return poll.poll(0) == [(socket.fileno(), select.POLLOUT)]


def make_shared_session(tls: ssl.SSLContext | bool, limit: int) -> aiohttp.ClientSession:
    """A session for many clients, each of which brings its own headers; so many connections."""
    return aiohttp.ClientSession(
        connector=Connector(tls, limit), cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
    )


@lru_cache(maxsize=256)
def _url(base_url: str, path: str) -> URL:
    return URL(base_url + path, encoded=True)
