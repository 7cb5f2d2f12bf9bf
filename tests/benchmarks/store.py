"""What stores and the rate window cost: calls, commits, waiters, throughput, payers' waits.

Run it with ``PYTHONPATH=tests python tests/benchmarks/store.py [PART...]``. Everything is
compared in one run on the same work. The server of calls is the cheapest possible one, in
another process; Valkey (without persistence) and PostgreSQL (with its defaults) come from
wheels. SQLite's file is in the temporary folder: ``TMPDIR`` says on which disk.
"""

import asyncio
import atexit
import multiprocessing
import random
import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

from support.cheapest import serve
from support.rates import CountingServer
from support.rates_loop import simulated, virtually
from support.servers import empty_postgres, empty_redis
from support.slots import acquire
from support.stores import BACKENDS, store_url

from frame_async import FrameClient, LineItem, PaymentLinkSessionRequest, RateLimit
from frame_async.engine.clock import SystemClock
from frame_async.engine.limiter import RateLimiter
from frame_async.protocol.window import Lane
from frame_async.stores import MemoryStore, Store, Window

ORDER = PaymentLinkSessionRequest(line_items=[LineItem(product="prod_1")])
BODY = b"x" * 1200
FILES = count()


def cpu() -> float:
    """CPU seconds of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


@cache
def folder() -> str:
    """Where SQLite's files are."""
    made = tempfile.mkdtemp(prefix="frame-async-bench-")
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


def address(kind: str) -> str:
    """Where an empty store is."""
    places: dict[str, Callable[[], str]] = {
        "memory": str,
        "sqlite": lambda: str(Path(folder(), f"{next(FILES)}.sqlite")),
        "redis": empty_redis,
        "postgres": empty_postgres,
    }
    return places[kind]()


def opened(kind: str) -> Store:
    """An empty store."""
    return BACKENDS[kind].open(address(kind), None)


