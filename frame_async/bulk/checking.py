"""The whole input, checked before the first request."""

import sqlite3
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

from attrs import define, evolve, field

from frame_async.bulk.rows import Row
from frame_async.bulk.state import identity, words
from frame_async.errors import Problem

_NOTICE: Final = 1_000
_BITS: Final = 1 << 63
_TABLES: Final = (
    "CREATE TABLE keys (id INTEGER PRIMARY KEY, line INTEGER)",
    "CREATE TABLE refs (id INTEGER PRIMARY KEY)",
    "CREATE TABLE counts (id INTEGER PRIMARY KEY, n INTEGER)",
    "CREATE TABLE rows (number INTEGER PRIMARY KEY, id INTEGER)",
    "CREATE INDEX ids ON rows (id)",
    "BEGIN",  # never ended: nothing of it is to stay
)


class Rows(Protocol):
    """Rows that can be read as often as needed."""

    def rows(self) -> Iterator[Row]:
        """Every row, from the beginning."""
        ...


def _seen() -> sqlite3.Connection:
    seen = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    for statement in _TABLES:
        seen.execute(statement)
    return seen


@define
class Checked:
    """What a check found; to be closed."""

    total: int = 0
    """Rows of the input."""
    bad: int = 0
    """Rows that are wrong."""
    wrong: int = 0
    """63 bits that stand for the wrong rows, wherever they are."""
    own_references: bool = False
    """Whether each row has a ``client_reference_id`` of its own; known where none is the key."""
    repeated: dict[int, int] = field(factory=dict[int, int])
    """Row numbers whose key is also another row's, and the line of that."""
    # On disk, so that a million rows need no memory.
    _seen: sqlite3.Connection = field(factory=_seen, repr=False)

    def known_as(self, row: Row) -> int:
        """What a row of the file is known by: its key, else its words.

        Rows that say the same are told apart by how many of them came before.
        """
        found = self._seen.execute("SELECT id FROM rows WHERE number = ?", (row.number,))
        return int(_one(found)[0])

    def has(self, known_as: int) -> bool:
        """Whether a row of the file is known by that."""
        found = self._seen.execute("SELECT 1 FROM rows WHERE id = ? LIMIT 1", (known_as,))
        return found.fetchone() is not None

    def close(self) -> None:
        """Let go of what was put aside on disk."""
        self._seen.close()

    def note(self, row: Row, key_column: str) -> None:
        """Put aside what a row is known by."""
        known_as = self._by_key(row) if key_column and row.key else self._by_words(row)
        if self.own_references or self.total == 1:
            self.own_references = not key_column and self._is_own(row.reference)
        self._seen.execute("INSERT INTO rows VALUES (?, ?)", (row.number, known_as))

    def _is_own(self, reference: str) -> bool:
        added = reference and self._seen.execute(
            "INSERT OR IGNORE INTO refs VALUES (?)", (identity(0, reference),)
        )
        return bool(added and added.rowcount)

    def _by_key(self, row: Row) -> int:
        known_as = identity(row.number, row.key)
        added = self._seen.execute("INSERT OR IGNORE INTO keys VALUES (?, ?)", (known_as, row.line))
        if added.rowcount:
            return known_as
        first = self._seen.execute("SELECT line FROM keys WHERE id = ?", (known_as,))
        self.repeated[row.number] = _one(first)[0]
        return -row.number  # its key stands for the other row

    def _by_words(self, row: Row) -> int:
        said = words(row)
        (before,) = _one(
            self._seen.execute(
                "INSERT INTO counts VALUES (?, 0) ON CONFLICT (id) DO UPDATE SET n = n + 1 "
                "RETURNING n",
                (said,),
            )
        )
        return identity(0, f"{said} {before}") if before else said


def check(
    source: Rows,
    key_column: str,
    on_bad: Callable[[Row], None],
    on_progress: Callable[[int], None] = lambda _: None,
) -> Checked:
    """Read every row; `on_bad` hears of each that is wrong, `on_progress` how many were read.

    Raises:
        ValidationError: the file or its header can't be used.
        OSError: it can't be read.
    """
    found = Checked()
    try:
        for row in source.rows():
            found.total += 1
            found.note(row, key_column)
            wrong = with_repeated(row, found, key_column)
            if wrong.problems:
                found.bad += 1
                found.wrong = (found.wrong + words(wrong)) % _BITS
                on_bad(wrong)
            if found.total % _NOTICE == 0:
                on_progress(found.total)
    except BaseException:
        found.close()
        raise
    on_progress(found.total)
    return found


def with_repeated(row: Row, found: Checked, key_column: str) -> Row:
    """The row, refused if its key is also another row's."""
    line = found.repeated.get(row.number)
    if line is None:
        return row
    problem = Problem(key_column, f"is the same as on line {line}", "give each row its own")
    return evolve(row, request=None, problems=(*row.problems, problem))


def _one(rows: Iterator[Any]) -> Any:
    return next(rows)
