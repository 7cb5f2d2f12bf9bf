"""What an ended call means to whoever runs many of them, or answers a web request.

One table, by class of error; a class that isn't in it means what its parent means. Pools,
files, fleets, web frameworks and exit statuses read it, and nobody else decides.
"""

import errno
import logging
import math
from enum import Enum, IntEnum
from typing import Final, Literal

from attrs import evolve, frozen

import frame_async.errors as errors  # the root is for users
from frame_async.calls import Call
from frame_async.protocol.retry import RetryPolicy

CountsAs = Literal["created", "refused", "invalid", "not_sent", "unknown"]
Known = Literal["not_created", "unknown"]


class Heard(Enum):
    """What an ended call tells of the server."""

    NOTHING = "nothing"
    ANSWER = "answer"
    SILENCE = "silence"
    FULL = "full"
    """There is no room for a request: in the rate window, or at the server (429)."""


class Again(Enum):
    """Whether the same request, with the same key, is to be tried again later."""

    NEVER = "never"
    WITHIN_POLICY = "within the retry policy"
    """As long as the row had fewer attempts in doubt than the policy grants."""
    ALWAYS = "always"


class ExitStatus(IntEnum):
    """Exit statuses of the commands."""

    DONE = 0
    SOME_REFUSED = 1
    USAGE = 2
    SOME_UNKNOWN = 3
    STOPPED = 4
    """Not all was done, and the same command goes on."""
    INTERRUPTED = 130
    """128 and the number of SIGINT, as a shell says it."""


@frozen(kw_only=True)
class Disposition:
    """What one class of errors means."""

    counts_as: CountsAs = "invalid"
    """The word for it in results and summaries."""
    again: Again = Again.NEVER
    heard: Heard = Heard.NOTHING
    stops_run: bool = False
    """Whether every further call of a run would end the same way."""
    stops_worker: bool = False
    """The same for a worker, which waits until a store is back."""
    exit_status: ExitStatus = ExitStatus.USAGE
    http_status: int = 500
    """HTTP status of the answer to a web request that ended so."""
    detail: str = ""
    """What a payer's browser may know of it."""
    level: int = logging.ERROR
    """How loudly it is logged."""
    is_mistake: bool = False
    """Whether the program has to be fixed, so that a log needs the traceback."""
    retry_after: int = 0
    """Seconds after which a web request may come again; 0 where nobody knows."""
    known: Known | None = None
    """What is known of the session, where it was about one."""


# Creating a session charges nothing, whatever became of it (Frame API reference), which is
# why the payer may be told so in every case.
_SHORTLY: Final = (
    "The payment page can't be opened right now. Nothing was charged; try again shortly."
)
_REFUSED: Final = "The payment page could not be opened. Nothing was charged."
_UNKNOWN: Final = (
    "It is not certain that the payment page could be opened. "
    "Nothing was charged; you may try again."
)

CREATED: Final = Disposition(
    counts_as="created", heard=Heard.ANSWER, exit_status=ExitStatus.DONE, http_status=200
)
_MISTAKE: Final = Disposition(is_mistake=True)
_SENSELESS: Final = evolve(_MISTAKE, again=Again.ALWAYS, stops_run=True, stops_worker=True)
_RECEIVED: Final = Disposition(exit_status=ExitStatus.SOME_REFUSED, is_mistake=True)
_CALL: Final = Disposition(exit_status=ExitStatus.STOPPED, is_mistake=True)
_NOT_SENT: Final = evolve(
    _CALL,
    counts_as="not_sent",
    again=Again.ALWAYS,
    heard=Heard.SILENCE,
    http_status=503,
    detail=_SHORTLY,
    level=logging.WARNING,
    is_mistake=False,
    retry_after=5,
    known="not_created",
)
_NO: Final = evolve(
    _CALL,
    counts_as="refused",
    heard=Heard.ANSWER,
    http_status=502,
    detail=_REFUSED,
    is_mistake=False,
    known="not_created",
)
_NOT_ALLOWED: Final = evolve(
    _NO, again=Again.ALWAYS, stops_run=True, stops_worker=True, http_status=500
)
_IN_DOUBT: Final = evolve(
    _CALL,
    counts_as="unknown",
    again=Again.WITHIN_POLICY,
    heard=Heard.SILENCE,
    http_status=502,
    detail=_UNKNOWN,
    level=logging.WARNING,
    is_mistake=False,
    known="unknown",
)

