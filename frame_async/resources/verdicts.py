"""From what was proved on the wire to what the caller gets: a session, or an error.

The one place that chooses the class of a call's error. *Nothing was created* is said
only when every attempt proved it; a later refusal does not undo an earlier doubt.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Final

from attrs import fields

from frame_async.calls import Outcome
from frame_async.errors import (
    AuthenticationError,
    CallError,
    CertificateError,
    NotFoundError,
    NotSentError,
    OutcomeUnknownError,
    PermissionDeniedError,
    RateLimitedError,
    RequestRefusedError,
    ServerAnswer,
    SessionUnreadableError,
    UnreadableError,
)
from frame_async.models.not_given import NotGiven
from frame_async.models.payment_methods import BankAccount, Card
from frame_async.models.requests import PaymentLinkSessionRequest
from frame_async.models.sessions import PaymentLinkSession
from frame_async.protocol.outcomes import Ending
from frame_async.protocol.redaction import clean
from frame_async.serialization import load_error, load_session
from frame_async.shapes import is_listing, is_mapping
from frame_async.transport.delivery import Delivered

_REFUSALS: Final[Mapping[int, type[RequestRefusedError]]] = {
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    429: RateLimitedError,
}


def session_of(delivered: Delivered) -> PaymentLinkSession | None:
    """The session, when the call ended with one; None when it ended otherwise.

    Raises:
        SessionUnreadableError: a session was created, but its answer can't be used.
    """
    if delivered.call.outcome is not Outcome.CREATED:
        return None
    exchange = delivered.exchange
    try:
        return load_session(exchange.body, delivered.call)
    except UnreadableError as error:
        message, problems = str(error), error.problems
    if exchange.ending is not Ending.COMPLETE:
        message = str(exchange.ending)
    raise SessionUnreadableError(
        f"a session was created, but its answer can't be used: {message}",
        delivered.call,
        problems=problems,
    )


def error_of(delivered: Delivered, request: PaymentLinkSessionRequest) -> CallError:
    """The error of a call that ended without a session."""
    call = delivered.call
    answer = _answer(delivered, request)
    story = _story(delivered, answer)
    if call.outcome is Outcome.UNKNOWN:
        return OutcomeUnknownError(f"a session may exist: {story}", call, answer)
    if answer is not None:
        refusal = _REFUSALS.get(answer.status, RequestRefusedError)
        return refusal(f"nothing was created: {story}", call, answer)
    if delivered.exchange.ending is Ending.BAD_CERTIFICATE:
        return CertificateError(f"nothing was sent: {story}", call)
    return NotSentError(f"nothing was sent: {story}", call)


def _answer(delivered: Delivered, request: PaymentLinkSessionRequest) -> ServerAnswer | None:
    head = delivered.exchange.head
    if head is None:
        return None
    tidy = partial(clean, secrets=tuple(_secrets(request)))
    return load_error(head.status, delivered.exchange.body, head.request_id, tidy)


def _story(delivered: Delivered, answer: ServerAnswer | None) -> str:
    """What happened last, how often it was tried, and why it ended, on one line."""
    last = str(answer) if answer else str(delivered.exchange.ending)
    tries = len(delivered.call.attempts)
    parts = [last, f"{tries} attempts" if tries > 1 else "", delivered.stopped]
    return "; ".join(part for part in parts if part)


def _secrets(request: PaymentLinkSessionRequest) -> Iterator[str]:
    """Values that an answer may echo and a message must not: payment method data."""
    data = request.payment_method_data
    if isinstance(data, Card | BankAccount):
        yield from _strings([getattr(data, a.name) for a in fields(type(data)) if a.name != "type"])
    elif not isinstance(data, NotGiven):
        yield from _strings({name: item for name, item in data.items() if name != "type"})


def _strings(value: Any) -> Iterator[str]:
    if is_mapping(value):
        value = list(value.values())
    if is_listing(value):
        for item in value:
            yield from _strings(item)
    elif isinstance(value, str | int) and len(str(value)) > 2:
        yield str(value)
