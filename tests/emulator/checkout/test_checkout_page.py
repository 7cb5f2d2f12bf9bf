"""The checkout page as a page: for every hand, eye, screen and browser."""

from collections.abc import Awaitable, Callable
from typing import Any, Literal

import pytest
from playwright.async_api import Page
from support.browser_checks import faults_of, pale_texts, too_wide
from support.payers import PAY, enter_account, enter_card, error_of, heading, pay
from support.shops import Shop, read_payload

from frame_async.emulator import Emulator

pytestmark = pytest.mark.asyncio(loop_scope="session")
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
Create = Callable[..., Awaitable[str]]

EVERYTHING: dict[str, Any] = {
    "line_items": [
        {"product": "prod_1", "quantity_minimum": 1, "quantity_maximum": 5},
        {"product": "prod_2"},
        {"product": "x" * 90, "quantity_minimum": 2, "quantity_maximum": 5_000_000},
    ],
    "client_reference_id": "a-reference-without-a-break-" * 4,
    "account": "acc_1",
    "payment_method": "pm_" + "y" * 60,
    "phone_number_collection": True,
    "shipping_address_collection": True,
}
EVIL = "\"'><img src=x onerror=alert(1)><script>alert(2)</script>{0}{text}&lt;"


async def every_page(page: Page, create: Create, shop: Shop, clock: Any) -> Any:
    """Walk through every page that there is, and stop at each."""
    await page.goto(await create(**EVERYTHING))
    await page.locator("summary").click()
    yield "form"
    await page.get_by_text("Card", exact=True).click()
    await pay(page)
    yield "errors"
    bank = {**EVERYTHING, "customer_email": "ada@example.com"}
    bank |= {"phone_number_collection": False, "shipping_address_collection": False}
    url = await create(**bank)
    await page.goto(url)
    await page.get_by_text("Card", exact=True).click()
    await enter_card(page, "4726848138487043")
    await pay(page)
    yield "declined"
    await page.get_by_text("Card", exact=True).click()
    await enter_card(page, "4000000000003220")
    await pay(page)
    await page.wait_for_url("**/challenge")
    yield "challenge"
    await page.get_by_role("button", name="Approve the payment").click()
    yield "paid"
    url = await create(**bank, success_url=f"{shop.url}/thanks")
    await page.goto(url)
    await enter_account(page, "000222222227")
    await pay(page)
    await page.wait_for_url(f"{shop.url}/thanks?**")
    await page.goto(url)
    yield "processing"
    await page.goto(await create(**bank, cancel_url=f"{shop.url}/cart"))
    url = page.url
    await page.locator(".back").click()
    await page.wait_for_url(f"{shop.url}/cart?**")
    await page.goto(url)
    yield "canceled"
    url = await create(**bank, expires_in=900)
    clock.now += 900
    await page.goto(url)
    yield "expired"
    await page.goto(f"{url}x")
    yield "missing"


async def test_every_page_can_be_read_and_fits(
    page: Page, create: Create, shop: Shop, clock: Any
) -> None:
    """Every page names all its parts, has contrast by day and night, and fits every phone."""
    seen = []
    async for name in every_page(page, create, shop, clock):
        seen.append(name)
        assert await faults_of(page) == [], name
        for scheme in SCHEMES:
            await page.emulate_media(color_scheme=scheme)
            assert await pale_texts(page) == [], (name, scheme)
        for width in (390, 320):
            await page.set_viewport_size({"width": width, "height": 700})
            assert await too_wide(page) == [], (name, width)
        await page.set_viewport_size({"width": 1280, "height": 900})
    assert len(seen) == 9


