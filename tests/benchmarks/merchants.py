"""1,000 merchants in one process, over TLS: the first call of each, all at once.

Run it with ``nox -s bench -- merchants``. Beside `FrameClients` stands aiohttp by hand, with
one session for all: how long the event loop stood still in a row, how long it took, how many
calls failed, and what a client takes at rest.
"""

import asyncio
import ssl
import tempfile
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

import aiohttp
import trustme
from support.certificates import trusting
from support.faults import FaultServer, serve
from support.measuring import serving

from frame_async import FrameClients, LineItem, PaymentLinkSessionRequest
from frame_async.stores import MemoryStore

MERCHANTS: Final = 1_000
REQUEST: Final = PaymentLinkSessionRequest(line_items=[LineItem(product="p")])


def serve_tls(there: Connection, certificate: str) -> None:
    """Answer every request with a session, over TLS."""

    async def run() -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        async with FaultServer.playing(serve, tls=context) as server:
            there.send(server.port)
            await asyncio.Event().wait()

    asyncio.run(run())


async def longest_stop(work: Callable[[], Awaitable[int]]) -> tuple[int, float, float]:
    """How many failed, the longest time in which nothing else ran, and the whole time."""
    longest, going = 0.0, True

    async def watch() -> None:
        nonlocal longest
        while going:
            began = time.perf_counter()
            await asyncio.sleep(0)
            longest = max(longest, time.perf_counter() - began)

    watching = asyncio.create_task(watch())
    began = time.perf_counter()
    failed = await work()
    took = time.perf_counter() - began
    going = False
    await watching
    return failed, longest, took


async def ours(url: str, tls: ssl.SSLContext) -> None:
    async with FrameClients(base_url=url, tls=tls, store=MemoryStore()) as clients:
        tracemalloc.start()
        merchants = [await clients.of(f"sk_sandbox_merchant_{n}") for n in range(MERCHANTS)]
        size = tracemalloc.get_traced_memory()[0] / MERCHANTS
        tracemalloc.stop()

        async def work() -> int:
            calls = (each.payment_link_sessions.create(REQUEST) for each in merchants)
            ended = await asyncio.gather(*calls, return_exceptions=True)
            return sum(isinstance(each, BaseException) for each in ended)

        tell("FrameClients", *await longest_stop(work))
        print(f"{'':20} {size / 1e3:.1f} kB a client at rest")
        began = time.perf_counter()
    print(f"{'':20} {time.perf_counter() - began:.3f} s to close all")


async def by_hand(url: str, tls: ssl.SSLContext) -> None:
    connector = aiohttp.TCPConnector(ssl=tls, limit=100)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def call() -> None:
            address = f"{url}/v1/payment_link_sessions"
            async with session.post(address, json={"line_items": [{"product": "p"}]}) as answer:
                await answer.read()

        async def work() -> int:
            calls = (call() for _ in range(MERCHANTS))
            ended = await asyncio.gather(*calls, return_exceptions=True)
            return sum(isinstance(each, BaseException) for each in ended)

        tell("aiohttp by hand", *await longest_stop(work))


def tell(name: str, failed: int, longest: float, took: float) -> None:
    print(f"{name:20} {failed} failed, stood still {longest * 1e3:.0f} ms, took {took:.2f} s")


def main() -> None:
    authority = trustme.CA()
    with tempfile.TemporaryDirectory() as folder:
        certificate = Path(folder, "certificate.pem")
        authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(certificate)
        with serving(serve_tls, str(certificate)) as port:
            url, tls = f"https://localhost:{port}", trusting(authority)
            asyncio.run(by_hand(url, tls))
            asyncio.run(ours(url, tls))


if __name__ == "__main__":
    main()
