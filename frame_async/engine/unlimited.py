"""Where there is no limit of our own: only a 429 makes anyone wait."""

from collections.abc import Callable

from frame_async.engine.limiter import NoSlotError, Slot
from frame_async.protocol.clock import Clock
from frame_async.protocol.pause import Pause
from frame_async.protocol.window import Lane


class Unlimited:
    """In place of a `RateLimiter` where there is no limit: only a 429 makes anyone wait."""

    def __init__(self, clock: Clock, spread: float, random: Callable[[], float]) -> None:
        self._clock = clock
        self._spread = spread
        self._random = random
        self._pause = Pause()

    def slot(
        self, token: str, lane: Lane, hold: float, deadline: float, run: object = None
    ) -> Slot:
        """See `RateLimiter.slot`."""
        return Slot(self, token, lane, hold, deadline, run)

    async def try_acquire(self, slot: Slot) -> bool:
        """Wait while a 429 to another call holds everyone back.

        Raises:
            NoSlotError: that doesn't end before the deadline.
        """
        now = self._clock.monotonic()
        left = self._pause.left(now, self._spread, self._random)
        if now + left >= slot.deadline:
            raise NoSlotError(left)
        if left > 0:
            await self._clock.sleep(left)
        return True

    async def wait(self, slot: Slot) -> None:
        """Nobody has to."""

    async def release(self, token: str, *, sent: bool) -> None:
        """Nothing to give back."""

    async def refuse(self, token: str, pause: float) -> None:  # noqa: ARG002  # as the limiter's
        """A 429 came: everyone pauses for that many seconds."""
        self._pause.extend(self._clock.monotonic() + pause)

    def dismiss(self, run: object) -> None:
        """Nobody waits for long."""

    def close(self) -> None:
        """Nothing to end."""
