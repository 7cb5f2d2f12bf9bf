"""No answers: how long to wait before the next row is tried, and when to give up.

While it lasts, one row at a time is tried, so that hardly any is lost to a server that is
down, and one that comes back isn't overrun.
"""

from typing import Final

from attrs import define, field

_FIRST: Final = 1.0
_LONGEST: Final = 30.0


@define(eq=False)
class Outage:
    """A time without answers; times are seconds on one clock."""

    patience: float
    """Seconds after which it has lasted too long."""
    why: str = field(init=False, default="")
    """What the last failure said; empty while there are answers."""
    trying: bool = field(init=False, default=False)
    """Whether a row is under way that may end it."""
    _since: float = field(init=False, default=0.0)
    _until: float = field(init=False, default=0.0)
    _pause: float = field(init=False, default=0.0)

    def began(self, now: float, why: str) -> bool:
        """Another call had no answer; True when that has gone on for too long."""
        if not self.why:
            self._since, self._pause = now, 0.0
        self.why = why
        if now >= self._until:  # those that fail together count once
            self._pause = min(_LONGEST, self._pause * 2 or _FIRST)
            self._until = now + self._pause
        return now - self._since >= self.patience

    def over(self) -> None:
        """The server has answered."""
        self.why, self._until = "", 0.0

    def pause(self, now: float) -> float:
        """Seconds until it is worth trying again."""
        return max(0.0, self._until - now)

    def left(self, now: float) -> float:
        """Seconds until it has lasted too long."""
        return max(0.0, self._since + self.patience - now)
