"""What all tests share: an emulator on a free port, and a client of it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from importlib.util import find_spec

import pytest
from hypothesis import HealthCheck, settings

from frame_async import FrameClient, LineItem, PaymentLinkSessionRequest
from frame_async.emulator import Emulator
from frame_async.stores import MemoryStore

# A busy machine is no failure. Whatever else the default says here (on CI it is another)
# stays, and --hypothesis-profile still chooses.
settings.register_profile(
    "patient", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("patient")

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def pytest_configure(config: pytest.Config) -> None:
    """Load our own plugin in a checkout, too, where nothing is installed that names it."""
    config.pluginmanager.import_plugin("frame_async.testing.plugin")


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, LoopFactory]:
    """What goes over the wire is tested on uvloop too, where that is installed."""
    factories: dict[str, LoopFactory] = {"asyncio": asyncio.new_event_loop}
    wired = {"engine", "resources"} & set(item.path.parts)
    if wired and find_spec("uvloop") is not None:
        import uvloop

        factories["uvloop"] = uvloop.new_event_loop
    return factories


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the machine's environment says of Frame, tests don't hear it."""
    frame = ("FRAME_SECRET_KEY", "FRAME_API_BASE_URL", "FRAME_WEBHOOK_SECRET")
    for name in (*frame, "SSLKEYLOGFILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
async def emulator() -> AsyncIterator[Emulator]:
    """An emulator without a rate limit."""
    async with Emulator(port=0, limit=None) as running:
        yield running


@pytest.fixture
async def frame(emulator: Emulator) -> AsyncIterator[FrameClient]:
    """A client of the emulator."""
    async with FrameClient(
        emulator.api_key, base_url=emulator.base_url, rate_limit=None, store=MemoryStore()
    ) as client:
        yield client


@pytest.fixture
def order() -> PaymentLinkSessionRequest:
    """A request with nothing but what is needed."""
    return PaymentLinkSessionRequest(line_items=[LineItem(product="prod_1")])
