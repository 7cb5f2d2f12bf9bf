"""What of aiohttp is made to measure: how a request is written, and over which connection.

aiohttp's connector (its pool, DNS, TLS) and its reader of HTTP are used as they are. Between
the two, its client session would build, merge and serialize headers anew for each request
and, on Python 3.11, start a task to write the body: three fifths of what a request costs.
Here a request is written in one piece, head and body, at one known moment.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection
from aiohttp.http import RawResponseMessage
from yarl import URL

from frame_async.secret import Secret
from frame_async.transport.bodies import LARGEST_BODY, UnusableBodyError, decompressed
from frame_async.transport.exchange import Trail
from frame_async.transport.system import is_quiet

_SWITCHING_PROTOCOLS: Final = 101
_NEVER: Final = 1e9
"""Seconds; aiohttp rounds timeouts above its threshold, which is 5, up to whole seconds."""
_UNTRACED: Final[list[Any]] = []


class NeverWrittenError(Exception):
    """The connection was unusable, or had received something, before a byte was written."""


class Post:
    """One request over one connection, and the answer as far as it came; shows none of it.

    Args:
        head: everything up to the value of the Idempotency-Key, which is its last header
            but one.
        key: that value, checked.
        body: JSON.
        trail: written to when the request is.
    """

    __slots__ = (
        "_body",
        "_chunks",
        "_connection",
        "_content",
        "_head",
        "_headers",
        "_key",
        "_trail",
    )

    def __init__(self, head: Secret[bytes], key: str, body: Secret[bytes], trail: Trail) -> None:
        self._head = head
        self._key = key
        self._body = body
        self._trail = trail
        self._connection: Connection | None = None
        self._content: aiohttp.StreamReader | None = None
        self._headers: Mapping[str, str] = {}
        self._chunks: list[bytes] = []

    async def answer(self, connection: Connection) -> RawResponseMessage:
        """Write it to a connection, and read the head of its answer.

        Raises:
            NeverWrittenError: the connection is closed, or spoke before it was asked.
        """
        self._connection = connection
        protocol = self._write(connection.protocol)
        while True:
            message, content = await protocol.read()
            if not 100 <= message.code <= 199 or message.code == _SWITCHING_PROTOCOLS:
                break
        self._trail.answered = self._trail.now()
        self._content, self._headers = content, message.headers
        # From the end of the body on, the connection is in the pool again, or closed.
        content.on_eof(connection.release)
        return message

    def _write(self, protocol: ResponseHandler | None) -> ResponseHandler:
        """Write everything at once."""
        trail = self._trail
        trail.handed = trail.now()
        if protocol is None or protocol.should_close:
            raise NeverWrittenError
        transport = protocol.transport
        if transport is None or transport.is_closing():
            raise NeverWrittenError
        # A new reader of HTTP for each answer: whatever the last one was in the middle of, such
        # as half an answer that nobody asked for, is not the beginning of this one.
        protocol.set_response_params(read_until_eof=True, auto_decompress=False)
        transport.write(self._to_bytes())
        trail.sent = trail.now()
        return protocol

    def _to_bytes(self) -> bytes:
        """Head and body in one piece, so that they travel together."""
        body = self._body.reveal()
        return b"%b%b\r\nContent-Length: %d\r\n\r\n%b" % (
            self._head.reveal(),
            self._key.encode("ascii"),
            len(body),
            body,
        )

    async def read(self) -> bytes:
        """The body of the answer, to its end, decompressed.

        Raises:
            UnusableBodyError: it is larger than `LARGEST_BODY`, or can't be decompressed.
        """
        content, left = self._content, LARGEST_BODY
        while content is not None and not content.at_eof():
            chunk = await content.read(left + 1)
            self._chunks.append(chunk)
            left -= len(chunk)
            if left < 0:
                raise UnusableBodyError("it is larger than 1 MiB")
        self._trail.read = self._trail.now()
        return decompressed(b"".join(self._chunks), self._headers)

    def heard(self) -> bytes:
        """What has arrived of a body that can't be read to its end."""
        # A reader whose connection broke keeps it back.
        kept = getattr(self._content, "_buffer", ())
        return b"".join((*self._chunks, *kept))[:LARGEST_BODY]

    def end(self) -> None:
        """Send and read no more of it: unless all was read, its connection is closed."""
        connection = self._connection
        if connection is not None and (transport := connection.transport) is not None:
            transport.abort()  # even closed, it would go on sending
        if connection is not None:
            connection.close()


class Connector(aiohttp.TCPConnector):
    """Connections to one address; hands out none that has something to say.

    On an idle connection the server may have pushed bytes, or closed it; aiohttp 3.14.5
    would give a stray answer to the next request. Or it answered before it had read all of
    the last request, whose rest would then go before the next one.
    """

    def __init__(self, url: URL, connect_timeout: float, **options: Any) -> None:
        super().__init__(  # pyright: ignore[reportUnknownMemberType]  # one of its options' is
            limit=0, timeout_ceil_threshold=_NEVER, **options
        )
        self._request = ClientRequest("POST", url, loop=self._loop)
        self._timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=connect_timeout, ceil_threshold=_NEVER
        )

    async def take(self, trail: Trail) -> Connection:
        """An idle connection, or a new one."""
        if self.closed:
            raise aiohttp.ClientConnectionError("Connector is closed.")  # as aiohttp, but sooner
        key = self._request.connection_key
        while (connection := await self._get(key, _UNTRACED)) is not None:
            if _is_usable(connection.protocol):
                return connection
            if connection.transport is not None:
                connection.transport.abort()
            connection.close()
        trail.fresh = True
        return await self.connect(self._request, _UNTRACED, self._timeout)

    def abandon(self) -> None:
        """Let go of everything without a word to anyone: its event loop is closed."""
        transports = [proto.transport for conns in self._conns.values() for proto, _ in conns]
        self._close()
        for transport in transports:
            # A closed loop can't run the callback that frees the socket, so run it here.
            lost: Callable[[object], None] | None = getattr(
                transport, "_call_connection_lost", None
            )
            if lost is not None:
                with suppress(Exception):
                    lost(None)


def _is_usable(protocol: ResponseHandler | None) -> bool:
    """Whether an idle connection has received nothing and has nothing left to send."""
    if protocol is None or protocol.transport is None or protocol.should_close:
        return False
    socket = protocol.transport.get_extra_info("socket")
    return socket is not None and is_quiet(socket.fileno())
