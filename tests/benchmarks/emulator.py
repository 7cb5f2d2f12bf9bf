"""How fast the emulator creates sessions, and what a million of them cost in memory.

``python tests/benchmarks/emulator.py [CREATES]`` runs the emulator in one process and raw
asyncio clients in another, 16 connections by default, and prints for each stretch: creates
a second (both processes share the machine), CPU microseconds of the server per create (the
figure to compare: one core makes a million divided by it), and the server's resident memory.
"""

import argparse
import asyncio
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STEPS = (1, 2, 5)
TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


@contextmanager
def serving(*options: str) -> Iterator[tuple[int, str]]:
    """Run the emulator; give its process number and port."""
    command = [sys.executable, "-m", "frame_async.emulator", "--port", "0", "--limit", "none"]
    command += ["--log", "off"]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"http://127\.0\.0\.1:(\d+)", process.stdout.readline())
            assert found is not None
            yield process.pid, found[1]
        finally:
            process.terminate()


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has used, its own and the system's on its behalf."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def resident(pid: int) -> float:
    """Memory of a process that is in RAM, in MB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE / 1e6


def request(number: int, port: str) -> bytes:
    """A request as a shop would send it, each with a reference of its own."""
    body = (
        f'{{"line_items":[{{"product":"prod_1","quantity_minimum":1}}],"client_reference_id":'
        f'"order-{number}","customer_email":"payer@example.com",'
        f'"success_url":"https://shop.example/thanks?order={number}"}}'
    )
    return (
        f"POST /v1/payment_link_sessions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        "Authorization: Bearer sk_sandbox_benchmark\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


async def client(port: str, numbers: Iterator[int]) -> None:
    """Send requests over one connection until there are no numbers left."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(port))
    for number in numbers:
        writer.write(request(number, port))
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 201 "), head
        length = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
    writer.close()


async def load(port: str, first: int, last: int, connections: int) -> None:
    """Create sessions number `first` to `last`."""
    numbers = iter(range(first, last))
    await asyncio.gather(*(client(port, numbers) for _ in range(connections)))


def marks(most: int) -> Iterator[int]:
    """Where to stop and measure: 10,000, 20,000, 50,000 and so on up to the end."""
    scale = 10_000
    while scale < most:
        yield from (scale * step for step in STEPS if scale * step < most)
        scale *= 10
    yield most


def main() -> None:
    """Measure, and print one line a stretch."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("creates", type=int, nargs="?", default=50_000)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--session-limit", default="10000")
    parser.add_argument("--ledger-limit", default="10000")
    chosen = parser.parse_args()
    limits = ["--session-limit", chosen.session_limit, "--ledger-limit", chosen.ledger_limit]
    with serving(*limits) as (pid, port):
        print(f"{'creates':>10} {'per s':>8} {'CPU us each':>12} {'a core, per s':>14} {'MB':>7}")
        done = 0
        for mark in marks(chosen.creates):
            begun, cpu = time.monotonic(), cpu_seconds(pid)
            asyncio.run(load(port, done, mark, chosen.connections))
            took, used = time.monotonic() - begun, cpu_seconds(pid) - cpu
            count, done = mark - done, mark
            each = used / count
            print(
                f"{mark:>10,} {count / took:>8,.0f} {each * 1e6:>12,.0f} {1 / each:>14,.0f} "
                f"{resident(pid):>7,.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
