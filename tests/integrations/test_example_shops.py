"""The example shops, each run by its one command, from the first click to a paid order."""

import asyncio
import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from attrs import frozen
from playwright.async_api import Page
from support.browser_checks import faults_of, pale_texts, too_wide
from support.browsers import open_browser
from support.payers import enter_card, heading, pay
from support.servers import free_port

import frame_async
from frame_async.emulator.webhooks.published import ASSUMPTIONS

RUN = Path(__file__).parents[2] / "docs" / "examples" / "run_shop.py"
CARD = {"card_number": "4242424242424242", "card_expiry": "12/34", "card_cvc": "123"}
PAYMENT = {"email": "ada@example.com", **CARD}


@frozen
class Running:
    """A shop that runs, with its emulator."""

    url: str
    emulator: str
    database: Path
    assumed: str
    """What its emulator assumes of Frame's events; empty for nothing."""


METADATA = "reference-in-metadata"
AS_PUBLISHED = ["fastapi", "django", "aiohttp", "litestar", "quart"]
SHOPS = [f"{name} {METADATA}" for name in AS_PUBLISHED]
OTHERS = [f"{name} {one}" for name in AS_PUBLISHED for one in sorted({*ASSUMPTIONS} - {METADATA})]


@pytest.fixture(scope="module", params=SHOPS)
def shop(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """A shop and its emulator, in a process of their own; its name, and what is assumed."""
    name, _, assumed = request.param.partition(" ")
    command = [sys.executable, str(RUN), name, str(free_port())]
    command += ["--assume", assumed] if assumed else []
    folder = tmp_path_factory.mktemp("shop")
    there = {**os.environ, "PYTHONPATH": str(Path(frame_async.__file__).parents[1])}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=folder, env=there
    ) as process:
        assert process.stdout
        found = re.search(r"shop is at (\S+), the emulator at (\S+)", process.stdout.readline())
        assert found
        yield Running(found[1], found[2], folder / "shop.sqlite", assumed)
        process.terminate()


@pytest.fixture
async def payer(shop: Running) -> AsyncIterator[aiohttp.ClientSession]:
    """A payer who follows no redirect by himself; here once the shop is open."""
    async with open_payer(shop.url) as session:
        async with asyncio.timeout(60):
            while not await is_open(session):  # noqa: ASYNC110  # another process
                await asyncio.sleep(0.02)
        yield session


async def is_open(session: aiohttp.ClientSession) -> bool:
    """Whether the shop answers yet."""
    try:
        async with session.get("/") as answer:
            return "Linen Lantern" in await answer.text()
    except aiohttp.ClientConnectionError:
        return False


def open_payer(url: str) -> aiohttp.ClientSession:
    """A browser that keeps cookies from this machine."""
    return aiohttp.ClientSession(url, cookie_jar=aiohttp.CookieJar(unsafe=True))


async def post(
    payer: aiohttp.ClientSession, action: str, /, page: str = "", **entered: str
) -> tuple[int, str]:
    """Send a form, with what is hidden on its page; the status, and where it leads or the text."""
    fields: dict[str, str] = {}
    if page:
        async with payer.get(page) as answer:
            hidden = r'type="hidden" name="(\w+)" value="(\w+)"'
            fields = dict(re.findall(hidden, await answer.text()))
    async with payer.post(action, data=fields | entered, allow_redirects=False) as answer:
        return answer.status, answer.headers.get("Location") or await answer.text()


async def press(
    payer: aiohttp.ClientSession, action: str, /, page: str = "", **entered: str
) -> str:
    """Press the button of a form that leads on; where it leads."""
    status, where = await post(payer, action, page, **entered)
    assert status == 303, where
    return where


async def buy(payer: aiohttp.ClientSession, product: str) -> str:
    """Buy something; the address of the order."""
    return await press(payer, f"/buy/{product}", "/")


async def go_and_pay(payer: aiohttp.ClientSession, order: str) -> str:
    """Press Pay; the address of the page to pay on."""
    return await press(payer, f"{order}/pay", order)


async def text_of(payer: aiohttp.ClientSession, page: str) -> str:
    """The text of a page that is there."""
    async with payer.get(page) as answer:
        assert answer.status == 200
        return await answer.text()


async def delivered(shop: Running, payer: aiohttp.ClientSession) -> None:
    """Wait until every webhook has arrived."""
    url = f"{shop.emulator}/_emulator/webhooks/deliveries"
    while True:
        async with payer.get(url) as answer:
            states = {each["state"] for each in (await answer.json())["deliveries"]}
        if states == {"delivered"}:
            return


@pytest.mark.parametrize("shop", [*SHOPS, *OTHERS], indirect=True)
async def test_from_click_to_paid(shop: Running, payer: aiohttp.ClientSession) -> None:
    """Buy, pay, come back: an event that names the order makes it paid; Pay twice, one session."""
    order = await buy(payer, "prod_6")
    page = await go_and_pay(payer, order)
    assert await go_and_pay(payer, order) == page
    assert page.startswith(shop.emulator)
    thanks = await press(payer, page, **PAYMENT)
    await text_of(payer, thanks)
    await delivered(shop, payer)
    text = await text_of(payer, order)
    assert "$15.90" in text
    assert '<span class="paid">Paid</span>' in text
    assert await press(payer, f"{order}/pay", "/") == order  # from a tab that knows nothing
    assert unmatched(shop) == []


