"""Django behind a real ASGI server: the client's life, webhooks, errors, browsers that leave."""

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from asgiref.sync import sync_to_async
from attrs import frozen
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, AsyncRequestFactory, Client, override_settings
from django.urls import path
from support.abandoning import abandoned
from support.asgi import hang_up_after, serve
from support.signing import SECRET, event_body, signed

from frame_async import FrameClient, LineItem, PaymentLinkSessionRequest, RateLimit
from frame_async.emulator import Emulator
from frame_async.errors import ConfigurationError, FrameError
from frame_async.integrations.django import (
    Answer,
    FrameApplication,
    frame_of,
    make_error_middleware,
    redirect_of,
    use_client,
    webhook_view,
)
from frame_async.models import Event
from frame_async.stores import InDoubt, MemoryStore
from frame_async.webhooks import Redirect, RedirectScheme, RedirectSigner, Turn, WebhookReceiver

PATIENCE = aiohttp.ClientTimeout(total=60)
ORDER = PaymentLinkSessionRequest(line_items=[LineItem(product="prod_1")])
CSRF = "django.middleware.csrf.CsrfViewMiddleware"
ERRORS = "frame_async.integrations.django.error_middleware"

if not settings.configured:
    settings.configure(ALLOWED_HOSTS=["*"], SECRET_KEY="for tests only", USE_I18N=False)


@frozen
class Addresses:
    """What Django takes as ROOT_URLCONF."""

    urlpatterns: tuple[Any, ...]


@asynccontextmanager
async def serving(
    views: dict[str, Any], *middleware: str, bare: bool = False, **options: Any
) -> AsyncIterator[str]:
    """Django with these views behind uvicorn; the address without a path."""
    patterns = tuple(path(name, view) for name, view in views.items())
    with override_settings(ROOT_URLCONF=Addresses(patterns), MIDDLEWARE=list(middleware)):
        django = get_asgi_application()
        app = django if bare else FrameApplication(django, **options)
        async with serve(app, lifespan="off" if bare else "on") as url:
            yield url


def options_for(emulator: Emulator, **options: Any) -> dict[str, Any]:
    """Options of a client that talks to the emulator, and remembers by itself."""
    given: dict[str, Any] = {
        "api_key": emulator.api_key,
        "base_url": emulator.base_url,
        "rate_limit": None,
        "store": MemoryStore(),
    }
    return given | options


async def pay(request: HttpRequest) -> HttpResponse:
    """Make a session, the same one each time."""
    call = frame_of(request).payment_link_sessions.create(ORDER, idempotency_key="order-1")
    return HttpResponse((await call).id)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A browser, as far as it matters here."""
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector, timeout=PATIENCE) as session:
        yield session


# --- the client's life ---------------------------------------------------------------


async def test_a_view_gets_the_client(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """A view makes a session, once for the same key; the client is closed with the server."""
    clients: list[FrameClient] = []

    async def view(request: HttpRequest) -> HttpResponse:
        clients.append(frame_of(request))
        return await pay(request)

    async with serving({"pay": view}, **options_for(emulator)) as url:
        for _ in range(2):
            async with http.get(f"{url}/pay") as answer:
                assert (await answer.text(),) == emulator.created()
    assert clients[0] is clients[1]
    assert clients[0].closed


def told(scope_type: str, *events: str) -> tuple[dict[str, Any], Callable[[], Any], Any, list[Any]]:
    """What a server passes to an application, and where its answers end up."""
    coming, sent = [{"type": event} for event in events], list[Any]()

    async def receive() -> Any:
        return coming.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    return {"type": scope_type}, receive, send, sent


async def nothing(scope: Any, receive: Any, send: Any) -> None:
    """An application that does nothing."""


async def test_a_wrong_option_stops_the_start_and_hides_the_key() -> None:
    """An option that can't be used is said at the start; no frame of ours holds the key."""
    app = FrameApplication(nothing, api_key="sk_sandbox_t0psecret", timeout=-1)
    scope, receive, send, sent = told("lifespan", "lifespan.startup")
    with pytest.raises(ConfigurationError) as caught:
        await app(scope, receive, send)
    assert [message["type"] for message in sent] == ["lifespan.startup.failed"]
    assert "timeout" in sent[0]["message"]
    trace = caught.value.__traceback__
    while trace is not None:
        if "frame_async" in trace.tb_frame.f_code.co_filename:
            assert "t0psecret" not in repr(trace.tb_frame.f_locals)
        trace = trace.tb_next


