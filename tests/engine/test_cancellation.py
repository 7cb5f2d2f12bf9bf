"""Cancellation passes at once, keeps the books, and leaves nothing behind."""

import asyncio
import gc
import logging
import os
import random
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from support.clients import Connect, attempt
from support.faults import FaultServer, Wire, answer, framed, hang, refusal, serve

from frame_async import (
    Attempt,
    Call,
    CallError,
    NotSentError,
    Outcome,
    OutcomeUnknownError,
    PaymentLinkSession,
    RateLimit,
    RetryPolicy,
)
from frame_async import PaymentLinkSessionRequest as Request
from frame_async.errors import ClientClosedError, WindowFullError
from frame_async.observers import Observer
from frame_async.stores import MemoryStore


class Books(Observer):
    """Keeps every record."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.attempts: list[Attempt] = []

    def attempt_ended(self, key: str, number: int, attempt: Attempt) -> None:
        self.attempts.append(attempt)

    def call_ended(self, call: Call) -> None:
        self.calls.append(call)


async def arrived(server: FaultServer, requests: int) -> None:
    """Wait until so many requests have arrived."""
    async with asyncio.timeout(30):
        while len(server.ledger) < requests:  # noqa: ASYNC110  # the server has no event
            await asyncio.sleep(0.005)


async def cancelled_after(seconds: float, task: "asyncio.Task[object]") -> None:
    """Cancel a task after a while; it must end at once, whatever it waits for."""
    await asyncio.sleep(seconds)
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=30)
    assert done
    assert task.cancelled()


async def test_cancelled_while_the_server_works(connect: Connect, order: Request) -> None:
    """Cancelled after sending: passes at once, is not retried, and the record says unknown."""
    books = Books()
    async with FaultServer.playing(hang) as server:
        client = connect(server, observers=[books], attempt_timeout=500, timeout=1_000)
        task = asyncio.create_task(attempt(client, order))
        await arrived(server, 1)
        await cancelled_after(0, task)
        await asyncio.sleep(0.05)
    assert len(server.ledger) == 1
    (call,) = books.calls
    assert call.cancelled
    assert call.outcome is Outcome.UNKNOWN
    assert call.possible_duplicates == 1
    assert [a.reason for a in call.attempts] == ["cancelled"]


@pytest.mark.parametrize("how", ["cancelled", "timed out", "broken"])
async def test_a_request_without_an_answer_keeps_its_place(
    connect: Connect, order: Request, how: str
) -> None:
    """It may still arrive, so its place is free a period after that, not after it was given up."""

    async def silent(wire: Wire) -> None:
        await wire.read_request()
        if how != "broken":
            await asyncio.sleep(10)

    once = RetryPolicy(max_retries=0)
    async with FaultServer.playing(silent) as server:
        client = connect(server, rate_limit=RateLimit(1, per=0.1), attempt_timeout=0.5, clock=None)
        task = asyncio.create_task(attempt(client, order, retry=once))
        if how == "cancelled":
            await arrived(server, 1)
            await cancelled_after(0, task)
        else:
            assert type(await task) is OutcomeUnknownError
        ended = await attempt(client, order, "next", timeout=0.6, retry=once)
    assert type(ended) is WindowFullError


async def test_cancelled_at_the_gate(connect: Connect, order: Request) -> None:
    """Cancelled while waiting for a connection slot: certainly nothing was sent."""
    books = Books()
    async with FaultServer.playing(hang) as server:
        client = connect(server, max_in_flight=1, observers=[books])
        busy = asyncio.create_task(attempt(client, order, "busy"))
        await arrived(server, 1)
        await cancelled_after(0.05, asyncio.create_task(attempt(client, order, "waiting")))
        await cancelled_after(0, busy)
    waiting = next(call for call in books.calls if call.idempotency_key == "waiting")
    assert waiting.outcome is Outcome.NOT_SENT
    assert waiting.cancelled


async def test_cancelled_the_moment_that_all_was_read(
    connect: Connect, order: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection with a complete answer is back in the pool, and stays there."""
    tasks: list[asyncio.Task[object]] = []
    feed_eof = aiohttp.StreamReader.feed_eof

    def feed_eof_and_cancel(reader: aiohttp.StreamReader) -> None:
        feed_eof(reader)
        if tasks:
            tasks.pop().cancel()

    async def in_two_pieces(wire: Wire) -> None:
        while await wire.read_request():
            said = framed(wire.create())
            await wire.send(said[:-10])
            await asyncio.sleep(0.05)
            await wire.send(said[-10:])

    async with FaultServer.playing(in_two_pieces) as server:
        client = connect(server)
        monkeypatch.setattr(aiohttp.StreamReader, "feed_eof", feed_eof_and_cancel)
        tasks.append(asyncio.create_task(attempt(client, order, "cancelled")))
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        ended = await attempt(client, order, "next")
    assert isinstance(ended, PaymentLinkSession)
    assert [a.reused for a in ended.call.attempts] == [True]


