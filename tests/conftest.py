"""What all tests share: an emulator on a free port, and a client of it."""

from collections.abc import AsyncIterator

import pytest

from frame_async import FrameClient, LineItem, PaymentLinkSessionRequest
from frame_async.emulator import Emulator


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the machine's environment says of Frame, tests don't hear it."""
    for name in ("FRAME_SECRET_KEY", "FRAME_API_BASE_URL", "SSLKEYLOGFILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """An emulator without a rate limit."""
    async with Emulator(port=0, limit=None) as running:
        yield running


@pytest.fixture
async def frame(emulator: Emulator) -> AsyncIterator[FrameClient]:
    """A client of the emulator."""
    async with FrameClient(emulator.api_key, base_url=emulator.base_url) as client:
        yield client


@pytest.fixture
def order() -> PaymentLinkSessionRequest:
    """A request with nothing but what is needed."""
    return PaymentLinkSessionRequest(line_items=[LineItem(product="prod_1")])
