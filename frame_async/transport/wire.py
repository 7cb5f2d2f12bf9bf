"""What of aiohttp is made to measure: the request, the connector, and a clock that ends both.

aiohttp's extension points, used for evidence and for speed. Its own request builds,
merges and serializes headers anew each time and, on Python 3.11, starts a task to write
the body; here a request is written in one piece, head and body, at one known moment.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from http.cookies import BaseCookie, SimpleCookie
from typing import Any, Final

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest, ConnectionKey
from aiohttp.connector import Connection
from multidict import CIMultiDict
from yarl import URL

from frame_async.hidden import Hidden
from frame_async.transport.exchange import Trail
from frame_async.transport.system import is_quiet


class NeverWrittenError(Exception):
    """The connection was unusable, or had received something, before a byte was written."""


class Post:
    """One request as it goes over the wire, and the trail of its exchange.

    Args:
        head: everything up to the value of the Idempotency-Key, which is its last header
            but one.
        key: that value, checked.
        body: JSON.
        trail: written to when the request is.
    """

    __slots__ = ("_body", "_head", "_key", "trail", "transport")

    def __init__(self, head: Hidden[bytes], key: str, body: Hidden[bytes], trail: Trail) -> None:
        self._head = head
        self._key = key
        self._body = body
        self.trail = trail
        self.transport: asyncio.Transport | None = None
        """What it was written to."""

    def end(self) -> None:
        """Send no more of it, unless it was answered: even closed, a connection would."""
        if self.trail.read is None and self.transport is not None:
            self.transport.abort()

    def to_bytes(self) -> bytes:
        """Head and body in one piece, so that they travel together."""
        body = self._body.reveal()
        return b"%b%b\r\nContent-Length: %d\r\n\r\n%b" % (
            self._head.reveal(),
            self._key.encode("ascii"),
            len(body),
            body,
        )

    async def close(self) -> None:
        """Nothing is open; aiohttp asks all bodies to close."""


class Request(ClientRequest):
    """Writes a `Post`, and notes the moment from which it may arrive."""

    def update_headers(self, headers: Any) -> None:  # noqa: ARG002  # as its parent's
        """None: they are in the `Post`, and so in no exception of aiohttp."""
        self.headers = _NO_HEADERS

    def update_auto_headers(self, skip_auto_headers: Any) -> None:
        """None are added."""

    def update_content_encoding(self, data: Any) -> None:
        """None is used."""

    def update_transfer_encoding(self) -> None:
        """None is used."""

    def update_expect_continue(self, expect: bool = False) -> None:
        """Nobody is asked before the body is sent."""

    def update_body_from_data(self, body: Any, _stacklevel: int = 3) -> None:
        """Take the `Post` as it is."""
        self._body = body

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        """Write everything at once, unless the connection spoke before it was asked."""
        post: Any = self._body
        trail: Trail = post.trail
        trail.handed = trail.now()
        protocol = conn.protocol
        if protocol is None or protocol.should_close:
            raise NeverWrittenError
        transport = protocol.transport
        if transport is None or transport.is_closing():
            raise NeverWrittenError
        post.transport = transport
        transport.write(post.to_bytes())
        trail.sent = trail.now()
        self.response = self.response_class(
            self.method,
            self.original_url,
            writer=None,
            continue100=None,
            timer=self._timer,
            request_info=self.request_info,
            traces=self._traces,
            loop=self.loop,
            session=self._session,
            stream_writer=_WRITTEN,
        )
        return self.response


class _Written:
    """Stands for aiohttp's writer, which a response asks for what it has written."""

    output_size = 0


_WRITTEN: Final[Any] = _Written()
_NO_HEADERS: Final = CIMultiDict[str]()


class NoCookies(aiohttp.DummyCookieJar):
    """Neither keeps nor makes any."""

    def filter_cookies(self, request_url: URL) -> "BaseCookie[str]":  # noqa: ARG002
        """None, and always the same none."""
        return _NO_COOKIES


_NO_COOKIES: Final = SimpleCookie()


class Connector(aiohttp.TCPConnector):
    """Notes for whom it opens connections, and hands out none that has something to say.

    On an idle connection the server may have pushed bytes, or closed it; aiohttp 3.14.5
    would give a stray answer to the next request. Or it answered before it had read all of
    the last request, whose rest would then go before the next one.
    """

    async def _get(self, key: ConnectionKey, traces: list[Any]) -> Connection | None:
        while (connection := await super()._get(key, traces)) is not None:
            if _is_usable(connection.protocol):
                return connection
            if connection.transport is not None:
                connection.transport.abort()
            connection.close()
        return None

    async def _create_connection(
        self, req: ClientRequest, traces: list[Any], timeout: aiohttp.ClientTimeout
    ) -> ResponseHandler:
        post: Any = req.body
        post.trail.fresh = True
        return await super()._create_connection(req, traces, timeout)

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
