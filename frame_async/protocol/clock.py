"""Time as a parameter: what every part of a call asks instead of the system."""

from typing import Protocol


class Clock(Protocol):
    """A source of time. All values are in seconds."""

    def time(self) -> float:
        """Wall-clock time, seconds since the epoch; it may jump."""
        ...

    def monotonic(self) -> float:
        """A clock that never goes back; only differences mean anything."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after that many seconds."""
        ...
