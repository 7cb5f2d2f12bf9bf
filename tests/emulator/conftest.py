"""An emulator, and plain HTTP clients of it: no code of the SDK is between them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import Browser
from support.browsers import open_browser

from frame_async.emulator import Emulator


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One browser for all tests of pages."""
    async with open_browser() as running:
        yield running


class Clock:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.25

    def __call__(self) -> float:
        return self.now


def client_of(emulator: Emulator, **headers: str) -> aiohttp.ClientSession:
    """A client with a good key, unless `headers` say otherwise."""
    authorization = {"Authorization": f"Bearer {emulator.api_key}"}
    return aiohttp.ClientSession(emulator.base_url, headers=authorization | headers)


@pytest.fixture
def connect() -> Callable[..., aiohttp.ClientSession]:
    """Opens a client of an emulator; the test closes it."""
    return client_of


async def until_true(condition: Callable[[], object]) -> None:
    """Wait until a condition holds; fail after half a minute."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - the emulator has no event to wait for
            await asyncio.sleep(0.005)


@pytest.fixture
def until() -> Callable[[Callable[[], object]], Awaitable[None]]:
    """Waits until a condition holds."""
    return until_true


@pytest.fixture
def clock() -> Clock:
    """A clock in the test's hand."""
    return Clock()


@pytest.fixture
async def emulator(clock: Clock) -> AsyncIterator[Emulator]:
    """An emulator without a rate limit, whose time stands still.

    Its errors come in the envelope of Frame's CLI, which says most.
    """
    async with Emulator(limit=None, clock=clock, envelope="cli") as running:
        yield running


@pytest.fixture
async def http(emulator: Emulator) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of the emulator."""
    async with client_of(emulator) as session:
        yield session


@pytest.fixture
def order() -> dict[str, Any]:
    """A body with nothing but what is needed."""
    return {"line_items": [{"product": "prod_1"}]}
