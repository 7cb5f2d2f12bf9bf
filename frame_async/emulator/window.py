"""The rolling rate window: so many requests in any stretch of time so long.

Frame counts requests in a 60-second rolling window per key, endpoint and mode
(Frame reference, rate limits). Nothing here reads a clock: time is a parameter.
"""

from collections import deque

from attrs import Factory, define, field


@define(eq=False)
class Window:
    """One rolling window; an entry leaves it `period` seconds after it came."""

    limit: int
    """Most requests that may be inside at once; at least 1."""
    period: float
    """Seconds that a request stays inside."""
    count_refused: bool = False
    """Whether a refused request takes a place too. Frame does not say."""
    _latest: deque[float] = field(
        init=False,
        # The window is full exactly while the limit-th latest entry is inside,
        # so older ones need not be kept.
        default=Factory(lambda self: deque(maxlen=self.limit), takes_self=True),
    )

    def enter(self, now: float) -> float:
        """Ask for a place at `now` (seconds); return 0 when there is one.

        Otherwise nothing may happen, and the number returned is how many seconds
        from now the next place falls free (always more than 0).
        """
        wait = self._until_free(now)
        if not wait:
            self._latest.append(now)
        elif self.count_refused:
            self._latest.append(now)
            wait = self._until_free(now)
        return wait

    def _until_free(self, now: float) -> float:
        if len(self._latest) < self.limit:
            return 0.0
        return max(0.0, self.period - (now - self._latest[0]))


@define(eq=False)
class Windows:
    """One window for each API key and endpoint, made when first asked for."""

    limit: int
    """Most requests in each window."""
    period: float
    """Seconds that each window spans."""
    count_refused: bool
    """Whether refused requests take places."""
    _windows: dict[tuple[str, str], Window] = field(
        init=False, factory=dict[tuple[str, str], Window], repr=False
    )

    def enter(self, key: str, endpoint: str, now: float) -> float:
        """Ask the window of `key` and `endpoint` for a place, as `Window.enter`."""
        window = self._windows.get((key, endpoint))
        if window is None:
            window = Window(self.limit, self.period, self.count_refused)
            self._windows[key, endpoint] = window
        return window.enter(now)
