"""frame_async in Litestar: served by uvicorn on a socket, against an emulator."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from litestar import Litestar, MediaType, Request, Response, WebSocket, get, post, websocket
from litestar.config.csrf import CSRFConfig
from litestar.di import NamedDependency, Provide
from litestar.exceptions import HTTPException
from support.abandoning import Books, abandoned, until_created
from support.asgi import serve
from support.hypercorns import hypercorned
from support.signing import SECRET
from support.webhooks import UNBELIEVABLE, chunks

from frame_async import FrameClient, LineItem, OutcomeUnknownError, PaymentLinkSessionRequest
from frame_async.errors import ConfigurationError, ValidationError
from frame_async.integrations.litestar import (
    Answer,
    Frame,
    FramePlugin,
    frame_of,
    redirect_of,
    unless_abandoned,
    webhook_route,
)
from frame_async.protocol.retry import RetryPolicy
from frame_async.stores import MemoryStore
from frame_async.testing import EmulatorThread, signed_webhook
from frame_async.webhooks import (
    Event,
    Redirect,
    RedirectScheme,
    RedirectSigner,
    Turn,
    WebhookReceiver,
)

ORDER = PaymentLinkSessionRequest(
    client_reference_id="order-1", line_items=[LineItem(product="prod_1")]
)
DATA = {"client_reference_id": "order-1"}
PAID = "transfer.succeeded"
AnyRequest = Request[Any, Any, Any]


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A browser; uvicorn may close its connections."""
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield session


def plugin_for(emulator: EmulatorThread, *arguments: Any, **others: Any) -> FramePlugin:
    """A plugin whose client talks to the emulator, and remembers by itself."""
    given: Any = {
        "api_key": emulator.api_key,
        "base_url": emulator.base_url,
        "store": MemoryStore(),
    }
    return FramePlugin(*arguments, **(given | others))


@post("/pay")
async def pay(frame: Frame) -> str:
    """Create a session for the order, with its number as the key."""
    session = await frame.payment_link_sessions.create(ORDER, idempotency_key="order-1")
    return session.id


@post("/pay-or-go")
async def pay_or_go(request: AnyRequest, frame: Frame) -> str:
    """The same, unless the browser goes away."""
    call = frame.payment_link_sessions.create(ORDER, idempotency_key="order-1")
    return (await unless_abandoned(request, call)).id


@websocket("/live")
async def live(socket: WebSocket[Any, Any, Any], frame: Frame) -> None:
    """Say whether dependency and application agree."""
    await socket.accept()
    await socket.send_text(str(frame is frame_of(socket)))
    await socket.close()


async def test_a_dependency_gets_the_client(
    frame_emulator: EmulatorThread, http: aiohttp.ClientSession
) -> None:
    """A handler that asks for `frame` makes a session; the client is closed at the end."""
    app = Litestar([pay], plugins=[plugin_for(frame_emulator)])
    async with serve(app) as url, http.post(f"{url}/pay") as answer:
        assert answer.status == 201
        assert await answer.text() == frame_emulator.assert_created_once("order-1")
        frame: FrameClient = app.state["frame_client"]
        assert not frame.closed
    assert frame.closed


async def test_a_websocket_gets_the_client(
    frame_emulator: EmulatorThread, http: aiohttp.ClientSession
) -> None:
    """The same client serves websockets."""
    app = Litestar([live], plugins=[plugin_for(frame_emulator)])
    async with serve(app, ws="wsproto") as url, http.ws_connect(f"{url}/live") as socket:
        assert await socket.receive_str() == "True"


async def test_what_the_application_has_is_left_as_it_is(
    frame_emulator: EmulatorThread, http: aiohttp.ClientSession
) -> None:
    """A handler of errors and a dependency of the application's own win over the plugin's."""
    from frame_async import FrameError

    @get("/")
    async def show(frame: NamedDependency[str]) -> str:
        if frame == "mine":
            raise ValidationError("what was asked", [])
        return frame

    app = Litestar(
        [show],
        plugins=[plugin_for(frame_emulator)],
        dependencies={"frame": Provide(lambda: "mine", sync_to_thread=False)},
        exception_handlers={FrameError: lambda _, __: Response("own", status_code=418)},
    )
    async with serve(app) as url, http.get(url) as answer:
        assert (answer.status, await answer.text()) == (418, "own")


