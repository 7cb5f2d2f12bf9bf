"""More payers than the window has places, in simulated time: who is served, and who hears what."""

import asyncio
import math
import random

from attrs import define, field
from support.rates import CountingServer
from support.rates_loop import simulated, virtually

from frame_async import FrameClient, LineItem, PaymentLinkSessionRequest, RateLimit
from frame_async.engine.limiter import QUANTILE
from frame_async.errors import NotSentError, OutcomeUnknownError, WindowFullError

LIMIT = RateLimit(40, 10)
ORDER = PaymentLinkSessionRequest(line_items=[LineItem(product="prod_1")])


@define
class Crowd:
    """What became of them."""

    served: int = 0
    unknown: int = 0
    unsent: int = 0
    """Not sent, and for another reason than the window."""
    refused_after: list[float] = field(factory=list[float])
    """Seconds after which each refused call heard it."""
    fits_in: list[float] = field(factory=list[float])
    """What it heard."""

    def at_once(self, timeout: float) -> float:
        """The share of refusals that came within a tenth of the timeout."""
        soon = sum(after <= timeout / 10 for after in self.refused_after)
        return soon / max(1, len(self.refused_after))


def overload(
    seed: int,
    limit: RateLimit = LIMIT,
    rate: float = 6.0,
    seconds: float = 40.0,
    timeout: float = 5.0,
    quantile: float = QUANTILE,
) -> Crowd:
    """Payers by chance, so many a second.

    Attempts take 180 ms in the middle, and 900 ms at the 99th percentile.
    """
    chance, crowd = random.Random(seed), Crowd()
    spread = math.log(5) / 2.326

    def half() -> float:
        return chance.lognormvariate(math.log(0.18), spread) / 2

    async def pay(client: FrameClient) -> None:
        now = asyncio.get_running_loop().time
        came = now()
        try:
            await client.payment_link_sessions.create(ORDER, timeout=timeout)
            crowd.served += 1
        except OutcomeUnknownError:
            crowd.unknown += 1
        except WindowFullError as error:
            crowd.refused_after.append(now() - came)
            crowd.fits_in.append(error.fits_in)
        except NotSentError:
            crowd.unsent += 1

    async def work() -> None:
        server = CountingServer(limit.requests, limit.per)
        options = {"rate_limit": limit, "attempt_quantile": quantile}
        async with simulated(server, half, half, **options) as client:
            tasks = []
            now = asyncio.get_running_loop().time
            while now() < seconds:
                tasks.append(asyncio.create_task(pay(client)))
                await asyncio.sleep(chance.expovariate(rate))
            await asyncio.gather(*tasks)

    virtually(work)
    return crowd
