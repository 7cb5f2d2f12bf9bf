"""How users write it, checked by mypy and pyright in strict mode; never run."""

from datetime import datetime
from typing import assert_type

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
