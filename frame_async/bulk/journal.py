"""From results to the disk: the line first, then the knowledge that it is there."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

from attrs import evolve

from frame_async.bulk.output import Output
from frame_async.bulk.state import Recorded, RunState
from frame_async.errors import StoreError
from frame_async.serialization import dump_json

_PAUSE: Final = 0.1
"""Seconds between two commits: rows that came meanwhile share the next."""


class Journal:
    """Writes lines at once, and remembers them a little later, many at a time.

    When one can't be written, nothing is written any more, and `on_trouble` is called.
    """

    def __init__(self, output: Output, state: RunState, on_trouble: Callable[[str], None]) -> None:
        self._output = output
        self._state = state
        self._on_trouble = on_trouble
        self._pending: list[Recorded] = []
        self._news = asyncio.Event()
        self._given_up = asyncio.Event()
        self._writing: asyncio.Task[None] | None = None
        self._committing = asyncio.Lock()
        self._lost = False
        """Whether a commit has failed: what follows it must not be remembered either."""
        self.broken = False
        """Whether writing has failed."""

    @property
    def at_once(self) -> bool:
        """Whether lines never wait for a reader."""
        return self._output.to_file

    async def ready(self) -> None:
        """Wait until a line can be added, or until nobody waits for that any more."""
        if self.broken or self._given_up.is_set():
            return
        waiting = asyncio.ensure_future(self._output.ready())
        hurrying = asyncio.ensure_future(self._given_up.wait())
        try:
            await asyncio.wait({waiting, hurrying}, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                self._fail("nobody reads the output")
        finally:
            waiting.cancel()
            hurrying.cancel()

    def give_up(self) -> None:
        """Wait for no reader any more."""
        self._given_up.set()

    def add(self, line: Mapping[str, Any], recorded: Recorded) -> bool:
        """Write one line; False when it can't be."""
        if self.broken:
            return False
        try:
            self._output.append(line)
        except OSError as error:
            self._fail(f"the output can't be written: {error.strerror}")
            return False
        self._pending.append(evolve(recorded, text=dump_json(line)))
        self._news.set()
        if self._writing is None:
            self._writing = asyncio.create_task(self._keep_writing())
        return True

    async def aclose(self) -> None:
        """Remember what is left."""
        if self._writing is not None:
            self._writing.cancel()
            with suppress(asyncio.CancelledError):
                await self._writing
        await self._commit()

    async def _keep_writing(self) -> None:
        while not self.broken:
            await self._news.wait()
            self._news.clear()
            await asyncio.sleep(_PAUSE)
            await asyncio.shield(self._commit())

    async def _commit(self) -> None:
        # One after the other: the size that is remembered must never go back.
        async with self._committing:
            rows, size, mark = self._pending, self._output.size, self._output.mark
            self._pending = []
            if not rows or self._lost:
                return
            try:
                await asyncio.to_thread(self._output.sync)
                await self._state.record(rows, size, mark)
            except OSError as error:
                self._lost = True
                self._fail(f"the output can't be written: {error.strerror}")
            except StoreError as error:
                self._lost = True
                self._fail(error.message)

    def _fail(self, why: str) -> None:
        if not self.broken:
            self.broken = True
            self._on_trouble(why)
