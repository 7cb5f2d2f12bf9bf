"""The time of one file: shared by the processes of a host, blind to its wall clock.

The clock is the time since the host was booted, suspension included (``CLOCK_BOOTTIME``;
the monotonic clock where that doesn't exist), the same for all processes of the host and
never set back or forth. It starts anew with each boot, so the file remembers by how much
its own time is ahead of it, and which boot that was (``boot_id``).

After a reboot the file's time goes on from the last moment that was written. How long
the host was off can't be known without trusting a wall clock, so it isn't counted: what
is kept is kept longer, never shorter. Where the host has no boot id (macOS, Windows), a
reboot is seen by the clock being behind. A reboot that isn't seen so does no harm: then
the host has been up for longer than the clock said before, so whatever is forgotten by
it is old enough, and dead processes' leases run out instead of being ended.

The same row says which file it is, by a random name, and counts the transactions that
changed it. A process that has seen a later one, or another file, knows that the file has
lost its memory since: it was deleted, emptied, replaced, or restored from an older copy.
"""

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from secrets import token_hex
from typing import Final

from attrs import define, evolve, frozen

from frame_async.stores._sqlite_faults import DAMAGED, OTHER_MACHINE, FaultError

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")

LEAST_DOUBTFUL: Final = 90_000.0
"""Seconds for which keys are in doubt after a file lost its memory, at least: the longest life
of a session (86,400 s, Frame reference, ``expires_in``) and an hour."""

_STEP: Final = 1.0
"""Seconds by which the time that is written may be behind."""


def host_clock() -> Callable[[], float]:
    """Seconds on a clock that all processes of the host share."""
    boottime: int | None = getattr(time, "CLOCK_BOOTTIME", None)
    if boottime is None:
        return time.monotonic
    return lambda: time.clock_gettime(boottime)


def boot_id() -> str:
    """Which boot of the host this is; empty where that isn't known."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


@frozen
class FileTime:
    """What the file says of time."""

    boot: str
    """Id of the boot in which it was last written; empty when unknown."""
    ahead: float
    """Seconds to add to the host's clock."""
    last: float
    """The file's own time when that was last written."""
    name: str
    """Drawn when the file was made: copies have the same."""
    turn: int
    """How many transactions have changed it."""
    doubtful_until: float
    """Until then, keys that it doesn't know may have been known before its memory was lost."""

    @classmethod
    def new(cls, boot: str, clock: float) -> "FileTime":
        """That of a file which is made now."""
        return cls(boot, 0.0, clock, token_hex(8), 0, clock)

    @classmethod
    def read(cls, connection: sqlite3.Connection) -> "FileTime":
        """Read it, inside a transaction."""
        row = connection.execute(
            "SELECT boot, ahead, last, name, turn, doubtful_until FROM time"
        ).fetchone()
        if row is None or tuple(map(type, row)) != (str, float, float, str, int, float):
            raise FaultError(DAMAGED)
        return cls(*row)

    def write(self, connection: sqlite3.Connection) -> None:
        """Write it, inside a transaction."""
        connection.execute(
            "INSERT OR REPLACE INTO time (one, boot, ahead, last, name, turn, doubtful_until)"
            " VALUES (1, ?, ?, ?, ?, ?, ?)",
            (self.boot, self.ahead, self.last, self.name, self.turn, self.doubtful_until),
        )

    def rebooted(self, boot: str, clock: float) -> bool:
        """Whether the host was booted since."""
        if self.boot and boot:
            return self.boot != boot
        return clock + self.ahead < self.last

    def after_reboot(self, boot: str, clock: float) -> "FileTime":
        """The same time, on the clock of another boot."""
        return evolve(self, boot=boot, ahead=self.last - clock)

    def now(self, boot: str, clock: float) -> float:
        """The file's time now, in seconds.

        Raises:
            FaultError: another host writes the file.
        """
        if self.rebooted(boot, clock):
            # No process outlives a boot of its host, so this is another one's.
            raise FaultError(OTHER_MACHINE)
        return max(self.last, clock + self.ahead)

    def advance(self, connection: sqlite3.Connection, now: float, *, changed: bool) -> "FileTime":
        """End a transaction: write the time from time to time, the turn with each change."""
        if not changed and now - self.last <= _STEP:
            return self
        advanced = evolve(self, last=now, turn=self.turn + 1)
        advanced.write(connection)
        return advanced


@define
class Witness:
    """What a process has seen of a file."""

    name: str = ""
    turn: int = 0
    keep: float = LEAST_DOUBTFUL
    """The longest that anything was to be kept, in seconds."""

    def misses(self, time: FileTime) -> bool:
        """Whether the file doesn't know what it knew before."""
        return bool(self.name) and (self.name != time.name or time.turn < self.turn)

    def note(self, time: FileTime) -> None:
        """This is how the file is now."""
        self.name, self.turn = time.name, time.turn
