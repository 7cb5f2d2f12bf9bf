"""An ASGI application behind hypercorn on a free port, in the test's own event loop."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from hypercorn.asyncio import serve
from hypercorn.config import Config


@asynccontextmanager
async def hypercorned(app: Any, patience: float = 1.0) -> AsyncIterator[str]:
    """Serve an ASGI application with hypercorn, which comes with Quart; the address."""
    stop, listening = asyncio.Event(), socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    config = Config()
    config.bind = [f"fd://{listening.detach()}"]  # hypercorn closes it
    config.errorlog = None
    config.graceful_timeout = patience
    serving = asyncio.create_task(serve(app, config, shutdown_trigger=stop.wait))
    try:
        async with aiohttp.ClientSession() as visitor:
            await _answers(visitor, url, serving)
        yield url
    finally:
        stop.set()
        await serving


async def _answers(visitor: aiohttp.ClientSession, url: str, serving: asyncio.Task[None]) -> None:
    """The socket listens before anybody accepts, so the first visit waits for the start."""
    visit = asyncio.ensure_future(visitor.get(f"{url}/is-there-anybody"))
    await asyncio.wait({visit, serving}, return_when=asyncio.FIRST_COMPLETED)
    if not visit.done():
        visit.cancel()
        return  # it ended at once; whoever awaits it is told why
    (await visit).release()
