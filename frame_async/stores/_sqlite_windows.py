"""A rate window in the file: a row with what is known of it as a whole, and one for each slot.

However many slots there are, entering and leaving touch a few rows.
"""

import sqlite3
from typing import Any, Final

from attrs import define, field

from frame_async.errors import ConfigurationError
from frame_async.protocol.window import RateLimit, SlotState, WindowRules
from frame_async.stores._sqlite_faults import DAMAGED, FaultError
from frame_async.stores.interface import Window

WINDOW_KEEP: Final = 7 * 86_400.0
"""Seconds that a window is remembered after it was last used."""


@define(eq=False)
class SlotRows:
    """The slots of one window, of which only those that are asked for are read."""

    _connection: sqlite3.Connection
    _window: int
    """Its number in the file."""
    _used: int
    """How many there are."""

    def __len__(self) -> int:
        return self._used

    def get(self, token: str) -> SlotState | None:
        """The slot that a request has, or had until its answer came."""
        row = self._one(
            "SELECT frees_at, held, probe, refused FROM slots WHERE window = ? AND token = ?",
            blob(token),
        )
        if row is None:
            return None
        if type(row[0]) is not float or not set(row[1:]) <= {0, 1}:
            raise FaultError(DAMAGED)
        return SlotState(row[0], *map(bool, row[1:]))

    def __setitem__(self, token: str, slot: SlotState) -> None:
        values = (slot.frees_at, slot.held, slot.probe, slot.refused, self._window, blob(token))
        changed = self._connection.execute(
            "UPDATE slots SET frees_at = ?, held = ?, probe = ?, refused = ?"
            " WHERE window = ? AND token = ?",
            values,
        )
        if not changed.rowcount:
            self._used += 1
            self._connection.execute(
                "INSERT INTO slots (frees_at, held, probe, refused, window, token)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                values,
            )

    def __delitem__(self, token: str) -> None:
        self._delete("token = ?", blob(token))

    def forget(self, now: float) -> None:
        """Those that are free by then are gone."""
        self._delete("frees_at <= ?", now)

    def frees_at(self, nth: int) -> float:
        """When slot number `nth` is free, counted from the one that is first."""
        row = self._one(
            "SELECT frees_at FROM slots WHERE window = ? ORDER BY frees_at LIMIT 1 OFFSET ?", nth
        )
        if row is None or type(row[0]) is not float:
            raise FaultError(DAMAGED)  # there are fewer than were counted
        return row[0]

    def count(self, which: str) -> int:
        """How many there are of some kind."""
        row = self._one(f"SELECT count(*) FROM slots WHERE window = ? AND {which}")  # noqa: S608
        return 0 if row is None else int(row[0])

    def _one(self, statement: str, *values: object) -> tuple[Any, ...] | None:
        row: tuple[Any, ...] | None = self._connection.execute(
            statement, (self._window, *values)
        ).fetchone()
        return row

    def _delete(self, which: str, value: object) -> None:
        self._used -= self._connection.execute(
            f"DELETE FROM slots WHERE window = ? AND {which}",  # noqa: S608  # words of ours
            (self._window, value),
        ).rowcount


@define(eq=False)
class FileWindow(WindowRules[SlotRows]):
    """One window, inside one transaction, and so at one moment."""

    _connection: sqlite3.Connection = field(kw_only=True, alias="connection")
    _id: int = field(kw_only=True, alias="id")
    _loaded: tuple[Any, ...] = field(init=False, default=())

    def write(self, now: float) -> None:
        """Write what has changed of it as a whole."""
        if self._values() != self._loaded:
            self._connection.execute(
                "UPDATE windows SET requests = ?, per = ?, used = ?, known = ?, probe_at = ?,"
                " paused_until = ?, paced_to = ?, payers_until = ?, until = ? WHERE id = ?",
                (*self._values(), now + WINDOW_KEEP, self._id),
            )

    def _values(self) -> tuple[Any, ...]:
        limit, learned = self.limit, (self.known, self.probe_at, self.paused_until)
        pace = (self.paced_to, self.payers_until)
        return (limit.requests, float(limit.per), len(self.slots), *learned, *pace)

    def note_loaded(self) -> "FileWindow":
        """It is in the file as it is now."""
        self._loaded = self._values()
        return self

    def _forget(self, now: float) -> None:
        """Nothing: time doesn't go on within a transaction."""

    def _frees_at(self, nth: int) -> float:
        return self.slots.frees_at(nth)

    def _got(self) -> int:
        return self.slots.count("NOT held AND NOT refused")

    def _refused_lately(self) -> bool:
        return bool(self.slots.count("refused"))

    def _probing(self) -> bool:
        return bool(self.slots.count("held AND probe"))

    def _under_way(self) -> bool:
        return bool(self.slots.count("held"))


_TYPES: Final = (int, int, float, int, int, float, float, float, float)


def load_window(connection: sqlite3.Connection, window: Window, now: float) -> FileWindow:
    """The window as it is in the file, without the slots that are free by now.

    Raises:
        FaultError: it can't be read.
    """
    name = blob(window.name)
    row = connection.execute(
        "SELECT id, requests, per, used, known, probe_at, paused_until, paced_to, payers_until"
        " FROM windows WHERE name = ?",
        (name,),
    ).fetchone()
    if row is None:
        asked = (window.limit.requests, float(window.limit.per))
        added = connection.execute(
            "INSERT INTO windows (name, until, requests, per, used, known, probe_at, paused_until,"
            " paced_to, payers_until) VALUES (?, ?, ?, ?, 0, ?, 0.0, 0.0, 0.0, 0.0)",
            (name, now + WINDOW_KEEP, *asked, window.limit.requests),
        )
        row = (added.lastrowid or 0, *asked, 0, window.limit.requests, 0.0, 0.0, 0.0, 0.0)
    if tuple(map(type, row)) != _TYPES:
        raise FaultError(DAMAGED)
    number, requests, per, used, known, *times = row
    try:
        limit = RateLimit(requests, per)
    except ConfigurationError:
        raise FaultError(DAMAGED) from None
    slots = SlotRows(connection, number, used)
    rolling = FileWindow(limit, slots, connection=connection, id=number)
    rolling.known = known
    rolling.probe_at, rolling.paused_until, rolling.paced_to, rolling.payers_until = times
    rolling.note_loaded()
    slots.forget(now)
    return rolling


def blob(text: str) -> bytes:
    """Any text, lone surrogates and NUL included, as bytes that are its own."""
    return text.encode("utf-8", "surrogatepass")
