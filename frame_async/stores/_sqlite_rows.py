"""What is in the file, inside one transaction: keys and windows.

Every method looks and decides first and writes once, so one that raises has written
nothing, and the others in the same transaction stand.
"""

import math
import sqlite3
from collections.abc import Callable, Sequence
from functools import cache
from typing import Final, TypeGuard, TypeVar

from attrs import define, evolve, field

from frame_async.protocol.window import Lane
from frame_async.stores import _keys
from frame_async.stores._keys import LAPSED_KEEP, Change, KeyRecord, State
from frame_async.stores._processes import is_dead
from frame_async.stores._sqlite_faults import DAMAGED, FaultError
from frame_async.stores._sqlite_windows import FileWindow, blob, load_window
from frame_async.stores.interface import Claim, Claimed, Window

T = TypeVar("T")

SCHEMA: Final = """
CREATE TABLE time (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    boot TEXT NOT NULL,
    ahead REAL NOT NULL,
    last REAL NOT NULL,
    name TEXT NOT NULL,
    turn INTEGER NOT NULL,
    doubtful_until REAL NOT NULL
);
CREATE TABLE keys (
    key BLOB PRIMARY KEY NOT NULL,
    fingerprint TEXT NOT NULL,
    state TEXT NOT NULL,
    token TEXT NOT NULL,
    until REAL NOT NULL,
    doubts INTEGER NOT NULL,
    body BLOB NOT NULL,
    process TEXT NOT NULL
);
CREATE INDEX keys_until ON keys (until) WHERE state <> 'claimed';
CREATE TABLE windows (
    id INTEGER PRIMARY KEY,
    name BLOB NOT NULL UNIQUE,
    until REAL NOT NULL,
    requests INTEGER NOT NULL,
    per REAL NOT NULL,
    used INTEGER NOT NULL,
    known INTEGER NOT NULL,
    probe_at REAL NOT NULL,
    paused_until REAL NOT NULL,
    paced_to REAL NOT NULL,
    payers_until REAL NOT NULL
);
CREATE TABLE slots (
    window INTEGER NOT NULL,
    token BLOB NOT NULL,
    frees_at REAL NOT NULL,
    held INTEGER NOT NULL,
    probe INTEGER NOT NULL,
    refused INTEGER NOT NULL,
    PRIMARY KEY (window, token)
) WITHOUT ROWID;
CREATE INDEX slots_frees_at ON slots (window, frees_at);
CREATE INDEX slots_held ON slots (window) WHERE held
"""

_PORTION: Final = 16
_FREE_PAGES: Final = 1_000


