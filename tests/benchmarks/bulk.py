"""What bulk costs: the engine against a bare loop, the state file, memory, and ``--help``.

Run as ``python tests/benchmarks/bulk.py [ROWS]``, with ``tests`` on the path; ROWS are those
of the command whose memory is measured, 20,000 by default.
"""

import asyncio
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median

from support.cheapest import serve

from frame_async import FrameClient, LineItem, PaymentLinkSessionRequest
from frame_async.bulk import BulkItem, summarize
from frame_async.stores import MemoryStore, Store
from frame_async.stores.sqlite import SQLiteStore

ORDER = PaymentLinkSessionRequest(line_items=[LineItem(product="prod_1")])
CALLS, WORKERS, ROUNDS = 2_000, 64, 7
CLICK = "import click; click.command()(lambda: None).main(['--help'], 'x')"


async def bare(client: FrameClient) -> None:
    """As many workers as the engine has, each creating one session after the other."""
    turns = iter(range(CALLS))

    async def work() -> None:
        for _ in turns:
            await client.payment_link_sessions.create(ORDER)

    await asyncio.gather(*(work() for _ in range(WORKERS)))


async def engine(client: FrameClient) -> None:
    """The same through `create_many`."""
    many = client.payment_link_sessions.create_many
    summary = await summarize(many((ORDER for _ in range(CALLS)), max_in_flight=WORKERS))
    assert summary.created == CALLS


def keyed(prefix: str) -> Callable[[FrameClient], Awaitable[None]]:
    """The same with keys that are remembered."""

    async def run(client: FrameClient) -> None:
        items = (BulkItem(ORDER, f"{prefix}-{time.monotonic_ns()}-{n}") for n in range(CALLS))
        many = client.payment_link_sessions.create_many
        assert (await summarize(many(items, max_in_flight=WORKERS))).created == CALLS

    return run


async def speeds(base_url: str) -> None:
    """Calls a second, in turns, so that all see the same machine."""
    with tempfile.TemporaryDirectory() as folder:
        sqlite = SQLiteStore(Path(folder) / "s", sole=True)
        stores: dict[str, Store] = {"memory": MemoryStore(), "sqlite": sqlite}
        clients = {
            name: FrameClient("sk_sandbox_b", base_url=base_url, rate_limit=None, store=store)
            for name, store in stores.items()
        }
        runs = {
            "bare loop of create": (clients["memory"], bare),
            "create_many": (clients["memory"], engine),
            "create_many, keys in memory": (clients["memory"], keyed("m")),
            "create_many, keys in SQLite": (clients["sqlite"], keyed("s")),
        }
        took: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(ROUNDS):
            for name, (client, run) in runs.items():
                began = time.perf_counter()
                await run(client)
                took[name].append(time.perf_counter() - began)
        for client in clients.values():
            await client.aclose()
        await sqlite.aclose()
    loop = took["bare loop of create"]
    for name, seconds in took.items():
        share = median(b / s for b, s in zip(loop, seconds, strict=True))
        print(f"{name:32}{CALLS / median(seconds):10,.0f} a second {share:8.0%} of the bare loop")


def resident(pid: int) -> float:
    """Megabytes that a process has in memory now."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def memory(base_url: str, rows: int) -> None:
    """The command over a large file, with SQLite state: its speed, and its memory over time."""
    with tempfile.TemporaryDirectory() as folder:
        orders = Path(folder) / "orders.csv"
        with orders.open("w") as file:
            file.write("client_reference_id,account,line_items.0.product\n")
            file.writelines(f"order-{number},acc,prod_1\n" for number in range(rows))
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
    more = median(b - c for b, c in zip(took["bulk"], took["click"], strict=True))
    print(f"--help takes {more * 1e3:.0f} ms more than click's own {median(took['click']):.3f} s")


def main() -> None:
    """Measure everything against a server in another process."""
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    base_url = f"http://127.0.0.1:{ours.recv()}"
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    helps()
    asyncio.run(speeds(base_url))
    memory(base_url, rows)
    server.terminate()


if __name__ == "__main__":
    main()
