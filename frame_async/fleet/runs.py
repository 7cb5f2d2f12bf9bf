"""Runs that many hosts work off: their rows, results and progress, as PostgreSQL keeps them."""

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from os import urandom
from typing import Any, Final, Literal

from attrs import asdict, evolve, field, frozen

from frame_async.bulk.rows import Row
from frame_async.bulk.state import Recorded, RowResult
from frame_async.errors import ConfigurationError, StoreError
from frame_async.fleet import schema
from frame_async.fleet.database import Database, Record
from frame_async.fleet.pace import pace_of
from frame_async.protocol.window import RateLimit
from frame_async.serialization import dump_json, load_json

_PAGE: Final = 1_000
_MOST_MOMENTS: Final = 20_000
_PERIODS: Final = 4.0
_UNLIMITED: Final = 60.0
_LAST: Final = 2**62


def queue_of(scope: str) -> str:
    """The queue of an API key and address: whoever has another key never sees its jobs."""
    return f"frame-{scope}"


@frozen(kw_only=True)
class FleetRun:
    """A file that was enqueued."""

    name: str
    """What people call it."""
    queue: str
    """The queue of procrastinate that its rows are jobs of; one for each API key."""
    mode: Literal["sandbox", "live"]
    """What every session must be."""
    target: str
    """Mode and address."""
    account: str
    """Stands for the API key, which can't be read from it."""
    key_column: str
    """The column that tells the rows apart; empty when they are counted."""
    hold: bool = False
    """Whether a row whose session may exist is left as it is, instead of sent again."""
    requests: int | None = None
    """How many requests its workers may send in each period; None for no limit."""
    per: float | None = None
    """Seconds of that period."""
    total: int = 0
    """Rows of the input."""
    complete: bool = False
    """Whether all of them were enqueued."""
    id: str = field(factory=lambda: urandom(16).hex())
    """A random name, which keeps the idempotency keys of runs apart."""

    @property
    def limit(self) -> RateLimit | None:
        """The rate window of its workers."""
        return RateLimit(self.requests, self.per) if self.requests and self.per else None


@frozen
class FleetRow:
    """One row as it goes to the queue."""

    known_as: int
    row: Row
    digest: int
    request: str | None
    """Its request as JSON; None for a row that is wrong, which gets no job."""
    result: str | None = None
    """Its result, if it is wrong."""


@frozen
class Enqueued:
    """What became of a batch of rows."""

    added: int
    """Rows that were not known."""
    again: int
    """Rows that had ended and were taken up again."""
    changed: Sequence[int]
    """Lines of rows that say something else than when they were enqueued: they stay as they were.
    Of a request from code, which one of the call it was, counted from 1."""


@frozen
class TakenRow:
    """A row that is to be worked on."""

    row: Row
    """Without its request."""
    request: str | None
    """Its request as JSON; None when it has its result."""
    run: str
    """The name of the run."""
    mode: str
    account: str
    hold: bool
    doubts: int = 0
    """Sessions that earlier workers may have created, as far as the run itself knows."""


@frozen(kw_only=True)
class Progress:
    """How far a run is, whoever works on it."""

    run: FleetRun
    counts: Mapping[RowResult, int]
    """Rows with a result, by what it is."""
    open: int
    """Rows without."""
    in_hand: int
    """Rows that a worker has."""
    lost: int
    """Open rows that have no job any more, because somebody removed it."""
    doubtful: int
    """Open rows of which an earlier attempt may have created a session."""
    in_doubt: Sequence[Recorded]
    """Rows that are unknown or possibly doubled; the first of them."""
    rate: float
    """Results a minute, of late."""
    left: float | None
    """Seconds until the end, by the rate window; None when nobody knows."""
    used: float | None
    """Share of the bulk lane's window that is in use; None where there is no window."""

    @property
    def done(self) -> int:
        """Rows with a result."""
        return sum(self.counts.values())

    @property
    def total(self) -> int:
        """Rows of the file, those that it has lost included."""
        return max(self.run.total, self.done + self.open)

    @property
    def finished(self) -> bool:
        """Whether every row of the file has its result."""
        return self.run.complete and not self.open


