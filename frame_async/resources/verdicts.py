"""From what was proved on the wire to what the caller gets: a session, or an error.

The one place that chooses the class of a call's error. *Nothing was created* is said
only when every attempt proved it; a later refusal does not undo an earlier doubt.
"""

import logging
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Final

from attrs import evolve, fields

from frame_async.calls import Outcome
from frame_async.errors import (
    AuthenticationError,
    CallError,
    CertificateError,
    NotFoundError,
    NotSentError,
    OutcomeUnknownError,
    PermissionDeniedError,
    Problem,
    RateLimitedError,
    RequestRefusedError,
    ServerAnswer,
    SessionUnreadableError,
    UnreadableError,
)
from frame_async.hidden import Hidden
from frame_async.models.payment_methods import BankAccount, Card
from frame_async.models.requests import PaymentLinkSessionRequest
from frame_async.models.sessions import PaymentLinkSession
from frame_async.protocol.credentials import is_safe_page
from frame_async.protocol.outcomes import Ending
from frame_async.protocol.redaction import clean
from frame_async.serialization import load_error, load_session, salvage_id
from frame_async.shapes import is_listing, is_mapping
from frame_async.transport.delivery import Delivered
from frame_async.transport.exchange import Exchange

_logger = logging.getLogger("frame_async")

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
    try:
        session = load_session(delivered.exchange.body, delivered.call)
    except UnreadableError as error:
        fault, problems = str(error), error.problems
    else:
        return _with_safe_page(session)
    raise _unreadable(delivered, fault, problems)


def _unreadable(
    delivered: Delivered, fault: str, problems: tuple[Problem, ...]
) -> SessionUnreadableError:
    exchange = delivered.exchange
    found = salvage_id(exchange.body)
    session_id = found if found and clean(found) == found else None
    known = f"its id is {session_id}" if session_id else "its id is lost"
    return SessionUnreadableError(
        f"a session was created, but its answer can't be used: {exchange.reason or fault}; {known}",
        delivered.call,
        session_id=session_id,
        problems=problems,
    )


def _with_safe_page(session: PaymentLinkSession) -> PaymentLinkSession:
    """The session without an address that a payer must not be sent to."""
    if session.url is None or is_safe_page(session.url):
        return session
    _logger.warning(
        "%s: the address of session %s is not an https page and was withheld",
        session.call.idempotency_key,
        clean(session.id),
    )
    return evolve(session, url=None)


def error_of(delivered: Delivered, secrets: Hidden[tuple[str, ...]]) -> CallError:
    """The error of a call that ended without a session; `secrets` never show in it."""
    call = delivered.call
    answer = _answer(delivered.exchange, secrets)
    story = _story(delivered, answer)
    if call.outcome is Outcome.UNKNOWN:
        return OutcomeUnknownError(f"a session may exist: {story}", call, answer)
    if answer is not None:
        refusal = _REFUSALS.get(answer.status, RequestRefusedError)
        return refusal(f"nothing was created: {story}", call, answer)
    if delivered.exchange.ending is Ending.BAD_CERTIFICATE:
        return CertificateError(f"nothing was sent: {story}", call)
    return NotSentError(f"nothing was sent: {story}", call)


def _answer(exchange: Exchange, secrets: Hidden[tuple[str, ...]]) -> ServerAnswer | None:
    head = exchange.head
    if head is None:
        return None
    tidy = partial(clean, secrets=secrets.reveal())
    return load_error(head.status, exchange.body, head.request_id, tidy)


def _story(delivered: Delivered, answer: ServerAnswer | None) -> str:
    """What happened last, how often it was tried, and why it ended, on one line."""
    last = str(answer) if answer else delivered.exchange.reason
    tries = len(delivered.call.attempts)
    parts = [last, f"{tries} attempts" if tries > 1 else "", delivered.stopped]
    return "; ".join(part for part in parts if part)


def secrets_of(request: PaymentLinkSessionRequest, *others: str) -> tuple[str, ...]:
    """Values that an answer may echo and a message must not: payment method data."""
    data: object = request.payment_method_data
    if isinstance(data, Card | BankAccount):
        data = {a.name: getattr(data, a.name) for a in fields(type(data))}
    if is_mapping(data):
        others += tuple(_strings({name: item for name, item in data.items() if name != "type"}))
    return others


def _strings(value: Any) -> Iterator[str]:
    if is_mapping(value):
        value = list(value.values())
    if is_listing(value):
        for item in value:
            yield from _strings(item)
    elif isinstance(value, str | int) and len(str(value)) > 2:
        yield str(value)
