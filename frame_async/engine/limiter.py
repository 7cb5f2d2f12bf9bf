"""The rate limiter: who waits for a slot of the rolling window, in this process.

First come, first served within a lane; the interactive lane goes first. However many
wait, only one asks the store, and it asks when there is something to hear.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from itertools import islice
from types import TracebackType
from typing import Any, Final, Protocol, Self

from attrs import define, field

from frame_async.engine.cancellation import bounded, let_go
from frame_async.engine.naps import ClosingError, DismissedError, Naps, NoSlotError, doze
from frame_async.errors import StoreError
from frame_async.observers import logger
from frame_async.protocol.clock import Clock
from frame_async.protocol.window import AttemptTimes, Lane
from frame_async.stores import Store, Window

QUANTILE: Final = 0.99
"""Share of the latest attempts that would have ended in what is left, for one to be begun."""

_MOST_AT_A_TIME: Final = 64
_AT_FIRST: Final = 1.2
"""How many times that a newcomer needs, so that who is let wait is rarely sent away later."""
_MOST_NEEDED: Final = 0.5
"""Share of its whole time that a call keeps for an attempt, at most: one whose time is short
for this server may still try."""


class Limiter(Protocol):
    """What gives slots: a `RateLimiter`, or none of our own, `Unlimited`."""

    naps: Naps
    """Before retries, until `close`."""

    async def try_acquire(self, slot: "Slot") -> bool:
        """Take a slot; False when there will be one before the deadline, to `wait` for."""
        ...

    async def wait(self, slot: "Slot") -> None:
        """Wait for a slot, first come, first served within a lane."""

    def release(self, slot: "Slot", *, sent: bool) -> Coroutine[Any, Any, None]:
        """The answer is in, or certainly nothing was sent."""
        ...

    def refuse(self, token: str, pause: float) -> Coroutine[Any, Any, None]:
        """A 429 came: everyone on the window pauses for that many seconds."""
        ...

    def dismiss(self, run: object) -> None:
        """Send away those of a run who still wait."""

    def close(self) -> None:
        """Send away all who wait or sleep, now and from now on."""


@define(eq=False, repr=False)
class Slot:
    """A slot of the window for one request, as ``async with Slot(limiter, ...)``.

    Entering takes one if there is one; `wait` waits for one otherwise. Leaving releases it
    as `sent` and `pause` say.
    """

    _limiter: "Limiter"
    token: str
    """Stands for the request."""
    lane: Lane
    hold: float
    """Seconds after which it is given up, if it is never released."""
    deadline: float
    """Monotonic seconds at which the call must be over."""
    run: object = None
    """What `Limiter.dismiss` knows the call by; its `size` says how many there are."""
    timeout: float = float("inf")
    """Seconds that the whole call has."""
    acquired: bool = False
    sent: bool | None = False
    """Whether its request was sent; None if it may still arrive, and the slot stays taken."""
    pause: float | None = None
    """A 429 came: everyone on the window pauses for that many seconds."""
    began: float = 0.0
    """When it was acquired."""
    due: float = 0.0
    """When it is expected to come, for one that waits."""
    turn: "asyncio.Future[None] | None" = None
    """Done when it has come, or won't; None until it is waited for."""

    async def wait(self) -> None:
        """Wait for it until the deadline.

        Raises:
            NoSlotError: there was none.
            DismissedError: its run was dismissed while it waited.
            ClosingError: the client is being closed.
            StoreError: the store can't answer.
        """
        await self._limiter.wait(self)
        self.acquired = True

    async def __aenter__(self) -> Self:
        """Take one if there is one.

        Raises:
            NoSlotError: there is none before the deadline; said at once, not then.
            ClosingError: there is none now, and the client is being closed.
            StoreError: the store can't answer.
        """
        self.acquired = await self._limiter.try_acquire(self)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self.acquired or (self.sent is None and self.pause is None):
            return
        if self.pause is None:
            work = self._limiter.release(self, sent=bool(self.sent))
        else:
            work = self._limiter.refuse(self.token, self.pause)
        try:
            await (work if exc_type is None else bounded(work))
        except StoreError as error:  # which gives the slot up later
            logger.warning("a slot of the rate window stays taken: %s", error)

    @property
    def gone(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.turn is None or self.turn.done()

    def turn_away(self, error: Exception) -> None:
        """It won't come."""
        if self.turn is not None and not self.turn.done():
            self.turn.set_exception(error)


@define(eq=False, repr=False)
class _Waiting:
    """Those who wait on one event loop."""

    loop: asyncio.AbstractEventLoop
    lanes: dict[Lane, OrderedDict[Slot, None]] = field(
        factory=lambda: {lane: OrderedDict[Slot, None]() for lane in Lane}
    )
    """Those who wait, in the order in which they came."""
    news: asyncio.Event = field(factory=asyncio.Event)
    """Something happened that makes asking again worth while."""
    asker: asyncio.Task[None] | None = None
    next_at: float = 0.0
    """When the store last said that there may be a slot, on the clock."""
    asking: int = 0
    """How many newcomers ask the store themselves."""

    def living(self, lane: Lane = Lane.BULK) -> Iterator[Slot]:
        """Who is served before a newcomer in that lane, in their order; not who gave up."""
        for served in Lane:
            yield from (slot for slot in self.lanes[served] if not slot.gone)
            if served is lane:
                return

    def drop(self, slot: Slot) -> None:
        """It waits no more."""
        self.lanes[slot.lane].pop(slot, None)


class RateLimiter:
    """Slots of the rate window, for the calls of one client."""

    def __init__(
        self, store: Store, window: Window, clock: Clock, quantile: float = QUANTILE
    ) -> None:
        self.naps = Naps(clock)
        self._store = store
        self._window = window
        self._clock = clock
        self._here: _Waiting | None = None
        self._times = AttemptTimes(quantile)

    async def try_acquire(self, slot: Slot) -> bool:
        """Take a slot; False when there will be one before the deadline, to `wait` for.

        Raises:
            NoSlotError: there won't, or too late for an attempt.
            ClosingError: there is none now, and nobody may wait any more.
            StoreError: the store can't answer.
        """
        waiting, now = self._here, self._clock.monotonic()
        if waiting is None or waiting.loop is not asyncio.get_running_loop():
            waiting = self._here = _Waiting(asyncio.get_running_loop())
        if now + self._times.needed > slot.deadline and now > self._latest(slot):
            raise NoSlotError(0.0)
        # Many may come at once: a shared store isn't asked by each, but by some of them.
        crowd = waiting.asker is not None and any(waiting.living(slot.lane))
        wait = -1.0
        if waiting.asking < _MOST_AT_A_TIME and not crowd:
            waiting.asking += 1
            try:
                wait = await self._ask(waiting, slot)
            finally:
                waiting.asking -= 1
            if wait <= 0:
                return True
        if self.naps.ended:
            raise ClosingError(0.0)
        slot.due = now + wait if wait > 0 else await self._due(waiting, slot)
        if slot.due <= self._latest(slot, _AT_FIRST):
            return False
        if await self._force(slot):
            return True
        raise NoSlotError(slot.due - self._clock.monotonic())

    async def wait(self, slot: Slot) -> None:
        """See `Limiter.wait`."""
        waiting = self._here
        if waiting is None or self.naps.ended:
            raise ClosingError(0.0)
        slot.turn = waiting.loop.create_future()
        waiting.lanes[slot.lane][slot] = None
        if slot.lane is Lane.INTERACTIVE:
            waiting.news.set()
        if waiting.asker is None:
            waiting.asker = waiting.loop.create_task(self._keep_asking(waiting))
        try:
            await self._await_turn(waiting, slot, slot.turn)
        finally:
            waiting.drop(slot)

    async def release(self, slot: Slot, *, sent: bool) -> None:
        """See `Limiter.release`."""
        if sent:
            self._times.note(self._clock.monotonic() - slot.began)
        await self._store.leave(self._window, slot.token, sent=sent)
        if self._here is not None and self._here.asker is not None:
            self._here.news.set()

    async def refuse(self, token: str, pause: float) -> None:
        """See `Limiter.refuse`."""
        await self._store.refuse(self._window, token, pause)

    def dismiss(self, run: object) -> None:
        """See `Limiter.dismiss`."""
        for slot in list(self._here.living()) if self._here else ():
            if slot.run is run:
                slot.turn_away(DismissedError(0.0))

    def close(self) -> None:
        """See `Limiter.close`."""
        self.naps.end()
        here = self._here
        if here is None or here.loop.is_closed():
            return
        if here.asker is not None:
            here.asker.cancel()
        for slot in list(here.living()):
            slot.turn_away(ClosingError(0.0))

    def _paced(self, slot: Slot) -> bool:
        """Whether it has to keep the pace of bulk: all but runs of few rows."""
        size = getattr(slot.run, "size", None)
        few = size is not None and size < self._window.limit.requests
        return slot.lane is Lane.BULK and not few

    def _latest(self, slot: Slot, times: float = 1.0) -> float:
        """When it is too late to enter: what is left wouldn't cover what attempts lately took."""
        return slot.deadline - min(times * self._times.needed, _MOST_NEEDED * slot.timeout)

    async def _due(self, waiting: _Waiting, slot: Slot) -> float:
        """When there will be a slot for a newcomer, as far as is known; 0.0 for soon enough."""
        limit, now = self._window.limit, self._clock.monotonic()
        ahead = sum(1 for _ in waiting.living(slot.lane))
        # A slot that is held frees within two periods, unless its request is lost.
        rounds = ahead // limit.open_to(slot.lane)
        if now + (rounds + 2) * limit.per < self._latest(slot):
            return 0.0
        paced = self._paced(slot)
        return now + await self._store.opens_in(self._window, slot.lane, ahead, pace=paced)

    async def _ask(self, waiting: _Waiting, slot: Slot) -> float:
        """Ask the store for a slot: 0.0 when it is there, else seconds until asking again.

        Whoever gives up meanwhile gives a slot back.
        """
        token, lane, paced = slot.token, slot.lane, slot.lane is Lane.BULK and self._paced(slot)
        try:
            wait = await self._store.enter(self._window, token, lane, slot.hold, pace=paced)
        except asyncio.CancelledError:
            let_go(self._give_back(token))  # it may have been taken all the same
            raise
        now = slot.began = self._clock.monotonic()
        # A fleet's store gives each that asks its own time; the soonest is for all who wait here.
        known_sooner = lane is not Lane.INTERACTIVE and now < waiting.next_at < now + wait
        if not known_sooner:
            waiting.next_at = now + wait
        return wait

    async def _await_turn(
        self, waiting: _Waiting, slot: Slot, turn: "asyncio.Future[None]"
    ) -> None:
        left = self._latest(slot) - self._clock.monotonic()
        try:
            async with asyncio.timeout(left):
                await turn
        except (TimeoutError, asyncio.CancelledError) as gave_up:
            turn.cancel()  # as a rule it is: who waits for it is cancelled through it
            if not turn.cancelled() and turn.exception() is None:
                # The slot came at the very moment of giving up.
                let_go(self._give_back(slot.token))
            if isinstance(gave_up, asyncio.CancelledError):
                raise
        else:
            return
        raise NoSlotError(max(0.0, max(waiting.next_at, slot.due) - self._clock.monotonic()))

    async def _keep_asking(self, waiting: _Waiting) -> None:
        """Serve one after the other, as long as somebody waits.

        As long as a shared store has slots, twice as many ask at a time as before: to
        write to a disk or over a network takes as long for many as for one.
        """
        most = 1
        try:
            while heads := list(islice(waiting.living(), most)):
                waiting.news.clear()
                admitted = [await self._serve(waiting, heads[0])]
                admitted += await asyncio.gather(*(self._serve(waiting, w) for w in heads[1:]))
                more = all(admitted) and self._store.shared and not self._paced(heads[0])
                most = min(2 * most, _MOST_AT_A_TIME) if more else 1
                if not all(admitted):
                    await self._tell_late(waiting)
                    await doze(self._clock, waiting.next_at - self._clock.monotonic(), waiting.news)
        except StoreError as error:
            for slot in list(waiting.living()):  # everyone hears it now, not one by one
                slot.turn_away(StoreError(error.message))
        finally:
            waiting.asker = None

    async def _serve(self, waiting: _Waiting, slot: Slot) -> bool:
        """Ask for one who waits; False when there is no slot yet."""
        if self._clock.monotonic() > self._latest(slot):
            slot.turn_away(NoSlotError(0.0))
            waiting.drop(slot)
            return True
        wait = await self._ask(waiting, slot)
        if wait <= 0:
            await self._admit(slot)
        elif waiting.next_at <= self._latest(slot):
            return False
        elif not await self._force(slot):  # there was time when it came; now there is none
            slot.turn_away(NoSlotError(wait))
        waiting.drop(slot)
        return True

    async def _tell_late(self, waiting: _Waiting) -> None:
        """Whoever is expected to come too late by now hears it now."""
        head = next(waiting.living(), None)
        if head is None:
            return
        head.due = head.due or waiting.next_at
        if (drift := waiting.next_at - head.due) <= 0:
            return
        for slot in [slot for slot in waiting.living(head.lane) if slot.due]:
            slot.due += drift
            if slot.due > self._latest(slot) and not await self._force(slot):
                slot.turn_away(NoSlotError(slot.due - self._clock.monotonic()))

    async def _force(self, slot: Slot) -> bool:
        """Go beyond what was learned, for one who has no time to wait."""
        try:
            admitted = await self._store.force(self._window, slot.token, slot.lane, slot.hold)
        except asyncio.CancelledError:
            let_go(self._give_back(slot.token))
            raise
        if admitted:
            slot.began = self._clock.monotonic()
            await self._admit(slot)
        return admitted

    async def _admit(self, slot: Slot) -> None:
        """It has its slot, or gives it back if it gave up while the store was answering."""
        if slot.turn is None:
            slot.acquired = True
        elif slot.gone:
            await self._store.leave(self._window, slot.token, sent=False)
        else:
            slot.turn.set_result(None)

    async def _give_back(self, token: str) -> None:
        """Nobody wants it any more; a store that fails gives it up later."""
        with suppress(StoreError):
            await self._store.leave(self._window, token, sent=False)
