"""One row of a queue, worked on: a place in the window, a session, a result, in this order.

Whatever comes between leaves the row open, and it goes back to the queue. Its idempotency
key and the run's rows see to it that a row that is handed out again, because its worker died or
was too slow to say that it is alive, costs nothing: a row with a result is left alone, one
whose session is in the store gets it from there, and one in doubt is sent again and says so.
"""

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, cast

from attrs import define, field, frozen

from frame_async.bulk.lines import ending_of, line_of, possible_duplicates_of
from frame_async.bulk.outage import Outage
from frame_async.bulk.permits import PermitStore
from frame_async.bulk.state import RowResult
from frame_async.client import FrameClient
from frame_async.engine.cancellation import bounded
from frame_async.engine.pool import BulkItem, BulkResult
from frame_async.errors import FrameError, StoreError, WindowFullError, WrongModeError
from frame_async.fleet.runs import FleetRuns, TakenRow
from frame_async.protocol.dispositions import Heard, disposition_of, heard_of
from frame_async.protocol.idempotency import IdempotencyKey
from frame_async.protocol.retry import RetryPolicy
from frame_async.protocol.window import Lane
from frame_async.serialization import load_request
from frame_async.stores import Claimed, InDoubt, Window

MARGIN: Final = 1.0
"""Seconds that a place in the window is held beyond the longest attempt, if never left."""
_SOON: Final = 1.0
_HALTED: Final = 10.0
"""Seconds until a row is due again that its worker must not send."""
_LONGEST_PAUSE: Final = 2.0
_FOREVER: Final = float("inf")


class NotNowError(Exception):
    """A row is to be taken up again; `seconds` says when."""

    def __init__(self, seconds: float, why: str) -> None:
        super().__init__(seconds, why)
        self.seconds = seconds

    def __str__(self) -> str:
        return f"again in {self.seconds:.1f} s: {self.args[1]}"


@frozen(kw_only=True)
class Terms:
    """What a worker goes by; times are in seconds."""

    window: Window | None
    """The rate window; None for no limit."""
    attempt_timeout: float
    call_timeout: float
    """For a row in hand, from its claim to its answer."""


@define(eq=False)
class _Note:
    """What the run itself knows of a row that is about to be sent, should the store forget it."""

    runs: FleetRuns
    run: str
    known_as: int
    doubts: int
    """Sessions that earlier workers may have created."""
    begun: bool = field(init=False, default=False)

    async def claimed(self, claim: Claimed | InDoubt) -> Claimed | InDoubt:
        """Its key is claimed: note that; a store that has forgotten what was before is told."""
        await self.runs.begin_row(self.run, self.known_as)
        self.begun = True
        if self.doubts and isinstance(claim, Claimed):
            return InDoubt(claim.token, self.doubts)
        return claim

    async def over(self, possible_duplicates: int) -> None:
        """It is let go, and so many sessions may have been created by now."""
        if self.begun or possible_duplicates:
            with suppress(StoreError):  # then it counts as sent, which is safe
                await self.runs.note_duplicates(self.run, self.known_as, possible_duplicates)


