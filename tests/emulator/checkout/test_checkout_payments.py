"""Paying in a real browser, from the session's address to the shop."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from playwright.async_api import Page
from support.payers import PAY, enter_account, enter_card, error_of, heading, pay
from support.shops import Shop, open_shop, read_payload

from frame_async.emulator import Emulator

pytestmark = pytest.mark.asyncio(loop_scope="session")
Create = Callable[..., Awaitable[str]]


def id_of(url: str) -> str:
    return url.rpartition("/")[2]


def types(shop: Shop) -> list[str]:
    """The types of the events that came, without the one of the session's creation."""
    found = sorted(event["type"] for event in shop.events)
    found.remove("payment_link.created")
    return found


async def test_card_to_shop(
    page: Page, create: Create, shop: Shop, emulator: Emulator, clock: Any
) -> None:
    """A paid card leads to success_url as it was, with a signed payload, and to three events."""
    url = await create(
        success_url=f"{shop.url}/thanks?a=1&a=&b=%20x+y#top", client_reference_id="order-1"
    )
    await page.goto(url)
    await page.get_by_label("E-mail").fill("ada@example.com")
    await enter_card(page)
    clock.now += 30.7
    await pay(page)
    await page.wait_for_url(f"{shop.url}/thanks?**")
    assert page.url.endswith("#top")
    (visit,) = shop.visits
    assert visit.startswith("/thanks?a=1&a=&b=%20x+y&frame_payload=")
    assert read_payload(visit) == {
        "session": id_of(url),
        "client_reference_id": "order-1",
        "result": "paid",
        "payment_status": "paid",
        "issued_at": 1_800_000_030,
    }
    await emulator.webhooks.settled()
    assert types(shop) == ["charge_intent.succeeded", "transfer.succeeded"]
    (data,) = [e["data"] for e in shop.events if e["type"] == "transfer.succeeded"]
    price = data.pop("amount")
    assert 600 <= price < 10_000
    assert data.pop("id")
    assert data.pop("charge_intent")
    assert data == {
        "object": "transfer",
        "status": "succeeded",
        "metadata": {},
        "account": None,
        "account_id": None,
        "reference": None,
        "failure_reason": None,
    }


async def test_paid_page(page: Page, create: Create) -> None:
    """Without a success_url the payer stays on a page that says that it is paid."""
    url = await create(customer_email="ada@example.com", client_reference_id="order-2")
    await page.goto(url)
    amount = await page.locator("h1 output").inner_text()
    await enter_card(page)
    await pay(page)
    await page.wait_for_selector(".notice.paid")
    assert await heading(page) == "Payment successful"
    facts = await page.locator(".facts").inner_text()
    assert amount in facts
    assert "order-2" in facts
    assert "You can close this window." in await page.inner_text("main")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        ("4726843338079575", "Your card was declined."),  # stolen_card: not for the payer
        ("4726846912498186", "too little money"),
    ],
)
async def test_decline_then_success(
    page: Page, create: Create, shop: Shop, emulator: Emulator, number: str, words: str
) -> None:
    """A decline says what a payer may know and keeps all but the card; another card then pays."""
    await page.goto(await create(success_url=f"{shop.url}/thanks", phone_number_collection=True))
    await page.get_by_label("E-mail").fill("ada@example.com")
    await page.get_by_label("Phone").fill("+1 202 555 0123")
    await enter_card(page, number)
    await pay(page)
    alert = page.get_by_role("alert")
    assert words in await alert.inner_text()
    assert "stolen" not in (await page.locator("form").all_inner_texts())[1]
    assert await page.get_by_label("E-mail").input_value() == "ada@example.com"
    assert await page.get_by_label("Phone").input_value() == "+1 202 555 0123"
    for label in ("Card number", "Expiry date", "Security code"):
        assert await page.get_by_label(label).input_value() == ""
    await enter_card(page, "5555555555554444")
    await pay(page)
    await page.wait_for_url(f"{shop.url}/thanks?**")
    await emulator.webhooks.settled()
    assert types(shop) == ["charge_intent.succeeded", "transfer.failed", "transfer.succeeded"]


async def test_merchant_learns_the_true_code(
    page: Page, create: Create, shop: Shop, emulator: Emulator
) -> None:
    """The webhook of a decline carries Frame's own code, also where the payer sees none."""
    await page.goto(await create(customer_email="ada@example.com"))
    await enter_card(page, "4726843338079575")
    await pay(page)
    await page.get_by_role("alert").wait_for()
    await emulator.webhooks.settled()
    (data,) = [e["data"] for e in shop.events if e["type"] == "transfer.failed"]
    assert (data["failure_reason"], data["status"]) == ("stolen_card", "failed")


