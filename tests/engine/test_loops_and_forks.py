"""A client beyond its event loop or process opens anew, or says what is wrong."""

import asyncio
import gc
import subprocess
import sys
import threading
from typing import Any

import pytest
from support.clients import attempt

from frame_async import (
    FrameClient,
    FrameClients,
    PaymentLinkSession,
    PaymentLinkSessionRequest,
    RateLimit,
)
from frame_async.emulator import Emulator
from frame_async.errors import EventLoopError
from frame_async.stores import MemoryStore


def test_one_client_over_several_runs(order: PaymentLinkSessionRequest) -> None:
    """A client kept over several asyncio.run calls works in each, and warns of nothing."""
    client = FrameClient("sk_sandbox_x", base_url="http://127.0.0.1:1")

    async def once() -> PaymentLinkSession:
        async with Emulator(port=0, limit=None) as emulator:
            client._http._base_url = f"{emulator.base_url}/v1"
            return await client.payment_link_sessions.create(order)

    ids = {asyncio.run(once()).id for _ in range(3)}
    assert len(ids) == 3
    asyncio.run(client.aclose())
    gc.collect()


async def test_two_loops_at_once(frame: FrameClient, order: PaymentLinkSessionRequest) -> None:
    """A client in use on one event loop says so on another, and goes on working on its own."""
    await attempt(frame, order)
    told: list[BaseException] = []

    def elsewhere() -> None:
        for use in (lambda: attempt(frame, order), frame.aclose):
            try:
                asyncio.run(use())
            except EventLoopError as error:
                told.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    await asyncio.to_thread(thread.join)
    assert len(told) == 2
    assert "one FrameClient per event loop" in str(told[0])
    assert not frame.closed
    assert isinstance(await attempt(frame, order), PaymentLinkSession)


@pytest.mark.parametrize("many", [False, True], ids=["client", "clients"])
async def test_closed_on_another_loop(
    emulator: Emulator, order: PaymentLinkSessionRequest, *, many: bool
) -> None:
    """Closing it on another event loop is refused, and ends no call that waits on its own."""
    options: dict[str, Any] = {
        "base_url": emulator.base_url,
        "store": MemoryStore(),
        "rate_limit": RateLimit(1, 0.5),
    }
    clients = FrameClients(**options)
    client = (
        await clients.of(emulator.api_key) if many else FrameClient(emulator.api_key, **options)
    )
    closing = clients if many else client
    assert isinstance(await attempt(client, order), PaymentLinkSession)
    waiting = asyncio.create_task(attempt(client, order, "second"))
    await asyncio.sleep(0.1)
    with pytest.raises(EventLoopError):
        await asyncio.to_thread(asyncio.run, closing.aclose())
    assert isinstance(await waiting, PaymentLinkSession)
    assert isinstance(await attempt(client, order, "third"), PaymentLinkSession)
    await closing.aclose()
    assert client.closed


FORK = """
import asyncio, os, sys
from frame_async import FrameClient, LineItem, PaymentLinkSessionRequest
from frame_async.emulator import Emulator

order = PaymentLinkSessionRequest(line_items=[LineItem(product="prod_1")])

async def main():
    async with Emulator(port=0, limit=None) as emulator:
        async with FrameClient(emulator.api_key, base_url=emulator.base_url) as frame:
            first = await frame.payment_link_sessions.create(order)
            child = os.fork()
            if child == 0:
                async def again():
                    session = await frame.payment_link_sessions.create(order)
                    assert session.call.attempts[0].reused is False
                    await frame.aclose()
                asyncio.events._set_running_loop(None)
                asyncio.run(again())
                os._exit(7)
            status = await asyncio.to_thread(os.waitpid, child, 0)
            assert os.waitstatus_to_exitcode(status[1]) == 7, status
            second = await frame.payment_link_sessions.create(order)
            assert second.call.attempts[0].reused is True, second.call
            assert len(emulator.created()) == 3

asyncio.run(main())
"""


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="this system can't fork")
def test_a_forked_child_opens_its_own() -> None:
    """A forked child opens connections of its own, and the parent's stay as they were."""
    ran = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", FORK],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "Unclosed" not in ran.stderr
