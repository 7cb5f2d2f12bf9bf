"""What bulk costs beside raw aiohttp: the engine, CSV rows, keys, memory, and ``--help``.

Run it with ``nox -s bench -- bulk [ROWS]``; ROWS are those of the command whose memory is
measured, 20,000 by default. All variants run in this process with 64 workers, in shuffled
rounds, against the cheapest possible server in another, each process on a core of its own where
the machine has two; figures are calls a second, and CPU time of this process per call, both
compared with raw aiohttp's in the same round (the same bytes, there and back). CPU includes the
thread that writes SQLite's file, whose disk is that of the temporary folder (``TMPDIR``). With
``--script``, the whole command is measured beside a script of aiohttp and a semaphore that keeps
no state, both against an emulator in another process. With ``--instructions``, valgrind counts
instructions per call instead.
"""

import argparse
import asyncio
import csv
import io
import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks.rivals.ways import given_request, raw
from support.cheapest import serve_sessions
from support.measuring import (
    CLIENTS_CORE,
    at_once,
    instructions_per_call,
    instructions_shown,
    pin,
    quartiles,
    ratios,
    rounds,
    run_each,
    serving,
)
from support.work import GIVEN, base_url

from frame_async import FrameClient, PaymentLinkSessionRequest
from frame_async.bulk import BulkItem, read_csv, summarize
from frame_async.stores import MemoryStore, Store
from frame_async.stores.sqlite import SQLiteStore

WORKERS: Final = 64
BLOCK: Final = 2_000
"""Calls of one variant in one round."""
RAW: Final = "raw aiohttp"
LOOP: Final = "loop of create"
MANY: Final = "create_many"
FROM_CSV: Final = "create_many, CSV rows"
IN_MEMORY: Final = "create_many, keys in memory"
IN_SQLITE: Final = "create_many, keys in SQLite"
NAMES: Final = (RAW, LOOP, MANY, FROM_CSV, IN_MEMORY, IN_SQLITE)
CLICK: Final = "import click; click.command()(lambda: None).main(['--help'], 'x')"

Block = Callable[[int], Awaitable[None]]
"""Makes so many calls."""


def items(name: str, order: PaymentLinkSessionRequest, calls: int) -> Iterable[Any]:
    """The inputs of so many calls."""
    if name == FROM_CSV:
        return (row.request for row in read_csv(io.BytesIO(table(calls))))
    if name == MANY:
        return (order for _ in range(calls))
    begun = time.monotonic_ns()
    return (BulkItem(order, f"order-{begun}-{number}") for number in range(calls))


def table(rows: int) -> bytes:
    """The request of all variants as rows of CSV."""
    text = io.StringIO()
    given = {name: value for name, value in GIVEN.items() if name != "line_items"}
    (item,) = GIVEN["line_items"]
    given |= {f"line_items.0.{name}": value for name, value in item.items()}
    writer = csv.writer(text)
    writer.writerow(given)
    writer.writerows([given.values()] * rows)
    return text.getvalue().encode()


@asynccontextmanager
async def variant(name: str, port: int) -> AsyncIterator[Block]:
    """One variant, with a client of its own."""
    if name == RAW:
        async with raw(port, False) as make:
            yield lambda calls: at_once(make, calls, WORKERS)
        return
    order = given_request()
    async with AsyncExitStack() as stack:
        store: Store = MemoryStore()
        if name == IN_SQLITE:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            store = SQLiteStore(Path(folder) / "s", sole=True)
            stack.push_async_callback(store.aclose)
        client = await stack.enter_async_context(
            FrameClient("sk_sandbox_x", base_url=base_url(port), rate_limit=None, store=store)
        )
        sessions = client.payment_link_sessions

        async def engine(calls: int) -> None:
            inputs = items(name, order, calls)
            summary = await summarize(sessions.create_many(inputs, max_in_flight=WORKERS))
            assert summary.created == calls, summary

        if name == LOOP:
            yield lambda calls: at_once(lambda: sessions.create(order), calls, WORKERS)
        else:
            yield engine


