"""For Django on ASGI: a client that lives as long as the application, webhooks, errors.

Django's own ASGI application knows no lifespan, so `FrameApplication` goes around it. Calls
need async views; Django cancels those whose browser has gone away, and a call that is
cancelled settles its idempotency key.
"""

from collections.abc import Awaitable, Callable, Generator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any, Final, Protocol, Unpack

from frame_async.client import FrameClient
from frame_async.errors import FrameError, RedirectError, RequestAbandonedError
from frame_async.integrations._answers import (
    Answer,
    EventAction,
    answer_of,
    log_error,
    receive,
)
from frame_async.integrations._clients import ClientOptions, check_client, make_client
from frame_async.integrations._seen_through import all_seen_through, see_through
from frame_async.models.redirects import Redirect
from frame_async.secret import Secret
from frame_async.webhooks import RedirectSigner, WebhookReceiver

try:
    from django.http import (  # pyright: ignore[reportMissingTypeStubs]
        HttpResponse,
        HttpResponseNotAllowed,
    )
except ModuleNotFoundError as error:
    raise ImportError(
        "frame_async.integrations.django needs Django: pip install 'frame-async[django]'"
    ) from error

__all__ = [
    "Answer",
    "ClientOptions",
    "EventAction",
    "FrameApplication",
    "RequestAbandonedError",
    "answer_of",
    "error_middleware",
    "frame_of",
    "make_error_middleware",
    "redirect_of",
    "response_of",
    "use_client",
    "webhook_view",
]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_STATE: Final = "frame_client"


class HttpRequest(Protocol):
    """What is used of Django's ``HttpRequest``, which has no types of its own."""

    @property
    def method(self) -> str | None:
        """Such as ``POST``."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """By name, in any case."""
        ...

    @property
    def scheme(self) -> str | None:
        """``http`` or ``https``."""
        ...

    def get_full_path(self) -> str:
        """Path and query."""
        ...

    def read(self, size: int, /) -> bytes:
        """That many bytes of the body, at most."""
        ...


class FrameApplication:
    """Django's ASGI application, with a client that lives as long as the server.

    In ``asgi.py``: ``application = FrameApplication(get_asgi_application())``. The client is
    made when the server starts, or at the first request under a server that sends no
    lifespan events, and closed when it ends.

    Args:
        application: Django's, or whatever else is between it and the server.
        options: those of `FrameClient`.
    """

    def __init__(
        self,
        application: Callable[[Any, Any, Any], Awaitable[object]],
        /,
        **options: Unpack[ClientOptions],
    ) -> None:
        self._options = Secret(options)  # a key may be among them
        self._application = application
        self._frame: FrameClient | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a connection, as ASGI has it."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        state = {**scope.get("state", {}), _STATE: self._client()}
        await self._application({**scope, "state": state}, receive, send)

    async def aclose(self) -> None:
        """Close the client; for tests, and servers that send no lifespan events.

        Webhooks' actions that Frame didn't wait for have ten seconds to end before that.
        """
        if self._frame is not None:
            self._frame.stop_waiting()
        await all_seen_through()
        frame, self._frame = self._frame, None
        if frame is not None:
            await frame.aclose()

    def _client(self) -> FrameClient:
        if self._frame is None:
            self._frame = make_client(self._options)
        return self._frame

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            self._client()
        except Exception as error:
            said = error.message if isinstance(error, FrameError) else type(error).__name__
            await send({"type": "lifespan.startup.failed", "message": said})
            raise
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.aclose()
        await send({"type": "lifespan.shutdown.complete"})


_lent: list[FrameClient] = []


@contextmanager
def use_client(frame: FrameClient) -> Generator[None]:
    """For tests: requests that don't come through `FrameApplication` find this client.

    Those of Django's ``AsyncClient``, ``Client`` and request factories don't. The client stays
    yours to close.
    """
    _lent.append(frame)
    try:
        yield
    finally:
        _lent.remove(frame)


def frame_of(request: Any) -> FrameClient:
    """The client of the application that serves a request, or of `use_client`.

    Raises:
        ConfigurationError: it has none, or the request didn't come over ASGI.
    """
    found = getattr(request, "scope", {}).get("state", {}).get(_STATE)
    if found is None and _lent:
        return _lent[-1]
    fix = "put FrameApplication(get_asgi_application()) into asgi.py, and serve that"
    return check_client(found, f"{fix}; in tests, use_client(frame) lends one")


def webhook_view(receiver: WebhookReceiver, act: EventAction) -> Callable[..., Awaitable[Any]]:
    """A view for ``path(...)`` that takes Frame's webhooks, which have no CSRF token.

    No more than the receiver's ``max_bytes`` are brought into memory. What ``act`` raises
    comes through, so that the answer is a 500 and Frame delivers the event again. ``act`` runs
    to its end even if Frame doesn't wait for it, although Django cancels the view then.

    Args:
        receiver: knows the secret, and remembers events.
        act: called with the event and its turn, unless the event was acted upon before.
    """

    async def frame_webhook(request: HttpRequest) -> Any:
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        body = request.read(receiver.max_bytes + 1)
        return response_of(await see_through(receive(receiver, body, request.headers, act)))

    frame_webhook.csrf_exempt = True  # type: ignore[attr-defined]  # as Django's decorator does
    return frame_webhook


def redirect_of(request: HttpRequest, signer: RedirectSigner) -> Redirect | None:
    """What the signed payload in the address says; None where there is none to trust.

    It is a hint for the page that the payer sees, and no proof of payment.
    """
    try:
        return signer.verify(_address(request))
    except RedirectError as error:
        log_error(error)
        return None


def _address(request: HttpRequest) -> str:
    """As it was asked for; Django spells path and query in its own way."""
    scope = getattr(request, "scope", {})
    target = request.get_full_path()
    if path := scope.get("raw_path"):  # ASGI doesn't promise it, and WSGI has none
        target = (b"%b?%b" % (path, scope["query_string"])).decode("latin-1")
    return f"{request.scheme}://{request.headers.get('Host', '')}{target}"


def response_of(answer: Answer) -> Any:
    """An answer as Django's ``HttpResponse``."""
    return HttpResponse(answer.content, status=answer.status, headers=dict(answer.headers))


def make_error_middleware(
    respond: Callable[[Any, Answer], Any] | None = None,
) -> Callable[[Callable[[Any], Awaitable[Any]]], Callable[[Any], Awaitable[Any]]]:
    """A middleware that answers every `FrameError` with what a payer may know of it.

    Give it a name in a module of yours, and that to ``MIDDLEWARE``.

    Args:
        respond: makes the response, for instance a page; by default `response_of`, which
            makes problem details (RFC 9457). Keep ``answer.status`` and ``answer.headers``.
    """

    def answered(request: Any, error: Exception) -> Any:
        if not isinstance(error, FrameError):
            return None
        answer = answer_of(error)
        return response_of(answer) if respond is None else respond(request, answer)

    def middleware(get_response: Callable[[Any], Awaitable[Any]]) -> Any:
        async def frame_errors(request: Any) -> Any:
            return await get_response(request)

        # Django has turned errors into responses before they would come by above.
        frame_errors.process_exception = answered  # type: ignore[attr-defined]
        return frame_errors

    middleware.async_capable = True  # type: ignore[attr-defined]
    middleware.sync_capable = False  # type: ignore[attr-defined]
    return middleware


error_middleware: Final = make_error_middleware()
"""For ``MIDDLEWARE``, as ``"frame_async.integrations.django.error_middleware"``."""
