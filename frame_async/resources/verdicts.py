"""From what was proved on the wire to what the caller gets: a session, or an error.

The one place that chooses the class of a call's error. *Nothing was created* is said
only when every attempt proved it; a later refusal does not undo an earlier doubt.
"""

import logging
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Final

from attrs import evolve, fields

from frame_async.calls import Call, Outcome
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
    StoreError,
    UnreadableError,
    WindowFullError,
)
from frame_async.models.payment_methods import BankAccount, Card
from frame_async.models.requests import PaymentLinkSessionRequest
from frame_async.models.sessions import PaymentLinkSession
from frame_async.protocol.credentials import is_safe_page
from frame_async.protocol.outcomes import Ending
from frame_async.protocol.redaction import clean
from frame_async.secret import Secret
from frame_async.serialization import load_error, load_session, salvage_id
from frame_async.shapes import is_listing, is_mapping
from frame_async.transport.delivery import Delivered
from frame_async.transport.exchange import Exchange

_CREATED: Final = Outcome.CREATED  # slow to find in Python 3.11
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
    if delivered.call.outcome is not _CREATED:
        return None
    return _read(delivered.exchange.body, delivered.call, delivered.exchange.reason)


def replayed_session(body: bytes, key: str, doubles: int) -> PaymentLinkSession:
    """The session that the store remembers for a key, with the doubles admitted then.

    Raises:
        SessionUnreadableError: it exists, but its answer couldn't be used then either.
    """
    call = Call(
        idempotency_key=key,
        outcome=Outcome.CREATED,
        possible_duplicates=doubles,
        replayed=True,
    )
    return _read(body, call)


def _read(body: bytes, call: Call, reason: str = "") -> PaymentLinkSession:
    try:
        session = load_session(body, call)
    except UnreadableError as error:
        fault, problems = reason or str(error), error.problems
    else:
        return _with_safe_page(session)
    session_id = _safe_id(body)
    del body  # it may echo what was sent, and a traceback shows local variables
    known = f"its id is {session_id}" if session_id else "its id is lost"
    raise SessionUnreadableError(
        f"a session was created, but its answer can't be used: {fault}; {known}",
        call,
        session_id=session_id,
        problems=problems,
    )


def _safe_id(body: bytes) -> str | None:
    found = salvage_id(body)
    return found if found and clean(found) == found else None


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


def error_of(delivered: Delivered, secrets: Secret[tuple[str, ...]]) -> CallError:
    """The error of a call that ended without a session; `secrets` never show in it."""
    call = delivered.call
    answer = _answer(delivered.exchange, secrets)
    story = _story(delivered, answer)
    if call.outcome is Outcome.UNKNOWN:
        return OutcomeUnknownError(f"a session may exist: {story}", call, answer)
    if answer is not None:
        refusal = _REFUSALS.get(answer.status, RequestRefusedError)
        return refusal(f"nothing was created: {story}", call, answer)
    return _not_sent(f"nothing was sent: {story}", call, delivered.exchange)


def _not_sent(message: str, call: Call, exchange: Exchange) -> NotSentError:
    match exchange.ending:
        case Ending.BAD_CERTIFICATE:
            return CertificateError(message, call)
        case Ending.NO_PLACE:
            return WindowFullError(message, call, fits_in=exchange.fits_in or 0.0)
        case Ending.STORE_FAILED:
            return StoreError(message, call)
        case _:
            return NotSentError(message, call)


def _answer(exchange: Exchange, secrets: Secret[tuple[str, ...]]) -> ServerAnswer | None:
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
