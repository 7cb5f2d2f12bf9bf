"""Clients of many merchants: one for each key, over shared connections."""

import asyncio
import traceback
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
from support.certificates import presenting, trusting
from support.faults import FaultServer, serve
from support.shown import shows

from frame_async import FrameClients, PaymentLinkSessionRequest, RateLimit, RetryPolicy
from frame_async.emulator import Emulator
from frame_async.errors import (
    ClientClosedError,
    ConfigurationError,
    EventLoopError,
    NotSentError,
    WindowFullError,
)
from frame_async.stores import MemoryStore

ONE, OTHER = "sk_sandbox_merchant_1", "sk_sandbox_merchant_2"


def connect(address: str, **options: Any) -> FrameClients:
    return FrameClients(base_url=address, **({"store": MemoryStore()} | options))


async def test_each_key_has_its_client(emulator: Emulator) -> None:
    """A key has one client, and another key another one, with a mode of its own."""
    async with connect(emulator.base_url) as clients:
        first = await clients.of(ONE)
        assert await clients.of(ONE) is first
        assert await clients.of(OTHER) is not first
        assert (await clients.of("sk_production_1234567")).mode == "live"
        assert repr(clients) == "<FrameClients of 3 merchants, open>"
    assert repr(clients) == "<FrameClients of 0 merchants, closed>"


async def test_merchants_share_nothing_of_theirs(
    emulator: Emulator, order: PaymentLinkSessionRequest
) -> None:
    """Neither a rate window nor an idempotency key of one merchant is another's."""
    async with connect(emulator.base_url, rate_limit=RateLimit(1, per=60)) as clients:
        one, other = await clients.of(ONE), await clients.of(OTHER)
        made = [
            await client.payment_link_sessions.create(order, idempotency_key="order-1")
            for client in (one, other, one)
        ]
        with pytest.raises(WindowFullError):
            await one.payment_link_sessions.create(order, timeout=1.0)
    assert made[0].id == made[2].id != made[1].id
    assert [entry.key_suffix for entry in emulator.ledger] == ["nt_1", "nt_2"]


async def test_connections_are_shared(order: PaymentLinkSessionRequest) -> None:
    """Fifty merchants at a time make no more connections than were allowed; all get through."""
    authority = trustme.CA()
    tls = presenting(authority.issue_cert("localhost"))
    async with (
        FaultServer.playing(serve, tls=tls) as server,
        connect(server.url, tls=trusting(authority), max_connections=3) as clients,
    ):
        merchants = [await clients.of(f"{ONE}{number}") for number in range(50)]
        calls = (merchant.payment_link_sessions.create(order) for merchant in merchants)
        sessions = await asyncio.gather(*calls)
    assert len({session.id for session in sessions}) == 50
    assert sum(session.call.attempts[0].reused is False for session in sessions) <= 3


async def test_the_least_recently_used_is_let_go_of(
    emulator: Emulator, order: PaymentLinkSessionRequest
) -> None:
    """No more clients are kept than were allowed, and one that was let go of still works."""
    async with connect(emulator.base_url, at_most=2) as clients:
        first = await clients.of(ONE)
        second = await clients.of(OTHER)
        assert await clients.of(ONE) is first
        await clients.of("sk_sandbox_merchant_3")
        assert len(clients) == 2
        assert (await second.payment_link_sessions.create(order)).id
        assert await clients.of(ONE) is first
        assert await clients.of(OTHER) is not second


async def test_a_session_of_ones_own(emulator: Emulator, order: PaymentLinkSessionRequest) -> None:
    """With `http`, calls go over that session, which stays open."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        async with connect(emulator.base_url, http=session) as clients:
            assert (await (await clients.of(ONE)).payment_link_sessions.create(order)).id
        assert not session.closed


async def test_after_the_end(
    emulator: Emulator, order: PaymentLinkSessionRequest, tmp_path: Path
) -> None:
    """When all are closed, neither a new client nor an old one can be used."""
    clients = connect(emulator.base_url, store=f"sqlite:///{tmp_path}/store")
    client = await clients.of(ONE)
    await client.payment_link_sessions.create(order, idempotency_key="order-1")
    await clients.aclose()
    await clients.aclose()
    with pytest.raises(ClientClosedError):
        await client.payment_link_sessions.create(order)
    with pytest.raises(ClientClosedError, match="make another one"):
        await clients.of(ONE)


@pytest.mark.frame_network
async def test_a_proxy_that_is_not_used_is_named(
    order: PaymentLinkSessionRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is no connection, the proxy's variable is named, as by a client of its own."""
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://user:h1dden-word@proxy.example:1")
    clients = connect("https://frame.invalid", retry=RetryPolicy(max_retries=0))
    with pytest.raises(NotSentError, match="HTTPS_PROXY is set, and not used"):
        await (await clients.of(ONE)).payment_link_sessions.create(order)
    await clients.aclose()


def test_another_event_loop(order: PaymentLinkSessionRequest) -> None:
    """They go on on the next event loop when the first has ended, and not beside it."""
    clients: FrameClients | None = None

    async def use(*, beside: bool) -> None:
        nonlocal clients
        async with Emulator(port=0) as emulator:
            clients = clients or connect(emulator.base_url)
            if beside:
                await clients.of(ONE)
                with pytest.raises(EventLoopError):
                    await asyncio.to_thread(asyncio.run, clients.of(ONE))
            else:
                client = await clients.of(ONE)
                assert not client.closed

    asyncio.run(use(beside=True))
    asyncio.run(use(beside=False))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"at_most": 0}, "at_most must be an integer, 1 or more"),
        ({"max_connections": True}, "max_connections must be"),
        ({"api_key": ONE}, "api_key can't be given for all merchants"),
        ({"base_url": "http://shop.example"}, "http:// is for loopback"),
        ({"store": "nosql://x"}, "store"),
    ],
)
def test_bad_options(options: dict[str, Any], says: str) -> None:
    """What can't be used is refused by name when they are made, and no key shows."""
    with pytest.raises(ConfigurationError, match=says) as caught:
        FrameClients(**options)
    assert ONE not in shown(caught.value)


@pytest.mark.parametrize("key", ["pk_sandbox_VeRySeCrEt", "whsec_VeRySeCrEt", 7, None, ""])
async def test_bad_keys(emulator: Emulator, key: Any) -> None:
    """A key that can't be one is refused, in no case taken from the environment, nor shown."""
    async with connect(emulator.base_url) as clients:
        with pytest.raises(ConfigurationError) as caught:
            await clients.of(key)
    assert not shows(shown(caught.value), "VeRySeCrEt")


def shown(error: Exception) -> str:
    """What an error and the library's own frames show, with variables."""
    trace = traceback.TracebackException.from_exception(error, capture_locals=True)
    ours = [str(each.locals) for each in trace.stack if "/frame_async/" in each.filename]
    return "".join(ours) + str(error)
