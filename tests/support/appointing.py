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

    def enter(self, token: str, lane: Lane, now: float, hold: float) -> float:
        """See `RollingWindow.enter`."""
        return self.appointed(super().enter(token, lane, now, hold), lane, now)

    def appointed(self, wait: float, lane: Lane, now: float) -> float:
        """Seconds until asking again, for one who was told to wait for the first place."""
        full = len(self.slots) >= self.limit.open_to(lane) and now >= self.paused_until
        if wait <= 0 or lane is Lane.INTERACTIVE or not full:
            return wait
        if self._told_at < now + wait - _SAME:
            self._told, self._told_at = 1, now + wait
        elif self._told < ASKERS:
            self._told += 1
        else:
            at = min(self.next_after(self._told_at + _SAME), now + self.limit.per)
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
