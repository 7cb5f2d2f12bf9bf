"""What a bulk run must remember: which rows have their result, and how far the output goes.

One SQLite file, which one run at a time has for itself. It also is the store of the run's
idempotency keys, unless another store was named. A row is entered here, with its line, only
when that is on the disk, so after a crash the output is cut back to what is known here,
and the rows behind that are asked for again: from the store, not from Frame. An output that is
lost is written again from here.
"""

import re
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import IntEnum
from hashlib import sha256
from itertools import islice
from os import urandom
from pathlib import Path
from typing import Final

from attrs import astuple, field, fields, frozen

from frame_async.bulk.rows import Row
from frame_async.errors import ConfigurationError
from frame_async.models.requests import PaymentLinkSessionRequest
from frame_async.protocol.fingerprints import make_fingerprint
from frame_async.serialization import dump, dump_fields
from frame_async.stores.sqlite import SQLiteStore

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS bulk_run (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    target TEXT NOT NULL,
    account TEXT NOT NULL,
    key_column TEXT NOT NULL,
    output TEXT NOT NULL,
    store TEXT NOT NULL,
    run TEXT NOT NULL,
    size INTEGER NOT NULL,
    mark INTEGER NOT NULL,
    complete INTEGER NOT NULL,
    wrong INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS bulk_rows (
    row INTEGER PRIMARY KEY,
    digest INTEGER NOT NULL,
    ending INTEGER NOT NULL,
    doubles INTEGER NOT NULL,
    line INTEGER NOT NULL,
    reference TEXT NOT NULL,
    number INTEGER NOT NULL,
    text BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS bulk_rows_told ON bulk_rows (row) WHERE ending = 3 OR doubles > 0;
CREATE TABLE IF NOT EXISTS bulk_begun (
    row INTEGER PRIMARY KEY,
    number INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS bulk_begun_numbers ON bulk_begun (number);
CREATE INDEX IF NOT EXISTS bulk_rows_numbers ON bulk_rows (number)
"""
_AT_ONCE: Final = 500
_PASSWORD: Final = re.compile(r"://.*@", re.DOTALL)
_OPTIONS: Final = re.compile(r"[?#].*", re.DOTALL)


class RowResult(IntEnum):
    """What became of a row, once and for all."""

    CREATED = 0
    REFUSED = 1
    """By the server: nothing was created."""
    INVALID = 2
    """Before anything was sent."""
    UNKNOWN = 3
    """A session may exist that nobody has."""


@frozen
class Recorded:
    """One row that has its line in the output."""

    row: int
    """Its identity, see `identity`."""
    digest: int
    """What its request was, see `digest`."""
    ending: int
    """A `RowResult`."""
    possible_duplicates: int = 0
    """Sessions that may exist beside the one handed over, or beside none."""
    line: int = 0
    """Line of the input."""
    reference: str = ""
    """Its ``client_reference_id``; kept only where there is something to tell."""
    number: int = 0
    """Which row of the input it is."""
    text: bytes = b""
    """Its line of the output, as JSON."""


@frozen
class Run:
    """A run as the state file knows it; a stranger's run is not to be continued."""

    target: str
    """Mode and address."""
    account: str
    """Stands for the API key, which can't be read from it."""
    key_column: str
    """The column that tells the rows apart; empty when they are counted."""
    output: str
    """Name of the output, and its format."""
    store: str = ""
    """Where the idempotency keys are, see `store_name`; empty for the state file itself."""
    run: str = field(factory=lambda: urandom(16).hex())
    """A random name, which keeps the idempotency keys of runs apart."""
    size: int = 0
    """Bytes of the output that are known here; -1 while it is being written anew."""
    mark: int = 0
    """What these bytes are known by, see `Output.mark`."""
    complete: bool = field(default=False, converter=bool)
    """Whether the last run came to its end, so that whatever is open now is new."""
    wrong: int = 0
    """What the wrong rows are known by that were listed last, see `Checked.wrong`."""


class RunState:
    """The state file of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store = SQLiteStore(path, sole=True)
        """The same file as a store of idempotency keys."""

    async def find(self) -> Run | None:
        """The run that the file knows, if any.

        Raises:
            StoreError: the file can't be used, because another run has it for instance.
        """
        return await self.store.transact(_found)

    async def write(self, run: Run) -> None:
        """Remember the run itself."""
        await self.store.transact(lambda connection: _write_run(connection, run))

    async def known(self, rows: Sequence[int]) -> dict[int, tuple[int, int]]:
        """Digest and place of those rows that have a result."""
        return await self.store.transact(lambda connection: _known(connection, rows))

    async def record(self, rows: Iterable[Recorded], size: int, mark: int) -> None:
        """Remember rows whose lines are on the disk, and where the output ends after them."""
        values = [astuple(row) for row in rows]

        def write(connection: sqlite3.Connection) -> None:
            ids = [(row[0],) for row in values]
            connection.executemany("DELETE FROM bulk_begun WHERE row = ?", ids)
            # What a changed row was before keeps its line, as a row that the input has lost.
            connection.executemany(
                "UPDATE bulk_rows SET row = -abs(random() / 2) WHERE row = ?", ids
            )
            connection.executemany(
                "INSERT OR REPLACE INTO bulk_rows VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values
            )
            connection.execute("UPDATE bulk_run SET size = ?, mark = ?", (size, mark))

        await self.store.transact(write)

    async def begin(self, rows: Iterable[tuple[int, int]]) -> None:
        """Remember identity and place of rows that are about to be sent."""
        values = list(rows)
        await self.store.transact(
            lambda connection: connection.executemany(
                "INSERT OR REPLACE INTO bulk_begun VALUES (?, ?)", values
            )
        )

    async def not_begun(self, rows: Iterable[int]) -> None:
        """Forget rows that were about to be sent, and weren't."""
        values = [(row,) for row in rows]
        await self.store.transact(
            lambda connection: connection.executemany(
                "DELETE FROM bulk_begun WHERE row = ?", values
            )
        )

    async def places(self, first: int, last: int) -> dict[int, set[int]]:
        """The rows that stood at these places, by place."""
        found: dict[int, set[int]] = {}
        rows = await self.store.transact(
            lambda connection: connection.execute(
                "SELECT number, row FROM bulk_rows WHERE number BETWEEN ?1 AND ?2"
                " UNION ALL SELECT number, row FROM bulk_begun WHERE number BETWEEN ?1 AND ?2",
                (first, last),
            ).fetchall()
        )
        for number, row in rows:
            found.setdefault(number, set()).add(row)
        return found

    async def move(self, rows: Iterable[tuple[int, int]]) -> None:
        """Remember where rows stand now: pairs of place and identity."""
        values = list(rows)
        await self.store.transact(
            lambda connection: connection.executemany(
                "UPDATE bulk_rows SET number = ? WHERE row = ?", values
            )
        )

    async def lost(self, is_there: Callable[[int], bool]) -> list[Recorded]:
        """Rows with a result that the input doesn't have any more, in the order of their lines."""

        def find(connection: sqlite3.Connection) -> list[Recorded]:
            rows = connection.execute(
                "SELECT row, digest, ending, doubles, line, reference, number, text"
                " FROM bulk_rows ORDER BY line"
            )
            return [Recorded(*row) for row in rows if not is_there(row[0])]

        return await self.store.transact(find)

    async def came_to_end(self) -> None:
        """Remember that every row of the input has its result."""
        await self.store.transact(
            lambda connection: connection.execute("UPDATE bulk_run SET complete = 1")
        )

    async def forget(self, endings: Iterable[RowResult], run: Run) -> None:
        """Forget the rows that ended so, and remember the run as it is without them."""
        marks = [(int(ending),) for ending in endings]

        def forget(connection: sqlite3.Connection) -> None:
            connection.executemany("DELETE FROM bulk_rows WHERE ending = ?", marks)
            _write_run(connection, run)

        await self.store.transact(forget)

    async def each_line(self, write: Callable[[bytes], None]) -> None:
        """Hand out the line of every row that has one, as JSON, in the order of the input."""

        def hand_out(connection: sqlite3.Connection) -> None:
            lines = connection.execute("SELECT text FROM bulk_rows ORDER BY number")
            for (text,) in lines:
                write(text)

        await self.store.transact(hand_out)

    async def counts(self) -> Mapping[RowResult, int]:
        """How many rows ended in which way, in all runs on this file together."""
        counted = await self.store.transact(
            lambda connection: connection.execute(
                "SELECT ending, count(*) FROM bulk_rows GROUP BY ending"
            ).fetchall()
        )
        return {ending: dict(counted).get(ending, 0) for ending in RowResult}

    async def in_doubt(self, most: int = -1) -> list[Recorded]:
        """Rows that are unknown or possibly doubled, in the order of their lines."""
        rows = await self.store.transact(
            lambda connection: connection.execute(
                "SELECT row, digest, ending, doubles, line, reference FROM bulk_rows"
                " WHERE ending = 3 OR doubles > 0 ORDER BY line LIMIT ?",
                (most,),
            ).fetchall()
        )
        return [Recorded(*row) for row in rows]

    async def aclose(self) -> None:
        """Let go of the file."""
        await self.store.aclose()


def identity(number: int, key: str) -> int:
    """What a row is known by: its number, or 63 bits that stand for its key."""
    return int.from_bytes(sha256(key.encode()).digest()[:8], "big") >> 1 if key else number


def digest(request: PaymentLinkSessionRequest | None) -> int:
    """63 bits that stand for a request; 0 for a row that describes none."""
    if request is None:
        return 0
    if request.payment_method_data is None:
        text = dump(request)
    else:  # of which a fingerprint tells as little as may lie on a disk
        text = make_fingerprint(dump_fields(request)[1]).encode()
    return int.from_bytes(sha256(text).digest()[:8], "big") >> 1


def store_name(url: str | None) -> str:
    """What a store is known by: its URL without password and options."""
    if url is None:
        return "the state file as its store"
    return f"the store {_OPTIONS.sub('', _PASSWORD.sub('://', url))}"


def words(row: Row) -> int:
    """63 bits that stand for what a row says."""
    problems = "; ".join(map(str, row.problems))  # which show nothing secret
    return digest(row.request) or identity(0, f"{row.reference}: {problems}")


_COLUMNS: Final = ", ".join(attribute.name for attribute in fields(Run))


def _found(connection: sqlite3.Connection) -> Run | None:
    for statement in _SCHEMA.split(";"):
        connection.execute(statement)
    row = connection.execute(f"SELECT {_COLUMNS} FROM bulk_run").fetchone()  # noqa: S608
    return None if row is None else Run(*row)


def _write_run(connection: sqlite3.Connection, run: Run) -> None:
    connection.execute(
        f"INSERT OR REPLACE INTO bulk_run (one, {_COLUMNS})"  # noqa: S608
        " VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        astuple(run),
    )


def _known(connection: sqlite3.Connection, rows: Sequence[int]) -> dict[int, tuple[int, int]]:
    found: dict[int, tuple[int, int]] = {}
    todo = iter(rows)
    while some := list(islice(todo, _AT_ONCE)):
        marks = ",".join("?" * len(some))
        for row, fingerprint, number in connection.execute(
            f"SELECT row, digest, number FROM bulk_rows WHERE row IN ({marks})",  # noqa: S608
            some,
        ):
            found[row] = (fingerprint, number)
    return found


_DIFFERENT: Final[Mapping[str, str]] = {
    "target": "was begun for {theirs}, not for {mine}: name the same mode and address",
    "account": "was begun with another API key: use that one, or, if this one belongs to the "
    "same merchant, say --new-key",
    "key_column": "was begun with --key {theirs!r}, not {mine!r}: name the same column",
    "store": "was begun with {theirs}, not {mine}: keys are remembered there, so name the same",
    "output": "was begun with the output {theirs}, not {mine}: name the same file",
}


def check_same(found: Run, mine: Run, path: Path) -> None:
    """See that a run may go on with a state file.

    Raises:
        ConfigurationError: the file is of another run, and how that differs.
    """
    for name, words in _DIFFERENT.items():
        theirs, ours = getattr(found, name), getattr(mine, name)
        if theirs != ours:
            what = words.format(theirs=theirs, mine=ours)
            raise ConfigurationError(f"the run of {path} {what}, or choose another state file")
