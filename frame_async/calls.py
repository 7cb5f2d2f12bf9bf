"""What a call leaves behind: its attempts, and what each of them proved.

A *call* is one ``create(...)``: one idempotency key, one deadline, one or more
attempts. An *attempt* is one HTTP exchange. Sessions and errors both carry the
`Call` they come from, so that nobody has to guess what happened on the wire.
"""

from datetime import datetime
from enum import StrEnum

from attrs import frozen


class Outcome(StrEnum):
    """What an attempt proved about the session it asked for."""

    CREATED = "created"
    """The server answered 2xx: the session exists."""
    REFUSED = "refused"
    """The server said no: nothing was created."""
    NOT_SENT = "not_sent"
    """The request cannot have reached the server: nothing was created."""
    UNKNOWN = "unknown"
    """The request may have reached the server: a session may exist."""


@frozen(kw_only=True)
class Attempt:
    """One HTTP exchange of a call.

    Every time is in seconds on a monotonic clock; a phase that was not reached
    is ``None``.
    """

    outcome: Outcome
    """What it proved."""
    status: int | None = None
    """HTTP status of the answer, when its head was read."""
    reason: str = ""
    """Why it ended without a usable answer, in a few words; empty otherwise."""
    started: datetime
    """Wall-clock time (UTC) at which the attempt began."""
    duration: float
    """Seconds from beginning to end, waiting for a connection slot included."""
    window: float | None = None
    """Seconds waited for a place in the rate window, before it began."""
    gate: float | None = None
    """Seconds waited for one of the client's own connection slots."""
    connect: float | None = None
    """Seconds until a connection was there: near zero for a reused one."""
    send: float | None = None
    """Seconds to hand the request to the connection."""
    wait: float | None = None
    """Seconds from then until the head of the answer was read."""
    read: float | None = None
    """Seconds from then until the body was read."""
    reused: bool | None = None
    """Whether the connection had served an earlier request."""
    slept: float = 0.0
    """Seconds slept before this attempt."""
    slept_for: str = ""
    """Why, in a few words."""
    request_id: str | None = None
    """The server's own name for this exchange, when a header gave one."""


@frozen(kw_only=True)
class Call:
    """The record of one call; every session and every `CallError` carries one."""

    idempotency_key: str = ""
    """The key sent on each attempt: the caller's own, or one minted for the call."""
    attempts: tuple[Attempt, ...] = ()
    """Every HTTP exchange, first to last; empty when nothing was tried."""
    outcome: Outcome = Outcome.NOT_SENT
    """What the call as a whole proved. Once an attempt was ``UNKNOWN``, a later
    refusal does not undo it."""
    possible_duplicates: int = 0
    """How many sessions may exist at Frame beside the one returned (or, on an
    error, beside none): the attempts whose outcome is ``UNKNOWN``, and those of earlier
    calls with the same idempotency key that ended in doubt."""
    cancelled: bool = False
    """True when the call was cancelled; only an `Observer` gets to see such a record."""
    replayed: bool = False
    """True when the answer came from the store, without network."""
    store_error: str = ""
    """What the store could not do for this call, which went on or had ended all the same;
    empty when it did everything."""
    elapsed: float = 0.0
    """Seconds the whole call took."""

    @property
    def retries(self) -> int:
        """How many attempts came after the first."""
        return max(0, len(self.attempts) - 1)

    def __str__(self) -> str:
        """What happened, on one line without secrets, as in the log."""
        tries, doubled = len(self.attempts), self.possible_duplicates
        after = f"after {tries} attempt{'' if tries == 1 else 's'} in {self.elapsed:.3f} s"
        text = "cancelled, " if self.cancelled else ""
        text += f"{self.outcome} {'earlier, from the store' if self.replayed else after}"
        if doubled:
            text += f"; {doubled} of them may have created a session that nobody has"
        if self.store_error:
            text += f"; {' '.join(self.store_error.split())}"
        return f"{self.idempotency_key}: {text}" if self.idempotency_key else text

    @property
    def request_id(self) -> str | None:
        """The last request id a server gave, the one to quote to Frame's support."""
        return next((a.request_id for a in reversed(self.attempts) if a.request_id), None)
