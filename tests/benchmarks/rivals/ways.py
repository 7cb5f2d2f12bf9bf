"""The ways to post that are compared: by hand, with libraries, with other SDKs, and ours.

Each is a context that opens its client and gives a function that makes one call: from
what a program has (a dict, or an object) to what it wants (a dict, or an object). Clients
are used as their documentation says, with what they do by default, but for retries and
telemetry, which are off. With `wide`, the number of connections has no limit.

Each SDK posts to the endpoint of its own that comes nearest, with parameters that make
270 bytes, and reads the same answer as all others.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib import import_module
from itertools import count
from typing import Any, Final

from support.measuring import Make
from support.work import BODY, GIVEN, HEADERS, PATH, base_url

Way = Callable[[int, bool], AbstractAsyncContextManager[Make]]

CONNECTIONS: Final = 100
"""As many as aiohttp, HTTPX and this library open by default."""

POSTED: Final = (
    f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\n"
    + "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
    + f"Content-Length: {len(BODY)}\r\n\r\n"
).encode() + BODY


class ByHand(asyncio.Protocol):
    """One connection, written for this one request: what no general client can be below."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[bytes] | None = None
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, found, body = self.received.partition(b"\r\n\r\n")
        if not found or self.answer is None:
            return
        length = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
        if len(body) >= length:
            self.received = b""
            self.answer.set_result(body)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.answer is not None and not self.answer.done():
            self.answer.set_exception(ConnectionError("the server went away"))


@asynccontextmanager
async def by_hand(port: int, wide: bool) -> AsyncIterator[Make]:
    """Bytes over asyncio's own transport, with a list of idle connections, 100 at most."""
    loop = asyncio.get_running_loop()
    idle: list[ByHand] = []
    waiting: deque[asyncio.Future[ByHand]] = deque()
    opened = 0

    async def make() -> object:
        nonlocal opened
        if idle:
            connection = idle.pop()
        elif wide or opened < CONNECTIONS:
            opened += 1
            _, connection = await loop.create_connection(ByHand, "localhost", port)
        else:
            waiting.append(loop.create_future())
            connection = await waiting[-1]
        connection.answer = loop.create_future()
        connection.transport.write(POSTED)
        body = await connection.answer
        if waiting:
            waiting.popleft().set_result(connection)
        else:
            idle.append(connection)
        return body

    yield make
    for connection in idle:
        connection.transport.close()


def session(*, wide: bool = False, **options: Any) -> Any:
    """A session of aiohttp at its best."""
    aiohttp = import_module("aiohttp")
    if wide:
        options["connector"] = aiohttp.TCPConnector(limit=0)
    return aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(), timeout=aiohttp.ClientTimeout(total=600), **options
    )


@asynccontextmanager
async def raw(port: int, wide: bool) -> AsyncIterator[Make]:
    """What aiohttp does at its best, bytes to bytes: the yardstick."""
    url = base_url(port) + PATH
    async with session(wide=wide, headers=HEADERS) as opened:

        async def make() -> object:
            response = await opened.request("POST", url, data=BODY, allow_redirects=False)
            return await response.read()

        yield make


@asynccontextmanager
async def with_json(port: int, wide: bool) -> AsyncIterator[Make]:
    """What aiohttp does as its documentation shows it, from a dict to a dict."""
    url = base_url(port) + PATH
    async with session(wide=wide, headers=HEADERS) as opened:

        async def make() -> object:
            async with opened.post(url, json=GIVEN) as response:
                return await response.json()

        yield make


@asynccontextmanager
async def aiohttp_retry(port: int, wide: bool) -> AsyncIterator[Make]:
    """aiohttp-retry around the same session, from a dict to a dict."""
    client = import_module("aiohttp_retry").RetryClient
    url = base_url(port) + PATH
    async with client(client_session=session(wide=wide, headers=HEADERS)) as opened:

        async def make() -> object:
            async with opened.post(url, json=GIVEN) as response:
                return await response.json()

        yield make


@asynccontextmanager
async def httpx(port: int, wide: bool) -> AsyncIterator[Make]:
    """HTTPX, from a dict to a dict."""
    library = import_module("httpx")
    options = {"limits": library.Limits()} if wide else {}
    url = base_url(port) + PATH
    async with library.AsyncClient(headers=HEADERS, timeout=600, **options) as opened:

        async def make() -> object:
            return (await opened.post(url, json=GIVEN)).json()

        yield make


