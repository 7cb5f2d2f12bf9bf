"""Work that goes on although nobody waits for it any more."""

import asyncio
import logging
from contextlib import suppress

import pytest

from frame_async.integrations import _seen_through
from frame_async.integrations._seen_through import all_seen_through, see_through


async def cancelled_while_waiting(task: asyncio.Task[object]) -> None:
    """Cancel whoever waits, as a server does when a connection ends."""
    await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_what_it_returns_and_raises_comes_through(caplog: pytest.LogCaptureFixture) -> None:
    """While somebody waits it is as if the work were awaited, and nothing is logged."""

    async def work(error: Exception | None) -> int:
        await asyncio.sleep(0)
        if error is not None:
            raise error
        return 42

    assert await see_through(work(None)) == 42
    with pytest.raises(KeyError):
        await see_through(work(KeyError("gone")))
    assert caplog.records == []


async def test_it_goes_on_when_the_waiting_is_cancelled() -> None:
    """The waiting ends at once, the work when it is done, and all of it can be waited for."""
    may_end, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        await may_end.wait()
        ended.set()

    waiting = asyncio.create_task(see_through(work()))
    await cancelled_while_waiting(waiting)
    assert waiting.cancelled()
    assert not ended.is_set()
    asyncio.get_running_loop().call_soon(may_end.set)
    await all_seen_through()
    assert ended.is_set()


async def test_an_error_that_nobody_hears_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """What the work raises after that is logged with its traceback."""
    may_end = asyncio.Event()

    async def work() -> None:
        await may_end.wait()
        raise KeyError("no stock")

    await cancelled_while_waiting(asyncio.create_task(see_through(work())))
    asyncio.get_running_loop().call_soon(may_end.set)
    await all_seen_through()
    await asyncio.sleep(0)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("frame_async", logging.ERROR)
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], KeyError)


async def test_what_takes_too_long_is_cancelled_in_the_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """When patience ends the work is cancelled and has its own end awaited; no error is told."""
    told: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            told.append("tidied up")

    await cancelled_while_waiting(asyncio.create_task(see_through(work())))
    await all_seen_through(patience=0)
    assert told == ["tidied up"]
    assert caplog.records == []


def test_other_loops_are_left_alone() -> None:
    """What goes on on another event loop is neither waited for nor cancelled."""
    other = asyncio.new_event_loop()

    async def work() -> None:
        await asyncio.Event().wait()

    waiting = other.create_task(see_through(work()))
    other.run_until_complete(asyncio.sleep(0.01))
    asyncio.run(all_seen_through(patience=0))
    assert not waiting.done()
    other.run_until_complete(all_seen_through(patience=0))
    other.run_until_complete(asyncio.wait({waiting}))
    assert waiting.cancelled()
    other.close()
    assert not _seen_through._working