@cache
def server() -> int:
    """The port of the cheapest server."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.Process(target=serve, args=(there,), daemon=True)
    process.start()
    return int(here.recv())


def client(store: Store, limit: RateLimit | None = None) -> FrameClient:
    return FrameClient(
        "sk_sandbox_x", base_url=f"http://localhost:{server()}", rate_limit=limit, store=store
    )


async def cost_of_create() -> None:
    """One call after the other: bare, with the window, with a key, with each store."""
    wide = RateLimit(1_000_000, 0.01)
    clients = {"bare": (client(MemoryStore()), False)}
    for kind in BACKENDS:
        clients[f"window in {kind}"] = (client(opened(kind), wide), False)
        clients[f"key in {kind}"] = (client(opened(kind)), True)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in clients}
    numbers = count()
    for _ in range(12):
        for name, (frame, keyed) in clients.items():
            began, used = time.perf_counter(), cpu()
            for _ in range(50):
                key = f"k{next(numbers)}" if keyed else None
                await frame.payment_link_sessions.create(ORDER, idempotency_key=key)
            times[name].append(((cpu() - used) / 50, (time.perf_counter() - began) / 50))
    base = statistics.median(used for used, _ in times["bare"])
    for name, values in times.items():
        used, took = (statistics.median(value) for value in zip(*values, strict=True))
        print(
            f"create, {name:19} {used * 1e6:6.0f} us CPU here, x {used / base:4.2f}, "
            f"{took * 1e3:6.2f} ms"
        )
    for frame, _ in clients.values():
        await frame.aclose()
        await frame._store.aclose()


async def commits() -> None:
    """Operations a second: claim and complete; with the window, as a call of a client has it."""
    for kind in BACKENDS:
        for callers in (1, 64, 256):
            rates = [await rate(kind, callers, windows=windows) for windows in (False, True)]
            print(
                f"commits, {kind:8} {callers:4} callers: claim + complete {rates[0]:8,.0f} a "
                f"second, claim + enter + leave + complete {rates[1]:8,.0f}"
            )


async def rate(kind: str, callers: int, *, windows: bool, seconds: float = 3.0) -> float:
    """Operations a second."""
    store, window = opened(kind), Window("w", RateLimit(1_000, 0.001))
    done, end = 0, time.monotonic() + seconds

    async def call(number: int) -> None:
        nonlocal done
        for turn in count():
            key = f"{number}-{turn}"
            claim: Any = await store.claim(key, "a=1", 30)
            if windows:
                while await store.enter(window, key, Lane.INTERACTIVE, 30):
                    done += 1
                await store.leave(window, key, sent=True)
                done += 2
            await store.complete(key, claim.token, BODY, 3600)
            done += 2
            if time.monotonic() > end:
                return

    begun = time.monotonic()
    await asyncio.gather(*(call(number) for number in range(callers)))
    measured = done / (time.monotonic() - begun)
    await store.aclose()
    return measured


async def waiters() -> None:
    """CPU of 10,000 callers that wait for the window, as a share of one core."""
    for kind in BACKENDS:
        store = opened(kind)
        limiter = RateLimiter(store, Window("w", RateLimit(160)), SystemClock())
        deadline = time.monotonic() + 1e6
        tasks = [
            asyncio.create_task(acquire(limiter, f"t{n}", Lane.BULK, 1.0, deadline))
            for n in range(10_160)
        ]
        await asyncio.sleep(2)
        began, started = cpu(), time.monotonic()
        await asyncio.sleep(15)
        share = (cpu() - began) / (time.monotonic() - started)
        print(f"10,000 waiters, {kind:8} {share * 100:5.2f} % of a core")
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        limiter.close()
        await store.aclose()


async def saturate(store: str, seconds: float, limit: RateLimit) -> list[float]:
    """Keep the window full for a while; when calls were answered."""
    answers: list[float] = []
    end = time.monotonic() + seconds
    async with FrameClient(
        "sk_sandbox_x", base_url=f"http://localhost:{server()}", store=store, rate_limit=limit
    ) as frame:

        async def work() -> None:
            while time.monotonic() < end:
                await frame.payment_link_sessions.create(ORDER, timeout=60)
                answers.append(time.monotonic())

        await asyncio.gather(*(work() for _ in range(limit.requests)))
    return answers


def process(store: str, seconds: float, limit: RateLimit, said: Any) -> None:
    """One of several processes that share a window."""
    said.put(asyncio.run(saturate(store, seconds, limit)))


async def throughput() -> None:
    """Throughput as a share of what the window allows, for 1 and 4 processes.

    The time from an answer to that of the request that has its slot a few rounds later,
    on average over all slots, against as many periods.
    """
    limit, rounds = RateLimit(200, 2.0), 4
    for kind in BACKENDS:
        for processes in (1, 4) if kind != "memory" else (1,):
            store = store_url(kind, address(kind)) or "memory://"
            said: Any = multiprocessing.Queue()
            work = (store, limit.per * (rounds + 3), limit, said)
            group = [multiprocessing.Process(target=process, args=work) for _ in range(processes)]
            for one in group:
                one.start()
            times = sorted(when for _ in group for when in said.get())
            for one in group:
                one.join()
            times = times[-limit.requests * (rounds + 1) :]
            pairs = zip(times, times[limit.requests * rounds :], strict=False)
            took = statistics.mean(later - first for first, later in pairs)
            share = rounds * limit.per / took
            print(f"throughput, {kind:8} {processes} process(es): {share:6.1%} of what is allowed")


async def payers() -> None:
    """How long payers wait while bulk work saturates 160 a minute, in simulated time."""
    for a_minute in (4, 8, 12, 16, 24):
        for begin, end in ((0.0, 900.0), (900.0, 6300.0)):
            waits = sorted(await asyncio.to_thread(waits_of_payers, a_minute, begin, end))
            middle, late = waits[len(waits) // 2], waits[int(0.99 * len(waits))]
            print(
                f"payers, {a_minute:2} a minute, minutes {begin / 60:3.0f} to {end / 60:3.0f} of "
                f"a bulk run: median {middle:.2f} s, 99th percentile {late:5.2f} s, "
                f"longest {waits[-1]:5.2f} s"
            )


def waits_of_payers(a_minute: int, begin: float, end: float) -> list[float]:
    """Seconds that payers waited who came by chance, so many a minute, in that time."""
    chance, waits = random.Random(a_minute), list[float]()

    async def run() -> None:
        there, back = (lambda: chance.uniform(0, 0.25)), (lambda: chance.uniform(0.05, 0.2))
        async with simulated(CountingServer(160), there, back) as frame:
            create = frame.payment_link_sessions.create
            time_of = asyncio.get_running_loop().time

            async def bulk() -> None:
                while True:
                    await create(ORDER, lane="bulk", timeout=3600)

            async def payer() -> None:
                session = await create(ORDER, timeout=3600)
                waits.append(session.call.attempts[0].window or 0.0)

            tasks = [asyncio.create_task(bulk()) for _ in range(150)]
            await asyncio.sleep(begin)
            while time_of() < end:
                await asyncio.sleep(chance.expovariate(a_minute / 60))
                tasks.append(asyncio.create_task(payer()))
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    virtually(run)
    return waits


PARTS = {part.__name__: part for part in (cost_of_create, commits, waiters, throughput, payers)}


def main(wanted: Iterable[str]) -> None:
    """Print the figures of the parts that are wanted, or of all."""
    server()
    for part in list(wanted) or PARTS:
        asyncio.run(PARTS[part]())


if __name__ == "__main__":
    main(sys.argv[1:])
