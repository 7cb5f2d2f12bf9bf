"""What the store and the rate window cost: calls, commits, waiters, throughput.

Run it with ``PYTHONPATH=tests python tests/benchmarks/store.py``. Everything is compared in
one run on the
same work; the server is the cheapest possible one, in another process.
"""

import asyncio
import multiprocessing
import resource
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from support.cheapest import serve

from frame_async import FrameClient, LineItem, PaymentLinkSessionRequest, RateLimit
from frame_async.hidden import Hidden
from frame_async.protocol.window import Lane
from frame_async.stores import MemoryStore, Store, Window, open_store
from frame_async.transport.clock import SystemClock
from frame_async.transport.line import Line

ORDER = PaymentLinkSessionRequest(line_items=[LineItem(product="prod_1")])


def cpu() -> float:
    """CPU seconds of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def cost_of_create(port: int, folder: Path) -> None:
    """CPU of one call: bare, with the window, with a key, with each store."""
    base_url = f"http://localhost:{port}"
    wide = RateLimit(1_000_000, 1.0)
    clients = {
        "bare": (FrameClient("sk_sandbox_x", base_url=base_url, rate_limit=None), False),
        "window in memory": (
            FrameClient("sk_sandbox_x", base_url=base_url, rate_limit=wide, store=MemoryStore()),
            False,
        ),
        "key in memory": (
            FrameClient("sk_sandbox_x", base_url=base_url, rate_limit=None, store=MemoryStore()),
            True,
        ),
        "key in SQLite": (
            FrameClient(
                "sk_sandbox_x",
                base_url=base_url,
                rate_limit=None,
                store=f"sqlite:///{folder / 'cost.sqlite'}",
            ),
            True,
        ),
    }
    times: dict[str, list[float]] = {name: [] for name in clients}
    number = 0
    for _ in range(12):
        for name, (client, keyed) in clients.items():
            began = cpu()
            for _ in range(100):
                number += 1
                await client.payment_link_sessions.create(
                    ORDER, idempotency_key=f"k{number}" if keyed else None
                )
            times[name].append((cpu() - began) / 100)
    base = statistics.median(times["bare"])
    for name, values in times.items():
        middle = statistics.median(values)
        print(f"create, {name:18} {middle * 1e6:8.0f} us CPU  ratio {middle / base:.2f}")
    for client, _ in clients.values():
        await client.aclose()


async def commits(folder: Path) -> None:
    """Commits a second: claim and complete, with 1, 64 and 256 callers."""
    stores: dict[str, Store] = {
        "memory": MemoryStore(),
        "SQLite": open_store(Hidden(f"sqlite:///{folder / 'commits.sqlite'}")),
    }
    for name, store in stores.items():
        for callers in (1, 64, 256):
            total = 300 if callers == 1 else 6000
            numbers = iter(range(total))

            async def work(
                store: Store = store, numbers: Any = numbers, tag: int = callers
            ) -> None:
                for number in numbers:
                    claim: Any = await store.claim(f"{tag}-{number}", "f=1", 30)
                    await store.complete(f"{tag}-{number}", claim.token, b"{}", 60)

            began = time.monotonic()
            await asyncio.gather(*(work() for _ in range(callers)))
            rate = 2 * total / (time.monotonic() - began)
            print(f"commits, {name:8} {callers:4} callers {rate:10,.0f} a second")
        await store.aclose()


async def waiters() -> None:
    """CPU of 10,000 callers that wait for the window, as a share of one core."""
    line = Line(MemoryStore(), Window("w", RateLimit(160)), SystemClock())
    deadline = time.monotonic() + 1e6
    tasks = [
        asyncio.create_task(line.enter(f"t{n}", Lane.BULK, 1.0, deadline)) for n in range(10_160)
    ]
    await asyncio.sleep(1)
    began, started = cpu(), time.monotonic()
    await asyncio.sleep(20)
    share = (cpu() - began) / (time.monotonic() - started)
    print(f"10,000 waiters use {share * 100:.2f} % of a core")
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    line.close()


async def saturate(port: int, store: str, seconds: float, latency: float, limit: RateLimit) -> int:
    """Keep the window full for a while; how many calls were answered."""
    done = 0
    end = time.monotonic() + seconds
    async with FrameClient(
        "sk_sandbox_x", base_url=f"http://localhost:{port}", store=store, rate_limit=limit
    ) as client:

        async def work() -> None:
            nonlocal done
            while time.monotonic() < end:
                await client.payment_link_sessions.create(ORDER, timeout=60)
                done += time.monotonic() < end

        await asyncio.gather(*(work() for _ in range(limit.requests)))
    return done


def process(port: int, store: str, seconds: float, limit: RateLimit, said: Any) -> None:
    """One of several processes that share a window."""
    said.put(asyncio.run(saturate(port, store, seconds, 0.0, limit)))


def throughput(port: int, folder: Path) -> None:
    """Throughput as a share of what the window allows, for 1 and 4 processes."""
    limit, seconds = RateLimit(200, 2.0), 20.0
    for processes in (1, 4):
        store = f"sqlite:///{folder / f'window{processes}.sqlite'}"
        said: Any = multiprocessing.Queue()
        group = [
            multiprocessing.Process(target=process, args=(port, store, seconds, limit, said))
            for _ in range(processes)
        ]
        for one in group:
            one.start()
        done = sum(said.get() for _ in group)
        for one in group:
            one.join()
        allowed = limit.requests * seconds / limit.per
        print(f"{processes} process(es): {done} of {allowed:.0f} allowed, {done / allowed:.1%}")


def main() -> None:
    here, there = multiprocessing.Pipe()
    server = multiprocessing.Process(target=serve, args=(there,), daemon=True)
    server.start()
    port = here.recv()
    with tempfile.TemporaryDirectory() as folder:
        steps: list[Callable[[], Awaitable[None]]] = [
            lambda: cost_of_create(port, Path(folder)),
            lambda: commits(Path(folder)),
            waiters,
        ]
        for step in steps:
            asyncio.run(step())  # type: ignore[arg-type]
        throughput(port, Path(folder))
    server.terminate()


if __name__ == "__main__":
    main()
