"""Clients of a fault server, on a clock whose sleeps take no time."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import trustme
from support.clients import Connect
from support.clock import FastClock
from support.faults import FaultServer

from frame_async import FrameClient
from frame_async.stores import MemoryStore


@pytest.fixture
def clock() -> FastClock:
    """A clock whose sleeps take no time."""
    return FastClock()


@pytest.fixture
async def connect(clock: FastClock) -> AsyncIterator[Connect]:
    """Make clients of a fault server; all are closed at the end of the test."""
    clients: list[FrameClient] = []

    def make(server: FaultServer | str, **options: Any) -> FrameClient:
        url = server if isinstance(server, str) else server.url
        defaults = {"clock": clock, "rate_limit": None, "store": MemoryStore()}
        options = {"api_key": "sk_sandbox_test"} | defaults | options
        clients.append(FrameClient(base_url=url, **options))
        return clients[-1]

    yield make
    for client in clients:
        await client.aclose()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """A certificate authority of the tests."""
    return trustme.CA()