@pytest.mark.parametrize("number", ["4000000000003220", "4000008400001629"])
async def test_challenge_passed(page: Page, create: Create, shop: Shop, number: str) -> None:
    """A passed 3-D Secure challenge pays the one card and leaves the other one declined."""
    await page.goto(await create(success_url=f"{shop.url}/ok", customer_email="a@example.com"))
    await enter_card(page, number)
    await pay(page)
    await page.wait_for_url("**/challenge")
    assert await heading(page) == "Confirm your payment"
    await page.get_by_role("button", name="Approve the payment").click()
    if number == "4000000000003220":
        await page.wait_for_url(f"{shop.url}/ok?**")
        assert read_payload(page.url)["result"] == "paid"
    else:
        assert "was declined" in await page.get_by_role("alert").inner_text()
        assert shop.visits == []


async def test_challenge_failed(page: Page, create: Create, shop: Shop, emulator: Emulator) -> None:
    """A failed challenge charges nothing, keeps what was entered, and can be tried again."""
    items = [{"product": "prod_1", "quantity_minimum": 1, "quantity_maximum": 9}]
    url = await create(line_items=items, shipping_address_collection=True)
    await page.goto(url)
    await page.get_by_label("Quantity").select_option("4")
    await page.get_by_label("E-mail").fill("ada@example.com")
    for label in ("Full name", "Street and number", "City", "Postal code", "Country"):
        await page.get_by_label(label).fill(f"My {label}")
    await enter_card(page, "4000000000003220")
    await pay(page)
    await page.get_by_role("button", name="Fail the challenge").click()
    assert "could not confirm" in await page.get_by_role("alert").inner_text()
    assert await page.get_by_label("Quantity").input_value() == "4"
    assert await page.get_by_label("City").input_value() == "My City"
    await emulator.webhooks.settled()
    (data,) = [e["data"] for e in shop.events if e["type"] == "transfer.failed"]
    assert data["failure_reason"] == "authentication_failed"
    await enter_card(page)
    await pay(page)
    await page.wait_for_selector(".notice.paid")


async def test_challenge_of_an_old_tab(page: Page, create: Create) -> None:
    """An answer to an earlier challenge answers no later one."""
    url = await create(customer_email="ada@example.com")
    await page.goto(url)
    await enter_card(page, "4000000000003220")
    await pay(page)
    await page.wait_for_url("**/challenge")
    other = await page.context.new_page()
    await other.goto(url)
    await enter_card(other, "4000000000003220")
    await pay(other)
    await other.wait_for_url("**/challenge")
    await page.get_by_role("button", name="Approve the payment").click()
    await page.wait_for_url(url)
    assert (await heading(page)).startswith("Pay\n")
    await other.get_by_role("button", name="Approve the payment").click()
    await other.wait_for_selector(".notice.paid")


@pytest.mark.parametrize(
    ("account", "code", "ends"),
    [
        ("000123456789", None, "Payment successful"),
        ("000222222227", "insufficient_funds", "Payment failed"),
    ],
)
async def test_bank_payment_takes_its_time(
    page: Page,
    create: Create,
    shop: Shop,
    emulator: Emulator,
    clock: Any,
    account: str,
    code: str | None,
    ends: str,
) -> None:
    """A bank payment is processing when the payer is back, and ends when its time has come."""
    url = await create(success_url=f"{shop.url}/thanks", customer_email="ada@example.com")
    await page.goto(url)
    await enter_account(page, account)
    await pay(page)
    await page.wait_for_url(f"{shop.url}/thanks?**")
    payload = read_payload(page.url)
    assert (payload["result"], payload["payment_status"]) == ("processing", "processing")
    await page.goto(url)
    assert await heading(page) == "Payment processing"
    await emulator.webhooks.settled()
    assert types(shop) == []
    clock.now += 60
    name = "transfer.succeeded" if code is None else "transfer.failed"
    await until_delivered(emulator, shop, name)
    await page.get_by_role("link", name="Look again").click()
    assert await heading(page) == ends
    (data,) = [event["data"] for event in shop.events if event["type"] == name]
    assert data["failure_reason"] == code


async def until_delivered(emulator: Emulator, shop: Shop, name: str) -> None:
    import asyncio

    async with asyncio.timeout(30):
        while not any(  # noqa: ASYNC110 - the emulator has no event to wait for
            one.event_type == name for one in emulator.webhooks.deliveries()
        ):
            await asyncio.sleep(0.01)
    await emulator.webhooks.settled()


