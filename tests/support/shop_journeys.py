"""What a payer does in the example shops, from the first button to an order that is paid."""

import asyncio
import importlib.util
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import aiohttp
from hypercorn.asyncio import serve
from hypercorn.config import Config

import frame_async
from frame_async.testing import EmulatorThread

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
PLACE = str(Path(frame_async.__file__).parents[1])
SECRET = "whsec_0123456789abcdef0123456789abcdef"
CARD = {
    "email": "ada@example.com",
    "card_number": "4242 4242 4242 4242",
    "card_expiry": "12/34",
    "card_cvc": "123",
}
PATIENCE = 30.0


def load_shop(name: str) -> ModuleType:
    """The module of an example shop, such as ``shop_aiohttp``."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / name / "shop.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Frameworks look types up in the module of a handler.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def listening_socket() -> socket.socket:
    """A socket on a free port of loopback, for a server that wants one."""
    free = socket.socket()
    free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    free.bind(("127.0.0.1", 0))
    free.listen(64)
    return free


@asynccontextmanager
async def hypercorned(make_app: Callable[[str], Any], patience: float = 1.0) -> AsyncIterator[str]:
    """Serve an ASGI application that knows its address with hypercorn; the address."""
    stop, listening = asyncio.Event(), listening_socket()
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    config = Config()
    config.bind = [f"fd://{listening.detach()}"]  # hypercorn closes it
    config.errorlog = None
    config.graceful_timeout = patience
    serving = asyncio.create_task(serve(make_app(url), config, shutdown_trigger=stop.wait))
    try:
        async with aiohttp.ClientSession() as visitor:
            await _answers(visitor, url, serving)
        yield url
    finally:
        stop.set()
        await serving


async def _answers(visitor: aiohttp.ClientSession, url: str, serving: asyncio.Task[None]) -> None:
    """The socket listens before anybody accepts, so the first visit waits for the start."""
    visit = asyncio.ensure_future(visitor.get(f"{url}/is-there-anybody"))
    await asyncio.wait({visit, serving}, return_when=asyncio.FIRST_COMPLETED)
    if not visit.done():
        visit.cancel()
        return  # it ended at once; whoever awaits it is told why
    (await visit).release()


async def buy(shop: str, emulator: EmulatorThread) -> None:
    """Buy at a shop, pay, come back, and see that each step did what it should."""
    hook = f"{shop}/webhooks"
    await emulator.acall(lambda emulator: emulator.webhooks.register(hook, secret=SECRET))
    async with aiohttp.ClientSession() as payer:
        order = await _order(payer, shop)
        checkout = await _pay(payer, order)
        assert await _pay(payer, order) == checkout  # pressed twice
        emulator.assert_created_once(order.rpartition("/")[2])
        assert "Pay</button>" in await _text(payer, order)
        back = await _checked_out(payer, checkout)
        assert back.startswith(f"{shop}/thanks?")
        await _see_thanks(payer, back, order)
        await emulator.acall(lambda emulator: emulator.webhooks.settled())
        assert "Paid." in await _text(payer, order)
    deliveries = await emulator.acall(lambda emulator: emulator.webhooks.deliveries())
    assert all(delivery.attempts[-1].status == 200 for delivery in deliveries)
    assert "transfer.succeeded" in {delivery.event_type for delivery in deliveries}


async def buy_at_a_command(name: str) -> None:
    """Run a shop as its page says, beside its own emulator, and buy there."""
    with listening_socket() as free:
        shop = f"http://127.0.0.1:{free.getsockname()[1]}"
    process = subprocess.Popen(
        [sys.executable, str(EXAMPLES / name / "shop.py")],
        env=os.environ | {"PYTHONPATH": PLACE, "SHOP_URL": shop, "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        async with aiohttp.ClientSession() as payer:
            await _open(payer, shop)
            order = await _order(payer, shop)
            back = await _checked_out(payer, await _pay(payer, order))
            await _see_thanks(payer, back, order)
            await _paid(payer, order)
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, PATIENCE)


async def _open(payer: aiohttp.ClientSession, shop: str) -> None:
    ends = time.monotonic() + PATIENCE
    while True:
        try:
            assert "Buy</button>" in await _text(payer, shop)
        except aiohttp.ClientConnectionError:
            assert time.monotonic() < ends, "the shop doesn't open"
            await asyncio.sleep(0.1)
        else:
            return


async def _paid(payer: aiohttp.ClientSession, order: str) -> None:
    ends = time.monotonic() + PATIENCE
    while "Paid." not in await _text(payer, order):
        assert time.monotonic() < ends, "the order is never paid"
        await asyncio.sleep(0.05)


async def _text(payer: aiohttp.ClientSession, url: str) -> str:
    async with payer.get(url) as answer:
        assert answer.status == 200
        assert answer.content_type == "text/html"
        return await answer.text()


async def _order(payer: aiohttp.ClientSession, shop: str) -> str:
    """Press Buy; the address of the order."""
    assert 'action="/orders"' in await _text(payer, f"{shop}/")
    async with payer.post(f"{shop}/orders") as answer:
        assert answer.status == 200
        return str(answer.url)


async def _pay(payer: aiohttp.ClientSession, order: str) -> str:
    """Press Pay; the address of the checkout page."""
    async with payer.post(f"{order}/pay", allow_redirects=False) as answer:
        assert answer.status == 303, await answer.text()
        return answer.headers["Location"]


async def _checked_out(payer: aiohttp.ClientSession, checkout: str) -> str:
    """Pay with a card; where the payer is sent then."""
    async with payer.post(checkout, data=CARD, allow_redirects=False) as answer:
        assert answer.status == 303, await answer.text()
        return answer.headers["Location"]


async def _see_thanks(payer: aiohttp.ClientSession, back: str, order: str) -> None:
    """The page after paying believes a genuine address, and no other."""
    number = order.rpartition("/")[2]
    assert f"/orders/{number}" in await _text(payer, back)
    forged = await _text(payer, back.replace("frame_payload=", "frame_payload=e"))
    assert number not in forged
    assert "Thank you" in forged
