"""What the rate window promises, of the real client, in simulated hours."""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager

import pytest
from attrs import define, field
from support.beside_bulk import beside_bulk, percentile_99
from support.rates import CountingServer, Delay
from support.rates_loop import simulated, virtually

from frame_async import FrameClient, Lane, LineItem, PaymentLinkSessionRequest
from frame_async.errors import FrameError

SOAK = "FRAME_SOAK_CALLS" in os.environ
TOWNS, MINUTES = (10, 60.0) if SOAK else (3, 4.0)
"""Simulations, and how long each is; an hour in the soak."""
ORDER = PaymentLinkSessionRequest(line_items=[LineItem(product="prod_1")])
MINUTE = 60.0


@define
class Town:
    """A client, and who uses it."""

    client: FrameClient
    server: CountingServer
    chance: random.Random
    waits: list[float] = field(factory=list[float])
    """Seconds that each interactive call waited for its place."""
    statuses: list[tuple[float, int]] = field(factory=list[tuple[float, int]])
    """When each attempt was answered, and how."""
    _tasks: list[asyncio.Task[None]] = field(factory=list[asyncio.Task[None]])

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    async def call(self, lane: Lane) -> None:
        """One call, and what came of it."""
        session = await self.client.payment_link_sessions.create(ORDER, lane=lane, timeout=3600)
        self.statuses += [(self.now(), a.status or 0) for a in session.call.attempts]
        if lane is Lane.INTERACTIVE:
            self.waits.append(session.call.attempts[0].window or 0.0)

    def go(self, work: Coroutine[None, None, None]) -> None:
        """Let something happen beside everything else."""
        self._tasks.append(asyncio.create_task(work))

    async def keep_calling(self, lane: Lane) -> None:
        """One caller who calls again as soon as there is an answer."""
        while True:
            await self.call(lane)

    async def others(self, every: float, begin: float, end: float) -> None:
        """Somebody else uses the same quota, and doesn't ask us."""
        await asyncio.sleep(begin - self.now())
        while self.now() < end:
            self.server.admit(self.now())
            await asyncio.sleep(every)

    async def payers(self, a_minute: float, begin: float, end: float) -> None:
        """Payers come by chance, so many a minute."""
        await asyncio.sleep(begin - self.now())
        while self.now() < end:
            await asyncio.sleep(self.chance.expovariate(a_minute / MINUTE))
            self.go(self.call(Lane.INTERACTIVE))

    async def home(self) -> None:
        """Everyone stops."""
        for task in self._tasks:
            task.cancel()
        for ended in await asyncio.gather(*self._tasks, return_exceptions=True):
            assert not isinstance(ended, FrameError), ended

    def answered(self, status: int, begin: float, end: float) -> int:
        """How many attempts were answered so, in that time."""
        return sum(begin <= when < end and what == status for when, what in self.statuses)


def uniform(chance: random.Random, least: float, most: float) -> Delay:
    return lambda: chance.uniform(least, most)


@asynccontextmanager
async def town(seed: int, limit: int = 160) -> AsyncIterator[Town]:
    """A client with Frame's live limit, before a server that counts everyone's requests."""
    chance = random.Random(seed)
    server = CountingServer(limit)
    there, back = uniform(chance, 0, 0.25), uniform(chance, 0.05, 0.2)
    async with simulated(server, there, back) as client:
        town = Town(client, server, chance)
        yield town
        await town.home()


def test_a_payer_does_not_wait_for_bulk() -> None:
    """While bulk work saturates 160 a minute, 99 of 100 payers wait less than a second."""

    async def work() -> None:
        async with town(seed=8) as here:
            for _ in range(150):
                here.go(here.keep_calling(Lane.BULK))
            here.go(here.payers(8, 1, 9 * MINUTE))
            await asyncio.sleep(9 * MINUTE)
            waits = sorted(here.waits)
            assert len(waits) > 50
            assert waits[int(0.99 * len(waits))] < 1.0
            assert not here.answered(429, 0, 9 * MINUTE)
            # What payers don't take is bulk's, but for the reserve.
            assert here.answered(201, MINUTE, 9 * MINUTE) >= 0.97 * 8 * 144

    virtually(work)


@pytest.mark.parametrize(("a_minute", "most"), [(8, 1.0), (16, 1.0), (24, 1.0), (48, 2.0)])
def test_payers_beside_bulk_from_the_first_minute(a_minute: float, most: float) -> None:
    """In each minute of a bulk run, 99 of 100 payers wait a second at most, many payers two."""
    towns = [beside_bulk(seed, a_minute, MINUTES) for seed in range(TOWNS)]
    for minute in range(int(MINUTES)):
        waits = [wait for town in towns for wait in town.of_minute(minute)]
        assert percentile_99(waits) <= most, minute
    for town in towns:
        # What payers don't take is bulk's, but for the reserve.
        assert town.rows + len(town.waits) >= 0.97 * 144 * MINUTES


def test_a_short_file_goes_at_once() -> None:
    """Fewer rows than the window has places, with nobody else about, take what there is at once."""
    assert beside_bulk(1, 0, 2, rows=159).first_rows[143] < 2


def test_a_short_file_keeps_the_pace_beside_payers() -> None:
    """Once a payer has come, a short file leaves places for the next ones as a long one does."""
    town = beside_bulk(1, 24, 2, rows=159)
    assert percentile_99(town.of_minute(1)) <= 1


@pytest.mark.parametrize("callers", [1, 40])
def test_others_use_half_of_the_quota(callers: int) -> None:
    """What others leave is used to nine tenths, with a 429 a minute; all of it once they stop."""

    async def work() -> None:
        async with town(seed=callers) as here:
            for _ in range(callers):
                here.go(here.keep_calling(Lane.INTERACTIVE))
            here.go(here.others(MINUTE / 80, 0, 6 * MINUTE))
            await asyncio.sleep(12 * MINUTE)
            for minute in range(2, 6):
                begin, end = minute * MINUTE, (minute + 1) * MINUTE
                assert here.answered(201, begin, end) >= 0.9 * 80, minute
                assert here.answered(429, begin, end) <= 1, minute
            assert here.answered(201, 11 * MINUTE, 12 * MINUTE) >= 0.9 * 160

    virtually(work)


def test_the_window_is_full_and_never_overrun() -> None:
    """With nobody else on the key and 0 to 250 ms of jitter: no 429, and 99 % of what can be."""

    async def work() -> None:
        async with town(seed=3) as here:
            for _ in range(170):
                here.go(here.keep_calling(Lane.INTERACTIVE))
            await asyncio.sleep(5 * MINUTE)
            latency = 0.25  # on average there and back
            allowed = 160 * 3 * MINUTE / (MINUTE + latency)
            assert here.answered(201, MINUTE, 4 * MINUTE) >= 0.99 * allowed
            assert not here.answered(429, 0, 5 * MINUTE)

    virtually(work)
