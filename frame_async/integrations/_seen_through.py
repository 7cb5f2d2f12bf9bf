"""Work that is seen through although nobody waits for it any more; free of any framework.

Frame gives a webhook a few seconds and then hangs up, to deliver it again later. Where a
server cancels what was abandoned, an action that takes longer than that would be cut off at
each delivery and never succeed. So it goes on, and the next delivery finds it done.
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")

PATIENCE: Final = 10.0
"""Seconds that work may still take when the application ends."""

_logger = logging.getLogger("frame_async")
_working: Final[set["asyncio.Task[Any]"]] = set()


async def see_through(work: Coroutine[Any, Any, T]) -> T:
    """What `work` returns or raises; it goes on when the caller is cancelled.

    What it raises then is logged, as there is nobody left to be told.
    """
    task = asyncio.ensure_future(work)
    _working.add(task)
    task.add_done_callback(_working.discard)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.add_done_callback(_log_failure)
        raise


async def all_seen_through(patience: float = PATIENCE) -> None:
    """Wait for what was abandoned on this event loop, then cancel what is left of it.

    Call it when an application ends, before what its work needs is closed.
    """
    loop = asyncio.get_running_loop()
    left = {task for task in _working if task.get_loop() is loop}
    if left:
        _, late = await asyncio.wait(left, timeout=patience)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)


def _log_failure(task: "asyncio.Task[Any]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _logger.error("a webhook's action failed after Frame had hung up", exc_info=error)
