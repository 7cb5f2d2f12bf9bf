"""An emulator in a thread: reachable from anywhere, and its assertions tell what was seen."""

import asyncio
import gc
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from support.signing import SECRET

from frame_async import FrameClient, LineItem, PaymentLinkSessionRequest, RateLimit
from frame_async.emulator import LedgerEntry
from frame_async.errors import RateLimitedError
from frame_async.testing import EmulatorThread, LoopThread, VirtualClock, connect, signed_webhook
from frame_async.testing.clients import lend
from frame_async.testing.sightings import of_sessions
from frame_async.webhooks import WebhookReceiver

ORDER = PaymentLinkSessionRequest(
    client_reference_id="order-42", line_items=[LineItem(product="prod_1")]
)


@pytest.fixture(scope="module")
def thread() -> Iterator[LoopThread]:
    """A thread for the emulators of these tests."""
    with LoopThread() as running:
        yield running


@pytest.fixture
def own(thread: LoopThread) -> Iterator[EmulatorThread]:
    """An emulator without a rate limit."""
    with EmulatorThread(thread=thread, limit=None) as running:
        yield running


def post(emulator: EmulatorThread, body: Any) -> int:
    """Create a session without the library; the status."""
    request = urllib.request.Request(
        f"{emulator.base_url}/v1/payment_link_sessions",
        data=json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {emulator.api_key}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def asked(reference: str, **more: Any) -> dict[str, Any]:
    """A request body."""
    return {"client_reference_id": reference, "line_items": [{"product": "prod_1"}]} | more


# --- its life ------------------------------------------------------------------------


def test_without_any_event_loop() -> None:
    """It works for code that knows no event loop, and its thread ends with it."""
    before = threading.active_count()
    with EmulatorThread(limit=None) as emulator:
        assert threading.active_count() == before + 1
        assert post(emulator, asked("order-1")) == 201
        assert emulator.created("order-1") == emulator.created()
        url = emulator.base_url
    assert threading.active_count() == before
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(url, timeout=30)
    gc.collect()


def test_what_was_seen_outlives_a_stop(thread: LoopThread) -> None:
    """On a thread that goes on, it may be asked after it stopped, and be started again."""
    emulator = EmulatorThread(thread=thread, limit=None)
    for count in (1, 2):
        with emulator:
            assert post(emulator, asked("order-1")) == 201
        assert len(emulator.created("order-1")) == count


def test_a_thread_of_its_own_ends_when_it_cannot_start(own: EmulatorThread) -> None:
    """When its port is taken, it says so, and leaves no thread behind."""
    port = int(own.base_url.rpartition(":")[2])
    before = threading.active_count()
    with pytest.raises(OSError, match="in use"):
        EmulatorThread(port=port).start()
    assert threading.active_count() == before


def test_after_its_thread_has_ended() -> None:
    """To ask it when its own thread has ended is an error that says so, and not a wait."""
    with EmulatorThread() as emulator:
        pass
    with pytest.raises(RuntimeError, match="the emulator's thread has ended"):
        assert emulator.ledger


def test_a_request_in_flight_does_not_keep_it(thread: LoopThread) -> None:
    """It stops although a request waits for its answer."""
    with EmulatorThread(thread=thread, limit=None, latency=60.0) as emulator:
        ended: list[BaseException] = []

        def ask() -> None:
            try:
                post(emulator, asked("order-1"))
            except OSError as error:
                ended.append(error)

        asking = threading.Thread(target=ask)
        asking.start()
        while not emulator.ledger:
            threading.Event().wait(0.001)
    asking.join(10)
    assert not asking.is_alive()
    assert len(ended) == 1


async def test_keys_are_never_shared(thread: LoopThread) -> None:
    """Each has a key of its own, so no memory of one test answers another."""
    keys = {EmulatorThread(thread=thread).api_key for _ in range(20)}
    assert len(keys) == 20
    assert all(key.startswith("sk_sandbox_") for key in keys)


# --- across threads ------------------------------------------------------------------


def test_calls_run_in_its_thread(own: EmulatorThread) -> None:
    """A function runs in the emulator's thread; what it returns is awaited and given back."""

    async def later() -> str:
        await asyncio.sleep(0)
        return threading.current_thread().name

    assert own.call(lambda _: threading.current_thread().name) == "frame-emulator"
    assert own.call(lambda _: later()) == "frame-emulator"
    with pytest.raises(ValueError, match="mine"):
        own.call(lambda _: int("mine"))


async def test_waiting_calls_leave_the_loop_free(own: EmulatorThread) -> None:
    """While `acall` waits, the test's event loop goes on: even for what is waited for."""
    here, gate = asyncio.get_running_loop(), asyncio.Event()

    async def wait_for_the_test() -> str:
        opened = asyncio.run_coroutine_threadsafe(gate.wait(), here)
        here.call_soon_threadsafe(gate.set)
        await asyncio.wrap_future(opened)
        return "done"

    assert await own.acall(lambda _: wait_for_the_test()) == "done"
    assert await own.acall(lambda emulator: emulator.base_url) == own.base_url


def test_a_call_from_its_own_thread(own: EmulatorThread) -> None:
    """A call that would wait for itself is an error at once."""
    with pytest.raises(RuntimeError, match="use acall there"):
        own.call(lambda _: own.ledger)


def test_a_thread_cancels_what_is_left() -> None:
    """What still runs on a thread's loop when it stops is cancelled, and told so."""
    thread, told = LoopThread(), []

    async def hang() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            told.append("cancelled")
            raise

    with thread:
        future = thread.submit(hang)
        thread.call(lambda: asyncio.sleep(0))
    assert told == ["cancelled"]
    assert future.cancelled()
    thread.stop()


# --- clients -------------------------------------------------------------------------


async def test_a_client_of_it(own: EmulatorThread) -> None:
    """A connected client creates, and remembers by itself."""
    async with connect(own) as frame:
        first = await frame.payment_link_sessions.create(ORDER, idempotency_key="k")
        again = await frame.payment_link_sessions.create(ORDER, idempotency_key="k")
        assert again.call.replayed
    assert own.assert_created_once("order-42") == first.id
    async with connect(own) as other:
        session = await other.payment_link_sessions.create(ORDER, idempotency_key="k")
        assert not session.call.replayed


def test_a_lent_client_is_closed(own: EmulatorThread) -> None:
    """A client that was used over several loops, and left open, is closed at the end."""
    with lend(own) as frame:
        for _ in range(2):
            asyncio.run(create(frame))
    assert frame.closed
    gc.collect()


def test_a_lent_client_is_closed_when_its_call_failed(own: EmulatorThread) -> None:
    """A client whose only call was given up is closed on the loop that it opened on."""
    loop = asyncio.new_event_loop()
    with lend(own) as frame:
        hanging = loop.create_task(create(frame))
        loop.call_soon(lambda: loop.call_soon(hanging.cancel))
        with pytest.raises(asyncio.CancelledError):
            loop.run_until_complete(hanging)
    assert frame.closed
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    gc.collect()


async def create(frame: FrameClient) -> None:
    await frame.payment_link_sessions.create(ORDER)


def test_a_client_has_the_limit_of_its_emulator(thread: LoopThread) -> None:
    """Client and emulator agree on the window, so that nothing is refused."""
    clock = VirtualClock()
    with EmulatorThread(thread=thread, limit=3, period=10.0, clock=clock) as emulator:
        with lend(emulator) as frame:
            for _ in range(7):
                asyncio.run(create(frame))
        emulator.assert_no_429()
        requests = emulator.ledger
        assert requests[-1].received - requests[0].received >= 20
        assert len(emulator.created("order-42")) == 7


async def test_options_of_a_client(thread: LoopThread) -> None:
    """Options go to the client, before what it would be given otherwise."""
    with EmulatorThread(thread=thread, limit=1) as emulator:
        async with connect(emulator, rate_limit=RateLimit(100), timeout=0.2) as frame:
            await create(frame)
            with pytest.raises(RateLimitedError):
                await create(frame)
        with pytest.raises(AssertionError, match="expected no 429, but 1 of 2 requests were"):
            emulator.assert_no_429()


# --- assertions ----------------------------------------------------------------------


def message(check: Any, *arguments: Any) -> str:
    """The message of an assertion that fails."""
    with pytest.raises(AssertionError) as caught:
        check(*arguments)
    return str(caught.value)


def test_nothing_was_seen(own: EmulatorThread) -> None:
    """Without any request, the message asks whether the right address was used."""
    own.assert_not_created("order-1")
    own.assert_not_created()
    own.assert_no_429()
    own.assert_no_unknown_fields()
    assert message(own.assert_created_once, "order-1") == (
        "expected one session with the reference 'order-1' to be created, but none was\n"
        "the emulator saw no request: does your code use its base_url and api_key?"
    )


def test_what_was_seen_is_told(own: EmulatorThread) -> None:
    """A message has what was expected, what was found, and each request with its outcome."""
    post(own, asked("order-1"))
    post(own, asked("order-2"))
    post(own, asked("order-2"))
    post(own, {"client_reference_id": "order-3"})
    own.assert_created_once("order-1")
    own.assert_not_created("order-3")
    one, two, three = own.created()
    path = "POST /v1/payment_link_sessions"
    seen = (
        "the emulator saw:\n"
        f"  #1 {path}: 201, reference 'order-1', session {one}\n"
        f"  #2 {path}: 201, reference 'order-2', session {two}\n"
        f"  #3 {path}: 201, reference 'order-2', session {three}\n"
        f"  #4 {path}: 422, reference 'order-3'"
    )
    assert message(own.assert_created_once, "order-2") == (
        "expected one session with the reference 'order-2' to be created, "
        f"but 2 were: {two}, {three}\n{seen}"
    )
    assert message(own.assert_not_created, "order-1") == (
        f"expected no session with the reference 'order-1' to be created, but 1 were: {one}\n{seen}"
    )
    assert message(own.assert_not_created) == (
        f"expected no session to be created, but 3 were: {one}, {two}, {three}\n{seen}"
    )


def test_unknown_fields_are_told(own: EmulatorThread) -> None:
    """A field that Frame would ignore is named, with the request that had it."""
    post(own, asked("order-1"))
    own.assert_no_unknown_fields()
    post(own, asked("order-2", account_id="x", zip=1))
    said = message(own.assert_no_unknown_fields)
    assert said.startswith(
        "expected known fields only, but Frame would ignore 'account_id', 'zip'\n  #2 POST"
    )


def test_a_429_is_told(thread: LoopThread) -> None:
    """A request that came too fast is listed, the others are counted."""
    with EmulatorThread(thread=thread, limit=2) as emulator:
        assert [post(emulator, asked(f"order-{n}")) for n in range(3)] == [201, 201, 429]
        said = message(emulator.assert_no_429)
    assert said == (
        "expected no 429, but 1 of 3 requests were refused with it\n"
        "  #3 POST /v1/payment_link_sessions: 429"
    )


def test_long_stories_are_cut() -> None:
    """A message has the latest 20 requests, and says how many came before."""
    entries = [
        LedgerEntry(
            sequence=number,
            request_id="",
            received=0.0,
            method="POST",
            path="/v1/payment_link_sessions",
            idempotency_key="key\n",
            client_reference_id="a\nb",
            body=None,
            status=None,
            session_id=None,
            replayed=False,
            unknown_fields=(),
            user_agent=None,
            key_mode=None,
            key_suffix="",
        )
        for number in range(1, 31)
    ]
    lines = of_sessions("one session", "order-1", (), entries).splitlines()
    assert len(lines) == 23
    assert lines[2] == "  (10 earlier ones)"
    assert lines[3] == (
        "  #11 POST /v1/payment_link_sessions: no answer, reference 'a\\nb', "
        "idempotency key 'key\\n'"
    )
    assert len(of_sessions("one session", "order-1", (), entries[:20]).splitlines()) == 22


# --- webhooks ------------------------------------------------------------------------


def test_a_webhook_for_tests() -> None:
    """A signed webhook verifies with its secret, and is new each time unless told otherwise."""
    receiver = WebhookReceiver(SECRET)
    body, headers = signed_webhook("transfer.failed", {"failure_code": "x"}, secret=SECRET)
    event = receiver.verify(body, headers)
    assert (event.type, event.failure_code, event.livemode) == ("transfer.failed", "x", False)
    assert event.created is not None
    other, _ = signed_webhook("transfer.failed", {}, secret=SECRET)
    assert receiver.verify(other, signed_of(other)).id != event.id
    body, headers = signed_webhook("t", {}, secret=SECRET, id="evt_1", created=5)
    event = receiver.verify(body, headers)
    assert event.id == "evt_1"
    assert event.created is not None
    assert event.created.timestamp() == 5
    assert headers["X-Frame-Event"] == "t"


def signed_of(body: bytes) -> dict[str, str]:
    from support.signing import signed

    return signed(body)