async def test_bad_options_stop_the_start_and_stay_secret() -> None:
    """An application with an unusable option doesn't start; no frame of ours shows the key."""
    app = Litestar([pay], plugins=[FramePlugin(api_key="sk_sandbox_t0psecret", timeout=-1)])
    with pytest.raises(ConfigurationError, match="timeout") as caught:
        try:
            async with app.lifespan():
                pytest.fail("it must not start")
        except ExceptionGroup as group:  # Litestar's events run in a task group
            raise group.exceptions[0] from None
    trace = caught.value.__traceback__
    while trace is not None:
        if "frame_async/integrations" in trace.tb_frame.f_code.co_filename:
            shown = {n: vars(v) if n == "self" else v for n, v in trace.tb_frame.f_locals.items()}
            assert "t0psecret" not in repr(shown)
        trace = trace.tb_next


@pytest.mark.frame_emulator(limit=None)
async def test_errors_become_problem_details(
    frame_emulator: EmulatorThread, http: aiohttp.ClientSession
) -> None:
    """An error of a call is answered with what a payer may know, and nothing of Frame's."""
    body = '{"error": {"message": "prod_1 is secret"}}'
    frame_emulator.call(lambda emulator: emulator.add_fault("refuse", status=422, body=body))
    app = Litestar([pay], plugins=[plugin_for(frame_emulator)])
    async with serve(app) as url, http.post(f"{url}/pay") as answer:
        assert answer.status == 502
        assert answer.headers.getall("Content-Type") == ["application/problem+json"]
        assert answer.headers["Cache-Control"] == "no-store"
        problem = await answer.json()
        assert (problem["status"], problem["outcome"]) == (502, "not_created")
        assert "secret" not in await answer.text()


async def test_a_page_of_your_own_for_errors(
    frame_emulator: EmulatorThread, http: aiohttp.ClientSession
) -> None:
    """`respond` makes the response; what isn't ours is left alone."""

    def respond(request: AnyRequest, answer: Answer) -> Response[Any]:
        text = f"sorry for {request.url.path}"
        return Response(text, status_code=answer.status, media_type=MediaType.TEXT)

    @get("/ours")
    async def ours() -> None:
        raise ValidationError("what was asked", [])

    @get("/theirs")
    async def theirs() -> None:
        raise HTTPException("gone", status_code=410)

    app = Litestar([ours, theirs], plugins=[plugin_for(frame_emulator, respond)])
    async with serve(app) as url:
        async with http.get(f"{url}/ours") as answer:
            assert (answer.status, await answer.text()) == (500, "sorry for /ours")
        async with http.get(f"{url}/theirs") as answer:
            assert answer.status == 410


# --- webhooks and redirects -----------------------------------------------------------


def webhook_app(act: Callable[[Event, Turn], Any], **options: Any) -> Litestar:
    """An application with a webhook; its forms are small, and protected from forgery."""
    receiver = WebhookReceiver(SECRET, store=MemoryStore(), max_bytes=1000)
    route = webhook_route("/webhooks", receiver, act)
    given: Any = {"csrf_config": CSRFConfig(secret="a" * 32), "request_max_body_size": 10}
    return Litestar([route], **(given | options))


async def test_a_webhook_acts_once(http: aiohttp.ClientSession) -> None:
    """A delivery is acted upon, a repeated one is not, and both are taken."""
    seen: list[str | None] = []

    async def act(event: Event, turn: Turn) -> None:
        assert turn.first
        seen.append(event.client_reference_id)

    body, headers = signed_webhook(PAID, DATA, secret=SECRET)
    app = webhook_app(act)
    async with serve(app) as url:
        for _ in range(2):
            async with http.post(f"{url}/webhooks", data=body, headers=headers) as answer:
                assert (answer.status, await answer.json()) == (200, {"received": True})
    assert seen == ["order-1"]
    assert "/webhooks" not in (app.openapi_schema.paths or {})


