"""An ASGI application behind a real server on a free port, in the test's own event loop."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn


class _Server(uvicorn.Server):
    """Leaves the test run's signals alone, and ends at once instead of looking now and then."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.serving, self.leave = asyncio.Event(), asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    async def main_loop(self) -> None:
        self.serving.set()
        await self.leave.wait()


@asynccontextmanager
async def serve(app: Any, **options: Any) -> AsyncIterator[str]:
    """Serve an application with uvicorn; the address without a path."""
    server = _Server(uvicorn.Config(app, **({"ws": "none", "log_config": None} | options)))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        task = asyncio.create_task(server.serve(sockets=[listening]))
        serving = asyncio.create_task(server.serving.wait())
        await asyncio.wait({task, serving}, return_when=asyncio.FIRST_COMPLETED)
        serving.cancel()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.leave.set()
            await task


async def hang_up_after(
    url: str, until: Awaitable[object], body: bytes = b"", kind: str = "application/json"
) -> None:
    """POST something, wait for something to happen, and close the connection unanswered."""
    host, _, path = url.removeprefix("http://").partition("/")
    name, _, port = host.partition(":")
    _, writer = await asyncio.open_connection(name, int(port))
    head = f"POST /{path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n"
    writer.write(f"{head}Content-Type: {kind}\r\n\r\n".encode() + body)
    await until
    writer.close()
    await writer.wait_closed()
