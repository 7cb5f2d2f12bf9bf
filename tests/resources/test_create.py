"""`create`, over a real socket, against the emulator."""

import asyncio
import json
import pickle
import traceback
from datetime import UTC, datetime, timedelta
from traceback import TracebackException
from typing import Any
from uuid import UUID

import pytest
from attrs import evolve
from support.faults import FaultServer, answer, framed
from support.shown import shows

import frame_async
from frame_async import (
    Card,
    FrameClient,
    IdempotencyConflictError,
    LineItem,
    Outcome,
    PaymentLinkSessionRequest,
    PaymentStatus,
    RequestRefusedError,
    RetryPolicy,
    SessionStatus,
    ValidationError,
)
from frame_async.emulator import Emulator
from frame_async.engine.pool import BulkItem
from frame_async.errors import AuthenticationError, ClientClosedError, RateLimitedError
from frame_async.stores import MemoryStore


async def test_the_code_of_the_readme(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """With key and address from the environment, one request becomes one session."""
    monkeypatch.setenv("FRAME_SECRET_KEY", emulator.api_key)
    monkeypatch.setenv("FRAME_API_BASE_URL", emulator.base_url + "/v1/")
    async with FrameClient() as frame:
        session = await frame.payment_link_sessions.create(
            PaymentLinkSessionRequest(
                account="f8b22e7f-c84a-4560-930e-2d505ad9aef5",
                client_reference_id="order-42",
                success_url="https://shop.example/thanks",
                line_items=[LineItem(product="prod_1", quantity_minimum=1, quantity_maximum=3)],
            ),
            idempotency_key="order-42",
        )
    assert emulator.created("order-42") == (session.id,)
    assert (session.status, session.payment_status) == (SessionStatus.OPEN, PaymentStatus.UNPAID)
    assert session.account == "f8b22e7f-c84a-4560-930e-2d505ad9aef5"
    assert session.client_reference_id == "order-42"
    assert session.livemode is False
    assert session.extra == {}
    assert session.url is not None
    assert session.url.startswith(emulator.base_url)
    assert session.expires is not None
    assert session.created is not None
    assert session.expires - session.created == timedelta(days=1)
    assert abs(session.created - datetime.now(UTC)) < timedelta(seconds=30)


async def test_the_record_of_a_call(
    frame: FrameClient, emulator: Emulator, order: PaymentLinkSessionRequest
) -> None:
    """A session carries the record of its call: key, attempt, times, connection."""
    first = await frame.payment_link_sessions.create(order, idempotency_key="key-1")
    second = await frame.payment_link_sessions.create(order)
    call = first.call
    assert call.idempotency_key == "key-1"
    assert call.outcome is Outcome.CREATED
    assert (call.possible_duplicates, call.replayed, call.retries) == (0, False, 0)
    (attempt,) = call.attempts
    assert (attempt.outcome, attempt.status, attempt.reason) == (Outcome.CREATED, 201, "")
    assert attempt.reused is False
    phases = (attempt.gate, attempt.connect, attempt.send, attempt.wait, attempt.read)
    assert all(phase is not None and phase >= 0 for phase in phases)
    assert sum(phase or 0 for phase in phases) == pytest.approx(attempt.duration, abs=0.05)
    assert call.request_id == attempt.request_id is not None
    assert second.call.attempts[0].reused is True
    assert UUID(second.call.idempotency_key).version == 4
    assert [entry.idempotency_key for entry in emulator.ledger] == [
        "key-1",
        second.call.idempotency_key,
    ]


async def test_sessions_pickle(frame: FrameClient, order: PaymentLinkSessionRequest) -> None:
    """A session survives pickling, its call included, so that workers can send it on."""
    session = await frame.payment_link_sessions.create(order)
    copy = pickle.loads(pickle.dumps(session))
    assert copy == session
    assert copy.call == session.call


async def test_a_refusal_says_everything(frame: FrameClient) -> None:
    """A refused request is *nothing was created*, with status, message and fields."""
    request = PaymentLinkSessionRequest(
        line_items=[LineItem(product="prod_1")],
        payment_method_data={"type": "card", "card_number": "4242424242424242"},
        customer="cus_1",
    )
    with pytest.raises(RequestRefusedError) as caught:
        await frame.payment_link_sessions.create(request, idempotency_key="k")
    error = caught.value
    assert error.status == 422
    assert "The payment link session is not valid." in str(error)
    assert any(path.startswith("payment_method_data") for path in error.field_errors)
    assert error.request_id
    assert error.call.idempotency_key == "k"
    assert error.call.outcome is Outcome.REFUSED
    assert [attempt.status for attempt in error.call.attempts] == [422]
    assert not shows(str(error), "4242424242424242")
    assert "\n" not in str(error)
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), copy.call) == (type(error), str(error), error.call)


