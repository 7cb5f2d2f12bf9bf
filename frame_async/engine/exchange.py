"""What a call and its HTTP exchanges leave behind, in words that know nothing of aiohttp."""

from collections.abc import Callable, Mapping
from datetime import datetime
from itertools import pairwise

from attrs import define, evolve, field, frozen

from frame_async.calls import Attempt, Call, Outcome
from frame_async.engine.operation import CallOptions
from frame_async.protocol.outcomes import Ending, Evidence, Phase, judge, sum_up


@define(eq=False, repr=False)
class Head:
    """The head of an answer, as far as a call needs it."""

    status: int
    retry_after: tuple[str, ...] = ()
    date: str | None = None
    request_id: str | None = None
    encoding: str = ""


@define(eq=False, repr=False)
class Trail:
    """When an exchange reached which phase; monotonic seconds, None for not reached.

    It is handed down with the request, and whoever moves the request on writes here, so
    that the evidence is there however the exchange ends, cancellation included.
    """

    now: Callable[[], float]
    """The clock that all times are taken from."""
    began: float
    headers: Mapping[str, str] = field(factory=dict[str, str])
    """What the request says of its trace."""
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
    head: Head | None = None
    """The head of the answer."""
    body: bytearray = field(factory=bytearray)
    """The body of the answer, as far as it was read; it may echo what was sent."""

    def end(
        self, ending: Ending, detail: str = "", body: bytes = b"", fits_in: float | None = None
    ) -> "Exchange":
        """The exchange is over, now and like this."""
        if self.unwritten and self.head is None and self.times_handed == 1:
            ending, detail = Ending.NEVER_WRITTEN, ""
        phase = Phase.GATE if self.admitted is None else Phase.CONNECT
        phase = phase if self.handed is None else Phase.SEND
        if self.head is not None:
            phase = Phase.ANSWER if self.read is None else Phase.DONE
        evidence = Evidence(phase, ending, self.head.status if self.head else None)
        return Exchange(
            trail=self,
            head=self.head,
            ended=self.now(),
            evidence=evidence,
            outcome=judge(evidence),
            reason=f"{ending}: {detail}" if detail else str(ending),
            fits_in=fits_in,
            body=body,
        )


def remembered(body: bytes) -> "Exchange":
    """The exchange behind an answer that the store remembers."""
    trail = Trail(now=lambda: 0.0, began=0.0)
    return trail.end(Ending.COMPLETE, body=body)


@define(eq=False, repr=False)
class Exchange:
    """One HTTP exchange: what was observed, and the answer as far as it came."""

    trail: Trail
    head: Head | None
    """The head of the answer, if one was read."""
    ended: float
    """Monotonic time at which it was over."""
    evidence: Evidence
    """The facts that its outcome is judged by."""
    outcome: Outcome
    """What they prove."""
    reason: str = ""
    """Why it ended without a usable answer, in a few words; empty otherwise."""
    fits_in: float | None = None
    """Seconds after which there would be a slot in the rate window, if that was missing."""
    body: bytes = b""
    """The body of the answer, as far as it was read; it may echo what was sent."""

    def describe(self, began: datetime, window: float, slept: float, slept_for: str) -> Attempt:
        """The record of this exchange; `window` seconds were waited for the rate window."""
        trail, head = self.trail, self.head
        times = trail.began, trail.admitted, trail.handed, trail.sent, trail.answered, trail.read
        steps: list[float | None] = []
        for one, other in pairwise(times):
            steps.append(None if one is None or other is None else other - one)
        gate, connect, send, wait, read = steps
        return Attempt(
            outcome=self.outcome,
            status=head.status if head else None,
            reason=self.reason,
            started=began,
            duration=self.ended - trail.began,
            window=window,
            gate=gate,
            connect=connect,
            send=send,
            wait=wait,
            read=read,
            reused=trail.reused if trail.handed is not None else None,
            slept=slept,
            slept_for=slept_for,
            request_id=head.request_id if head else None,
        )


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
