"""Answers without a server: the fixture ``frame_responses``, and other ways to mock."""

import asyncio
import gc
from pathlib import Path
from unittest.mock import create_autospec

import aiohttp
import pytest
from aiohttp import web
from aioresponses import CallbackResult, aioresponses

from frame_async import (
    FrameClient,
    LineItem,
    NotSentError,
    Outcome,
    OutcomeUnknownError,
    PaymentLinkSession,
    PaymentLinkSessionRequest,
    RequestRefusedError,
    RetryPolicy,
)
from frame_async.errors import RateLimitedError
from frame_async.stores import MemoryStore
from frame_async.testing import EmulatorThread, FrameResponses, VirtualClock, connect

ONCE = RetryPolicy(max_retries=0)
URL = "https://api.framepayments.com/v1/payment_link_sessions"


def order(reference: str | None = None) -> PaymentLinkSessionRequest:
    """A request with that reference."""
    return PaymentLinkSessionRequest(
        client_reference_id=reference, line_items=[LineItem(product="prod_1")]
    )


async def test_a_session_is_created(frame_responses: FrameResponses) -> None:
    """The session has the fields that were said, those that were asked for, and Frame's others."""
    frame_responses.creates(id="pls_1", url="https://pay.test/1", payment_status="paid")
    async with frame_responses.connect() as frame:
        session = await frame.payment_link_sessions.create(order("order-1"), idempotency_key="k1")
    assert (session.id, session.url, session.payment_status) == (
        "pls_1",
        "https://pay.test/1",
        "paid",
    )
    assert (session.client_reference_id, session.status, session.livemode) == (
        "order-1",
        "open",
        False,
    )
    assert session.created
    assert session.expires
    assert (session.expires - session.created).total_seconds() == 86_400
    assert session.extra == {}
    assert frame_responses.requests == (order("order-1"),)
    assert frame_responses.idempotency_keys == ("k1",)


async def test_ids_and_addresses_are_made(frame_responses: FrameResponses) -> None:
    """Without an id each session has one of its own, and an address with it."""
    frame_responses.creates(times=2)
    async with frame_responses.connect() as frame:
        first = await frame.payment_link_sessions.create(order())
        second = await frame.payment_link_sessions.create(order())
    assert first.id != second.id
    assert first.url == f"https://pay.framepayments.com/{first.id}"


async def test_a_refusal(frame_responses: FrameResponses) -> None:
    """A refusal has the status, message and field errors that were said."""
    frame_responses.refuses(422, message="no", errors={"line_items": ["must be filled"]})
    async with frame_responses.connect() as frame:
        with pytest.raises(RequestRefusedError) as caught:
            await frame.payment_link_sessions.create(order())
    assert caught.value.answer
    assert caught.value.answer.status == 422
    assert caught.value.field_errors == {"line_items": ("must be filled",)}
    assert "no" in str(caught.value)


async def test_in_sequence(frame_responses: FrameResponses, frame_clock: VirtualClock) -> None:
    """Answers come in the order in which they were said, here to the attempts of one call.

    The clock of the test makes its waits take no time.
    """
    began = frame_clock.ahead
    frame_responses.throttles(retry_after=200)
    frame_responses.loses_the_answer()
    frame_responses.creates(id="pls_3")
    async with frame_responses.connect() as frame:
        session = await frame.payment_link_sessions.create(
            order("o"), timeout=900, retry=RetryPolicy(max_elapsed=600)
        )
    assert session.id == "pls_3"
    assert [a.outcome for a in session.call.attempts] == [
        Outcome.REFUSED,
        Outcome.UNKNOWN,
        Outcome.CREATED,
    ]
    assert session.call.possible_duplicates == 1
    assert frame_clock.ahead - began >= 200
    assert frame_responses.requests == (order("o"),) * 3
    assert len(set(frame_responses.idempotency_keys)) == 1


