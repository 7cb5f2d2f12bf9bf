"""The file: made for its owner only, checked on opening, one transaction at a time.

A process that has the file for itself writes ahead to a log, which takes one sync for each
transaction. Several use SQLite's rollback journal before 3.51.3: two connections can damage
the log (https://sqlite.org/wal.html, the WAL-reset bug), one can't.

When a transaction is committed, the header of that journal is overwritten with zeros; it
isn't deleted. With ``synchronous=FULL`` SQLite syncs the one and not the other, and a journal
that a power failure brings back undoes the last commit. Deleting with ``EXTRA`` is as safe
(https://sqlite.org/pragma.html#pragma_synchronous), but two to three times slower;
truncating is as safe, too, but the journal then has to grow again (2.0 ms instead of 1.5
for 32 rows on ext4).
"""

import os
import sqlite3
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import uniform
from stat import S_ISDIR, S_ISREG
from time import monotonic, sleep
from typing import Final

from attrs import evolve

from frame_async.stores._processes import this_process
from frame_async.stores._sqlite_faults import (
    DAMAGED,
    FOLDER,
    FOREIGN,
    LINKED,
    REPLACED,
    SPECIAL,
    UNSUITABLE,
    FaultError,
    FileFault,
    fault_of,
    fault_of_system,
)
from frame_async.stores._sqlite_rows import SCHEMA, Transaction, end_claims, forget_claims
from frame_async.stores._sqlite_time import FileTime, Witness, boot_id

APPLICATION_ID: Final = 0x46726D53
"""Marks the file as ours: ``FrmS``."""

FORMAT: Final = 3
"""Version of the tables, in ``user_version``."""

PATIENCE: Final = 5.0
"""Seconds to wait for another process's transaction."""

_LARGEST_JOURNAL: Final = 4_000_000
"""Bytes that a journal keeps on the disk between transactions."""

_BETWEEN_CHECKPOINTS: Final = 100
"""Transactions after which a file that one process has for itself is written from its log. In
between it doesn't change, so that whatever somebody else does to it is seen."""

_SAFE_WAL: Final = (3, 51, 3)

_NEW_FILE: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL


class StoreFile:
    """The file of one process's store, opened when it is first needed."""

    def __init__(
        self, path: Path, clock: Callable[[], float], witness: Witness, *, sole: bool = False
    ) -> None:
        self.path = path
        self._witness = witness
        self._sole = sole
        self._clock = clock
        self._boot = boot_id()
        self._process = this_process()
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, ...] = ()
        self._opened = False
        self._lost = False

    @contextmanager
    def transaction(self) -> Generator[Transaction]:
        """One transaction: when the block is left, what it wrote is safe on the disk.

        Raises:
            FaultError: it isn't; it may still have been written.
        """
        try:
            connection = self._open()
            with _immediate(connection):
                time = FileTime.read(connection)
                now = time.now(self._boot, self._clock())
                if lost := self._witness.misses(time):
                    time = evolve(time, doubtful_until=now + self._witness.keep)
                    time.write(connection)
                else:
                    doubtful = now < time.doubtful_until
                    rows = Transaction(connection, now, self._process, doubtful=doubtful)
                    before = connection.total_changes
                    yield rows
                    rows.finish()
                    changed = connection.total_changes != before
                    time = time.advance(connection, now, changed=changed)
            self._witness.note(time)
            due = self._sole and not time.turn % _BETWEEN_CHECKPOINTS
            if due and self._identity == self._identify():
                self._checkpoint(connection)
        except BaseException as error:
            self.close()
            if isinstance(error, sqlite3.Error):
                raise FaultError(fault_of(error)) from None
            if isinstance(error, OSError):
                raise FaultError(fault_of_system(error)) from None
            raise
        if lost:
            raise FaultError(REPLACED)

    def close(self) -> None:
        """Let go of the connection; the next transaction opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def _open(self) -> sqlite3.Connection:
        if self._connection is not None:
            if self._identity == self._identify():
                return self._connection
            self.close()
            self._lost = self._sole  # for good: what SQLite wrote on closing may look like it
        if self._lost:
            raise FaultError(REPLACED)
        _make(self.path)
        # Only ever open what is there: SQLite would make a file that others can read.
        connection = sqlite3.connect(
            f"{self.path.as_uri()}?mode=rw",
            uri=True,
            timeout=0.0 if self._sole else PATIENCE,
            isolation_level=None,
            check_same_thread=False,
        )
        self._connection = connection
        self._identity = self._identify()
        if self._sole:
            _keep_others_out(connection)
        _settle(connection, sole=self._sole)
        # From here on `_patiently` waits: SQLite's own waiting sleeps for up to 0.1 s
        # between two looks, and can starve while another process is busy.
        connection.execute("PRAGMA busy_timeout = 1")
        with _immediate(connection):
            self._begin(connection)
        if self._sole:
            connection.execute("PRAGMA wal_autocheckpoint = 0")
            self._checkpoint(connection)
        self._opened = True
        return connection

    def _checkpoint(self, connection: sqlite3.Connection) -> None:
        """Write the file from its log, and see how that leaves it."""
        connection.execute("PRAGMA wal_checkpoint").fetchall()
        self._identity = (*self._identity[:2], *self._identify()[2:])

    def _identify(self) -> tuple[int, ...]:
        """Which file it is; where nobody else may write it, also as it was left."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return ()
        which = (status.st_dev, status.st_ino)
        if not self._sole:
            return which
        log = 0
        with suppress(OSError):
            log = Path(f"{self.path}-wal").stat().st_ino
        return (*which, status.st_size, status.st_mtime_ns, log)

    def _begin(self, connection: sqlite3.Connection) -> None:
        """Make the tables of a new file; end what a reboot ended. Always writes once."""
        clock = self._clock()
        if _is_new(connection):
            _create(connection)
            FileTime.new(self._boot, clock).write(connection)
            return
        time = FileTime.read(connection)
        if not self._opened:
            if rebooted := time.rebooted(self._boot, clock):
                time = time.after_reboot(self._boot, clock)
            now = time.now(self._boot, clock)
            forget_claims(connection, now)
            if rebooted or self._sole:
                end_claims(connection, now, rebooted=rebooted)
        time.write(connection)


