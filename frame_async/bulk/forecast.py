"""How long a run still takes: what the rate window allows, or what was seen, if that is more.

Pure: times are parameters, in seconds on one clock.
"""

from collections import deque
from typing import Final

from attrs import Factory, define, field

from frame_async.protocol.window import RateLimit

_MARKS: Final = 15
_UNLIMITED_PERIOD: Final = 4.0
_NEARLY_ALL: Final = 0.9


@define(eq=False)
class Forecast:
    """What was finished so far, and what follows from it."""

    started: float
    """When the run began."""
    limit: RateLimit | None
    """The rate window; None where there is none."""
    places: int
    """How many places of the window this run may fill."""
    done: int = field(init=False, default=0)
    """Requests finished in this run."""
    _latest: deque[float] = field(
        init=False, default=Factory(lambda self: deque(maxlen=self.places), takes_self=True)
    )
    """When the latest were finished; each holds its place for one period more."""
    _marks: deque[tuple[float, int]] = field(
        init=False,
        default=Factory(lambda self: deque([(self.started, 0)], maxlen=_MARKS), takes_self=True),
    )
    """When how many were done, now and then: old times say little about the next."""

    _seconds: deque[tuple[int, int]] = field(init=False, factory=lambda: deque(maxlen=_MARKS))
    """The latest seconds in which any were done, and how many."""

    def finished(self, now: float) -> None:
        """One more request has its answer."""
        second = int(now - self.started)
        if self._seconds and self._seconds[-1][0] == second:
            self._seconds[-1] = second, self._seconds[-1][1] + 1
        else:
            self._seconds.append((second, 1))
        if now - self._marks[-1][0] >= self._period:
            self._marks.append((now, self.done))
        self.done += 1
        self._latest.append(now)

    def in_window(self, now: float) -> int:
        """How many of the finished requests hold a place in the window."""
        if self.limit is None:
            return 0
        since = now - self.limit.per
        return sum(1 for moment in self._latest if moment > since)

    def rate(self, now: float) -> float | None:
        """Requests a minute, of late; None before there is a period to measure.

        A burst goes out at once and then nothing for a while: what it would come to in a
        minute says nothing.
        """
        if now - self.started < self._period:
            return None
        if self.limit is not None:
            return 60.0 * self.in_window(now) / self.limit.per
        return self._seen(now)

    def _seen(self, now: float) -> float:
        since, before = self._marks[0]
        return 60.0 * (self.done - before) / max(now - since, 1e-9)

    def left(self, remaining: int, now: float, wait: float = 0.0) -> float | None:
        """Seconds until so many more are finished; None as long as nothing is known.

        There is no place in the window for another `wait` seconds.
        """
        if remaining <= 0:
            return 0.0
        if self.limit is None:
            return 60.0 * remaining / self._seen(now) if self.done else None
        if not self.done and not wait:
            return None
        allowed = self._allowed(remaining, now + wait, *self._pace(self.limit))
        return wait + max(allowed, self._needed(remaining, now))

    def _needed(self, remaining: int, now: float) -> float:
        """Seconds that so many more take where the window has room for all of them.

        By the seconds in which any were done: what the window made others wait doesn't count.
        """
        this = int(now - self.started)
        counts = sorted(count for second, count in self._seconds if second < this)
        if counts:
            return remaining / counts[3 * len(counts) // 4]  # a second may be half a pause
        return remaining * (now - self.started) / self.done if self.done else 0.0

    @property
    def _period(self) -> float:
        return _UNLIMITED_PERIOD if self.limit is None else self.limit.per

    def _pace(self, limit: RateLimit) -> tuple[int, float]:
        """How many requests were seen to share a round, and how many seconds it takes.

        Measured from mark to mark, which are at the same place of a round: requests come in
        bursts, so that "until now" would say too much or too little.
        """
        (since, before), (last, done) = self._marks[0], self._marks[-1]
        if last <= since:  # a first burst is going out, whose speed says nothing
            return self.places, limit.per
        seen = (done - before) * limit.per / (last - since)
        if seen >= _NEARLY_ALL * self.places:  # answers take time, so a place is held longer
            return self.places, limit.per * max(1.0, self.places / seen)
        return max(1, round(seen)), limit.per  # others use the window too, or the server is slow

    def _allowed(self, remaining: int, now: float, places: int, per: float) -> float:
        """Seconds that the window makes the last of them wait.

        A place falls free one period after the answer of the request that holds it.
        """
        held = [moment for moment in self._latest if moment > now - per][-places:]
        beyond = remaining - (places - len(held))
        if beyond <= 0:
            return 0.0
        rounds, nth = divmod(beyond - 1, places)
        first = held[nth] if nth < len(held) else now
        return first - now + (rounds + 1) * per
