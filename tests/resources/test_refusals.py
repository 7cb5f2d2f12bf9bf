"""What a call says when it ends without a session: the class, the story, and no secret."""

import json
from typing import Any

import pytest
from support.clients import attempt
from support.faults import FaultServer, Play, answer, cut_answer, refusal
from support.shown import shows

from frame_async import (
    BankAccount,
    CallError,
    Card,
    FrameClient,
    LineItem,
    NotSentError,
    OutcomeUnknownError,
    PaymentLinkSessionRequest,
    RequestRefusedError,
    RetryPolicy,
)
from frame_async.errors import (
    AuthenticationError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
)
from frame_async.stores import MemoryStore
from frame_async.testing import FrameResponses, VirtualClock

ONCE = RetryPolicy(max_retries=0)


async def ended(
    play: Play, request: PaymentLinkSessionRequest, retry: RetryPolicy = ONCE
) -> CallError:
    """The error with which a call ends."""
    clock = VirtualClock()
    async with (
        FaultServer.playing(play) as server,
        FrameClient(
            "sk_sandbox_1",
            base_url=server.url,
            rate_limit=None,
            store=MemoryStore(now=clock.monotonic),
            clock=clock,
        ) as frame,
    ):
        error = await attempt(frame, request, retry=retry)
    assert isinstance(error, CallError)
    return error


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, RequestRefusedError),
        (401, AuthenticationError),
        (402, RequestRefusedError),
        (403, PermissionDeniedError),
        (404, NotFoundError),
        (405, RequestRefusedError),
        (422, RequestRefusedError),
        (429, RateLimitedError),
        (500, OutcomeUnknownError),
    ],
)
async def test_the_status_chooses_the_error(
    frame_responses: FrameResponses, order: PaymentLinkSessionRequest, status: int, kind: type
) -> None:
    """Each refusal has the error of its status, and says whether a session may exist."""
    frame_responses.refuses(status)
    async with frame_responses.connect() as frame:
        error = await attempt(frame, order, retry=ONCE)
    assert type(error) is kind
    unknown = kind is OutcomeUnknownError
    begin = "a session may exist: " if unknown else "nothing was created: "
    assert str(error).startswith(begin)


@pytest.mark.parametrize("retries", [0, 1, 2])
async def test_the_story_of_a_call(order: PaymentLinkSessionRequest, retries: int) -> None:
    """The message has what happened last, how often it was tried, and why it ended."""
    said = refusal("503 No", body=b'{"error": "busy"}')
    policy = RetryPolicy(max_retries=retries)
    error = await ended(answer(*[said] * 3), order, policy)
    last, *more = str(error).split("; ")
    assert last.startswith("a session may exist: ")
    assert "busy" in last
    tries = [f"{retries + 1} attempts"] if retries else []
    assert more == [*tries, f"gave up after {retries} retries"]


async def test_a_call_without_an_answer_says_why(order: PaymentLinkSessionRequest) -> None:
    """Where no answer came, the reason is what is said; where nothing left, that."""
    error = await ended(cut_answer(0), order)
    assert type(error) is OutcomeUnknownError
    assert str(error).startswith("a session may exist: the connection broke")
    async with FrameClient("sk_sandbox_1", base_url="http://localhost:1") as frame:
        unsent = await attempt(frame, order, retry=ONCE)
    assert type(unsent) is NotSentError
    assert str(unsent).startswith("nothing was sent: no connection")


CARD = {"type": "card", "card_number": "4242424242424242", "exp_month": "12", "exp_year": "2031"}
NESTED = {"type": "odd", "a": {"b": ["PRIVATE-1", {"c": 7777}]}, "d": ("PRIVATE-2",), "e": "no"}


@pytest.mark.parametrize(
    ("data", "hidden", "shown"),
    [
        (CARD, ["4242424242424242", "2031"], ["12", "card"]),
        (
            Card(card_number="4242424242424242", exp_month="12", exp_year="2031", cvc="737"),
            ["4242424242424242", "2031", "737"],
            ["12", "card"],
        ),
        (
            BankAccount(
                account_type="checking", account_number="123456789", routing_number="021000021"
            ),
            ["123456789", "021000021"],
            ["ach"],
        ),
        (NESTED, ["PRIVATE-1", "PRIVATE-2", "7777"], ["no", "odd"]),
    ],
    ids=["mapping", "card", "bank account", "nested"],
)
async def test_payment_method_data_that_is_echoed_is_hidden(
    data: Any, hidden: list[str], shown: list[str]
) -> None:
    """A server may echo what was sent: secrets are hidden in the error, ordinary words aren't."""
    request = PaymentLinkSessionRequest(
        customer="cus_1", line_items=[LineItem(product="prod_1")], payment_method_data=data
    )
    echoed = [f"<{value}>" for value in [*hidden, *shown]]
    body = json.dumps({"error": {"message": " ".join(echoed), "errors": {"x": echoed}}}).encode()
    error = await ended(answer(refusal("422 No", body=body)), request)
    assert isinstance(error, RequestRefusedError)
    said = f"{error} {error.field_errors}"
    assert [value for value in hidden if shows(said, value)] == []
    assert [value for value in shown if f"<{value}>" not in said] == []