async def test_a_mistake_at_the_start_tells_its_class_only() -> None:
    """An option that doesn't exist stops the start too, and its value isn't shown."""
    options: Any = {"api_kee": "sk_sandbox_t0psecret"}
    scope, receive, send, sent = told("lifespan", "lifespan.startup")
    with pytest.raises(TypeError):
        await FrameApplication(nothing, **options)(scope, receive, send)
    assert sent == [{"type": "lifespan.startup.failed", "message": "TypeError"}]


async def test_without_lifespan_events_the_first_request_makes_the_client() -> None:
    """A server that knows no lifespan gets a client too, one for all requests."""
    states: list[Any] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        states.append(scope["state"])

    app = FrameApplication(inner, api_key="sk_sandbox_1")
    for _ in range(2):
        scope, receive, send, _ = told("http")
        scope["state"] = {"mine": 1}
        await app(scope, receive, send)
        assert scope == {"type": "http", "state": {"mine": 1}}
    frame = states[0]["frame_client"]
    assert states == [{"mine": 1, "frame_client": frame}] * 2
    await app.aclose()
    await app.aclose()
    assert frame.closed


async def test_without_the_application_the_fix_is_logged(
    http: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    """Django by itself has no client: a bare 500, and the log says what to do."""
    async with serving({"pay": pay}, ERRORS, bare=True) as url:
        async with http.get(f"{url}/pay") as answer:
            assert answer.status == 500
            assert "asgi" not in await answer.text()
    assert "put FrameApplication(get_asgi_application()) into asgi.py" in caplog.text


async def test_djangos_test_client_finds_a_lent_client(
    emulator: Emulator, frame: FrameClient
) -> None:
    """A view under Django's ``AsyncClient`` gets the client that the test lends, and only then."""
    patterns = (path("pay", pay),)
    with override_settings(ROOT_URLCONF=Addresses(patterns), MIDDLEWARE=[]):
        with use_client(frame):
            answer = await AsyncClient().get("/pay")
        assert (answer.content.decode(),) == emulator.created()
        with pytest.raises(ConfigurationError, match="use_client"):
            await AsyncClient().get("/pay")


def test_djangos_synchronous_test_client_finds_it_too(frame_client: FrameClient) -> None:
    """So does ``Client``, without asyncio in the test."""
    patterns = (path("pay", pay),)
    with override_settings(ROOT_URLCONF=Addresses(patterns), MIDDLEWARE=[]):
        with use_client(frame_client):
            assert Client().get("/pay").status_code == 200


# --- errors --------------------------------------------------------------------------


async def test_errors_are_answered(
    emulator: Emulator, http: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    """What Frame said of a refusal is in the log; the payer gets what is true."""
    emulator.add_fault(
        "refuse", status=422, body='{"error": {"message": "merchant acc_7 is under review"}}'
    )
    async with serving({"pay": pay}, ERRORS, CSRF, **options_for(emulator)) as url:
        async with http.get(f"{url}/pay") as answer:
            assert answer.status == 502
            assert answer.content_type == "application/problem+json"
            body = await answer.json()
    assert body["outcome"] == "not_created"
    assert "acc_7" not in str(body)
    assert "merchant acc_7 is under review" in caplog.text


async def test_a_full_window_says_when(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """When the rate window is full for longer than the call may take, Retry-After says so."""

    async def view(request: HttpRequest) -> HttpResponse:
        await frame_of(request).payment_link_sessions.create(ORDER)
        return HttpResponse()

    options = options_for(emulator, rate_limit=RateLimit(1, 60.0), timeout=1)
    async with serving({"pay": view}, ERRORS, **options) as url:
        async with http.get(f"{url}/pay") as answer:
            assert answer.status == 200
        async with http.get(f"{url}/pay") as answer:
            assert answer.status == 503
            assert 50 <= int(answer.headers["Retry-After"]) <= 60


def page(request: HttpRequest, answer: Answer) -> HttpResponse:
    return HttpResponse(f"<h1>{request.path}</h1>{answer.body['title']}", status=answer.status)


pages = make_error_middleware(page)


async def test_a_shop_may_answer_with_a_page_and_other_errors_stay_djangos(
    http: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    """`respond` makes the page; what is none of our errors is Django's own 500."""

    async def ours(_: HttpRequest) -> HttpResponse:
        raise FrameError("a secret")

    async def theirs(_: HttpRequest) -> HttpResponse:
        raise RuntimeError("another")

    def plain(_: HttpRequest) -> HttpResponse:
        raise FrameError("a secret")

    views = {"ours": ours, "theirs": theirs, "plain": plain}
    async with serving(views, f"{__name__}.pages", api_key="sk_sandbox_1") as url:
        for name in ("ours", "plain"):
            async with http.get(f"{url}/{name}") as answer:
                assert answer.status == 500
                assert await answer.text() == f"<h1>/{name}</h1>Internal Server Error"
        async with http.get(f"{url}/theirs") as answer:
            assert answer.status == 500
            assert "<h1>/" not in await answer.text()


# --- webhooks and redirects ----------------------------------------------------------


class Acts:
    """Writes down the events; fails while it is told to."""

    def __init__(self) -> None:
        self.paid: list[str | None] = []
        self.failing = False

    async def __call__(self, event: Event, turn: Turn) -> None:
        if self.failing:
            raise RuntimeError("the shop's database is down")
        self.paid.append(event.client_reference_id)


def hook(act: Acts, **options: Any) -> dict[str, Any]:
    receiver = WebhookReceiver(SECRET, store=MemoryStore(), **options)
    return {"hook": webhook_view(receiver, act)}


async def test_a_webhook_is_acted_upon_once(http: aiohttp.ClientSession) -> None:
    """Without a CSRF token two deliveries are taken, one acts; forged ones are a 400."""
    act, body = Acts(), event_body()
    doubled = [*signed(body).items(), ("X-Frame-Signature", "sha256=" + "0" * 64)]
    async with serving(hook(act), CSRF, ERRORS, api_key="sk_sandbox_1") as url:
        for _ in range(2):
            async with http.post(f"{url}/hook", data=body, headers=signed(body)) as answer:
                assert answer.status == 200
        for headers in (signed(body, "another"), doubled, {}):
            async with http.post(f"{url}/hook", data=body, headers=headers) as answer:
                assert answer.status == 400
        async with http.get(f"{url}/hook") as answer:
            assert answer.status == 405
    assert act.paid == ["order-42"]


async def test_a_failing_action_is_a_500_and_tried_again(http: aiohttp.ClientSession) -> None:
    """What the shop's own code raises is a 500 that tells nothing, and the next delivery acts."""
    act, body = Acts(), event_body()
    async with serving(hook(act), ERRORS, api_key="sk_sandbox_1") as url:
        act.failing = True
        async with http.post(f"{url}/hook", data=body, headers=signed(body)) as answer:
            assert answer.status == 500
            assert "database" not in await answer.text()
        act.failing = False
        async with http.post(f"{url}/hook", data=body, headers=signed(body)) as answer:
            assert answer.status == 200
    assert act.paid == ["order-42"]


async def test_a_huge_webhook_is_refused(http: aiohttp.ClientSession) -> None:
    """A body of the limit is read, one byte more is a 400 and not Django's 413."""
    act, body = Acts(), event_body()
    async with serving(hook(act, max_bytes=len(body)), api_key="sk_sandbox_1") as url:
        async with http.post(f"{url}/hook", data=body, headers=signed(body)) as answer:
            assert answer.status == 200
        for huge in (body + b" ", body + b" " * 5_000_000):
            async with http.post(
                f"{url}/hook", data=io.BytesIO(huge), headers=signed(huge)
            ) as answer:
                assert answer.status == 400


async def test_no_more_than_the_limit_gets_into_memory() -> None:
    """The view asks for one byte more than the receiver takes, and not for all there is."""

    class Request:
        method = "POST"
        headers = signed(b"x" * 11)

        def __init__(self) -> None:
            self.asked: list[int] = []

        def get_full_path(self) -> str:
            return "/hook"

        def read(self, size: int, /) -> bytes:
            self.asked.append(size)
            return b"x" * size

    request = Request()
    answer = await hook(Acts(), max_bytes=10)["hook"](request)
    assert answer.status_code == 400
    assert request.asked == [11]


async def test_a_webhook_is_seen_through_when_frame_hangs_up(
    http: aiohttp.ClientSession,
) -> None:
    """Django cancels the view; the action goes on, threads too, and the next delivery is told."""
    begun, may_end, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()
    acted: list[str | None] = []

    async def act(event: Event, turn: Turn) -> None:
        begun.set()
        await may_end.wait()
        await sync_to_async(acted.append)(event.client_reference_id)
        ended.set()

    cancelled: list[bool] = []
    receiver = WebhookReceiver(SECRET, store=MemoryStore())
    view = webhook_view(receiver, act)

    async def watched(request: HttpRequest) -> Any:
        try:
            return await view(request)
        except asyncio.CancelledError:
            cancelled.append(True)
            may_end.set()
            raise

    watched.csrf_exempt = True  # type: ignore[attr-defined]  # as Django's decorator does
    body = event_body()
    async with serving({"hook": watched}, CSRF, ERRORS, api_key="sk_sandbox_1") as url:
        async with abandoned(f"{url}/hook", body, signed(body)):
            await begun.wait()
        await asyncio.wait_for(ended.wait(), 30)
        async with http.post(f"{url}/hook", data=body, headers=signed(body)) as answer:
            assert answer.status == 200
    assert (acted, cancelled) == (["order-42"], [True])


async def test_the_client_is_open_as_long_as_an_action_needs_it(emulator: Emulator) -> None:
    """A server that stops waits for an action that Frame gave up, and closes the client then."""
    begun, may_end = asyncio.Event(), asyncio.Event()
    at_the_end: list[bool] = []
    clients: list[FrameClient] = []

    async def act(event: Event, turn: Turn) -> None:
        begun.set()
        await may_end.wait()
        at_the_end.append(clients[0].closed)

    view = webhook_view(WebhookReceiver(SECRET, store=MemoryStore()), act)

    async def watched(request: HttpRequest) -> Any:
        clients.append(frame_of(request))
        return await view(request)

    body = event_body()
    async with serving({"hook": watched}, **options_for(emulator)) as url:
        async with abandoned(f"{url}/hook", body, signed(body)):
            await begun.wait()
        asyncio.get_running_loop().call_later(0.2, may_end.set)
    assert at_the_end == [False]
    assert clients[0].closed


def test_a_redirect_is_read() -> None:
    """A genuine redirect is read, whatever Host it came to; a forged one is None."""
    signer = RedirectSigner("a_secret_of_our_own")
    back = Redirect(session="ses_1", result="paid", issued_at=datetime.now(UTC))
    url = signer.append("https://shop.example/thanks?a=%20b&c=%F0%9F%8D%BA", back)
    make = AsyncRequestFactory()
    found = redirect_of(make.get(url.removeprefix("https://shop.example")), signer)
    assert found is not None
    assert found.session == "ses_1"
    assert redirect_of(make.get("/thanks?frame_payload=e30&frame_signature=00"), signer) is None


@pytest.mark.parametrize("covers", ["payload", "url"])
async def test_a_redirect_that_came_over_a_socket_is_read(covers: Any) -> None:
    """Every byte of the address counts where all of it is signed; a changed one is None."""
    signer = RedirectSigner(
        "a_secret_of_our_own", scheme=RedirectScheme(covers=covers, max_age=None)
    )
    found: list[Redirect | None] = []

    async def thanks(request: HttpRequest) -> HttpResponse:
        found.append(redirect_of(request, signer))
        return HttpResponse()

    async with serving({"thanks/~": thanks}, api_key="sk_sandbox_1") as url:
        back = Redirect(session="ses_1", result="paid", client_reference_id="order-1")
        good = signer.append(f"{url}/thanks/%7e?name=%7eada&x=%2b%2C", back)
        changed = good.replace("frame_signature=", "frame_signature=0")
        for address in (good, changed):
            async with abandoned(address, method="GET") as reader:
                assert b" 200 " in await reader.readline()
    assert [one and one.client_reference_id for one in found] == ["order-1", None]


# --- browsers that leave -------------------------------------------------------------


async def arrived(emulator: Emulator) -> None:
    """Returns once the emulator has a request."""
    while not emulator.ledger:  # noqa: ASYNC110  # it has no event for this
        await asyncio.sleep(0.005)


async def test_a_call_whose_browser_left_keeps_its_books(
    emulator: Emulator, http: aiohttp.ClientSession
) -> None:
    """Django cancels the view: the key is in doubt, and the next call goes on from there."""
    fault = emulator.add_fault("create_and_hang")
    store, ended = MemoryStore(), asyncio.Event()

    async def view(request: HttpRequest) -> HttpResponse:
        try:
            return await pay(request)
        finally:
            ended.set()

    async with serving({"pay": view}, ERRORS, **options_for(emulator, store=store)) as url:
        await hang_up_after(f"{url}/pay", arrived(emulator))
        await asyncio.wait_for(ended.wait(), 30)
        (name,) = store._keys
        claim = await store.claim(name, store._keys[name].fingerprint, 30)
        assert isinstance(claim, InDoubt)
        await store.doubt(name, claim.token, claim.doubts, 100.0)
        emulator.remove_fault(fault)
        async with http.get(f"{url}/pay") as answer:
            assert await answer.text() == emulator.created()[-1]
    assert len(emulator.created()) == 2
