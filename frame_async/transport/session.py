"""The session manager: owns the connections, and all that knows aiohttp is here and in `wire`.

aiohttp's exceptions carry the Authorization header in their arguments, so none leaves
this module, not even as the context of another: `HttpSession.post` returns an
`Exchange` whatever the network does, and only cancellation passes through.

What is written, and over which connection, is in `frame_async.transport.wire`.
"""

import asyncio
import os
import ssl
import sys
from collections.abc import Mapping
from typing import Final

import aiohttp
from aiohttp import hdrs
from aiohttp.http import HttpProcessingError, RawResponseMessage
from attrs import frozen
from multidict import istr
from yarl import URL

from frame_async._version import __version__
from frame_async.errors import ClientClosedError, EventLoopError
from frame_async.protocol.outcomes import Ending
from frame_async.protocol.redaction import clean_request_id
from frame_async.secret import Secret
from frame_async.transport.bodies import UnusableBodyError
from frame_async.transport.deadlines import Deadlines
from frame_async.transport.exchange import Exchange, Head, Trail
from frame_async.transport.system import spelled, was_asked_to_cancel
from frame_async.transport.tls import make_tls_context, without_key_log
from frame_async.transport.wire import Connector, NeverWrittenError, Post

IDLE_SECONDS: Final = 50.0
"""How long an idle connection is kept: longer than aiohttp's 15 s, since callers may be
sparse, and below the 60 s and more after which servers commonly close one."""

USER_AGENT: Final = (
    f"frame-async/{__version__} Python/{sys.version_info.major}.{sys.version_info.minor} "
    f"aiohttp/{aiohttp.__version__}"
)

# As `istr`, which needn't be folded to lower case at each answer.
_REQUEST_ID_HEADERS: Final = tuple(
    map(istr, ("X-Request-Id", "Request-Id", "X-Amzn-Trace-Id", "CF-Ray"))
)
_COMPLETE: Final = Ending.COMPLETE  # slow to find in Python 3.11
_NO_SLOT: Final = "waiting for a connection slot to come free"


@frozen(eq=False, repr=False)
class _Opened:
    """What is bound to one event loop in one process."""

    loop: asyncio.AbstractEventLoop
    process: int
    gate: asyncio.Semaphore
    deadlines: Deadlines
    connector: Connector


class HttpSession:
    """Posts bodies to one address; opens its connections when first used.

    `limit` bounds the exchanges in flight; the others wait at a gate of our own, because
    aiohttp's queue can't be told apart from sending when a timeout ends it.
    """

    def __init__(
        self,
        url: str,
        key: Secret[str],
        *,
        limit: int,
        connect_timeout: float,
        tls: ssl.SSLContext | None,
    ) -> None:
        self._url = URL(url, encoded=True)
        self._key = key
        self._head = _head_of(self._url, key)
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
                await opened.connector.close()
                opened.deadlines.close()
        self.closed = True
        self._opened = None

    async def post(self, body: Secret[bytes], key: str, timeout: float, trail: Trail) -> Exchange:
        """One exchange of at most `timeout` seconds; never raises for what the network does.

        `key` is the idempotency key, checked: it goes into the head as it is. `trail` is
        written to on the way, so that it tells how far the request came even when
        cancellation passes through.
        """
        opened = self._opened
        if opened is None:
            return trail.end(Ending.SESSION_CLOSED)
        post = Post(self._head, key, body, trail)
        deadline = opened.deadlines.start(timeout)
        try:
            await opened.gate.acquire()
            trail.admitted = trail.now()
            if trail.admitted - trail.began >= timeout:  # the deadline may be late
                return trail.end(Ending.TIMED_OUT, _NO_SLOT if timeout > 0 else "")
            connection = await opened.connector.take(trail)
            trail.head = _head(await post.answer(connection), self._key)
            content = await post.read()
        except asyncio.CancelledError as cancelled:
            if deadline.was_it():
                ending, detail = Ending.TIMED_OUT, _NO_SLOT if trail.admitted is None else ""
            elif was_asked_to_cancel():
                # A traceback shows variables: without the frames below, which hold what
                # was sent and what was answered.
                raise cancelled.with_traceback(None) from None
            else:
                ending, detail = Ending.FAILED, "cancelled by nobody"  # aiohttp, when it closes
        except Exception as error:  # noqa: BLE001  # whatever it is, it is evidence
            ending, detail = _ending(error)
        else:
            return trail.end(_COMPLETE, body=content)
        finally:
            deadline.end()
            if trail.admitted is not None:
                opened.gate.release()
            post.end()
        ending = Ending.SESSION_CLOSED if self.closed else ending
        return trail.end(ending, detail, post.heard())

    def _open(self, loop: asyncio.AbstractEventLoop, process: int) -> _Opened:
        connector = Connector(
            self._url,
            self._connect_timeout,
            ssl=self._tls_context(),
            keepalive_timeout=IDLE_SECONDS,
        )
        gate, deadlines = asyncio.Semaphore(self._limit), Deadlines(loop)
        return _Opened(loop, process, gate, deadlines, connector)

    def _tls_context(self) -> ssl.SSLContext | bool:
        if self._url.scheme == "http":
            return True  # to loopback; loading the system's authorities takes a while
        return make_tls_context() if self._tls is None else without_key_log(self._tls)


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


def _head_of(url: URL, key: Secret[str]) -> Secret[bytes]:
    """The head of every request, but for the values of its last two headers."""
    lines = [
        f"POST {url.raw_path_qs} HTTP/1.1",
        f"Host: {url.host_port_subcomponent}",
        f"Authorization: Bearer {key.reveal()}",
        "Accept: application/json",
        "Accept-Encoding: identity",
        "Content-Type: application/json",
        f"User-Agent: {USER_AGENT}",
        "Idempotency-Key: ",
    ]
    return Secret("\r\n".join(lines).encode("ascii"))


_of_parents: Final[list[_Opened]] = []


def _head(message: RawResponseMessage, key: Secret[str]) -> Head:
    headers, status = message.headers, message.code
    if 200 <= status <= 299:  # nothing to wait for
        return Head(status, request_id=_request_id(headers, key))
    retry_after = tuple(headers.getall(hdrs.RETRY_AFTER, ()))
    return Head(status, retry_after, headers.get(hdrs.DATE), _request_id(headers, key))


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
    (OSError, Ending.DISCONNECTED, None),
    (HttpProcessingError, Ending.GARBLED, ""),
)


def _ending(error: Exception) -> tuple[Ending, str]:
    """How an exchange ended, in words; what that proves is judged elsewhere."""
    if isinstance(error, NeverWrittenError):
        return Ending.NEVER_WRITTEN, ""
    if isinstance(error, UnusableBodyError):
        return Ending.UNUSABLE, str(error)
    for cls, ending, detail in _ENDINGS:
        if isinstance(error, cls):
            return ending, spelled(error) if detail is None else detail
    return Ending.FAILED, type(error).__name__
