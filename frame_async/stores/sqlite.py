"""The store of one host: its processes share a file, which outlives them all.

What a method's return says is on the disk by then (fsync), so it survives the end of the
process and of the power. The file is for its owner only (mode 0600), and holds keys,
fingerprints, sessions, tokens and times: no request and no secret.
"""

import os
import sqlite3
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import TypeVar
from weakref import finalize

from frame_async.errors import ConfigurationError
from frame_async.protocol.window import Lane
from frame_async.stores._keys import Change, State
from frame_async.stores._sqlite_batches import Claiming, Completing
from frame_async.stores._sqlite_faults import CLOSED
from frame_async.stores._sqlite_file import StoreFile
from frame_async.stores._sqlite_rows import Transaction
from frame_async.stores._sqlite_time import Witness, host_clock
from frame_async.stores._sqlite_writer import Writer
from frame_async.stores.interface import Claim, Window

T = TypeVar("T")


class SQLiteStore:
    """Remembers in a file that the processes of one host share.

    Args:
        path: The file; made when first needed, in a folder that exists, on a disk of this
            host (not a network share). ``~`` isn't expanded; links are followed.
        now: Seconds on a clock that never goes back; for tests. Without it, a clock that
            all processes of the host share, which runs on while the host is suspended
            and doesn't follow its wall clock.
        sole: Whether one process has the file for itself as long as it uses it. Another that
            tries is told so at once. Claims that are found on opening are of a process that
            died, and are in doubt without waiting for their leases.

    It can be used from many tasks, threads and event loops at once, and after a fork. Many
    calls at once share one transaction, so they cost hardly more than one alone.

    An operation whose caller is cancelled is carried out all the same.

    If the file is deleted, emptied, replaced or restored from an older copy while a process
    uses it, the next operation raises. From then on every key that the file doesn't know
    is in doubt, in every process, for 25 hours or the longest time that this process
    asked to have anything kept. With ``sole``, the size and the time of change count as well, and
    every later operation of this process raises.

    After a reboot of the host, whatever was claimed is in doubt, and every slot of a window
    is free one period later. The time that a host is off doesn't count: what is kept is
    kept longer, never shorter.

    Raises:
        ConfigurationError: the path is empty, or has a NUL character, or ``:memory:``.
        StoreError: from every method: the file can't be used; the message says why, and how
            to fix it. The next call tries again.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        now: Callable[[], float] | None = None,
        *,
        sole: bool = False,
    ) -> None:
        self._path = _resolved(os.fspath(path))
        self._now = now or host_clock()
        self._sole = sole
        self._witness = Witness()
        self._closed = False
        self._writers: dict[int, Writer] = {}
        """By process: after a fork, the parent's is of no use to the child."""
        self._latest: Writer | None = None

    @property
    def shared(self) -> bool:
        """True: other processes of the host may use the same file."""
        return True

    async def claim(self, key: str, fingerprint: str, lease: float) -> Claim:
        """See `Store.claim`."""
        return await self._writer().submit(Claiming(key, fingerprint, lease))

    async def renew(self, key: str, token: str, lease: float, doubts: int) -> bool:
        """See `Store.renew`."""
        change = Change(state=State.CLAIMED, seconds=lease, doubts=doubts)
        return await self._run(lambda rows: rows.change(key, token, change))

    async def complete(self, key: str, token: str, body: bytes, keep: float) -> bool:
        """See `Store.complete`."""
        self._witness.keep = max(self._witness.keep, keep)
        return await self._writer().submit(Completing(key, token, body, keep))

    async def doubt(self, key: str, token: str, doubts: int, keep: float) -> bool:
        """See `Store.doubt`."""
        self._witness.keep = max(self._witness.keep, keep)
        change = Change(state=State.DOUBT, seconds=keep, doubts=doubts)
        return await self._run(lambda rows: rows.change(key, token, change))

    async def release(self, key: str, token: str) -> bool:
        """See `Store.release`."""
        return await self._run(lambda rows: rows.release(key, token))

    async def enter(
        self, window: Window, token: str, lane: Lane, hold: float, *, pace: bool = False
    ) -> float:
        """See `Store.enter`."""
        return await self._run(lambda rows: rows.enter(window, token, lane, hold, pace=pace))

    async def opens_in(
        self, window: Window, lane: Lane, ahead: int, *, pace: bool = False
    ) -> float:
        """See `Store.opens_in`."""
        return await self._run(lambda rows: rows.opens_in(window, lane, ahead, pace=pace))

    async def force(self, window: Window, token: str, lane: Lane, hold: float) -> bool:
        """See `Store.force`."""
        return await self._run(lambda rows: rows.force(window, token, lane, hold))

    async def leave(self, window: Window, token: str, *, sent: bool) -> None:
        """See `Store.leave`."""
        await self._run(lambda rows: rows.leave(window, token, sent=sent))

    async def refuse(self, window: Window, token: str, pause: float) -> None:
        """See `Store.refuse`."""
        await self._run(lambda rows: rows.refuse(window, token, pause))

    async def transact(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        """Run an operation of your own, on tables of your own, in a transaction of the file.

        It runs on the thread that writes, together with others, and must leave
        transactions and the tables of the store alone. When this returns, it is on the disk.

        Raises:
            StoreError: the file can't be used.
        """
        return await self._run(lambda rows: rows.apart(operation))

    async def aclose(self) -> None:
        """Finish what was asked for, then let go of the file; again does nothing.

        Whoever else waits for the store still gets an answer; later calls raise.
        """
        self._closed = True
        writer = self._writers.get(os.getpid())
        if writer is not None:
            await writer.aclose()

    async def _run(self, operation: Callable[[Transaction], T]) -> T:
        return await self._writer().submit(operation)

    def _writer(self) -> Writer:
        if self._closed:
            raise CLOSED.error_for(self._path)
        writer = self._latest
        if writer is None or writer.inherited:
            # Two threads may come by at once: the one that is first stays.
            file = StoreFile(self._path, self._now, self._witness, sole=self._sole)
            writer = self._latest = self._writers.setdefault(os.getpid(), Writer(file))
            finalize(self, writer.abandon).atexit = False
        return writer


def _resolved(path: str) -> Path:
    if not path or "\x00" in path or path == ":memory:":
        raise ConfigurationError(
            "SQLiteStore needs the path of a file (to remember within this process only, "
            "use MemoryStore)"
        )
    return Path(os.path.realpath(path))
