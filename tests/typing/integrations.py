"""How users of web frameworks write it, checked by mypy and pyright in strict mode; never run."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, assert_type

from fastapi import APIRouter, Depends, FastAPI, Request
from starlette.applications import Starlette
from starlette.responses import Response

from frame_async import FrameClient, PaymentLinkSession, PaymentLinkSessionRequest
from frame_async.integrations import starlette
from frame_async.integrations.fastapi import (
    Answer,
    Frame,
    add_error_handlers,
    frame_lifespan,
    receive_webhook,
    redirect_or_none,
    response_of,
    unless_abandoned,
    verified_redirect,
    webhook_router,
)
from frame_async.webhooks import Event, Redirect, RedirectSigner, Turn, WebhookReceiver


async def a_handler(
    request: Request, order: PaymentLinkSessionRequest, frame: Frame
) -> PaymentLinkSession:
    assert_type(frame, FrameClient)
    call = frame.payment_link_sessions.create(order, idempotency_key="order-42")
    return assert_type(await unless_abandoned(request, call), PaymentLinkSession)


@asynccontextmanager
async def own_lifespan(app: FastAPI) -> AsyncGenerator[dict[str, int]]:
    yield {"answer": 42}


def an_application(receiver: WebhookReceiver) -> FastAPI:
    async def act(event: Event, turn: Turn) -> None:
        assert_type(turn.first, bool)

    def respond(request: Request, answer: Answer) -> Response:
        assert_type(answer.status, int)
        return response_of(answer)

    async def hook(request: Request) -> Response:
        return await receive_webhook(request, receiver, act)

    app = FastAPI(lifespan=frame_lifespan(own_lifespan, store="memory://", timeout=10))
    add_error_handlers(app)
    add_error_handlers(app, respond)
    app.include_router(assert_type(webhook_router("/hook", receiver, act), APIRouter))
    app.add_api_route("/other", hook)
    return app


def plain(receiver: WebhookReceiver) -> Starlette:
    async def act(event: Event, turn: Turn) -> str:
        return event.id

    route = starlette.webhook_route("/hook", receiver, act)
    return Starlette(routes=[route], lifespan=starlette.frame_lifespan(max_in_flight=5))


def redirects(signer: RedirectSigner) -> None:
    async def strict(back: Annotated[Redirect, Depends(verified_redirect(signer))]) -> str:
        return back.result

    async def kind(back: Annotated[Redirect | None, Depends(redirect_or_none(signer))]) -> str:
        return back.result if back else "neutral"

    del strict, kind


def wrong_options() -> None:
    frame_lifespan(timeout="10")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    frame_lifespan(tiemout=10)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
