"""Hours in seconds: an event loop whose time jumps to what happens next, and clients on it.

All code under test is real but for the network: whatever sleeps or times out follows the
loop's time. No thread and no socket may be waited for, since time doesn't pass for them.
"""

import asyncio
import selectors
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from support.faults import session_body
from support.rates import CountingServer, Delay

from frame_async import FrameClient
from frame_async.engine.exchange import Exchange
from frame_async.protocol.outcomes import Ending
from frame_async.protocol.window import LIVE
from frame_async.stores import MemoryStore

T = TypeVar("T")


class _Selector(selectors.DefaultSelector):
    """Waits for nothing: it lets the time pass instead."""

    passed = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        events = super().select(0)
        if not events:
            assert timeout is not None, "everyone waits, and for nothing"
            self.passed += max(0.0, timeout)
        return events


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on which waiting takes no time."""

    def __init__(self) -> None:
        self._time = _Selector()
        super().__init__(self._time)

    def time(self) -> float:
        """Seconds that were waited."""
        return self._time.passed


class LoopClock:
    """The time of the event loop that runs, as a client's clock."""

    def time(self) -> float:
        return 1.8e9 + self.monotonic()

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def virtually(work: Callable[[], Awaitable[T]]) -> T:
    """Do some work on a loop of its own, in no time."""

    async def run() -> T:
        return await work()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(run())


def simulated(
    server: CountingServer,
    there: Delay,
    back: Delay,
    **options: Any,
) -> FrameClient:
    """A client of a counting server in simulated time; all is real but the network."""
    clock = LoopClock()
    usual = {"store": MemoryStore(now=clock.monotonic), "rate_limit": LIVE, "max_in_flight": 1000}
    client = FrameClient("sk_sandbox_simulated", clock=clock, **{**usual, **options})

    async def send(_operation: Any, _course: Any, timeout: float, exchange: Exchange) -> Exchange:
        exchange.admitted = exchange.handed = exchange.sent = clock.monotonic()
        try:
            async with asyncio.timeout(timeout):
                await asyncio.sleep(there())
                status = 201 if server.admit(clock.monotonic()) else 429
                await asyncio.sleep(back())
        except TimeoutError:
            return exchange.end(Ending.TIMED_OUT)
        exchange.answered = exchange.read = clock.monotonic()
        exchange.status, exchange.body = status, session_body("pls_1")
        return exchange.end(Ending.COMPLETE)

    client._http.send = send  # type: ignore[assignment,method-assign]
    return client
