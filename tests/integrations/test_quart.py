"""frame_async in Quart: served by hypercorn on a socket, against an emulator."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from hypercorn.utils import LifespanFailureError
from quart import Quart, abort, websocket
from quart.typing import ResponseReturnValue
from support.abandoning import Books, abandoned, until_created
from support.asgi import serve
from support.hypercorns import hypercorned
from support.signing import SECRET
from support.webhooks import UNBELIEVABLE, chunks

from frame_async import FrameClient, LineItem, OutcomeUnknownError, PaymentLinkSessionRequest
from frame_async.errors import ConfigurationError, ValidationError
from frame_async.integrations.quart import (
    Answer,
    QuartFrame,
    frame_of,
    redirect_of,
    webhook_view,
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


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A browser."""
    async with aiohttp.ClientSession() as session:
        yield session


def options_of(emulator: EmulatorThread, **others: Any) -> Any:
    """What makes a client of the emulator, which remembers by itself."""
    given = {"api_key": emulator.api_key, "base_url": emulator.base_url, "store": MemoryStore()}
    return given | others


def paying(emulator: EmulatorThread, **others: Any) -> Quart:
    """An application with one button, and the clients it had in ``config``."""
    app = Quart(__name__)
    app.config["CLIENTS"] = []
    QuartFrame(app, **options_of(emulator, **others))

    @app.post("/pay")
    async def pay() -> str:
        app.config["CLIENTS"].append(frame_of())
        session = await frame_of().payment_link_sessions.create(ORDER, idempotency_key="order-1")
        return session.id

    return app


async def test_the_client_lives_as_long_as_the_application(
    frame_emulator: EmulatorThread, http: aiohttp.ClientSession
) -> None:
    """Each serving has a client of its own, closed at the end; serving again is fine."""
    app = paying(frame_emulator)
    for _ in range(2):
        async with hypercorned(app) as url, http.post(f"{url}/pay") as answer:
            assert await answer.text() == frame_emulator.assert_created_once("order-1")
    clients: list[FrameClient] = app.config["CLIENTS"]
    assert [client.closed for client in clients] == [True, True]
    assert clients[0] is not clients[1]


async def test_a_websocket_has_the_client(
    frame_emulator: EmulatorThread, http: aiohttp.ClientSession
) -> None:
    """The same client serves websockets, and an extension made before its application."""
    app = Quart(__name__)
    QuartFrame(**options_of(frame_emulator)).init_app(app)

    @app.websocket("/live")
    async def live() -> None:
        await websocket.send(repr(frame_of()))

    async with hypercorned(app) as url, http.ws_connect(f"{url}/live") as socket:
        assert "FrameClient" in await socket.receive_str()


async def test_a_forgotten_client_is_said_by_name(http: aiohttp.ClientSession) -> None:
    """Without the extension the error says what to call."""
    app = Quart(__name__)
    found: list[str] = []

    @app.get("/")
    async def ask() -> str:
        with pytest.raises(ConfigurationError) as caught:
            frame_of()
        found.append(caught.value.message)
        return ""

    async with hypercorned(app) as url, http.get(url) as answer:
        assert answer.status == 200
    assert "call QuartFrame(app), and serve it" in found[0]


async def test_bad_options_stop_the_start_and_stay_secret() -> None:
    """An application with an unusable option doesn't start; no frame of ours shows the key."""
    app = Quart(__name__)
    QuartFrame(app, api_key="sk_sandbox_t0psecret", timeout=-1)
    with pytest.raises(ConfigurationError, match="timeout") as caught:
        await app.startup()
    trace = caught.value.__traceback__
    while trace is not None:
        if "frame_async/integrations" in trace.tb_frame.f_code.co_filename:
            names = trace.tb_frame.f_locals
            shown = {n: vars(v) if n == "self" else v for n, v in names.items()}
            assert "t0psecret" not in repr(shown)
        trace = trace.tb_next
    with pytest.raises(LifespanFailureError):
        async with hypercorned(app):
            pytest.fail("it must not start")


@pytest.mark.frame_emulator(limit=None)
async def test_errors_become_problem_details(
    frame_emulator: EmulatorThread, http: aiohttp.ClientSession
) -> None:
    """An error of a call is answered with what a payer may know, and nothing of Frame's."""
    body = '{"error": {"message": "prod_1 is secret"}}'
    frame_emulator.call(lambda emulator: emulator.add_fault("refuse", status=422, body=body))
    app = paying(frame_emulator)
    async with hypercorned(app) as url, http.post(f"{url}/pay") as answer:
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
    app = Quart(__name__)

    async def respond(answer: Answer) -> ResponseReturnValue:
        return "sorry", answer.status

    QuartFrame(app, respond, **options_of(frame_emulator))

    @app.get("/<whose>")
    async def fail(whose: str) -> str:
        if whose == "ours":
            raise ValidationError("what was asked", [])
        abort(410)

    async with hypercorned(app) as url:
        async with http.get(f"{url}/ours") as answer:
            assert (answer.status, await answer.text()) == (500, "sorry")
        async with http.get(f"{url}/theirs") as answer:
            assert answer.status == 410


# --- webhooks and redirects -----------------------------------------------------------


def webhook_app(act: Callable[[Event, Turn], Any]) -> Quart:
    """An application with a webhook."""
    app = Quart(__name__)
    receiver = WebhookReceiver(SECRET, store=MemoryStore(), max_bytes=1000)
    app.post("/webhooks")(webhook_view(receiver, act))
    return app


