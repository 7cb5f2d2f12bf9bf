"""The shop's tests: with Frame's emulator, without Frame, an account or a network."""

import asyncio
from datetime import UTC, datetime

import pytest
from shop import Shop

from frame_async import LineItem, PaymentLinkSessionRequest
from frame_async.testing import signed_webhook
from frame_async.webhooks import Redirect, RedirectSigner

SECRET = "whsec_0123456789abcdef0123456789abcdef"


@pytest.fixture
def shop(frame_environment, monkeypatch):
    """A shop whose Frame is the test's emulator."""
    monkeypatch.setenv("FRAME_WEBHOOK_SECRET", SECRET)
    monkeypatch.setenv("SHOP_REDIRECT_SECRET", "a_redirect_secret")
    return Shop()


async def test_checking_out_twice_makes_one_session(shop, frame_emulator):
    first = await shop.check_out("order-42")
    again = await shop.check_out("order-42")
    assert first == again
    frame_emulator.assert_created_once("order-42")
    frame_emulator.assert_not_created("order-43")
    frame_emulator.assert_no_unknown_fields()


@pytest.mark.parametrize("naming", [{"reference": "order-42"}, {"metadata": {"no": "order-42"}}])
async def test_a_paid_order_is_shipped_once(shop, naming):
    await shop.check_out("order-42")
    body, headers = signed_webhook("transfer.succeeded", naming, secret=SECRET)
    assert await shop.receive(body, headers) == 200
    assert await shop.receive(body, headers) == 200  # delivered again
    assert (shop.paid, shop.for_a_person) == (["order-42"], [])


@pytest.mark.parametrize(
    "naming",
    [
        {"charge_intent": "ci_1", "account": "acc_1"},  # what Frame publishes, and names no order
        {"reference": "order-42", "metadata": {"no": "order-43"}},  # two orders
    ],
)
async def test_a_payment_without_its_order_is_for_a_person(shop, naming):
    for number in ("order-42", "order-43"):
        await shop.check_out(number)
    body, headers = signed_webhook("transfer.succeeded", naming, secret=SECRET)
    assert await shop.receive(body, headers) == 200
    assert (shop.paid, len(shop.for_a_person)) == ([], 1)


async def test_a_forged_webhook_ships_nothing(shop):
    await shop.check_out("order-42")
    body, headers = signed_webhook("transfer.succeeded", {"reference": "order-42"}, secret="forged")
    assert await shop.receive(body, headers) == 400
    assert (shop.paid, shop.for_a_person) == ([], [])


async def test_an_order_that_fails_to_ship_is_tried_again(shop, monkeypatch):
    await shop.check_out("order-42")
    body, headers = signed_webhook("transfer.succeeded", {"reference": "order-42"}, secret=SECRET)
    with monkeypatch.context() as broken:
        broken.setattr(shop, "act", lambda event: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await shop.receive(body, headers)
    assert await shop.receive(body, headers) == 200
    assert shop.paid == ["order-42"]


def order(number):
    return PaymentLinkSessionRequest(
        client_reference_id=f"order-{number}", line_items=[LineItem(product="prod_mug")]
    )


async def test_a_burst_of_orders_keeps_within_the_rate_limit(
    frame_client, frame_clock, frame_emulator
):
    """120 orders at 50 a minute take two minutes, and no time here."""
    for number in range(120):
        await frame_client.payment_link_sessions.create(order(number), timeout=90)
    requests = frame_emulator.ledger
    assert len(requests) == 120
    assert requests[-1].received - requests[0].received >= 120
    frame_emulator.assert_no_429()


@pytest.mark.frame_emulator(limit=None)
async def test_a_burst_of_orders_without_a_rate_limit(frame_client, frame_emulator):
    async with asyncio.TaskGroup() as group:
        for number in range(120):
            group.create_task(frame_client.payment_link_sessions.create(order(number)))
    assert len(frame_emulator.created()) == 120


def test_the_payer_comes_back(shop):
    signer = RedirectSigner("a_redirect_secret")
    back = Redirect(
        session="ses_1",
        result="paid",
        client_reference_id="order-42",
        issued_at=datetime.now(UTC),
    )
    url = signer.append("https://shop.example/thanks", back)
    assert shop.thank(url) == "Thank you. Your order order-42 is returned."
    assert shop.thank(url.replace("frame_payload=", "frame_payload=x")) == (
        "Thank you. We will write to you."
    )
    assert shop.paid == []
