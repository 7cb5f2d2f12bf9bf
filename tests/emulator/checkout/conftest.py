"""A payer's browser, an emulator, and the shop between which they go."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, ViewportSize
from support.shops import HOOK_SECRET, Shop, open_shop

from frame_async.emulator import Emulator


class Clock:
    """A clock that goes with the test's steps and not by itself."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


SIZE = ViewportSize(width=1280, height=900)
Create = Callable[..., Awaitable[str]]
"""Creates a session with these fields and returns the address of its page."""


@pytest_asyncio.fixture(loop_scope="session")
async def shop() -> AsyncIterator[Shop]:
    """The merchant's server."""
    async with open_shop() as running:
        yield running


@pytest.fixture
def clock() -> Clock:
    """A clock in the test's hand."""
    return Clock()


@pytest_asyncio.fixture(loop_scope="session")
async def emulator(shop: Shop, clock: Clock) -> AsyncIterator[Emulator]:
    """An emulator that tells the shop of every event, and repeats itself at once."""
    hooks = ((f"{shop.url}/hook", HOOK_SECRET),)
    async with Emulator(
        limit=None, clock=clock, bank_delay=60, webhooks=hooks, webhook_backoff=(0, 0, 0)
    ) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def http(emulator: Emulator) -> AsyncIterator[aiohttp.ClientSession]:
    """A plain client, with the merchant's key."""
    headers = {"Authorization": f"Bearer {emulator.api_key}"}
    async with aiohttp.ClientSession(emulator.base_url, headers=headers) as session:
        yield session


@pytest_asyncio.fixture(loop_scope="session")
async def create(http: aiohttp.ClientSession) -> Create:
    """Creates sessions, of one product unless told otherwise."""

    async def create_one(**fields: Any) -> str:
        body = {"line_items": [{"product": "prod_1"}], **fields}
        async with http.post("/v1/payment_link_sessions", json=body) as answer:
            assert answer.status == 201, await answer.text()
            url: str = (await answer.json())["url"]
            return url

    return create_one


class Watch:
    """Notes what a page loads, and what it complains of."""

    def __init__(self) -> None:
        self.allowed: tuple[str, ...] = ()
        self.strangers: list[str] = []
        self.complaints: list[str] = []

    @contextmanager
    def on(self, context: BrowserContext) -> Iterator[None]:
        """Listen to a profile for as long as a test uses it."""
        listeners: dict[Any, Callable[[Any], None]] = {
            "request": lambda request: self._request(request.url),
            "console": lambda message: self._console(message.type, message.text),
            "weberror": lambda error: self.complaints.append(str(error.error)),
            "dialog": lambda dialog: self.complaints.append(f"a dialog: {dialog.message}"),
        }
        for event, listener in listeners.items():
            context.on(event, listener)
        yield
        for event, listener in listeners.items():
            context.remove_listener(event, listener)

    def _request(self, url: str) -> None:
        if not url.startswith((*self.allowed, "data:")):
            self.strangers.append(url)

    def _console(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and "the server responded with a status" not in text:
            self.complaints.append(text)


@pytest_asyncio.fixture(loop_scope="session")
async def watch(emulator: Emulator, shop: Shop) -> AsyncIterator[Watch]:
    """Sees to it that no test's page loads anything from elsewhere or breaks its policy."""
    watching = Watch()
    watching.allowed = (emulator.base_url, shop.url)
    yield watching
    assert watching.strangers == []
    assert watching.complaints == []


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def window(browser: Browser) -> Page:
    """One window for all tests: to open one takes Chromium longer than most of them."""
    context = await browser.new_context(viewport=SIZE)
    context.set_default_timeout(30_000)
    return await context.new_page()


@pytest_asyncio.fixture(loop_scope="session")
async def page(window: Page, watch: Watch) -> AsyncIterator[Page]:
    """An empty page; every test has addresses of its own, and leaves nothing to the next."""
    with watch.on(window.context):
        yield window
        for tab in window.context.pages:
            if tab is not window:
                await tab.close()
        await window.goto("about:blank")
    await window.context.clear_cookies()
    await window.set_viewport_size(SIZE)
    await window.emulate_media(color_scheme="null")


@pytest_asyncio.fixture(loop_scope="session")
async def plain_page(browser: Browser, watch: Watch) -> AsyncIterator[Page]:
    """A page of a browser that runs no scripts."""
    context = await browser.new_context(java_script_enabled=False)
    context.set_default_timeout(30_000)
    with watch.on(context):
        yield await context.new_page()
        await context.close()