async def test_cancelled_while_the_body_is_read(connect: Connect, order: Request) -> None:
    """Cancelled after a 2xx was seen: the record knows that the session exists."""
    books = Books()

    async def half(wire: Wire) -> None:
        await wire.read_request()
        await wire.send(framed(wire.create())[:-10])
        await asyncio.sleep(10)

    async with FaultServer.playing(half) as server:
        client = connect(server, observers=[books])
        task = asyncio.create_task(attempt(client, order))
        await arrived(server, 1)
        await cancelled_after(0.1, task)
    assert books.calls[0].outcome is Outcome.CREATED


async def test_cancelled_while_it_sleeps(connect: Connect, order: Request) -> None:
    """Cancelled between two attempts: the record has the first, and there is no second."""
    books = Books()
    async with FaultServer.playing(answer(*[refusal("503 No")] * 3)) as server:
        client = connect(server, clock=None, observers=[books])
        task = asyncio.create_task(attempt(client, order))
        await arrived(server, 1)
        await cancelled_after(0.1, task)
    assert len(server.ledger) == 1
    assert [a.outcome for a in books.calls[0].attempts] == [Outcome.UNKNOWN]
    assert books.calls[0].cancelled


async def test_a_timeout_of_the_callers_own(connect: Connect, order: Request) -> None:
    """asyncio.timeout around a call works: its TimeoutError is the caller's, not ours."""
    async with FaultServer.playing(hang) as server:
        client = connect(server)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await client.payment_link_sessions.create(order)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.payment_link_sessions.create(order), 0.1)


@pytest.mark.parametrize("after", [0.0, 0.505], ids=["before", "after"])
async def test_cancelled_the_moment_that_time_is_up(
    connect: Connect, order: Request, after: float
) -> None:
    """When a timeout and the caller's cancellation meet, the cancellation is not swallowed."""
    once = RetryPolicy(max_retries=0)
    async with FaultServer.playing(hang) as server:
        client = connect(server, attempt_timeout=0.5)
        task = asyncio.create_task(attempt(client, order, retry=once))
        while not server.ledger and not task.done():  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0)
        heard: list[bool] = []
        loop = asyncio.get_running_loop()
        loop.call_later(after, lambda: heard.append(task.cancel()))
        time.sleep(0.51)  # so that both are due when the loop looks again
        await asyncio.gather(task, return_exceptions=True)
    assert [task.cancelled()] == heard


async def test_closing_ends_calls_in_flight(connect: Connect, order: Request) -> None:
    """Closing the client turns calls in flight into true errors, not into cancellation."""
    async with FaultServer.playing(hang) as server:
        client = connect(server, max_in_flight=2)
        calls = [asyncio.create_task(attempt(client, order, f"k{n}")) for n in range(4)]
        await arrived(server, 2)
        await client.aclose()
        ended = await asyncio.wait_for(asyncio.gather(*calls), 30)
    assert [type(e) for e in ended] == [OutcomeUnknownError] * 2 + [NotSentError] * 2
    assert all("the client was closed" in str(e) for e in ended)
    with pytest.raises(ClientClosedError):
        await attempt(client, order)


