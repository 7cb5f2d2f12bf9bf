"""An `aiohttp.ClientSession`, and the evidence of each exchange.

aiohttp's exceptions carry the Authorization header in their arguments, so none leaves
this module, not even as the context of another: `Http.send` returns an `Exchange`
whatever the network does, and only cancellation passes through.
"""

import asyncio
import gc
import os
import ssl
import sys
import warnings
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from typing import Final

import aiohttp
from attrs import frozen
from yarl import URL

from frame_async._version import __version__
from frame_async.engine import guards
from frame_async.engine.bodies import LARGEST_BODY, UnusableBodyError, decompress
from frame_async.engine.cancellation import was_asked_to_cancel
from frame_async.engine.connections import EXACT, Connector, RequestBody
from frame_async.engine.exchange import Exchange, Head, Trail
from frame_async.engine.system import spelled
from frame_async.engine.tls import default_tls_context, without_key_log
from frame_async.errors import ClientClosedError, EventLoopError
from frame_async.protocol.outcomes import Ending
from frame_async.protocol.redaction import clean_request_id
from frame_async.secret import Secret

LONGEST_FIELD: Final = 131_072
"""Bytes of one header of an answer. aiohttp refuses 8,190 unless told otherwise, and then
an answer that proves a session would be lost for the length of a header."""
MOST_FIELDS: Final = 2_000
"""Headers of an answer, for the same reason."""

USER_AGENT: Final = (
    f"frame-async/{__version__} Python/{sys.version_info.major}.{sys.version_info.minor} "
    f"aiohttp/{aiohttp.__version__}"
)

_REQUEST_ID_HEADERS: Final = ("X-Request-Id", "Request-Id", "X-Amzn-Trace-Id", "CF-Ray")
_NO_SLOT: Final = "waiting for a connection slot to come free"


@frozen(eq=False, repr=False)
class _Opened:
    """What is bound to one event loop in one process."""

    loop: asyncio.AbstractEventLoop
    process: int
    gate: asyncio.Semaphore
    session: aiohttp.ClientSession
    closing: AsyncGenerator[None]


_of_parents: Final[list[_Opened]] = []


class Http:
    """Sends requests to one host; opens its connections when first used.

    `limit` bounds the exchanges in flight; the others wait at a gate of our own, because
    aiohttp's queue can't be told apart from sending when a timeout ends it.
    """

    def __init__(
        self,
        base_url: str,
        key: Secret[str],
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
                await opened.closing.aclose()
        self.closed = True
        self._opened = None

    async def send(
        self, method: str, path: str, body: Secret[bytes], key: str, timeout: float, trail: Trail
    ) -> Exchange:
        """One exchange of at most `timeout` seconds; never raises for what the network does.

        `key` is the idempotency key, checked. `trail` is written to on the way, so that it
        tells how far the request came even when cancellation passes through.
        """
        opened = self._opened
        if opened is None:
            return trail.end(Ending.SESSION_CLOSED)
        payload = RequestBody(body, trail)
        try:
            # Not aiohttp's own limit, which swallows a cancellation that meets it.
            async with asyncio.timeout(timeout):
                await opened.gate.acquire()
                trail.admitted = trail.now()
                if trail.admitted - trail.began >= timeout:
                    return trail.end(Ending.TIMED_OUT, _NO_SLOT if timeout > 0 else "")
                content = await self._converse(opened.session, method, path, payload, key)
        except asyncio.CancelledError as cancelled:
            if was_asked_to_cancel():
                # A traceback shows variables: without the frames below, which hold what
                # was sent and what was answered.
                raise cancelled.with_traceback(None) from None
            ending, detail = Ending.FAILED, "cancelled by nobody"  # aiohttp, when it closes
        except Exception as error:  # noqa: BLE001  # whatever it is, it is evidence
            ending, detail = _ending(error)
            detail = detail if trail.admitted is not None else _NO_SLOT
        else:
            return trail.end(Ending.COMPLETE, body=content)
        finally:
            if trail.admitted is not None:
                opened.gate.release()
            payload.abort()
        ending = Ending.SESSION_CLOSED if self.closed else ending
        return trail.end(ending, detail, bytes(trail.body))

    async def _converse(
        self,
        session: aiohttp.ClientSession,
        method: str,
        path: str,
        payload: RequestBody,
        key: str,
    ) -> bytes:
        """Send one request, and read its answer to the end; the body, decompressed."""
        trail = payload.trail
        response = await session.request(
            method,
            self._urls.get(path) or self._url(path),
            data=payload,
            headers={"Idempotency-Key": key},
            allow_redirects=False,
        )
        try:
            trail.answered = trail.now()
            trail.head = _head(response, self._key)
            content, body = response.content, trail.body
            while not content.at_eof():
                body += await content.read(LARGEST_BODY + 1 - len(body))
                if len(body) > LARGEST_BODY:
                    raise UnusableBodyError("it is larger than 1 MiB")  # noqa: TRY301
            trail.read = trail.now()
        except BaseException:
            response.close()
            raise
        if trail.sent is None:
            # Answered before it was asked in full: the rest would go before the next request.
            response.close()
        encoding = trail.head.encoding
        return decompress(bytes(body), encoding) if encoding else bytes(body)

    def _url(self, path: str) -> URL:
        if path not in self._urls:
            self._urls[path] = URL(self._base_url + path, encoded=True)
        return self._urls[path]

    def _open(self, loop: asyncio.AbstractEventLoop, process: int) -> _Opened:
        session = aiohttp.ClientSession(
            connector=Connector(self._tls),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=self._connect_timeout, ceil_threshold=EXACT
            ),
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
        if guards.on_open is not None:
            guards.on_open(session.connector, self._base_url, self._key)
        closing = _close_with_loop(session)
        with suppress(StopIteration):
            closing.__anext__().send(None)
        return _Opened(loop, process, asyncio.Semaphore(self._limit), session, closing)


async def _close_with_loop(session: aiohttp.ClientSession) -> AsyncGenerator[None]:
    """Close the session when this is closed, which `asyncio.run` does before its loop ends.

    A connection that outlives its event loop could never be closed.
    """
    try:
        yield
    finally:
        await session.close()


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
        _drop(opened.session)
    else:
        raise EventLoopError(
            "this client is open on another event loop; make one FrameClient per event loop, "
            "or close this one there first"
        )


def _drop(session: aiohttp.ClientSession) -> None:
    """Free the sockets of an event loop that was closed before them.

    Nothing can close a transport of such a loop. Python frees it when it finds it, and would
    warn of it then.
    """
    connector = session.connector
    session.detach()
    if connector is not None:
        with suppress(StopIteration):
            next(connector.close().__await__())  # there is nothing that it could wait for
    del connector
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def _head(response: aiohttp.ClientResponse, key: Secret[str]) -> Head:
    headers = response.headers
    return Head(
        response.status,
        retry_after=tuple(headers.getall("Retry-After", ())),
        date=headers.get("Date"),
        request_id=_request_id(headers, key),
        encoding=headers.get("Content-Encoding", ""),
    )


def _request_id(headers: Mapping[str, str], key: Secret[str]) -> str | None:
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
