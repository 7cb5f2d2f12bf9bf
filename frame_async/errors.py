"""Every error of this library, in one tree.

::

    FrameError
    ├── UsageError                      you made a mistake; nothing was sent
    │   ├── ConfigurationError          an API key, address or option of the client
    │   ├── ValidationError             a request, key or row that breaks a rule
    │   ├── IdempotencyConflictError    the same key with another request
    │   ├── ClientClosedError           the client was closed before the call
    │   └── EventLoopError              the client is open on another event loop
    ├── UnreadableError                 data that isn't what it should be
    ├── WrongModeError                  a session of the mode that wasn't meant
    ├── RequestAbandonedError           whoever asked has gone away
    ├── CallError                       a call that ended without a session
    │   ├── NothingCreatedError         certainly no session
    │   │   ├── NotSentError            the request can't have reached the server
    │   │   │   ├── CertificateError    its TLS certificate can't be trusted
    │   │   │   ├── WindowFullError     the rate window has no place before the deadline
    │   │   │   └── StoreError          the store can't answer, so nothing was sent
    │   │   └── RequestRefusedError     the server said no
    │   │       ├── AuthenticationError     401
    │   │       ├── PermissionDeniedError   403
    │   │       ├── NotFoundError           404
    │   │       └── RateLimitedError        429
    │   └── OutcomeUnknownError         a session may exist
    │       ├── CallInFlightError       another call is working on the same key
    │       └── SessionUnreadableError  it does exist, but its answer is unusable
    └── ReceivedError                   something that came in must not be acted upon
        ├── WebhookError                a webhook that can't be trusted or read
        ├── RedirectError               a redirect that can't be trusted or read
        └── EventInFlightError          another handler is working on the same event

Three questions, three classes: `UsageError` (you made a mistake),
`NothingCreatedError` (nothing was created), `OutcomeUnknownError` (it may exist).
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

from attrs import field, frozen

from frame_async.calls import Call

_SHOWN_PROBLEMS = 3
_NAMED_PATHS = 12
_LONGEST_MESSAGE = 1_000
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


@frozen
class Problem:
    """One broken rule: where, what the rule is, and how to fix it."""

    path: str
    """Where it is, such as ``line_items[2].quantity_minimum``; empty for the whole."""
    rule: str
    """What is wrong, in words that follow the path; never the value of a secret."""
    fix: str
    """What to do about it."""

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path else ""
        return f"{where}{self.rule} ({self.fix})"


_UNSAID: Final = {407: "the proxy wants its user and password"}  # RFC 9110 15.5.8
"""What a status means that comes without a reason."""


@frozen
class ServerAnswer:
    """What a server said when it said no, read from whichever envelope it used."""

    status: int
    """HTTP status code."""
    type: str | None = None
    """Frame's error type, such as ``validation_error``."""
    code: str | None = None
    """Frame's error code, such as ``charge_declined``."""
    message: str | None = None
    """Frame's own sentence: one line, without control characters or secrets."""
    field_errors: Mapping[str, tuple[str, ...]] = field(
        factory=dict[str, tuple[str, ...]], hash=False
    )
    """Messages by path, nested ones flattened: ``profile.individual``."""
    request_id: str | None = None
    """The server's own name for the exchange, when a header gave one."""

    def __str__(self) -> str:
        said = self.message or self.code or self.type or _UNSAID.get(self.status, "no reason given")
        fields = [_said_of(path, told) for path, told in self.field_errors.items()]
        shown, others = fields[:_SHOWN_PROBLEMS], len(fields) - _SHOWN_PROBLEMS
        shown += [f"and {others} more, see .field_errors"] if others > 0 else []
        return f"HTTP {self.status}: {said}" + (f" [{'; '.join(shown)}]" if shown else "")


