"""A server that is told to stop, while payers wait for the rate window, stops soon."""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from frame_async.emulator import Emulator

TESTS = Path(__file__).parents[1]
GUNICORN = ("gunicorn", "--bind", "127.0.0.1:{port}", "--worker-class")
SERVERS = {
    "uvicorn": (
        *("uvicorn", "--factory", "--port", "{port}", "--log-level", "warning"),
        "support.stopping_shops:starlette_shop",
    ),
    "hypercorn": (
        "hypercorn",
        "--workers",
        "0",
        "--bind",
        "127.0.0.1:{port}",
        "support.stopping_shops:quart_shop()",
    ),
    "aiohttp": (
        *("aiohttp.web", "--hostname", "127.0.0.1", "--port", "{port}"),
        "support.stopping_shops:aiohttp_shop",
    ),
    "gunicorn": (*GUNICORN, "aiohttp.GunicornWebWorker", "support.stopping_shops:aiohttp_shop()"),
    "gunicorn uvicorn": (
        *(*GUNICORN, "uvicorn_worker.UvicornWorker"),
        "support.stopping_shops:starlette_shop()",
    ),
}


@asynccontextmanager
async def served(
    emulator: Emulator, name: str
) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    """A shop behind a server of its own, in a process of its own."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [part.format(port=port) for part in SERVERS[name]]
    env = {
        **os.environ,
        "PYTHONPATH": str(TESTS),
        "SHOP_KEY": emulator.api_key,
        "SHOP_FRAME": emulator.base_url,
    }
    server = await asyncio.create_subprocess_exec(sys.executable, "-m", *command, env=env)
    try:
        yield f"http://127.0.0.1:{port}/pay", server
    finally:
        if server.returncode is None:
            server.kill()
            await server.wait()


async def first(visitor: aiohttp.ClientSession, url: str) -> None:
    """Pay, as soon as there is a server: the window's one place is taken."""
    async with asyncio.timeout(30):
        while True:
            try:
                async with visitor.post(url) as answer:
                    assert answer.status == 200, await answer.text()
                    return
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.1)


@pytest.mark.parametrize("name", SERVERS)
async def test_a_server_stops_while_payers_wait(emulator: Emulator, name: str) -> None:
    """Payers who wait hear 503 and when to come again, and the server has stopped in 3 s."""
    if "gunicorn" in name:
        pytest.importorskip("gunicorn")
    async with served(emulator, name) as (url, server), aiohttp.ClientSession() as visitor:
        await first(visitor, url)
        waiting = [asyncio.create_task(visitor.post(url)) for _ in range(5)]
        await asyncio.sleep(0.5)
        assert not any(task.done() for task in waiting)
        began = time.monotonic()
        server.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            answers = await asyncio.gather(*waiting)
            await server.wait()
        took = time.monotonic() - began
    assert [answer.status for answer in answers] == [503] * 5
    assert all(int(answer.headers["Retry-After"]) > 0 for answer in answers)
    assert took < 3
    assert len(emulator.created()) == 1
