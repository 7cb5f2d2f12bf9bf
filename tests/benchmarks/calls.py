"""What a call costs beside raw aiohttp, from a request object to a session object.

Run it with ``nox -s bench -- calls``. All variants run in this process in shuffled rounds,
one call at a time, against the cheapest possible server in another; figures are CPU time
of this process per call, as a multiple of raw aiohttp's in the same round, with quartiles. With
``--instructions``, valgrind counts instructions per call instead, which come out the same in
every run. ``nox -s bench`` alone compares with other libraries.
"""

import argparse
import asyncio
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from benchmarks.rivals.ways import WAYS, given_request
from support.cheapest import serve_sessions
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
from support.work import base_url

from frame_async import FrameClient
from frame_async.stores import MemoryStore

BASE: Final = "aiohttp, bytes"
NAMED: Final = {
    BASE: "raw",
    "aiohttp, json": "json",
    "create": "create",
    "create with a key": "create with a key",
    "create from values": "create from values",
}
BARE: Final = "create, no window"


@asynccontextmanager
async def variant(name: str, port: int) -> AsyncIterator[Make]:
    """One variant, with a client of its own."""
    if name != BARE:
        async with WAYS[NAMED[name]](port, False) as make:
            yield make
        return
    async with FrameClient(
        "sk_sandbox_x", base_url=base_url(port), rate_limit=None, store=MemoryStore()
    ) as frame:
        create, request = frame.payment_link_sessions.create, given_request()
        yield lambda: create(request)


async def time_all(port: int, names: list[str]) -> None:
    """Time variants in shuffled rounds, and print their ratios."""
    async with AsyncExitStack() as stack:
        makes = {name: await stack.enter_async_context(variant(name, port)) for name in names}
        print(times_shown(await time_rounds(makes, 30), BASE))


async def run_one(port: int, name: str, times: int) -> None:
    async with variant(name, port) as make:
        await repeat(make, times)


def count(port: int, name: str) -> float:
    """Instructions per call of one variant."""
    run = [sys.executable, __file__, "--run", str(port), name]
    return instructions_per_call(lambda calls: [*run, calls], (200, 1200))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instructions", action="store_true")
    parser.add_argument("--only", nargs="*", default=[*NAMED, BARE])
    parser.add_argument("--run", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        port, name, times = options.run
        run_each(times, lambda calls: asyncio.run(run_one(int(port), name, calls)))
        return
    names = list(dict.fromkeys([BASE, *options.only]))
    with serving(serve_sessions) as number:
        if options.instructions and shutil.which("valgrind"):
            print(instructions_shown({name: count(number, name) for name in names}, BASE))
        else:
            asyncio.run(time_all(number, names))


if __name__ == "__main__":
    main()
