"""How a request leaves, and over which connection: aiohttp's documented extension points."""

import ssl
from typing import Any, Final
from weakref import WeakSet

import aiohttp

from frame_async.engine.exchange import Trail
from frame_async.engine.system import is_quiet
from frame_async.secret import Secret

IDLE_SECONDS: Final = 50.0
"""How long an idle connection is kept: longer than aiohttp's 15 s, since callers may be
sparse, and below the 60 s and more after which servers commonly close one."""

EXACT: Final = 1e9
"""Seconds; aiohttp rounds timeouts above its threshold, which is 5, up to whole seconds."""

_ONE_WRITE: Final = 65_536
"""Bytes; aiohttp hands over a body up to this size without waiting for the connection."""


class RequestBody(aiohttp.Payload):
    """The body of one request: notes when it is written, and to which connection.

    aiohttp holds the head back for the first piece of the body, so until then nothing of
    the request has left.
    """

    def __init__(self, body: Secret[bytes], trail: Trail) -> None:
        super().__init__(body, content_type="application/json")
        self._bytes = body
        self.trail = trail
        self.transport: Any = None
        """What it goes over; noted by our `Connector`."""

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

    def __deepcopy__(self, memo: object) -> bytes:
        """What mocks and recorders keep of it: they copy it, and can't copy a connection."""
        return self._bytes.reveal()

    async def write(self, writer: Any) -> None:
        """Write all of it, and note that the request may arrive from now on."""
        trail, body = self.trail, self._bytes.reveal()
        trail.handed = trail.now()
        trail.times_handed += 1
        try:
            await writer.write(body)
        except aiohttp.ClientConnectionResetError:
            # Raised before the connection takes a byte, unless it had to be waited for.
            trail.unwritten = len(body) <= _ONE_WRITE
            raise
        trail.sent = trail.now()

    def abort(self) -> None:
        """Send no more of it: even a connection that was closed would send what it buffers.

        One that isn't closed had a complete answer. It is in the pool again, and may
        already carry another request.
        """
        transport = self.transport
        if transport is not None and transport.is_closing():
            transport.abort()


class Connector(aiohttp.TCPConnector):
    """Connections to one address; hands out none that has something to say.

    On an idle connection the server may have pushed bytes, or closed it, and a stray answer
    must not become that of the next request. Or it answered before it had read all of
    the last request, whose rest would then go before the next one.
    """

    def __init__(self, tls: ssl.SSLContext | bool) -> None:
        super().__init__(  # pyright: ignore[reportUnknownMemberType]  # one of its options' is
            limit=0, ssl=tls, keepalive_timeout=IDLE_SECONDS, timeout_ceil_threshold=EXACT
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
        if isinstance(req.body, RequestBody):
            req.body.transport, req.body.trail.reused = transport, reused
        return connection


def _is_usable(connection: Any) -> bool:
    """Whether an idle connection has received nothing and has nothing left to send."""
    transport, protocol = connection.transport, connection.protocol
    if transport is None or protocol is None or protocol.should_close:
        return False
    socket = transport.get_extra_info("socket")
    return socket is not None and is_quiet(socket.fileno())