async def test_keyboard_only(page: Page, create: Create, shop: Shop) -> None:
    """A payer without a mouse chooses, fills in, and pays with Enter; the focus can be seen."""
    items = [{"product": "prod_1", "quantity_minimum": 1, "quantity_maximum": 3}]
    await page.goto(await create(line_items=items, success_url=f"{shop.url}/thanks"))

    async def tab_to(selector: str) -> None:
        for _ in range(20):
            await page.keyboard.press("Tab")
            if await page.locator(f"{selector}:focus").count():
                break
        assert await page.locator(f"{selector}:focus").count(), selector
        ring = "e => getComputedStyle(e).outlineStyle"
        marked = page.locator(f"{selector}:focus")
        if selector.startswith("#by-"):
            marked = page.locator(f"{selector} + label")
        assert await marked.evaluate(ring) == "solid", selector

    await tab_to(".back")
    await tab_to("#quantity_0")
    await page.keyboard.press("ArrowDown")
    await tab_to("#email")
    await page.keyboard.type("ada@example.com")
    await tab_to("#by-card")
    await page.keyboard.press("ArrowRight")
    assert await page.locator("#by-bank").is_checked()
    await page.keyboard.press("ArrowLeft")
    await tab_to("#card_number")
    await page.keyboard.type("4242424242424242")
    await tab_to("#card_expiry")
    await page.keyboard.type("1234")
    await tab_to("#card_cvc")
    await page.keyboard.type("123")
    assert await page.locator("#card_number").input_value() == "4242 4242 4242 4242"
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"{shop.url}/thanks?**")
    assert read_payload(page.url)["result"] == "paid"


async def test_errors_are_next_to_their_fields(page: Page, create: Create) -> None:
    """What is wrong is said at the field and in a list that is focused; the rest is kept."""
    await page.goto(await create(**EVERYTHING))
    await page.get_by_text("Card", exact=True).click()
    await page.get_by_label("E-mail").fill("no address")
    await page.get_by_label("City").fill("Turin")
    await page.get_by_label("Expiry date").fill("13/30")
    await page.get_by_label("Security code").fill("12")
    await pay(page)
    assert await error_of(page, "email") == "Enter an e-mail address, like name@example.com."
    assert await error_of(page, "card_number") == "Enter the number of a test card."
    assert await error_of(page, "card_expiry") == "Enter month and year, like 12 / 34."
    assert await error_of(page, "card_cvc") == "Enter the 3 or 4 digits."
    assert "postal code" in await error_of(page, "ship_postal_code")
    assert await page.get_by_label("City").get_attribute("aria-invalid") is None
    assert await page.get_by_label("City").input_value() == "Turin"
    assert await page.get_by_label("E-mail").input_value() == "no address"
    assert await page.get_by_label("Security code").input_value() == ""
    assert await page.locator(".alert:focus").count() == 1
    assert (await page.title()).startswith("Error: ")
    await page.get_by_role("alert").get_by_text("Enter the 3 or 4 digits.").click()
    assert await page.locator("#card_cvc:focus").count() == 1


async def test_quantities_stay_in_bounds(page: Page, create: Create) -> None:
    """A few can be picked, many typed, one is fixed; the server refuses what is out of bounds."""
    await page.goto(await create(**EVERYTHING))
    options = await page.locator("#quantity_0 option").all_inner_texts()
    assert options == ["1", "2", "3", "4", "5"]
    assert await page.locator("#quantity_1").evaluate("e => e.tagName") == "P"
    many = page.locator("#quantity_2")
    assert await many.input_value() == "2"
    assert await many.get_attribute("max") == "999999"
    await many.fill("1")
    await pay(page)
    assert await error_of(page, "quantity_2") == "Enter a number from 2 to 999999."
    assert await many.input_value() == "1"


async def test_total_follows_the_quantities(page: Page, create: Create) -> None:
    """The script counts as the server does, to the cent."""
    items = [{"product": f"prod_{n}", "quantity_maximum": 500} for n in range(4)]
    url = await create(line_items=items, customer_email="ada@example.com")
    await page.goto(url)
    before = await page.locator("h1 output").inner_text()
    for n in range(4):
        await page.locator(f"#quantity_{n}").fill(str(n * 111 + 2))
    after = await page.locator("h1 output").inner_text()
    assert after != before
    assert await page.locator(PAY).inner_text() == f"Pay {after}"
    await enter_card(page)
    await pay(page)
    assert after in await page.locator(".facts").inner_text()


