"""Where the emulator's time comes from."""

import time
from collections.abc import Callable
from math import isfinite
from typing import TypeAlias

from attrs import define, field

Clock: TypeAlias = Callable[[], float]
"""Gives the time now, in seconds since the epoch; should never go back."""

FURTHEST = 10 * 366 * 86_400
"""Most seconds that a clock may be advanced by in all: ten years, which every date can show."""


def steady_clock() -> Clock:
    """Make a clock that starts at the time of day and then only moves forward.

    A wall clock that is set back would stretch the rate window; a bare monotonic
    one could not date a session.
    """
    offset = time.time() - time.monotonic()
    return lambda: offset + time.monotonic()


@define(eq=False)
class MovableClock:
    """A clock that can be moved forward, so that sessions expire and windows roll at once."""

    base: Clock
    """The clock that it is ahead of."""
    offset: float = field(init=False, default=0.0)
    """Seconds that it is ahead."""

    def __call__(self) -> float:
        """Return the time, in seconds since the epoch."""
        return self.base() + self.offset

    def advance(self, seconds: float) -> None:
        """Move it forward for good.

        Raises:
            ValueError: `seconds` is negative or not finite, or the clock would be more
                than ten years ahead.
        """
        if not isfinite(seconds) or seconds < 0:
            raise ValueError("seconds must be a finite number, not negative: time never goes back")
        if self.offset + seconds > FURTHEST:
            raise ValueError("seconds must not take the clock more than ten years ahead")
        self.offset += seconds
