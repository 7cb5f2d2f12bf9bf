"""kill -9 at random moments, then the same command until it is done: nothing lost or doubled."""

import asyncio
import os
import random
from functools import partial
from pathlib import Path

from support.bulk_runs import Place, check_doubles, ended, orders, until
from support.faults import FaultServer, Play, Wire, framed

from frame_async.emulator import Emulator

KILLS = int(os.environ.get("FRAME_SOAK_KILLS", "2"))


def at_work(process: asyncio.subprocess.Process, output: Path, before: int) -> bool:
    """Whether a run has written something, or is over."""
    written = output.stat().st_size if output.exists() else 0
    return process.returncode is not None or written > before


async def killed_until_done(
    place: Place, chance: random.Random, *options: str, kills: int, busy: float
) -> dict[str, object]:
    """Run and kill so many times, then run to the end; its summary."""
    options = ("--concurrency", "8", "--json", *options)
    for _ in range(kills):
        process = await place.start(*options)
        before = place.output.stat().st_size if place.output.exists() else 0
        # From the first check of the file to the middle of the work: anywhere.
        await asyncio.sleep(chance.random() * busy)
        if chance.random() < 0.7:
            await until(partial(at_work, process, place.output, before))
            await asyncio.sleep(chance.random() * 0.3)
        if process.returncode is None:
            process.kill()
        await process.communicate()
    ran = await ended(await place.start(*options))
    assert ran.status == 0, ran.err
    return dict(ran.summary)


async def test_killed_at_random_moments(tmp_path: Path) -> None:
    """Each row has exactly one result, and each second session a row that the summary lists.

    FRAME_SOAK_KILLS makes it longer.
    """
    chance, count = random.Random(20261123), 40 * KILLS
    async with Emulator(limit=None, latency=0.02) as emulator:
        place = Place(tmp_path, emulator.base_url, orders(count))
        summary = await killed_until_done(place, chance, kills=KILLS, busy=0.8)
        names = [f"order-{n}" for n in range(count)]
        results = place.check_complete(names)
        created = {name: emulator.created(name) for name in names}
    assert all(created.values())
    check_doubles(results, created, summary)
    assert (summary["created"], summary["pending"]) == (count, 0)


def moody(chance: random.Random) -> Play:
    """Serve, and lose an answer now and then."""

    async def play(wire: Wire) -> None:
        while await wire.read_request():
            await asyncio.sleep(chance.random() * 0.03)
            said = framed(wire.create())
            if chance.random() < 0.03:
                wire.close()
                return
            await wire.send(said)

    return play


async def test_killed_while_answers_are_lost(tmp_path: Path) -> None:
    """Lost answers and kills together: whatever exists twice is listed."""
    kills, chance = max(2, KILLS // 2), random.Random(7)
    count = 40 * kills
    async with FaultServer.playing(moody(chance)) as server:
        place = Place(tmp_path, server.url, orders(count))
        summary = await killed_until_done(place, chance, kills=kills, busy=0.8)
        results = place.check_complete(f"order-{n}" for n in range(count))
        keys = {result["idempotency_key"]: name for name, result in results.items()}
        created: dict[str, list[str]] = {}
        for seen in server.ledger:
            if seen.created:
                created.setdefault(keys[seen.key], []).append(seen.created)
    assert set(created) == set(results)
    assert check_doubles(results, created, summary), "nothing was doubled: this proves nothing"


async def test_killed_while_rows_are_taken_up_again(tmp_path: Path) -> None:
    """A kill in the middle of ``--again`` loses no line and doubles none."""
    chance, count = random.Random(3), 600
    text = orders(count).replace("order-0,acc,prod_1", "order-0,acc,") + "bad,acc,\n" * 100
    async with Emulator(limit=None) as emulator:
        place = Place(tmp_path, emulator.base_url, text, result="out.csv")
        assert (await place.run("--concurrency", "64")).status == 1
        place.orders.write_text(orders(count) + "".join(f"late-{n},acc,p\n" for n in range(100)))
        for _ in range(max(2, KILLS // 4)):
            process = await place.start("--again", "invalid", "--concurrency", "4")
            await asyncio.sleep(0.35 + chance.random() * 0.5)
            if process.returncode is None:
                process.kill()
            await process.communicate()
        ran = await place.run("--again", "invalid", "--json")
        assert ran.status == 0, ran.err
        names = [f"order-{n}" for n in range(count)] + [f"late-{n}" for n in range(100)]
        results = place.check_complete(names)
        created = {name: emulator.created(name) for name in names}
        check_doubles(results, created, ran.summary)
    assert not list(tmp_path.glob("*.new"))
