"""The rule by which stores of many hosts say when to ask again, in Python.

`RedisStore` and `PostgresStore` have it in Lua and in SQL; tests hold them against this.
"""

from attrs import define, field

from frame_async.protocol.window import ASKERS, Lane, RollingWindow
from frame_async.stores import MemoryStore, Window

_SAME = 1e-6
"""Seconds; stores count in microseconds."""


@define
class AppointingWindow(RollingWindow):
    """A window that tells each worker its own time to ask again."""

    _told: int = field(init=False, default=0)
    _told_at: float = field(init=False, default=0.0)

    def enter(
        self, token: str, lane: Lane, now: float, hold: float, *, pace: bool = False
    ) -> float:
        """See `RollingWindow.enter`."""
        wait = RollingWindow.enter(self, token, lane, now, hold, pace=pace)
        return self.appointed(wait, lane, now, pace=pace)

    def appointed(self, wait: float, lane: Lane, now: float, *, pace: bool) -> float:
        """Seconds until asking again, for one who was told to wait for the first place."""
        paced = pace or now < self.payers_until
        full = len(self.slots) >= self.limit.open_to(lane)
        early = paced and self._early(now) > 0
        told = wait > 0 and lane is Lane.BULK and (full or early) and now >= self.paused_until
        if not told:
            return wait
        if self._told_at < now + wait - _SAME:
            self._told, self._told_at = 1, now + wait
        elif self._told < ASKERS:
            self._told += 1
        else:
            least = self._told_at + self.limit.per / self.known if paced else 0.0
            later = max(self.next_after(self._told_at + _SAME) if full else 0.0, least)
            at = min(later, now + self.limit.per)
            self._told, self._told_at = 1, at if at > self._told_at + _SAME else now + wait
        return self._told_at - now

    def next_after(self, when: float) -> float:
        """When the next slot is free, after some time."""
        times = (slot.frees_at for slot in self.slots.values())
        return min((at for at in times if at > when), default=0.0)


class AppointingStore(MemoryStore):
    """A memory store with such windows."""

    def _window(self, window: Window) -> RollingWindow:
        rolling = self._windows.setdefault(window.name, AppointingWindow(window.limit))
        rolling.resize(window.limit)
        return rolling
