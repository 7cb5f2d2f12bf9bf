"""frame_async in aiohttp.web: served on a socket, against an emulator."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from attrs import evolve
from support.abandoning import Books, abandoned, until_created
from support.signing import SECRET
from support.webhooks import UNBELIEVABLE, chunks

from frame_async import (
    FrameClient,
    LineItem,
    OutcomeUnknownError,
    PaymentLinkSessionRequest,
    RateLimit,
)
from frame_async.errors import ConfigurationError, ValidationError
from frame_async.integrations.aiohttp_web import (
    FRAME,
    Answer,
    add_error_handlers,
    frame_client_ctx,
    frame_of,
    redirect_of,
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


@asynccontextmanager
async def served(app: web.Application, **options: Any) -> AsyncIterator[str]:
    """The address of an application while it is served."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, **options)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A browser."""
    async with aiohttp.ClientSession() as session:
        yield session


def options_of(emulator: EmulatorThread, **others: Any) -> Any:
    """What makes a client of the emulator."""
    given = {"api_key": emulator.api_key, "base_url": emulator.base_url, "store": MemoryStore()}
    return given | others


async def pay(request: web.Request) -> web.Response:
    """Create a session for the order, with its number as the key."""
    session = await frame_of(request).payment_link_sessions.create(ORDER, idempotency_key="order-1")
    return web.Response(text=session.id)


def paying(emulator: EmulatorThread, **others: Any) -> web.Application:
    """An application with one button."""
    app = web.Application()
    app.cleanup_ctx.append(frame_client_ctx(**options_of(emulator, **others)))
    add_error_handlers(app)
    app.router.add_post("/pay", pay)
    return app


async def test_the_client_lives_as_long_as_the_application(
    frame_emulator: EmulatorThread, http: aiohttp.ClientSession
) -> None:
    """Each serving of an application has a client, which is closed at the end."""
    app = paying(frame_emulator)
    async with served(app) as url:
        frame = app[FRAME]
        assert isinstance(frame, FrameClient)
        async with http.post(f"{url}/pay") as answer:
            assert await answer.text() == frame_emulator.assert_created_once("order-1")
        assert not frame.closed
    assert frame.closed


async def test_an_application_within_another_finds_the_client(
    frame_emulator: EmulatorThread, http: aiohttp.ClientSession
) -> None:
    """The client of the outer application serves the handlers of the inner one."""
    outer, inner = paying(frame_emulator), web.Application()
    inner.router.add_post("/pay", pay)
    outer.add_subapp("/inner", inner)
    async with served(outer) as url, http.post(f"{url}/inner/pay") as answer:
        assert answer.status == 200
    frame_emulator.assert_created_once("order-1")


async def test_a_forgotten_client_is_said_by_name(http: aiohttp.ClientSession) -> None:
    """Without the context the error says what to append, and where."""
    found: list[str] = []

    async def ask(request: web.Request) -> web.Response:
        with pytest.raises(ConfigurationError) as caught:
            frame_of(request)
        found.append(caught.value.message)
        return web.Response()

    app = web.Application()
    app.router.add_get("/", ask)
    async with served(app) as url, http.get(url) as answer:
        assert answer.status == 200
    assert "append frame_client_ctx() to its cleanup_ctx" in found[0]


async def test_bad_options_stop_the_start_and_stay_secret() -> None:
    """An application with an unusable key doesn't start; no frame of ours shows the key."""
    app = web.Application()
    app.cleanup_ctx.append(frame_client_ctx(api_key="pk_sandbox_0123456789abcdef"))
    with pytest.raises(ConfigurationError) as caught:
        async with served(app):
            pytest.fail("it must not start")
    trace = caught.value.__traceback__
    while trace is not None:
        if "frame_async/integrations" in trace.tb_frame.f_code.co_filename:
            assert "0123456789abcdef" not in repr(trace.tb_frame.f_locals)
        trace = trace.tb_next


@pytest.mark.frame_emulator(limit=None)
async def test_errors_become_problem_details(
    frame_emulator: EmulatorThread, http: aiohttp.ClientSession
) -> None:
    """An error of a call is answered with what a payer may know, and nothing of Frame's."""
    fault = ("refuse", {"status": 422, "body": '{"error": {"message": "prod_1 is secret"}}'})
    frame_emulator.call(lambda emulator: emulator.add_fault(fault[0], **fault[1]))
    async with (
        served(paying(frame_emulator)) as url,
        http.post(f"{url}/pay") as answer,
    ):
        assert answer.status == 502
        assert answer.content_type == "application/problem+json"
        assert answer.headers["Cache-Control"] == "no-store"
        body = await answer.json()
        assert (body["status"], body["outcome"]) == (502, "not_created")
        assert "secret" not in await answer.text()


