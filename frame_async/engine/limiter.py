"""The rate limiter: who waits for a slot of the rolling window, in this process.

First come, first served within a lane; the interactive lane goes first. However many
wait, only one asks the store, and it asks when there is something to hear.
"""

import asyncio
from collections import deque
from collections.abc import Coroutine
from contextlib import suppress
from itertools import islice
from types import TracebackType
from typing import Any, Final, Protocol, Self

from attrs import define, field

from frame_async.engine.cancellation import bounded
from frame_async.errors import StoreError
from frame_async.observers import logger
from frame_async.protocol.clock import Clock
from frame_async.protocol.window import Lane
from frame_async.stores import Store, Window

_MOST_AT_A_TIME: Final = 64


class NoSlotError(Exception):
    """There is no slot before the deadline; its argument says in how many seconds there is."""

    def __init__(self, fits_in: float) -> None:
        super().__init__(fits_in)
        self.fits_in = fits_in


class DismissedError(NoSlotError):
    """Whoever waited was sent away, because its run takes no more."""


class Limiter(Protocol):
    """What gives slots: a `RateLimiter`, or none of our own, `Unlimited`."""

    def slot(
        self, token: str, lane: Lane, hold: float, deadline: float, run: object = None
    ) -> "Slot":
        """A slot for the request that `token` stands for, until `deadline` (monotonic seconds).

        One that is never released is given up `hold` seconds later. `run` is what
        `dismiss` knows the call by.
        """
        ...

    async def try_acquire(self, slot: "Slot") -> bool:
        """Take a slot; False when there will be one before the deadline, to `wait` for."""
        ...

    async def wait(self, slot: "Slot") -> None:
        """Wait for a slot, first come, first served within a lane."""
        ...

    def release(self, token: str, *, sent: bool) -> Coroutine[Any, Any, None]:
        """The answer is in, or certainly nothing was sent."""
        ...

    def refuse(self, token: str, pause: float) -> Coroutine[Any, Any, None]:
        """A 429 came: everyone on the window pauses for that many seconds."""
        ...

    def dismiss(self, run: object) -> None:
        """Send away those of a run who still wait."""

    def close(self) -> None:
        """Nobody asks any more; whoever waits goes on, and finds the client closed."""


@define(eq=False, repr=False)
class Slot:
    """A slot of the window for one request, as ``async with limiter.slot(...)``.

    Entering takes one if there is one; `wait` waits for one otherwise. Leaving releases it
    as `sent` and `pause` say.
    """

    _limiter: "Limiter"
    token: str
    lane: Lane
    hold: float
    deadline: float
    run: object = None
    acquired: bool = False
    sent: bool | None = False
    """Whether its request was sent; None if it may still arrive, and the slot stays taken."""
    pause: float | None = None
    """A 429 came: everyone on the window pauses for that many seconds."""
    asked: bool = False
    """Whether it asked the store itself."""
    turn: "asyncio.Future[None] | None" = None
    """Done when it has come, or won't; None until it is waited for."""

    async def wait(self) -> None:
        """Wait for it until the deadline.

        Raises:
            NoSlotError: there was none.
            DismissedError: its run was dismissed while it waited.
            StoreError: the store can't answer.
        """
        await self._limiter.wait(self)
        self.acquired = True

    async def __aenter__(self) -> Self:
        """Take one if there is one.

        Raises:
            NoSlotError: there is none before the deadline; said at once, not then.
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
            work = self._limiter.release(self.token, sent=bool(self.sent))
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

    def admit(self) -> None:
        """It has come."""
        if self.turn is not None and not self.turn.done():
            self.turn.set_result(None)

    def turn_away(self, error: Exception) -> None:
        """It won't come."""
        if self.turn is not None and not self.turn.done():
            self.turn.set_exception(error)


@define(eq=False, repr=False)
class _Waiting:
    """Those who wait on one event loop."""

    loop: asyncio.AbstractEventLoop
    lanes: dict[Lane, deque[Slot]] = field(factory=lambda: {lane: deque() for lane in Lane})
    news: asyncio.Event = field(factory=asyncio.Event)
    """Something happened that makes asking again worth while."""
    asker: asyncio.Task[None] | None = None
    next_at: float = 0.0
    """When the store last said that there may be a slot, on the clock."""
    asking: int = 0
    """How many newcomers ask the store themselves."""
    unsure: list[Slot] = field(factory=list[Slot])
    """Those who came when it wasn't known how long they would have to wait."""

    def ahead(self, lane: Lane) -> int:
        """How many are served before a newcomer in that lane."""
        if lane is Lane.INTERACTIVE:
            return len(self.lanes[lane])
        return sum(map(len, self.lanes.values()))

    def heads(self, most: int) -> list[Slot]:
        """Whose turn it is, up to so many; those who have their place or gave up are dropped."""
        found: list[Slot] = []
        for lane in Lane:
            waiting = self.lanes[lane]
            while waiting and waiting[0].gone:
                waiting.popleft()
            live = (slot for slot in waiting if not slot.gone)
            found += islice(live, most - len(found))
        return found