class FleetRuns:
    """Runs, their rows and results, in a database that all workers use."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def prepare(self) -> None:
        """Create what is missing of the tables and functions; an older version is upgraded.

        Raises:
            StoreError: they are of a newer version, or the database can't answer.
        """
        (found,) = await self._database.fetch(schema.MISSING)
        if not found["missing"]:
            return
        version = 0
        if found["is_old"]:
            (newest,) = await self._database.fetch(schema.NEWEST)
            version = newest["version"] or 0
        if version > schema.VERSION:
            raise StoreError(
                f"the tables of runs are of version {version}, which this version of frame-async "
                f"doesn't know ({schema.VERSION}); upgrade frame-async"
            )
        await self._database.run(schema.PREPARE)

    async def begin(self, mine: FleetRun) -> FleetRun:
        """Begin a run, or go on with the one of that name.

        Raises:
            ConfigurationError: it is another run.
        """
        values = asdict(mine)
        del values["complete"]
        await self._database.run(schema.BEGIN_RUN, **values)
        found = await self.find(mine.name)
        if found is None:  # somebody forgot it at this very moment
            raise ConfigurationError(f"the run {mine.name} is gone (try again)")
        _check_same(found, mine)
        await self._database.run(schema.REOPEN_RUN, run=found.id, total=mine.total, hold=mine.hold)
        return evolve(found, hold=mine.hold, total=mine.total, complete=False)

    async def find(self, name: str) -> FleetRun | None:
        """The run of that name."""
        found = await self._database.fetch(schema.FIND_RUN, name=name)
        return _run(found[0]) if found else None

    async def all(self) -> list[FleetRun]:
        """All runs, oldest first."""
        return [_run(record) for record in await self._database.fetch(schema.LIST_RUNS)]

    async def enqueue(
        self, run: FleetRun, task: str, rows: Sequence[FleetRow], again: Iterable[RowResult] = ()
    ) -> Enqueued:
        """Give each row a job that has none; doing it again changes nothing."""
        (counted,) = await self._database.fetch(
            schema.ENQUEUE,
            run=run.id,
            task=task,
            rows=[row.known_as for row in rows],
            numbers=[row.row.number for row in rows],
            lines=[row.row.line for row in rows],
            # As JSON, because PostgreSQL's text can't hold every character.
            references=[dump_json(row.row.reference).decode() for row in rows],
            digests=[row.digest for row in rows],
            requests=[row.request for row in rows],
            results=[row.result for row in rows],
            again=[int(ending) for ending in again],
        )
        return Enqueued(counted["o_added"], counted["o_again"], counted["o_changed"])

    async def place(
        self,
        run: FleetRun,
        rows: Sequence[FleetRow],
        is_there: Callable[[int], bool],
        again: Collection[RowResult] = (),
    ) -> list[FleetRow]:
        """Remember where rows stand now; those that have changed.

        They are new, and stand where another one stood that isn't in the file any more, as
        `is_there` says. One that is to be taken up again, and was mended, is no such other.
        """
        numbers, ids = [row.row.number for row in rows], [row.known_as for row in rows]
        found = await self._database.fetch(schema.PLACES, run=run.id, numbers=numbers, rows=ids)
        known = {record["known_as"]: record["number"] for record in found}
        gone = [record for record in found if not is_there(record["known_as"])]
        mended = [record["known_as"] for record in gone if record["ending"] in again]
        if mended:
            await self._database.run(schema.REMOVE, run=run.id, rows=mended)
        moved = {
            row.known_as: row.row.number
            for row in rows
            if known.get(row.known_as, row.row.number) != row.row.number
        }
        if moved:
            where = {"rows": list(moved), "numbers": list(moved.values())}
            await self._database.run(schema.MOVE, run=run.id, **where)
        places = {one["number"] for one in gone if one["known_as"] not in mended}
        return [row for row in rows if row.known_as not in known and row.row.number in places]

    async def complete(self, run: FleetRun, total: int) -> None:
        """The whole file was enqueued; it has that many rows."""
        await self._database.run(schema.COMPLETE_RUN, run=run.id, total=total, hold=run.hold)

    async def set_limit(self, queue: str, limit: RateLimit | None) -> None:
        """Remember what the workers of a queue go by, for whoever asks how long it takes."""
        await self._database.run(
            schema.SET_LIMIT,
            queue=queue,
            requests=limit.requests if limit else None,
            per=limit.per if limit else None,
        )

    async def take(self, run: str, known_as: int) -> TakenRow | None:
        """A row, to work on it; None when its run is forgotten."""
        found = await self._database.fetch(schema.TAKE, run=run, row=known_as)
        if not found:
            return None
        record = found[0]
        reference = str(load_json(record["reference"].encode(), "reference"))
        row = Row(record["line"], reference, None, (), record["number"])
        request = record["request"] if record["ending"] is None else None
        return TakenRow(
            row,
            request,
            record["name"],
            record["mode"],
            record["account"],
            record["hold"],
            record["doubles"] + record["begun"],
        )

    async def begin_row(self, run: str, known_as: int) -> None:
        """A worker is about to send a row, for which it has the key."""
        await self._database.run(schema.BEGIN_ROW, run=run, row=known_as)

    async def end(
        self,
        run: str,
        known_as: int,
        ending: RowResult,
        possible_duplicates: int,
        result: Mapping[str, Any],
    ) -> None:
        """A row has its result; the first one stays."""
        await self._database.run(
            schema.END,
            run=run,
            row=known_as,
            ending=int(ending),
            doubles=possible_duplicates,
            result=dump_json(result).decode(),
        )

    async def note_duplicates(self, run: str, known_as: int, possible_duplicates: int) -> None:
        """So many attempts of an open row may have created a session, and it is let go."""
        await self._database.run(
            schema.NOTE_DUPLICATES, run=run, row=known_as, doubles=possible_duplicates
        )

    async def reconcile(self, run: FleetRun, task: str) -> int:
        """Give each open row a job whose job is gone; how many there were."""
        requeued = 0
        while True:
            (found,) = await self._database.fetch(
                schema.GIVE_JOBS, run=run.id, task=task, most=_PAGE
            )
            given = int(found["given"])
            requeued += given
            if given < _PAGE:
                return requeued

    async def progress(self, run: FleetRun, most: int) -> Progress:
        """How far a run is, with the first rows that there is something to tell of."""
        (counted,) = await self._database.fetch(schema.COUNT, run=run.id)
        (jobs,) = await self._database.fetch(schema.COUNT_JOBS, run=run.id)
        in_doubt = await self._database.fetch(schema.IN_DOUBT, run=run.id, most=most)
        period = run.limit.per if run.limit else _UNLIMITED
        lately = await self._database.fetch(
            schema.LATELY, run=run.id, seconds=_PERIODS * period, most=_MOST_MOMENTS
        )
        counts = {ending: int(counted[ending.name.lower()]) for ending in RowResult}
        remaining = max(counted["open"], run.total - sum(counts.values()))
        rate, left, used = pace_of(
            run.limit, [(m["ended_at"], m["now"]) for m in lately], remaining
        )
        return Progress(
            run=run,
            counts=counts,
            open=remaining,
            in_hand=jobs["in_hand"],
            lost=jobs["lost"],
            doubtful=counted["doubtful"] + jobs["begun"],
            in_doubt=[_recorded(record) for record in in_doubt],
            rate=rate,
            left=left,
            used=used,
        )

    async def results(self, run: FleetRun) -> AsyncIterator[Mapping[str, Any]]:
        """The result of every row that has one, in the order of the file."""
        number, known_as = 0, -_LAST
        while True:
            page = await self._database.fetch(
                schema.RESULTS, run=run.id, number=number, row=known_as, most=_PAGE
            )
            for record in page:
                yield load_json(record["result"].encode(), "result")
            if len(page) < _PAGE:
                return
            number, known_as = page[-1]["number"], page[-1]["known_as"]

    async def is_done(self, run: FleetRun) -> bool:
        """Whether every row of a run has its result, and all were enqueued."""
        (found,) = await self._database.fetch(schema.IS_OPEN, run=run.id)
        return run.complete and not found["open"]

    async def has_open(self, queue: str) -> bool:
        """Whether there is a job in a queue, waiting or in hand."""
        (found,) = await self._database.fetch(schema.OPEN_IN_QUEUE, queue=queue)
        return bool(found["open"])

    async def forget(self, run: FleetRun) -> bool:
        """Forget a run and its results; False when it has open rows."""
        await self._database.run(schema.FORGET_RUN, run=run.id)
        return await self.find(run.name) is None


def _run(record: Record) -> FleetRun:
    return FleetRun(**{name: value for name, value in record.items() if name != "begun_at"})


def _recorded(record: Record) -> Recorded:
    reference = str(load_json(record["reference"].encode(), "reference"))
    ending = RowResult.UNKNOWN if record["ending"] is None else RowResult(record["ending"])
    return Recorded(0, 0, int(ending), record["doubles"], record["line"], reference)


_DIFFERENT: Final[Mapping[str, str]] = {
    "target": "was begun for {theirs}, not for {mine}: name the same mode and address",
    "account": "was begun with another API key: use that one",
    "key_column": "was begun with --key {theirs!r}, not {mine!r}: name the same column",
}


def _check_same(found: FleetRun, mine: FleetRun) -> None:
    for name, words in _DIFFERENT.items():
        theirs, ours = getattr(found, name), getattr(mine, name)
        if theirs != ours:
            what = words.format(theirs=theirs, mine=ours)
            raise ConfigurationError(f"the run {found.name} {what}, or choose another --run")