DISPOSITIONS: Final[dict[type[BaseException], Disposition]] = {
    errors.FrameError: _MISTAKE,
    errors.UsageError: _MISTAKE,
    errors.ConfigurationError: _SENSELESS,
    errors.ClientClosedError: _SENSELESS,
    errors.EventLoopError: _SENSELESS,
    errors.WrongModeError: _SENSELESS,
    errors.IdempotencyConflictError: Disposition(
        counts_as="unknown",  # for what the key stood for, a session may exist
        http_status=409,
        detail="This was asked for before, and differently.",
    ),
    errors.CallError: _CALL,
    errors.NothingCreatedError: _CALL,
    errors.NotSentError: _NOT_SENT,
    errors.CertificateError: evolve(
        _NOT_SENT,
        stops_run=True,
        stops_worker=True,
        http_status=502,
        detail=_REFUSED,
        level=logging.ERROR,
        retry_after=0,
    ),
    errors.WindowFullError: evolve(_NOT_SENT, heard=Heard.FULL, retry_after=1),
    errors.StoreError: evolve(_NOT_SENT, heard=Heard.NOTHING, stops_run=True),
    errors.RequestRefusedError: _NO,
    errors.AuthenticationError: _NOT_ALLOWED,
    errors.PermissionDeniedError: _NOT_ALLOWED,
    errors.NotFoundError: evolve(_NO, http_status=500),
    errors.RateLimitedError: evolve(_NOT_SENT, counts_as="refused", heard=Heard.FULL),
    errors.OutcomeUnknownError: _IN_DOUBT,
    errors.CallInFlightError: evolve(
        _IN_DOUBT,
        again=Again.ALWAYS,  # until the other call has ended, or has lost its claim
        heard=Heard.NOTHING,
        http_status=503,
        detail="The payment page is being opened; try again shortly.",
        retry_after=1,
    ),
    errors.SessionUnreadableError: evolve(
        _IN_DOUBT, again=Again.NEVER, heard=Heard.ANSWER, detail=_REFUSED, level=logging.ERROR
    ),
    errors.ReceivedError: _RECEIVED,
    errors.WebhookError: evolve(
        _RECEIVED,
        http_status=400,
        detail="The webhook can't be trusted, or can't be read.",
        level=logging.WARNING,
        is_mistake=False,
    ),
    errors.RedirectError: evolve(
        _RECEIVED,
        http_status=400,
        detail="The address can't be trusted, or came too late.",
        level=logging.INFO,
        is_mistake=False,
    ),
    errors.EventInFlightError: evolve(
        _RECEIVED,
        http_status=503,
        detail="The event is being worked on.",
        level=logging.INFO,
        is_mistake=False,
        retry_after=1,
    ),
    errors.RequestAbandonedError: Disposition(http_status=499, level=logging.INFO),
}
"""By class of error; the nearest class in an error's ancestry counts."""

_LONGEST_WAIT: Final = 86_400
_FULL_DISK: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""Faults of the disk and not of the command."""


def disposition_of(error: BaseException | None) -> Disposition:
    """What an error means, or that there is none; one of others is a mistake in the program."""
    if error is None:
        return CREATED
    return next((DISPOSITIONS[cls] for cls in type(error).__mro__ if cls in DISPOSITIONS), _MISTAKE)


def may_go_on(error: BaseException | None, call: Call, policy: RetryPolicy) -> bool:
    """Whether an input is still open: the same request is to be tried again, by its key."""
    again = disposition_of(error).again
    if again is Again.WITHIN_POLICY:
        return policy.on_unknown == "retry" and call.possible_duplicates <= policy.max_retries
    return again is Again.ALWAYS


def heard_of(error: BaseException | None, call: Call) -> Heard:
    """What an ended call tells of the server; one that asked nothing, nothing."""
    asked = bool(call.attempts) or isinstance(error, errors.NotSentError)
    return disposition_of(error).heard if asked else Heard.NOTHING


def retry_after_of(error: BaseException) -> int:
    """Whole seconds after which a web request may come again; 0 where nobody knows."""
    least = disposition_of(error).retry_after
    if not isinstance(error, errors.WindowFullError):
        return least
    return math.ceil(max(least, min(_LONGEST_WAIT, error.fits_in)))


def exit_status_of(error: BaseException) -> ExitStatus:
    """The exit status of a command that ended with an error."""
    if isinstance(error, KeyboardInterrupt):
        return ExitStatus.INTERRUPTED
    if isinstance(error, OSError):
        return ExitStatus.STOPPED if error.errno in _FULL_DISK else ExitStatus.USAGE
    # A defect of ours is not the command's: and status 1 would say that rows were refused.
    ours = isinstance(error, errors.FrameError)
    return disposition_of(error).exit_status if ours else ExitStatus.STOPPED


def exit_status_of_rows(
    *, is_open: bool, unknown: int = 0, refused: int = 0, signal: int | None = None
) -> int:
    """The exit status of a command that had to do with rows; `signal` is what ended it."""
    if is_open:
        return ExitStatus.STOPPED if signal is None else 128 + signal
    if unknown:
        return ExitStatus.SOME_UNKNOWN
    return ExitStatus.SOME_REFUSED if refused else ExitStatus.DONE
