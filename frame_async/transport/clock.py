"""The system's time."""

import asyncio
import time


class SystemClock:
    """Wall clock, monotonic clock and sleep of this machine and event loop."""

    def time(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Sleep that many seconds on the running event loop."""
        await asyncio.sleep(seconds)
