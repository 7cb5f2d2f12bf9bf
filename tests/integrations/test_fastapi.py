"""FastAPI and Starlette behind a real server: the client's life, webhooks, errors, hang-ups."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

import aiohttp
import pytest
from fastapi import Body, Depends, FastAPI, Form, Request
from fastapi.responses import JSONResponse
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from support.abandoning import abandoned
from support.asgi import hang_up_after, serve
from support.signing import SECRET, event_body, signed

from frame_async import FrameClient, LineItem, PaymentLinkSessionRequest, RateLimit
from frame_async.emulator import Emulator
from frame_async.errors import ConfigurationError
from frame_async.integrations.fastapi import (
    Answer,
    Frame,
    RequestAbandonedError,
    add_error_handlers,
    frame_lifespan,
    receive_webhook,
    redirect_or_none,
    unless_abandoned,
    verified_redirect,
    webhook_router,
)
from frame_async.integrations.starlette import frame_of, redirect_of, webhook_route
from frame_async.models import Event
from frame_async.stores import Claimed, InDoubt, MemoryStore
from frame_async.webhooks import Redirect, RedirectScheme, RedirectSigner, Turn, WebhookReceiver

PATIENCE = aiohttp.ClientTimeout(total=60)
ORDER = PaymentLinkSessionRequest(line_items=[LineItem(product="prod_1")])


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A browser, as far as it matters here; uvicorn closes connections after a 500."""
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector, timeout=PATIENCE) as session:
        yield session


def lifespan_for(emulator: Emulator, **options: Any) -> Any:
    """A lifespan whose client talks to the emulator, and remembers by itself."""
    given: Any = {
        "api_key": emulator.api_key,
        "base_url": emulator.base_url,
        "rate_limit": None,
        "store": MemoryStore(),
    }
    return frame_lifespan(**(given | options))


def shop_for(emulator: Emulator, **options: Any) -> FastAPI:
    """A shop that makes a session at each POST to ``/pay/KEY``."""
    app = FastAPI(lifespan=lifespan_for(emulator, **options))
    add_error_handlers(app)

    @app.post("/pay/{key}")
    async def pay(key: str, frame: Frame) -> str:
        session = await frame.payment_link_sessions.create(ORDER, idempotency_key=key)
        return session.id

    return app


# --- the client's life ---------------------------------------------------------------


async def test_a_dependency_gets_the_client(
    emulator: Emulator, http: aiohttp.ClientSession
) -> None:
    """A handler that asks for Frame makes a session, twice the same for the same key."""
    async with serve(shop_for(emulator)) as url:
        for _ in range(2):
            async with http.post(f"{url}/pay/order-1") as answer:
                assert answer.status == 200
                assert (await answer.json(),) == emulator.created()


async def test_the_client_outlives_the_applications_own_lifespan(emulator: Emulator) -> None:
    """The user's own lifespan runs inside: it has the client, keeps its state, and ends first."""
    told: list[str] = []

    @asynccontextmanager
    async def own(app: FastAPI) -> AsyncIterator[dict[str, int]]:
        frame: FrameClient = app.state.frame_client
        told.append(f"start {frame.closed}")
        yield {"answer": 42}
        told.append(f"end {frame.closed}")

    lifespan = frame_lifespan(own, api_key=emulator.api_key, base_url=emulator.base_url)
    app = FastAPI(lifespan=lifespan)
    async with app.router.lifespan_context(app) as state:
        assert dict(state or {}) == {"answer": 42, "frame_client": app.state.frame_client}
    assert told == ["start False", "end False"]
    assert app.state.frame_client.closed


async def test_a_lifespan_without_state_will_do(emulator: Emulator) -> None:
    """A lifespan that yields nothing composes as well."""

    @asynccontextmanager
    async def own(app: FastAPI) -> AsyncIterator[None]:
        yield

    app = FastAPI(lifespan=frame_lifespan(own, api_key=emulator.api_key))
    async with app.router.lifespan_context(app) as state:
        assert list(state or {}) == ["frame_client"]