async def test_cancel(page: Page, create: Create, shop: Shop) -> None:
    """Cancelling leads to cancel_url with a signed payload, and the session stays cancelled."""
    url = await create(cancel_url=f"{shop.url}/cart?keep=1", success_url=f"{shop.url}/thanks")
    await page.goto(url)
    await page.get_by_role("button", name="Cancel and go back").click()
    await page.wait_for_url(f"{shop.url}/cart?keep=1&**")
    payload = read_payload(page.url)
    assert (payload["result"], payload["payment_status"]) == ("canceled", "unpaid")
    await page.goto(url)
    assert await heading(page) == "Payment canceled"
    await page.get_by_role("link", name="Back to the shop").click()
    await page.wait_for_url(f"{shop.url}/cart?keep=1&**")
    assert read_payload(page.url)["result"] == "canceled"


async def test_cancel_without_an_address(page: Page, create: Create) -> None:
    """Without a cancel_url the payer stays on a closing page."""
    await page.goto(await create())
    await page.get_by_role("button", name="Cancel and go back").click()
    assert await heading(page) == "Payment canceled"
    assert "You can close this window." in await page.inner_text("main")


async def test_expired(page: Page, create: Create, clock: Any) -> None:
    """A session that has expired shows so, also to a payer who had the page open."""
    url = await create(expires_in=900, customer_email="ada@example.com")
    await page.goto(url)
    clock.now += 900
    await enter_card(page)
    await pay(page)
    assert await heading(page) == "This payment link has expired"
    assert page.url == url


async def test_paid_once(page: Page, create: Create, shop: Shop, emulator: Emulator) -> None:
    """Pressing twice, going back and pressing again pay once and lead to the same place."""
    url = await create(success_url=f"{shop.url}/thanks", customer_email="ada@example.com")
    await page.goto(url)
    await enter_card(page)
    await page.locator(PAY).dblclick(no_wait_after=True)
    await page.wait_for_url(f"{shop.url}/thanks?**")
    await page.go_back()
    assert await heading(page) == "Payment successful"
    await page.get_by_role("link", name="Continue to the shop").click()
    await page.wait_for_url(f"{shop.url}/thanks?**")
    await emulator.webhooks.settled()
    assert types(shop).count("transfer.succeeded") == 1


async def test_two_tabs_pay_once(
    page: Page, create: Create, shop: Shop, emulator: Emulator
) -> None:
    """A form that comes after another one has paid leads to where that one led."""
    url = await create(success_url=f"{shop.url}/thanks", customer_email="ada@example.com")
    tabs = [page, await page.context.new_page()]
    for tab in tabs:
        await tab.goto(url)
        await enter_card(tab)
    for tab in tabs:
        await pay(tab)
        await tab.wait_for_url(f"{shop.url}/thanks?**")
    await emulator.webhooks.settled()
    assert types(shop).count("transfer.succeeded") == 1


async def test_saved_payment_method(page: Page, create: Create, shop: Shop) -> None:
    """A session with a payment_method offers it first, and pays with it at a click."""
    url = await create(
        account="acc_1",
        payment_method="pm_1",
        customer_email="ada@example.com",
        success_url=f"{shop.url}/thanks",
    )
    await page.goto(url)
    assert "pm_1" in await page.locator(".panel.saved").inner_text()
    assert not await page.get_by_label("Card number").is_visible()
    await pay(page)
    await page.wait_for_url(f"{shop.url}/thanks?**")


async def test_no_real_card(page: Page, create: Create) -> None:
    """A card that is not one of Frame's test cards is refused as such, and not repeated."""
    await page.goto(await create(customer_email="ada@example.com"))
    await enter_card(page, "4111111111111111")
    await pay(page)
    assert "not one of Frame's test cards" in await error_of(page, "card_number")
    assert "4111" not in (await page.content()).replace("4111 11", "")


async def test_chain_of_redirects(page: Page, create: Create, shop: Shop, watch: Any) -> None:
    """A shop that sends its payers on to another host gets them there: no policy is in the way."""
    async with open_shop() as other:
        watch.allowed = (*watch.allowed, other.url)
        await page.goto(await create(cancel_url=f"{shop.url}/onward?to={other.url}/end"))
        await page.locator(".back").click()
        await page.wait_for_url(f"{other.url}/end", wait_until="networkidle")
        await page.goto("about:blank")  # before its server closes
    assert read_payload(shop.visits[0])["result"] == "canceled"