class FrameError(Exception):
    """The root of every error that this library raises."""

    def __init__(self, message: str) -> None:
        super().__init__(_line(message))

    @property
    def message(self) -> str:
        """The message: one line, without control characters or secrets."""
        return str(self.args[0])

    def __str__(self) -> str:
        return self.message

    # Exceptions unpickle by calling the class with `args`, which fails for every
    # class that takes more than its message: so say how to rebuild one.
    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__.copy())

    @classmethod
    def _bare(cls, args: Sequence[Any], state: Mapping[str, Any]) -> Self:
        error = cls.__new__(cls, *args)
        error.args = tuple(args)
        error.__dict__.update(state)
        return error


def _rebuild(cls: type[FrameError], args: Sequence[Any], state: Mapping[str, Any]) -> FrameError:
    return cls._bare(args, state)  # pyright: ignore[reportPrivateUsage]  # same module


class UsageError(FrameError):
    """You made a mistake, and it was found before anything was sent."""


class ConfigurationError(UsageError):
    """An API key, address or option that the client can't work with."""


class ClientClosedError(UsageError):
    """The client was used after ``aclose()``, or its ``async with`` block ended."""


class EventLoopError(UsageError):
    """The client is open on another event loop; make one per loop, or close it there."""


class ValidationError(UsageError):
    """A request, idempotency key or row that breaks one or more rules."""

    def __init__(self, what: str, problems: Sequence[Problem]) -> None:
        super().__init__(f"{what}: {_listed(problems)}")
        self.problems = tuple(problems)
        """Every broken rule, in the order of the fields."""


class IdempotencyConflictError(UsageError):
    """The idempotency key stands for another request; ``fields`` names what differs."""

    def __init__(self, key: str, fields: Sequence[str]) -> None:
        listed = ", ".join(fields) or "the request"
        super().__init__(
            f"the idempotency key {key} was used for another request; different: {listed} "
            "(use another key, or the same request)"
        )
        self.key = key
        """The idempotency key."""
        self.fields = tuple(fields)
        """Names of the fields that differ, never their values."""


class UnreadableError(FrameError):
    """Data that can't be read as what it should be: not JSON, or of other types."""

    def __init__(self, what: str, problems: Sequence[Problem]) -> None:
        super().__init__(f"{what}: {_listed(problems)}")
        self.problems = tuple(problems)
        """Every place that is not as it should be."""


class WrongModeError(FrameError):
    """A session was created in the mode (sandbox or live) that wasn't meant."""

    def __init__(self, session_id: str, *, livemode: bool) -> None:
        super().__init__(
            f"session {session_id} is {_mode(livemode)}, but {_mode(not livemode)} was meant "
            "(check the API key and the base URL)"
        )
        self.session_id = session_id
        """The session that told."""
        self.livemode = livemode
        """What it said: True for live, False for sandbox."""


class RequestAbandonedError(FrameError):
    """Whoever asked has gone away, so the call was cancelled; its idempotency key was settled."""


def _mode(livemode: bool) -> str:
    return "live" if livemode else "sandbox"


class CallError(FrameError):
    """A call that ended without a session."""

    def __init__(self, message: str, call: Call, answer: ServerAnswer | None = None) -> None:
        super().__init__(message)
        self.call = call
        """The record of the call: its key, its attempts, what they proved."""
        self.answer = answer
        """What the server said last, when it said anything."""

    @property
    def status(self) -> int | None:
        """HTTP status of the server's last word, if it had one."""
        return self.answer.status if self.answer else None

    @property
    def type(self) -> str | None:
        """Frame's error type, such as ``validation_error``."""
        return self.answer.type if self.answer else None

    @property
    def code(self) -> str | None:
        """Frame's error code."""
        return self.answer.code if self.answer else None

    @property
    def field_errors(self) -> Mapping[str, tuple[str, ...]]:
        """The server's messages by path; empty when it gave none."""
        return self.answer.field_errors if self.answer else {}

    @property
    def request_id(self) -> str | None:
        """The id to quote to Frame's support, when a header gave one."""
        return self.call.request_id


class NothingCreatedError(CallError):
    """Certainly no session was created by this call."""


class NotSentError(NothingCreatedError):
    """The request can't have reached the server: no connection, or no time for one."""


