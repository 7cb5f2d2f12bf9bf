"""What the operating system says."""

import os
import select
from collections.abc import Callable
from typing import Final


def _poll(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN | select.POLLOUT)
    return poll.poll(0) == [(descriptor, select.POLLOUT)]


def _select(descriptor: int) -> bool:
    readable, writable, _ = select.select([descriptor], [descriptor], [], 0)
    return bool(writable and not readable)


# poll() takes descriptors above 1023, but Windows has only select().
is_quiet: Final[Callable[[int], bool]] = _poll if hasattr(select, "poll") else _select
"""Whether nothing has arrived on a socket, no bytes, end or error, and it takes bytes."""


def spelled(error: BaseException) -> str:
    """The system's word for an error, such as "connection refused"; empty when it has none."""
    number = getattr(error, "errno", None)
    return os.strerror(number).lower() if isinstance(number, int) and number > 0 else ""
