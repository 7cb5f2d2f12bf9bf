"""What gathering evidence costs, as a ratio to raw aiohttp posting and reading bytes.

Run it with ``PYTHONPATH=tests python tests/benchmarks/evidence.py``. All variants run in this
process in
shuffled blocks, against the cheapest possible server in another; figures are CPU time of
this process per request, as the ratio of medians and its quartiles. With
``--instructions``, valgrind counts the instructions per request instead, which come out
the same in every run.
"""

import argparse
import asyncio
import multiprocessing
import random
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from support.cheapest import serve

from frame_async.transport.exchange import Trail
from frame_async.transport.session import _Body, _Connector, _Request

BODY = b'{"client_reference_id":"order-42","line_items":[{"product":"prod_1"}],"x":"' + b"y" * 190
HEADERS = {
    "Authorization": "Bearer sk_sandbox_x",
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "Content-Type": "application/json",
    "User-Agent": "bench",
}


Post = Callable[[], Awaitable[object]]


async def raw(session: aiohttp.ClientSession, url: str) -> None:
    response = await session.request("POST", url, data=BODY, allow_redirects=False)
    await response.read()


async def with_trail(session: aiohttp.ClientSession, url: str) -> None:
    trail = Trail(time.monotonic)
    response = await session.request("POST", url, data=_Body(BODY, trail), allow_redirects=False)
    await response.read()


def tracing() -> aiohttp.TraceConfig:
    config = aiohttp.TraceConfig()

    async def note(*_: object) -> None:
        pass

    config.on_request_headers_sent.append(note)
    config.on_connection_reuseconn.append(note)
    return config


Variants = dict[str, Post]


@asynccontextmanager
async def variants(port: int) -> AsyncIterator[Variants]:
    """The variants, each on a session of its own."""
    url = f"http://localhost:{port}/v1/payment_link_sessions"

    def session(**options: Any) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            headers=HEADERS,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=30),
            **options,
        )

    async with (
        session() as plain,
        session(request_class=_Request, connector=_Connector(limit=0)) as ours,
        session(trace_configs=[tracing()]) as traced,
    ):
        yield {
            "raw aiohttp": lambda: raw(plain, url),
            "with our evidence": lambda: with_trail(ours, url),
            "with aiohttp's tracing, two hooks": lambda: raw(traced, url),
        }


async def time_all(port: int, blocks: int = 40, size: int = 200) -> None:
    """Time all variants in shuffled blocks, and print their ratios."""
    async with variants(port) as posts:
        times: dict[str, list[float]] = {name: [] for name in posts}
        order = [name for name in posts for _ in range(blocks)]
        random.Random(1).shuffle(order)
        for post in posts.values():
            await repeat(post, 200)
        for name in order:
            began = time.process_time()
            await repeat(posts[name], size)
            times[name].append((time.process_time() - began) / size)
    base = statistics.median(times["raw aiohttp"])
    for name, values in times.items():
        low, middle, high = statistics.quantiles(values, n=4)
        print(
            f"{name:36} {middle * 1e6:7.1f} us  "
            f"ratio {middle / base:.3f} (quartiles {low / base:.3f} to {high / base:.3f})"
        )


async def repeat(post: Post, count: int) -> None:
    for _ in range(count):
        await post()


async def run_one(port: int, name: str, count: int) -> None:
    async with variants(port) as posts:
        await repeat(posts[name], count)


def instructions(port: int, name: str, count: int) -> int:
    """Instructions of a whole process that makes `count` requests."""
    command = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
    command += [sys.executable, __file__, "--run", str(port), name, str(count)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    found = re.search(r"I +refs: +([\d,]+)", told)
    assert found, told
    return int(found.group(1).replace(",", ""))


def count_all(port: int) -> None:
    """Count the instructions per request of all variants, and print their ratios."""
    base = 0.0
    for name in ("raw aiohttp", "with our evidence", "with aiohttp's tracing, two hooks"):
        each = (instructions(port, name, 1200) - instructions(port, name, 200)) / 1000
        base = base or each
        print(f"{name:36} {each:9,.0f} instructions  ratio {each / base:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instructions", action="store_true")
    parser.add_argument("--run", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        port, name, count = options.run
        asyncio.run(run_one(int(port), name, int(count)))
        return
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("fork").Process(target=serve, args=(there,), daemon=True)
    server.start()
    port = here.recv()
    if options.instructions and shutil.which("valgrind"):
        count_all(port)
    else:
        asyncio.run(time_all(port))
    server.terminate()


if __name__ == "__main__":
    main()