async def test_options_are_passed_on() -> None:
    """The options are the client's."""
    app = Starlette(lifespan=frame_lifespan(api_key="sk_sandbox_a", base_url="http://127.0.0.1:9"))
    async with app.router.lifespan_context(app):
        assert app.state.frame_client.base_url == "http://127.0.0.1:9/v1"


async def test_a_wrong_option_stops_the_start_and_hides_the_key() -> None:
    """An option that can't be used is said at the start; no frame of ours holds the key."""
    lifespan = frame_lifespan(api_key="sk_sandbox_t0psecret", timeout=-1)
    with pytest.raises(ConfigurationError, match="timeout") as caught:
        async with lifespan(FastAPI()):
            pass
    trace = caught.value.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if "frame_async" in code.co_filename:
            assert "t0psecret" not in repr(trace.tb_frame.f_locals), code.co_name
        trace = trace.tb_next


async def test_a_mounted_application_shares_the_client(
    emulator: Emulator, http: aiohttp.ClientSession
) -> None:
    """A handler of a mounted application gets the client of the outermost one."""
    inner = shop_for(emulator)
    app = FastAPI(lifespan=lifespan_for(emulator))
    app.mount("/shop", inner)
    async with serve(app) as url:
        async with http.post(f"{url}/shop/pay/order-1") as answer:
            assert answer.status == 200


