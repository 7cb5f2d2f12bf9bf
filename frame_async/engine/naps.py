"""What ends a wait before its time: no slot, a run that takes no more, a client that closes."""

import asyncio

from frame_async.protocol.clock import Clock


class NoSlotError(Exception):
    """There is no slot before the deadline; its argument says in how many seconds there is."""

    def __init__(self, fits_in: float) -> None:
        super().__init__(fits_in)
        self.fits_in = fits_in


class DismissedError(NoSlotError):
    """Whoever waited was sent away, because its run takes no more."""


class ClosingError(NoSlotError):
    """Whoever waited was sent away, because the client is being closed."""


class Naps:
    """Sleeps that end when nobody may wait any more."""

    def __init__(self, clock: Clock) -> None:
        self.ended = False
        self._clock = clock
        self._sleeping: set[asyncio.Future[None]] = set()

    async def sleep(self, seconds: float) -> None:
        """Sleep on the clock, unless or until they are ended."""
        if self.ended:
            return
        sleeping = asyncio.ensure_future(self._clock.sleep(seconds))
        self._sleeping.add(sleeping)
        try:
            await asyncio.wait({sleeping})
            if not sleeping.cancelled():
                sleeping.result()
        finally:
            self._sleeping.discard(sleeping)
            sleeping.cancel()

    def end(self) -> None:
        """Wake who sleeps; nobody sleeps any more."""
        self.ended = True
        for sleeping in self._sleeping:
            if not sleeping.get_loop().is_closed():
                sleeping.cancel()


async def doze(clock: Clock, seconds: float, news: asyncio.Event) -> None:
    """Sleep so long, or until there is news."""
    sleeping = asyncio.ensure_future(clock.sleep(max(0.0, seconds)))
    heard = asyncio.ensure_future(news.wait())
    try:
        await asyncio.wait({sleeping, heard}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        sleeping.cancel()
        heard.cancel()
