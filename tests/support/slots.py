"""Slots of the rate window, taken and kept."""

from frame_async.engine.limiter import Limiter, Slot
from frame_async.protocol.window import Lane


async def acquire(limiter: Limiter, token: str, lane: Lane, hold: float, deadline: float) -> Slot:
    """Take a slot, or wait for one until the deadline, and don't release it."""
    slot = Slot(limiter, token, lane, hold, deadline)
    if not await limiter.try_acquire(slot):
        await limiter.wait(slot)
    return slot
