"""The same for aiohttp.web, Litestar and Quart, checked by mypy and pyright; never run."""

from typing import Any, assert_type

from aiohttp import web
from litestar import Litestar, Request, Response, post
from litestar.handlers import HTTPRouteHandler
from quart import Quart
from quart.typing import ResponseReturnValue

from frame_async import FrameClient, PaymentLinkSession, PaymentLinkSessionRequest
from frame_async.integrations import aiohttp_web, litestar, quart
from frame_async.webhooks import Event, Redirect, RedirectSigner, Turn, WebhookReceiver


async def act(event: Event, turn: Turn) -> str:
    return event.id


def with_aiohttp(receiver: WebhookReceiver, signer: RedirectSigner) -> web.Application:
    def respond(request: web.Request, answer: aiohttp_web.Answer) -> web.Response:
        assert_type(answer.status, int)
        return aiohttp_web.response_of(answer)

    async def handler(request: web.Request) -> web.Response:
        assert_type(request.app[aiohttp_web.FRAME], FrameClient)
        assert_type(aiohttp_web.frame_of(request), FrameClient)
        assert_type(aiohttp_web.redirect_of(request, signer), Redirect | None)
        return await aiohttp_web.receive_webhook(request, receiver, act)

    app = web.Application()
    app.cleanup_ctx.append(aiohttp_web.frame_client_ctx(store="memory://", timeout=10))
    app.add_routes([aiohttp_web.webhook_route("/hook", receiver, act), web.get("/", handler)])
    aiohttp_web.add_error_handlers(app)
    aiohttp_web.add_error_handlers(app, respond)
    return app


def with_litestar(receiver: WebhookReceiver, signer: RedirectSigner) -> Litestar:
    def respond(request: Request[Any, Any, Any], answer: litestar.Answer) -> Response[bytes]:
        return litestar.response_of(answer)

    @post("/")
    async def handler(
        request: Request[Any, Any, Any], order: PaymentLinkSessionRequest, frame: litestar.Frame
    ) -> Response[bytes]:
        assert_type(frame, FrameClient)
        assert_type(litestar.frame_of(request), FrameClient)
        assert_type(litestar.redirect_of(request, signer), Redirect | None)
        call = frame.payment_link_sessions.create(order, idempotency_key="order-42")
        assert_type(await litestar.unless_abandoned(request, call), PaymentLinkSession)
        return await litestar.receive_webhook(request, receiver, act)

    route = assert_type(litestar.webhook_route("/hook", receiver, act), HTTPRouteHandler)
    plugins = [litestar.FramePlugin(), litestar.FramePlugin(respond, max_in_flight=5)]
    return Litestar([handler, route], plugins=plugins)


def with_quart(receiver: WebhookReceiver, signer: RedirectSigner) -> Quart:
    async def respond(answer: quart.Answer) -> ResponseReturnValue:
        return "sorry", answer.status

    app = Quart(__name__)
    quart.QuartFrame(app, respond, store="memory://")
    quart.QuartFrame(timeout=10).init_app(app)

    @app.get("/")
    async def handler() -> ResponseReturnValue:
        assert_type(quart.frame_of(), FrameClient)
        assert_type(quart.redirect_of(signer), Redirect | None)
        return await quart.receive_webhook(receiver, act)

    app.post("/hook")(quart.webhook_view(receiver, act))
    return app


def wrong_options() -> None:
    aiohttp_web.frame_client_ctx(timeout="10")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    aiohttp_web.frame_client_ctx(tiemout=10)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    litestar.FramePlugin(tiemout=10)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    quart.QuartFrame(tiemout=10)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
