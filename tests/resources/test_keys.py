"""Idempotency that is real: one session for a key, whoever asks, however often."""

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.clients import Connect, attempt
from support.faults import FaultServer, answer, cut_answer, framed, hang, refusal, serve

from frame_async import (
    CallError,
    FrameClient,
    IdempotencyConflictError,
    LineItem,
    NotSentError,
    Outcome,
    OutcomeUnknownError,
    PaymentLinkSession,
    PaymentLinkSessionRequest,
    RateLimit,
    RequestRefusedError,
    RetryPolicy,
)
from frame_async.emulator import Emulator
from frame_async.errors import CallInFlightError, SessionUnreadableError, StoreError
from frame_async.models.payment_methods import Card
from frame_async.stores import MemoryStore
from frame_async.testing import VirtualClock

OTHER = PaymentLinkSessionRequest(line_items=[LineItem(product="prod_2")], expires_in=900)
RAISE = RetryPolicy(on_unknown="raise")


@pytest.fixture
def connect() -> Connect:
    """Make a client of a server, with a memory of its own and without a rate limit."""

    def make(server: FaultServer | Emulator | str, **options: Any) -> FrameClient:
        url = (
            server
            if isinstance(server, str)
            else server.url
            if isinstance(server, FaultServer)
            else server.base_url
        )
        options = {"rate_limit": None, "store": MemoryStore()} | options
        return FrameClient("sk_sandbox_test", base_url=url, **options)

    return make


async def test_the_same_key_again(
    connect: Connect, emulator: Emulator, order: PaymentLinkSessionRequest
) -> None:
    """The same key with the same request gives the stored session, without network."""
    async with connect(emulator) as frame:
        first = await frame.payment_link_sessions.create(order, idempotency_key="k")
        again = await frame.payment_link_sessions.create(order, idempotency_key="k")
    assert again == first
    assert not first.call.replayed
    assert again.call.replayed
    assert again.call.attempts == ()
    assert again.call.outcome is Outcome.CREATED
    assert len(emulator.ledger) == 1


async def test_clients_of_one_process_share_their_memory(
    emulator: Emulator, order: PaymentLinkSessionRequest
) -> None:
    """By default all clients of a process with the same key and address share one memory."""
    ids = set()
    for _ in range(2):
        async with FrameClient(emulator.api_key, base_url=emulator.base_url) as frame:
            session = await frame.payment_link_sessions.create(order, idempotency_key="k")
            ids.add(session.id)
    async with FrameClient("sk_sandbox_other", base_url=emulator.base_url) as frame:
        session = await frame.payment_link_sessions.create(order, idempotency_key="k")
        assert session.id not in ids
    assert len(ids) == 1


async def test_waiting_for_the_window_is_no_doubt(
    connect: Connect, emulator: Emulator, order: PaymentLinkSessionRequest, tmp_path: Path
) -> None:
    """A call that only waited for the window when its process died left its key as good as new."""
    url = f"sqlite:///{tmp_path}/store.db"
    one = RateLimit(1, 60.0)
    async with connect(emulator, store=url, rate_limit=one, claim_lease=0.5) as dying:
        await dying.payment_link_sessions.create(order)
        create = dying.payment_link_sessions.create
        waiting = asyncio.create_task(create(order, idempotency_key="k", timeout=500.0))
        await asyncio.sleep(0.3)
        dead = await _copy_of(tmp_path / "store.db")  # what a kill -9 would leave behind
        waiting.cancel()
        await asyncio.wait({waiting})
    await asyncio.sleep(0.6)
    async with connect(emulator, store=f"sqlite:///{dead}", claim_lease=0.5) as heir:
        session = await heir.payment_link_sessions.create(order, idempotency_key="k", retry=RAISE)
    assert session.call.possible_duplicates == 0
    assert len(emulator.created()) == 2


async def _copy_of(store: Path) -> Path:
    with (
        closing(sqlite3.connect(store)) as old,
        closing(sqlite3.connect(store.with_name("dead.db"))) as new,
    ):
        old.backup(new)
    return store.with_name("dead.db")


async def test_concurrent_callers_share_one_flight(
    connect: Connect, emulator: Emulator, order: PaymentLinkSessionRequest
) -> None:
    """A hundred callers of one key at once make one request and get one session."""
    async with connect(emulator) as frame:
        create = frame.payment_link_sessions.create
        sessions = await asyncio.gather(*(create(order, idempotency_key="k") for _ in range(100)))
    assert len({session.id for session in sessions}) == 1
    assert sum(not session.call.replayed for session in sessions) == 1
    assert len(emulator.ledger) == 1


