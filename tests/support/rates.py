"""A server that counts requests in a rolling window, and callers of it, in simulated time."""

import heapq
from collections import deque
from collections.abc import Callable, Iterator
from itertools import count

from attrs import define, field, frozen

from frame_async.protocol.window import Lane, RateLimit, RollingWindow


@define
class CountingServer:
    """Admits at most `limit` requests, everyone's together, in any half-open stretch of `per`.

    Refused requests aren't counted, unless it is told to.
    """

    limit: int
    per: float = 60.0
    counts_refused: bool = False
    arrivals: deque[float] = field(factory=deque[float])

    def admit(self, now: float) -> bool:
        """Whether a request that arrives now is admitted."""
        while self.arrivals and self.arrivals[0] <= now - self.per:
            self.arrivals.popleft()
        admitted = len(self.arrivals) < self.limit
        if admitted or self.counts_refused:
            self.arrivals.append(now)
        return admitted


@frozen
class Sent:
    """One request, from taking its slot to its answer."""

    asked: float
    """When it first asked for a slot."""
    departed: float
    arrived: float
    answered: float
    lane: Lane
    admitted: bool


Delay = Callable[[], float]


@define
class Simulation:
    """Callers behind one window, others beside them, and the server."""

    server: CountingServer
    window: RollingWindow
    there: Delay
    """Seconds from departure to arrival."""
    back: Delay
    """Seconds from arrival to answer."""
    pause: float = 1.0
    hold: float = 60.0
    now: float = 0.0
    sent: list[Sent] = field(factory=list[Sent])
    _events: list[tuple[float, int, Callable[[], None]]] = field(
        factory=list[tuple[float, int, Callable[[], None]]]
    )
    _order: Iterator[int] = field(factory=count)

    @classmethod
    def of(
        cls, server: CountingServer, limit: RateLimit, there: Delay, back: Delay
    ) -> "Simulation":
        """A simulation with a window that nobody has used."""
        return cls(server, RollingWindow(limit), there, back)

    def at(self, when: float, event: Callable[[], None]) -> None:
        """Let something happen."""
        heapq.heappush(self._events, (when, next(self._order), event))

    def run(self, until: float) -> None:
        """Let time pass."""
        while self._events and self._events[0][0] < until:
            self.now, _, event = heapq.heappop(self._events)
            event()
        self.now = until

    def others(self, every: Delay, begin: float, end: float) -> None:
        """Somebody else sends a request `every` so often, and doesn't ask us."""

        def request() -> None:
            self.server.admit(self.now)
            if self.now < end:
                self.at(self.now + every(), request)

        self.at(begin, request)

    def saturating(self, callers: int, end: float, lane: Lane = Lane.INTERACTIVE) -> None:
        """So many callers ask again as soon as they have an answer."""
        for _ in range(callers):
            self.call(self.now, lane, lambda: self.now < end)

    def call(self, when: float, lane: Lane, again: Callable[[], bool] = lambda: False) -> None:
        """Somebody wants to send a request at some time."""

        def begin() -> None:
            asked = self.now
            token = f"{next(self._order)}"

            def ask() -> None:
                wait = self.window.enter(token, lane, self.now, self.hold)
                if wait:
                    self.at(self.now + wait, ask)
                else:
                    self._depart(asked, token, lane, again, begin)

            ask()

        self.at(when, begin)

    def _depart(
        self,
        asked: float,
        token: str,
        lane: Lane,
        again: Callable[[], bool],
        begin: Callable[[], None],
    ) -> None:
        departed = self.now

        def arrive() -> None:
            arrived, admitted = self.now, self.server.admit(self.now)

            def answer() -> None:
                self.sent.append(Sent(asked, departed, arrived, self.now, lane, admitted))
                if admitted:
                    self.window.leave(token, self.now, sent=True)
                else:
                    self.window.refuse(token, self.now, self.pause)
                if again():
                    begin()

            self.at(self.now + self.back(), answer)

        self.at(departed + self.there(), arrive)

    def admitted(self, begin: float, end: float) -> int:
        """How many of ours were admitted in that time."""
        return sum(sent.admitted and begin <= sent.arrived < end for sent in self.sent)

    def refused(self, begin: float, end: float) -> int:
        """How many of ours were refused in that time."""
        return sum(not sent.admitted and begin <= sent.arrived < end for sent in self.sent)
