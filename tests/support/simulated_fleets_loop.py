"""The fleet of `support.simulated_fleets` with real lines, where waiting takes no time."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from itertools import count
from typing import TypeVar

from support.appointing import AppointingStore
from support.rates_loop import LoopClock, virtually
from support.simulated_fleets import HOLD, Fleet, Tally, fill
from support.slots import acquire

from frame_async.engine.limiter import RateLimiter
from frame_async.errors import StoreError
from frame_async.protocol.window import Lane
from frame_async.stores import Window

T = TypeVar("T")


class DistantStore(AppointingStore):
    """A store that everyone shares and that takes its time."""

    shared = True

    def __init__(self, tally: Tally, chance: random.Random) -> None:
        super().__init__(now=lambda: self._served)
        self._tally = tally
        self._chance = chance
        self._busy = self._served = 0.0

    async def enter(
        self, window: Window, token: str, lane: Lane, hold: float, *, pace: bool = False
    ) -> float:
        work = partial(AppointingStore.enter, self, window, token, lane, hold, pace=pace)
        return await self._asked(work)

    async def leave(self, window: Window, token: str, *, sent: bool) -> None:
        await self._asked(partial(AppointingStore.leave, self, window, token, sent=sent))

    async def _asked(self, work: Callable[[], Awaitable[T]]) -> T:
        fleet, now = self._tally.fleet, asyncio.get_running_loop().time
        self._tally.operated(now())
        cost, asked, arrives = fleet.cost, now(), now() + fleet.cost.travel / 2
        begin, end = fleet.outage or (0.0, 0.0)
        if begin <= asked < end:
            if asked + cost.timeout <= end:
                await asyncio.sleep(cost.timeout)
                raise StoreError("it is gone")
            arrives = end + self._chance.uniform(0, 1)
            await asyncio.sleep(arrives - asked)
        served = max(arrives, self._busy) + cost.service
        told = served + cost.travel / 2
        if told - asked > cost.timeout:
            await asyncio.sleep(max(0.0, asked + cost.timeout - now()))
            raise StoreError("no answer in time")
        self._served = self._busy = served
        answer = await work()
        await asyncio.sleep(told - now())
        return answer


def simulate_lines(fleet: Fleet, warm_up: float, until: float) -> Tally:
    """As `support.simulated_fleets.simulate`."""
    tally, chance, tokens = Tally(fleet), random.Random(fleet.seed), count()

    async def call(limiter: RateLimiter, number: int) -> None:
        """One caller, who calls again as soon as there is an answer."""
        while True:
            token = f"{next(tokens)}"
            try:
                slot = await acquire(limiter, token, fleet.lane, HOLD, 1e9)
            except StoreError:
                tally.errors += 1
                await asyncio.sleep(fleet.pause * chance.uniform(0.5, 1.5))
                continue
            await asyncio.sleep(chance.uniform(*fleet.latency))
            tally.calls.append((asyncio.get_running_loop().time(), number))
            with suppress(StoreError):  # the place then stays taken until it is given up
                await limiter.release(slot, sent=True)

    async def work(limiter: RateLimiter, number: int) -> None:
        await asyncio.sleep(chance.uniform(0, fleet.start))
        await asyncio.gather(*(call(limiter, number) for _ in range(fleet.callers)))

    async def run() -> None:
        store, window = DistantStore(tally, chance), Window("w", fleet.limit)
        if fleet.spread:
            fill(store._window(window), fleet.lane)
        limiters = [RateLimiter(store, window, LoopClock()) for _ in range(fleet.workers)]
        tasks = [asyncio.create_task(work(line, n)) for n, line in enumerate(limiters)]
        await asyncio.sleep(warm_up)
        tally.mark()
        await asyncio.sleep(until - warm_up)
        for task in tasks:
            task.cancel()
        for limiter in limiters:
            limiter.close()
        await asyncio.gather(*tasks, return_exceptions=True)

    virtually(run)
    return tally
