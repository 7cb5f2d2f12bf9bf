"""An HTTP proxy for tests, which speaks CONNECT (RFC 9110 9.3.6) and forwards plain requests."""

import asyncio
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import Self

from attrs import define, field


@define
class Proxy:
    """A proxy on a free port; `status` other than 200 is what it answers to CONNECT."""

    status: int = 200
    credentials: str | None = None
    """``user:password`` that it asks for."""
    tls: ssl.SSLContext | None = None
    heads: list[bytes] = field(init=False, factory=list[bytes])
    """The heads of the requests that it was sent."""
    _server: asyncio.Server = field(init=False)

    @property
    def address(self) -> str:
        """Host and port."""
        return f"localhost:{self._server.sockets[0].getsockname()[1]}"

    @property
    def url(self) -> str:
        """Where it is, with its credentials."""
        login = f"{self.credentials}@" if self.credentials else ""
        return f"{'https' if self.tls else 'http'}://{login}{self.address}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "localhost", 0, ssl=self.tls)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head)
            method, target, _ = head.split(b" ", 2)
            assert method == b"CONNECT", head
            if status := self._refusal(head):
                writer.write(b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % status)
                await writer.drain()
            else:
                host, _, port = target.decode().rpartition(":")
                async with _connected(host, int(port)) as (there, back):
                    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    await asyncio.wait(
                        [
                            asyncio.ensure_future(_copy(reader, back)),
                            asyncio.ensure_future(_copy(there, writer)),
                        ],
                        return_when=asyncio.FIRST_COMPLETED,
                    )
        writer.close()

    def _refusal(self, head: bytes) -> int:
        """The status to refuse with; 0 for none."""
        if self.status != 200:
            return self.status
        if self.credentials is None:
            return 0
        login = b64encode(self.credentials.encode())
        return 0 if b"Proxy-Authorization: Basic " + login in head else 407


@asynccontextmanager
async def _connected(
    host: str, port: int
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
