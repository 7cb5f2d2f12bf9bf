"""Where the emulator's time comes from."""

import time
from collections.abc import Callable
from typing import TypeAlias

Clock: TypeAlias = Callable[[], float]
"""Gives the time now, in seconds since the epoch; should never go back."""


def steady_clock() -> Clock:
    """Make a clock that starts at the time of day and then only moves forward.

    A wall clock that is set back would stretch the rate window; a bare monotonic
    one could not date a session.
    """
    offset = time.time() - time.monotonic()
    return lambda: offset + time.monotonic()