@define(eq=False)
class Transaction:
    """One transaction on the file, at one moment of its time."""

    _connection: sqlite3.Connection
    _now: float
    _process: str = field(alias="process")
    """What this process is known by."""
    _doubtful: bool = field(default=False, alias="doubtful")
    """Whether keys that the file doesn't know may have been known to one before it."""
    _windows: dict[str, FileWindow] = field(init=False, factory=dict[str, FileWindow])
    _changes: int = field(init=False, default=0)

    def claim(self, key: str, fingerprint: str, lease: float, token: str) -> Claim:
        """See `Store.claim`; with that token it may have been claimed before."""
        found = self._find(key)
        if found is not None and found.token == token:
            return Claimed(token)
        if self._doubtful and (found is None or found.expired(self._now)):
            found = KeyRecord(fingerprint, State.DOUBT, "", math.inf, 1)
        if self._is_orphaned(found):
            found = evolve(found, until=self._now)
        answer, record = _keys.claim(found, key, fingerprint, token, self._now, lease)
        if record is not None:
            self._write(key, record)
        return answer

    def _is_orphaned(self, found: KeyRecord | None) -> TypeGuard[KeyRecord]:
        """Whether a claim's process died, so that its lease needn't be waited for."""
        if found is None or found.state is not State.CLAIMED or found.until <= self._now:
            return False
        return is_dead(found.process, self._process)

    def claim_all(self, claims: Sequence[tuple[str, str, str, float]]) -> bool:
        """Claim keys that nobody knows; False if one was known, and then some may be claimed.

        Each is a key, a fingerprint, a token and the seconds of a lease.
        """
        if self._doubtful:
            return False
        values: list[object] = []
        for key, fingerprint, token, lease in claims:
            values += (blob(key), fingerprint, token, self._now + lease, self._process)
        self._changes += len(claims)
        return self._connection.execute(_claiming(len(claims)), values).rowcount == len(claims)

    def complete_all(self, ends: Sequence[tuple[str, str, bytes, float]]) -> bool:
        """Complete claims; False if one wasn't held, and then some may be completed.

        Each is a key, a token, a body and the seconds to keep it.
        """
        values: list[object] = []
        for key, token, body, keep in ends:
            values += (blob(key), token, body, self._now + keep)
        self._changes += len(ends)
        return self._connection.execute(_completing(len(ends)), values).rowcount == len(ends)

    def change(self, key: str, token: str, change: Change) -> bool:
        """Write what became of a claim; False when it was lost."""
        good, record = _keys.change(self._find(key), token, change, self._now)
        if record is not None:
            self._write(key, record)
        return good

    def release(self, key: str, token: str) -> bool:
        """See `Store.release`."""
        if _keys.owned(self._find(key), token) is None:
            return False
        self._changes += 1
        self._connection.execute("DELETE FROM keys WHERE key = ?", (blob(key),))
        return True

    def apart(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        """Run what isn't of the store in the same transaction."""
        return operation(self._connection)

    def _find(self, key: str) -> KeyRecord | None:
        row = self._connection.execute(
            "SELECT fingerprint, state, token, until, doubts, body, process FROM keys"
            " WHERE key = ?",
            (blob(key),),
        ).fetchone()
        return None if row is None else _record(*row)

    def _write(self, key: str, record: KeyRecord) -> None:
        self._changes += 1
        self._connection.execute(
            "INSERT INTO keys (key, fingerprint, state, token, until, doubts, body, process)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET"
            " fingerprint = excluded.fingerprint, state = excluded.state,"
            " token = excluded.token, until = excluded.until, doubts = excluded.doubts,"
            " body = excluded.body, process = excluded.process",
            (
                blob(key),
                record.fingerprint,
                record.state.value,
                record.token,
                record.until,
                record.doubts,
                record.body,
                self._process,
            ),
        )

    def enter(self, window: Window, token: str, lane: Lane, hold: float, *, pace: bool) -> float:
        """See `Store.enter`."""
        return self._window(window).enter(token, lane, self._now, hold, pace=pace)

    def opens_in(self, window: Window, lane: Lane, ahead: int, *, pace: bool) -> float:
        """See `Store.opens_in`."""
        return self._window(window).opens_in(lane, ahead, self._now, pace=pace)

    def force(self, window: Window, token: str, lane: Lane, hold: float) -> bool:
        """See `Store.force`."""
        return self._window(window).force(token, lane, self._now, hold)

    def leave(self, window: Window, token: str, *, sent: bool) -> None:
        """See `Store.leave`."""
        self._window(window).leave(token, self._now, sent=sent)

    def refuse(self, window: Window, token: str, pause: float) -> None:
        """See `Store.refuse`."""
        self._window(window).refuse(token, self._now, pause)

    def _window(self, window: Window) -> FileWindow:
        rolling = self._windows.get(window.name)
        if rolling is None:
            rolling = load_window(self._connection, window, self._now)
            self._windows[window.name] = rolling
        rolling.resize(window.limit)
        return rolling

    def finish(self) -> None:
        """Write the windows that were used, and forget a portion of what has expired."""
        for rolling in self._windows.values():
            rolling.write(self._now)
        if self._changes:
            self._forget(_PORTION + 2 * self._changes)

    def _forget(self, most: int) -> None:
        # Claims are left to `forget_claims`: few lapse, and each would be in the index and out.
        self._connection.execute(
            "DELETE FROM keys WHERE rowid IN (SELECT rowid FROM keys"
            " WHERE state <> 'claimed' AND until <= ? LIMIT ?)",
            (self._now, most),
        )
        self._connection.execute(
            "DELETE FROM slots WHERE window IN (SELECT id FROM windows WHERE until <= ?)",
            (self._now,),
        )
        self._connection.execute("DELETE FROM windows WHERE until <= ?", (self._now,))
        if self._connection.execute("PRAGMA freelist_count").fetchone()[0] > _FREE_PAGES:
            for _ in range(_PORTION):
                # Whatever number it is given, Python's driver stops it after one page.
                self._connection.execute("PRAGMA incremental_vacuum(1)")


def end_claims(connection: sqlite3.Connection, now: float, *, rebooted: bool) -> None:
    """Whoever held a claim or a slot is gone, because the host was booted for instance.

    Claims turn into doubt. A slot that was held counts as answered just now: nothing of
    its request can be under way, but when it arrived isn't known. After a reboot that is
    so for every slot, because the time that went by isn't known.
    """
    connection.execute(
        "UPDATE keys SET until = ? WHERE state = ? AND until > ?", (now, State.CLAIMED.value, now)
    )
    ended = "1" if rebooted else "held"
    connection.execute(
        "UPDATE slots SET held = 0, probe = 0,"  # noqa: S608  # one of two words of ours
        f" frees_at = ? + (SELECT per FROM windows WHERE id = window) WHERE {ended}",
        (now,),
    )


def forget_claims(connection: sqlite3.Connection, now: float) -> None:
    """Forget claims that lapsed so long ago that nothing of them is left to be in doubt about."""
    connection.execute(
        "DELETE FROM keys WHERE state = 'claimed' AND until <= ?", (now - LAPSED_KEEP,)
    )


_CLAIMED: Final = f"(?, ?, '{State.CLAIMED.value}', ?, ?, 1, x'', ?)"


@cache
def _claiming(count: int) -> str:
    """As few statements as there are texts: SQLite keeps each prepared."""
    return (
        "INSERT INTO keys (key, fingerprint, state, token, until, doubts, body, process)"  # noqa: S608
        f" VALUES {', '.join([_CLAIMED] * count)} ON CONFLICT (key) DO NOTHING"
    )


@cache
def _completing(count: int) -> str:
    return (
        f"UPDATE keys SET state = '{State.DONE.value}', doubts = 0, body = given.column3,"  # noqa: S608
        f" until = given.column4 FROM (VALUES {', '.join(['(?, ?, ?, ?)'] * count)}) AS given"
        " WHERE keys.key = given.column1 AND keys.token = given.column2"
        f" AND keys.state = '{State.CLAIMED.value}'"
    )


def _record(
    fingerprint: str,
    state: str,
    token: str,
    until: float,
    doubts: int,
    body: bytes,
    process: str,
) -> KeyRecord:
    try:
        known = State(state)
    except ValueError:
        raise FaultError(DAMAGED) from None
    return KeyRecord(
        fingerprint=fingerprint,
        state=known,
        token=token,
        until=until,
        doubts=doubts,
        body=body,
        process=process,
    )
