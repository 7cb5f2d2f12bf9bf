"""What one HTTP exchange left behind, in words that know nothing of aiohttp."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any, Final

from attrs import define, field

from frame_async.calls import Outcome
from frame_async.protocol.outcomes import Ending, Evidence, Phase, judge

# Python 3.11 takes as long to find a member of an enum as for twenty plain names.
_DONE: Final = Phase.DONE


@define(eq=False, repr=False)
class Head:
    """The head of an answer, as far as a call needs it."""

    status: int
    retry_after: tuple[str, ...] = field(default=(), repr=False)
    date: str | None = field(default=None, repr=False)
    request_id: str | None = None


@define(eq=False, repr=False)
class Trail:
    """When an exchange reached which phase; monotonic seconds, None for not reached.

    It is handed down with the request, and whoever moves the request on writes here, so
    that the evidence is there however the exchange ends, cancellation included.
    """

    now: Callable[[], float]
    """The clock that all times are taken from."""
    began: float = field(init=False)
    admitted: float | None = None
    """One of the client's own connection slots was free."""
    handed: float | None = None
    """The request was handed to a connection: from now on it may arrive."""
    sent: float | None = None
    """The connection had taken it, to the kernel or to its own buffer."""
    answered: float | None = None
    """The head of the answer was read."""
    read: float | None = None
    """The body of the answer was read to its end."""
    fresh: bool = False
    """A new connection was opened for it."""
    head: Head | None = None
    """The head of the answer."""

    def __attrs_post_init__(self) -> None:
        self.began = self.now()

    @property
    def phase(self) -> Phase:
        """The last phase that was reached."""
        if self.read is not None:
            return _DONE  # as a rule
        if self.answered is not None:
            return Phase.ANSWER
        if self.handed is not None:
            return Phase.SEND
        return Phase.GATE if self.admitted is None else Phase.CONNECT

    def steps(self) -> tuple[float | None, ...]:
        """Seconds of each step, from the gate to the body; None for a step that didn't end."""
        times = self._times()
        began, admitted, handed, sent, answered, read = times
        if read is not None:  # as a rule
            parts = admitted - began, handed - admitted, sent - handed, answered - sent
            return (*parts, read - answered)
        return tuple([None if b is None else b - a for a, b in pairwise(times)])

    def _times(self) -> tuple[Any, ...]:
        return self.began, self.admitted, self.handed, self.sent, self.answered, self.read

    def end(
        self,
        ending: Ending,
        detail: str = "",
        body: bytes = b"",
        fits_in: float | None = None,
    ) -> "Exchange":
        """The exchange is over, now and like this."""
        status = self.head.status if self.head else None
        evidence = Evidence(self.phase, ending, status)
        return Exchange(self, ending, self.now(), evidence, judge(evidence), detail, fits_in, body)


@define(eq=False, repr=False)
class Exchange:
    """One HTTP exchange: what was observed, and the answer as far as it came."""

    trail: Trail
    ending: Ending
    ended: float
    """Monotonic time at which it was over."""
    evidence: Evidence
    """The facts that its outcome is judged by."""
    outcome: Outcome
    """What they prove."""
    detail: str = ""
    """More about the ending in a few words, such as "connection refused"."""
    fits_in: float | None = None
    """Seconds after which there would be a place in the rate window, if that was missing."""
    body: bytes = field(default=b"", repr=False)
    """The body of the answer, as far as it was read; it may echo what was sent."""

    @property
    def head(self) -> Head | None:
        """The head of the answer, if one was read."""
        return self.trail.head

    @property
    def reason(self) -> str:
        """Why it ended without a usable answer, in a few words; empty otherwise."""
        return f"{self.ending}: {self.detail}" if self.detail else str(self.ending)
