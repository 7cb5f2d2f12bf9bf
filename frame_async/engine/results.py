"""From what was proved on the wire to what the caller gets: an object, or an error.

The one place that chooses the class of a call's error. *Nothing was created* is said
only when every attempt proved it; a later refusal does not undo an earlier doubt.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from frame_async.calls import Call, Outcome
from frame_async.engine.exchange import Ended, Exchange
from frame_async.engine.operation import Operation
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
from frame_async.protocol.outcomes import Ending
from frame_async.protocol.redaction import clean
from frame_async.secret import Secret
from frame_async.serialization import load_error

_REFUSALS: Final[Mapping[int, type[RequestRefusedError]]] = {
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    429: RateLimitedError,
}


def unreadable(
    operation: Operation[Any, Any], ended: Ended, error: UnreadableError
) -> SessionUnreadableError:
    """The error of a call that created what it should, and whose answer can't be used."""
    found = operation.salvage_id(ended.exchange.body)
    found = found if found and clean(found) == found else None
    known = f"; its id is {found}" if found else "; its id is lost"
    fault = ended.exchange.reason or str(error)
    return SessionUnreadableError(
        f"{operation.if_unreadable}, but its answer can't be used: {fault}{known}",
        ended.call,
        session_id=found,
        problems=error.problems,
    )


def error_of(
    operation: Operation[Any, Any], ended: Ended, secrets: Secret[tuple[str, ...]]
) -> CallError:
    """The error of a call that created nothing that can be handed over."""
    call, exchange = ended.call, ended.exchange
    answer = _answer(exchange, secrets)
    history = _history(ended, exchange, answer)
    if call.outcome is Outcome.UNKNOWN:
        return OutcomeUnknownError(f"{operation.if_unknown}: {history}", call, answer)
    if answer is not None:
        refusal = _REFUSALS.get(answer.status, RequestRefusedError)
        return refusal(f"{operation.if_refused}: {history}", call, answer)
    return _not_sent(f"nothing was sent: {history}", call, exchange)


def _not_sent(message: str, call: Call, exchange: Exchange) -> NotSentError:
    match exchange.evidence.ending:
        case Ending.BAD_CERTIFICATE:
            return CertificateError(message, call)
        case Ending.NO_PLACE:
            return WindowFullError(message, call, fits_in=exchange.fits_in or 0.0)
        case Ending.STORE_FAILED:
            return StoreError(message, call)
        case _:
            return NotSentError(message, call)


def _answer(exchange: Exchange, secrets: Secret[tuple[str, ...]]) -> ServerAnswer | None:
    status = exchange.status
    if status is None:
        return None
    tidy = partial(clean, secrets=secrets.reveal())
    return load_error(status, exchange.body, exchange.request_id, tidy)


def _history(ended: Ended, exchange: Exchange, answer: ServerAnswer | None) -> str:
    """What happened last, how often it was tried, and why it ended, on one line."""
    last = str(answer) if answer else exchange.reason
    tries = len(ended.call.attempts)
    parts = [last, f"{tries} attempts" if tries > 1 else "", ended.stopped]
    return "; ".join(part for part in parts if part)
