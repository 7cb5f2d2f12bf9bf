"""The session manager: owns one aiohttp session, and is the only one that knows aiohttp.

aiohttp's exceptions carry the Authorization header in their arguments, so none leaves
this module, not even as the context of another: `HttpSession.post` returns an
`Exchange` whatever happens, and only cancellation passes through.
"""

import asyncio
import ssl
import sys
from collections.abc import Mapping
from typing import Any, Final

import aiohttp
from aiohttp import hdrs
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from yarl import URL

from frame_async._version import __version__
from frame_async.errors import ClientClosedError
from frame_async.hidden import Hidden
from frame_async.protocol.clock import Clock
from frame_async.protocol.outcomes import Ending
from frame_async.protocol.redaction import clean_request_id
from frame_async.transport.exchange import Exchange, Head, Trail

LARGEST_BODY: Final = 1_048_576
"""Bytes of an answer that are read; a session takes about 400."""

IDLE_SECONDS: Final = 50.0
"""How long an idle connection is kept: longer than aiohttp's 15 s, since callers may be
sparse, and below the 60 s and more after which servers commonly close one."""

USER_AGENT: Final = (
    f"frame-async/{__version__} Python/{sys.version_info.major}.{sys.version_info.minor} "
    f"aiohttp/{aiohttp.__version__}"
)

_REQUEST_ID_HEADERS: Final = ("X-Request-Id", "Request-Id", "X-Amzn-Trace-Id", "CF-Ray")
_NEVER: Final = 1e9  # aiohttp rounds timeouts above this up to whole seconds; the default is 5


class _Body(aiohttp.BytesPayload):
    """A request body that carries the trail of its exchange down through aiohttp."""

    def __init__(self, data: bytes, trail: Trail) -> None:
        super().__init__(data, content_type="application/json")
        self.trail = trail


class _Request(ClientRequest):
    """Notes the moment from which the request may arrive; cheaper than aiohttp's tracing."""

    async def send(self, conn: Any) -> aiohttp.ClientResponse:
        if not isinstance(self.body, _Body):
            return await super().send(conn)
        trail = self.body.trail
        trail.handed = trail.now()
        response = await super().send(conn)
        trail.sent = trail.now()
        return response


class _Connector(aiohttp.TCPConnector):
    """Notes which requests had a connection opened for them."""

    async def _create_connection(
        self, req: ClientRequest, traces: list[Any], timeout: aiohttp.ClientTimeout
    ) -> ResponseHandler:
        if isinstance(req.body, _Body):
            req.body.trail.fresh = True
        return await super()._create_connection(req, traces, timeout)


