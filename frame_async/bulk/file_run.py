"""The rows of a file, through a client, into an output, and never twice.

The order of things for each row: its key is claimed in the store before the request can
leave; its session is in the store before anybody hears of it; its line is in the output
before the state file says so. Whatever is killed when, the next run finds out where it was.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from itertools import islice
from typing import Any, Final, Literal

from attrs import define, field, frozen

from frame_async.bulk.checking import Checked, with_repeated
from frame_async.bulk.forecast import Forecast
from frame_async.bulk.journal import Journal
from frame_async.bulk.lines import (
    ending_of,
    line_of,
    line_of_wrong,
    possible_duplicates_of,
    recorded,
)
from frame_async.bulk.outage import Outage
from frame_async.bulk.output import Output
from frame_async.bulk.pinned import RunFileError
from frame_async.bulk.rows import Row
from frame_async.bulk.sources import Input
from frame_async.bulk.state import RowResult, Run, RunState, digest
from frame_async.bulk.waiting import reason_of
from frame_async.client import FrameClient
from frame_async.engine.pool import BulkItem, BulkResult, BulkResults, Counted
from frame_async.errors import FrameError, NotSentError, StoreError
from frame_async.protocol.dispositions import Heard, disposition_of, heard_of
from frame_async.protocol.idempotency import IdempotencyKey
from frame_async.protocol.retry import RetryPolicy

_CHUNK: Final = 256
_MOST_NAMED: Final = 1_000


@frozen(kw_only=True)
class Options:
    """How a run goes."""

    mode: Literal["sandbox", "live"] | None
    """What every session must be."""
    policy: RetryPolicy
    max_in_flight: int = 32
    grace: float = 30.0
    """Seconds that requests on the wire get to finish after a stop."""
    take_changed: bool = False
    """Whether rows that have changed are sent as new ones."""
    patience: float = 600.0
    """Seconds without an answer after which the run stops."""


@define(eq=False)
class Numbers:
    """What this run did so far."""

    ended: Counter[RowResult] = field(factory=Counter[RowResult])
    known: int = 0
    """Rows that had their result before."""
    retries: int = 0
    replayed: int = 0
    """Sessions that an earlier run had created, and hadn't written yet."""
    changed: list[Row] = field(factory=list[Row])
    """Rows that stand for one that was sent, and say something else; the first of them."""
    changes: int = 0
    """How many there are."""
    places: set[int] = field(factory=set[int])
    """Where they are in the input."""
    new: list[Row] = field(factory=list[Row])
    """Rows that the input didn't have when an earlier run came to its end; the first of them."""
    news: int = 0
    """How many there are."""
    sent: int = 0
    """Rows of which this run asked for a session."""
    replaced: int = 0
    """Changed rows that were sent as new ones."""

    @property
    def done(self) -> int:
        """Rows that have a result."""
        return self.known + self.ended.total()


