"""A server that is told to stop first lets requests finish, and those may wait for long.

A server ends the lifespan of its application when the last request has been answered. So
whoever waits for the rate window has to hear of the signal itself: the server's own handler
is called after ours.
"""

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Final
from weakref import WeakKeyDictionary

from frame_async.client import FrameClient

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

_clients: Final[WeakKeyDictionary[FrameClient, asyncio.AbstractEventLoop]] = WeakKeyDictionary()


def hear_stop(frame: FrameClient) -> None:
    """When this process is told to stop, nobody waits for this client's window any more.

    Only a process's main thread can hear signals; elsewhere nothing changes.
    """
    _clients[frame] = asyncio.get_running_loop()
    if threading.current_thread() is not threading.main_thread():
        return
    for number in _SIGNALS:
        handler = signal.getsignal(number)
        # None is a handler that isn't Python's, and couldn't be called.
        if handler is not None and not isinstance(handler, _Handler):
            signal.signal(number, _Handler(handler))


class _Handler:
    """Tells the clients, and then does what would have been done."""

    def __init__(self, before: "Callable[[int, FrameType | None], object] | int") -> None:
        self._before = before

    def __call__(self, number: int, frame: FrameType | None) -> None:
        for client, loop in list(_clients.items()):
            with suppress(RuntimeError):  # that loop is closed, and nobody waits there
                loop.call_soon_threadsafe(client.stop_waiting)
        if callable(self._before):
            self._before(number, frame)
        elif self._before == signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