def make_tls_context() -> ssl.SSLContext:
    """TLS 1.2 or newer, verified against the system's authorities, keys never logged.

    Built by hand because ``ssl.create_default_context`` obeys ``SSLKEYLOGFILE``.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    return context


class HttpSession:
    """Posts bodies to one address; opens its connections when first used.

    `limit` bounds the exchanges in flight; the others wait at a gate of our own, because
    aiohttp's queue can't be told apart from sending when a timeout ends it.
    """

    def __init__(
        self,
        url: str,
        headers: Hidden[Mapping[str, str]],
        *,
        clock: Clock,
        limit: int,
        connect_timeout: float,
        tls: ssl.SSLContext | None,
    ) -> None:
        self._url = URL(url, encoded=True)
        self._headers = headers
        self._clock = clock
        self._gate = asyncio.Semaphore(limit)
        self._connect_timeout = connect_timeout
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None
        self.closed = False

    async def aclose(self) -> None:
        """Close all connections; calling it again does nothing."""
        self.closed = True
        if self._session is not None:
            await self._session.close()

    async def post(
        self, body: Hidden[bytes], headers: Mapping[str, str], timeout: float
    ) -> Exchange:
        """One exchange of at most `timeout` seconds; never raises for what the network does.

        Raises:
            ClientClosedError: the session was closed before.
        """
        session = self._open()
        trail = Trail(self._clock.monotonic)
        if not await self._enter_gate(timeout):
            return Exchange(trail, Ending.TIMED_OUT, trail.now())
        try:
            trail.admitted = trail.now()
            left = timeout - (trail.admitted - trail.began)
            if left <= 0:  # to aiohttp, 0 means for ever
                return Exchange(trail, Ending.TIMED_OUT, trail.admitted)
            return await self._exchange(session, body, headers, trail, left)
        finally:
            self._gate.release()

    async def _enter_gate(self, timeout: float) -> bool:
        if not self._gate.locked():
            return await self._gate.acquire()
        try:
            async with asyncio.timeout(timeout):
                return await self._gate.acquire()
        except TimeoutError:
            return False

    def _open(self) -> aiohttp.ClientSession:
        if self.closed:
            raise ClientClosedError(
                "the client is closed; create sessions inside its `async with` block, "
                "or make a new FrameClient"
            )
        if self._session is None:
            self._session = self._make_session()
        return self._session

    def _make_session(self) -> aiohttp.ClientSession:
        tls = make_tls_context() if self._tls is None else self._tls
        return aiohttp.ClientSession(
            connector=_Connector(
                limit=0, ssl=tls, keepalive_timeout=IDLE_SECONDS, timeout_ceil_threshold=_NEVER
            ),
            headers={
                **self._headers.reveal(),
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

    async def _exchange(
        self,
        session: aiohttp.ClientSession,
        body: Hidden[bytes],
        headers: Mapping[str, str],
        trail: Trail,
        timeout: float,
    ) -> Exchange:
        response: aiohttp.ClientResponse | None = None
        head: Head | None = None
        content: bytes | None = b""
        try:
            response = await session.request(
                "POST",
                self._url,
                data=_Body(body.reveal(), trail),
                headers=headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(
                    total=timeout, sock_connect=self._connect_timeout, ceil_threshold=_NEVER
                ),
            )
            trail.answered = trail.now()
            head = _head(response)
            content = await _read(response)
            trail.read = trail.now()
            ending = Ending.COMPLETE if content is not None else Ending.TOO_LARGE
        except asyncio.CancelledError as cancelled:
            # Without the frames of aiohttp, whose variables hold the API key.
            raise cancelled.with_traceback(None) from None
        except Exception as error:  # noqa: BLE001  # whatever it is, it is evidence
            ending = _ending(error)
        finally:
            if response is not None:
                response.release()
        return Exchange(trail, ending, trail.now(), head, content or b"")


def _head(response: aiohttp.ClientResponse) -> Head:
    headers = response.headers
    ids = (clean_request_id(headers.get(name)) for name in _REQUEST_ID_HEADERS)
    return Head(
        response.status,
        tuple(headers.getall(hdrs.RETRY_AFTER, ())),
        headers.get(hdrs.DATE),
        next((found for found in ids if found), None),
    )


async def _read(response: aiohttp.ClientResponse) -> bytes | None:
    """The whole body, or None when it is larger than `LARGEST_BODY`."""
    chunks: list[bytes] = []
    left = LARGEST_BODY
    while left >= 0:
        chunk = await response.content.read(left + 1)
        if not chunk:
            return b"".join(chunks)
        chunks.append(chunk)
        left -= len(chunk)
    return None


def _ending(error: Exception) -> Ending:
    """How an attempt ended, in words; what it proves is judged elsewhere."""
    match error:
        case TimeoutError():
            return Ending.TIMED_OUT
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ServerFingerprintMismatch():
            return Ending.BAD_CERTIFICATE
        case aiohttp.ClientConnectorError():
            return Ending.NO_CONNECTION
        case aiohttp.ClientPayloadError() | OSError() | aiohttp.ServerDisconnectedError():
            return Ending.DISCONNECTED
        case aiohttp.ClientResponseError():
            return Ending.GARBLED
        case _:
            return Ending.FAILED
