"""Waiting for a place in the rate window: exact, fair, cheap, and true about time."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from support.clients import Connect, attempt
from support.clock import FastClock
from support.faults import FaultServer, serve
from support.slots import acquire

from frame_async import (
    FrameClient,
    Lane,
    NotSentError,
    PaymentLinkSession,
    PaymentLinkSessionRequest,
    RateLimit,
    RetryPolicy,
)
from frame_async.emulator import Emulator
from frame_async.engine.limiter import RateLimiter
from frame_async.engine.naps import NoSlotError
from frame_async.errors import (
    OutcomeUnknownError,
    RateLimitedError,
    StoreError,
    WindowFullError,
)
from frame_async.stores import MemoryStore, Window


class CountingStore(MemoryStore):
    """Counts how often it is asked for a place."""

    asked = 0

    async def enter(self, *args: Any, **options: Any) -> float:
        self.asked += 1
        return await super().enter(*args, **options)


def line(
    limit: int, per: float = 60.0, store: MemoryStore | None = None
) -> tuple[RateLimiter, FastClock]:
    """A line before a window, on a clock whose sleeps take no time."""
    clock = FastClock()
    store = MemoryStore(now=clock.monotonic) if store is None else store
    store._now = clock.monotonic
    return RateLimiter(store, Window("w", RateLimit(limit, per)), clock), clock


@pytest.mark.parametrize(("lane", "at"), [(Lane.BULK, 2.0), (Lane.INTERACTIVE, 9.0)])
async def test_rows_wait_for_the_soonest_time_that_was_told(lane: Lane, at: float) -> None:
    """A fleet's store tells each row that asks another time; to payers the last word counts."""
    told = iter([2.0, 9.0])

    class Telling(MemoryStore):
        async def enter(self, *args: Any, **options: Any) -> float:
            return next(told, 0.0)

    here, clock = line(1, store=Telling())
    begin = clock.monotonic()
    await asyncio.gather(*(acquire(here, f"{n}", lane, 1.0, begin + 100) for n in range(2)))
    assert clock.monotonic() - begin == pytest.approx(at, abs=3)
    here.close()


async def test_never_a_429_while_the_window_is_full(order: PaymentLinkSessionRequest) -> None:
    """A client that keeps its window busy meets no 429, whatever the latency does."""
    async with (
        Emulator(port=0, limit=20, period=0.5, latency=0.02) as emulator,
        FrameClient(
            emulator.api_key,
            base_url=emulator.base_url,
            rate_limit=RateLimit(20, 0.5),
            store=MemoryStore(),
        ) as frame,
    ):
        create = frame.payment_link_sessions.create
        sessions = await asyncio.gather(*(create(order, timeout=30) for _ in range(120)))
        statuses = [entry.status for entry in emulator.ledger]
    assert statuses == [201] * 120
    assert all(len(session.call.attempts) == 1 for session in sessions)
    assert any((session.call.attempts[0].window or 0) > 1 for session in sessions)


async def test_a_wait_that_can_not_fit_fails_at_once(
    emulator: Emulator, order: PaymentLinkSessionRequest
) -> None:
    """A call that would wait beyond its deadline fails now, and says when it would fit."""
    async with FrameClient(
        emulator.api_key,
        base_url=emulator.base_url,
        rate_limit=RateLimit(2, 60),
        store=MemoryStore(),
    ) as frame:
        for number in range(2):
            await attempt(frame, order, f"k{number}")
        async with asyncio.timeout(20):  # long before the deadline
            ended = await attempt(frame, order, "late", timeout=25)
    assert type(ended) is WindowFullError
    assert 25 < ended.fits_in <= 60
    assert ended.call.attempts == ()
    assert len(emulator.ledger) == 2


@pytest.mark.parametrize("store", ["memory", "sqlite"])
async def test_what_was_learned_refuses_no_call(
    order: PaymentLinkSessionRequest, store: str, tmp_path: Path
) -> None:
    """After a 429 of a stricter server, a call with a deadline tries again on its schedule."""
    url = "memory://" if store == "memory" else f"sqlite:///{tmp_path / 'store.sqlite'}"
    async with (
        Emulator(port=0, limit=1, period=1.0) as emulator,
        FrameClient(emulator.api_key, base_url=emulator.base_url, store=url) as frame,
    ):
        await frame.payment_link_sessions.create(order)
        second = await frame.payment_link_sessions.create(order)
        third = await frame.payment_link_sessions.create(order)
    assert [a.status for a in second.call.attempts] == [429, 201]
    assert third.call.attempts[-1].status == 201


async def test_a_full_window_is_never_forced(
    emulator: Emulator, order: PaymentLinkSessionRequest
) -> None:
    """What is full by our own requests stays full, whatever the deadline."""
    waiting, clock = line(2)
    for number in range(2):
        await acquire(waiting, f"t{number}", Lane.INTERACTIVE, 1.0, clock.monotonic() + 1)
    with pytest.raises(NoSlotError):
        await acquire(waiting, "t2", Lane.INTERACTIVE, 1.0, clock.monotonic() + 1)