async def test_a_key_that_is_not_accepted(
    emulator: Emulator, order: PaymentLinkSessionRequest
) -> None:
    """A key that the server doesn't take gives its own error, without the key in it."""
    async with FrameClient("sk_production_abc123", base_url=emulator.base_url) as frame:
        with pytest.raises(AuthenticationError) as caught:
            await frame.payment_link_sessions.create(order)
    assert caught.value.status == 401
    assert "abc123" not in str(caught.value)
    assert len(caught.value.call.attempts) == 1


async def test_the_rate_limit_is_waited_for(order: PaymentLinkSessionRequest) -> None:
    """A 429 is waited out as the server asks, and the same key is sent again."""
    async with (
        Emulator(port=0, limit=1, period=1.0) as emulator,
        FrameClient(emulator.api_key, base_url=emulator.base_url, rate_limit=None) as frame,
    ):
        await frame.payment_link_sessions.create(order)
        session = await frame.payment_link_sessions.create(order, idempotency_key="second")
        keys = [entry.idempotency_key for entry in emulator.ledger][1:]
    assert [attempt.status for attempt in session.call.attempts] == [429, 201]
    assert session.call.attempts[1].slept >= 1.0
    assert session.call.attempts[1].window is not None
    assert session.call.possible_duplicates == 0
    assert keys == ["second", "second"]


async def test_a_rate_limit_without_time_left(order: PaymentLinkSessionRequest) -> None:
    """Without time to wait, a 429 fails at once, says so, and nothing was created."""
    async with (
        Emulator(port=0, limit=1, period=60.0) as emulator,
        FrameClient(
            emulator.api_key, base_url=emulator.base_url, timeout=40.0, rate_limit=None
        ) as frame,
    ):
        await frame.payment_link_sessions.create(order)
        with pytest.raises(RateLimitedError, match="gave up because") as caught:
            async with asyncio.timeout(30):  # long before there is time left no more
                await frame.payment_link_sessions.create(order)
    assert caught.value.status == 429
    assert len(caught.value.call.attempts) == 1


async def test_concurrent_calls_stay_within_the_gate(
    emulator: Emulator, order: PaymentLinkSessionRequest
) -> None:
    """However many calls there are, no more than max_in_flight are on the wire."""
    async with FrameClient(emulator.api_key, base_url=emulator.base_url, max_in_flight=3) as frame:
        create = frame.payment_link_sessions.create
        sessions = await asyncio.gather(*(create(order) for _ in range(50)))
    fresh = [s for s in sessions if s.call.attempts[0].reused is False]
    assert len({session.id for session in sessions}) == 50
    assert len(fresh) == 3


async def test_card_data_is_sent_and_never_shown(frame: FrameClient, emulator: Emulator) -> None:
    """Payment method data reaches the server, and no repr of request or session shows it."""
    card = Card(card_number="4242424242424242", exp_month="12", exp_year="2031", cvc="737")
    request = PaymentLinkSessionRequest(
        customer="cus_1", line_items=[LineItem(product="prod_1")], payment_method_data=card
    )
    session = await frame.payment_link_sessions.create(request)
    assert session.status == "open"
    assert emulator.ledger[-1].status == 201
    shown = f"{request!r} {card!r} {session!r} {session.call!r}"
    assert "4242424242424242" not in shown
    assert not shows(shown, "737")


