"""Cancellation: who asked for it, and the bookkeeping that is finished all the same."""

import asyncio
from collections.abc import Awaitable
from typing import Final

from frame_async.observers import logger

_unfinished: Final[set[asyncio.Future[object]]] = set()


def was_asked_to_cancel() -> bool:
    """Whether somebody cancelled the running task, rather than something within it."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def bounded(work: Awaitable[object], seconds: float = 2.0) -> None:
    """Finish a piece of bookkeeping although the task is being cancelled, but not for ever.

    What isn't finished by then, or when the task is cancelled again, goes on by itself.
    """
    await asyncio.wait({let_go(work)}, timeout=seconds)


def let_go(work: Awaitable[object]) -> "asyncio.Future[object]":
    """Let a piece of bookkeeping go on by itself."""
    task = asyncio.ensure_future(work)
    _unfinished.add(task)
    task.add_done_callback(_finish)
    return task


def _finish(task: "asyncio.Future[object]") -> None:
    _unfinished.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.error("bookkeeping of a cancelled call failed: %s", type(error).__name__)
