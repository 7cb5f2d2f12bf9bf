"""The system's time."""

import asyncio
from time import monotonic, time


class SystemClock:
    """Wall clock, monotonic clock and sleep of this machine and event loop."""

    # The functions themselves, because a call looks at the time a dozen times.
    time = staticmethod(time)
    """Seconds since the epoch."""
    monotonic = staticmethod(monotonic)
    """Seconds on a clock that never goes back."""

    async def sleep(self, seconds: float) -> None:
        """Sleep that many seconds on the running event loop."""
        await asyncio.sleep(seconds)
