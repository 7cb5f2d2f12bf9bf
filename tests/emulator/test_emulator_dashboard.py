"""The dashboard in a real browser: live, usable, accessible, and nothing from outside."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import Browser
from support.shops import open_shop

from frame_async.emulator import Emulator

pytestmark = pytest.mark.asyncio(loop_scope="session")
PATH = "/v1/payment_link_sessions"
Connect = Callable[..., aiohttp.ClientSession]


class Screen:
    """One page, and everything that went wrong on it."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.addresses: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.addresses.append(request.url))


@pytest_asyncio.fixture(loop_scope="session")
async def screen(browser: Browser) -> AsyncIterator[Screen]:
    """A page in a profile of its own."""
    page = await browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(30_000)
    yield Screen(page)
    await page.close()


@pytest_asyncio.fixture(loop_scope="session")
async def emulator() -> AsyncIterator[Emulator]:
    """An emulator without a rate limit, on the loop of the browser."""
    async with Emulator(limit=None) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def shop_url() -> AsyncIterator[str]:
    """Where somebody takes webhooks."""
    async with open_shop() as shop:
        yield f"{shop.url}/a/long/path/to/where/webhooks/are/taken"


async def test_an_operator_runs_the_emulator_from_the_dashboard(
    screen: Screen, connect: Connect, order: dict[str, Any]
) -> None:
    """Requests show up by themselves; faults, limit, clock and reset work, by keyboard too."""
    page = screen.page
    async with Emulator(limit=50) as emulator, connect(emulator) as http:
        await page.goto(emulator.base_url)
        await page.get_by_text("No request yet").wait_for()
        evil = "<img src=x onerror=alert(1)>"
        await http.post(PATH, json=order | {"client_reference_id": evil, "acount": "acc_1"})
        await page.locator("#requests").get_by_text(evil).wait_for()
        assert await page.locator("#n-created").inner_text() == "1"
        await page.locator("#warnings").get_by_text("acount").wait_for()
        words = await page.get_by_role("img", name="1 of 50 in the window").count()
        assert words == 1

        await page.get_by_text("Add a fault").focus()
        await page.keyboard.press("Enter")
        await page.get_by_label("What goes wrong").select_option("create_and_truncate")
        await page.get_by_label("Bytes of the answer sent").fill("40")
        await page.get_by_label("So many times").fill("1")
        await page.get_by_role("button", name="Add fault").click()
        switch = page.get_by_role("switch", name="fault_1: create_and_truncate")
        await switch.wait_for()
        (fault,) = emulator.faults
        assert (fault.do, fault.at, fault.times) == ("create_and_truncate", 40, 1)
        await switch.focus()
        await page.keyboard.press("Space")
        await page.locator('[role=switch][aria-checked="false"]').wait_for()
        assert not fault.on
        assert await switch.evaluate("each => each === document.activeElement")
        await switch.click()
        await page.locator('[role=switch][aria-checked="true"]').wait_for()
        with pytest.raises(aiohttp.ClientConnectionError):
            await http.post(PATH, json=order)
        await page.get_by_text("sent 40 of").wait_for()
        await page.get_by_role("button", name="Details of request 2").click()
        await page.locator("#dialog-facts").get_by_text("create_and_truncate").wait_for()
        await page.keyboard.press("Escape")
        await page.get_by_role("button", name="Remove fault_1").click()
        await page.locator("#faults li").wait_for(state="detached")

        await page.get_by_role("spinbutton", name="Requests").fill("2")
        await page.get_by_role("button", name="Change").click()
        await page.get_by_text("The limit is changed").wait_for()
        assert emulator.limit == 2
        assert (await http.post(PATH, json=order)).status == 429
        await page.get_by_role("button", name="+1 day").click()
        await page.locator("#sessions").get_by_text("expired").first.wait_for()
        await page.get_by_label("Show one reference only").fill("none such")
        await page.locator("#requests tr").first.wait_for(state="detached")
        page.on("dialog", lambda dialog: asyncio.ensure_future(dialog.accept()))
        await page.get_by_role("button", name="Reset…").click()
        await page.get_by_text("Everything is forgotten").wait_for()
        assert emulator.ledger == ()
        assert screen.complaints == []
        assert all(address.startswith((emulator.base_url, "data:")) for address in screen.addresses)


async def test_a_page_elsewhere_gets_nothing(
    screen: Screen, emulator: Emulator, until: Callable[..., Any]
) -> None:
    """A script of another origin, in a real browser, can neither read nor change anything."""
    emulator.advance(1)
    async with Emulator() as elsewhere:
        await screen.page.goto(f"{elsewhere.base_url}/openapi.json")
        for method, mode in (("POST", "no-cors"), ("POST", "cors"), ("GET", "no-cors")):
            await screen.page.evaluate(
                "([to, method, mode]) => fetch(to, {method, mode}).then(() => 0, () => 0)",
                [f"{emulator.base_url}/_emulator/reset", method, mode],
            )
        assert emulator._state.clock.offset == 1