async def test_the_mode_of_the_key_sets_the_limit(
    emulator: Emulator, order: PaymentLinkSessionRequest
) -> None:
    """A sandbox key gets Frame's 50 a minute, unless another limit or none is given."""
    async with FrameClient(
        "sk_sandbox_fifty", base_url=emulator.base_url, store=MemoryStore(), timeout=5
    ) as frame:
        ended = await asyncio.gather(*(attempt(frame, order, f"k{n}") for n in range(51)))
    assert sum(isinstance(one, PaymentLinkSession) for one in ended) == 50
    assert type(ended[50]) is WindowFullError


async def test_first_come_first_served() -> None:
    """Within a lane, places are given in the order of arrival."""
    waiting, _ = line(1)
    served: list[int] = []

    async def come(number: int) -> None:
        slot = await acquire(waiting, f"t{number}", Lane.BULK, 1.0, 1e9)
        served.append(number)
        await waiting.release(slot, sent=True)

    await asyncio.gather(*(come(number) for number in range(30)))
    assert served == list(range(30))


async def test_interactive_goes_first() -> None:
    """Who waits in the interactive lane is served before everyone in the bulk lane."""
    waiting, _ = line(1)
    first = await acquire(waiting, "first", Lane.BULK, 1.0, 1e9)
    served: list[str] = []

    async def come(name: str, lane: Lane) -> None:
        slot = await acquire(waiting, name, lane, 1.0, 1e9)
        served.append(name)
        await waiting.release(slot, sent=True)

    bulk = [asyncio.create_task(come(f"b{n}", Lane.BULK)) for n in range(3)]
    payer = asyncio.create_task(come("payer", Lane.INTERACTIVE))
    await waiting.release(first, sent=True)
    await asyncio.gather(*bulk, payer)
    assert served == ["payer", "b0", "b1", "b2"]


class StandingClock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0
        self._sleepers: list[tuple[float, asyncio.Event]] = []

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self._sleepers.append((self.now + seconds, woken := asyncio.Event()))
        await woken.wait()

    async def move(self, seconds: float) -> None:
        """Let time pass, and everyone do what there is to do then."""
        self.now += seconds
        for at, woken in self._sleepers:
            if at <= self.now:
                woken.set()
        for _ in range(50):
            await asyncio.sleep(0)


async def test_a_payer_does_not_sleep_as_long_as_bulk(
    connect: Connect, order: PaymentLinkSessionRequest
) -> None:
    """A payer goes when the first place is free, while a bulk call waits for the second."""
    clock = StandingClock()
    store = MemoryStore(now=clock.monotonic)
    async with FaultServer.playing(serve) as server:
        client = connect(server, clock=clock, store=store, rate_limit=RateLimit(2, 60))
        await attempt(client, order, "first")
        await clock.move(30)
        await attempt(client, order, "second")
        bulk = asyncio.create_task(attempt(client, order, "bulk", timeout=600, lane=Lane.BULK))
        await clock.move(1)
        payer = asyncio.create_task(attempt(client, order, "payer", timeout=600))
        await clock.move(0)
        await clock.move(30)
        ended = await asyncio.wait_for(payer, 10)
        assert not bulk.done()
        bulk.cancel()
    assert isinstance(ended, PaymentLinkSession)


