"""How users write it, checked by mypy and pyright in strict mode; never run."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, assert_type

from frame_async import (
    Attempt,
    BankAccount,
    Call,
    Card,
    FrameClient,
    LineItem,
    Outcome,
    OutcomeUnknownError,
    PaymentLinkSession,
    PaymentLinkSessionRequest,
    RequestRefusedError,
    RetryPolicy,
)
from frame_async.bulk import BulkItem, BulkResult, BulkResults
from frame_async.testing import EmulatorThread, VirtualClock, connect
from frame_async.webhooks import (
    Event,
    Redirect,
    RedirectScheme,
    RedirectSigner,
    Turn,
    WebhookReceiver,
)


async def the_readme() -> None:
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
        assert_type(session, PaymentLinkSession)
        assert_type(session.id, str)
        assert_type(session.status, str | None)
        assert_type(session.expires, datetime | None)
        assert_type(session.url, str | None)
        assert_type(session.call, Call)
        assert_type(session.call.attempts, tuple[Attempt, ...])


async def the_errors(frame: FrameClient, request: PaymentLinkSessionRequest) -> None:
    try:
        await frame.payment_link_sessions.create(request, timeout=5, retry=RetryPolicy())
    except RequestRefusedError as refused:
        assert_type(refused.status, int | None)
        assert_type(refused.call, Call)
    except OutcomeUnknownError as unknown:
        assert_type(unknown.call.outcome, Outcome)
        assert_type(unknown.call.possible_duplicates, int)


async def the_webhooks(body: bytes, headers: Mapping[str, str]) -> None:
    async with WebhookReceiver(["old", "new"], store="memory://") as receiver:
        event = receiver.verify(body, headers)
        assert_type(event, Event)
        assert_type(event.created, datetime | None)
        assert_type(event.data, Mapping[str, Any])
        assert_type(event.session_id, str | None)
        async with receiver.once(event) as turn:
            assert_type(turn, Turn)
            assert_type(turn.first, bool)
        receiver.verify(body, list(headers.items()))
        receiver.verify("text", headers)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def the_redirects(url: str) -> None:
    signer = RedirectSigner("a_redirect_secret", scheme=RedirectScheme(covers="url", max_age=None))
    redirect = signer.verify(url)
    assert_type(redirect, Redirect)
    assert_type(redirect.result, str)
    assert_type(signer.append(url, redirect), str)
    RedirectScheme(algorithm="md5")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def the_fixtures(frame_emulator: EmulatorThread, frame_clock: VirtualClock) -> None:
    assert_type(frame_emulator.assert_created_once("order-42"), str)
    assert_type(frame_emulator.call(lambda emulator: emulator.base_url), str)
    await frame_emulator.acall(lambda emulator: emulator.aclose())
    async with connect(frame_emulator, timeout=5) as frame:
        assert_type(frame, FrameClient)
    assert_type(frame_clock.time(), float)


async def the_plain_values(frame: FrameClient, request: PaymentLinkSessionRequest) -> None:
    session = await frame.payment_link_sessions.create(
        line_items=[{"product": "prod_1"}, LineItem(product="prod_2")],
        client_reference_id=None,
        payment_method_data={"type": "card"},
        extra={"locale": "de"},
        idempotency_key="order-42",
    )
    assert_type(session.checkout_url, str)
    assert_type(session.to_dict(), dict[str, Any])
    assert_type(PaymentLinkSession.from_dict({"id": "pls_1"}), PaymentLinkSession)
    assert_type(PaymentLinkSessionRequest.from_dict(request.to_dict()), PaymentLinkSessionRequest)
    await frame.payment_link_sessions.create(line_items=[{"produkt": "p"}])  # type: ignore[list-item]  # pyright: ignore[reportCallIssue, reportArgumentType]
    await frame.payment_link_sessions.create(customer="c")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    await frame.payment_link_sessions.create(request, customer="c")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


async def many(frame: FrameClient, request: PaymentLinkSessionRequest, row: int) -> None:
    assert_type(BulkItem(request), BulkItem[Any])
    assert_type(BulkItem(request, "key", row), BulkItem[int])
    assert_type(BulkItem(request, context=row), BulkItem[int])
    async for bare in frame.payment_link_sessions.create_many([request], ordered=True):
        assert_type(bare, BulkResult[Any])
        assert_type(bare.session, PaymentLinkSession | None)
    results = frame.payment_link_sessions.create_many(BulkItem(request, "k", n) for n in range(9))
    assert_type(results, BulkResults[int])
    async for result in results:
        assert_type(result, BulkResult[int])
        assert_type(result.item.context, int)


def the_models(item: LineItem) -> None:
    PaymentLinkSessionRequest(line_items=(item,), payment_method_data={"type": "card"})
    card = Card(card_number="4", exp_month="01", exp_year=2031, cvc="123", billing={"city": "x"})
    PaymentLinkSessionRequest(line_items=iter([item]), customer="c", payment_method_data=card)
    account = BankAccount(account_type="checking", account_number="1", routing_number="2")
    PaymentLinkSessionRequest(line_items=[item], customer="c", payment_method_data=account)
    LineItem(product=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    LineItem()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    PaymentLinkSessionRequest(line_items=[item], account_id="x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    item.product = "other"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