async def test_a_page_of_your_own_for_errors(http: aiohttp.ClientSession) -> None:
    """`respond` makes the response; what isn't ours is left alone."""

    def respond(request: web.Request, answer: Answer) -> web.Response:
        return web.Response(status=answer.status, text=f"sorry for {request.path}")

    async def fail(request: web.Request) -> web.Response:
        if request.path == "/ours":
            raise ValidationError("what was asked", [])
        raise web.HTTPGone(text="theirs")

    app = web.Application()
    add_error_handlers(app, respond)
    app.add_routes([web.get("/ours", fail), web.get("/theirs", fail)])
    async with served(app) as url:
        async with http.get(f"{url}/ours") as answer:
            assert (answer.status, await answer.text()) == (500, "sorry for /ours")
        async with http.get(f"{url}/theirs") as answer:
            assert (answer.status, await answer.text()) == (410, "theirs")


async def test_an_answer_that_has_begun_is_no_place_for_another(
    http: aiohttp.ClientSession,
) -> None:
    """An error in the middle of a stream breaks it off, instead of writing into it."""

    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"begun")
        raise ValidationError("too late", [])

    app = web.Application()
    add_error_handlers(app)
    app.router.add_get("/", stream)
    async with served(app) as url, http.get(url) as answer:
        assert await answer.content.readany() == b"begun"
        with pytest.raises(aiohttp.ClientPayloadError):
            pytest.fail(f"there was more: {await answer.content.readany()!r}")


def webhook_app(act: Callable[[Event, Turn], Any], **options: Any) -> web.Application:
    """An application with a webhook, and events of its own."""
    receiver = WebhookReceiver(SECRET, store=MemoryStore(), **options)
    app = web.Application()
    app.add_routes([webhook_route("/webhooks", receiver, act)])
    return app


async def test_a_webhook_acts_once(http: aiohttp.ClientSession) -> None:
    """A delivery is acted upon, a repeated one is not, and both are taken."""
    seen: list[str | None] = []

    async def act(event: Event, turn: Turn) -> None:
        assert turn.first
        seen.append(event.client_reference_id)

    body, headers = signed_webhook(PAID, DATA, secret=SECRET)
    async with served(webhook_app(act)) as url:
        for _ in range(2):
            async with http.post(f"{url}/webhooks", data=body, headers=headers) as answer:
                assert (answer.status, await answer.json()) == (200, {"received": True})
    assert seen == ["order-1"]


@pytest.mark.parametrize(("body", "headers"), UNBELIEVABLE.values(), ids=UNBELIEVABLE)
async def test_a_webhook_that_is_not_believed(
    http: aiohttp.ClientSession, body: Any, headers: Any
) -> None:
    """What isn't signed, or is too large, is answered 400, and nothing happens."""

    async def act(event: Event, turn: Turn) -> None:
        pytest.fail("it must not be acted upon")

    async with (
        served(webhook_app(act, max_bytes=1000)) as url,
        http.post(f"{url}/webhooks", data=chunks(body), headers=headers) as answer,
    ):
        assert answer.status == 400
        assert answer.content_type == "application/problem+json"


async def test_a_webhook_that_fails_is_tried_again(http: aiohttp.ClientSession) -> None:
    """An action that raises makes a 500, and the next delivery has its turn."""
    tries = 0

    async def act(event: Event, turn: Turn) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise RuntimeError("no stock")

    body, headers = signed_webhook(PAID, DATA, secret=SECRET)
    statuses = []
    async with served(webhook_app(act)) as url:
        for _ in range(3):
            async with http.post(f"{url}/webhooks", data=body, headers=headers) as answer:
                statuses.append(answer.status)
    assert (statuses, tries) == ([500, 200, 200], 2)


async def test_a_body_that_a_middleware_has_read(http: aiohttp.ClientSession) -> None:
    """A middleware may have read the body before; the webhook is verified all the same."""

    @web.middleware
    async def curious(request: web.Request, handler: Any) -> web.StreamResponse:
        await request.read()
        response: web.StreamResponse = await handler(request)
        return response

    async def act(event: Event, turn: Turn) -> None:
        pass

    app = webhook_app(act)
    app.middlewares.append(curious)
    body, headers = signed_webhook(PAID, DATA, secret=SECRET)
    async with served(app) as url:
        async with http.post(f"{url}/webhooks", data=body, headers=headers) as answer:
            assert answer.status == 200


