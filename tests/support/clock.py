"""A clock whose sleeps take no time: hours of backoff pass in milliseconds."""

import asyncio
import time


class FastClock:
    """Real time, plus every second that was slept on this clock."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self._ahead = 0.0

    def time(self) -> float:
        return time.time() + self._ahead

    def monotonic(self) -> float:
        return time.monotonic() + self._ahead

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self._ahead += seconds
        await asyncio.sleep(0)