@pytest.mark.parametrize(
    ("url", "given"),
    [
        ("https://pay.example/s/1", True),
        ("http://127.0.0.1:8642/pay/1", True),
        ("http://pay.example/s/1", False),
        ("https://pay.example@evil.example/", False),
        ("javascript:alert(1)", False),
        (None, False),
    ],
)
async def test_an_address_that_no_payer_may_be_sent_to_is_withheld(
    order: PaymentLinkSessionRequest,
    caplog: pytest.LogCaptureFixture,
    url: str | None,
    given: bool,
) -> None:
    """Session and replay have the address only if it is safe; what is withheld is logged."""
    body = json.dumps({"id": "pls_1", "url": url}).encode()
    async with (
        FaultServer.playing(answer(framed(body))) as server,
        FrameClient("sk_sandbox_1", base_url=server.url, store=MemoryStore()) as frame,
    ):
        create = frame.payment_link_sessions.create
        sessions = [await create(order, idempotency_key="order-42") for _ in range(2)]
    assert [session.url for session in sessions] == [url if given else None] * 2
    assert [session.call.replayed for session in sessions] == [False, True]
    warned = [record.getMessage() for record in caplog.records if record.name == "frame_async"]
    withheld = url is not None and not given
    assert len([said for said in warned if "withheld" in said and "pls_1" in said]) == 2 * withheld
    assert not [said for said in warned if url and url in said]
    assert [session.extra for session in sessions] == [{}] * 2


async def test_what_cannot_be_read_costs_no_session(
    order: PaymentLinkSessionRequest, caplog: pytest.LogCaptureFixture
) -> None:
    """The checkout address is handed over, and one warning names the other fields, no values."""
    address = "https://pay.example/s/1"
    answered = {
        "id": "pls_1",
        "url": address,
        "account": {"id": "acc_1", "name": "Zyxwv"},
        "livemode": "Zyxwv",
        "expires": "Zyxwv",
    }
    body = json.dumps(answered).encode()
    async with (
        FaultServer.playing(answer(framed(body))) as server,
        FrameClient("sk_sandbox_1", base_url=server.url, store=MemoryStore()) as frame,
    ):
        create = frame.payment_link_sessions.create
        session, again = [await create(order, idempotency_key="order-42") for _ in range(2)]
    assert session == again
    assert (session.url, session.account) == (address, "acc_1")
    assert session.unread == ("expires", "livemode")
    (warned,) = [record.getMessage() for record in caplog.records if record.name == "frame_async"]
    assert warned.startswith("order-42: session pls_1 was created")
    assert warned.endswith(": expires, livemode")
    assert "Zyxwv" not in caplog.text


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("", "must not be empty"),
        ("x" * 256, "255"),
        ("order 42", "visible ASCII"),
        ("order-42\n", "visible ASCII"),
        ("commande-é", "visible ASCII"),
        (42, "must be a string, not int"),
    ],
)
async def test_bad_idempotency_keys(
    frame: FrameClient,
    emulator: Emulator,
    order: PaymentLinkSessionRequest,
    key: str,
    says: str,
) -> None:
    """A key that can't be a header value is refused by name before anything is sent."""
    with pytest.raises(ValidationError, match="idempotency_key") as caught:
        await frame.payment_link_sessions.create(order, idempotency_key=key)
    assert says in str(caught.value)
    assert not emulator.ledger


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), True, "5"])
async def test_bad_timeouts(
    frame: FrameClient, emulator: Emulator, order: PaymentLinkSessionRequest, timeout: float
) -> None:
    """A timeout that isn't a number of seconds above 0 is refused by name."""
    with pytest.raises(ValidationError, match="timeout: must be a number of seconds above 0"):
        await frame.payment_link_sessions.create(order, timeout=timeout)
    assert not emulator.ledger


async def test_what_is_not_a_request(frame: FrameClient, emulator: Emulator) -> None:
    """A mapping in place of a request, or a number in place of a policy, is refused by name."""
    wrong: dict[str, object] = {"line_items": [{"product": "prod_1"}]}
    with pytest.raises(ValidationError, match="must be a PaymentLinkSessionRequest, not dict"):
        await frame.payment_link_sessions.create(wrong)  # type: ignore[call-overload]
    right = PaymentLinkSessionRequest(line_items=[LineItem(product="prod_1")])
    with pytest.raises(ValidationError, match="retry: must be a RetryPolicy"):
        await frame.payment_link_sessions.create(right, retry=3)  # type: ignore[call-overload]
    assert not emulator.ledger