async def test_test_values_at_a_touch(page: Page, create: Create) -> None:
    """Every test value of the list fills the form that it belongs to."""
    await page.goto(await create(customer_email="ada@example.com"))
    await page.locator("summary").click()
    await page.get_by_role("button", name="Use 000123456789").click()
    assert await page.locator("#by-bank").is_checked()
    assert await page.get_by_label("Routing number").input_value() == "110000000"
    await page.get_by_role("button", name="Use 3782 822463 10005").click()
    assert await page.locator("#by-card").is_checked()
    await pay(page)
    await page.wait_for_selector(".notice.paid")


async def test_works_without_scripts(plain_page: Page, create: Create, shop: Shop) -> None:
    """A browser that runs no scripts counts at a button, chooses a way to pay, and pays."""
    page = plain_page
    items = [{"product": "prod_1", "quantity_minimum": 1, "quantity_maximum": 3}]
    await page.goto(await create(line_items=items, success_url=f"{shop.url}/thanks"))
    total = page.locator("h1 output")
    before = await total.inner_text()
    await page.get_by_label("E-mail").fill("ada@example.com")
    await page.get_by_label("Quantity").select_option("3")
    await page.get_by_role("button", name="Update the total").click()
    assert await total.inner_text() != before
    assert await page.get_by_label("Quantity").input_value() == "3"
    assert await page.get_by_role("alert").count() == 0
    assert not await page.get_by_label("Account number").is_visible()
    await enter_account(page, "000123456789")
    assert not await page.get_by_label("Card number").is_visible()
    await page.get_by_label("Account number").press("Enter")  # which pays, and updates nothing
    await page.wait_for_url(f"{shop.url}/thanks?**")
    assert read_payload(page.url)["result"] == "processing"


async def test_markup_is_shown_not_obeyed(page: Page, create: Create, shop: Shop) -> None:
    """Markup in anything that the page shows stays text, and ends in no policy either."""
    fields = {
        "line_items": [{"product": EVIL, "quantity_maximum": 3}],
        "client_reference_id": EVIL,
        "customer_email": EVIL,
        "success_url": f"{shop.url}/x?\"'><script>alert(3)</script>#\"'>",
        "cancel_url": f"{shop.url}/y?\"'><script>alert(4)</script>",
        "phone_number_collection": True,
        "shipping_address_collection": True,
    }
    await page.goto(await create(**fields))
    assert await page.locator(".item .id").inner_text() == EVIL
    assert await page.locator(".reference b").inner_text() == EVIL
    assert await page.get_by_label("E-mail").input_value() == EVIL
    for label in ("Phone", "Full name", "Street and number", "City", "Country"):
        await page.get_by_label(label).fill(EVIL)
    await pay(page)
    assert await page.get_by_label("City").input_value() == EVIL
    assert await page.locator("img").count() == 0
    assert await page.locator("script").count() == 1
    url = page.url
    await page.locator(".back").click()
    await page.wait_for_url(f"{shop.url}/y?**")
    await page.goto(url)
    assert await page.locator("script").count() == 0
    assert EVIL in await page.inner_text("body") or await heading(page) == "Payment canceled"


async def test_another_site_can_not_pay(
    page: Page, create: Create, shop: Shop, emulator: Emulator
) -> None:
    """A form on another site that knows a session's address cancels and pays nothing."""
    url = await create()
    await page.goto(f"{shop.url}/forge?to={url}")
    await page.get_by_role("button", name="Win!").click()
    assert await heading(page) == "Nothing was done"
    assert emulator.ledger[-1].status == 403
    await page.goto(url)
    assert (await heading(page)).startswith("Pay")