@pytest.mark.frame_network
async def test_closing_while_connecting(
    connect: Connect, order: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A CancelledError that nobody asked for, as when a resolver is closed, becomes ours."""
    loop = asyncio.get_running_loop()

    async def never(*_: object, **__: object) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(loop, "getaddrinfo", never)
    client = connect("https://frame.example")
    task = asyncio.create_task(attempt(client, order))
    await asyncio.sleep(0.05)
    await client.aclose()
    ended = await asyncio.wait_for(task, 30)
    assert isinstance(ended, NotSentError)
    assert "the client was closed" in str(ended)


async def test_cancellation_shows_no_secret(connect: Connect, order: Request) -> None:
    """The traceback of a cancelled call has no frame of aiohttp, whose variables hold the key."""
    async with FaultServer.playing(hang) as server:
        client = connect(server)
        task = asyncio.create_task(client.payment_link_sessions.create(order))
        await arrived(server, 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
    trace, files = caught.value.__traceback__, []
    while trace is not None:
        files.append(trace.tb_frame.f_code.co_filename)
        trace = trace.tb_next
    assert not any("aiohttp" in file for file in files)
    assert caught.value.__context__ is None


def descriptors() -> int:
    """How many files and sockets this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts sockets in /proc")
async def test_cancellations_leave_nothing_behind(
    connect: Connect, order: Request, caplog: pytest.LogCaptureFixture
) -> None:
    """Calls cancelled at random moments leave no socket, task or gate slot.

    FRAME_SOAK_CALLS says how many, a thousand unless told.
    """
    calls_of_all = int(os.environ.get("FRAME_SOAK_CALLS", "1000"))
    caplog.set_level(logging.CRITICAL, "frame_async")
    chance = random.Random(20261123)

    async def slowly(wire: Wire) -> None:
        while await wire.read_request():
            await asyncio.sleep(chance.random() * 0.004)
            await wire.send(framed(wire.create()))

    async with FaultServer.playing(slowly) as server:
        client = connect(server, max_in_flight=20)
        await attempt(client, order)
        tasks_before, sockets_before = len(asyncio.all_tasks()), descriptors()
        ended = 0
        for batch in range(calls_of_all // 100):
            calls = [
                asyncio.create_task(attempt(client, order, f"{batch}-{number}"))
                for number in range(100)
            ]
            for call in calls[10:]:  # a tenth may end, however busy the machine is
                asyncio.get_running_loop().call_later(chance.random() * 0.15, call.cancel)
            results = await asyncio.gather(*calls, return_exceptions=True)
            assert not [r for r in results if isinstance(r, CallError)]
            ended += sum(not isinstance(r, asyncio.CancelledError) for r in results)
        assert 0 < ended < 0.99 * calls_of_all
        gate = client._http._opened.gate  # type: ignore[union-attr]
        assert gate._value == 20
        last = await asyncio.gather(*(attempt(client, order, f"l{n}") for n in range(20)))
        assert all(call.call.outcome is Outcome.CREATED for call in last)
        await client.aclose()
        await asyncio.sleep(0.1)
        gc.collect()
        assert len(asyncio.all_tasks()) <= tasks_before
        assert descriptors() <= sockets_before


async def test_serving_still_works(connect: Connect, order: Request) -> None:
    """A client that saw a cancelled call serves the next one."""
    async with FaultServer.playing(hang, serve) as server:
        client = connect(server)
        task = asyncio.create_task(attempt(client, order))
        await arrived(server, 1)
        await cancelled_after(0, task)
        assert not isinstance(await attempt(client, order, "next"), CallError)


class Distant(MemoryStore):
    """A store beyond a wire: what it does is done, but the answer takes a while."""

    shared = True

    async def claim(self, *args: Any) -> Any:
        claimed = await super().claim(*args)
        await asyncio.sleep(0.05)
        return claimed


@pytest.mark.parametrize("doubts", [0, 1])
async def test_cancelled_while_the_store_claims_its_key(
    connect: Connect, order: Request, doubts: int
) -> None:
    """The key is at once what it was before: free, or in doubt."""
    store = Distant()
    async with FaultServer.playing(*([hang] * doubts), serve) as server:
        if doubts:
            once = RetryPolicy(max_retries=0)
            client = connect(server, store=store, retry=once, attempt_timeout=0.1)
            assert isinstance(await attempt(client, order, "key"), OutcomeUnknownError)
        client = connect(server, store=store, claim_lease=1_000, timeout=1_100)
        await cancelled_after(0.02, asyncio.create_task(attempt(client, order, "key")))
        async with asyncio.timeout(5):
            ended = await attempt(client, order, "key")
        await client.aclose()
    assert isinstance(ended, PaymentLinkSession)
    assert len(ended.call.attempts) == 1
    assert ended.call.possible_duplicates == doubts
