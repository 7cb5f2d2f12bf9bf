"""The gate: how many exchanges may be in flight at a time."""

import asyncio


class Gate:
    """First come, first served; whoever waits here has certainly not sent anything."""

    def __init__(self, limit: int) -> None:
        self._places = asyncio.Semaphore(limit)

    async def enter(self, timeout: float) -> bool:
        """Take a place; False when none came free within `timeout` seconds."""
        if not self._places.locked():
            return await self._places.acquire()
        try:
            async with asyncio.timeout(timeout):
                return await self._places.acquire()
        except TimeoutError:
            return False

    def leave(self) -> None:
        """Give the place back; once for each `enter` that gave True."""
        self._places.release()
