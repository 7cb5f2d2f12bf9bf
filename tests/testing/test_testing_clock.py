"""A virtual clock: it never goes back, and sleeping on it takes no time."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from frame_async.testing import VirtualClock


def test_it_is_as_far_ahead_as_it_was_moved() -> None:
    """Both of its times move with what was added, and with the time of day."""
    clock = VirtualClock()
    assert clock.ahead == 0
    clock.advance(3600)
    clock.advance(0.5)
    assert clock.ahead == 3600.5
    assert clock.time() - time.time() == pytest.approx(3600.5, abs=60)
    assert clock.monotonic() - time.monotonic() == pytest.approx(3600.5, abs=60)


@pytest.mark.parametrize("seconds", [-1, float("nan")])
def test_it_is_never_set_back(seconds: float) -> None:
    """To go back is refused."""
    with pytest.raises(ValueError, match="never set back"):
        VirtualClock().advance(seconds)


async def test_sleeping_takes_no_time() -> None:
    """A day's sleep is over at once, and then it is a day later."""
    clock = VirtualClock()
    async with asyncio.timeout(30):
        await clock.sleep(86_400)
    assert clock.ahead == 86_400
    await clock.sleep(-1)
    assert clock.ahead == 86_400


async def test_sleepers_sleep_side_by_side() -> None:
    """Those who sleep at the same time wake when the longest is over, not one after another."""
    clock = VirtualClock()
    await asyncio.gather(*(clock.sleep(seconds) for seconds in (10, 60, 30)))
    assert clock.ahead == 60
    await clock.sleep(10)
    assert clock.ahead == 70


async def test_sleeping_lets_others_go_on() -> None:
    """A sleep gives the event loop a turn, and can be cancelled."""
    clock = VirtualClock()
    order: list[str] = []
    asyncio.get_running_loop().call_soon(order.append, "other")
    await clock.sleep(0)
    order.append("sleeper")
    assert order == ["other", "sleeper"]
    task = asyncio.create_task(clock.sleep(60))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert clock.ahead == 0


def test_threads_move_it_together() -> None:
    """Seconds that several threads add are all there."""
    clock = VirtualClock()
    with ThreadPoolExecutor(4) as pool:
        for _ in range(400):
            pool.submit(clock.advance, 1)
    assert clock.ahead == 400
