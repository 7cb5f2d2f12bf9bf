"""More callers than places: no place is wasted, and who can't have one hears it at once."""

import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from itertools import repeat

import pytest
from attrs import define
from support.overload import ORDER, overload
from support.rates import CountingServer
from support.rates_loop import simulated, virtually

from frame_async import FrameClient, Lane, NotSentError, RateLimit
from frame_async.errors import ClientClosedError, WindowFullError

SEEDS = range(40 if "FRAME_SOAK_CALLS" in os.environ else 4)
"""Of simulations; more in the soak."""


@pytest.mark.parametrize("seed", SEEDS)
def test_nobody_is_sent_who_has_no_time_for_an_answer(seed: int) -> None:
    """Of 240 payers for 160 places within 5 s, none is left in doubt, and no place is wasted."""
    crowd = overload(seed)
    assert crowd.unknown == 0
    assert crowd.unsent == 0
    assert crowd.served >= (170 if seed < 8 else 165)
    assert crowd.at_once(5.0) >= 0.95


def beside(limit: RateLimit, work: Callable[[FrameClient], Awaitable[None]]) -> None:
    """Do some work with a client whose attempts take 0.1 to 0.3 s, in simulated time."""
    chance = random.Random(1)

    def half() -> float:
        return chance.uniform(0.05, 0.15)

    async def run() -> None:
        server = CountingServer(limit.requests, limit.per)
        async with simulated(server, half, half, rate_limit=limit) as frame:
            await work(frame)

    virtually(run)


async def refused(frame: FrameClient, timeout: float, lane: Lane = Lane.INTERACTIVE) -> float:
    """Call in vain, and hear at once in how many seconds there is a place."""
    now = asyncio.get_running_loop().time
    began = now()
    with pytest.raises(WindowFullError) as caught:
        await frame.payment_link_sessions.create(ORDER, timeout=timeout, lane=lane)
    assert now() - began <= timeout / 10
    return caught.value.fits_in


async def placed(frame: FrameClient, lane: Lane = Lane.INTERACTIVE) -> float:
    """Call with all the time there is; how many seconds it waited for its place."""
    session = await frame.payment_link_sessions.create(ORDER, timeout=36_000, lane=lane)
    return session.call.attempts[0].window or 0.0


@pytest.mark.parametrize("ahead", [0, 1, 7, 19, 20, 45])
@pytest.mark.parametrize("lane", Lane)
def test_what_is_told_is_what_happens(lane: Lane, ahead: int) -> None:
    """Who is refused hears, to a second or a tenth, when it would have had a place."""

    async def work(frame: FrameClient) -> None:
        for _ in range(20):
            await placed(frame)
            await asyncio.sleep(0.2)
        waiting = [asyncio.create_task(placed(frame, lane)) for _ in range(ahead)]
        await asyncio.sleep(0.5)
        told = await refused(frame, 0.6, lane)
        waited = await placed(frame, lane)
        assert told == pytest.approx(waited, abs=1.0, rel=0.1)
        await asyncio.gather(*waiting)

    beside(RateLimit(20, 10), work)


def test_whoever_has_left_is_not_ahead() -> None:
    """Callers who were cancelled count no more: the next is served in their stead."""

    async def work(frame: FrameClient) -> None:
        await asyncio.gather(*(placed(frame) for _ in range(20)))
        patient = asyncio.create_task(placed(frame))
        leaving = [asyncio.create_task(placed(frame)) for _ in range(60)]
        await asyncio.sleep(0.1)
        for task in leaving:
            task.cancel()
        session = await frame.payment_link_sessions.create(ORDER, timeout=15)
        assert session.call.attempts[0].window == pytest.approx(10, abs=0.5)
        await patient

    beside(RateLimit(20, 10), work)


def test_a_call_whose_time_is_short_for_this_server_may_still_try() -> None:
    """However long attempts take, a call that comes with its whole time is sent."""

    async def work(frame: FrameClient) -> None:
        for _ in range(10):
            await placed(frame)
        with pytest.raises(Exception, match="a session may exist"):
            await frame.payment_link_sessions.create(ORDER, timeout=0.05)

    beside(RateLimit(20, 10), work)


@pytest.mark.parametrize("wake", ["aclose", "stop_waiting"])
def test_who_waits_hears_that_the_client_closes(wake: str) -> None:
    """A caller who waits for a place is told at once that it was not sent."""

    async def work(frame: FrameClient) -> None:
        await placed(frame)
        waiting = [asyncio.create_task(placed(frame, lane)) for lane in Lane]
        await asyncio.sleep(1)
        before = asyncio.get_running_loop().time()
        ended = getattr(frame, wake)()
        if ended is not None:
            await ended
        for answer in await asyncio.gather(*waiting, return_exceptions=True):
            assert type(answer) is NotSentError
            assert "the client was closed" in answer.message
        assert asyncio.get_running_loop().time() == before

    beside(RateLimit(1, 60), work)


def test_nobody_comes_to_wait_once_the_client_closes() -> None:
    """After the word to stop, a call has its place now or not at all."""

    async def work(frame: FrameClient) -> None:
        frame.stop_waiting()
        assert await placed(frame) == 0
        with pytest.raises(NotSentError, match="the client was closed"):
            await placed(frame)

    beside(RateLimit(1, 60), work)


def test_a_run_ends_once_the_client_closes() -> None:
    """A run takes no more inputs after the word to stop, instead of failing them all."""

    async def work(frame: FrameClient) -> None:
        ended = []
        with pytest.raises(ClientClosedError):
            async for result in frame.payment_link_sessions.create_many(
                repeat(ORDER), max_in_flight=3
            ):
                ended.append(type(result.error))
                frame.stop_waiting()
        assert ended[0] is type(None)
        assert len(ended) <= 4
        assert set(ended[1:]) <= {NotSentError, ClientClosedError}

    beside(RateLimit(1, 60), work)


@define
class Refusing(CountingServer):
    """Refuses some of the first requests, whatever room there is."""

    refusals: int = 0

    def admit(self, now: float) -> bool:
        """See `CountingServer.admit`."""
        self.refusals -= 1
        return self.refusals < 0 and super().admit(now)


@pytest.mark.parametrize("server", [Refusing(50, refusals=1)])
def test_a_lone_429_holds_nobody_for_long(server: Refusing) -> None:
    """A 429 from a window that had room costs its call, and one beside it, 1 to 1.5 s."""

    async def run() -> None:
        def half() -> float:
            return 0.1

        async with simulated(server, half, half, rate_limit=RateLimit(50)) as frame:
            create = frame.payment_link_sessions.create
            one = asyncio.create_task(create(ORDER))
            await asyncio.sleep(0.5)
            beside = await create(ORDER)
            session = await one
        assert [attempt.status for attempt in session.call.attempts] == [429, 201]
        assert 1 <= session.call.attempts[1].slept + (session.call.attempts[1].window or 0) <= 1.5
        assert (beside.call.attempts[0].window or 0) <= 1

    virtually(run)
