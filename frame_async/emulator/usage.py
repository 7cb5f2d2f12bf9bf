"""How full the rate windows were over the last while, for those who watch.

The windows themselves forget what has left them; this keeps a coarser memory: counts in
buckets of a sixtieth of the period, over ten periods.
"""

from collections import OrderedDict, deque

from attrs import define, field, frozen

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
