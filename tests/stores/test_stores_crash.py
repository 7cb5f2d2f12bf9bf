"""kill -9 at any moment: nothing lost, no second session that is not admitted."""

import asyncio
import json
import logging
import os
import random
import signal
import sys
from collections import Counter
from pathlib import Path

from attrs import define, field
from support.crashing_worker import order
from support.faults import FaultServer, Play, Wire, framed
from support.store_workers import environment
from support.stores import store_url

from frame_async import FrameClient

ORDERS = 40
"""Orders for each kill."""
SHORT = {"sqlite": 3, "redis": 3, "postgres": 3}
"""Kills in the short form; FRAME_SOAK_KILLS says how many in the long one."""


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


@define
class Tale:
    """What is known of every order once all is over."""

    sessions: dict[str, set[str]] = field(factory=dict[str, set[str]])
    """The sessions that anybody was ever told, by key."""
    created: Counter[str] = field(factory=Counter[str])
    """How many sessions the server created for a key."""
    admitted: dict[str, int] = field(factory=dict[str, int])
    """How many possible duplicates the remembered session admits."""

    def doubled(self) -> dict[str, int]:
        """How many sessions there are beyond one, by key."""
        return {key: number - 1 for key, number in self.created.items() if number > 1}

    def unadmitted(self) -> dict[str, int]:
        """Second sessions that nobody was warned of."""
        return {key: n for key, n in self.doubled().items() if self.admitted[key] < n}

    def contradictions(self) -> dict[str, set[str]]:
        """Keys for which more than one session was told."""
        return {key: known for key, known in self.sessions.items() if len(known) != 1}


async def run_until_killed(arguments: list[str], seconds: float | None) -> int:
    """Run the worker, kill it -9 that long after it is ready; its exit status."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "support.crashing_worker", *arguments),
        stdout=asyncio.subprocess.PIPE,
        env=environment(),
    )
    assert process.stdout is not None
    assert (await process.stdout.readline()) == b"ready\n"
    if seconds is not None:
        await asyncio.sleep(seconds)
        if process.returncode is None:
            process.kill()
    return await process.wait()


async def lives(arguments: list[str], kills: int, chance: random.Random) -> int:
    """A writer that is killed and started again, so many times, and then ends well.

    How many of the kills met it at work.
    """
    ends = [await run_until_killed(arguments, chance.random() * 0.4) for _ in range(kills)]
    assert await run_until_killed(arguments, None) == 0
    return ends.count(-signal.SIGKILL)


async def found_at_the_end(server: FaultServer, store: str, results: Path, count: int) -> Tale:
    """Ask for every order once more; what that says, with what writers and server said."""
    tale = Tale(created=Counter(seen.key for seen in server.ledger if seen.created))
    for line in results.read_text().splitlines():
        told = json.loads(line)
        tale.sessions.setdefault(told["key"], set()).add(told["id"])
    async with FrameClient("sk_sandbox_crash", base_url=server.url, store=store) as frame:
        for number in range(count):
            key = f"order-{number}"
            session = await frame.payment_link_sessions.create(order(number), idempotency_key=key)
            assert session.call.replayed
            tale.sessions.setdefault(key, set()).add(session.id)
            tale.admitted[key] = session.call.possible_duplicates
    return tale


async def test_killed_at_random_moments(
    shared_kind: str, shared_address: str, tmp_path: Path
) -> None:
    """Two writers killed at random moments end with every order created, every double admitted."""
    kills = int(os.environ.get("FRAME_SOAK_KILLS", SHORT[shared_kind]))
    count = 2 * ORDERS * kills  # more than is done between two kills, on a quick machine too
    chance = random.Random(20261123)
    results = tmp_path / "results.jsonl"
    store = store_url(shared_kind, shared_address)
    async with FaultServer.playing(moody(chance)) as server:
        arguments = [store, server.url, str(results), str(count)]
        half = kills // 2
        met = await asyncio.gather(*(lives(arguments, n, chance) for n in (half, kills - half)))
        tale = await found_at_the_end(server, store, results, count)
    logging.getLogger(__name__).info(
        "%s: %d kills (%d at work), %d orders, %d sessions, %d keys doubled, %d unadmitted",
        *(shared_kind, kills, sum(met), len(tale.created), tale.created.total()),
        *(len(tale.doubled()), len(tale.unadmitted())),
    )
    assert sum(met) >= kills / 2, "the work was done before the killing was"
    assert set(tale.created) == set(tale.admitted) == {f"order-{n}" for n in range(count)}
    assert not tale.contradictions()
    assert not tale.unadmitted()
    assert tale.doubled(), "no crash and no lost answer made a double: the test proves nothing"
