"""What a call and its HTTP exchanges leave behind, in words that know nothing of aiohttp."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Self

from attrs import define, evolve, field, frozen

from frame_async.calls import Attempt, Call, Outcome
from frame_async.engine.operation import CallOptions
from frame_async.protocol.outcomes import Ending, Evidence, Phase, judge, sum_up


@define(eq=False, repr=False)
class Exchange:
    """One HTTP exchange: how far it came, the answer as far as it came, and what that proves.

    It is handed down with the request, and whoever moves the request on writes here, so
    that the evidence is there however it ends, cancellation included. Times are monotonic
    seconds, None for not reached.
    """

    now: Callable[[], float]
    """The clock that all times are taken from."""
    began: float
    trace: Mapping[str, str] = field(factory=dict[str, str])
    """Headers that say which trace the request belongs to."""
    admitted: float | None = None
    """One of the client's own connection slots was free."""
    handed: float | None = None
    """The request was handed to a connection: from now on it may arrive."""
    times_handed: int = 0
    """How often that happened; a middleware of a session of one's own may send twice."""
    sent: float | None = None
    """The connection had taken it, to the kernel or to its own buffer."""
    unwritten: bool = False
    """The connection was closed before it took a byte."""
    answered: float | None = None
    """The head of the answer was read."""
    read: float | None = None
    """The body of the answer was read to its end."""
    reused: bool | None = None
    """Whether the connection had served an earlier request; None if that can't be seen."""
    status: int | None = None
    """Of the head of the answer, if one was read; with it, the next four."""
    retry_after: tuple[str, ...] = ()
    date: str | None = None
    request_id: str | None = None
    encoding: str = ""
    received: bytearray = field(factory=bytearray)
    """The body of the answer as it came, as far as it was read."""
    body: bytes = b""
    """The body of the answer, decompressed; it may echo what was sent."""
    ended: float = 0.0
    """When it was over; what follows is known then."""
    evidence: Evidence = field(default=Evidence(Phase.GATE))
    """The facts that its outcome is judged by."""
    outcome: Outcome = Outcome.NOT_SENT
    """What they prove."""
    reason: str = ""
    """Why it ended without a usable answer, in a few words; empty otherwise."""
    fits_in: float | None = None
    """Seconds after which there would be a slot in the rate window, if that was missing."""

    def end(self, ending: Ending, detail: str = "") -> Self:
        """It is over, now and like this."""
        if self.unwritten and self.status is None and self.times_handed == 1:
            ending, detail = Ending.NEVER_WRITTEN, ""
        phase = Phase.GATE if self.admitted is None else Phase.CONNECT
        phase = phase if self.handed is None else Phase.SEND
        if self.status is not None:
            phase = Phase.ANSWER if self.read is None else Phase.DONE
        self.ended = self.now()
        self.evidence = Evidence(phase, ending, self.status)
        self.outcome = judge(self.evidence)
        self.reason = f"{ending}: {detail}" if detail else str(ending)
        return self

    def describe(self, started: datetime, window: float, slept: float, slept_for: str) -> Attempt:
        """The record of this exchange; `window` seconds were waited for the rate window."""
        return Attempt(
            outcome=self.outcome,
            status=self.status,
            reason=self.reason,
            started=started,
            duration=self.ended - self.began,
            window=window,
            gate=_between(self.began, self.admitted),
            connect=_between(self.admitted, self.handed),
            send=_between(self.handed, self.sent),
            wait=_between(self.sent, self.answered),
            read=_between(self.answered, self.read),
            reused=self.reused if self.handed is not None else None,
            slept=slept,
            slept_for=slept_for,
            request_id=self.request_id,
        )


def _between(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else other - one


@define(kw_only=True, eq=False, repr=False)
class Course:
    """One call in the making: what it is to send, and what its attempts proved so far."""

    options: CallOptions
    started: float
    """Monotonic seconds, as all times here."""
    deadline: float
    body: bytes = b""
    """It may hold a card. Never a variable of its own, for a traceback shows those."""
    key: str = ""
    token: str = ""
    """What its slots in the window are known by: unique, and no secret."""
    earlier: int = 0
    """Possible duplicates of earlier calls with the same key."""
    attempts: list[Attempt] = field(factory=list[Attempt])
    outcomes: list[Outcome] = field(factory=list[Outcome])
    """Of each attempt."""
    last: Exchange | None = None
    first_at: float | None = None
    """When the first exchange began: waiting for the window is not what the policy limits."""
    extra_sends: int = 0
    """How often one exchange sent more than once, as a middleware of one's own may."""
    slept: float = 0.0
    slept_for: str = ""
    stopped: str = ""
    """Why there was no further attempt, when there could have been one."""
    store_errors: list[str] = field(factory=list[str])
    """What the store couldn't do, in the order in which that was heard."""

    @property
    def possible_duplicates(self) -> int:
        """How many requests may have created something that nobody has."""
        if self.options.safe:
            return 0
        return self.earlier + self.extra_sends + self.outcomes.count(Outcome.UNKNOWN)

    def record(self, now: float, *, cancelled: bool = False) -> Call:
        """The record of the call, as far as it came."""
        duplicates = self.possible_duplicates
        return Call(
            idempotency_key=self.key,
            attempts=tuple(self.attempts),
            outcome=sum_up(self.outcomes, duplicates),
            possible_duplicates=duplicates,
            cancelled=cancelled,
            store_error="; ".join(dict.fromkeys(self.store_errors)),
            elapsed=now - self.started,
        )


@frozen(eq=False, repr=False)
class Ended:
    """How a call ended: its record, and the answer as far as it came."""

    call: Call
    exchange: Exchange
    """The last one."""
    stopped: str = ""
    """Why there was no further attempt, when there could have been one."""

    def admitting(self, store_error: str) -> "Ended":
        """The same end, with what the store couldn't do in its record."""
        listed = dict.fromkeys(filter(None, (store_error, self.call.store_error)))
        return evolve(self, call=evolve(self.call, store_error="; ".join(listed)))