@pytest.mark.parametrize("shop", AS_PUBLISHED, indirect=True)
async def test_a_payment_that_names_no_order(shop: Running, payer: aiohttp.ClientSession) -> None:
    """As Frame publishes events: the order is returned, not paid, and the payment is listed."""
    order = await buy(payer, "prod_6")
    page = await go_and_pay(payer, order)
    thanks = await press(payer, page, **PAYMENT)
    await delivered(shop, payer)
    assert "To be paid" in await text_of(payer, order)  # the payer hasn't come back yet
    ((why, known),) = unmatched(shop)
    assert why == "it names no order, or several"
    assert (known["type"], known["orders"]) == ("transfer.succeeded", [])
    assert list(known["references"]) == ["data.charge_intent"]
    assert known["amount"] > 0
    text = await text_of(payer, thanks)
    assert "Being confirmed" in text
    assert "Paid" not in text
    assert await press(payer, f"{order}/pay", "/") == order  # nothing to pay until it is known


@pytest.mark.parametrize("shop", AS_PUBLISHED, indirect=True)
async def test_a_payer_who_cancelled_has_not_returned(payer: aiohttp.ClientSession) -> None:
    """The signed address of a cancelled payment, changed to /thanks, leaves the order open."""
    order = await buy(payer, "prod_7")
    page = await go_and_pay(payer, order)
    back = await press(payer, page, action="cancel")
    await text_of(payer, back.replace("/cancelled", "/thanks"))
    assert "To be paid" in await text_of(payer, order)


def unmatched(shop: Running) -> list[tuple[str, dict[str, Any]]]:
    """The payments for a person: why, and what is known."""
    with closing(sqlite3.connect(shop.database)) as database:
        rows = database.execute("SELECT why, known FROM unmatched").fetchall()
    return [(why, json.loads(known)) for why, known in rows]


async def test_a_cancelled_payment_can_be_made_after_all(payer: aiohttp.ClientSession) -> None:
    """Cancel, come back, even twice: the next Pay leads to another session."""
    order = await buy(payer, "prod_7")
    page = await go_and_pay(payer, order)
    back = await press(payer, page, action="cancel")
    for _ in range(2):
        async with payer.get(back) as answer:
            assert "To be paid" in await answer.text()
            assert urlsplit(str(answer.url)).path == order
    again = await go_and_pay(payer, order)
    assert again != page
    assert await go_and_pay(payer, order) == again
    assert "frame_payload" in await press(payer, again, **PAYMENT)


async def test_nobody_pays_by_pretending(payer: aiohttp.ClientSession) -> None:
    """A forged webhook is refused, a forged return shows a neutral page, the order stays open."""
    order = await buy(payer, "prod_7")
    event = {"type": "transfer.succeeded", "data": {"client_reference_id": order[8:]}}
    body = json.dumps({"id": "evt_1", **event})
    headers = {"X-Frame-Signature": "sha256=" + "0" * 64, "Content-Type": "application/json"}
    async with payer.post("/webhooks/frame", data=body, headers=headers) as answer:
        assert answer.status == 400
    async with payer.get("/thanks?frame_payload=e30&frame_signature=00") as answer:
        assert answer.status == 200
        assert "Thank you" in await answer.text()
    async with payer.get("/cancelled?frame_payload=e30") as answer:
        assert answer.status == 200
    async with payer.get(order) as answer:
        assert "To be paid" in await answer.text()


async def test_what_is_not_there_is_not_found(payer: aiohttp.ClientSession) -> None:
    """An order or product that nobody knows is a 404, and the shop makes no session for it."""
    async with payer.get("/orders/x") as answer:
        assert answer.status == 404
    for path in ("/buy/prod_9", "/orders/x/pay"):
        status, _ = await post(payer, path, "/")
        assert status == 404


async def test_when_frame_refuses_the_payer_gets_a_page(
    shop: Running, payer: aiohttp.ClientSession
) -> None:
    """While Frame says no, the payer reads what is true on a page, with the way back."""
    order = await buy(payer, "prod_7")
    fault = {"do": "refuse", "status": 403}
    async with payer.post(f"{shop.emulator}/_emulator/faults", json=fault) as answer:
        name = (await answer.json())["id"]
    status, text = await post(payer, f"{order}/pay", order)
    assert status == 500
    assert "<title>Sorry" in text
    async with payer.delete(f"{shop.emulator}/_emulator/faults/{name}") as answer:
        assert answer.status == 200
    assert "Nothing was charged." in text
    assert f'href="{order}"' in text
    await go_and_pay(payer, order)


async def checked(page: Page, named: str) -> None:
    """The page has that heading, and is fit for every hand, eye and screen."""
    assert await heading(page) == named
    assert await faults_of(page) == []
    assert await pale_texts(page) == []
    assert await too_wide(page) == []


@pytest.mark.parametrize("shop", SHOPS[:1], indirect=True)
async def test_in_a_browser(shop: Running, payer: aiohttp.ClientSession) -> None:
    """In Chromium, a payer clicks from the product through the checkout to the paid order."""
    async with open_browser() as browser:
        page = await browser.new_page(viewport={"width": 400, "height": 800})
        page.set_default_timeout(30_000)
        await page.goto(shop.url)
        await checked(page, "Good things for the house")
        await page.get_by_role("button", name="Buy the Linen Lantern").click()
        await checked(page, "Your order")
        await page.get_by_role("button", name="Pay $84.90").click()
        await page.get_by_label("E-mail").fill("ada@example.com")
        await enter_card(page)
        await pay(page)
        await page.wait_for_url(f"{shop.url}/orders/**")
        await checked(page, "Your order")
        await page.locator(".paid").wait_for()  # the page looks again by itself
        assert await page.locator(".paid").inner_text() == "Paid"
        await page.goto(f"{shop.url}/thanks")
        await checked(page, "Thank you")
