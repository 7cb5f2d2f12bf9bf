"""What other processes do to a store under test.

Run as ``python -m support.store_workers WORK KIND ADDRESS NUMBER...``; each says what was
acknowledged on standard output, a line at a time, unbuffered.
"""

import asyncio
import os
import random
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from support.stores import BACKENDS, store_url

import frame_async
from frame_async import FrameClient, LineItem, PaymentLinkSessionRequest
from frame_async.protocol.window import Lane, RateLimit
from frame_async.stores import Claimed, Store, Window

ORDER = PaymentLinkSessionRequest(line_items=[LineItem(product="prod_1")])

CALL_TIMEOUT = 2.0
"""Seconds for an attempt of `calls`: what a killed process held comes back that soon."""

BODY = b'{"id":"' + b"x" * 900 + b'"}'


def say(line: str) -> None:
    """One line, in one write."""
    os.write(1, f"{line}\n".encode())


async def complete(store: Store, callers: int, turns: int) -> None:
    """Claim and complete keys of one's own, and say each that is done."""

    async def call(number: int) -> None:
        for turn in range(turns):
            key = f"{os.getpid()}-{number}-{turn}"
            claim = await store.claim(key, "a=1", 60)
            assert isinstance(claim, Claimed)
            if await store.complete(key, claim.token, BODY + key.encode(), 3600):
                say(key)

    await asyncio.gather(*(call(number) for number in range(callers)))


async def claims(store: Store, count: int) -> None:
    """Claim the same keys as everyone else, and say each that was free."""
    keys = [f"key {n}" for n in range(count)]
    random.shuffle(keys)

    async def call(key: str) -> None:
        if isinstance(await store.claim(key, "a=1", 600), Claimed):
            say(key)

    await asyncio.gather(*(call(key) for key in keys))


async def calls(kind: str, address: str, url: str, limit: int, period: float, callers: int) -> None:
    """Call for ever through clients, as often as the window allows, under a clock gone mad."""
    true_time = time.time
    time.time = lambda: true_time() + random.choice([-7, 0, 0, 30]) * 3600
    async with FrameClient(
        "sk_sandbox_workers",
        base_url=url,
        store=store_url(kind, address),
        rate_limit=RateLimit(limit, period),
        attempt_timeout=CALL_TIMEOUT,
        timeout=600,
    ) as client:

        async def call() -> None:
            while True:
                await client.payment_link_sessions.create(ORDER, timeout=600)

        say("ready")
        await asyncio.gather(*(call() for _ in range(callers)))


async def hold(store: Store, limit: int, period: float, seconds: float) -> None:
    """Take all slots, never leave, and say when the first was taken."""
    window = Window("w", RateLimit(limit, period))
    began = time.time()
    for number in range(limit):
        assert not await store.enter(window, f"{number}", Lane.INTERACTIVE, seconds)
    say(f"{began}")
    await asyncio.sleep(600)


async def fill(store: Store) -> None:
    """Complete keys until the store can't go on; say each that is done, and the fault."""
    for turn in range(1_000):
        key = f"{turn}"
        claim = await store.claim(key, "a=1", 60)
        assert isinstance(claim, Claimed)
        await store.complete(key, claim.token, BODY * 5, 3600)
        say(key)


WORKS: dict[str, Callable[..., Awaitable[None]]] = {
    work.__name__: work for work in (complete, claims, hold, fill)
}


async def main(work: str, kind: str, address: str, *numbers: str) -> None:
    """Open the store, do the work, close it."""
    if work == "calls":
        url, limit, period, callers = numbers
        return await calls(kind, address, url, int(limit), float(period), int(callers))
    store = BACKENDS[kind].open(address, None)
    try:
        await WORKS[work](store, *(float(n) if "." in n else int(n) for n in numbers))
    finally:
        await store.aclose()


def command(work: str, kind: str, address: str, *numbers: object) -> list[str]:
    """The command line of a worker."""
    numerals = [str(number) for number in numbers]
    return [sys.executable, "-m", "support.store_workers", work, kind, address, *numerals]


def environment() -> dict[str, str]:
    """The environment in which a worker, or a script of a test, finds what it imports."""
    places = [Path(frame_async.__file__).parent.parent, Path(__file__).parent.parent]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, places))}


@contextmanager
def started(commands: list[list[str]]) -> Iterator[list["subprocess.Popen[str]"]]:
    """Workers that run beside the test, and are killed at its end if they still do."""
    workers = [
        subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment())
        for words in commands
    ]
    try:
        yield workers
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
            if worker.stdout is not None:
                worker.stdout.close()


def told(commands: list[list[str]]) -> list[str]:
    """All lines that workers say, who all run at once; each must end well."""
    lines: list[str] = []
    with started(commands) as workers:
        for worker in workers:
            out, _ = worker.communicate(timeout=120)
            assert worker.returncode == 0
            lines += out.splitlines()
    return lines


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
