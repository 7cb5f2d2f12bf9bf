"""A clock for tests: hours pass in milliseconds."""

import asyncio
import time
from threading import Lock


class VirtualClock:
    """The time of day, plus every second that was slept on this clock or added by hand.

    Give it to whoever takes a clock: `FrameClient`, `WebhookReceiver`, `RedirectSigner`;
    its `time` is what an `Emulator` takes. It may be shared between threads.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._ahead = 0.0

    @property
    def ahead(self) -> float:
        """Seconds by which it is ahead of the time of day."""
        return self._ahead

    def advance(self, seconds: float) -> None:
        """Let that many seconds pass at once.

        Raises:
            ValueError: they are less than nothing.
        """
        if not seconds >= 0:
            raise ValueError("a clock is never set back: give 0 or more seconds")
        self._reach(self._ahead + seconds)

    def time(self) -> float:
        """Seconds since the epoch."""
        return time.time() + self._ahead

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back."""
        return time.monotonic() + self._ahead

    async def sleep(self, seconds: float) -> None:
        """Let that many seconds pass; those who sleep at the same time do so side by side."""
        wakes = self._ahead + max(0.0, seconds)
        await asyncio.sleep(0)
        self._reach(wakes)

    def _reach(self, ahead: float) -> None:
        with self._lock:
            self._ahead = max(self._ahead, ahead)