@define(eq=False)
class FleetWork:
    """What one worker process does with the rows it gets."""

    client: FrameClient
    runs: FleetRuns
    permits: PermitStore
    terms: Terms
    on_halt: Callable[[str], None] = field(default=lambda _: None)
    """Called with the reason when going on is senseless."""
    in_hand: set["asyncio.Task[object]"] = field(init=False, factory=set["asyncio.Task[object]"])
    """The rows that are worked on."""
    outage: Outage = field(init=False, factory=lambda: Outage(_FOREVER))
    ended: int = field(init=False, default=0)
    """Rows that got their result here."""
    put_off: int = field(init=False, default=0)
    """How often a row went back to the queue."""
    stopping: asyncio.Event = field(init=False, factory=asyncio.Event)
    """Set when no further rows are taken."""
    hurrying: bool = field(init=False, default=False)
    """Whether nothing is waited for any more."""
    _news: asyncio.Event = field(init=False, factory=asyncio.Event)
    _due: int = field(init=False, default=0)
    """Rows that a place lies ready for, or that are in hand with theirs."""
    _slot_at: float = field(init=False, default=0.0)

    def stop(self) -> None:
        """Take no further rows."""
        self.stopping.set()
        self._news.set()

    def hurry(self) -> None:
        """Let go of the rows in hand: they go back to the queue."""
        self.hurrying = True
        self.stop()
        for task in self.in_hand:
            task.cancel()

    async def may_fetch(self) -> bool:
        """Wait for a place in the window, and for the server to be there; False after a stop.

        The place lies ready then, for the row that is fetched next.
        """
        while not self.stopping.is_set():
            seconds = self.outage.pause(_now())
            if seconds <= 0 and self.outage.why and self.outage.trying:
                seconds = _SOON  # one row is on its way to see whether the server is back
            if seconds <= 0:
                seconds = await self._take_place()
            if seconds <= 0:
                self.outage.trying = bool(self.outage.why)
                self._due += 1
                return True
            await self.pause(seconds)
        return False

    async def _take_place(self) -> float:
        if self.terms.window is None:
            return 0.0
        try:
            return await self.permits.take(self.terms.window, self.terms.attempt_timeout + MARGIN)
        except StoreError:
            return _SOON

    async def done(self) -> None:
        """There was no row to fetch, or it is done with: a place that was not used goes back."""
        self._due = max(0, self._due - 1)
        if self.outage.trying:
            self.outage.trying = False
            self._news.set()
        while self.permits.ready > self._due:
            self._news.set()
            with suppress(StoreError):  # then it frees itself, later
                await self.permits.give_back()

    async def pause(self, seconds: float) -> None:
        """Sleep, but not beyond a stop."""
        self._news.clear()
        if not self.stopping.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), seconds)

    async def work(self, run: str, known_as: int, *, first: bool = True) -> None:
        """Work on one row until it has its result; nothing to do if it has one.

        ``first`` says whether it is this row's first time.

        Raises:
            NotNowError: the row is still open, and due again later.
        """
        task = cast("asyncio.Task[object]", asyncio.current_task())
        self.in_hand.add(task)
        try:
            if self.hurrying:
                raise NotNowError(0.0, "the worker stops")
            await self._work(run, known_as, first)
        finally:
            self.in_hand.discard(task)
            await bounded(self.done())

    async def _work(self, run: str, known_as: int, first: bool) -> None:
        try:
            taken = await self.runs.take(run, known_as)
        except StoreError as error:
            raise self._not_now(_SOON, error.message) from None
        if taken is None or taken.request is None:
            return
        if taken.account != self.client.scope:
            self._halt(f"the run {taken.run} was enqueued for another API key or address")
            raise self._not_now(_HALTED, "the API key is another's")
        policy = RetryPolicy(on_unknown="raise" if taken.hold else "retry")
        key, note = (
            IdempotencyKey.derive("bulk", run, known_as),
            _Note(self.runs, run, known_as, taken.doubts),
        )
        self.permits.claimed[key] = note.claimed
        try:
            result = await self._create(taken, key, policy)
        finally:
            self.permits.claimed.pop(key, None)
        ending = ending_of(result, policy)
        if ending is None:
            await note.over(result.call.possible_duplicates)
            self._put_off(result, first)
        else:
            await self._end(run, known_as, taken, result, ending)

    async def _create(self, taken: TakenRow, key: str, policy: RetryPolicy) -> BulkResult[Any]:
        """Make the call; an error is a value."""
        item = BulkItem(load_request((taken.request or "").encode()), key, taken.row)
        try:
            session = await self.client.payment_link_sessions.create(
                item.request,
                idempotency_key=key,
                timeout=self.terms.call_timeout,
                retry=policy,
                lane=Lane.BULK,
            )
        except FrameError as error:
            return self._watched(BulkResult(0, item, error=error))
        if session.livemode is (taken.mode != "live"):
            self._halt(str(WrongModeError(session.id, livemode=taken.mode != "live")))
        return self._watched(BulkResult(0, item, session))

    def _watched(self, result: BulkResult) -> BulkResult:
        """Learn from a result whether the server answers, and whether to go on."""
        if disposition_of(result.error).stops_worker:
            self._halt(str(result.error))
            return result
        match heard_of(result.error, result.call):
            case Heard.SILENCE:
                self.outage.began(_now(), str(result.error))
            case Heard.ANSWER:
                self.outage.over()
            case Heard.FULL | Heard.NOTHING:  # the window is the database's, and pauses by itself
                pass
        return result

    def _halt(self, why: str) -> None:
        self.stop()
        self.on_halt(why)

    def _put_off(self, result: BulkResult[Any], first: bool) -> None:
        """Leave a row open, and say when it is due again."""
        match result.error:
            case WindowFullError():
                seconds = self._slot(first=first)
            case error if disposition_of(error).stops_worker:
                seconds = _HALTED
            case _:
                seconds = max(_SOON, self.outage.pause(_now()))
        raise self._not_now(seconds, str(result.error))

    def _slot(self, *, first: bool) -> float:
        """Seconds until a place for a row that found none.

        Each gets a time of its own, as far apart as places come: rows without a place would
        otherwise all come again at once, over and over.
        """
        fits_in = max(self.permits.fits_in, 0.05)
        window = self.terms.window
        if window is None or not first:
            return fits_in
        self._slot_at = max(self._slot_at, _now() + fits_in)
        seconds = self._slot_at - _now()
        self._slot_at += window.limit.per / window.limit.open_to(Lane.BULK)
        return seconds

    async def _end(
        self, run: str, known_as: int, taken: TakenRow, result: BulkResult[Any], ending: RowResult
    ) -> None:
        """Write the result, and try again as long as the database doesn't answer."""
        line, pause = line_of(result, taken.row, ending), 0.1
        while True:
            try:
                await self.runs.end(run, known_as, ending, possible_duplicates_of(result), line)
            except StoreError as error:
                if self.hurrying:
                    raise self._not_now(_SOON, error.message) from None
            else:
                self.ended += 1
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _not_now(self, seconds: float, why: str) -> NotNowError:
        self.put_off += 1
        return NotNowError(seconds * (1 + 0.1 * random.random()), why)  # noqa: S311  # no secret


def _now() -> float:
    return asyncio.get_running_loop().time()
