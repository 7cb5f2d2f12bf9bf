"""For Quart: a client for the application, webhooks, redirects, answers to errors.

::

    app = Quart(__name__)
    QuartFrame(app)


    @app.post("/orders/<number>/pay")
    async def pay(number: str) -> Response:
        session = await frame_of().payment_link_sessions.create(...)

By itself Quart cancels a handler, and so the call in it, when the browser goes away.
"""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, Unpack

from frame_async.client import FrameClient
from frame_async.errors import FrameError, RedirectError
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
    from quart import Quart, Response, current_app, request
except ModuleNotFoundError as error:
    raise ImportError(
        "frame_async.integrations.quart needs Quart: pip install 'frame-async[quart]'"
    ) from error

__all__ = [
    "Answer",
    "ClientOptions",
    "EventAction",
    "QuartFrame",
    "answer_of",
    "frame_of",
    "receive_webhook",
    "redirect_of",
    "response_of",
    "webhook_view",
]

_NAME: Final = "frame_async"
_FIX: Final = "call QuartFrame(app), and serve it"


class QuartFrame:
    """A client that lives as long as the application, and answers to this library's errors.

    ``QuartFrame(app)``, or ``QuartFrame().init_app(app)`` later. Every `FrameError` is
    answered with what a payer may know of it, and logged. Each worker process has a client
    of its own.

    When the application ends, webhooks that are being acted upon have ten seconds to
    finish. That is in ``after_serving``: make it before you register what closes the
    things that your webhooks need.

    Args:
        app: the application, if there is one yet.
        respond: an async function that makes the response to an error, or what Quart makes
            one of, for instance a page; by default problem details (RFC 9457) are answered. Keep
            ``answer.status`` and ``answer.headers``.
        options: those of `FrameClient`.

    Raises:
        ConfigurationError: when the application starts, if an option or environment
            variable can't be used; it then doesn't start.
    """

    def __init__(
        self,
        app: Quart | None = None,
        respond: Callable[[Answer], Awaitable[Any]] | None = None,
        **options: Unpack[ClientOptions],
    ) -> None:
        # A traceback shows local variables, so what may be secret is boxed first.
        self._options, options = Secret(options), ClientOptions()
        self._respond = respond
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Quart) -> None:
        """Have a client while the application is served, and answer this library's errors."""

        async def start() -> None:
            app.extensions[_NAME] = make_client(self._options)

        async def end() -> None:
            frame = check_client(app.extensions.pop(_NAME, None), _FIX)
            frame.stop_waiting()
            await all_seen_through()
            await frame.aclose()

        app.before_serving(start)
        app.after_serving(end)
        app.register_error_handler(FrameError, self._answered)

    async def _answered(self, error: FrameError) -> Any:
        answer = answer_of(error)
        return response_of(answer) if self._respond is None else await self._respond(answer)


def frame_of() -> FrameClient:
    """The client of the application that serves the request.

    Raises:
        ConfigurationError: it has none.
    """
    return check_client(current_app.extensions.get(_NAME), _FIX)


async def receive_webhook(receiver: WebhookReceiver, act: EventAction) -> Response:
    """Verify the webhook in the request, act on its event once, and say what Frame is told.

    What ``act`` raises comes through, so that the answer is a 500 and Frame delivers the
    event again. ``act`` runs to its end even if Frame doesn't wait for it, although Quart
    cancels abandoned requests.

    Args:
        receiver: knows the secret, and remembers events.
        act: called with the event and its turn, unless the event was acted upon before.
    """
    # Quart has the whole body in memory in any case; its MAX_CONTENT_LENGTH counts there.
    body = await request.get_data(cache=True, as_text=False, parse_form_data=False)
    return response_of(await see_through(receive(receiver, body, list(request.headers), act)))


def webhook_view(
    receiver: WebhookReceiver, act: EventAction
) -> Callable[[], Coroutine[Any, Any, Response]]:
    """A view that takes Frame's webhooks; see `receive_webhook`.

    ``app.post("/webhooks")(webhook_view(receiver, act))``
    """

    async def frame_webhook() -> Response:
        return await receive_webhook(receiver, act)

    return frame_webhook


def redirect_of(signer: RedirectSigner) -> Redirect | None:
    """What the signed payload in the address says; None where there is none to trust.

    It is a hint for the page that the payer sees, and no proof of payment.
    """
    # request.url spells the query in its own way, and a signature may cover every byte.
    address = f"{request.base_url}?{request.query_string.decode('latin-1')}"
    try:
        return signer.verify(address)
    except RedirectError as error:
        log_error(error)
        return None


def response_of(answer: Answer) -> Response:
    """An answer as Quart's response."""
    return Response(answer.content, answer.status, dict(answer.headers))