def stripe(client: str) -> Way:
    """Stripe's SDK on one of its clients, from a dict of parameters to its object."""
    given = {
        "line_items": [{"price": "price_1MoBy5LkdIwHu7ixZhnattbh", "quantity": 3}],
        "client_reference_id": "order-42001",
        "cancel_url": "https://shop.example/cart/of/the/payer/42001",
        "mode": "payment",
        "success_url": "https://shop.example/thanks?from=stores-in-the-city",
    }

    @asynccontextmanager
    async def way(port: int, wide: bool) -> AsyncIterator[Make]:
        library: Any = import_module("stripe")
        library.enable_telemetry = False
        options = {}
        if wide and client == "AIOHTTPClient":  # the other has no such option
            options["connector"] = import_module("aiohttp").TCPConnector(limit=0)
        opened = getattr(library, client)(timeout=600, **options)
        create = library.StripeClient(
            "sk_test_x",
            base_addresses={"api": base_url(port)},
            http_client=opened,
            max_network_retries=0,
        ).v1.checkout.sessions.create_async
        yield lambda: create(given)
        await opened.close_async()

    return way


def openai(client: str | None) -> Way:
    """OpenAI's SDK on one of its clients, from parameters to its model."""
    name = "What this shop sells, and how it may be had by whoever really wants it: order-42001"
    metadata = {
        "account": "f8b22e7f-c84a-4560-930e-2d505ad9aef5",
        "success_url": "https://shop.example/thanks?order=42001",
        "cancel_url": "https://shop.example/cart?step=pay&lang=en",
    }

    @asynccontextmanager
    async def way(port: int, wide: bool) -> AsyncIterator[Make]:
        library = import_module("openai")
        options = {}
        if client is not None:
            options["http_client"] = getattr(library, client)()
        if wide:
            made = getattr(library, client or "DefaultAsyncHttpxClient")
            options["http_client"] = made(limits=import_module("httpx2").Limits())
        opened = library.AsyncOpenAI(
            api_key="sk-x", base_url=f"{base_url(port)}/v1", max_retries=0, timeout=600, **options
        )
        async with opened:
            create = opened.vector_stores.create
            yield lambda: create(name=name, metadata=metadata)

    return way


@asynccontextmanager
async def square(port: int, wide: bool) -> AsyncIterator[Make]:
    """Square's SDK, from parameters to its model."""
    library = import_module("square")
    options = {}
    if wide:
        inner = import_module("httpx")
        options["httpx_client"] = inner.AsyncClient(limits=inner.Limits(), timeout=600)
    opened = library.AsyncSquare(token="x", base_url=base_url(port), timeout=600, **options)
    create, numbers = opened.checkout.payment_links.create, count(10_000_000)
    price = {"amount": 1_000, "currency": "USD"}
    yield lambda: create(
        idempotency_key=f"order-42001{next(numbers)}",
        description="What this shop sells",
        quick_pay={"name": "Three of them", "price_money": price, "location_id": "A9Y43N9ABXZBP"},
        checkout_options={"redirect_url": "https://shop.example/thanks?order=42001"},
        request_options={"max_retries": 0},
    )


def given_request() -> Any:
    """What is asked for, as this library has it."""
    library = import_module("frame_async")
    items = [library.LineItem(**item) for item in GIVEN["line_items"]]
    return library.PaymentLinkSessionRequest(**{**GIVEN, "line_items": items})


def ours(*, keyed: bool = False, fresh: bool = False) -> Way:
    """This library, from a request to a session; with `fresh`, the request is made each time."""

    @asynccontextmanager
    async def way(port: int, wide: bool) -> AsyncIterator[Make]:
        library = import_module("frame_async")
        options = {"max_in_flight": 100_000} if wide else {}
        numbers = count()
        async with library.FrameClient(
            "sk_sandbox_x",
            base_url=base_url(port),
            timeout=600,
            attempt_timeout=600,
            rate_limit=library.RateLimit(1_000_000, 60.0),
            store=import_module("frame_async.stores").MemoryStore(),
            **options,
        ) as frame:
            create, order = frame.payment_link_sessions.create, given_request()
            if keyed:
                yield lambda: create(order, idempotency_key=f"k{next(numbers)}")
            elif fresh:
                yield lambda: create(given_request())
            else:
                yield lambda: create(order)

    return way


WAYS: Final[dict[str, Way]] = {
    "by hand": by_hand,
    "raw": raw,
    "json": with_json,
    "aiohttp-retry": aiohttp_retry,
    "httpx": httpx,
    "stripe": stripe("HTTPXClient"),
    "stripe on aiohttp": stripe("AIOHTTPClient"),
    "openai": openai(None),
    "openai on aiohttp": openai("DefaultAioHttpClient"),
    "square": square,
    "create": ours(),
    "create with a key": ours(keyed=True),
    "create from values": ours(fresh=True),
}
