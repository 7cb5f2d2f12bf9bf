"""What a web framework answers to whoever asked, when a call or a webhook ends with an error.

Free of any framework. The answers are problem details (RFC 9457) and say what a payer's
browser may know: no message of Frame, no key, no request id, no address. The error itself
goes to the logger ``frame_async``.
"""

import logging
import math
from collections.abc import AsyncIterable, Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Final, Literal

from attrs import field, frozen

from frame_async.errors import (
    AuthenticationError,
    CallError,
    CallInFlightError,
    CertificateError,
    EventInFlightError,
    FrameError,
    IdempotencyConflictError,
    NotFoundError,
    NotSentError,
    OutcomeUnknownError,
    PermissionDeniedError,
    RateLimitedError,
    RedirectError,
    RequestRefusedError,
    SessionUnreadableError,
    WebhookError,
    WindowFullError,
)
from frame_async.models.events import Event
from frame_async.protocol.signatures import Headers
from frame_async.serialization import dump_json
from frame_async.webhooks import Turn, WebhookReceiver

PROBLEM: Final = "application/problem+json"
"""Media type of problem details (RFC 9457)."""

EventAction = Callable[[Event, Turn], Awaitable[object]]
"""What a shop does with an event whose turn it is; what it returns is not looked at."""

Known = Literal["not_created", "unknown"]

_LONGEST_WAIT: Final = 86_400

_logger = logging.getLogger("frame_async")


class RequestAbandonedError(FrameError):
    """Whoever asked has gone away, so the call was cancelled; its idempotency key was settled."""


@frozen
class Answer:
    """An HTTP answer: to be turned into a framework's own response."""

    status: int
    """HTTP status code."""
    body: Mapping[str, object] = field(factory=dict[str, object])
    """Goes out as JSON."""
    headers: Mapping[str, str] = field(factory=dict[str, str])
    """All that the answer needs, ``Content-Type`` included."""

    @property
    def content(self) -> bytes:
        """The body in JSON."""
        return dump_json(self.body)


@frozen
class _Rule:
    """What is answered to one class of errors, and how loudly it is logged."""

    status: int
    detail: str = ""
    level: int = logging.WARNING
    wait: int = 0
    """Seconds for ``Retry-After`` where the error doesn't know; 0 for no such header."""
    known: Known | None = None
    """What is known of the session, where it was about one."""


_SHORTLY: Final = (
    "The payment page can't be opened right now. Nothing was charged; try again shortly."
)
_FAILED: Final = "The payment page could not be opened. Nothing was charged; you may try again."
_REFUSED: Final = "The payment page could not be opened. Nothing was charged."
_UNKNOWN: Final = (
    "It is not certain that the payment page could be opened. "
    "Nothing was charged; you may try again."
)
_MISTAKE: Final = _Rule(500, level=logging.ERROR)

# The first class that fits counts. Creating a session charges nothing, whatever became of
# it (Frame API reference), which is why the payer may be told so in every case.
_RULES: Final[tuple[tuple[type[FrameError], _Rule], ...]] = (
    (CertificateError, _Rule(502, _REFUSED, logging.ERROR, known="not_created")),
    (WindowFullError, _Rule(503, _SHORTLY, wait=1, known="not_created")),
    (NotSentError, _Rule(503, _SHORTLY, wait=5, known="not_created")),
    (RateLimitedError, _Rule(503, _SHORTLY, wait=5, known="not_created")),
    (AuthenticationError, _Rule(500, _REFUSED, logging.ERROR, known="not_created")),
    (PermissionDeniedError, _Rule(500, _REFUSED, logging.ERROR, known="not_created")),
    (NotFoundError, _Rule(500, _REFUSED, logging.ERROR, known="not_created")),
    (RequestRefusedError, _Rule(502, _REFUSED, logging.ERROR, known="not_created")),
    (
        CallInFlightError,
        _Rule(503, "The payment page is being opened; try again shortly.", wait=1, known="unknown"),
    ),
    (SessionUnreadableError, _Rule(502, _REFUSED, logging.ERROR, known="unknown")),
    (OutcomeUnknownError, _Rule(502, _UNKNOWN, known="unknown")),
    (
        IdempotencyConflictError,
        _Rule(409, "This was asked for before, and differently.", logging.ERROR),
    ),
    (WebhookError, _Rule(400, "The webhook can't be trusted, or can't be read.")),
    (RedirectError, _Rule(400, "The address can't be trusted, or came too late.", logging.INFO)),
    (EventInFlightError, _Rule(503, "The event is being worked on.", logging.INFO, wait=1)),
    (RequestAbandonedError, _Rule(499, level=logging.INFO)),
)


