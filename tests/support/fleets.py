"""A fleet as an operations engineer runs it: a database, workers as processes, kills."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import psycopg
from attrs import define, field
from support.bulk_runs import KEY, Ran, ended
from support.servers import Server, new_postgres, postgres_url

import frame_async
from frame_async.emulator import Emulator

Process = asyncio.subprocess.Process


@define(eq=False)
class FleetPlace:
    """A folder, a database, a server, and the commands between them."""

    folder: Path
    url: str = field(repr=False)
    base_url: str
    limit: int
    period: float
    stalled_after: float = 3.0
    attempt_timeout: float = 2.0
    concurrency: int = 8
    emulator: Emulator = field(init=False)
    workers: list[Process] = field(factory=list[Process])
    logs: dict[int, Path] = field(factory=dict[int, Path])

    def environment(self, **more: str) -> dict[str, str]:
        """What the commands find in their environment."""
        root = str(Path(frame_async.__file__).parent.parent)
        named = {"FRAME_SECRET_KEY": KEY, "FRAME_API_BASE_URL": self.base_url}
        return os.environ | named | {"PYTHONPATH": root, "COLUMNS": "200"} | more

    async def start(self, *words: str, **more: Any) -> Process:
        """Start ``frame-async`` with these words."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | more
        command = [sys.executable, "-W", "error", "-m", "frame_async", *words]
        return await asyncio.create_subprocess_exec(*command, env=self.environment(), **pipes)

    async def run(self, *words: str) -> Ran:
        """Run ``frame-async`` with these words to its end."""
        return await ended(await self.start(*words))

    async def enqueue(self, orders: str, *options: str) -> Ran:
        """Enqueue a file of that text."""
        path = self.folder / "orders.csv"
        path.write_text(orders)
        return await self.run("bulk", str(path), "--queue", self.url, "--json", *options)

    async def start_worker(self, *options: str) -> Process:
        """Start one more worker; what it says goes to a file."""
        log = self.folder / f"worker-{len(self.logs)}"
        times = {
            "--limit": self.limit,
            "--period": self.period,
            "--stalled-after": self.stalled_after,
            "--attempt-timeout": self.attempt_timeout,
            "--concurrency": self.concurrency,
        }
        words = [str(word) for pair in times.items() for word in pair]
        with log.open("wb") as file:
            worker = await self.start(
                "worker", "--queue", self.url, *words, "-v", *options, stdout=file, stderr=file
            )
        self.workers.append(worker)
        self.logs[worker.pid] = log
        return worker

    def is_working(self, worker: Process) -> bool:
        """Whether a worker has said that it is at work."""
        return b"working on" in self.logs[worker.pid].read_bytes()

    async def replace(self, chance: random.Random) -> None:
        """Kill one worker that is at work, and start another in its place."""
        ready = [worker for worker in self.workers if self.is_working(worker)]
        worker = chance.choice(ready or self.workers)
        self.workers.remove(worker)
        worker.kill()
        await worker.wait()
        await self.start_worker()

    async def progress(self) -> dict[str, Any]:
        """What ``bulk status`` says."""
        ran = await self.run("bulk", "status", "--queue", self.url, "--json")
        return dict(json.loads(ran.out))

    async def stop(self, *how: int) -> list[int | None]:
        """Stop all workers, each by the next of the signals, or all by SIGTERM.

        Their exit statuses. None of them may have shown a traceback.
        """
        for worker, number in zip(self.workers, cycle(how or (signal.SIGTERM,)), strict=False):
            if worker.returncode is None:
                worker.send_signal(number)
        async with asyncio.timeout(60):
            statuses = [await worker.wait() for worker in self.workers]
        self.workers.clear()
        for log in self.logs.values():
            assert "Traceback" not in log.read_text(), log.read_text()
        return list(statuses)

    def kill(self) -> None:
        """Leave no process behind."""
        for worker in self.workers:
            if worker.returncode is None:
                worker.kill()

    async def results(self) -> list[dict[str, Any]]:
        """What ``bulk status -o`` writes."""
        path = self.folder / "results.jsonl"
        ran = await self.run("bulk", "status", "--queue", self.url, "-o", str(path))
        assert ran.status in (0, 1, 3, 4), ran.err
        return [json.loads(line) for line in path.read_bytes().splitlines()]


def check_books(results: Sequence[dict[str, Any]], names: Iterable[str], emulator: Emulator) -> int:
    """Exactly one result for each name, and no second session that isn't admitted.

    How many sessions there are beside those in the results.
    """
    assert Counter(result["reference"] for result in results) == Counter(names)
    doubled = 0
    for result in results:
        ids = emulator.created(result["reference"])
        if result["result"] == "created":
            assert result["session_id"] in ids
        beside = len(ids) - (result["result"] == "created")
        assert beside <= result["possible_duplicates"], (result, ids)
        doubled += beside
    return doubled


def refusals(emulator: Emulator) -> int:
    """How many requests got a 429."""
    return sum(entry.status == 429 for entry in emulator.ledger)


def share_used(emulator: Emulator, places: int, period: float) -> float:
    """Of what the bulk lane may have in the window, how much it had on average.

    From one period after the first request, when the window is full for the first time, to
    the last request.
    """
    times = sorted(entry.received for entry in emulator.ledger)
    at, seen, steps = times[0] + period, 0.0, 0
    while at <= times[-1]:
        seen += sum(at - period < moment <= at for moment in times)
        steps += 1
        at += period / 20
    return seen / steps / places


async def until_done(place: FleetPlace, seconds: float) -> None:
    """Wait until every row has its result; asked here, because a command takes a while to start."""
    ends = time.monotonic() + seconds
    async with await psycopg.AsyncConnection.connect(place.url, autocommit=True) as connection:
        while True:
            found = await connection.execute(
                "SELECT count(*) FROM frame_async_bulk_rows WHERE ending IS NULL"
            )
            (left,) = await found.fetchone() or (None,)
            if not left:
                return
            logs = [log.read_text()[-500:] for log in place.logs.values()]
            assert time.monotonic() < ends, (left, logs)
            await asyncio.sleep(0.1)


def fleet_server() -> tuple[Server, str]:
    """A database server of one's own, to be restarted, and its URL."""
    server = new_postgres()
    return server, postgres_url(server)