async def test_a_webhook_acts_once(http: aiohttp.ClientSession) -> None:
    """A delivery is acted upon, a repeated one is not, and both are taken."""
    seen: list[str | None] = []

    async def act(event: Event, turn: Turn) -> None:
        assert turn.first
        seen.append(event.client_reference_id)

    body, headers = signed_webhook(PAID, DATA, secret=SECRET)
    async with hypercorned(webhook_app(act)) as url:
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
        hypercorned(webhook_app(act)) as url,
        http.post(f"{url}/webhooks", data=chunks(body), headers=headers) as answer,
    ):
        assert answer.status == 400
        assert answer.content_type == "application/problem+json"


async def test_a_body_larger_than_quart_takes_is_its_own_413(http: aiohttp.ClientSession) -> None:
    """The application's MAX_CONTENT_LENGTH counts for webhooks as well."""

    async def act(event: Event, turn: Turn) -> None:
        pytest.fail("it must not be acted upon")

    app = webhook_app(act)
    app.config["MAX_CONTENT_LENGTH"] = 100
    body, headers = signed_webhook(PAID, DATA, secret=SECRET)
    async with (
        hypercorned(app) as url,
        http.post(f"{url}/webhooks", data=body, headers=headers) as answer,
    ):
        assert answer.status == 413


async def test_a_webhook_that_fails_is_tried_again(http: aiohttp.ClientSession) -> None:
    """An action that raises makes a 500, and the next delivery has its turn."""
    tries: list[Turn] = []

    async def act(event: Event, turn: Turn) -> None:
        tries.append(turn)
        if len(tries) == 1:
            raise RuntimeError("no stock")

    body, headers = signed_webhook(PAID, DATA, secret=SECRET)
    statuses = []
    async with hypercorned(webhook_app(act)) as url:
        for _ in range(3):
            async with http.post(f"{url}/webhooks", data=body, headers=headers) as answer:
                statuses.append(answer.status)
    assert (statuses, len(tries)) == ([500, 200, 200], 2)


async def test_a_webhook_is_seen_through_when_frame_hangs_up(
    frame_emulator: EmulatorThread,
) -> None:
    """An action that outlasts Frame's patience comes to its end, before the client closes."""
    begun, ended = asyncio.Event(), asyncio.Event()
    at_the_end: list[bool] = []

    async def act(event: Event, turn: Turn) -> None:
        frame = frame_of()
        begun.set()
        await ended.wait()
        at_the_end.append(frame.closed)

    app = webhook_app(act)
    QuartFrame(app, **options_of(frame_emulator))
    body, headers = signed_webhook(PAID, DATA, secret=SECRET)
    async with hypercorned(app) as url:
        async with abandoned(f"{url}/webhooks", body, headers):
            await begun.wait()
        asyncio.get_running_loop().call_later(0.2, ended.set)
    assert at_the_end == [False]


@pytest.mark.parametrize("covers", ["payload", "url"])
async def test_a_redirect_is_verified(covers: Any) -> None:
    """A genuine address says what became of the session; with another one there is None."""
    signer = RedirectSigner(
        "a_secret_of_our_own", scheme=RedirectScheme(covers=covers, max_age=None)
    )
    found: list[Redirect | None] = []
    app = Quart(__name__)

    @app.get("/thanks")
    async def thanks() -> str:
        found.append(redirect_of(signer))
        return ""

    async with hypercorned(app) as url:
        redirect = Redirect(session="ses_1", result="paid", client_reference_id="order-1")
        good = signer.append(f"{url}/thanks?name=%7eada&x=%2b%2C", redirect)
        changed = good.replace("frame_signature=", "frame_signature=0")
        for address, headers in ((good, {}), (changed, {}), (changed, {"Host": "shop:x"})):
            async with abandoned(address, b"", headers, method="GET") as reader:
                assert b" 200 " in await reader.readline()
    assert [one and one.client_reference_id for one in found] == ["order-1", None, None]


# --- abandoned requests ---------------------------------------------------------------


@pytest.mark.parametrize("serving", [hypercorned, serve], ids=["hypercorn", "uvicorn"])
@pytest.mark.frame_emulator(limit=None)
async def test_an_abandoned_request_cancels_the_call_and_keeps_the_books(
    frame_emulator: EmulatorThread, http: aiohttp.ClientSession, serving: Any
) -> None:
    """Quart cancels by itself: the key is in doubt after the browser left, and admits it."""
    frame_emulator.call(lambda emulator: emulator.add_fault("create_and_hang", times=1))
    books = Books()
    app = paying(frame_emulator, store=books)
    async with serving(app) as url:
        async with abandoned(f"{url}/pay"):
            await until_created(frame_emulator, 1)
        await asyncio.wait_for(books.in_doubt.wait(), 30)
        frame: FrameClient = app.config["CLIENTS"][0]
        with pytest.raises(OutcomeUnknownError):
            await frame.payment_link_sessions.create(
                ORDER, idempotency_key="order-1", retry=RetryPolicy(on_unknown="raise")
            )
        async with http.post(f"{url}/pay") as answer:
            assert answer.status == 200
        session = await frame.payment_link_sessions.create(ORDER, idempotency_key="order-1")
        assert session.call.replayed
        assert session.call.possible_duplicates == 1
    assert len(frame_emulator.created()) == 2