async def test_by_reference(frame_responses: FrameResponses) -> None:
    """An answer for a reference goes to requests with it, in whatever order they come."""
    frame_responses.creates(id="any")
    frame_responses.creates(id="second", reference="2")
    frame_responses.refuses(reference="1")
    async with frame_responses.connect() as frame:
        assert (await frame.payment_link_sessions.create(order("2"))).id == "second"
        with pytest.raises(RequestRefusedError):
            await frame.payment_link_sessions.create(order("1"))
        assert (await frame.payment_link_sessions.create(order("1"))).id == "any"


async def test_throttled_without_a_wish(frame_responses: FrameResponses) -> None:
    """A 429 without ``Retry-After`` is one without."""
    frame_responses.throttles()
    async with frame_responses.connect(retry=ONCE) as frame:
        with pytest.raises(RateLimitedError, match="too many requests"):
            await frame.payment_link_sessions.create(order())


@pytest.mark.parametrize("what", ["loses_the_answer", "hangs"])
async def test_no_answer(frame_responses: FrameResponses, what: str) -> None:
    """A request whose answer is lost, or never comes, may have created a session."""
    getattr(frame_responses, what)()
    async with frame_responses.connect(retry=ONCE, attempt_timeout=0.05) as frame:
        with pytest.raises(OutcomeUnknownError) as caught:
            await frame.payment_link_sessions.create(order())
    assert caught.value.call.possible_duplicates == 1


async def test_a_hanging_call_can_be_cancelled(frame_responses: FrameResponses) -> None:
    """A call whose answer doesn't come ends when its task is cancelled."""
    frame_responses.hangs()
    async with frame_responses.connect() as frame:
        call = asyncio.create_task(frame.payment_link_sessions.create(order()))
        while not frame_responses.requests:  # noqa: ASYNC110  # it isn't told
            await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call


async def test_many(frame_responses: FrameResponses) -> None:
    """`create_many` is answered as single calls are."""
    frame_responses.creates(times=20)
    async with frame_responses.connect() as frame:
        found = [r async for r in frame.payment_link_sessions.create_many([order()] * 20)]
    assert len({result.session.id for result in found if result.session}) == 20


def test_a_request_that_nothing_was_said_for() -> None:
    """A request without an answer is refused, and the end of the test says so."""

    async def pay(responses: FrameResponses) -> None:
        async with responses.connect() as frame:
            with pytest.raises(RequestRefusedError, match="nothing was said for request 1"):
                await frame.payment_link_sessions.create(order("order-9"))

    with pytest.raises(AssertionError, match="client_reference_id='order-9'"):
        with FrameResponses() as responses:
            asyncio.run(pay(responses))


def test_an_error_of_the_test_comes_first() -> None:
    """When the block ends with an error of its own, that is the one to see."""
    with pytest.raises(ZeroDivisionError):
        with FrameResponses() as responses:
            responses._surprises.append("a request")
            raise ZeroDivisionError


def test_what_cannot_be_said() -> None:
    """A refusal that is none, and an answer for no request, are refused."""
    responses = FrameResponses()
    with pytest.raises(ValueError, match="status must be from 400"):
        responses.refuses(201)
    with pytest.raises(ValueError, match="times must be"):
        responses.creates(times=0)


async def test_other_requests_go_through(frame_responses: FrameResponses) -> None:
    """What isn't the creation of a session goes over the wire, as a shop's test client needs."""

    async def hello(_: web.Request) -> web.Response:
        return web.Response(text="hello")

    app = web.Application()
    app.router.add_get("/hello", hello)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        host, port = runner.addresses[0][:2]
        async with aiohttp.ClientSession() as http:
            async with http.get(f"http://{host}:{port}/hello") as response:
                assert await response.text() == "hello"
    finally:
        await runner.cleanup()
    assert frame_responses.requests == ()


