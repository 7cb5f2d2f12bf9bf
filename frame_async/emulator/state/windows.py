"""The rolling rate window: so many requests in any stretch of time so long.

Frame counts requests in a 60-second rolling window per key, endpoint and mode
(Frame reference, rate limits). Nothing here reads a clock: time is a parameter.

The windows forget what has left them. For those who watch, `Usage` keeps a coarser
memory: counts in buckets of a sixtieth of the period, over ten periods.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from typing import Any

from attrs import Factory, define, field, frozen

MOST = 10_000
"""Most keys whose windows are kept; the one that came first goes for another."""
_USUAL = 1024


@define(eq=False)
class KeyWindow:
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

    def entries(self) -> tuple[float, ...]:
        """Return when the entries came that may still be inside, oldest first."""
        return tuple(self._latest)

    def restore(self, entries: Iterable[float]) -> None:
        """Take over the entries of another window."""
        self._latest.extend(entries)

    def empty(self, now: float) -> bool:
        """Tell whether every entry has left."""
        return not self._latest or now - self._latest[-1] >= self.period

    def _until_free(self, now: float) -> float:
        if len(self._latest) < self.limit:
            return 0.0
        return max(0.0, self.period - (now - self._latest[0]))


@define(eq=False)
class Windows:
    """One window for each API key and endpoint, made when first asked for.

    Keys of the two modes differ, so each mode has its own too. A key is named by
    its digest: see `keys.KeyNames`.
    """

    limit: int | None
    """Most requests in each window; ``None`` for no limit."""
    period: float
    """Seconds that each window spans."""
    count_refused: bool
    """Whether refused requests take places."""
    _windows: dict[tuple[str, str], KeyWindow] = field(
        init=False, factory=dict[tuple[str, str], KeyWindow], repr=False
    )
    _room: int = field(init=False, default=_USUAL)

    def enter(self, key: str, endpoint: str, now: float) -> float:
        """Ask the window of `key` and `endpoint` for a place, as `KeyWindow.enter`."""
        if self.limit is None:
            return 0.0
        window = self._windows.get((key, endpoint))
        if window is None:
            self._tidy(now)
            window = KeyWindow(self.limit, self.period, self.count_refused)
            self._windows[key, endpoint] = window
        return window.enter(now)

    def change(self, limit: int | None, period: float) -> None:
        """Set another limit or period, for what is inside already too.

        What had left the window before counts no more, even if the period is longer now.
        """
        before = self.dump()
        self.limit, self.period = limit, period
        self.load(before)

    def clear(self) -> None:
        """Empty all windows."""
        self._windows.clear()

    def dump(self) -> list[list[Any]]:
        """Return all windows as plain JSON values, each with its key, endpoint and entries."""
        return [[*name, list(window.entries())] for name, window in self._windows.items()]

    def load(self, windows: Sequence[Sequence[Any]]) -> None:
        """Take over windows that were dumped, under the limit and period of now."""
        self._windows.clear()
        if self.limit is None:
            return
        for key, endpoint, entries in windows:
            window = KeyWindow(self.limit, self.period, self.count_refused)
            window.restore(float(entry) for entry in entries)
            self._windows[str(key), str(endpoint)] = window

    def _tidy(self, now: float) -> None:
        """Drop empty windows once there are many, so that new keys cost no memory for ever."""
        if len(self._windows) >= self._room:
            left = {name: each for name, each in self._windows.items() if not each.empty(now)}
            for name in list(left)[: max(0, len(left) + 1 - MOST)]:
                del left[name]
            self._windows = left
            self._room = min(MOST, max(_USUAL, 2 * len(left)))


BUCKETS = 60
"""Buckets in a period."""
PERIODS = 10
"""Periods that are remembered."""
_KEYS = 32


@frozen
class Series:
    """How full one window was."""

    label: str
    """Which key, without its secret."""
    accepted: tuple[int, ...]
    """Requests inside the window at the end of each step, oldest first."""
    refused: tuple[int, ...]
    """Requests refused during each step."""


@define(eq=False)
class _Counts:
    label: str
    buckets: deque[list[int]]  # number of the bucket, accepted, refused


@define(eq=False)
class Usage:
    """What was let in and refused, by key, of the keys used most recently."""

    period: float
    """Seconds that the rate window spans."""
    _keys: OrderedDict[str, _Counts] = field(
        init=False, factory=OrderedDict[str, _Counts], repr=False
    )

    @property
    def width(self) -> float:
        """Seconds that one bucket spans."""
        return self.period / BUCKETS

    def note(self, key: str, label: str, now: float, *, accepted: bool) -> None:
        """Count one request of a key."""
        counts = self._keys.get(key)
        if counts is None:
            counts = self._keys[key] = _Counts(label, deque(maxlen=(PERIODS + 1) * BUCKETS))
            if len(self._keys) > _KEYS:
                self._keys.popitem(last=False)
        number = int(now / self.width)
        if not counts.buckets or counts.buckets[-1][0] != number:
            counts.buckets.append([number, 0, 0])
            self._keys.move_to_end(key)
        counts.buckets[-1][1 if accepted else 2] += 1

    def series(self, now: float, steps: int = 120) -> tuple[Series, ...]:
        """Return how full the windows were over ten periods, the busiest key first."""
        last = int(now / self.width)
        made = [_series(counts, last, BUCKETS * PERIODS // steps) for counts in self._keys.values()]
        alive = [each for each in made if any(each.accepted) or any(each.refused)]
        return tuple(sorted(alive, key=lambda each: (-max(each.accepted), each.label)))

    def change(self, period: float) -> None:
        """Begin anew with another period."""
        self.period = period
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._keys.clear()


def _series(counts: _Counts, last: int, width: int) -> Series:
    """Add buckets up to steps of `width` buckets, the last of which ends with bucket `last`."""
    first = last - BUCKETS * (PERIODS + 1) + 1
    accepted, refused = [0] * (last - first + 1), [0] * (last - first + 1)
    for number, let_in, turned_away in counts.buckets:
        if first <= number <= last:
            accepted[number - first] += let_in
            refused[number - first] += turned_away
    ends = range(BUCKETS + width - 1, len(accepted), width)
    return Series(
        counts.label,
        tuple(sum(accepted[end - BUCKETS + 1 : end + 1]) for end in ends),
        tuple(sum(refused[end - width + 1 : end + 1]) for end in ends),
    )