@contextmanager
def _immediate(connection: sqlite3.Connection) -> Generator[None]:
    _patiently(connection, "BEGIN IMMEDIATE")
    try:
        yield
        _patiently(connection, "COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def _patiently(connection: sqlite3.Connection, statement: str) -> None:
    """Execute it, again and again while another process is busy, but not for ever."""
    deadline = monotonic() + PATIENCE
    while True:
        try:
            connection.execute(statement)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or monotonic() > deadline:
                raise
            sleep(uniform(0.0, 0.002))  # noqa: S311  # no secret, only not in step
        else:
            return


def _make(path: Path) -> None:
    """Make the file for its owner only, or see that what is there can be a store.

    An existing file is looked at but never opened here: closing it would drop the
    locks that this process has on it through SQLite (https://sqlite.org/howtocorrupt.html).
    """
    try:
        os.close(os.open(path, _NEW_FILE, 0o600))
    except FileExistsError:
        status = path.stat()
        if S_ISDIR(status.st_mode):
            raise FaultError(FOLDER) from None
        if not S_ISREG(status.st_mode):
            raise FaultError(SPECIAL) from None
        if status.st_nlink > 1:
            raise FaultError(LINKED) from None
        if status.st_size == 0:
            path.chmod(0o600)


def _settle(connection: sqlite3.Connection, *, sole: bool) -> None:
    """Refuse what isn't ours before changing anything, then say how to write."""
    connection.execute("PRAGMA cell_size_check = ON")
    connection.execute("PRAGMA trusted_schema = OFF")
    # In one transaction: between two looks another process may make the tables.
    _patiently(connection, "BEGIN")
    new = _is_new(connection)
    connection.execute("COMMIT")
    if new:
        # Only takes effect before there are tables.
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    elif connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
        raise FaultError(DAMAGED)
    mode = "wal" if sole or sqlite3.sqlite_version_info >= _SAFE_WAL else "persist"
    if connection.execute(f"PRAGMA journal_mode = {mode}").fetchone() != (mode,):
        raise FaultError(UNSUITABLE)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA journal_size_limit = {_LARGEST_JOURNAL}")


def _keep_others_out(connection: sqlite3.Connection) -> None:
    """Take the file's lock and keep it (https://sqlite.org/pragma.html#pragma_locking_mode)."""
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("BEGIN EXCLUSIVE")
    connection.execute("COMMIT")


def _is_new(connection: sqlite3.Connection) -> bool:
    """Whether it has no tables yet.

    Raises:
        FaultError: it belongs to something else, or to another version of us.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (things,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if (application, version, things) == (0, 0, 0):
        return True
    if application != APPLICATION_ID:
        raise FaultError(FOREIGN)
    if version != FORMAT:
        raise FaultError(
            FileFault(
                f"has format {version}, not {FORMAT}", "use the version of frame_async it is of"
            )
        )
    return False


def _create(connection: sqlite3.Connection) -> None:
    for statement in SCHEMA.split(";"):
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {FORMAT}")
