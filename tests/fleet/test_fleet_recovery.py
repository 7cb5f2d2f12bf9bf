"""What dies, freezes, is forgotten or goes wrong: nothing stays behind."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from procrastinate import manager
from support.bulk_runs import orders, until
from support.fleet_runs import asked, asking, drained, fleet_on, until_true
from support.fleets import FleetPlace, check_books, until_done

from frame_async.emulator import Emulator


@pytest.fixture
async def place(tmp_path: Path, database: str) -> AsyncIterator[FleetPlace]:
    """A fleet whose commands are processes."""
    async with Emulator(limit=None) as emulator:
        place = FleetPlace(tmp_path, database, emulator.base_url, 0, 60.0)
        place.emulator = emulator
        yield place
        place.kill()


@pytest.mark.parametrize("how", [RuntimeError, TimeoutError, AttributeError, "hangs"])
async def test_the_sweep_goes_on(
    database: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    how: Any,
) -> None:
    """Whatever goes wrong in looking for dead workers is said, and looked for again."""
    monkeypatch.setattr("frame_async.fleet.queue._PATIENCE", 0.5)
    real, calls = manager.JobManager.get_stalled_jobs, 0

    async def fails_twice(self: manager.JobManager, **how_long: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > 2:
            return await real(self, **how_long)
        if how == "hangs":
            await asyncio.sleep(3600)
        raise how("away")

    monkeypatch.setattr(manager.JobManager, "get_stalled_jobs", fails_twice)
    async with Emulator(limit=None) as emulator, fleet_on(database, emulator) as fleet:
        await fleet.enqueue(asking("a", "b"), run="orders")
        await asked(
            database,
            "WITH dead AS (INSERT INTO procrastinate_workers (last_heartbeat)"
            " VALUES (now() - interval '1 hour') RETURNING id)"
            " UPDATE procrastinate_jobs SET status = 'doing', worker_id = dead.id FROM dead",
        )
        await drained(fleet)
        assert len(emulator.ledger) == 2
    name = "TimeoutError" if how == "hangs" else how.__name__
    said = [r.getMessage() for r in caplog.records if "stalled jobs were not" in r.getMessage()]
    assert said == [f"stalled jobs were not looked for: {name}"] * 2


async def test_a_frozen_worker_is_taken_over(place: FleetPlace) -> None:
    """Its rows are done by another; when it thaws, nothing is done twice that isn't admitted."""
    slow = place.emulator.add_fault("delay", seconds=60)
    await place.enqueue(orders(20))
    frozen = await place.start_worker("--concurrency", "4")
    await until(lambda: len(place.emulator.created()) >= 4)
    frozen.send_signal(signal.SIGSTOP)
    try:
        place.emulator.remove_fault(slow)
        await place.start_worker()
        await until_done(place, 60)
    finally:
        frozen.send_signal(signal.SIGCONT)
    await place.enqueue(orders(40))
    await until_done(place, 60)
    results = await place.results()
    assert check_books(results, [f"order-{n}" for n in range(40)], place.emulator) == 4
    assert sum(result["possible_duplicates"] for result in results) == 4
    assert await place.stop() == [0, 0]


async def test_reconciling_finds_what_the_queue_forgot(place: FleetPlace) -> None:
    """Rows whose job was removed or failed get another one; rows that have one keep it."""
    await place.enqueue(orders(10))
    await asked(place.url, "DELETE FROM procrastinate_jobs WHERE (args ->> 'row')::bigint % 2 = 0")
    await asked(
        place.url,
        "UPDATE procrastinate_jobs SET status = 'failed' WHERE id = (SELECT min(id)"
        " FROM procrastinate_jobs)",
    )
    lost = (await place.progress())["lost"]
    assert 1 < lost < 10
    words = ["bulk", "status", "--queue", place.url, "--reconcile"]
    first, second = await place.run(*words), await place.run(*words)
    assert f"orders.csv: {lost:,} rows had lost their job, and have a new one" in first.err
    assert "orders.csv: 0 rows had lost" in second.err
    jobs = "SELECT count(*) FROM procrastinate_jobs WHERE status = 'todo'"
    assert await asked(place.url, jobs) == [(10,)]
    await place.start_worker("--drain")
    await until_done(place, 60)
    names = [f"order-{n}" for n in range(10)]
    assert check_books(await place.results(), names, place.emulator) == 0


async def test_two_who_reconcile_at_once(database: str) -> None:
    """Each row gets one job, also if there are more than fit into one page."""
    async with Emulator(limit=None) as emulator, fleet_on(database, emulator) as fleet:
        await fleet.enqueue(asking(*map(str, range(2_100))), run="orders")
        await asked(database, "DELETE FROM procrastinate_jobs")
        (run,) = await fleet.runs.all()
        given = await asyncio.gather(*(fleet.runs.reconcile(run, "t") for _ in range(3)))
        assert sum(given) == 2_100
        assert await asked(
            database, "SELECT count(*), count(DISTINCT args ->> 'row') FROM procrastinate_jobs"
        ) == [(2_100, 2_100)]


async def test_a_store_whose_memory_was_lost_is_reconciled(database: str) -> None:
    """A row on the wire when store and worker go is in doubt for the next, and listed so."""
    async with Emulator(limit=None) as emulator:
        slow = emulator.add_fault("delay", seconds=60)
        async with fleet_on(database, emulator) as fleet:
            await fleet.enqueue(asking("a", "b"), run="orders")
            working = asyncio.create_task(fleet.run_worker())
            await until_true(lambda: len(emulator.created()) == 2)
            fleet.stop(0)
            await working
        emulator.remove_fault(slow)
        await asked(database, "DELETE FROM frame_async_keys")
        async with fleet_on(database, emulator) as fleet:
            (run,) = await fleet.runs.all()
            assert (await fleet.runs.progress(run, 10)).doubtful == 2
            await drained(fleet)
            progress = await fleet.runs.progress(run, 10)
            assert [row.possible_duplicates for row in progress.in_doubt] == [1, 1]
            found = [result async for result in fleet.results("orders")]
            assert [result.possible_duplicates for result in found] == [1, 1]


async def test_a_row_that_was_let_go_unsent_is_not_in_doubt(database: str) -> None:
    """Put off without having been sent, it isn't listed, whatever was noted before."""
    async with Emulator(limit=None) as emulator:
        address = emulator.base_url
        async with fleet_on(database, emulator) as fleet:
            await fleet.enqueue(asking("a"), run="orders")
            await emulator.aclose()
            working = asyncio.create_task(fleet.run_worker(drain=True))
            await until_true(lambda: fleet.work.put_off)
            port = int(address.split(":")[2].split("/")[0])
            async with Emulator(limit=None, port=port):
                await working
            (result,) = [result async for result in fleet.results("orders")]
    assert (result.result, result.possible_duplicates) == ("created", 0)
