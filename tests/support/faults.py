"""A server that does to a request whatever a script says, and keeps a ledger of the truth.

It speaks raw TCP, so that it can break off after any byte of a request or of an answer,
frame an answer wrongly, say things unasked, and never answer at all.
"""

import asyncio
import json
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from types import TracebackType
from typing import Self

from attrs import Factory, define, field


@define
class Seen:
    """One request as the server saw it, and what it did with it."""

    key: str = ""
    received: bytes = field(default=b"", repr=False)
    complete: bool = False
    created: str | None = None
    """The id of the session that was created for it."""
    connection: int = 0


Play = Callable[["Wire"], Awaitable[None]]
"""What to do with one connection, from the moment a request may come on it."""


@define(eq=False)
class Wire:
    """One connection of the server, as a script handles it."""

    server: "FaultServer"
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    number: int
    seen: Seen = Factory(Seen)

    async def read_request(self) -> bool:
        """Read one whole request into the ledger; False when the connection ended first."""
        self.seen = Seen(connection=self.number)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            head = await self.reader.readuntil(b"\r\n\r\n")
            self._note(head)
            length = int(_header(head, b"content-length") or 0)
            self._note(await self.reader.readexactly(length))
            self.seen.complete = True
        return self.seen.complete

    async def read_bytes(self, count: int) -> None:
        """Read that many bytes of a request, or fewer when the connection ends."""
        self.seen = Seen(connection=self.number)
        with suppress(ConnectionError):
            while len(self.seen.received) < count:
                piece = await self.reader.read(count - len(self.seen.received))
                if not piece:
                    break
                self._note(piece)

    def _note(self, piece: bytes) -> None:
        if not self.seen.received:
            self.server.ledger.append(self.seen)
        self.seen.received += piece
        self.seen.key = (_header(self.seen.received, b"idempotency-key") or b"").decode()

    def create(self) -> bytes:
        """Create the session that was asked for; the body of the answer."""
        assert self.seen.complete, "only a whole request can be processed"
        self.seen.created = f"pls_{len(self.server.ledger)}_{self.seen.key}"
        return session_body(self.seen.created)

    async def send(self, data: bytes) -> None:
        """Send bytes now; a client that is gone is none of the server's business."""
        with suppress(ConnectionError):
            self.writer.write(data)
            await self.writer.drain()

    def close(self) -> None:
        """Close in an orderly way (FIN)."""
        self.writer.close()

    def reset(self) -> None:
        """Close at once (RST)."""
        sock: socket.socket = self.writer.get_extra_info("socket")
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


def _header(head: bytes, name: bytes) -> bytes | None:
    for line in head.split(b"\r\n")[1:]:
        found, _, value = line.partition(b":")
        if found.lower() == name:
            return value.strip()
    return None


def session_body(session_id: str) -> bytes:
    """A session as Frame answers it."""
    return json.dumps(
        {
            "id": session_id,
            "customer_email": None,
            "payment_status": "unpaid",
            "phone_number_collection": False,
            "shipping_address_collection": False,
            "status": "open",
            "client_reference_id": None,
            "object": "payment_link.session",
            "expires": 1781202281,
            "created": 1781115881,
            "updated": 1781115881,
            "livemode": False,
            "customer": None,
            "account": None,
            "payment_method": None,
        }
    ).encode()