async def test_pages_fit_and_say_their_names(screen: Screen, emulator: Emulator) -> None:
    """Nothing is wider than a desk or a phone, and every control has a name to be read out."""
    for path in ("/", "/docs"):
        await screen.page.goto(emulator.base_url + path)
        await screen.page.locator("main").wait_for()
        for width, height in ((390, 844), (1280, 900)):
            await screen.page.set_viewport_size({"width": width, "height": height})
            assert await screen.page.evaluate(
                "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
            )
        nameless = await screen.page.evaluate(
            """() => [...document.querySelectorAll("button, a, input, select")].filter((each) =>
              !(each.textContent.trim() || each.getAttribute("aria-label")
                || each.labels?.[0]?.textContent.trim())).length"""
        )
        assert nameless == 0
    assert screen.complaints == []


async def test_nothing_is_pushed_out(screen: Screen, connect: Connect, shop_url: str) -> None:
    """After visits, remarks, faults and deliveries, every column and button is to be seen."""
    page = screen.page
    options: dict[str, Any] = {"limit": None, "webhooks": [shop_url], "webhook_backoff": ()}
    async with Emulator(**options) as emulator, connect(emulator) as http:
        odd = {"customer": None, "client_reference_id": None, "acount": 1, "expires": 2}
        body = {"line_items": [{"product": "p"}]}
        url = (await (await http.post(PATH, json=body | odd)).json())["url"]
        await http.post(PATH, json=body | {"client_reference_id": "order-" + "x" * 200})
        emulator.add_fault("create_and_drop", times=1)
        with pytest.raises(aiohttp.ClientConnectionError):
            await http.post(PATH, json=body)
        form = {"email": "a@b.example", "card_expiry": "12/34", "card_cvc": "123"}
        for card in ("4726846912498186", "4242424242424242"):
            await http.post(url, data={**form, "card_number": card}, allow_redirects=False)
        await http.get(url)
        await http.get("/favicon.ico")
        await emulator.webhooks.settled()
        await page.goto(emulator.base_url)
        for text in ("card refused", "form accepted", "page opened"):
            await page.locator("#visits").get_by_text(text).wait_for()
        assert await page.locator("#n-requests").inner_text() == "3"
        assert await page.locator("#n-refused").inner_text() == "0"
        spent = page.get_by_role("switch", name="fault_1: create_and_drop")
        assert await spent.get_attribute("aria-checked") == "false"
        assert await spent.is_disabled()
        for width in (1280, 1024, 390):
            await page.set_viewport_size({"width": width, "height": 900})
            wide = await page.evaluate(
                """() => [...document.querySelectorAll(".scroll")].filter((each) =>
                  each.scrollWidth > each.clientWidth).map((each) => each.ariaLabel)"""
            )
            assert (width, wide) == (width, [])
        assert screen.complaints == []


async def test_details_are_words(screen: Screen, connect: Connect) -> None:
    """A request's details are a list of facts in words, with its body below."""
    page = screen.page
    async with Emulator(limit=None) as emulator, connect(emulator) as http:
        evil = "<b>order</b>"
        body = {"line_items": [{"product": "p"}], "client_reference_id": evil, "customer": None}
        await http.post(PATH, json=body, headers={"User-Agent": "curl/8", "Idempotency-Key": "k"})
        await page.goto(emulator.base_url)
        await page.get_by_role("button", name="Details of request 1").click()
        await page.locator("#dialog-facts").get_by_text("curl/8").wait_for()
        text = await page.locator("#dialog-facts").inner_text()
        for words in (
            "POST /v1/payment_link_sessions",
            "201",
            evil,
            "curl/8",
            "sandbox",
            "Assumed",
        ):
            assert words in text
        assert '"product": "p"' in await page.locator("#dialog-text").inner_text()
        assert screen.complaints == []


async def test_an_empty_dashboard_says_what_to_paste(screen: Screen, emulator: Emulator) -> None:
    """Before the first request it shows the two lines that lead a program here."""
    await screen.page.goto(emulator.base_url)
    pasted = screen.page.locator("#paste")
    assert (await pasted.inner_text()).splitlines() == [
        f"export FRAME_API_BASE_URL={emulator.base_url}",
        "export FRAME_SECRET_KEY=sk_sandbox_emulator",
    ]


async def test_a_lost_emulator_is_told(screen: Screen) -> None:
    """When the emulator ends, the page says so, and comes back with it."""
    emulator = Emulator(port=0)
    await emulator.start()
    port = int(emulator.base_url.rpartition(":")[2])
    await screen.page.goto(emulator.base_url)
    await screen.page.locator("#live-text", has_text="live").wait_for()
    await emulator.aclose()
    await screen.page.get_by_text("The emulator does not answer").wait_for()
    async with Emulator(port=port):
        await screen.page.locator("#live-text", has_text="live").wait_for()
        assert not await screen.page.locator("#lost").is_visible()
