"""One contestant in a process of its own; it makes the calls that it is asked for.

It is asked in lines of JSON on its input, and answers each with one on its output. The
yardstick, raw aiohttp, is in every process, so that it is measured under the same conditions.
"""

import argparse
import asyncio
import gc
import json
import os
import sys
import time
from collections.abc import Iterable
from contextlib import AsyncExitStack
from importlib import import_module
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from benchmarks.rivals.ways import WAYS
from support.measuring import CLIENTS_CORE, Make, at_once, pin, repeat, run_each
from support.work import ANSWERED

Makes = dict[str, Make]

YARDSTICK = "raw"
WARMING = 30


async def check(make: Make) -> None:
    """One call, whose answer must be the server's, whatever it is read to."""
    answer: Any = await make()
    if isinstance(answer, bytes):
        answer = json.loads(answer)
    found = answer["id"] if isinstance(answer, dict) else answer.id
    assert found == ANSWERED, answer


async def block(make: Make, *, calls: int, callers: int) -> dict[str, float]:
    """Make calls; CPU and wall seconds per call, and how long calls took."""
    taken: list[float] = []

    async def timed() -> None:
        began = time.perf_counter()
        await make()
        taken.append(time.perf_counter() - began)

    await repeat(make, 5)
    gc.collect()
    began, used = time.perf_counter(), time.process_time()
    if callers == 1:
        await repeat(make, calls)
    else:
        await at_once(timed, calls, callers)
    used, took = time.process_time() - used, time.perf_counter() - began
    taken.sort()
    late = {"p50": taken[len(taken) // 2], "p99": taken[len(taken) * 99 // 100]} if taken else {}
    return {"cpu": used / calls, "wall": took / calls, **late}


def resident() -> int:
    """Bytes of this process that are in RAM; Linux only."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def peak() -> int:
    """The most bytes of this process that were in RAM; Linux only."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


async def in_flight(make: Make, *, calls: int) -> dict[str, float]:
    """Bytes that a call in flight takes, while the server holds all answers back."""
    await make()
    gc.collect()
    before = most = resident()
    tasks = [asyncio.ensure_future(make()) for _ in range(calls)]
    while not all(task.done() for task in tasks):
        await asyncio.sleep(0.1)
        most = max(most, resident())
    await asyncio.gather(*tasks)
    return {"each": (most - before) / calls}


def versions() -> dict[str, str]:
    """What is installed here."""
    return {each.name: each.version for each in distributions()}


async def opened(stack: AsyncExitStack, ways: Iterable[str], port: int, *, wide: bool) -> Makes:
    """What makes the calls, each after its first ones."""
    makes: Makes = {}
    for name in ways:
        makes[name] = await stack.enter_async_context(WAYS[name](port, wide))
        await check(makes[name])
        await repeat(makes[name], 0 if wide else WARMING)
    return makes


def answer(runner: asyncio.Runner, makes: Makes, asked: dict[str, Any]) -> dict[str, Any]:
    """Do one thing that was asked for."""
    do = asked.pop("do")
    if do == "peak":
        return {"bytes": peak()}
    if do == "versions":
        return versions()
    make = makes[asked.pop("way")]
    return runner.run((in_flight if do == "in flight" else block)(make, **asked))


def loop_factory(loop: str) -> Any:
    """What makes event loops of that kind."""
    return import_module("uvloop").new_event_loop if loop == "uvloop" else None


def work(way: str, port: int, loop: str, *, wide: bool) -> None:
    """Answer lines until there are no more; with `wide`, without the yardstick."""
    ways = [way] if wide else list(dict.fromkeys((YARDSTICK, way)))
    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        stack = AsyncExitStack()
        makes = runner.run(opened(stack, ways, port, wide=wide))
        for line in sys.stdin:
            print(json.dumps(answer(runner, makes, json.loads(line))), flush=True)
        runner.run(stack.aclose())


def work_counted(way: str, port: int, loop: str, calls: int) -> None:
    """Make calls one after the other, for valgrind to count."""

    async def run() -> None:
        async with WAYS[way](port, False) as make:
            await check(make)
            await repeat(make, calls)
            gc.collect()

    with asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        runner.run(run())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("port", type=int)
    parser.add_argument("--loop", default="asyncio")
    parser.add_argument("--wide", action="store_true")
    parser.add_argument("--counted", help="numbers of calls, with commas between")
    given = parser.parse_args()
    if given.counted:
        run_each(
            given.counted, lambda calls: work_counted(given.way, given.port, given.loop, calls)
        )
    else:
        pin(CLIENTS_CORE)
        work(given.way, given.port, given.loop, wide=given.wide)


if __name__ == "__main__":
    main()