def framed(body: bytes, framing: str = "length", status: str = "201 Created") -> bytes:
    """A whole answer: framed by its length, in chunks, or by the end of the connection."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n".encode()
    match framing:
        case "length":
            return head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        case "chunked":
            half = len(body) // 2
            chunks = b"".join(b"%x\r\n%b\r\n" % (len(c), c) for c in (body[:half], body[half:]))
            return head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
        case "close":
            return head + b"Connection: close\r\n\r\n" + body
    raise AssertionError(framing)


def refusal(status: str, *headers: str, body: bytes = b'{"error": "no"}') -> bytes:
    """A whole answer that says no."""
    lines = "".join(f"{header}\r\n" for header in headers)
    return f"HTTP/1.1 {status}\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body


# Plays ------------------------------------------------------------------------------


async def serve(wire: Wire) -> None:
    """Do the right thing, as long as requests come."""
    while await wire.read_request():
        await wire.send(framed(wire.create()))


def answer(*answers: bytes) -> Play:
    """Give these answers, one to each request, creating nothing; then serve."""

    async def play(wire: Wire) -> None:
        for said in answers:
            if not await wire.read_request():
                return
            await wire.send(said)
        await serve(wire)

    return play


def cut_request(after: int, *, reset: bool = False) -> Play:
    """Break off after that many bytes of the request."""

    async def play(wire: Wire) -> None:
        await wire.read_bytes(after)
        wire.reset() if reset else wire.close()

    return play


def lose_request(*, reset: bool = False) -> Play:
    """Read the whole request, do nothing with it, and break off."""

    async def play(wire: Wire) -> None:
        if await wire.read_request():
            wire.reset() if reset else wire.close()

    return play


def cut_answer(after: int, framing: str = "length", *, reset: bool = False) -> Play:
    """Create the session, and break off after that many bytes of the answer."""

    async def play(wire: Wire) -> None:
        if await wire.read_request():
            await wire.send(framed(wire.create(), framing)[:after])
            if reset:
                await asyncio.sleep(0.02)  # a reset at once would take the sent bytes with it
            wire.reset() if reset else wire.close()

    return play


async def hang(wire: Wire) -> None:
    """Read the request, create the session, and never answer."""
    if await wire.read_request():
        wire.create()
        await asyncio.sleep(3600)


async def deaf(wire: Wire) -> None:
    """Never read, never answer."""
    await asyncio.sleep(3600)


def drip(pause: float, *, create: bool = True) -> Play:
    """Create the session and answer one byte at a time."""

    async def play(wire: Wire) -> None:
        if await wire.read_request():
            body = wire.create() if create else b"{}"
            for byte in framed(body):
                await wire.send(bytes([byte]))
                await asyncio.sleep(pause)

    return play


async def endless_continues(wire: Wire) -> None:
    """Create the session and answer with interim responses for ever."""
    if await wire.read_request():
        wire.create()
        while not wire.writer.is_closing():
            await wire.send(b"HTTP/1.1 102 Processing\r\n\r\n")
            await asyncio.sleep(0.01)


# Server -----------------------------------------------------------------------------


@define(eq=False)
class FaultServer:
    """Plays one script per connection, in order; when they are used up, the last for ever."""

    plays: list[Play]
    tls: ssl.SSLContext | None = None
    ledger: list[Seen] = Factory(list)
    connections: int = 0
    _wires: set[Wire] = field(factory=set)
    _tasks: set[asyncio.Task[None]] = field(factory=set)
    _server: asyncio.Server | None = None
    port: int = 0

    @classmethod
    def playing(cls, *plays: Play, tls: ssl.SSLContext | None = None) -> Self:
        """A server that plays these scripts."""
        return cls(list(plays) or [serve], tls=tls)

    @property
    def url(self) -> str:
        """Its address, without ``/v1``."""
        return f"http{'s' if self.tls else ''}://localhost:{self.port}"

    @property
    def created(self) -> list[str]:
        """The ids of all sessions that exist."""
        return [seen.created for seen in self.ledger if seen.created]

    def created_for(self, key: str) -> list[str]:
        """The ids of all sessions that exist for an idempotency key."""
        return [seen.created for seen in self.ledger if seen.created and seen.key == key]

    def reset_all(self) -> None:
        """Reset every connection at once."""
        for wire in list(self._wires):
            wire.reset()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._connected, "127.0.0.1", 0, ssl=self.tls, limit=2**24
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        wire = Wire(self, reader, writer, self.connections)
        self.connections += 1
        self._wires.add(wire)
        try:
            await self.plays[min(wire.number, len(self.plays) - 1)](wire)
        except asyncio.CancelledError:
            pass
        finally:
            self._wires.discard(wire)
            self._tasks.discard(task)
            writer.close()
            with suppress(Exception):
                await writer.wait_closed()


def keys_of(ledger: Iterable[Seen]) -> list[str]:
    """The idempotency keys of the requests that were seen whole."""
    return [seen.key for seen in ledger if seen.complete]
