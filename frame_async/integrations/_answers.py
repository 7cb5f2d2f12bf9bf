"""What a web framework answers to whoever asked, when a call or a webhook ends with an error.

Free of any framework. The answers are problem details (RFC 9457) and say what a payer's
browser may know: no message of Frame, no key, no request id, no address. The error itself
goes to the logger ``frame_async``.
"""

import logging
from collections.abc import AsyncIterable, Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Final

from attrs import field, frozen

from frame_async.errors import (
    CallError,
    EventInFlightError,
    FrameError,
    RedirectError,
    WebhookError,
)
from frame_async.models.events import Event
from frame_async.protocol.dispositions import Disposition, disposition_of, retry_after_of
from frame_async.protocol.signatures import Headers
from frame_async.serialization import dump_json
from frame_async.webhooks import Turn, WebhookReceiver

PROBLEM: Final = "application/problem+json"
"""Media type of problem details (RFC 9457)."""

EventAction = Callable[[Event, Turn], Awaitable[object]]
"""What a shop does with an event whose turn it is; what it returns is not looked at."""

_logger = logging.getLogger("frame_async")


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


def answer_of(error: BaseException) -> Answer:
    """What to answer when a request ended with this error, which is logged.

    An error that isn't one of this library's, or is a mistake in the program, makes a 500
    without a detail.
    """
    log_error(error)
    return _answer(disposition_of(error), retry_after_of(error))


def log_error(error: BaseException) -> None:
    """Log an error by class and message, as loudly as it matters; mistakes with a traceback."""
    rule = disposition_of(error)
    level = logging.WARNING if _worth_knowing(error) else rule.level
    # What others put into their messages is not ours to show.
    said = error.message if isinstance(error, FrameError) else "not one of frame_async's errors"
    trace = error if rule.is_mistake and isinstance(error, FrameError) else None
    _logger.log(level, "%s: %s", type(error).__name__, said, exc_info=trace)


def _worth_knowing(error: BaseException) -> bool:
    """Whether a redirect is signed and refused all the same: then Frame did send it."""
    return isinstance(error, RedirectError) and error.signed


def _answer(rule: Disposition, wait: int) -> Answer:
    body: dict[str, object] = {
        "type": "about:blank",
        "title": _title(rule.http_status),
        "status": rule.http_status,
    }
    if rule.detail:
        body["detail"] = rule.detail
    if rule.known:
        body["outcome"] = rule.known
    headers = {"Content-Type": PROBLEM, "Cache-Control": "no-store"}
    if wait:
        headers["Retry-After"] = str(wait)
    return Answer(rule.http_status, body, headers)


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