@pytest.mark.parametrize(("body", "headers"), UNBELIEVABLE.values(), ids=UNBELIEVABLE)
async def test_a_webhook_that_is_not_believed(
    http: aiohttp.ClientSession, body: Any, headers: Any
) -> None:
    """What isn't signed, or is too large, is answered 400, and nothing happens."""

    async def act(event: Event, turn: Turn) -> None:
        pytest.fail("it must not be acted upon")

    async with (
        serve(webhook_app(act)) as url,
        http.post(f"{url}/webhooks", data=chunks(body), headers=headers) as answer,
    ):
        assert answer.status == 400
        assert answer.content_type == "application/problem+json"


async def test_a_webhook_that_fails_is_tried_again(http: aiohttp.ClientSession) -> None:
    """An action that raises makes a 500, and the next delivery has its turn."""
    tries: list[Turn] = []

    async def act(event: Event, turn: Turn) -> None:
        tries.append(turn)
        if len(tries) == 1:
            raise RuntimeError("no stock")

    body, headers = signed_webhook(PAID, DATA, secret=SECRET)
    statuses = []
    async with serve(webhook_app(act)) as url:
        for _ in range(3):
            async with http.post(f"{url}/webhooks", data=body, headers=headers) as answer:
                statuses.append(answer.status)
    assert (statuses, len(tries)) == ([500, 200, 200], 2)


