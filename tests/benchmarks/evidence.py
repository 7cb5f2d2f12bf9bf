"""What our exchange costs, evidence included, as a ratio to raw aiohttp from bytes to bytes.

Run it with ``nox -s bench -- evidence``. All variants run in this process in shuffled
rounds, against the cheapest possible server in another; figures are CPU time of this process
per request, as a multiple of raw aiohttp's in the same round, with quartiles. With
``--instructions``, valgrind counts the instructions per request instead, which come out
the same in every run.
"""

import argparse
import asyncio
import shutil
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp
from support.cheapest import serve
from support.measuring import (
    Make,
    instructions_per_call,
    instructions_shown,
    repeat,
    run_each,
    serving,
    time_rounds,
    times_shown,
)
from support.work import BODY, HEADERS, PATH, base_url

from frame_async.engine.exchange import Course, Exchange
from frame_async.engine.http import Http
from frame_async.engine.operation import CallOptions
from frame_async.engine.sessions import HttpSettings
from frame_async.protocol.retry import RetryPolicy
from frame_async.resources.payment_link_sessions import CREATE
from frame_async.secret import Secret

BASE: Final = "raw aiohttp"
OURS: Final = "our exchange, with evidence"
TRACED: Final = "raw aiohttp with its tracing, two hooks"
NAMES: Final = (BASE, OURS, TRACED)


async def raw(session: aiohttp.ClientSession, url: str) -> None:
    response = await session.request("POST", url, data=BODY, allow_redirects=False)
    await response.read()


async def with_evidence(ours: Http) -> None:
    options = CallOptions(timeout=15.0, policy=RetryPolicy())
    course = Course(options=options, started=0.0, deadline=15.0, body=BODY, key="k")
    exchange = Exchange(time.monotonic, time.monotonic())
    await ours.send(CREATE, course, 15.0, exchange)
    assert exchange.body, exchange


def tracing() -> aiohttp.TraceConfig:
    config = aiohttp.TraceConfig()

    async def note(*_: object) -> None:
        pass

    config.on_request_headers_sent.append(note)
    config.on_connection_reuseconn.append(note)
    return config


@asynccontextmanager
async def variants(port: int) -> AsyncIterator[dict[str, Make]]:
    """The variants, each on a session of its own."""
    url = base_url(port) + PATH

    def session(**options: Any) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            headers=HEADERS,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=30),
            **options,
        )

    ours = Http(
        HttpSettings(
            base_url=url.removesuffix(PATH) + "/v1",
            key=Secret("sk_sandbox_x"),
            limit=100,
            connect_timeout=5.0,
        )
    )
    ours.open()
    async with session() as plain, session(trace_configs=[tracing()]) as traced:
        yield {
            BASE: lambda: raw(plain, url),
            OURS: lambda: with_evidence(ours),
            TRACED: lambda: raw(traced, url),
        }
    await ours.aclose()


async def time_all(port: int) -> None:
    """Time all variants in shuffled rounds, and print their ratios."""
    async with variants(port) as posts:
        print(times_shown(await time_rounds(posts, 40), BASE))


async def run_one(port: int, name: str, times: int) -> None:
    async with variants(port) as posts:
        await repeat(posts[name], times)


def count(port: int, name: str) -> float:
    """Instructions per request of one variant."""
    run = [sys.executable, __file__, "--run", str(port), name]
    return instructions_per_call(lambda calls: [*run, calls], (200, 1200))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instructions", action="store_true")
    parser.add_argument("--run", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        port, name, times = options.run
        run_each(times, lambda calls: asyncio.run(run_one(int(port), name, calls)))
        return
    with serving(serve) as number:
        if options.instructions and shutil.which("valgrind"):
            print(instructions_shown({name: count(number, name) for name in NAMES}, BASE))
        else:
            asyncio.run(time_all(number))


if __name__ == "__main__":
    main()
