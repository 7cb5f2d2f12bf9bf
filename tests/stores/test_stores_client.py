"""Clients on each kind of store: what the store remembers is what a call makes of it."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from support.faults import FaultServer, Wire, framed
from support.servers import Server, new_postgres, new_valkey, postgres_url, redis_url
from support.stores import store_url

from frame_async import FrameClient, PaymentLinkSession, PaymentLinkSessionRequest
from frame_async.emulator import Emulator
from frame_async.errors import CallInFlightError, StoreError

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
def own(request: pytest.FixtureRequest) -> Iterator[tuple[Server, str]]:
    """A server that nobody else uses, and its URL."""
    redis = request.param == "redis"
    server = new_valkey() if redis else new_postgres()
    yield server, (redis_url(server) if redis else postgres_url(server))
    server.stop()


@pytest.fixture
async def hung(
    own: tuple[Server, str], emulator: Emulator, order: PaymentLinkSessionRequest
) -> AsyncIterator[str]:
    """The URL of a store that answered once, and now hangs."""
    server, url = own
    async with FrameClient(emulator.api_key, base_url=emulator.base_url, store=url) as frame:
        await frame.payment_link_sessions.create(order, idempotency_key="before")
    server.freeze()
    yield url
    server.thaw()


async def test_a_hung_server_hangs_no_call(
    emulator: Emulator, order: PaymentLinkSessionRequest, hung: str
) -> None:
    """A call whose store hangs ends, and nothing was sent; or goes on and admits it."""
    seen = len(emulator.ledger)
    async with FrameClient(emulator.api_key, base_url=emulator.base_url, store=hung) as frame:
        with pytest.raises(StoreError, match="nothing was sent"):
            await frame.payment_link_sessions.create(order, idempotency_key=KEY, timeout=60)
        assert len(emulator.ledger) == seen
    async with FrameClient(
        emulator.api_key,
        base_url=emulator.base_url,
        store=hung,
        rate_limit=None,
        on_store_error="proceed",
    ) as frame:
        session = await frame.payment_link_sessions.create(order, idempotency_key=KEY, timeout=60)
    assert isinstance(session, PaymentLinkSession)
    assert session.call.store_error
    assert len(emulator.ledger) == seen + 1