class RateLimiter:
    """Slots of the rate window, for the calls of one client."""

    def __init__(self, store: Store, window: Window, clock: Clock) -> None:
        self._store = store
        self._window = window
        self._clock = clock
        self._here: _Waiting | None = None

    def slot(
        self, token: str, lane: Lane, hold: float, deadline: float, run: object = None
    ) -> Slot:
        """See `Limiter.slot`."""
        return Slot(self, token, lane, hold, deadline, run)

    async def try_acquire(self, slot: Slot) -> bool:
        """Take a slot; False when there will be one before the deadline, to `wait` for.

        Raises:
            NoSlotError: there won't.
            StoreError: the store can't answer.
        """
        waiting = self._waiting()
        # Many may come at once: a shared store isn't asked by each, but by some of them.
        slot.asked = waiting.asking < _MOST_AT_A_TIME and not waiting.ahead(slot.lane)
        if slot.asked:
            waiting.asking += 1
            try:
                if await self._ask(waiting, slot):
                    return True
            finally:
                waiting.asking -= 1
        fits_in = self._fits_in(waiting, slot)
        if self._clock.monotonic() + fits_in < slot.deadline:
            return False
        if await self._store.force(self._window, slot.token, slot.lane, slot.hold):
            return True
        raise NoSlotError(fits_in)

    async def wait(self, slot: Slot) -> None:
        """See `Limiter.wait`."""
        waiting = self._waiting()
        slot.turn = waiting.loop.create_future()
        waiting.lanes[slot.lane].append(slot)
        if not slot.asked and waiting.next_at <= self._clock.monotonic():
            waiting.unsure.append(slot)
        if slot.lane is Lane.INTERACTIVE:
            waiting.news.set()
        if waiting.asker is None or waiting.asker.done():
            waiting.asker = waiting.loop.create_task(self._keep_asking(waiting))
        await self._await_turn(slot, slot.turn)

    async def release(self, token: str, *, sent: bool) -> None:
        """See `Limiter.release`."""
        await self._store.leave(self._window, token, sent=sent)
        if self._here is not None and self._here.asker is not None:
            self._here.news.set()

    async def refuse(self, token: str, pause: float) -> None:
        """See `Limiter.refuse`."""
        await self._store.refuse(self._window, token, pause)

    def dismiss(self, run: object) -> None:
        """See `Limiter.dismiss`."""
        here = self._here
        for slot in [w for lane in here.lanes.values() for w in lane] if here else ():
            if slot.run is run:
                slot.turn_away(DismissedError(0.0))

    def close(self) -> None:
        """See `Limiter.close`."""
        here, self._here = self._here, None
        if here is None or here.loop.is_closed():
            return
        if here.asker is not None:
            here.asker.cancel()
        for slot in [slot for lane in here.lanes.values() for slot in lane]:
            slot.admit()

    def _waiting(self) -> _Waiting:
        loop = asyncio.get_running_loop()
        if self._here is None or self._here.loop is not loop:
            self._here = _Waiting(loop)
        return self._here

    def _fits_in(self, waiting: _Waiting, slot: Slot) -> float:
        """Seconds that a newcomer waits at least, as far as is known."""
        limit = self._window.limit
        rounds = waiting.ahead(slot.lane) // limit.open_to(slot.lane)
        return max(0.0, waiting.next_at - self._clock.monotonic()) + rounds * limit.per

    async def _ask(self, waiting: _Waiting, slot: Slot) -> bool:
        """Ask the store for a slot; whoever gives up meanwhile gives a slot back."""
        token, lane = slot.token, slot.lane
        try:
            wait = await self._store.enter(self._window, token, lane, slot.hold)
        except asyncio.CancelledError:
            if self._store.shared:  # it may have been taken all the same
                _let_go(waiting.loop, self._store.leave(self._window, token, sent=False))
            raise
        now = self._clock.monotonic()
        # A fleet's store gives each that asks its own time; the soonest is for all who wait here.
        known_sooner = lane is not Lane.INTERACTIVE and now < waiting.next_at < now + wait
        if not known_sooner:
            waiting.next_at = now + wait
        return wait <= 0

    async def _await_turn(self, slot: Slot, turn: "asyncio.Future[None]") -> None:
        left = slot.deadline - self._clock.monotonic()
        try:
            async with asyncio.timeout(left):
                await turn
        except (TimeoutError, asyncio.CancelledError) as gave_up:
            turn.cancel()  # as a rule it is: who waits for it is cancelled through it
            if not turn.cancelled() and turn.exception() is None:
                # The slot came at the very moment of giving up.
                _let_go(asyncio.get_running_loop(), self.release(slot.token, sent=False))
            if isinstance(gave_up, asyncio.CancelledError):
                raise
        else:
            return
        raise NoSlotError(max(0.0, self._waiting().next_at - slot.deadline))

    async def _keep_asking(self, waiting: _Waiting) -> None:
        """Serve one after the other, as long as somebody waits.

        As long as a shared store has slots, twice as many ask at a time as before: to
        write to a disk or over a network takes as long for many as for one.
        """
        most = 1
        while heads := waiting.heads(most):
            waiting.news.clear()
            try:
                admitted = [await self._serve(waiting, heads[0])]
                admitted += await asyncio.gather(*(self._serve(waiting, w) for w in heads[1:]))
                if not all(admitted):
                    await self._decide_unsure(waiting)
            except StoreError as error:
                _turn_away(waiting, str(error))
                return
            more = all(admitted) and self._store.shared
            most = min(2 * most, _MOST_AT_A_TIME) if more else 1
            if not all(admitted):
                await self._doze(waiting, waiting.next_at - self._clock.monotonic())

    async def _serve(self, waiting: _Waiting, slot: Slot) -> bool:
        """Ask for one who waits; False when there is no slot yet."""
        admitted = await self._ask(waiting, slot)
        if not admitted and waiting.next_at >= slot.deadline:
            # There was time when it came; now there is none.
            return await self._force(slot)
        if admitted and slot.gone:  # gave up while the store was answering
            await self._store.leave(self._window, slot.token, sent=False)
        elif admitted:
            slot.admit()
        return admitted

    async def _decide_unsure(self, waiting: _Waiting) -> None:
        """Now that it is known how long they wait: whoever can't wait so long hears it."""
        unsure, waiting.unsure = waiting.unsure, []
        ahead, full = dict.fromkeys(Lane, 0), set[Lane]()
        for slot in unsure:
            lane, limit = slot.lane, self._window.limit
            rounds, ahead[lane] = ahead[lane] // limit.open_to(lane), ahead[lane] + 1
            at = waiting.next_at + rounds * limit.per
            if slot.gone or at < slot.deadline:
                continue
            if lane not in full and await self._force(slot):
                continue
            full.add(lane)
            slot.turn_away(NoSlotError(at - self._clock.monotonic()))

    async def _force(self, slot: Slot) -> bool:
        """Go beyond what was learned, for one who has no time to wait."""
        admitted = await self._store.force(self._window, slot.token, slot.lane, slot.hold)
        if admitted and slot.gone:  # gave up while the store was answering
            await self._store.leave(self._window, slot.token, sent=False)
        elif admitted:
            slot.admit()
        return admitted

    async def _doze(self, waiting: _Waiting, seconds: float) -> None:
        """Sleep until a slot may be free, or until there is news."""
        sleeping = asyncio.ensure_future(self._clock.sleep(max(0.0, seconds)))
        news = asyncio.ensure_future(waiting.news.wait())
        try:
            await asyncio.wait({sleeping, news}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            news.cancel()


def _turn_away(waiting: _Waiting, why: str) -> None:
    """The store can't answer: everyone hears it now, instead of one after the other."""
    for lane in waiting.lanes.values():
        for slot in lane:
            slot.turn_away(StoreError(why))
        lane.clear()


_letting_go: set[asyncio.Task[None]] = set()


def _let_go(loop: asyncio.AbstractEventLoop, leaving: object) -> None:
    """Give a slot back in the background: whoever had it is being cancelled."""

    async def leave() -> None:
        with suppress(StoreError):
            await leaving  # type: ignore[misc]

    task = loop.create_task(leave())
    _letting_go.add(task)
    task.add_done_callback(_letting_go.discard)
