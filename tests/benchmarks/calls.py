"""What a call costs beside raw aiohttp, from a request object to a session object.

Run it with ``PYTHONPATH=tests python tests/benchmarks/calls.py``. All variants run in this
process in shuffled blocks, one call at a time, against the cheapest possible server in
another; figures are CPU time of this process per call, as the ratio of medians and its
quartiles. With ``--instructions``, valgrind counts instructions per call instead, which
come out the same in every run.
"""

import argparse
import asyncio
import json
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
from itertools import count
from typing import Any, Final

import aiohttp
from support.cheapest import serve_sessions

from frame_async import FrameClient, LineItem, PaymentLinkSessionRequest, RateLimit
from frame_async.stores import MemoryStore

GIVEN: Final = {
    "account": "f8b22e7f-c84a-4560-930e-2d505ad9aef5",
    "client_reference_id": "order-42",
    "line_items": [{"product": "prod_1", "quantity_maximum": 3, "quantity_minimum": 1}],
    "success_url": "https://shop.example/thanks?order=42",
}
BODY: Final = json.dumps(GIVEN, separators=(",", ":")).encode()
HEADERS: Final = {
    "Authorization": "Bearer sk_sandbox_x",
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "Content-Type": "application/json",
    "User-Agent": "bench",
}
WIDE: Final = RateLimit(1_000_000, 60.0)

Make = Callable[[], Awaitable[object]]


def plain(**options: Any) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        headers=HEADERS,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=30),
        **options,
    )


def order() -> PaymentLinkSessionRequest:
    return PaymentLinkSessionRequest(
        account="f8b22e7f-c84a-4560-930e-2d505ad9aef5",
        client_reference_id="order-42",
        line_items=[LineItem(product="prod_1", quantity_minimum=1, quantity_maximum=3)],
        success_url="https://shop.example/thanks?order=42",
    )


@asynccontextmanager
async def variants(port: int) -> AsyncIterator[dict[str, Make]]:
    """The variants by name."""
    base = f"http://localhost:{port}"
    url = f"{base}/v1/payment_link_sessions"
    request, numbers = order(), count()
    async with (
        plain() as session,
        FrameClient("sk_sandbox_x", base_url=base, rate_limit=WIDE, store=MemoryStore()) as frame,
        FrameClient("sk_sandbox_x", base_url=base, rate_limit=None, store=MemoryStore()) as bare,
    ):
        create = frame.payment_link_sessions.create

        async def raw() -> None:
            response = await session.request("POST", url, data=BODY, allow_redirects=False)
            await response.read()

        async def with_json() -> None:
            async with session.post(url, json=GIVEN) as response:
                await response.json()

        yield {
            "raw aiohttp": raw,
            "aiohttp with json": with_json,
            "create, no window": lambda: bare.payment_link_sessions.create(request),
            "create": lambda: create(request),
            "create with a key": lambda: create(request, idempotency_key=f"k{next(numbers)}"),
        }


async def repeat(make: Make, times: int) -> None:
    for _ in range(times):
        await make()


async def time_all(port: int, blocks: int = 30, size: int = 200) -> None:
    """Time all variants in shuffled blocks, and print their ratios."""
    async with variants(port) as makes:
        times: dict[str, list[float]] = {name: [] for name in makes}
        order = [name for name in makes for _ in range(blocks)]
        random.Random(1).shuffle(order)
        for make in makes.values():
            await repeat(make, 200)
        for name in order:
            began = time.process_time()
            await repeat(makes[name], size)
            times[name].append((time.process_time() - began) / size)
    base = statistics.median(times["raw aiohttp"])
    for name, values in times.items():
        low, middle, high = statistics.quantiles(values, n=4)
        print(
            f"{name:24} {middle * 1e6:7.1f} us  "
            f"ratio {middle / base:.3f} (quartiles {low / base:.3f} to {high / base:.3f})"
        )


async def run_one(port: int, name: str, times: int) -> None:
    async with variants(port) as makes:
        await repeat(makes[name], times)


def instructions(port: int, name: str, times: int) -> int:
    """Instructions of a whole process that makes so many calls."""
    command = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
    command += [sys.executable, __file__, "--run", str(port), name, str(times)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    found = re.search(r"I +refs: +([\d,]+)", told)
    assert found, told
    return int(found.group(1).replace(",", ""))


def count_all(port: int, names: list[str]) -> None:
    """Count the instructions per call of all variants, and print their ratios."""
    base = 0.0
    for name in ["raw aiohttp", *names]:
        each = (instructions(port, name, 1200) - instructions(port, name, 200)) / 1000
        base = base or each
        print(f"{name:24} {each:9,.0f} instructions  ratio {each / base:.3f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instructions", action="store_true")
    parser.add_argument("--only", nargs="*", default=None)
    parser.add_argument("--run", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        port, name, times = options.run
        asyncio.run(run_one(int(port), name, int(times)))
        return
    here, there = multiprocessing.Pipe()
    context = multiprocessing.get_context("fork")
    server = context.Process(target=serve_sessions, args=(there,), daemon=True)
    server.start()
    port = here.recv()
    if options.instructions and shutil.which("valgrind"):
        names = ["aiohttp with json", "create, no window", "create", "create with a key"]
        count_all(port, names if options.only is None else options.only)
    else:
        asyncio.run(time_all(port))
    server.terminate()


if __name__ == "__main__":
    main()