def answer_of(error: BaseException) -> Answer:
    """What to answer when a request ended with this error, which is logged.

    An error that isn't one of this library's, or is a mistake in the program, makes a 500
    without a detail.
    """
    log_error(error)
    rule = _rule_of(error)
    return _answer(rule, _wait(error, rule.wait))


def log_error(error: BaseException) -> None:
    """Log an error by class and message, as loudly as it matters; mistakes with a traceback."""
    rule = _rule_of(error)
    level = logging.WARNING if _worth_knowing(error) else rule.level
    # What others put into their messages is not ours to show.
    said = error.message if isinstance(error, FrameError) else "not one of frame_async's errors"
    trace = error if rule is _MISTAKE and isinstance(error, FrameError) else None
    _logger.log(level, "%s: %s", type(error).__name__, said, exc_info=trace)


def _rule_of(error: BaseException) -> _Rule:
    return next((rule for cls, rule in _RULES if isinstance(error, cls)), _MISTAKE)


def _worth_knowing(error: BaseException) -> bool:
    """Whether a redirect is signed and refused all the same: then Frame did send it."""
    return isinstance(error, RedirectError) and error.signed


def _wait(error: BaseException, otherwise: int) -> int:
    """Whole seconds after which another try makes sense; 0 where nobody knows."""
    if not isinstance(error, WindowFullError):
        return otherwise
    return math.ceil(max(otherwise, min(_LONGEST_WAIT, error.fits_in)))


def _answer(rule: _Rule, wait: int) -> Answer:
    body: dict[str, object] = {
        "type": "about:blank",
        "title": _title(rule.status),
        "status": rule.status,
    }
    if rule.detail:
        body["detail"] = rule.detail
    if rule.known:
        body["outcome"] = rule.known
    headers = {"Content-Type": PROBLEM, "Cache-Control": "no-store"}
    if wait:
        headers["Retry-After"] = str(wait)
    return Answer(rule.status, body, headers)


def _title(status: int) -> str:
    # 499 is nginx's word, and nobody is there to read it.
    return "Client Closed Request" if status == 499 else HTTPStatus(status).phrase


RECEIVED: Final = Answer(200, {"received": True}, {"Content-Type": "application/json"})
"""What Frame is told when an event was acted upon, now or before."""


async def receive(
    receiver: WebhookReceiver, body: bytes, headers: Headers, act: EventAction
) -> Answer:
    """Verify a webhook, act on its event if it is the first to, and say what to answer.

    `act` is called with the event and its turn, unless the event was acted upon before.
    What it raises comes through, so that the framework answers 500 and Frame delivers the
    event again. Only errors of the store, and of calls that `act` makes, are answered here
    by the table above, never with a 2xx.

    Raises:
        ValidationError: the body isn't bytes, or the headers are none.
    """
    try:
        event = receiver.verify(body, headers)
    except WebhookError as error:
        return answer_of(error)
    try:
        async with receiver.once(event) as turn:
            if turn.first:
                await act(event, turn)
    except (EventInFlightError, CallError) as error:
        return answer_of(error)
    return RECEIVED


async def read_body(chunks: AsyncIterable[bytes], limit: int) -> bytes:
    """The body of a webhook, read chunk by chunk.

    Raises:
        WebhookError: it is longer than `limit` bytes; the rest was not read.
    """
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > limit:
            raise WebhookError(f"the body is larger than {limit} bytes")
    return bytes(body)
