"""Time limits of many exchanges, kept by one timer.

A timer for each, as in `asyncio.timeout`, is dear: the loop keeps its timers in a heap
that compares them in Python, cancelled ones included. Here an exchange that ends in time
costs two changes of a dictionary.
"""

import asyncio
from typing import Any, Final

_GRAIN: Final = 0.01
"""Seconds by which a limit may be late, so that many that end together are seen together."""


class Deadline:
    """Until when the task that made it may go on; it is cancelled then.

    Whoever makes one ends it (`Deadline.end`), and asks `Deadline.was_it` when it is cancelled.
    """

    __slots__ = ("_all", "_before", "_task", "fired")

    def __init__(self, all_of_them: "Deadlines", task: asyncio.Task[Any] | None) -> None:
        if task is None:
            raise RuntimeError("an exchange runs in a task")  # as aiohttp demands
        self._all = all_of_them
        self._task = task
        self._before = task.cancelling()
        self.fired = False

    def fire(self) -> None:
        """The time is over."""
        self.fired = True
        self._task.cancel()

    def was_it(self) -> bool:
        """Whether the task was cancelled by this and nobody else; then it may go on."""
        if not self.fired:
            return False
        self.fired = False
        return self._task.uncancel() <= self._before

    def end(self) -> None:
        """It no longer matters."""
        self._all.forget(self)
        if self.fired:  # at the very last moment, and nobody noticed
            self.was_it()


class Deadlines:
    """Those of one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._ends: dict[Deadline, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._at = float("inf")
        """When the timer goes off."""

    def start(self, seconds: float) -> Deadline:
        """Give the running task so many seconds."""
        deadline = Deadline(self, asyncio.current_task(self._loop))
        at = self._ends[deadline] = self._loop.time() + seconds
        if at < self._at:
            self._set(at)
        return deadline

    def forget(self, deadline: Deadline) -> None:
        """It was met, or has fired; the timer may go off in vain, which is cheaper."""
        self._ends.pop(deadline, None)

    def close(self) -> None:
        """Let go of the event loop, unless somebody's time still runs."""
        if self._timer is not None and not self._ends:
            self._timer.cancel()
            self._timer, self._at = None, float("inf")

    def _set(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._at = at
        self._timer = self._loop.call_at(at, self._look)

    def _look(self) -> None:
        now = self._loop.time()
        self._timer, self._at = None, float("inf")
        for deadline in [deadline for deadline, at in self._ends.items() if at <= now]:
            del self._ends[deadline]
            deadline.fire()
        if self._ends:
            self._set(max(min(self._ends.values()), now + _GRAIN))