async def test_a_webhook_is_seen_through_when_its_request_is_cancelled(
    frame_emulator: EmulatorThread,
) -> None:
    """What a server cancels goes on to its end all the same, before the client closes."""
    begun, ended = asyncio.Event(), asyncio.Event()
    at_the_end: list[bool] = []
    app: Litestar

    async def act(event: Event, turn: Turn) -> None:
        begun.set()
        await ended.wait()
        at_the_end.append(app.state["frame_client"].closed)

    app = webhook_app(act, plugins=[plugin_for(frame_emulator)])
    body, headers = signed_webhook(PAID, DATA, secret=SECRET)

    async def impatient(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await app(scope, receive, send)
            return
        serving = asyncio.ensure_future(app(scope, receive, send))
        await begun.wait()
        serving.cancel()
        await asyncio.wait({serving})

    async with serve(impatient) as url:
        async with abandoned(f"{url}/webhooks", body, headers):
            await begun.wait()
        asyncio.get_running_loop().call_later(0.2, ended.set)
    assert at_the_end == [False]


@pytest.mark.parametrize(("covers", "told"), [("payload", True), ("url", True), ("url", False)])
async def test_a_redirect_is_verified(covers: Any, told: bool) -> None:
    """A genuine address says what became of the session; with another one there is None."""
    signer = RedirectSigner(
        "a_secret_of_our_own", scheme=RedirectScheme(covers=covers, max_age=None)
    )
    found: list[Redirect | None] = []

    @get("/thanks")
    async def thanks(request: AnyRequest) -> None:
        found.append(redirect_of(request, signer))

    app = Litestar([thanks])

    async def server(scope: Any, receive: Any, send: Any) -> None:
        if not told:  # ASGI leaves it to the server whether it tells the path's bytes
            scope.pop("raw_path", None)
        await app(scope, receive, send)

    async with serve(server) as url:
        redirect = Redirect(session="ses_1", result="paid", client_reference_id="order-1")
        good = signer.append(f"{url}/thanks?name=%7eada&x=%2b%2C", redirect)
        changed = good.replace("frame_signature=", "frame_signature=0")
        for address, headers in ((good, {}), (changed, {}), (changed, {"Host": "shop:x"})):
            async with abandoned(address, b"", headers, method="GET") as reader:
                assert b"200 OK" in await reader.readline()
    assert [one and one.client_reference_id for one in found] == ["order-1", None, None]


# --- abandoned requests ---------------------------------------------------------------


@pytest.mark.parametrize("serving", [serve, hypercorned], ids=["uvicorn", "hypercorn"])
@pytest.mark.frame_emulator(limit=None)
async def test_an_abandoned_request_cancels_the_call_and_keeps_the_books(
    frame_emulator: EmulatorThread, http: aiohttp.ClientSession, serving: Any
) -> None:
    """With `unless_abandoned`, the key is in doubt after the browser left, and admits it."""
    frame_emulator.call(lambda emulator: emulator.add_fault("create_and_hang", times=1))
    books = Books()
    app = Litestar([pay_or_go], plugins=[plugin_for(frame_emulator, store=books)])
    async with serving(app) as url:
        async with abandoned(f"{url}/pay-or-go", b"{}"):
            await until_created(frame_emulator, 1)
        await asyncio.wait_for(books.in_doubt.wait(), 30)
        frame: FrameClient = app.state["frame_client"]
        with pytest.raises(OutcomeUnknownError):
            await frame.payment_link_sessions.create(
                ORDER, idempotency_key="order-1", retry=RetryPolicy(on_unknown="raise")
            )
        async with http.post(f"{url}/pay-or-go") as answer:
            assert answer.status == 201
        session = await frame.payment_link_sessions.create(ORDER, idempotency_key="order-1")
        assert session.call.replayed
        assert session.call.possible_duplicates == 1
    assert len(frame_emulator.created()) == 2


@pytest.mark.frame_emulator(limit=None)
async def test_by_itself_litestar_lets_the_call_end(
    frame_emulator: EmulatorThread, http: aiohttp.ClientSession
) -> None:
    """Without it the call goes on, and the next one gets its session."""
    frame_emulator.call(lambda emulator: emulator.add_fault("delay", seconds=0.3, times=1))
    app = Litestar([pay], plugins=[plugin_for(frame_emulator)])
    async with serve(app) as url:
        async with abandoned(f"{url}/pay"):
            await until_created(frame_emulator, 1)
        async with http.post(f"{url}/pay") as answer:
            assert await answer.text() == frame_emulator.assert_created_once("order-1")


async def test_a_request_that_breaks_off_begins_no_call(frame_emulator: EmulatorThread) -> None:
    """A browser that leaves before its body is there makes no session, and warns of nothing."""
    ended = asyncio.Event()

    @post("/pay")
    async def begin(request: AnyRequest, frame: Frame) -> str:
        call = frame.payment_link_sessions.create(ORDER)
        try:
            return (await unless_abandoned(request, call)).id
        finally:
            ended.set()

    app = Litestar([begin], plugins=[plugin_for(frame_emulator)])
    async with serve(app) as url:
        async with abandoned(f"{url}/pay", b"{}", {"Content-Type": "text/plain"}, length=10):
            pass
        await asyncio.wait_for(ended.wait(), 30)
    frame_emulator.assert_not_created()


async def test_a_body_stays_readable(
    frame_emulator: EmulatorThread, http: aiohttp.ClientSession
) -> None:
    """What was read on the way is still there for the handler, before and after."""

    @post("/")
    async def read(request: AnyRequest) -> bytes:
        async def work() -> bytes:
            return await request.body()

        first = await unless_abandoned(request, work())
        return first + await unless_abandoned(request, work())

    @post("/stream")
    async def stream(request: AnyRequest) -> bytes:
        async def work() -> bytes:
            await asyncio.sleep(0.01)
            return b"def"

        chunks = [chunk async for chunk in request.stream()]
        return b"".join(chunks) + await unless_abandoned(request, work())

    app = Litestar([read, stream], plugins=[plugin_for(frame_emulator)])
    async with serve(app) as url:
        async with http.post(url, data=b"abc") as answer:
            assert await answer.read() == b"abcabc"
        async with http.post(f"{url}/stream", data=b"abc") as answer:
            assert await answer.read() == b"abcdef"


async def test_a_body_that_comes_twice_is_not_the_end() -> None:
    """A middleware that hands on the body once more isn't taken for a browser that left."""
    body = {"type": "http.request", "body": b"x", "more_body": False}
    coming = [body, body, {"type": "http.disconnect"}]
    went_on = asyncio.Event()
    seen: list[str] = []

    @post("/")
    async def go_on(request: AnyRequest) -> str:
        async def work() -> str:
            await asyncio.sleep(0.01)
            went_on.set()
            return "done"

        seen.append(await unless_abandoned(request, work()))
        return ""

    app = Litestar([go_on])

    async def twice(scope: Any, receive: Any, send: Any) -> None:
        async def repeated() -> Any:
            if len(coming) == 1:
                await went_on.wait()
            return coming.pop(0)

        await app(scope, receive if scope["type"] == "lifespan" else repeated, send)

    async with serve(twice) as url, aiohttp.ClientSession() as browser:
        async with browser.post(url) as answer:
            assert answer.status == 201
    assert seen == ["done"]
