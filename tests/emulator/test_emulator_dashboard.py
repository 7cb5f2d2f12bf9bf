"""The dashboard in a real browser: live, usable, accessible, and nothing from outside."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import Browser

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
        await page.locator("#dialog-text").get_by_text('"create_and_truncate"').wait_for()
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
