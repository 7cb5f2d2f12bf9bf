"""What the operating system and the event loop say."""

import asyncio
import os
import select
from collections.abc import Callable
from typing import Final


def _poll(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


def _select(descriptor: int) -> bool:
    return bool(select.select([descriptor], [], [], 0)[0])


# poll() takes descriptors above 1023, but Windows has only select().
is_readable: Final[Callable[[int], bool]] = _poll if hasattr(select, "poll") else _select
"""Whether something has arrived on a socket: bytes, its end, or an error."""


def spelled(error: BaseException) -> str:
    """The system's word for an error, such as "connection refused"; empty when it has none."""
    number = getattr(error, "errno", None)
    return os.strerror(number).lower() if isinstance(number, int) and number > 0 else ""


def was_asked_to_cancel() -> bool:
    """Whether somebody cancelled the running task, rather than something within it."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
