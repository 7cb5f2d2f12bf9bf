"""For Starlette, and what is the same in FastAPI.

A client that lives as long as the application, webhooks, redirects, answers to errors, and
calls that end when the browser goes away.
"""

from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import Any, Final, TypeVar, Unpack

from frame_async.client import FrameClient
from frame_async.errors import FrameError, RedirectError, RequestAbandonedError, WebhookError
from frame_async.integrations._abandoned import unless_gone
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

try:
    from starlette.applications import Starlette
    from starlette.requests import ClientDisconnect, HTTPConnection, Request
    from starlette.responses import Response
    from starlette.routing import Route
except ModuleNotFoundError as error:
    raise ImportError(
        "frame_async.integrations.starlette needs Starlette: pip install starlette"
    ) from error

__all__ = [
    "Answer",
    "ClientOptions",
    "EventAction",
    "RequestAbandonedError",
    "add_error_handlers",
    "answer_of",
    "frame_lifespan",
    "frame_of",
    "receive_webhook",
    "redirect_of",
    "response_of",
    "unless_abandoned",
    "webhook_route",
]

T = TypeVar("T")

Lifespan = Callable[[Any], AbstractAsyncContextManager[Mapping[str, Any] | None]]
"""What Starlette takes as ``lifespan``."""

_STATE: Final = "frame_client"
_GONE: Final = "whoever asked has gone away"


def frame_lifespan(
    inner: Callable[[Any], AbstractAsyncContextManager[Any]] | None = None,
    /,
    **options: Unpack[ClientOptions],
) -> Callable[[Any], AbstractAsyncContextManager[Mapping[str, Any]]]:
    """A lifespan with a client: made before the application starts, closed after it ended.

    ``Starlette(lifespan=frame_lifespan())``; each worker process has a client of its own.
    When the application ends, webhooks that are being acted upon have ten seconds to finish,
    before your own lifespan ends and the client is closed.

    Args:
        inner: your own lifespan, which runs while the client is open and finds it in
            ``app.state.frame_client``; its state is kept.
        options: those of `FrameClient`.

    Raises:
        ConfigurationError: at the start, when an option or environment variable can't be
            used; the application then doesn't start.
    """
    secret = Secret(options)  # a traceback shows local variables, and a key may be among these

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncGenerator[Mapping[str, Any]]:
        async with make_client(secret) as frame:
            app.state.frame_client = frame
            if inner is None:
                yield {_STATE: frame}
                frame.stop_waiting()
                await all_seen_through()
                return
            async with inner(app) as state:
                yield {**(state or {}), _STATE: frame}
                frame.stop_waiting()
                await all_seen_through()

    return lifespan


def frame_of(connection: HTTPConnection) -> FrameClient:
    """The client of the application that serves a request, mounted ones too.

    Raises:
        ConfigurationError: it has none.
    """
    found = connection.scope.get("state", {}).get(_STATE)
    return check_client(found, "give the outermost one lifespan=frame_lifespan(), and run it")


async def unless_abandoned(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """What ``work`` returns or raises, unless the browser goes away before it does.

    Then ``work`` is cancelled: a call that was cancelled is settled, so that its
    idempotency key is free or in doubt, and the next call with it goes on from there. By
    itself a handler runs to its end when nobody waits for it any more.

    The body of the request is read first, if it wasn't yet; it stays readable by ``body()``.

    Raises:
        RequestAbandonedError: the browser is gone; nobody gets to see the answer.
    """
    try:
        await _read(request)
    except BaseException:
        work.close()  # it will never be awaited
        raise
    return await unless_gone(work, _gone(request))


async def _read(request: Request) -> None:
    """Read the body, so that what comes next can only be the end."""
    try:
        await request.body()
    except ClientDisconnect:
        raise RequestAbandonedError(_GONE) from None
    except RuntimeError:
        pass  # it was read as a stream or a form, which Starlette doesn't tell otherwise


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def receive_webhook(
    request: Request, receiver: WebhookReceiver, act: EventAction
) -> Response:
    """Verify the webhook in a request, act on its event once, and say what Frame is told.

    No more than the receiver's ``max_bytes`` are read. What ``act`` raises comes through, so
    that the answer is a 500 and Frame delivers the event again. ``act`` runs to its end even
    if Frame doesn't wait for it, also where a server or a middleware cancels the request.

    Args:
        request: one whose body wasn't read yet.
        receiver: knows the secret, and remembers events.
        act: called with the event and its turn, unless the event was acted upon before.
    """
    try:
        async with aclosing(request.stream()) as chunks:
            body = await read_body(chunks, receiver.max_bytes)
    except ClientDisconnect:
        return response_of(answer_of(RequestAbandonedError(_GONE)))
    except WebhookError as error:
        return response_of(answer_of(error))
    work = receive(receiver, body, request.headers.items(), act)
    return response_of(await see_through(work))


def webhook_route(path: str, receiver: WebhookReceiver, act: EventAction) -> Route:
    """A route that takes Frame's webhooks; see `receive_webhook`."""

    async def frame_webhook(request: Request) -> Response:
        return await receive_webhook(request, receiver, act)

    return Route(path, frame_webhook, methods=["POST"], include_in_schema=False)


def redirect_of(request: Request, signer: RedirectSigner) -> Redirect | None:
    """What the signed payload in the address says; None where there is none to trust.

    It is a hint for the page that the payer sees, and no proof of payment.
    """
    try:
        return signer.verify(address_of(request))
    except RedirectError as error:
        log_error(error)
        return None


def address_of(request: Request) -> str:
    """As it was asked for, byte for byte; ``request.url`` spells the path in its own way."""
    scope = request.scope
    path: bytes = scope.get("raw_path") or scope["path"].encode()  # ASGI doesn't promise the first
    target = b"%b?%b" % (path, scope["query_string"])
    return f"{scope['scheme']}://{request.headers.get('host', '')}{target.decode('latin-1')}"


def response_of(answer: Answer) -> Response:
    """An answer as Starlette's response."""
    return Response(answer.content, answer.status, dict(answer.headers))


def add_error_handlers(
    app: Starlette, respond: Callable[[Request, Answer], Response] | None = None
) -> None:
    """Answer every `FrameError` with what a payer may know of it, and log the rest.

    Args:
        app: the application; a mounted one needs its own.
        respond: makes the response, for instance a page; by default `response_of`, which
            makes problem details (RFC 9457). Keep ``answer.status`` and ``answer.headers``.
    """

    async def answered(request: Request, error: Exception) -> Response:
        answer = answer_of(error)
        return response_of(answer) if respond is None else respond(request, answer)

    app.add_exception_handler(FrameError, answered)
