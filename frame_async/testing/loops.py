"""An event loop in a thread of its own, so that it depends on no test's loop."""

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from threading import Thread
from types import TracebackType
from typing import Any, Final, Self, TypeVar

T = TypeVar("T")

PATIENCE: Final = 30.0
"""Seconds after which something that was asked of the loop is given up."""


class LoopThread:
    """Runs an event loop in a daemon thread between `start` and `stop`."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: Thread | None = None

    def start(self) -> None:
        """Start the thread; its loop runs when this returns."""
        loop = asyncio.new_event_loop()
        self._thread = Thread(target=_run, args=(loop,), name="frame-emulator", daemon=True)
        self._loop = loop
        self._thread.start()

    def stop(self) -> None:
        """Cancel what still runs on the loop, and end the thread; once is enough."""
        loop, thread = self._loop, self._thread
        self._loop = self._thread = None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(PATIENCE)

    def submit(self, function: Callable[[], Any]) -> "Future[Any]":
        """Call a function on the loop, and await what it returns if that can be awaited.

        Raises:
            RuntimeError: the thread was not started, or was stopped.
        """
        if self._loop is None:
            raise RuntimeError("the emulator's thread has ended")
        return asyncio.run_coroutine_threadsafe(_called(function), self._loop)

    def call(self, function: Callable[[], Any]) -> Any:
        """As `submit`, and wait for the result.

        Raises:
            RuntimeError: called from the loop itself, which would wait for itself.
        """
        if _running_loop() is self._loop is not None:
            raise RuntimeError("called from the emulator's own thread; use acall there")
        return self.submit(function).result(PATIENCE)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        asyncio.set_event_loop(None)
        loop.close()


async def _called(function: Callable[[], Any]) -> Any:
    result = function()
    return await result if inspect.isawaitable(result) else result


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def finish(coroutine: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop) -> None:
    """Run a coroutine to its end on a loop that isn't closed, from outside of it."""
    if loop.is_running():
        asyncio.run_coroutine_threadsafe(coroutine, loop).result(PATIENCE)
    else:
        loop.run_until_complete(coroutine)