class CertificateError(NotSentError):
    """The server's TLS certificate can't be trusted; retrying doesn't help."""


class WindowFullError(NotSentError):
    """The rate window has no place before the deadline; ``fits_in`` says when it would."""

    def __init__(
        self,
        message: str,
        call: Call,
        answer: ServerAnswer | None = None,
        fits_in: float = 0.0,
    ) -> None:
        super().__init__(message, call, answer)
        self.fits_in = fits_in
        """Seconds after which there would be a place, as far as is known."""


class StoreError(NotSentError):
    """The store can't answer, so nothing was sent; the message says why."""

    def __init__(
        self, message: str, call: Call | None = None, answer: ServerAnswer | None = None
    ) -> None:
        super().__init__(message, Call() if call is None else call, answer)


class RequestRefusedError(NothingCreatedError):
    """The server said no: see ``status``, ``type``, ``answer.message``, ``field_errors``."""


class AuthenticationError(RequestRefusedError):
    """401: the API key is not accepted."""


class PermissionDeniedError(RequestRefusedError):
    """403: the API key may not do this."""


class NotFoundError(RequestRefusedError):
    """404: no such address or object; check the base URL, product and owner ids."""


class RateLimitedError(RequestRefusedError):
    """429: too many requests in the rate window, and no time left to wait."""


class OutcomeUnknownError(CallError):
    """A session may exist that this call can't hand over.

    Frame offers no way to look a session up. A session whose address nobody was
    given moves no money and expires within 24 hours (Frame API reference).
    """


class CallInFlightError(OutcomeUnknownError):
    """Another call is working on the same idempotency key, and didn't end in time.

    This call sent nothing; what comes of the other may be a session.
    """


class SessionUnreadableError(OutcomeUnknownError):
    """The server created a session, but its answer can't be used; never repeat such a call."""

    def __init__(
        self,
        message: str,
        call: Call,
        answer: ServerAnswer | None = None,
        session_id: str | None = None,
        problems: Sequence[Problem] = (),
    ) -> None:
        super().__init__(message, call, answer)
        self.session_id = session_id
        """The id of the session, when it could be salvaged from the answer."""
        self.problems = tuple(problems)
        """What is wrong with the answer, place by place."""


class ReceivedError(FrameError):
    """Something that came in, as from Frame, must not be acted upon."""


class WebhookError(ReceivedError):
    """A webhook that can't be trusted, or can't be read; nothing of its body is shown.

    Answer it with status 400.
    """

    def __init__(self, message: str, signed: bool = False) -> None:
        super().__init__(message)
        self.signed = signed
        """True when its signature was right, so that Frame sent it all the same."""


class RedirectError(ReceivedError):
    """A redirect that can't be trusted, can't be read, or came too late."""

    def __init__(self, message: str, signed: bool = False) -> None:
        super().__init__(message)
        self.signed = signed
        """True when its signature was right."""


class EventInFlightError(ReceivedError):
    """Another handler is working on the same event, in this process or elsewhere.

    Answer with status 503, so that Frame delivers the event again later.
    """

    def __init__(self, event_id: str) -> None:
        super().__init__(
            f"another handler is working on the event {event_id} "
            "(answer 503, so that Frame delivers it again)"
        )
        self.event_id = event_id
        """The id of the event."""


def _line(message: str) -> str:
    line = _UNPRINTABLE.sub(" ", message)
    return line if len(line) <= _LONGEST_MESSAGE else line[: _LONGEST_MESSAGE - 3] + "..."


def _said_of(path: str, told: Sequence[str]) -> str:
    return (f"{path}: " if path else "") + ", ".join(told)


def _listed(problems: Sequence[Problem]) -> str:
    shown = "; ".join(str(problem) for problem in problems[:_SHOWN_PROBLEMS])
    others = [problem.path for problem in problems[_SHOWN_PROBLEMS:]]
    if not others:
        return shown
    named = ", ".join(others[:_NAMED_PATHS]) + (", ..." if len(others) > _NAMED_PATHS else "")
    return f"{shown}; and {len(others)} more, see .problems: {named}"