async def test_a_webhook_is_seen_through_when_frame_hangs_up(
    frame_emulator: EmulatorThread,
) -> None:
    """An action that outlasts Frame's patience comes to its end, before the client closes."""
    begun, ended = asyncio.Event(), asyncio.Event()
    at_the_end: list[bool] = []
    app = paying(frame_emulator)

    async def act(event: Event, turn: Turn) -> None:
        begun.set()
        await ended.wait()
        at_the_end.append(app[FRAME].closed)

    receiver = WebhookReceiver(SECRET, store=MemoryStore())
    app.add_routes([webhook_route("/webhooks", receiver, act)])
    body, headers = signed_webhook(PAID, DATA, secret=SECRET, id="evt_slow")
    async with served(app, handler_cancellation=True) as url:
        async with abandoned(f"{url}/webhooks", body, headers):
            await begun.wait()
        asyncio.get_running_loop().call_later(0.2, ended.set)
    assert at_the_end == [False]
    async with receiver.once(receiver.verify(body, headers)) as turn:
        assert not turn.first


@pytest.mark.parametrize("covers", ["payload", "url"])
async def test_a_redirect_is_verified_as_it_was_asked_for(
    http: aiohttp.ClientSession, covers: Any
) -> None:
    """The address counts byte for byte, however aiohttp would spell it; else there is None."""
    signer = RedirectSigner(
        "a_secret_of_our_own", scheme=RedirectScheme(covers=covers, max_age=None)
    )
    found: list[Redirect | None] = []

    async def thanks(request: web.Request) -> web.Response:
        found.append(redirect_of(request, signer))
        return web.Response()

    app = web.Application()
    app.router.add_get("/thanks", thanks)
    async with served(app) as url:
        redirect = Redirect(session="ses_1", result="paid", client_reference_id="order-1")
        good = signer.append(f"{url}/thanks?name=%7eada&x=%2b%2C", redirect)
        changed = good.replace("frame_signature=", "frame_signature=0")
        for address, headers in ((good, {}), (changed, {}), (changed, {"Host": "shop:x"})):
            async with abandoned(address, b"", headers, method="GET") as reader:
                assert b"200 OK" in await reader.readline()
    assert [one and one.client_reference_id for one in found] == ["order-1", None, None]


@pytest.mark.frame_emulator(limit=None)
async def test_an_abandoned_request_cancels_the_call_and_keeps_the_books(
    frame_emulator: EmulatorThread, http: aiohttp.ClientSession
) -> None:
    """With handler_cancellation, the key is in doubt after the browser left, and admits it."""
    frame_emulator.call(lambda emulator: emulator.add_fault("create_and_hang", times=1))
    books = Books()
    app = paying(frame_emulator, store=books)
    async with served(app, handler_cancellation=True) as url:
        async with abandoned(f"{url}/pay"):
            await until_created(frame_emulator, 1)
        await asyncio.wait_for(books.in_doubt.wait(), 30)
        with pytest.raises(OutcomeUnknownError):
            await app[FRAME].payment_link_sessions.create(
                ORDER, idempotency_key="order-1", retry=RetryPolicy(on_unknown="raise")
            )
        async with http.post(f"{url}/pay") as answer:
            assert answer.status == 200
        session = await app[FRAME].payment_link_sessions.create(ORDER, idempotency_key="order-1")
        assert session.call.replayed
        assert session.call.possible_duplicates == 1
    assert len(frame_emulator.created()) == 2


async def test_abandoned_in_the_line_before_the_window_leaves_nothing_behind(
    frame_emulator: EmulatorThread,
) -> None:
    """A call that was still waiting for its place in the window frees its key."""
    books = Books()
    app = paying(frame_emulator, store=books, rate_limit=RateLimit(1, 600), timeout=900)
    async with served(app, handler_cancellation=True) as url:
        await app[FRAME].payment_link_sessions.create(evolve(ORDER, client_reference_id="before"))
        async with abandoned(f"{url}/pay"):
            await asyncio.wait_for(books.claimed.wait(), 30)
        await asyncio.wait_for(books.released.wait(), 30)
    assert not books.in_doubt.is_set()
    frame_emulator.assert_not_created("order-1")


@pytest.mark.frame_emulator(limit=None)
async def test_by_itself_aiohttp_lets_the_call_end(
    frame_emulator: EmulatorThread, http: aiohttp.ClientSession
) -> None:
    """Without handler_cancellation the call goes on, and the next one gets its session."""
    frame_emulator.call(lambda emulator: emulator.add_fault("delay", seconds=0.3, times=1))
    async with served(paying(frame_emulator)) as url:
        async with abandoned(f"{url}/pay"):
            await until_created(frame_emulator, 1)
        async with http.post(f"{url}/pay") as answer:
            assert await answer.text() == frame_emulator.assert_created_once("order-1")