async def test_fields_in_place_of_a_request(frame: FrameClient, emulator: Emulator) -> None:
    """The fields of a request may be keyword arguments, line items plain mappings."""
    session = await frame.payment_link_sessions.create(
        line_items=[{"product": "prod_1"}, LineItem(product="prod_2")],
        client_reference_id="order-1",
        extra={"locale": "de"},
        idempotency_key="k-fields",
    )
    assert session.client_reference_id == "order-1"
    assert emulator.ledger[0].unknown_fields == ("locale",)
    request = PaymentLinkSessionRequest(
        line_items=[LineItem(product="prod_1"), LineItem(product="prod_2")],
        client_reference_id="order-1",
        extra={"locale": "de"},
    )
    again = await frame.payment_link_sessions.create(request, idempotency_key="k-fields")
    assert again.id == session.id
    with pytest.raises(IdempotencyConflictError, match="locale"):
        await frame.payment_link_sessions.create(
            evolve(request, extra={"locale": "fr"}), idempotency_key="k-fields"
        )


async def test_wrong_fields(
    frame: FrameClient, emulator: Emulator, order: PaymentLinkSessionRequest
) -> None:
    """A misspelt field is refused with a hint, and so are fields beside a request."""
    create: Any = frame.payment_link_sessions.create
    with pytest.raises(ValidationError, match=r"account_id: .*did you mean account\?"):
        await create(line_items=[{"product": "p"}], account_id="a")
    with pytest.raises(ValidationError, match="can't go together with customer"):
        await create(order, customer="c")
    with pytest.raises(ValidationError, match="must be a PaymentLinkSessionRequest, not None"):
        await create()
    with pytest.raises(ValidationError, match="from_dict"):
        await create({"line_items": [{"product": "p"}]})
    assert not emulator.ledger


async def test_wrong_fields_show_no_card(frame: FrameClient) -> None:
    """A traceback with local variables shows no payment method data, misspelt or not."""
    create: Any = frame.payment_link_sessions.create
    card = {"type": "card", "card_number": "4242424242424242"}
    for name in ("payment_method_data", "payment_method_date"):
        with pytest.raises(ValidationError) as caught:
            await create(line_items=5, **{name: card})
        told = TracebackException.from_exception(caught.value, capture_locals=True)
        ours = [f for f in told.stack if f.filename.startswith(frame_async.__path__[0])]
        assert ours
        assert "4242424242424242" not in "".join(str(f.locals) for f in ours)


async def test_a_policy_for_one_call(order: PaymentLinkSessionRequest) -> None:
    """A retry policy given to one call counts for that call."""
    async with (
        Emulator(port=0, limit=1) as emulator,
        FrameClient(emulator.api_key, base_url=emulator.base_url, rate_limit=None) as frame,
    ):
        await frame.payment_link_sessions.create(order)
        with pytest.raises(RateLimitedError, match="gave up after 0 retries"):
            await frame.payment_link_sessions.create(order, retry=RetryPolicy(max_retries=0))


async def test_after_closing(emulator: Emulator, order: PaymentLinkSessionRequest) -> None:
    """A closed client says so; closing it again, or without ever using it, is fine."""
    async with FrameClient(emulator.api_key, base_url=emulator.base_url) as frame:
        await frame.payment_link_sessions.create(order)
    await frame.aclose()
    assert frame.closed
    with pytest.raises(ClientClosedError, match="the client is closed"):
        await frame.payment_link_sessions.create(order)
    unused = FrameClient(emulator.api_key, base_url=emulator.base_url)
    await unused.aclose()
    await unused.aclose()


@pytest.mark.parametrize("how", ["create", "create and fields", "create_many", "an item", "a bare"])
async def test_a_card_in_what_is_no_request_shows_nowhere(frame: FrameClient, how: str) -> None:
    """A dict in place of a request shows in no traceback with variables, and in no result."""
    sessions: Any = frame.payment_link_sessions
    wrong = {"payment_method_data": {"card_number": "4242424242424242"}}
    shown = ""
    try:
        match how:
            case "create":
                await sessions.create(wrong)
            case "create and fields":
                await sessions.create(wrong, line_items=[])
            case "create_many":
                sessions.create_many(wrong)
            case _:
                item = BulkItem(wrong) if how == "an item" else wrong  # type: ignore[arg-type]
                async with sessions.create_many([item]) as results:
                    async for result in results:
                        shown = repr(result)
                        raise result.error
    except ValidationError as error:
        trace = traceback.TracebackException.from_exception(error, capture_locals=True)
        ours = [str(frame.locals) for frame in trace.stack if "/frame_async/" in frame.filename]
        shown += "".join(ours) + str(error)
    assert "must be a" in shown or "can't go together" in shown
    assert "4242424242424242" not in shown