async def test_aioresponses_itself() -> None:
    """Under our plugin, aioresponses makes answers on today's aiohttp, and no request goes out."""
    with aioresponses() as mocked:
        mocked.post(URL, status=201, payload={"id": "pls_1"}, headers={"X-Request-Id": "r1"})
        mocked.post(URL, status=422, payload={"error": "no"})
        async with FrameClient("sk_sandbox_1", rate_limit=None) as frame:
            session = await frame.payment_link_sessions.create(order())
            with pytest.raises(RequestRefusedError, match="422: no"):
                await frame.payment_link_sessions.create(order())
    assert (session.id, session.call.request_id) == ("pls_1", "r1")
    gc.collect()  # nothing is left that would warn


async def test_aioresponses_never_sends() -> None:
    """An exception of aioresponses comes before the request is sent, so that nothing was."""
    with aioresponses() as mocked:
        mocked.post(URL, exception=aiohttp.ServerDisconnectedError())
        async with FrameClient("sk_sandbox_1", rate_limit=None, retry=ONCE) as frame:
            with pytest.raises(NotSentError):
                await frame.payment_link_sessions.create(order())


async def test_a_callback_sees_the_request() -> None:
    """A callback of aioresponses reads the body as text, and the idempotency key."""
    seen: list[object] = []

    def answer(url: object, **kwargs: object) -> CallbackResult:
        seen.extend((kwargs["data"].decode(), kwargs["headers"]["Idempotency-Key"]))  # type: ignore[attr-defined,index]
        return CallbackResult(status=201, payload={"id": "pls_1"})

    with aioresponses() as mocked:
        mocked.post(URL, callback=answer)
        async with FrameClient("sk_sandbox_1", rate_limit=None) as frame:
            await frame.payment_link_sessions.create(order(), idempotency_key="k-callback")
        ((sent,),) = mocked.requests.values()
    body = '{"line_items":[{"product":"prod_1"}]}'
    assert seen == [body, "k-callback"]
    assert sent.kwargs["data"] == body.encode()


async def test_a_recorded_answer(frame_emulator: EmulatorThread, tmp_path: Path) -> None:
    """A call is recorded by vcrpy, without its key if told so, and played back: nothing is sent."""
    vcr = pytest.importorskip("vcr")
    tape = vcr.VCR(filter_headers=["authorization"]).use_cassette
    ids = []
    for _ in range(2):
        async with connect(frame_emulator, store=MemoryStore()) as frame:
            with tape(str(tmp_path / "tape.yaml")):
                ids.append((await frame.payment_link_sessions.create(order("o"))).id)
    assert ids == [frame_emulator.assert_created_once("o")] * 2
    recorded = (tmp_path / "tape.yaml").read_text()
    assert '"client_reference_id":"o"' in recorded
    assert frame_emulator.api_key not in recorded


async def test_a_specified_mock() -> None:
    """`create_autospec` of a client made for it checks what is called, down to ``create``."""
    frame = create_autospec(FrameClient("sk_sandbox_1"))
    frame.__aenter__.return_value = frame
    async with frame as entered:
        assert entered is frame
    frame.payment_link_sessions.create.return_value = PaymentLinkSession(id="pls_1")
    session = await frame.payment_link_sessions.create(order(), idempotency_key="k")
    assert session.id == "pls_1"
    frame.payment_link_sessions.create.assert_awaited_once_with(order(), idempotency_key="k")
    with pytest.raises(TypeError, match="too many positional"):
        frame.payment_link_sessions.create(order(), "k")
    with pytest.raises(AttributeError):
        frame.payment_links  # noqa: B018


async def test_a_specified_mock_of_the_class() -> None:
    """Of the class, the resource is a property, and needs a mock of its own."""
    frame = create_autospec(FrameClient, instance=True)
    real = FrameClient("sk_sandbox_1").payment_link_sessions
    frame.payment_link_sessions = create_autospec(real)
    frame.payment_link_sessions.create.return_value = PaymentLinkSession(id="pls_1")
    assert (await frame.payment_link_sessions.create(order())).id == "pls_1"
    with pytest.raises(TypeError, match="too many positional"):
        frame.payment_link_sessions.create(order(), "k")
