"""Places in the window that are taken before there is work for them."""

from secrets import token_hex
from typing import Any

import pytest
from attrs import define

from frame_async import FrameClient, LineItem, PaymentLinkSessionRequest
from frame_async.bulk.permits import FRESH, PermitStore
from frame_async.emulator import Emulator
from frame_async.errors import WindowFullError
from frame_async.protocol.window import Lane, RateLimit
from frame_async.stores import Claimed, InFlight, MemoryStore, Window

WINDOW = Window("w", RateLimit(5, 10.0))
"""Of which the bulk lane has four places."""
REQUEST = PaymentLinkSessionRequest(line_items=[LineItem(product="prod_1")])


@define
class ManualClock:
    """Time that goes on when it is told to."""

    now: float = 1_000.0

    def monotonic(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def stores(clock: ManualClock) -> tuple[MemoryStore, PermitStore]:
    """A store, and the one that lays places of it ready."""
    store = MemoryStore(now=clock.monotonic)
    return store, PermitStore(store, now=clock.monotonic)


async def places_left(store: MemoryStore) -> int:
    """How many places the bulk lane has left; it has none afterwards."""
    left = 0
    while await store.enter(WINDOW, token_hex(8), Lane.BULK, 1.0) == 0:
        left += 1
    return left


async def test_a_call_finds_the_place_that_was_taken_for_it(clock: ManualClock) -> None:
    """The place that lies ready is the one the call uses: one in the window, and not two."""
    store, permits = stores(clock)
    assert await permits.take(WINDOW, 16.0) == 0
    assert permits.ready == 1
    assert await permits.enter(WINDOW, "call", Lane.BULK, 16.0) == 0
    assert permits.ready == 0
    assert await places_left(store) == 3
    await permits.leave(WINDOW, "call", sent=False)
    assert await places_left(store) == 1


async def test_without_a_place_nobody_waits(clock: ManualClock) -> None:
    """A full window says when there is a place, and tells a call that it need not wait."""
    store, permits = stores(clock)
    assert await places_left(store) == 4
    wait = await permits.take(WINDOW, 16.0)
    assert 0 < wait <= 20
    assert permits.fits_in == pytest.approx(wait)
    assert await permits.enter(WINDOW, "call", Lane.BULK, 16.0) > 1e6
    assert await permits.force(WINDOW, "call", Lane.BULK, 16.0) is False
    assert permits.fits_in == pytest.approx(wait)


async def test_the_soonest_time_that_was_told_counts(clock: ManualClock) -> None:
    """A store that tells each who asks another time is asked at the first of them."""
    told = iter([2.0, 9.0, 9.0, 4.0])

    class Telling(MemoryStore):
        async def enter(self, *_: Any, **__: Any) -> float:
            return next(told)

    permits = PermitStore(Telling(), now=clock.monotonic)
    assert await permits.take(WINDOW, 16.0) == pytest.approx(2.0)
    assert await permits.take(WINDOW, 16.0) == pytest.approx(2.0)
    clock.advance(2.0)
    assert await permits.take(WINDOW, 16.0) == pytest.approx(9.0)
    assert await permits.take(WINDOW, 16.0) == pytest.approx(4.0)


async def test_a_place_that_lay_too_long_is_not_used(clock: ManualClock) -> None:
    """Its hold counts from when it was taken, so after a while another one is asked for."""
    store, permits = stores(clock)
    await permits.take(WINDOW, 16.0)
    clock.advance(FRESH)
    assert await permits.enter(WINDOW, "call", Lane.BULK, 16.0) == 0
    assert permits.ready == 0
    assert await places_left(store) == 3


async def test_what_is_not_used_goes_back(clock: ManualClock) -> None:
    """A place that is given back is free at once, on closing as well."""
    store, permits = stores(clock)
    for seconds in (0, 1, 2):  # at the pace of bulk
        clock.advance(seconds)
        assert await permits.take(WINDOW, 16.0) == 0
    await permits.give_back()
    await permits.aclose()
    await permits.give_back()  # there is none: nothing happens
    assert await places_left(store) == 4


async def test_who_waits_for_another_claim_keeps_no_place(clock: ManualClock) -> None:
    """A claim in flight may take a while, and others could use the place meanwhile."""
    store, permits = stores(clock)
    assert isinstance(await permits.claim("key", "f", 30.0), Claimed)
    await permits.take(WINDOW, 16.0)
    assert isinstance(await permits.claim("key", "f", 30.0), InFlight)
    assert permits.ready == 0
    assert await places_left(store) == 4


async def test_a_refusal_pauses_everyone(clock: ManualClock) -> None:
    """A 429 to a request with such a place reaches the window."""
    store, permits = stores(clock)
    await permits.take(WINDOW, 16.0)
    await permits.enter(WINDOW, "call", Lane.BULK, 16.0)
    await permits.refuse(WINDOW, "call", 3.0)
    assert 0 < await store.enter(WINDOW, "other", Lane.INTERACTIVE, 16.0) <= 3


async def test_a_client_ends_calls_that_find_no_place() -> None:
    """With places for two, three calls make two sessions, and the third ends at once."""
    async with Emulator(limit=None) as emulator:
        store = PermitStore(MemoryStore())
        async with FrameClient(
            emulator.api_key,
            base_url=emulator.base_url,
            store=store,
            rate_limit=RateLimit(2, 3600.0),
        ) as frame:
            create = frame.payment_link_sessions.create
            more: dict[str, Any] = {"timeout": 3600.0}
            await create(REQUEST, **more)
            await create(REQUEST, **more)
            with pytest.raises(WindowFullError):
                await create(REQUEST, **more)
        assert 0 < store.fits_in <= 3700
        assert len(emulator.created()) == 2