async def test_a_follower_takes_over_from_a_cancelled_leader(
    connect: Connect, order: PaymentLinkSessionRequest
) -> None:
    """When the caller in flight is cancelled, one who waits goes on, and admits the doubt."""
    async with FaultServer.playing(hang, serve) as server:
        async with connect(server) as frame:
            leader = asyncio.create_task(attempt(frame, order))
            await asyncio.sleep(0.05)
            follower = asyncio.create_task(attempt(frame, order))
            await asyncio.sleep(0.05)
            leader.cancel()
            ended = await asyncio.wait_for(follower, 30)
    assert isinstance(ended, PaymentLinkSession)
    assert ended.call.possible_duplicates == 1
    assert len(server.created) == 2


async def test_a_follower_has_a_deadline_of_its_own(
    connect: Connect, order: PaymentLinkSessionRequest
) -> None:
    """Who waits for another call's flight waits until its own deadline, not longer."""
    async with FaultServer.playing(hang) as server:
        async with connect(server) as frame:
            leader = asyncio.create_task(attempt(frame, order, timeout=2.0))
            await asyncio.sleep(0.05)
            ended = await attempt(frame, order, timeout=0.2)
            leader.cancel()
            await asyncio.wait({leader})
    assert isinstance(ended, CallInFlightError)
    assert len(server.ledger) == 1


async def test_the_same_key_with_another_request(
    connect: Connect, emulator: Emulator, order: PaymentLinkSessionRequest
) -> None:
    """The same key with another request is a conflict that names what differs, not how."""
    async with connect(emulator) as frame:
        await frame.payment_link_sessions.create(order, idempotency_key="k")
        with pytest.raises(IdempotencyConflictError) as caught:
            await frame.payment_link_sessions.create(OTHER, idempotency_key="k")
    assert caught.value.fields == ("expires_in", "line_items")
    assert caught.value.key == "k"
    assert "the idempotency key k was used" in str(caught.value)
    assert "prod_2" not in str(caught.value)
    assert "900" not in str(caught.value)
    assert len(emulator.ledger) == 1


async def test_a_conflict_in_flight(connect: Connect, order: PaymentLinkSessionRequest) -> None:
    """The conflict is found while the first call is still in flight, too."""
    async with FaultServer.playing(hang) as server:
        async with connect(server) as frame:
            leader = asyncio.create_task(attempt(frame, order))
            await asyncio.sleep(0.05)
            with pytest.raises(IdempotencyConflictError):
                await frame.payment_link_sessions.create(OTHER, idempotency_key="key")
            leader.cancel()
            await asyncio.wait({leader})


async def test_a_refused_call_frees_its_key(
    connect: Connect, order: PaymentLinkSessionRequest
) -> None:
    """After a refusal the key is free, even for another request."""
    async with FaultServer.playing(answer(refusal("422 No"))) as server:
        async with connect(server) as frame:
            assert isinstance(await attempt(frame, order), RequestRefusedError)
            assert isinstance(await attempt(frame, OTHER), PaymentLinkSession)


async def test_an_unsent_call_frees_its_key(
    connect: Connect, order: PaymentLinkSessionRequest
) -> None:
    """After a call that was not sent, the key is free."""
    store = MemoryStore()
    async with FaultServer.playing(serve) as server:
        url = server.url
    async with connect(url, store=store, retry=RetryPolicy(max_retries=0)) as frame:
        assert isinstance(await attempt(frame, order), NotSentError)
        assert not store._keys


async def test_a_key_in_doubt(connect: Connect, order: PaymentLinkSessionRequest) -> None:
    """After a call that ended in doubt, the next sends again and admits it, or raises."""
    async with FaultServer.playing(cut_answer(0), serve) as server:
        async with connect(server) as frame:
            first = await attempt(frame, order, retry=RAISE)
            raised = await attempt(frame, order, retry=RAISE)
            sent = await attempt(frame, order)
            again = await attempt(frame, order, retry=RAISE)
    assert isinstance(first, OutcomeUnknownError)
    assert isinstance(raised, OutcomeUnknownError)
    assert raised.call.attempts == ()
    assert raised.call.possible_duplicates == 1
    assert isinstance(sent, PaymentLinkSession)
    assert sent.call.possible_duplicates == 1
    assert isinstance(again, PaymentLinkSession)
    assert again.call.replayed
    assert again.call.possible_duplicates == 1
    assert len(server.created) == 2


async def test_doubt_and_a_refusal(connect: Connect, order: PaymentLinkSessionRequest) -> None:
    """A refusal after an earlier call's doubt does not undo it."""
    async with FaultServer.playing(cut_answer(0), answer(refusal("422 No"))) as server:
        async with connect(server) as frame:
            await attempt(frame, order, retry=RAISE)
            ended = await attempt(frame, order)
    assert type(ended) is OutcomeUnknownError
    assert ended.status == 422
    assert ended.call.possible_duplicates == 1


