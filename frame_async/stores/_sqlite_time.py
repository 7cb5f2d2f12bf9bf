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
"""

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from attrs import frozen

from frame_async.stores._sqlite_faults import DAMAGED, OTHER_MACHINE, FaultError

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")

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

    @classmethod
    def read(cls, connection: sqlite3.Connection) -> "FileTime":
        """Read it, inside a transaction."""
        row = connection.execute("SELECT boot, ahead, last FROM time").fetchone()
        if row is None or not isinstance(row[1], float) or not isinstance(row[2], float):
            raise FaultError(DAMAGED)
        return cls(str(row[0]), row[1], row[2])

    def write(self, connection: sqlite3.Connection) -> None:
        """Write it, inside a transaction."""
        connection.execute(
            "INSERT OR REPLACE INTO time (one, boot, ahead, last) VALUES (1, ?, ?, ?)",
            (self.boot, self.ahead, self.last),
        )

    def rebooted(self, boot: str, clock: float) -> bool:
        """Whether the host was booted since."""
        if self.boot and boot:
            return self.boot != boot
        return clock + self.ahead < self.last

    def after_reboot(self, boot: str, clock: float) -> "FileTime":
        """The same time, on the clock of another boot."""
        return FileTime(boot, self.last - clock, self.last)

    def tick(self, connection: sqlite3.Connection, boot: str, clock: float) -> float:
        """The file's time now, in seconds; it is written from time to time.

        Raises:
            FaultError: another host writes the file.
        """
        if self.rebooted(boot, clock):
            # No process outlives a boot of its host, so this is another one's.
            raise FaultError(OTHER_MACHINE)
        now = max(self.last, clock + self.ahead)
        if now - self.last > _STEP:
            FileTime(self.boot, self.ahead, now).write(connection)
        return now
