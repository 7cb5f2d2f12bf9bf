"""For aiohttp.web: a client for the application, webhooks, redirects, answers to errors.

aiohttp is what the library itself stands on, so this needs no extra.

::

    app = web.Application()
    app.cleanup_ctx.append(frame_client_ctx())
    add_error_handlers(app)
    web.run_app(app, handler_cancellation=True)

With ``handler_cancellation`` aiohttp cancels a handler when the browser goes away, and so
the call in it; by itself a handler runs to its end.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, Unpack

from aiohttp import web

from frame_async.client import FrameClient
from frame_async.errors import FrameError, RedirectError, WebhookError
from frame_async.integrations._answers import (
    Answer,
    EventAction,
    answer_of,
    log_error,
    read_body,
    receive,
)
from frame_async.integrations._clients import ClientOptions, check_client, make_client
from frame_async.integrations._seen_through import all_seen_through, see_through
from frame_async.models.redirects import Redirect
from frame_async.secret import Secret
from frame_async.webhooks import RedirectSigner, WebhookReceiver

__all__ = [
    "FRAME",
    "Answer",
    "ClientOptions",
    "EventAction",
    "add_error_handlers",
    "answer_of",
    "frame_client_ctx",
    "frame_of",
    "receive_webhook",
    "redirect_of",
    "response_of",
    "webhook_route",
]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

FRAME: Final = web.AppKey("FRAME", FrameClient)
"""Where an application has its client: ``app[FRAME]``."""


def frame_client_ctx(
    **options: Unpack[ClientOptions],
) -> Callable[[web.Application], AsyncIterator[None]]:
    """A client that lives as long as the application, for ``app.cleanup_ctx``.

    ``app.cleanup_ctx.append(frame_client_ctx())``. Append it after what your webhooks need:
    when the application ends, those that are being acted upon have ten seconds to finish;
    then the client is closed, and then what was appended before it.

    Args:
        options: those of `FrameClient`.

    Raises:
        ConfigurationError: at the start, when an option or environment variable can't be
            used; the application then doesn't start.
    """
    # A traceback shows local variables, so what may be secret is boxed first.
    secret, options = Secret(options), ClientOptions()

    async def lifetime(app: web.Application) -> AsyncIterator[None]:
        async with make_client(secret) as frame:
            app[FRAME] = frame
            yield
            frame.stop_waiting()
            await all_seen_through()

    return lifetime


def frame_of(request: web.Request) -> FrameClient:
    """The client of the application that serves a request, or of one that it is part of.

    Raises:
        ConfigurationError: it has none.
    """
    found = request.config_dict.get(FRAME)
    return check_client(found, "append frame_client_ctx() to its cleanup_ctx, and run it")


async def receive_webhook(
    request: web.Request, receiver: WebhookReceiver, act: EventAction
) -> web.Response:
    """Verify the webhook in a request, act on its event once, and say what Frame is told.

    No more than the receiver's ``max_bytes`` are read. What ``act`` raises comes through, so
    that the answer is a 500 and Frame delivers the event again. ``act`` runs to its end even
    if Frame doesn't wait for it, also where abandoned requests are cancelled.

    Args:
        request: its body may have been read by ``await request.read()``, not otherwise.
        receiver: knows the secret, and remembers events.
        act: called with the event and its turn, unless the event was acted upon before.
    """
    try:
        body = await _body(request, receiver.max_bytes)
    except WebhookError as error:
        return response_of(answer_of(error))
    return response_of(await see_through(receive(receiver, body, request.headers, act)))


async def _body(request: web.Request, limit: int) -> bytes:
    if not request.can_read_body:  # there is none, or it was read and is kept
        return await request.read()
    return await read_body(request.content.iter_any(), limit)


def webhook_route(path: str, receiver: WebhookReceiver, act: EventAction) -> web.RouteDef:
    """A route for ``app.add_routes`` that takes Frame's webhooks; see `receive_webhook`."""

    async def frame_webhook(request: web.Request) -> web.Response:
        return await receive_webhook(request, receiver, act)

    return web.post(path, frame_webhook)


def redirect_of(request: web.Request, signer: RedirectSigner) -> Redirect | None:
    """What the signed payload in the address says; None where there is none to trust.

    It is a hint for the page that the payer sees, and no proof of payment.
    """
    # Not request.url, which raises a ValueError when the Host header can be none.
    address = f"{request.scheme}://{request.host}{request.raw_path}"
    try:
        return signer.verify(address)
    except RedirectError as error:
        log_error(error)
        return None


def response_of(answer: Answer) -> web.Response:
    """An answer as aiohttp's response."""
    return web.Response(status=answer.status, body=answer.content, headers=answer.headers)


def add_error_handlers(
    app: web.Application,
    respond: Callable[[web.Request, Answer], web.StreamResponse] | None = None,
) -> None:
    """Answer every `FrameError` with what a payer may know of it, and log the rest.

    This is a middleware, around the handlers and whatever middleware is added later.

    Args:
        app: the application; one within it is covered too.
        respond: makes the response, for instance a page; by default `response_of`, which
            makes problem details (RFC 9457). Keep ``answer.status`` and ``answer.headers``.
    """

    @web.middleware
    async def answered(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except FrameError as error:
            if request.writer.output_size:  # an answer has begun, and there can be no other
                raise
            answer = answer_of(error)
            return response_of(answer) if respond is None else respond(request, answer)

    app.middlewares.append(answered)
