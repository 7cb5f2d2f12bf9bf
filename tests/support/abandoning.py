"""Requests that are abandoned, and what becomes of their calls."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

from frame_async.stores import Claim, MemoryStore
from frame_async.testing import EmulatorThread

PATIENCE = 30.0


@asynccontextmanager
async def abandoned(
    url: str,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    *,
    method: str = "POST",
    length: int | None = None,
) -> AsyncIterator[asyncio.StreamReader]:
    """A request that is sent byte for byte, and abandoned when the block ends.

    With a `length` that is not the body's, it says so in its head and never keeps it.
    """
    place, _, path = url.removeprefix("http://").partition("/")
    host, _, port = place.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    size = len(body) if length is None else length
    head = {"Host": place, "Content-Length": f"{size}"} | dict(headers or {})
    lines = [f"{method} /{path} HTTP/1.1", *(f"{name}: {head[name]}" for name in head)]
    writer.write("\r\n".join([*lines, "", ""]).encode() + body)
    try:
        yield reader
    finally:
        writer.close()
        await writer.wait_closed()


class Books(MemoryStore):
    """A store that tells what becomes of a key."""

    def __init__(self) -> None:
        super().__init__()
        self.claimed, self.released = asyncio.Event(), asyncio.Event()
        self.in_doubt = asyncio.Event()

    async def claim(self, key: str, fingerprint: str, lease: float) -> Claim:
        """As it is, and tell."""
        self.claimed.set()
        return await super().claim(key, fingerprint, lease)

    async def release(self, key: str, token: str) -> bool:
        """As it is, and tell."""
        self.released.set()
        return await super().release(key, token)

    async def doubt(self, key: str, token: str, doubts: int, keep: float) -> bool:
        """As it is, and tell."""
        self.in_doubt.set()
        return await super().doubt(key, token, doubts, keep)


async def until_created(emulator: EmulatorThread, number: int) -> None:
    """Wait until the emulator has made so many sessions."""

    async def created() -> bool:
        return len(await emulator.acall(lambda emulator: emulator.created())) >= number

    await until(created)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something is true."""
    ends = time.monotonic() + PATIENCE
    while not await condition():
        assert time.monotonic() < ends, "it never came true"
        await asyncio.sleep(0.01)
