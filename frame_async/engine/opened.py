"""What is open on one event loop in one process, and how it ends with them."""

import asyncio
import gc
import os
import warnings
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Final

import aiohttp
from attrs import define, field

from frame_async.errors import EventLoopError


@define(eq=False, repr=False)
class Opened:
    """What is bound to one event loop in one process."""

    loop: asyncio.AbstractEventLoop
    process: int
    gate: asyncio.Semaphore
    session: aiohttp.ClientSession
    ours: bool
    """Whether the session is ours to close."""
    _closing: AsyncGenerator[None] | None = field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        if not self.ours:
            return
        self._closing = _close_with_loop(self.session)
        with suppress(StopIteration):
            self._closing.__anext__().send(None)

    def is_here(self) -> bool:
        """Whether this is its event loop and its process."""
        return self.loop is asyncio.get_running_loop() and self.process == os.getpid()

    async def aclose(self) -> None:
        """Close all its connections."""
        if self._closing is not None:
            await self._closing.aclose()


_of_parents: Final[list[Opened]] = []


async def _close_with_loop(session: aiohttp.ClientSession) -> AsyncGenerator[None]:
    """Close the session when this is closed, which `asyncio.run` does before its loop ends.

    A connection that outlives its event loop could never be closed.
    """
    try:
        yield
    finally:
        await session.close()


def leave_behind(opened: Opened, process: int) -> None:
    """Let go of what another event loop or the parent process opened.

    Raises:
        EventLoopError: that loop is still there, and may be using it.
    """
    if not opened.ours:
        raise EventLoopError(
            "this client's aiohttp.ClientSession belongs to another event loop or process; make "
            "both there"
        )
    if opened.process != process:
        # The parent is using these connections: not a byte may be sent, so not even
        # closed, and kept for ever lest the garbage collector does it.
        _of_parents.append(opened)
    elif opened.loop.is_closed():
        _drop(opened.session)
    else:
        raise EventLoopError(
            "this client is open on another event loop; make one FrameClient per event loop, "
            "or close this one there first"
        )


def _drop(session: aiohttp.ClientSession) -> None:
    """Free the sockets of an event loop that was closed before them.

    Nothing can close a transport of such a loop. Python frees it when it finds it, and would
    warn of it then.
    """
    connector = session.connector
    session.detach()
    if connector is not None:
        with suppress(StopIteration):
            next(connector.close().__await__())  # there is nothing that it could wait for
    del connector
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
