"""Clients on each kind of store: what the store remembers is what a call makes of it."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from support.faults import FaultServer, Wire, framed
from support.servers import (
    new_postgres,
    new_valkey,
    open_postgres,
    open_redis,
    postgres_url,
    redis_url,
)
from support.slots import acquire
from support.stores import BACKENDS, store_url

from frame_async import FrameClient, Lane, PaymentLinkSessionRequest, RateLimit
from frame_async.emulator import Emulator
from frame_async.engine.clock import SystemClock
from frame_async.engine.limiter import RateLimiter, Slot
from frame_async.engine.naps import NoSlotError
from frame_async.errors import CallInFlightError, StoreError
from frame_async.stores import Store, Window

KEY = "order-42"


@pytest.fixture
def store(kind: str, address: str) -> str:
    """What a client is given, for an empty store."""
    return store_url(kind, address) if address else "memory://"


@pytest.fixture
def shared_store(shared_kind: str, shared_address: str) -> str:
    """The same, where several processes can use it."""
    return store_url(shared_kind, shared_address)


async def test_what_was_learned_refuses_no_call(
    order: PaymentLinkSessionRequest, store: str
) -> None:
    """After a 429 of a stricter server, a call with a deadline tries again on its schedule."""
    async with (
        Emulator(port=0, limit=1, period=1.0) as emulator,
        FrameClient(emulator.api_key, base_url=emulator.base_url, store=store) as frame,
    ):
        await frame.payment_link_sessions.create(order)
        second = await frame.payment_link_sessions.create(order)
        third = await frame.payment_link_sessions.create(order)
    assert [a.status for a in second.call.attempts] == [429, 201]
    assert third.call.attempts[-1].status == 201


async def test_a_crowd_asks_one_by_one(kind: str, address: str) -> None:
    """Two thousand who come at once get what there is; the others hear at once, of few asks."""
    store = BACKENDS[kind].open(address, None)
    asked, enter = count(1), store.enter
    most = 0

    async def counted(*arguments: Any, **options: Any) -> float:
        nonlocal most
        most = next(asked)
        return await enter(*arguments, **options)

    store.enter = counted  # type: ignore[method-assign]
    limiter = RateLimiter(store, Window("w", RateLimit(30)), SystemClock())
    deadline = time.monotonic() + 50
    crowd = (acquire(limiter, f"t{n}", Lane.INTERACTIVE, 1.0, deadline) for n in range(2000))
    ended = await asyncio.gather(*crowd, return_exceptions=True)
    limiter.close()
    assert sum(isinstance(one, Slot) for one in ended) == 30
    assert all(isinstance(one, NoSlotError) for one in ended if not isinstance(one, Slot))
    assert time.monotonic() < deadline, "they heard it when it was too late anyway"
    assert most < 300 or not store.shared
    await store.aclose()


async def slowly(wire: Wire) -> None:
    """Serve, a while after the request came."""
    while await wire.read_request():
        await asyncio.sleep(0.5)
        await wire.send(framed(wire.create()))


async def test_another_process_waits_for_the_flight(
    order: PaymentLinkSessionRequest, shared_store: str
) -> None:
    """Whoever asks elsewhere for a key in flight gets its session, or hears at its deadline."""
    async with (
        FaultServer.playing(slowly) as server,
        FrameClient("sk_sandbox_1", base_url=server.url, store=shared_store) as here,
        FrameClient("sk_sandbox_1", base_url=server.url, store=shared_store) as there,
    ):
        create = there.payment_link_sessions.create
        flying = asyncio.create_task(here.payment_link_sessions.create(order, idempotency_key=KEY))
        while not server.ledger:  # noqa: ASYNC110  # the server has no event for it
            await asyncio.sleep(0.01)
        with pytest.raises(CallInFlightError):
            await create(order, idempotency_key=KEY, timeout=0.2)
        waited = await create(order, idempotency_key=KEY, timeout=30)
        assert waited.id == (await flying).id
        assert waited.call.replayed
        assert len(server.created) == 1


def foreign(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()


def corrupt(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\x00" + b"\xff" * 4096)


def folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("spoil", [foreign, corrupt, folder])
async def test_a_spoilt_file_stops_the_call(
    emulator: Emulator,
    order: PaymentLinkSessionRequest,
    tmp_path: Path,
    spoil: Callable[[Path], None],
) -> None:
    """A file that can't be used stops the call before anything is sent, by the file's name."""
    path = tmp_path / "store.sqlite"
    spoil(path)
    async with FrameClient(
        emulator.api_key, base_url=emulator.base_url, store=f"sqlite:///{path}"
    ) as frame:
        for key in (KEY, None):  # by the key, and by the rate window alone
            with pytest.raises(StoreError, match="store"):
                await frame.payment_link_sessions.create(order, idempotency_key=key)
    assert not emulator.ledger


@pytest.fixture(params=["redis", "postgres"])
async def hung(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    """A store on a server that answered once, and now hangs."""
    redis = request.param == "redis"
    server = new_valkey() if redis else new_postgres()
    url = redis_url(server) if redis else postgres_url(server)
    warm, store = ((open_redis if redis else open_postgres)(url, seconds) for seconds in (10, 0.4))
    await warm.claim("before", "a=1", 60)
    await warm.aclose()
    server.freeze()
    yield store
    server.thaw()
    await store.aclose()
    server.stop()


async def test_a_hung_server_hangs_no_call(
    emulator: Emulator, order: PaymentLinkSessionRequest, hung: Store
) -> None:
    """A call whose store hangs ends, and nothing was sent; or goes on and admits it."""
    url, key = emulator.base_url, emulator.api_key
    async with FrameClient(key, base_url=url, store=hung) as frame:
        with pytest.raises(StoreError, match="nothing was sent"):
            await frame.payment_link_sessions.create(order, idempotency_key=KEY, timeout=60)
        assert not emulator.ledger
    async with FrameClient(key, base_url=url, store=hung, on_store_error="proceed") as frame:
        session = await frame.payment_link_sessions.create(order, idempotency_key=KEY, timeout=60)
    assert "can't answer" in session.call.store_error
    assert len(emulator.ledger) == 1


async def test_proceeding_without_a_window(
    emulator: Emulator, order: PaymentLinkSessionRequest, tmp_path: Path
) -> None:
    """With "proceed" a call without a key goes on too, and says once what the store couldn't do."""
    path = tmp_path / "store.sqlite"
    foreign(path)
    async with FrameClient(
        emulator.api_key,
        base_url=emulator.base_url,
        store=f"sqlite:///{path}",
        on_store_error="proceed",
    ) as frame:
        for key in (None, KEY):
            session = await frame.payment_link_sessions.create(order, idempotency_key=key)
            assert session.call.store_error.count("belongs to another application") == 1
    assert len(emulator.ledger) == 2