async def speeds(port: int, names: list[str], times: int) -> None:
    """Print calls a second, and CPU time per call, of variants in shuffled rounds."""
    walls: dict[str, list[float]] = {name: [] for name in names}
    cpus: dict[str, list[float]] = {name: [] for name in names}
    async with AsyncExitStack() as stack:
        blocks = {name: await stack.enter_async_context(variant(name, port)) for name in names}
        for block in blocks.values():
            await block(BLOCK // 4)
        for order in rounds(names, times):
            for name in order:
                began, used = time.perf_counter(), time.process_time()
                await blocks[name](BLOCK)
                cpus[name].append((time.process_time() - used) / BLOCK)
                walls[name].append((time.perf_counter() - began) / BLOCK)
    for name in names:
        speed = quartiles([b / s for b, s in zip(walls[RAW], walls[name], strict=True)])
        cost = ratios(cpus[name], cpus[RAW])
        each, used = statistics.median(walls[name]), statistics.median(cpus[name]) * 1e6
        print(
            f"{name:28}{1 / each:7,.0f} a second = {speed.middle:4.0%} "
            f"({speed.low:.0%} to {speed.high:.0%})   CPU {used:4.0f} us = x {cost.middle:.2f} "
            f"({cost.low:.2f} to {cost.high:.2f})"
        )


async def run_one(port: int, name: str, calls: int) -> None:
    async with variant(name, port) as block:
        await block(calls)


def count(port: int, name: str) -> float:
    """Instructions per call of one variant, all its threads together."""
    run = [sys.executable, __file__, "--run", str(port), name]
    return instructions_per_call(lambda calls: [*run, calls], (500, 2500))


def resident(pid: int) -> float:
    """Megabytes that a process has in memory now."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def write_orders(path: Path, rows: int) -> None:
    with path.open("w") as file:
        file.write("client_reference_id,account,line_items.0.product\n")
        file.writelines(f"order-{number},acc,prod_1\n" for number in range(rows))


@contextmanager
def emulator() -> Iterator[str]:
    """The address of an emulator without a limit, in a process of its own."""
    words = ["--port", "0", "--limit", "none", "--log", "off"]
    command = [sys.executable, "-m", "frame_async.emulator", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
        assert found
        yield found.group()
        process.terminate()


def timed(command: list[str]) -> tuple[float, float]:
    """Seconds of a process from its start to its end, and of CPU."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    took, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return took, used


def beside_a_script(rows: int, times: int) -> None:
    """The command, its state file included, beside a script of aiohttp that keeps nothing."""
    script = str(Path(__file__).with_name("bulk_script.py"))
    both: dict[str, list[tuple[float, float]]] = {"script": [], "bulk": []}
    with tempfile.TemporaryDirectory() as folder, emulator() as address:
        orders, out = Path(folder) / "orders.csv", f"{folder}/out.jsonl"
        write_orders(orders, rows)
        os.environ |= {"FRAME_SECRET_KEY": "sk_sandbox_b", "FRAME_API_BASE_URL": address}
        words = ["bulk", str(orders), "-o", out, "--limit", "0", "--concurrency", "64"]
        commands = {
            "script": [sys.executable, script, str(orders), f"{folder}/script.jsonl", address],
            "bulk": [sys.executable, "-m", "frame_async", *words],
        }
        for order in rounds(list(commands), times):
            for name in order:
                for left in (out, f"{out}.state"):
                    Path(left).unlink(missing_ok=True)
                both[name].append(timed(commands[name]))
    pairs = list(zip(both["script"], both["bulk"], strict=True))
    speed = quartiles([script[0] / bulk[0] for script, bulk in pairs])
    cost = quartiles([bulk[1] / script[1] for script, bulk in pairs])
    for name, found in both.items():
        each, used = (statistics.median(values) for values in zip(*found, strict=True))
        print(f"{name:8}{rows / each:7,.0f} rows a second   CPU {used / rows * 1e6:4.0f} us a row")
    print(
        f"bulk = {speed.middle:.2f} ({speed.low:.2f} to {speed.high:.2f}) of the script's rows a "
        f"second, CPU x {cost.middle:.2f} ({cost.low:.2f} to {cost.high:.2f})"
    )


def memory(base_url: str, rows: int) -> None:
    """The command over a large file, with SQLite state: its speed, and its memory over time."""
    with tempfile.TemporaryDirectory() as folder:
        orders = Path(folder) / "orders.csv"
        write_orders(orders, rows)
        environment = {"FRAME_SECRET_KEY": "sk_sandbox_b", "FRAME_API_BASE_URL": base_url}
        options = ["-o", f"{folder}/out.jsonl", "--limit", "0", "--concurrency", "64", "--json"]
        command = [sys.executable, "-m", "frame_async", "bulk", str(orders), *options]
        began = time.monotonic()
        with subprocess.Popen(
            command, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            seen: list[float] = []
            while process.poll() is None:
                time.sleep(0.25)
                if Path(f"{folder}/out.jsonl").exists() and process.poll() is None:
                    seen.append(resident(process.pid))
            assert process.stdout is not None
            summary = json.loads(process.stdout.read())
        assert summary["created"] == rows
        took = time.monotonic() - began
        print(
            f"{rows:,} rows in {took:,.0f} s, {rows / summary['seconds']:,.0f} a second; "
            f"{seen[0]:.0f} MB at the first request, {max(seen):.0f} MB at most"
        )


def helps() -> None:
    """``--help`` against what click itself needs, in turns."""
    commands = {"click": ["-c", CLICK], "bulk": ["-m", "frame_async", "bulk", "--help"]}
    took: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(21):
        for name, words in commands.items():
            began = time.perf_counter()
            subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
            took[name].append(time.perf_counter() - began)
    more = statistics.median(b - c for b, c in zip(took["bulk"], took["click"], strict=True))
    own = statistics.median(took["click"])
    print(f"--help takes {more * 1e3:.0f} ms more than click's own {own:.3f} s")


def main() -> None:
    """Measure everything against a server in another process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="?", type=int, default=20_000)
    parser.add_argument("--instructions", action="store_true")
    parser.add_argument("--only", nargs="*", choices=NAMES, help="of the speeds, only these")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--run", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--script", action="store_true", help="beside a script of aiohttp, only")
    options = parser.parse_args()
    if options.script:
        beside_a_script(options.rows, options.rounds)
        return
    if options.run:
        port, name, times = options.run
        run_each(times, lambda calls: asyncio.run(run_one(int(port), name, calls)))
        return
    names = list(dict.fromkeys([RAW, *(options.only or NAMES)]))
    with serving(serve_sessions) as number:
        if options.instructions and shutil.which("valgrind"):
            print(instructions_shown({name: count(number, name) for name in names}, RAW))
            return
        pin(CLIENTS_CORE)
        asyncio.run(speeds(number, names, options.rounds))
        if options.only is None:
            memory(base_url(number), options.rows)
            helps()


if __name__ == "__main__":
    main()
