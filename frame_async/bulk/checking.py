"""The whole input, checked before the first request."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, Final, Protocol

from attrs import define, evolve, field

from frame_async.bulk.rows import Row
from frame_async.bulk.state import identity
from frame_async.errors import Problem

_NOTICE: Final = 1_000


class Rows(Protocol):
    """Rows that can be read as often as needed."""

    def rows(self) -> Iterator[Row]:
        """Every row, from the beginning."""
        ...


@define
class Checked:
    """What a check found."""

    total: int = 0
    """Rows of the input."""
    bad: int = 0
    """Rows that are wrong."""
    repeated: dict[int, int] = field(factory=dict[int, int])
    """Row numbers whose key is also another row's, and the line of that."""


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
    with closing(sqlite3.connect("")) as seen:  # on disk, so that a million keys need no memory
        seen.execute("CREATE TABLE keys (id INTEGER PRIMARY KEY, line INTEGER)")
        for row in source.rows():
            found.total += 1
            if key_column and row.key:
                _note_key(seen, row, found)
            wrong = with_repeated(row, found, key_column)
            if wrong.problems:
                found.bad += 1
                on_bad(wrong)
            if found.total % _NOTICE == 0:
                on_progress(found.total)
    on_progress(found.total)
    return found


def with_repeated(row: Row, found: Checked, key_column: str) -> Row:
    """The row, refused if its key is also another row's."""
    line = found.repeated.get(row.number)
    if line is None:
        return row
    problem = Problem(key_column, f"is the same as on line {line}", "give each row its own")
    return evolve(row, request=None, problems=(*row.problems, problem))


def _note_key(seen: sqlite3.Connection, row: Row, found: Checked) -> None:
    known = identity(row.number, row.key)
    added = seen.execute("INSERT OR IGNORE INTO keys VALUES (?, ?)", (known, row.line))
    if not added.rowcount:
        (first,) = _one(seen.execute("SELECT line FROM keys WHERE id = ?", (known,)))
        found.repeated[row.number] = first


def _one(rows: Iterator[Any]) -> Any:
    return next(rows)
