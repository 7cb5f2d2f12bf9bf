"""kill -9 at any moment: nothing lost, no second session that is not admitted."""

import asyncio
import json
import os
import random
import sys
from collections import Counter
from pathlib import Path

import pytest
from support.crashing_worker import order
from support.faults import FaultServer, Play, Wire, framed

from frame_async import FrameClient

WORKER = Path(__file__).parents[1] / "support" / "crashing_worker.py"


def moody(chance: random.Random) -> Play:
    """Serve with a random latency, and lose an answer now and then."""

    async def play(wire: Wire) -> None:
        while await wire.read_request():
            await asyncio.sleep(chance.random() * 0.02)
            said = framed(wire.create())
            if chance.random() < 0.03:
                wire.close()
                return
            await wire.send(said)

    return play


async def run_until_killed(arguments: list[str], seconds: float | None) -> int:
    """Run the worker, kill it -9 that long after it is ready; its exit status."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(WORKER), *arguments, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert (await process.stdout.readline()) == b"ready\n"
    if seconds is not None:
        await asyncio.sleep(seconds)
        if process.returncode is None:
            process.kill()
    return await process.wait()


@pytest.mark.parametrize("backend", ["sqlite"])
async def test_killed_at_random_moments(backend: str, tmp_path: Path) -> None:
    """Writers killed at random moments end with every order created, and every double admitted.

    FRAME_SOAK_KILLS makes it longer; the short form kills 12 times.
    """
    kills = int(os.environ.get("FRAME_SOAK_KILLS", "12"))
    count = 40 * kills
    chance = random.Random(20261123)
    results = tmp_path / "results.jsonl"
    store = f"sqlite:///{tmp_path / 'store.sqlite'}"
    async with FaultServer.playing(moody(chance)) as server:
        arguments = [store, server.url, str(results), str(count)]
        for _ in range(kills):
            await run_until_killed(arguments, chance.random() * 0.4)
        assert await run_until_killed(arguments, None) == 0
        told = [json.loads(line) for line in results.read_text().splitlines()]
        created = Counter(seen.key for seen in server.ledger if seen.created)
        ids: dict[str, set[str]] = {}
        admitted: dict[str, int] = {}
        async with FrameClient("sk_sandbox_crash", base_url=server.url, store=store) as frame:
            for number in range(count):
                session = await frame.payment_link_sessions.create(
                    order(number), idempotency_key=f"order-{number}"
                )
                assert session.call.replayed
                ids[f"order-{number}"] = {session.id}
                admitted[f"order-{number}"] = session.call.possible_duplicates
    for one in told:
        ids[one["key"]].add(one["id"])
    assert all(len(known) == 1 for known in ids.values())
    assert set(created) == set(ids)
    doubled = {key: number for key, number in created.items() if number > 1}
    assert all(admitted[key] >= number - 1 for key, number in doubled.items())
    assert doubled, "no crash and no lost answer made a double: the test proves nothing"
