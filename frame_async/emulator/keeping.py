"""Keeps an emulator's books in its state file while it runs, and when it ends."""

import asyncio
import logging
import time
from contextlib import suppress
from os import PathLike
from pathlib import Path

from attrs import define, field

from .books import Books
from .locks import StateLock
from .state import load_state, save_state

_LOGGER = logging.getLogger("frame_async.emulator")
_EVERY = 5.0
_SHARE = 20  # at most a twentieth of the time goes into saving


@define(eq=False)
class Keeper:
    """Loads the books once, and saves them whenever something happened."""

    state: str | PathLike[str]
    """The state file."""
    books: Books
    """What it keeps."""
    every: float = _EVERY
    """Seconds between looking whether something happened. What happened since is lost
    when the process is killed."""
    _lock: StateLock = field(init=False, factory=StateLock)
    _loaded: bool = field(init=False, default=False)
    _saved: tuple[int, int, float] | None = field(init=False, default=None)
    _task: asyncio.Task[None] | None = field(init=False, default=None)

    @property
    def path(self) -> Path:
        """Where the state file is."""
        return Path(self.state)

    async def begin(self) -> None:
        """Load what there is, the first time, and begin to save.

        Raises:
            StateError: The file can't be used, or another emulator uses it.
            OSError: It can't be read, or its folder not be written to.
        """
        self._lock.take(self.path)
        try:
            await self._load()
        except BaseException:
            self._lock.give_back()
            raise
        self._task = asyncio.create_task(self._keep())

    async def _load(self) -> None:
        if self._loaded:
            return
        if await asyncio.to_thread(load_state, self.path, self.books.load):
            self._saved = self._mark()
        else:
            await self._save()  # so that a path that can't be is known now
        self._loaded = True

    async def end(self) -> None:
        """Save for the last time.

        Raises:
            OSError: It can't be written.
        """
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        try:
            await self._save()  # bank payments end without a request that would tell
        finally:
            self._lock.give_back()

    async def _keep(self) -> None:
        took = 0.0
        while True:
            await asyncio.sleep(max(self.every, took * _SHARE))
            if self._mark() == self._saved:
                continue
            begun = time.monotonic()
            try:
                await self._save()
            except OSError as error:
                _LOGGER.warning("the state file %s was not written: %s", self.path, error.strerror)
            took = time.monotonic() - begun

    async def _save(self) -> None:
        mark = self._mark()
        values = self.books.dump()
        saving = asyncio.ensure_future(asyncio.to_thread(save_state, self.path, values))
        try:
            await asyncio.shield(saving)
        except asyncio.CancelledError:
            await saving  # two writers at a time would be one too many
            raise
        self._saved = mark

    def _mark(self) -> tuple[int, int, float]:
        """Return what changes with everything that happens."""
        books = self.books
        return books.ledger.count, books.sessions.count, books.clock.offset