async def test_an_unreadable_session_is_not_made_again(
    connect: Connect, order: PaymentLinkSessionRequest
) -> None:
    """A session whose answer could not be read is never asked for again with its key."""
    async with FaultServer.playing(answer(framed(b'{"id": "pls_1", '))) as server:
        async with connect(server) as frame:
            first = await attempt(frame, order)
            again = await attempt(frame, order)
    assert isinstance(first, SessionUnreadableError)
    assert isinstance(again, SessionUnreadableError)
    assert again.session_id == first.session_id == "pls_1"
    assert again.call.replayed
    assert len(server.ledger) == 1


@pytest.mark.parametrize(
    ("body", "session_id", "says"),
    [
        (b'{"id": "pls_1", ', "pls_1", "is not JSON"),
        (b'{"id": "", "livemode": "no"}', None, "id: must not be empty"),
        (b'{"id": "sk_sandbox_abcdefgh", ', None, "its id is lost"),
        (b"[]", None, "its id is lost"),
    ],
)
async def test_what_is_said_of_an_unreadable_session(
    connect: Connect,
    order: PaymentLinkSessionRequest,
    body: bytes,
    session_id: str | None,
    says: str,
) -> None:
    """The error has what is wrong and the id, unless that looks like a secret."""
    async with FaultServer.playing(answer(framed(body))) as server, connect(server) as frame:
        ended = await attempt(frame, order)
    assert isinstance(ended, SessionUnreadableError)
    assert ended.session_id == session_id
    assert says in str(ended)
    assert session_id is None or f"its id is {session_id}" in str(ended)
    assert "abcdefgh" not in repr(ended)


@pytest.mark.parametrize(
    ("expires_in", "seconds", "replayed"),
    [(None, 89_900, True), (None, 90_100, False), (900, 4_400, True), (900, 4_600, False)],
)
async def test_a_session_is_remembered_as_long_as_it_lives(
    connect: Connect, expires_in: int | None, seconds: float, *, replayed: bool
) -> None:
    """A key is remembered for the life that its request asked for, and an hour."""
    items = [LineItem(product="prod_1")]
    request = PaymentLinkSessionRequest(line_items=items, expires_in=expires_in)
    clock = VirtualClock()
    store = MemoryStore(now=clock.monotonic)
    async with FaultServer.playing(serve) as server:
        async with connect(server, store=store, clock=clock) as frame:
            first = await attempt(frame, request)
            clock.advance(seconds)
            again = await attempt(frame, request)
    assert isinstance(first, PaymentLinkSession)
    assert isinstance(again, PaymentLinkSession)
    assert again.call.replayed is replayed
    assert (again.id == first.id) is replayed


class SlowToRemember(MemoryStore):
    """Takes its time to write down how a call ended."""

    def __init__(self) -> None:
        super().__init__()
        self.writing = asyncio.Event()

    async def complete(self, *args: Any) -> Any:
        if not self.writing.is_set():
            self.writing.set()
            await asyncio.sleep(60)
        return await super().complete(*args)


async def test_cancelled_while_the_store_writes(
    connect: Connect, order: PaymentLinkSessionRequest
) -> None:
    """Whoever is cancelled while the store writes has it written: the session isn't lost."""
    store = SlowToRemember()
    async with FaultServer.playing(serve) as server:
        async with connect(server, store=store) as frame:
            creating = frame.payment_link_sessions.create(order, idempotency_key="k")
            task = asyncio.create_task(creating)
            await store.writing.wait()
            task.cancel()
            await asyncio.wait({task})
            again = await frame.payment_link_sessions.create(
                order, idempotency_key="k", timeout=5.0
            )
    assert task.cancelled()
    assert again.call.replayed
    assert len(server.created) == 1


class BrokenStore(MemoryStore):
    """A store that fails in the given operations."""

    def __init__(self, *broken: str) -> None:
        super().__init__()
        self.broken = set(broken)

    async def claim(self, *args: Any) -> Any:
        self._break("claim")
        return await super().claim(*args)

    async def complete(self, *args: Any) -> Any:
        self._break("complete")
        return await super().complete(*args)

    async def enter(self, *args: Any, **options: Any) -> Any:
        self._break("enter")
        return await super().enter(*args, **options)

    def _break(self, operation: str) -> None:
        if operation in self.broken:
            raise StoreError("the disk is full")


