"""kill -9 of workers again and again, the database restarted: nothing lost, nothing doubled.

FRAME_SOAK_KILLS makes it longer: 3,000 rows, and at least 95 % of the window used.
"""

import asyncio
import os
import random
import time
from pathlib import Path

import pytest
from support.bulk_runs import orders
from support.fleets import (
    FleetPlace,
    check_books,
    fleet_server,
    refusals,
    share_used,
    until_done,
)
from support.servers import Server

from frame_async.emulator import Emulator
from frame_async.protocol.window import Lane, RateLimit

LONG = "FRAME_SOAK_KILLS" in os.environ
KILLS = min(int(os.environ.get("FRAME_SOAK_KILLS", "2")), 20)
"""The machine has to start a worker for each."""
ROWS = 3_000 if LONG else 150
PERIOD = float(os.environ.get("FRAME_SOAK_PERIOD", "40"))
"""Seconds; with 20, the long form takes two minutes, if the machine can do 25 rows a second."""
LIMIT = RateLimit(556, PERIOD) if LONG else RateLimit(134, 2.0)
WORKERS = 4 if LONG else 2

# How much of the window is used is asked in the long form only.
pytestmark = [pytest.mark.alone] if LONG else []


async def disturb(place: FleetPlace, emulator: Emulator, server: Server) -> None:
    """Kill workers at work, one after the other, and restart the database in the middle."""
    chance = random.Random(20261123)
    for kill in range(KILLS):
        while len(emulator.created()) < (kill + 1) * ROWS / (KILLS + 2):  # noqa: ASYNC110  # another process adds to it
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.2 * chance.random())
        await place.replace(chance)
        if kill == KILLS // 2:
            await asyncio.to_thread(server.stop)
            await asyncio.to_thread(server.start)


async def test_killed_again_and_again(tmp_path: Path) -> None:
    """Each row has one result, each second session is admitted, and Frame refused nothing."""
    server, url = fleet_server()
    async with Emulator(
        limit=LIMIT.requests, period=LIMIT.per, latency="uniform(20ms, 120ms)"
    ) as emulator:
        place = FleetPlace(tmp_path, url, emulator.base_url, LIMIT.requests, LIMIT.per)
        try:
            enqueued = await place.enqueue(orders(ROWS))
            assert enqueued.summary["enqueued"] == ROWS, enqueued.err
            for _ in range(WORKERS):
                await place.start_worker()
            began = time.monotonic()
            await disturb(place, emulator, server)
            await until_done(place, 1_200)
            took = time.monotonic() - began
            results = await place.results()
            assert await place.stop() == [0] * WORKERS
        finally:
            place.kill()
            server.stop()
    names = [f"order-{n}" for n in range(ROWS)]
    repeated = check_books(results, names, emulator)
    assert [result["row"] for result in results] == list(range(1, ROWS + 1))
    assert all(result["result"] == "created" for result in results)
    assert refusals(emulator) == 0
    used = share_used(emulator, LIMIT.open_to(Lane.BULK), LIMIT.per)
    admitted = sum(result["possible_duplicates"] for result in results)
    print(  # noqa: T201
        f"{ROWS:,} rows, {KILLS} kills, {took:.0f} s: {len(emulator.ledger):,} requests, "
        f"{repeated} second sessions of {admitted} admitted, window used {used:.1%}"
    )
    if LONG:
        assert used >= 0.95