class FileRun:
    """One run; its numbers may be read while it goes."""

    def __init__(
        self,
        client: FrameClient,
        source: Input,
        checked: Checked,
        state: RunState,
        run: Run,
        output: Output,
        forecast: Forecast,
        options: Options,
    ) -> None:
        self.numbers = Numbers()
        self.forecast = forecast
        self.outage = Outage(options.patience)
        self.stopped = ""
        """Why it ended before its time; empty when it didn't."""
        self.complete = False
        """Whether it went through the whole file."""
        self._sessions = client.payment_link_sessions
        self._source = source
        self._checked = checked
        self._state = state
        self._run = run
        self._options = options
        self._journal = Journal(output, state, self._halt)
        self._again: deque[BulkItem[Row]] = deque()
        self._results: BulkResults[Row] | None = None
        self._stopping = False
        self._ids: dict[int, int] = {}
        """What the rows that are in hand are known by, by their number."""
        self._unsent: set[int] = set()
        """Rows that were announced to the state file, and certainly not sent."""
        self._news = asyncio.Event()
        """A result came, or a stop: whoever waits for answers looks again."""

    async def go(self) -> None:
        """Work off the file; returns when all is done, or when it was stopped."""
        try:
            if not self._stopping:
                await self._pass(self._from_file())
            while self._again and not self._stopping:
                await self._pass(self._from_queue())
            self.complete = not self._stopping
        except (OSError, FrameError) as error:
            why = "" if disposition_of(error).stops_run else "the input can't be read: "
            self._halt(f"{why}{error}")
        finally:
            await self._journal.aclose()
            with suppress(StoreError):  # then they count as sent, which is safe
                if self._unsent:
                    await self._state.not_begun(self._unsent)
                if self.complete and not self.stopped:
                    await self._state.came_to_end()

    @property
    def stopping(self) -> bool:
        """Whether it takes no more rows."""
        return self._stopping

    def stop(self, grace: float | None = None) -> None:
        """Take no more rows; requests on the wire get `grace` seconds, or the options'."""
        self._stopping = True
        self._news.set()
        if grace == 0:
            self._journal.give_up()
        if self._results is not None:
            self._results.stop(self._options.grace if grace is None else grace)

    def _halt(self, why: str) -> None:
        """A condition makes going on senseless."""
        self.stopped = self.stopped or why
        self.stop()

    async def _pass(self, items: AsyncIterator[BulkItem[Row]]) -> None:
        self._results = self._sessions.create_many(
            Counted(items, self._checked.total),
            max_in_flight=self._options.max_in_flight,
            retry=self._options.policy,
            mode=self._options.mode,
        )
        async with self._results:
            async for result in self._results:
                if not self._journal.at_once:
                    await self._journal.ready()
                self._take(result)

    def _take(self, result: BulkResult[Row]) -> None:
        row: Row = result.item.context
        self.numbers.retries += result.call.retries
        self._watch(result)
        ending = ending_of(result, self._options.policy)
        if ending is None:
            if not self._stopping:
                self._again.append(result.item)
            elif isinstance(result.error, NotSentError) and not result.call.possible_duplicates:
                self._unsent.add(self._known_as(row))
            return
        if result.call.replayed:
            self.numbers.replayed += 1
        else:
            self.forecast.finished(self._now())
        known_as = self._known_as(row)
        self._ids.pop(row.number, None)
        fingerprint, duplicates = digest(row.request), possible_duplicates_of(result)
        record = recorded(row, known_as, fingerprint, ending, duplicates)
        if self._journal.add(line_of(result, row, ending), record):
            self.numbers.ended[ending] += 1

    def _watch(self, result: BulkResult[Row]) -> None:
        """Learn from a result whether the server answers."""
        self.outage.trying = False
        self._news.set()
        error = result.error
        match heard_of(error, result.call):
            case _ if self._stopping:
                pass
            case (Heard.SILENCE | Heard.FULL) as heard:
                what = "doesn't answer" if heard is Heard.SILENCE else "takes no more"
                if self.outage.began(self._now(), f"Frame {what}: {_reason(result)}"):
                    self._halt(f"no answer for {self._options.patience:.0f} s: {error}")
            case Heard.ANSWER:
                self.outage.over()
            case Heard.NOTHING:
                pass

    async def _from_file(self) -> AsyncIterator[BulkItem[Row]]:
        rows = self._source.rows()
        try:
            while not self._stopping and (chunk := list(islice(rows, _CHUNK))):
                async for item in self._turns(await self._to_do(chunk)):
                    self._source.check()
                    self._unsent.discard(self._known_as(item.context))
                    yield item
        except RunFileError as error:
            self._halt(str(error))  # what waits for the rate window isn't sent either
        async for item in self._from_queue():
            yield item

    async def _from_queue(self) -> AsyncIterator[BulkItem[Row]]:
        async for item in self._turns(()):
            yield item

    async def _turns(self, items: Iterable[BulkItem[Row]]) -> AsyncIterator[BulkItem[Row]]:
        """Whose turn it is: first those who had none, all only while there are answers."""
        for item in items:
            while self._again and await self._may_send():
                yield self._again.popleft()
            if not await self._may_send():
                return
            yield item
        while self._again and await self._may_send():
            yield self._again.popleft()

    async def _may_send(self) -> bool:
        """Wait while there are no answers, then let one try; False when the run was stopped."""
        while not self._stopping:
            seconds = self.outage.pause(self._now())
            if seconds <= 0 and not self.outage.trying:
                self.outage.trying = bool(self.outage.why)
                return True
            self._news.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), seconds or None)
        return False

    async def _to_do(self, rows: list[Row]) -> list[BulkItem[Row]]:
        """What is still to be done of these rows; those found wrong get their result here."""
        ids = [self._known_as(row) for row in rows]
        known = await self._state.known(ids)
        places = await self._state.places(rows[0].number, rows[-1].number)
        items: list[BulkItem[Row]] = []
        moved: list[tuple[int, int]] = []
        begun: list[tuple[int, int]] = []
        for row, known_as in zip(map(self._complete, rows), ids, strict=True):
            parts: list[str | int] = [self._run.run, known_as]
            if found := known.get(known_as):
                moved += [(row.number, known_as)] if found[1] != row.number else []
                if found[0] == digest(row.request):
                    self.numbers.known += 1
                    continue
                parts.append(digest(row.request))
            changed = bool(found) or self._has_changed(known_as, places.get(row.number, ()))
            if changed and (row.request is None or not self._take_changed()):
                self._note_changed(row)
                continue
            if self._run.complete and not changed:
                self._note_new(row)
            if row.request is None:
                self._refuse(row)
            else:
                items.append(BulkItem(row.request, IdempotencyKey.derive("bulk", *parts), row))
                begun.append((known_as, row.number))
                self._ids[row.number] = known_as
        if moved:
            await self._state.move(moved)
        self._unsent.update(known_as for known_as, _ in begun)
        self.numbers.sent += len(begun)
        if begun:
            await self._state.begin(begun)
        return items

    def _has_changed(self, known_as: int, stood_here: Iterable[int]) -> bool:
        """Whether another row stood at the place of this one, and is nowhere in the file now."""
        if self._run.key_column:
            return False
        return any(row != known_as and not self._checked.has(row) for row in stood_here)

    def _take_changed(self) -> bool:
        self.numbers.replaced += self._options.take_changed
        return self._options.take_changed

    def _complete(self, row: Row) -> Row:
        return with_repeated(row, self._checked, self._run.key_column)

    def _known_as(self, row: Row) -> int:
        known_as = self._ids.get(row.number)
        return self._checked.known_as(row) if known_as is None else known_as

    def _note_changed(self, row: Row) -> None:
        self.numbers.known += 1
        self.numbers.changes += 1
        self.numbers.places.add(row.number)
        if len(self.numbers.changed) < _MOST_NAMED:
            self.numbers.changed.append(row)

    def _note_new(self, row: Row) -> None:
        self.numbers.news += 1
        if len(self.numbers.new) < _MOST_NAMED:
            self.numbers.new.append(row)

    def _refuse(self, row: Row) -> None:
        record = recorded(row, self._known_as(row), 0, RowResult.INVALID, 0)
        if self._journal.add(line_of_wrong(row), record):
            self.numbers.ended[RowResult.INVALID] += 1

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()


def _reason(result: BulkResult[Any]) -> str:
    """Why a call had no answer that counts, in a few words."""
    attempts = result.call.attempts
    return reason_of(attempts[-1]) if attempts else str(result.error)