async def test_a_store_that_can_not_answer(
    connect: Connect, emulator: Emulator, order: PaymentLinkSessionRequest
) -> None:
    """By default a store that can't answer stops the call before anything is sent."""
    async with connect(emulator, store=BrokenStore("claim")) as frame:
        ended = await attempt(frame, order)
        free = await frame.payment_link_sessions.create(order)
    assert type(ended) is StoreError
    assert "the disk is full" in str(ended)
    assert ended.call.idempotency_key == "key"
    assert isinstance(free, PaymentLinkSession)
    assert len(emulator.ledger) == 1


async def test_proceeding_without_the_store(
    connect: Connect, emulator: Emulator, order: PaymentLinkSessionRequest
) -> None:
    """With on_store_error="proceed" the call goes on, and admits it."""
    store = BrokenStore("claim")
    async with connect(emulator, store=store, on_store_error="proceed") as frame:
        session = await frame.payment_link_sessions.create(order, idempotency_key="k")
    assert session.call.store_error == "the disk is full"


async def test_a_session_that_could_not_be_remembered(
    connect: Connect, emulator: Emulator, order: PaymentLinkSessionRequest
) -> None:
    """A session in hand is handed over although the store failed, and that is admitted."""
    async with connect(emulator, store=BrokenStore("complete")) as frame:
        session = await frame.payment_link_sessions.create(order, idempotency_key="k")
    assert session.call.store_error == "the disk is full"


async def test_a_window_that_can_not_answer(
    connect: Connect, emulator: Emulator, order: PaymentLinkSessionRequest
) -> None:
    """A rate window that can't be asked stops the call before anything is sent."""
    async with connect(emulator, store=BrokenStore("enter"), rate_limit="mode") as frame:
        with pytest.raises(StoreError, match="the disk is full"):
            await frame.payment_link_sessions.create(order)
    assert not emulator.ledger


async def test_callers_in_a_hurry_share_nothing(
    connect: Connect, emulator: Emulator, order: PaymentLinkSessionRequest
) -> None:
    """Calls without a key of their own are never shared nor remembered."""
    store = MemoryStore()
    async with connect(emulator, store=store) as frame:
        first = await frame.payment_link_sessions.create(order)
        second = await frame.payment_link_sessions.create(order)
    assert first.id != second.id
    assert not store._keys


async def test_cancelled_before_sending_frees_the_key(
    connect: Connect, order: PaymentLinkSessionRequest
) -> None:
    """A call cancelled at the gate frees its key; one cancelled in flight leaves doubt."""
    store = MemoryStore()
    async with FaultServer.playing(hang) as server:
        async with connect(server, store=store, max_in_flight=1) as frame:
            sent = asyncio.create_task(attempt(frame, order, "sent"))
            await asyncio.sleep(0.05)
            waiting = asyncio.create_task(attempt(frame, order, "waiting"))
            await asyncio.sleep(0.05)
            waiting.cancel()
            sent.cancel()
            _, pending = await asyncio.wait({waiting, sent}, timeout=30)
    assert not pending
    (record,) = store._keys.values()
    assert record.doubts == 1
    assert record.state == "doubt"


async def test_a_lease_of_a_dead_process(
    connect: Connect, emulator: Emulator, order: PaymentLinkSessionRequest
) -> None:
    """A claim whose lease ran out is found in doubt: sent again, and admitted."""
    store = MemoryStore()
    async with connect(emulator, store=store, claim_lease=0.2) as frame:
        scope = frame.scope
        from frame_async.protocol.fingerprints import make_fingerprint
        from frame_async.serialization import dump_fields

        print_ = make_fingerprint(dump_fields(order)[1])
        await store.claim(f"{scope}:key", print_, 0.3)
        early = await attempt(frame, order, timeout=0.1)
        late = await attempt(frame, order)
    assert isinstance(early, CallInFlightError)
    assert not isinstance(late, CallError)
    assert late.call.possible_duplicates == 1


async def test_an_echoed_card_is_not_remembered(connect: Connect, tmp_path: Path) -> None:
    """The store's files hold no payment data that an answer repeats, and the rest of it."""
    card = Card(card_number="4242424242424242", exp_month="12", exp_year="2030", cvc="987")
    request = PaymentLinkSessionRequest(
        line_items=[LineItem(product="prod_1")], payment_method_data=card
    )
    echo = json.dumps({"id": "pls_987", "status": "open", "sent": [{"number": card.card_number}]})
    url = f"sqlite:///{tmp_path}/store.db"
    async with (
        FaultServer.playing(answer(framed(echo.encode()))) as server,
        connect(server, store=url) as frame,
    ):
        for replayed in (False, True):
            create = frame.payment_link_sessions.create
            session = await create(request, idempotency_key="k")
            assert (session.id, session.status) == ("pls_987", "open")
            assert session.call.replayed is replayed
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"pls_987" in kept
    assert b"4242424242424242" not in kept
