"""What one HTTP exchange left behind, in words that know nothing of aiohttp."""

from collections.abc import Callable
from datetime import datetime
from itertools import pairwise

from attrs import define, field

from frame_async.calls import Attempt, Outcome
from frame_async.protocol.outcomes import Ending, Evidence, Phase, judge


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
