"""For FastAPI: a client as a dependency, webhooks, redirects, answers to errors.

::

    app = FastAPI(lifespan=frame_lifespan())
    add_error_handlers(app)


    @app.post("/orders/{number}/pay")
    async def pay(number: str, frame: Frame) -> str: ...
"""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from frame_async.client import FrameClient
from frame_async.models.redirects import Redirect
from frame_async.webhooks import RedirectSigner, WebhookReceiver

try:
    from fastapi import APIRouter, Depends, Request, Response
    from fastapi.requests import HTTPConnection
except ModuleNotFoundError as error:
    raise ImportError(
        "frame_async.integrations.fastapi needs FastAPI: pip install 'frame-async[fastapi]'"
    ) from error

from frame_async.errors import RequestAbandonedError
from frame_async.integrations.starlette import (
    Answer,
    ClientOptions,
    EventAction,
    add_error_handlers,
    address_of,
    answer_of,
    frame_lifespan,
    frame_of,
    receive_webhook,
    redirect_of,
    response_of,
    unless_abandoned,
)

__all__ = [
    "Answer",
    "ClientOptions",
    "EventAction",
    "Frame",
    "RequestAbandonedError",
    "add_error_handlers",
    "answer_of",
    "frame_lifespan",
    "frame_of",
    "receive_webhook",
    "redirect_of",
    "redirect_or_none",
    "response_of",
    "unless_abandoned",
    "verified_redirect",
    "webhook_router",
]


async def _frame(connection: HTTPConnection) -> FrameClient:
    return frame_of(connection)  # in the event loop, where a plain function goes to a thread


Frame = Annotated[FrameClient, Depends(_frame)]
"""The type of a parameter that gets the client of the application."""


def webhook_router(path: str, receiver: WebhookReceiver, act: EventAction) -> APIRouter:
    """A router for ``app.include_router(...)`` that takes Frame's webhooks there.

    See ``receive_webhook``, which an endpoint of your own calls when it needs dependencies.
    The OpenAPI document doesn't show it.
    """
    router = APIRouter()

    @router.post(path, include_in_schema=False)
    async def frame_webhook(request: Request) -> Response:
        return await receive_webhook(request, receiver, act)

    return router


def verified_redirect(
    signer: RedirectSigner,
) -> Callable[[Request], Coroutine[Any, Any, Redirect]]:
    """A dependency: what the signed payload in the address says, or a `RedirectError`.

    ``Annotated[Redirect, Depends(verified_redirect(signer))]``. It is a hint for the page
    that the payer sees, and no proof of payment.
    """

    async def redirect(request: Request) -> Redirect:
        return signer.verify(address_of(request))

    return redirect


def redirect_or_none(
    signer: RedirectSigner,
) -> Callable[[Request], Coroutine[Any, Any, Redirect | None]]:
    """As `verified_redirect`, with None instead of the error: for a neutral page."""

    async def redirect(request: Request) -> Redirect | None:
        return redirect_of(request, signer)

    return redirect
