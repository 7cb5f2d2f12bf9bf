"""The thread that writes: operations queue up, and those that wait share one transaction.

A transaction and its way to the disk cost hardly more for sixty operations than for one. So
the event loop wakes the thread when it has nothing more to add, not for each operation.

Before a fork the thread's connection is closed, because SQLite's locks don't survive
one (https://sqlite.org/howtocorrupt.html, 2.6); parent and child then open their own.
"""

import asyncio
import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any, Final, TypeVar
from weakref import WeakSet

from frame_async.stores._sqlite_batches import perform
from frame_async.stores._sqlite_faults import CLOSED, FaultError, FileFault
from frame_async.stores._sqlite_file import StoreFile
from frame_async.stores._sqlite_rows import Transaction

T = TypeVar("T")

BATCH: Final = 256
"""Most operations in one transaction."""

_MOST_TURNS: Final = 16
"""Turns of the event loop that an operation waits for others to share its transaction."""

Answers = list["tuple[asyncio.Future[Any], object]"]
"""Who waits, and what for: a value, or the exception that it gets."""

_Job = tuple[Callable[[Transaction], object], "asyncio.Future[Any]"]
"""One operation, and who waits for it."""


class Writer:
    """One process's way to the file."""

    def __init__(self, file: StoreFile) -> None:
        self._file = file
        self._jobs: deque[_Job] = deque()
        self._calls: SimpleQueue[bool] = SimpleQueue()
        """Wakes the thread; False when nothing more will come."""
        self._caller: asyncio.AbstractEventLoop | None = None
        """Who is about to wake the thread."""
        self._going = True
        self._lock = Lock()
        self._transaction = Lock()
        self._thread: Thread | None = None
        self.inherited = False
        """Whether it is that of a process of which this one is a fork."""
        self._closed = False
        self._ended = False
        self._closing: list[asyncio.Future[Any]] = []
        with _registry:
            _writers.add(self)

    def submit(self, operation: Callable[[Transaction], T]) -> "asyncio.Future[T]":
        """Queue an operation; its future ends once its transaction is safe on the disk.

        Raises:
            StoreError: the store is closed, or no thread can be started.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        with self._lock:
            if self._closed:
                raise CLOSED.error_for(self._file.path)
            if self._thread is None:
                self._thread = self._started()
            self._jobs.append((operation, future))
        if self._caller is not loop:
            self._caller = loop
            loop.call_soon(self._call, loop, 0, _MOST_TURNS)
        return future

    def _call(self, loop: asyncio.AbstractEventLoop, seen: int, turns: int) -> None:
        """Wake the thread, once a turn of the loop brings nothing more."""
        waiting = len(self._jobs)
        if seen < waiting < BATCH and turns and self._caller is loop:
            loop.call_soon(self._call, loop, waiting, turns - 1)
            return
        self._caller = None
        self._calls.put(True)

    def _started(self) -> Thread:
        thread = Thread(target=self._serve, name="frame-async-sqlite", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            fault = FileFault(f"has no thread to write it: {error}", "end other threads")
            raise fault.error_for(self._file.path) from None
        return thread

    async def aclose(self) -> None:
        """Finish what is queued, then let go of file and thread."""
        with self._lock:
            first, self._closed = not self._closed, True
            if self._thread is None or self._ended:
                return
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._closing.append(future)
            if first:
                self._calls.put(False)
        await future
        self._thread.join()

    def abandon(self) -> None:
        """Nobody can use it any more: the thread ends when the queue is empty."""
        self._calls.put(False)

    def _serve(self) -> None:
        while self._serve_batch():
            pass
        with self._transaction:
            self._file.close()
        with self._lock:
            self._ended = True
            _deliver([(future, None) for future in self._closing])

    def _serve_batch(self) -> bool:
        """Work off what is queued, in one transaction; False when that was the last."""
        jobs = self._batch()
        if jobs:
            answers = self._answers([operation for operation, _ in jobs])
            _deliver([(future, answer) for (_, future), answer in zip(jobs, answers, strict=True)])
        return self._going or bool(self._jobs)

    def _batch(self) -> list[_Job]:
        """What is queued, once the thread was called."""
        if self._going:
            self._going &= self._calls.get()
        with suppress(Empty):
            while True:
                self._going &= self._calls.get_nowait()
        jobs = [self._jobs.popleft() for _ in range(min(BATCH, len(self._jobs)))]
        if self._jobs:
            self._calls.put(True)
        return jobs

    def _answers(self, operations: list[Callable[[Transaction], object]]) -> list[object]:
        try:
            with self._transaction, self._file.transaction() as rows:
                return perform(operations, rows)
        except FaultError as error:
            fault = error.fault
        except Exception as error:  # noqa: BLE001  # the thread must outlive whatever it is
            fault = FileFault(f"failed: {error!r}", "report this")
        return [fault.error_for(self._file.path) for _ in operations]

    def before_fork(self) -> None:
        """Let the transaction end, and begin no other."""
        self._transaction.acquire()
        self._file.close()

    def after_fork(self, *, inherited: bool) -> None:
        """Go on, in the parent; in the child nobody does."""
        self.inherited = inherited
        self._transaction.release()


def _deliver(answers: Answers) -> None:
    """Hand the answers over, each on the loop of who waits for it."""
    loops: dict[asyncio.AbstractEventLoop, Answers] = {}
    for future, answer in answers:
        loops.setdefault(future.get_loop(), []).append((future, answer))
    for loop, theirs in loops.items():
        # A loop that was closed meanwhile has nobody who waits.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_resolve, theirs)


def _resolve(answers: Answers) -> None:
    for future, answer in answers:
        if future.done():
            continue
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)


_registry: Final = Lock()
_writers: Final[WeakSet[Writer]] = WeakSet()
_forking: Final[list[Writer]] = []


def _before_fork() -> None:
    _registry.acquire()
    _forking.extend(_writers)
    for writer in _forking:
        writer.before_fork()


def _after_fork(*, inherited: bool) -> None:
    while _forking:
        _forking.pop().after_fork(inherited=inherited)
    _registry.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=partial(_after_fork, inherited=False),
        after_in_child=partial(_after_fork, inherited=True),
    )