async def test_a_place_that_was_not_used_goes_to_who_waits(
    connect: Connect, order: PaymentLinkSessionRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a call turns out not to have sent anything, the next one goes without waiting."""
    loop, clock = asyncio.get_running_loop(), StandingClock()
    resolve, looked_up, go_on = loop.getaddrinfo, asyncio.Event(), asyncio.Event()

    async def fail_once(*args: Any, **options: Any) -> Any:
        if looked_up.is_set():
            return await resolve(*args, **options)
        looked_up.set()
        await go_on.wait()
        raise OSError("no such host")

    monkeypatch.setattr(loop, "getaddrinfo", fail_once)
    store, once = MemoryStore(now=clock.monotonic), RetryPolicy(max_retries=0)
    async with FaultServer.playing(serve) as server:
        client = connect(server, clock=clock, store=store, rate_limit=RateLimit(1, 60))
        unsent = asyncio.create_task(attempt(client, order, "unsent", timeout=600, retry=once))
        await asyncio.wait_for(looked_up.wait(), 10)
        waiting = asyncio.create_task(attempt(client, order, "waiting", timeout=600))
        await clock.move(0)
        go_on.set()
        ended = await asyncio.wait_for(asyncio.gather(unsent, waiting), 10)
    assert [type(one) for one in ended] == [NotSentError, PaymentLinkSession]


async def test_bulk_leaves_a_reserve() -> None:
    """Bulk fills nine of ten places; a payer gets the tenth at once."""
    waiting, clock = line(10)
    for number in range(9):
        await acquire(waiting, f"b{number}", Lane.BULK, 1.0, clock.monotonic() + 1)
    with pytest.raises(NoSlotError):
        await acquire(waiting, "b9", Lane.BULK, 1.0, clock.monotonic() + 1)
    await acquire(waiting, "payer", Lane.INTERACTIVE, 1.0, clock.monotonic() + 1)


async def test_one_asks_for_all() -> None:
    """A thousand waiting callers ask the store about once each, or twice at a pace."""
    store = CountingStore()
    waiting, _ = line(50, store=store)

    async def come(number: int) -> None:
        slot = await acquire(waiting, f"t{number}", Lane.BULK, 1.0, 1e9)
        await waiting.release(slot, sent=True)

    await asyncio.gather(*(come(number) for number in range(1000)))
    assert store.asked < 2100


async def test_giving_up_gives_the_place_back() -> None:
    """Callers cancelled while they wait leave no place taken."""
    store = MemoryStore()
    waiting, clock = line(5, per=0.2, store=store)
    waiting._clock = clock
    waits = [acquire(waiting, f"t{n}", Lane.BULK, 1.0, 1e9) for n in range(100)]
    tasks = [asyncio.create_task(wait) for wait in waits]
    await asyncio.sleep(0)
    for task in tasks[4:]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0.01)
    held = [slot for slot in store._windows["w"].slots.values() if slot.held]
    assert len(held) <= 4


class Distant(MemoryStore):
    """A store beyond a wire: what it does is done, but the answer takes a while."""

    shared = True
    full = False
    """Whether there is no place but for one who has no time."""

    async def enter(self, *args: Any, **options: Any) -> float:
        wait = 1e6 if self.full else await super().enter(*args, **options)
        await asyncio.sleep(0 if self.full else 0.05)
        return wait

    async def force(self, *args: Any) -> bool:
        admitted = await super().force(*args)
        await asyncio.sleep(0.05)
        return admitted


@pytest.mark.parametrize("full", [False, True], ids=["enter", "force"])
async def test_a_place_that_came_too_late_goes_back(*, full: bool) -> None:
    """One who is cancelled before a distant store answers leaves no place taken."""
    store = Distant()
    store.full = full
    waiting, clock = line(5, store=store)
    deadline = clock.monotonic() + 10
    task = asyncio.create_task(acquire(waiting, "t", Lane.INTERACTIVE, 1.0, deadline))
    await asyncio.sleep(0.02)
    task.cancel()
    assert len(store._windows["w"].slots) == 1
    await asyncio.wait({task})
    await asyncio.sleep(0.01)
    assert not store._windows["w"].slots


async def test_closing_ends_the_waiting(
    emulator: Emulator, order: PaymentLinkSessionRequest
) -> None:
    """Closing the client ends calls that wait for the window: nothing was sent."""
    frame = FrameClient(
        emulator.api_key,
        base_url=emulator.base_url,
        rate_limit=RateLimit(1, 30),
        store=MemoryStore(),
        timeout=60,
    )
    await attempt(frame, order, "first")
    waiting = asyncio.create_task(attempt(frame, order, "waiting"))
    await asyncio.sleep(0.05)
    await frame.aclose()
    ended = await asyncio.wait_for(waiting, 30)
    assert type(ended) is NotSentError
    assert "the client was closed" in str(ended)


async def test_a_store_that_fails_turns_everyone_away() -> None:
    """When the store can't answer, all who wait hear it at once."""

    class Failing(MemoryStore):
        broken = False

        async def enter(self, *args: Any, **options: Any) -> float:
            if self.broken:
                raise StoreError("gone")
            return await super().enter(*args, **options)

    store = Failing()
    waiting, _ = line(1, store=store)
    await acquire(waiting, "first", Lane.BULK, 1.0, 1e9)
    tasks = [asyncio.create_task(acquire(waiting, f"t{n}", Lane.BULK, 1.0, 1e9)) for n in range(50)]
    await asyncio.sleep(0)
    store.broken = True
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(one, StoreError) for one in ended)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [("throttle", RateLimitedError), ("create_and_fail", OutcomeUnknownError)],
)
@pytest.mark.parametrize("limit", [None, RateLimit(5, 60)])
async def test_closing_ends_a_sleep_before_a_retry(
    emulator: Emulator,
    order: PaymentLinkSessionRequest,
    fault: str,
    expected: type[Exception],
    limit: RateLimit | None,
) -> None:
    """Closing the client ends a call that sleeps before a retry, with what is known by then."""
    emulator.add_fault(fault, times=1)
    frame = FrameClient(
        emulator.api_key,
        base_url=emulator.base_url,
        rate_limit=limit,
        store=MemoryStore(),
        retry=RetryPolicy(backoff=25, jitter=0),
        timeout=60,
    )
    sleeping = asyncio.create_task(attempt(frame, order, "sleeping"))
    async with asyncio.timeout(20):
        await asyncio.sleep(0.5)
        assert len(emulator.ledger) == 1
        await frame.aclose()
        ended = await sleeping
    assert type(ended) is expected
    assert "gave up because the client was closed" in str(ended)
    assert len(ended.call.attempts) == 1
