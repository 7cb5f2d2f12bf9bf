"""For Litestar: a client as a dependency, webhooks, redirects, answers to errors.

::

    @post("/orders/{number:str}/pay")
    async def pay(number: FromPath[str], frame: Frame) -> Redirect: ...


    app = Litestar([pay], plugins=[FramePlugin()])
"""

from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing, asynccontextmanager
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
    from litestar import Litestar, Request, Response, post
    from litestar.config.app import AppConfig
    from litestar.connection import ASGIConnection
    from litestar.datastructures import State
    from litestar.di import NamedDependency, Provide
    from litestar.exceptions import InternalServerException
    from litestar.handlers import HTTPRouteHandler
    from litestar.plugins import InitPlugin
except ModuleNotFoundError as error:
    raise ImportError(
        "frame_async.integrations.litestar needs Litestar: pip install 'frame-async[litestar]'"
    ) from error

__all__ = [
    "Answer",
    "ClientOptions",
    "EventAction",
    "Frame",
    "FramePlugin",
    "RequestAbandonedError",
    "answer_of",
    "frame_of",
    "receive_webhook",
    "redirect_of",
    "response_of",
    "unless_abandoned",
    "webhook_route",
]

T = TypeVar("T")

AnyRequest = Request[Any, Any, Any]

Frame = NamedDependency[FrameClient]
"""The type of the parameter ``frame``, which gets the client of the application."""

_STATE: Final = "frame_client"
_FIX: Final = "give it plugins=[FramePlugin()], and run its lifespan"


class FramePlugin(InitPlugin):
    """A client that lives as long as the application, and answers to this library's errors.

    ``Litestar(plugins=[FramePlugin()])``. Handlers get the client by a parameter
    ``frame: Frame``; each worker process has a client of its own. Every `FrameError`
    is answered with what a payer may know of it, and logged. A dependency ``frame`` or a
    handler of `FrameError` that the application has already is left as it is.

    The client starts after the application's own lifespans and ends before them. When it
    ends, webhooks that are being acted upon have ten seconds to finish.

    Args:
        respond: makes the response to an error, for instance a page; by default
            `response_of`, which makes problem details (RFC 9457). Keep ``answer.status``
            and ``answer.headers``.
        options: those of `FrameClient`.

    Raises:
        ConfigurationError: when the application starts, if an option or environment
            variable can't be used; it then doesn't start.
    """

    def __init__(
        self,
        respond: Callable[[AnyRequest, Answer], Response[Any]] | None = None,
        /,
        **options: Unpack[ClientOptions],
    ) -> None:
        # A traceback shows local variables, so what may be secret is boxed first.
        self._options, options = Secret(options), ClientOptions()
        self._respond = respond

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Add lifespan, dependency and exception handler; Litestar calls it."""
        config: Any = app_config  # its fields have type arguments that Litestar leaves open
        config.lifespan.append(self._lifespan)
        config.dependencies.setdefault("frame", Provide(_frame, sync_to_thread=False))
        config.exception_handlers.setdefault(FrameError, self._answered)
        return app_config

    @asynccontextmanager
    async def _lifespan(self, app: Litestar) -> AsyncGenerator[None]:
        async with make_client(self._options) as frame:
            app.state[_STATE] = frame
            yield
            frame.stop_waiting()
            await all_seen_through()

    def _answered(self, request: AnyRequest, error: FrameError) -> Response[Any]:
        answer = answer_of(error)
        return response_of(answer) if self._respond is None else self._respond(request, answer)


def _frame(state: State) -> FrameClient:
    return check_client(state.get(_STATE), _FIX)


def frame_of(connection: ASGIConnection[Any, Any, Any, Any]) -> FrameClient:
    """The client of the application that serves a request or a websocket.

    Raises:
        ConfigurationError: it has none.
    """
    return _frame(connection.app.state)


async def unless_abandoned(request: AnyRequest, work: Coroutine[Any, Any, T]) -> T:
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


async def _read(request: AnyRequest) -> None:
    """Read the body, so that what comes next can only be the end."""
    try:
        if request.is_connected:  # false, too, once the body was read
            await request.body()
    except InternalServerException:
        raise RequestAbandonedError("whoever asked has gone away") from None


async def _gone(request: AnyRequest) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def receive_webhook(
    request: AnyRequest, receiver: WebhookReceiver, act: EventAction
) -> Response[bytes]:
    """Verify the webhook in a request, act on its event once, and say what Frame is told.

    No more than the receiver's ``max_bytes`` are read. What ``act`` raises comes through, so
    that the answer is a 500 and Frame delivers the event again. ``act`` runs to its end even
    if Frame doesn't wait for it, also where a server cancels abandoned requests.

    Args:
        request: its body may have been read by ``await request.body()``, not otherwise.
        receiver: knows the secret, and remembers events.
        act: called with the event and its turn, unless the event was acted upon before.
    """
    try:
        async with aclosing(request.stream()) as chunks:
            body = await read_body(chunks, receiver.max_bytes)
    except WebhookError as error:
        return response_of(answer_of(error))
    headers = request.headers.multi_items()
    return response_of(await see_through(receive(receiver, body, headers, act)))


def webhook_route(path: str, receiver: WebhookReceiver, act: EventAction) -> HTTPRouteHandler:
    """A route handler that takes Frame's webhooks; see `receive_webhook`.

    The OpenAPI document doesn't show it, and it needs no CSRF token.
    """

    @post(
        path,
        include_in_schema=False,
        request_max_body_size=None,  # the receiver has a limit of its own
        exclude_from_csrf=True,
    )
    async def frame_webhook(request: AnyRequest) -> Response[bytes]:
        return await receive_webhook(request, receiver, act)

    return frame_webhook


def redirect_of(request: AnyRequest, signer: RedirectSigner) -> Redirect | None:
    """What the signed payload in the address says; None where there is none to trust.

    It is a hint for the page that the payer sees, and no proof of payment.
    """
    try:
        return signer.verify(_address(request))
    except RedirectError as error:
        log_error(error)
        return None


def _address(request: AnyRequest) -> str:
    """As it was asked for; ``request.url`` raises a ValueError for some Host headers."""
    scope: Any = request.scope
    path: bytes = scope.get("raw_path") or scope["path"].encode()  # ASGI doesn't promise the first
    target = b"%b?%b" % (path, scope["query_string"])
    return f"{scope['scheme']}://{request.headers.get('host', '')}{target.decode('latin-1')}"


def response_of(answer: Answer) -> Response[bytes]:
    """An answer as Litestar's response."""
    headers = dict(answer.headers)
    media_type = headers.pop("Content-Type")
    return Response(
        answer.content, status_code=answer.status, headers=headers, media_type=media_type
    )
