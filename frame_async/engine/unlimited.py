"""Where there is no limit of our own: only a 429 makes anyone wait."""

from collections.abc import Callable

from frame_async.engine.limiter import Slot
from frame_async.engine.naps import ClosingError, Naps, NoSlotError
from frame_async.protocol.clock import Clock
from frame_async.protocol.pause import Pause


class Unlimited:
    """In place of a `RateLimiter` where there is no limit: only a 429 makes anyone wait."""

    def __init__(self, clock: Clock, spread: float, random: Callable[[], float]) -> None:
        self.naps = Naps(clock)
        self._clock = clock
        self._spread = spread
        self._random = random
        self._pause = Pause()

    async def try_acquire(self, slot: Slot) -> bool:
        """Wait while a 429 to another call holds everyone back.

        Raises:
            NoSlotError: that doesn't end before the deadline.
            ClosingError: the client is being closed.
        """
        now = self._clock.monotonic()
        left = self._pause.left(now, self._spread, self._random)
        if now + left >= slot.deadline:
            raise NoSlotError(left)
        if left > 0:
            await self.naps.sleep(left)
            if self.naps.ended:
                raise ClosingError(0.0)
        return True

    async def wait(self, slot: Slot) -> None:
        """Nobody has to."""

    async def release(self, slot: Slot, *, sent: bool) -> None:
        """Nothing to give back."""

    async def refuse(self, token: str, pause: float) -> None:  # noqa: ARG002  # as the limiter's
        """A 429 came: everyone pauses for that many seconds."""
        self._pause.extend(self._clock.monotonic() + pause)

    def dismiss(self, run: object) -> None:
        """Nobody waits for long."""

    def close(self) -> None:
        """See `RateLimiter.close`."""
        self.naps.end()