async def test_without_a_lifespan_the_fix_is_logged(
    http: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    """An application without a client answers a bare 500, and the log says what to do."""
    app = FastAPI()
    add_error_handlers(app)

    @app.get("/")
    async def home(frame: Frame) -> None: ...

    async with serve(app) as url:
        async with http.get(url) as answer:
            assert answer.status == 500
            assert "lifespan" not in await answer.text()
    assert "lifespan=frame_lifespan()" in caplog.text


# --- errors --------------------------------------------------------------------------


async def test_frame_out_of_reach_is_a_503(http: aiohttp.ClientSession) -> None:
    """When Frame can't be reached, the payer is told to come back, and nothing else."""
    async with Emulator(limit=None) as gone:
        app = shop_for(gone, timeout=1)
    async with serve(app) as url, http.post(f"{url}/pay/order-1") as answer:
        assert answer.status == 503
        assert answer.headers["Retry-After"] == "5"
        assert answer.content_type == "application/problem+json"
        body = await answer.json()
        assert body["outcome"] == "not_created"
        assert gone._listening is None
        assert "127.0.0.1" not in str(body)


async def test_a_full_window_says_when(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """When the rate window is full for longer than the call may take, Retry-After says so."""
    app = shop_for(emulator, rate_limit=RateLimit(1, 60.0), timeout=1)
    async with serve(app) as url:
        async with http.post(f"{url}/pay/order-1") as answer:
            assert answer.status == 200
        async with http.post(f"{url}/pay/order-2") as answer:
            assert answer.status == 503
            assert 50 <= int(answer.headers["Retry-After"]) <= 60


async def test_an_unknown_outcome_is_a_502(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """When a session may exist, the answer says so, and that nothing was charged."""
    emulator.add_fault("create_and_drop")
    async with serve(shop_for(emulator, timeout=0.5)) as url:
        async with http.post(f"{url}/pay/order-1") as answer:
            assert answer.status == 502
            body = await answer.json()
    assert body["outcome"] == "unknown"
    assert "Nothing was charged" in body["detail"]


async def test_a_refusal_leaks_nothing(
    emulator: Emulator, http: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    """What Frame said of a refusal is in the log, and not in the answer."""
    emulator.add_fault(
        "refuse", status=403, body='{"error": {"message": "merchant acc_7 is under review"}}'
    )
    async with serve(shop_for(emulator)) as url:
        async with http.post(f"{url}/pay/order-1") as answer:
            assert answer.status == 500
            assert "acc_7" not in await answer.text()
    assert "PermissionDeniedError: " in caplog.text
    assert "merchant acc_7 is under review" in caplog.text


async def test_a_shop_may_answer_with_a_page_of_its_own(
    emulator: Emulator, http: aiohttp.ClientSession
) -> None:
    """`respond` makes the response from what a payer may know."""
    emulator.add_fault("throttle", wait=60, retry_after="absent")
    app = FastAPI(lifespan=lifespan_for(emulator, timeout=0.5))

    def page(request: Request, answer: Answer) -> Response:
        text = f"{request.url.path}: {answer.body['detail']}"
        return PlainTextResponse(text, answer.status)

    add_error_handlers(app, page)

    @app.get("/pay")
    async def pay(frame: Frame) -> None:
        await frame.payment_link_sessions.create(ORDER)

    async with serve(app) as url, http.get(f"{url}/pay") as answer:
        assert answer.status == 503
        assert (await answer.text()).startswith("/pay: The payment page can't be opened")


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


def hooked(act: Acts, how: str, **options: Any) -> Any:
    """An application with a webhook endpoint, made in each of the three ways."""
    receiver = WebhookReceiver(SECRET, store=MemoryStore(), **options)
    if how == "route":
        return Starlette(routes=[webhook_route("/hook", receiver, act)])
    app = FastAPI()
    if how == "router":
        app.include_router(webhook_router("/hook", receiver, act))
        return app

    def database() -> Acts:
        return act

    @app.post("/hook")
    async def hook(request: Request, db: Annotated[Acts, Depends(database)]) -> Response:
        return await receive_webhook(request, receiver, db)

    return app


@pytest.mark.parametrize("how", ["router", "route", "endpoint"])
async def test_a_webhook_is_acted_upon_once(how: str, http: aiohttp.ClientSession) -> None:
    """Two deliveries are both taken, one acts; a forged one is a 400, and GET is a 405."""
    act, body = Acts(), event_body()
    async with serve(hooked(act, how)) as url:
        for _ in range(2):
            async with http.post(f"{url}/hook", data=body, headers=signed(body)) as answer:
                assert answer.status == 200
        async with http.post(f"{url}/hook", data=body, headers=signed(body, "x")) as answer:
            assert answer.status == 400
            assert answer.content_type == "application/problem+json"
        async with http.get(f"{url}/hook") as answer:
            assert answer.status == 405
    assert act.paid == ["order-42"]


async def test_a_failing_action_is_a_500_and_tried_again(
    http: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    """What the shop's own code raises is a 500 that tells nothing, and the next delivery acts."""
    act, body = Acts(), event_body()
    async with serve(hooked(act, "router")) as url:
        act.failing = True
        async with http.post(f"{url}/hook", data=body, headers=signed(body)) as answer:
            assert answer.status == 500
            assert "database" not in await answer.text()
        act.failing = False
        async with http.post(f"{url}/hook", data=body, headers=signed(body)) as answer:
            assert answer.status == 200
    assert act.paid == ["order-42"]
    assert "the shop's database is down" in caplog.text


async def test_a_doubled_signature_is_refused(http: aiohttp.ClientSession) -> None:
    """Two signature headers are a 400 although one of them is right."""
    act, body = Acts(), event_body()
    headers = [*signed(body).items(), ("X-Frame-Signature", "sha256=" + "0" * 64)]
    async with serve(hooked(act, "router")) as url:
        async with http.post(f"{url}/hook", data=body, headers=headers) as answer:
            assert answer.status == 400
    assert act.paid == []


async def test_a_huge_webhook_is_refused_before_it_is_read() -> None:
    """A body beyond the limit is answered while most of it is still to come."""
    async with serve(hooked(Acts(), "router", max_bytes=1000)) as url:
        host, _, port = url.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST /hook HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n")
        writer.write(b"x" * 1001)
        answer = await asyncio.wait_for(reader.readline(), 30)
        assert answer.startswith(b"HTTP/1.1 400 ")
        writer.close()
        await writer.wait_closed()


async def test_a_webhook_that_breaks_off_acts_not(http: aiohttp.ClientSession) -> None:
    """A sender that goes away in the middle of the body leaves no trace but a line."""
    act = Acts()
    async with serve(hooked(act, "router")) as url:
        host, _, port = url.removeprefix("http://").partition(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST /hook HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{")
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        async with http.get(url) as answer:
            assert answer.status == 404
    assert act.paid == []


def thanks(signer: RedirectSigner) -> FastAPI:
    """A shop with two pages after the payment: one that insists, and one that doesn't."""
    app = FastAPI()
    add_error_handlers(app)

    @app.get("/strict")
    async def strict(back: Annotated[Redirect, Depends(verified_redirect(signer))]) -> str:
        return back.result

    @app.get("/kind")
    async def kind(back: Annotated[Redirect | None, Depends(redirect_or_none(signer))]) -> str:
        return back.result if back else "neutral"

    return app


@pytest.mark.parametrize(("covers", "told"), [("payload", True), ("url", True), ("url", False)])
async def test_every_byte_of_a_redirect_counts(covers: Any, told: bool) -> None:
    """Where all of an address is signed it is read as it was asked for; a changed one is None."""
    signer = RedirectSigner(
        "a_secret_of_our_own", scheme=RedirectScheme(covers=covers, max_age=None)
    )
    found: list[Redirect | None] = []
    app, page = FastAPI(), "/thanks" if not told else "/thanks/%7e"

    @app.get("/thanks")
    @app.get("/thanks/~")
    async def thanks(request: Request) -> None:
        found.append(redirect_of(request, signer))

    async def server(scope: Any, receive: Any, send: Any) -> None:
        if not told:  # ASGI leaves it to the server whether it tells the path's bytes
            scope.pop("raw_path", None)
        await app(scope, receive, send)

    async with serve(server) as url:
        back = Redirect(session="ses_1", result="paid", client_reference_id="order-1")
        good = signer.append(f"{url}{page}?name=%7eada&x=%2b%2C", back)
        changed = good.replace("frame_signature=", "frame_signature=0")
        for address in (good, changed):
            async with abandoned(address, method="GET") as reader:
                assert b" 200 " in await reader.readline()
    assert [one and one.client_reference_id for one in found] == ["order-1", None]


async def test_a_webhook_is_seen_through_when_its_request_is_cancelled(emulator: Emulator) -> None:
    """What a server cancels goes on to its end, before the shop's own lifespan and the client."""
    begun, may_end = asyncio.Event(), asyncio.Event()
    ends: list[str] = []

    @asynccontextmanager
    async def own(app: FastAPI) -> AsyncIterator[None]:
        yield
        ends.append("own lifespan")

    async def act(event: Event, turn: Turn) -> None:
        begun.set()
        await may_end.wait()
        ends.append(f"action, closed: {app.state.frame_client.closed}")

    app = FastAPI(
        lifespan=frame_lifespan(own, api_key=emulator.api_key, base_url=emulator.base_url)
    )
    app.include_router(webhook_router("/hook", WebhookReceiver(SECRET, store=MemoryStore()), act))

    async def impatient(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await app(scope, receive, send)
            return
        serving = asyncio.ensure_future(app(scope, receive, send))
        await begun.wait()
        serving.cancel()
        await asyncio.wait({serving})

    body = event_body()
    async with serve(impatient) as url:
        async with abandoned(f"{url}/hook", body, signed(body)):
            await begun.wait()
        asyncio.get_running_loop().call_later(0.2, may_end.set)
    assert ends == ["action, closed: False", "own lifespan"]


async def test_a_redirect_is_verified(http: aiohttp.ClientSession) -> None:
    """A genuine redirect is read; a forged one is a 400, or None where a page is neutral."""
    signer = RedirectSigner("a_secret_of_our_own")
    back = Redirect(session="ses_1", result="paid", issued_at=datetime.now(UTC))
    async with serve(thanks(signer)) as url:
        for page, forged in (("strict", 400), ("kind", 200)):
            genuine = signer.append(f"{url}/{page}?a=%20b&c=%F0%9F%8D%BA", back)
            async with http.get(genuine) as answer:
                assert await answer.json() == "paid"
            for wrong in (genuine[:-1] + ("0" if genuine[-1] != "0" else "1"), f"{url}/{page}"):
                async with http.get(wrong) as answer:
                    assert answer.status == forged
                    assert "paid" not in await answer.text()
        headers = {"Host": "a b<c>@[::"}
        async with http.get(f"{url}/kind?x", headers=headers) as answer:
            assert answer.status == 200


# --- abandoned requests --------------------------------------------------------------


def patient(app: FastAPI, how: str, ended: "asyncio.Queue[Exception]") -> None:
    """A handler that gives up when the browser does, having read the body in some way."""

    async def pay(request: Request, frame: FrameClient) -> str:
        call = frame.payment_link_sessions.create(ORDER, idempotency_key="order-1")
        try:
            session = await unless_abandoned(request, call)
        except RequestAbandonedError as error:
            ended.put_nowait(error)
            raise
        return session.id

    if how == "unread":

        @app.post("/pay")
        async def unread(request: Request, frame: Frame) -> str:
            return await pay(request, frame)
    elif how == "json":

        @app.post("/pay")
        async def json(request: Request, frame: Frame, a: Annotated[Any, Body()]) -> str:
            return await pay(request, frame)
    elif how == "stream":

        @app.post("/pay")
        async def stream(request: Request, frame: Frame) -> str:
            assert [chunk async for chunk in request.stream()]
            return await pay(request, frame)
    else:

        @app.post("/pay")
        async def form(request: Request, frame: Frame, a: Annotated[str, Form()] = "") -> str:
            return await pay(request, frame)


async def arrived(emulator: Emulator) -> None:
    """Returns once the emulator has a request."""
    while not emulator.ledger:  # noqa: ASYNC110  # it has no event for this
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("middleware", [False, True], ids=["bare", "middleware"])
@pytest.mark.parametrize("how", ["unread", "json", "stream", "form"])
async def test_an_abandoned_call_keeps_its_books(
    how: str, middleware: bool, emulator: Emulator, http: aiohttp.ClientSession
) -> None:
    """The browser goes away: the call is cancelled, its key is in doubt, the next goes on."""
    fault = emulator.add_fault("create_and_hang")
    store, ended = MemoryStore(), asyncio.Queue[Exception]()
    app = FastAPI(lifespan=lifespan_for(emulator, store=store))
    add_error_handlers(app)
    patient(app, how, ended)

    async def pass_on(request: Any, call: Callable[[Any], Awaitable[Any]]) -> Any:
        return await call(request)

    if middleware:
        app.add_middleware(BaseHTTPMiddleware, dispatch=pass_on)
    async with serve(app) as url:
        body, kind = b'{"a": 1}', "application/json"
        if how == "form":
            body, kind = b"a=1", "application/x-www-form-urlencoded"
        await hang_up_after(f"{url}/pay", arrived(emulator), body, kind)
        await asyncio.wait_for(ended.get(), 30)
        (name,) = store._keys
        fingerprint = store._keys[name].fingerprint
        claim = await store.claim(name, fingerprint, 30)
        assert isinstance(claim, InDoubt)
        assert claim.doubts == 1
        await store.doubt(name, claim.token, 1, 100.0)
        emulator.remove_fault(fault)
        async with http.post(f"{url}/pay", data=body, headers={"Content-Type": kind}) as answer:
            assert answer.status == 200
            session = await answer.json()
    assert emulator.created()[-1] == session
    assert len(emulator.created()) == 2


async def test_a_call_abandoned_before_it_was_sent_frees_its_key(emulator: Emulator) -> None:
    """A call that still waits for the rate window when the browser goes away leaves nothing."""
    store, ended, waiting = MemoryStore(), asyncio.Queue[Exception](), asyncio.Event()
    lifespan = lifespan_for(emulator, store=store, rate_limit=RateLimit(1, 60.0), timeout=100)
    app = FastAPI(lifespan=lifespan)
    add_error_handlers(app)

    @app.post("/pay")
    async def pay(request: Request, frame: Frame) -> None:
        await frame.payment_link_sessions.create(ORDER)
        asyncio.get_running_loop().call_later(0.05, waiting.set)
        call = frame.payment_link_sessions.create(ORDER, idempotency_key="order-1")
        try:
            await unless_abandoned(request, call)
        except RequestAbandonedError as error:
            ended.put_nowait(error)

    async with serve(app) as url:
        await hang_up_after(f"{url}/pay", waiting.wait())
        await asyncio.wait_for(ended.get(), 30)
        claims = [await store.claim(name, "a=1", 1) for name in list(store._keys)]
        assert all(isinstance(claim, Claimed) for claim in claims)
    assert len(emulator.ledger) == 1


async def test_the_body_stays_readable(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """A body that nobody had read is still there afterwards."""
    app = FastAPI(lifespan=lifespan_for(emulator))

    @app.post("/pay")
    async def pay(request: Request, frame: Frame) -> Any:
        call = frame.payment_link_sessions.create(ORDER)
        await unless_abandoned(request, call)
        return await request.json()

    async with serve(app) as url, http.post(f"{url}/pay", json={"a": 1}) as answer:
        assert await answer.json() == {"a": 1}


async def test_a_browser_that_leaves_before_the_body_is_in(
    emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    """It leaves in the middle of the body: nothing is sent, and no warning is left behind."""
    caplog.set_level(logging.INFO, "frame_async")
    app = FastAPI(lifespan=lifespan_for(emulator))
    add_error_handlers(app)
    ended = asyncio.Queue[Exception]()
    patient(app, "unread", ended)
    async with serve(app) as url:
        host, _, port = url.removeprefix("http://").partition(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST /pay HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{")
        await writer.drain()
        writer.close()
        await asyncio.wait_for(ended.get(), 30)
    assert emulator.ledger == ()
    assert "RequestAbandonedError" in caplog.text


async def test_a_body_that_comes_twice_is_not_the_end() -> None:
    """A middleware that hands on the body once more isn't taken for a browser that left."""
    body = {"type": "http.request", "body": b"x", "more_body": False}
    coming = [body, body, {"type": "http.disconnect"}]
    went_on = asyncio.Event()

    async def receive() -> Any:
        if len(coming) == 1:
            await went_on.wait()
        return coming.pop(0)

    async def work() -> str:
        await asyncio.sleep(0.01)
        went_on.set()
        return "done"

    request = Request({"type": "http", "headers": [], "method": "POST"}, receive)
    assert await unless_abandoned(request, work()) == "done"


async def test_by_itself_a_handler_goes_on(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """Without `unless_abandoned`, the handler runs to its end: what the helper is there for."""
    emulator.add_fault("delay", seconds=0.1)
    done = asyncio.Event()
    app = FastAPI(lifespan=lifespan_for(emulator))

    @app.post("/pay")
    async def pay(frame: Frame) -> None:
        await frame.payment_link_sessions.create(ORDER)
        done.set()

    async with serve(app) as url:
        await hang_up_after(f"{url}/pay", arrived(emulator))
        await asyncio.wait_for(done.wait(), 30)


async def test_starlette_alone(emulator: Emulator, http: aiohttp.ClientSession) -> None:
    """The same without FastAPI: the client, a redirect, an error."""
    signer = RedirectSigner("a_secret_of_our_own")

    async def pay(request: Request) -> JSONResponse:
        session = await frame_of(request).payment_link_sessions.create(ORDER)
        return JSONResponse([session.id, redirect_of(request, signer)])

    app = Starlette(routes=[Route("/pay", pay)], lifespan=lifespan_for(emulator))
    add_error_handlers(app)
    async with serve(app) as url:
        async with http.get(f"{url}/pay") as answer:
            assert await answer.json() == [*emulator.created(), None]
        emulator.add_fault("refuse", status=422)
        async with http.get(f"{url}/pay") as answer:
            assert answer.status == 502
