"""Payers beside bulk work, in simulated time: how long they wait, and what bulk sends."""

import asyncio
import random
from collections.abc import Iterable
from itertools import repeat
from typing import Any

from attrs import define, field
from support.rates import CountingServer
from support.rates_loop import LoopClock, simulated, virtually

from frame_async import FrameClient, Lane, LineItem, PaymentLinkSessionRequest
from frame_async.stores import MemoryStore, Window

ORDER = PaymentLinkSessionRequest(line_items=[LineItem(product="prod_1")])
MINUTE = 60.0


@define
class Town:
    """What was seen."""

    waits: list[tuple[float, float]] = field(factory=list[tuple[float, float]])
    """When each payer came, and how many seconds it waited for its place."""
    rows: int = 0
    """Rows of bulk that were sent."""
    first_rows: list[float] = field(factory=list[float])
    """When the first ones were answered."""

    def of_minute(self, minute: int) -> list[float]:
        """What payers of that minute waited."""
        return [wait for came, wait in self.waits if came // MINUTE == minute]


class Hasty(MemoryStore):
    """Lets bulk go as fast as there are places, for comparison."""

    def __init__(self) -> None:
        super().__init__(now=LoopClock().monotonic)

    async def enter(
        self, window: Window, token: str, lane: Lane, hold: float, *, pace: bool = False
    ) -> float:
        """See `Store.enter`."""
        self._window(window).payers_until = 0.0
        return await super().enter(window, token, lane, hold, pace=False)


def beside_bulk(
    seed: int, a_minute: float, minutes: float, rows: int | None = None, **options: Any
) -> Town:
    """So many payers a minute, by chance, beside bulk of so many rows, or without an end."""
    chance, town = random.Random(seed), Town()

    def there() -> float:
        return chance.uniform(0.05, 0.2)

    async def work() -> None:
        async with simulated(CountingServer(160), there, there, **options) as frame:
            inputs = repeat(ORDER) if rows is None else [ORDER] * rows
            tasks = [asyncio.create_task(_bulk(frame, town, inputs))]
            now = asyncio.get_running_loop().time
            while a_minute and now() < minutes * MINUTE:
                await asyncio.sleep(chance.expovariate(a_minute / MINUTE))
                tasks.append(asyncio.create_task(_pay(frame, town)))
            await asyncio.sleep(minutes * MINUTE - now())
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            assert not [one for one in ended if isinstance(one, Exception)]

    virtually(work)
    return town


async def _bulk(
    frame: FrameClient, town: Town, inputs: Iterable[PaymentLinkSessionRequest]
) -> None:
    async for result in frame.payment_link_sessions.create_many(inputs):
        assert result.session is not None
        town.rows += 1
        if town.rows <= 200:
            town.first_rows.append(asyncio.get_running_loop().time())


async def _pay(frame: FrameClient, town: Town) -> None:
    came = asyncio.get_running_loop().time()
    session = await frame.payment_link_sessions.create(ORDER, timeout=3600)
    town.waits.append((came, session.call.attempts[0].window or 0.0))


def percentile_99(waits: list[float]) -> float:
    """The 99th percentile."""
    return sorted(waits)[min(len(waits) - 1, int(0.99 * len(waits)))] if waits else 0.0
